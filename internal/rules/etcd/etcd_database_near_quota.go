package etcd

import (
	"github.com/maek-dev/maek/api/maek/v1alpha1"
	"github.com/maek-dev/maek/internal/finding"
	"github.com/maek-dev/maek/internal/rule"
)

var _ = Catalog.Add(rule.Rule{
	Code:  "EtcdDatabaseNearQuota",
	Title: finding.Text{EN: "etcd's database is near its quota", KO: "etcd 데이터베이스가 한도에 가깝습니다"},
	Doc: finding.Text{
		EN: "The database file of a member takes more than four fifths of its quota (--quota-backend-bytes). When it reaches the quota the member raises NOSPACE, and nothing but deletions can be written in the whole cluster. Where much of " +
			"the file is free inside, giving it back (defrag) is enough; else there are too many objects, or the quota is too small.",
		KO: "member의 데이터베이스 파일이 한도(--quota-backend-bytes)의 80%를 넘었습니다. 한도에 도달하면 NOSPACE 알람이 발생하여 클러스터 전체에서 삭제를 제외한 쓰기가 막힙니다. 파일 안에 빈 공간이 많으면 defrag로 충분하고, " +
			"그렇지 않으면 객체가 너무 많거나 한도가 작은 것입니다.",
	},
	Link:     "https://etcd.io/docs/v3.6/op-guide/maintenance/#space-quota",
	Severity: finding.Warning,
	Needs:    optionalNodes,
	Machine:  machineKeys,
	Detect:   detectEtcdDatabaseNearQuota,
})

func detectEtcdDatabaseNearQuota(p *rule.Pass) {
	const whole = 100
	for _, c := range clusters(p) {
		if c.alarmed() {
			continue
		}
		f := finding.Finding{Subject: c.store(), Mechanism: v1alpha1.MechanismExhausted}
		var most, mostQuota, used int64
		var where string
		for _, m := range c.members {
			size, quota, on, ok := c.size(m)
			if !ok || size < quota/whole*nearlyFull {
				continue
			}
			f.Evidence = append(f.Evidence, on.Evidence(c.key(on, m, "db-size")))
			if size > most {
				most, mostQuota, where = size, quota, m.label()
				used, _ = on.Int(c.key(on, m, "db-size-in-use"))
			}
		}
		if most == 0 {
			continue
		}
		f.Title = finding.Textf("etcd's database on %s holds %s of its quota of %s", "%s의 etcd 데이터베이스가 한도 %[3]s 중 %[2]s를 사용하고 있습니다", where, bytes(most), bytes(mostQuota))
		f.Why = finding.Join(" ", finding.Textf("%s of the file hold data.", "파일 중 데이터는 %s입니다.", bytes(used)), finding.Text{
			EN: "When the quota is reached nothing can be written any more, Leases included.", KO: "한도에 도달하면 Lease를 포함하여 아무것도 쓸 수 없습니다.",
		})
		f.Remedies.Now = []finding.Remedy{{
			Text:    finding.Text{EN: "find the resource with the most objects", KO: "객체가 가장 많은 리소스를 확인합니다"},
			Command: "kubectl get --raw /metrics | grep -E '^apiserver_(resource|storage)_objects' | sort -k2 -g | tail -n 5",
		}}
		// defrag gives back what is free inside; where that is little it only stops the member for a while.
		const worth = 2
		if used > 0 && used < most/worth {
			f.Remedies.Now = append(f.Remedies.Now, defragment(where))
		}
		f.Remedies.Later = []finding.Remedy{{Text: finding.Textf("raise --quota-backend-bytes in %s where 8 GiB are not reached, and limit the number of objects with ResourceQuotas (count/…)",
			"8 GiB 이하라면 %s의 --quota-backend-bytes를 늘리고 ResourceQuota(count/…)로 객체 수를 제한합니다", manifest)}}
		p.Report(f)
	}
}

// alarmed tells whether any alarm is raised.
func (c *etcdCluster) alarmed() bool {
	for _, on := range c.from {
		if len(on.Select("etcd/alarm/*/*")) > 0 {
			return true
		}
	}
	return false
}

// defragment is how a member gives back room. It answers nothing meanwhile, so that it is one at a time.
func defragment(machine string) finding.Remedy {
	return finding.Remedy{
		Text:    finding.Text{EN: "give back what is free inside, one member at a time and the leader last: a member answers nothing meanwhile", KO: "빈 공간을 회수합니다. 그동안 해당 member는 응답하지 않으므로 한 번에 하나씩, leader는 마지막에 실행합니다"},
		Command: etcdctl + "defrag --command-timeout=60s", Machine: machine,
	}
}
