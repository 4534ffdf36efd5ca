package etcd

import (
	"slices"

	"github.com/maek-dev/maek/api/maek/v1alpha1"
	"github.com/maek-dev/maek/internal/finding"
	"github.com/maek-dev/maek/internal/rule"
	"github.com/maek-dev/maek/internal/snapshot"
)

var _ = Catalog.Add(rule.Rule{
	Code:  "EtcdAlarm",
	Title: finding.Text{EN: "etcd has raised an alarm", KO: "etcd에 알람이 발생했습니다"},
	Doc: finding.Text{
		EN: "A member has raised NOSPACE, because its database reached the quota, or CORRUPT, because its data differ from the others'. With NOSPACE etcd takes no writes but deletions until somebody disarms the alarm, even when there is " +
			"room again; with CORRUPT it refuses reads and writes. Nothing else clears them.",
		KO: "member가 NOSPACE(데이터베이스가 한도에 도달) 또는 CORRUPT(다른 member와 데이터가 다름) 알람을 냈습니다. NOSPACE 상태에서는 공간이 다시 생겨도 알람을 해제할 때까지 삭제를 제외한 쓰기를 받지 않고, CORRUPT 상태에서는 읽기와 쓰기를 " +
			"거부합니다. 알람은 저절로 해제되지 않습니다.",
	},
	Link:     "https://etcd.io/docs/v3.6/op-guide/maintenance/#space-quota",
	Severity: finding.Critical,
	Needs:    optionalNodes,
	Machine:  machineKeys,
	Detect:   detectEtcdAlarm,
})

func detectEtcdAlarm(p *rule.Pass) {
	for _, c := range clusters(p) {
		f := finding.Finding{Subject: c.store()}
		kinds := map[string][]string{}
		var at []string
		for _, on := range c.from {
			for _, e := range on.Select("etcd/alarm/*/*") {
				s := e.Key.Segments()
				by := s[2]
				for _, m := range c.members {
					if m.id == by {
						by = m.label()
					}
				}
				if slices.Contains(kinds[s[3]], by) {
					continue
				}
				kinds[s[3]] = append(kinds[s[3]], by)
				at = append(at, on.Node())
				f.Evidence = append(f.Evidence, on.Evidence(e.Key))
				f.Since = finding.Earlier(f.Since, on.Since(e.Key))
			}
		}
		switch {
		case len(kinds["CORRUPT"]) > 0:
			f.Title = finding.Format("etcd has raised CORRUPT: the data of %s are not those of the others", "etcd에 CORRUPT 알람이 발생했습니다: %s의 데이터가 다른 member와 다릅니다", finding.List(kinds["CORRUPT"]))
			f.Why = finding.Text{
				EN: "The members compared their data at one revision, and they are not the same. etcd refuses to read and write until the member with the wrong data is replaced.",
				KO: "같은 revision에서 member의 데이터를 비교한 결과가 다릅니다. 데이터가 잘못된 member를 교체할 때까지 etcd가 읽기와 쓰기를 거부합니다.",
			}
			replaceCorrupt(&f, at[0])
		case len(kinds["NOSPACE"]) > 0:
			c.noSpace(&f, kinds["NOSPACE"], at[0])
		default:
			continue
		}
		p.Report(f)
	}
}

// replaceCorrupt is what ends a difference between members.
func replaceCorrupt(f *finding.Finding, machine string) {
	f.Mechanism = v1alpha1.MechanismFailing
	f.Remedies = finding.Remedies{
		Now: []finding.Remedy{
			{
				Text:    finding.Text{EN: "save a snapshot of each member first, and see whose hash differs", KO: "먼저 member마다 snapshot을 저장하고 hash가 다른 member를 확인합니다"},
				Command: etcdctl + "endpoint hashkv --cluster -w table; " + etcdctl + "alarm list", Machine: machine,
			},
			{Text: finding.Text{
				EN: "replace that member: stop it, `etcdctl member remove`, move its data folder away, `etcdctl member add`, start it anew; then `etcdctl alarm disarm`",
				KO: "해당 member를 교체합니다: 중지하고 `etcdctl member remove`, 데이터 폴더를 옮긴 뒤 `etcdctl member add`로 추가해 다시 시작하고 `etcdctl alarm disarm`을 실행합니다",
			}},
		},
		Later: []finding.Remedy{{Text: finding.Text{EN: "run a version without known corruption, and leave --experimental-initial-corrupt-check (InitialCorruptCheck) on", KO: "데이터 손상 문제가 없는 버전을 사용하고 InitialCorruptCheck를 켜 둡니다"}}},
	}
}

