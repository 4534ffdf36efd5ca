package etcd

import (
	"time"

	"github.com/maek-dev/maek/api/maek/v1alpha1"
	"github.com/maek-dev/maek/internal/finding"
	"github.com/maek-dev/maek/internal/rule"
)

const (
	// electionTime is how long an election may take: ten times etcd's --election-timeout of a second.
	electionTime = 10 * time.Second
	// manyElections is the number of changes within 15 minutes from which the leader is unsteady
	// (go.etcd.io/etcd/contrib/mixin, etcdHighNumberOfLeaderChanges).
	manyElections = 4
)

var _ = Catalog.Add(rule.Rule{
	Code:  "EtcdLeaderFlapping",
	Title: finding.Text{EN: "etcd's leader changes again and again", KO: "etcd leader가 반복해서 바뀝니다"},
	Doc: finding.Text{
		EN: "etcd's leader changed four times or more within 15 minutes, as a member counts it. During each election nothing can be written: kube-apiserver's requests fail for seconds, and the scheduler and the controller manager " +
			"can lose their Leases. Slow disks, a starved processor and a lossy network between members are what causes it. A change or two come with every rolling restart.",
		KO: "member의 집계로 15분 동안 etcd leader가 4번 이상 바뀌었습니다. 선출하는 동안에는 쓸 수 없어 kube-apiserver의 요청이 몇 초씩 실패하고, scheduler와 controller manager가 Lease를 잃을 수 있습니다. " +
			"느린 디스크, CPU 부족, member 사이의 패킷 손실이 원인입니다. 순차 재시작 때 한두 번 바뀌는 것은 정상입니다.",
	},
	Link:     "https://etcd.io/docs/v3.6/tuning/#time-parameters",
	Severity: finding.Warning,
	Needs:    optionalNodes,
	Machine:  machineKeys,
	Causes:   []rule.Cause{{Code: "EtcdSlowDisk", Via: rule.Cluster}, {Code: "EtcdMemberDown", Via: rule.Cluster}},
	Detect:   detectEtcdLeaderFlapping,
})

func detectEtcdLeaderFlapping(p *rule.Pass) {
	for _, c := range clusters(p) {
		f := finding.Finding{Subject: c.store(), Mechanism: v1alpha1.MechanismDegraded}
		most := 0.0
		for _, on := range c.from {
			if n, ok := on.Float("etcd/metrics/leader-changes-lately"); ok && n >= manyElections {
				most = max(most, n)
				f.Evidence = append(f.Evidence, on.Evidence("etcd/metrics/leader-changes-lately"))
				f.Remedies.Now = append(f.Remedies.Now, finding.Remedy{
					Text:    finding.Text{EN: "is its disk or its processor short, and which peer does it lose", KO: "디스크나 CPU가 부족한지, 어떤 peer와 연결이 끊기는지 확인합니다"},
					Command: `cat /proc/pressure/io /proc/pressure/cpu; crictl logs --tail 500 $(crictl ps -q --name etcd | head -n 1) 2>&1 | grep -E "lost leader|elected leader|heartbeat|lost the TCP" | tail -n 20`,
					Machine: on.Node(),
				})
			}
		}
		if most == 0 {
			continue
		}
		f.Title = finding.Textf("etcd's leader changed %.0f times within 15 minutes", "15분 동안 etcd leader가 %.0f번 바뀌었습니다", most)
		f.Why = finding.Text{
			EN: "During each election nothing can be written. Heartbeats come late where a disk, a processor or the network between members is slow.",
			KO: "선출하는 동안에는 쓸 수 없습니다. 디스크, CPU 또는 member 사이의 네트워크가 느리면 heartbeat가 늦어집니다.",
		}
		f.Remedies.Later = []finding.Remedy{{Text: finding.Text{
			EN: "give etcd a fast disk of its own; where members are far apart, raise --heartbeat-interval and --election-timeout to fit the round-trip time",
			KO: "etcd에 빠른 전용 디스크를 사용하고, member 사이가 멀면 왕복 시간에 맞게 --heartbeat-interval과 --election-timeout을 늘립니다",
		}}}
		p.Report(f)
	}
}
