package etcd

import (
	"slices"
	"strings"

	"github.com/maek-dev/maek/api/maek/v1alpha1"
	"github.com/maek-dev/maek/internal/finding"
	"github.com/maek-dev/maek/internal/rule"
	"github.com/maek-dev/maek/internal/snapshot"
)

var _ = Catalog.Add(rule.Rule{
	Code:  "EtcdNoLeader",
	Title: finding.Text{EN: "etcd has no leader", KO: "etcd에 leader가 없습니다"},
	Doc: finding.Text{
		EN: "A majority of members answers and none has a leader that the others follow, so that nothing can be agreed on: the members do not reach each other at their peer URLs (a firewall, a certificate of peers, a cut), " +
			"their disks are too slow to hold an election, or their clocks' certificates are out of date. An election takes a second or two: what lasts less than ten is settling.",
		KO: "과반수의 member가 응답하지만 따르는 leader가 없어 아무것도 합의할 수 없습니다. member끼리 peer URL로 연결되지 않거나(방화벽, peer 인증서, 네트워크 단절), 디스크가 너무 느려 선출이 끝나지 않는 경우입니다. " +
			"선출은 보통 1~2초면 끝나므로 10초 미만은 잠시 지켜봅니다.",
	},
	Link:     "https://etcd.io/docs/v3.6/op-guide/failures/#leader-failure",
	Severity: finding.Critical,
	Needs:    optionalNodes,
	Machine:  machineKeys,
	For:      electionTime,
	Causes:   []rule.Cause{{Code: "MachineCertificateExpired", Via: rule.Cluster, Holds: ofEtcd}},
	Detect:   detectEtcdNoLeader,
})

// ofEtcd tells whether a finding about certificates is about those that etcd's members show each other.
func ofEtcd(_ *snapshot.Snapshot, _, cause finding.Finding) bool {
	return slices.ContainsFunc(cause.Evidence, func(e finding.Evidence) bool { return strings.Contains(e.Path, "/etcd/") })
}

func detectEtcdNoLeader(p *rule.Pass) {
	for _, c := range clusters(p) {
		voters, down := c.voters(), c.down()
		if len(voters)-len(down) < quorum(len(voters)) || c.agrees() {
			continue
		}
		f := finding.Finding{Subject: c.store(), Mechanism: v1alpha1.MechanismFailing, Since: c.lostSince()}
		for _, m := range voters {
			on, ok := c.best(m)
			if !ok {
				continue
			}
			for _, what := range []string{"leader", "quorum-error"} {
				if k := c.key(on, m, what); on.Value(k) != "" {
					f.Evidence = append(f.Evidence, on.Evidence(k))
				}
			}
			f.Remedies.Now = append(f.Remedies.Now, finding.Remedy{
				Text:    finding.Text{EN: "what does it say of its peers", KO: "peer에 대한 로그를 확인합니다"},
				Command: `crictl logs --tail 200 $(crictl ps -q --name etcd | head -n 1) 2>&1 | grep -E "peer|election|rafthttp|tls" | tail -n 20`, Machine: m.node,
			})
		}
		if len(f.Evidence) == 0 {
			continue // Nobody asked more than whether they are there.
		}
		f.Title = finding.Textf("etcd has no leader: %d of %d members answer, and no majority agrees", "etcd에 leader가 없습니다: member %[2]d개 중 %[1]d개가 응답하지만 과반수가 합의하지 못합니다",
			len(voters)-len(down), len(voters))
		f.Why = finding.Text{
			EN: "Each answers for itself, and a read that a majority must agree to fails on all of them: they do not reach each other at their peer URLs (port 2380), or cannot finish an election. " +
				"Nothing can be written; running pods go on.",
			KO: "각 member는 응답하지만 과반수의 합의가 필요한 읽기가 모두 실패합니다. member끼리 peer URL(포트 2380)로 연결되지 않거나 선출을 끝내지 못합니다. 아무것도 쓸 수 없으며, 실행 중인 Pod는 계속 동작합니다.",
		}
		p.Report(f)
	}
}