func (c *etcdCluster) noSpace(f *finding.Finding, by []string, machine string) {
	f.Mechanism = v1alpha1.MechanismExhausted
	f.Title = finding.Format("etcd has raised NOSPACE on %s: nothing but deletions can be written", "etcd에 NOSPACE 알람이 발생했습니다(%s): 삭제만 할 수 있습니다", finding.List(by))
	room := finding.Text{}
	var most int64
	for _, m := range c.members {
		size, quota, on, ok := c.size(m)
		if !ok || size <= most {
			continue
		}
		most = size
		room = finding.Textf("The database on %s holds %s of %s.", "%s의 데이터베이스는 한도 %[3]s 중 %[2]s를 사용하고 있습니다.", m.label(), bytes(size), bytes(quota))
		f.Evidence = append(f.Evidence[:len(by):len(by)], on.Evidence(c.key(on, m, "db-size")))
	}
	f.Why = finding.Join(" ", room, finding.Text{
		EN: "Reads and deletions work and /readyz stays green, while no Lease is renewed: what nodes and controllers say of themselves grows old. The alarm stays until it is disarmed.",
		KO: "읽기와 삭제는 되고 /readyz도 통과하지만 Lease가 갱신되지 않아 노드와 controller의 상태가 오래된 값으로 남습니다. 알람은 해제할 때까지 유지됩니다.",
	})
	f.Remedies = finding.Remedies{
		Now: []finding.Remedy{
			{Text: finding.Text{EN: "stop whoever makes the objects, and delete those that nobody needs: deletions still work", KO: "객체를 만드는 주체를 중지하고 필요 없는 객체를 삭제합니다. 삭제는 됩니다"}},
			{
				Text:    finding.Text{EN: "compact to the present revision, give the room back and disarm the alarm", KO: "현재 revision으로 compact하고 공간을 회수한 뒤 알람을 해제합니다"},
				Command: "rev=$(" + etcdctl + `endpoint status -w json | grep -o '"revision":[0-9]*' | grep -o '[0-9]*$'); ` + etcdctl + `compact "$rev"; ` + etcdctl + "defrag --cluster --command-timeout=60s; " + etcdctl + "alarm disarm",
				Machine: machine,
			},
		},
		Later: []finding.Remedy{{Text: finding.Textf("raise --quota-backend-bytes in %s where 8 GiB are not reached, and limit the number of objects with ResourceQuotas (count/…)",
			"8 GiB 이하라면 %s의 --quota-backend-bytes를 늘리고 ResourceQuota(count/…)로 객체 수를 제한합니다", manifest)}},
	}
}

// size is how large a member's database is and may become, and which machine says so.
func (c *etcdCluster) size(m etcdMember) (size, quota int64, on snapshot.Machine, ok bool) {
	on, ok = c.best(m)
	if !ok {
		return 0, 0, on, false
	}
	size, ok = on.Int(c.key(on, m, "db-size"))
	if !ok {
		return 0, 0, on, false
	}
	if quota, ok = on.Int(c.key(on, m, "db-quota")); ok {
		return size, quota, on, true
	}
	// Before 3.6 only the member's own metrics and flags tell.
	if on.Node() != m.node {
		return 0, 0, on, false
	}
	if q, ok := on.Float("etcd/metrics/quota"); ok && q > 0 {
		return size, int64(q), on, true
	}
	return size, defaultQuota, on, on.Value("etcd/local/quota-flag") == ""
}
