package etcd

import (
	"time"

	"github.com/maek-dev/maek/api/maek/v1alpha1"
	"github.com/maek-dev/maek/internal/finding"
	"github.com/maek-dev/maek/internal/rule"
)

var _ = Catalog.Add(rule.Rule{
	Code:  "EtcdLearnerStuck",
	Title: finding.Text{EN: "an etcd member was added and never got its vote", KO: "추가된 etcd member가 투표권을 얻지 못하고 있습니다"},
	Doc: finding.Text{
		EN: "A member has been a learner for more than an hour: it receives all data and has no vote, so that it does not count for the majority. Whoever added it (kubeadm join, an operator) did not come to promote it, or it cannot keep up. " +
			"One that was just added is left alone.",
		KO: "member가 한 시간 넘게 learner입니다. 데이터를 모두 받지만 투표권이 없어 과반수에 포함되지 않습니다. 추가한 쪽(kubeadm join, operator)이 승격하지 못했거나 member가 따라잡지 못하는 것입니다. 방금 추가된 member는 제외합니다.",
	},
	Link:     "https://etcd.io/docs/v3.6/learning/design-learner/",
	Severity: finding.Warning,
	Needs:    optionalNodes,
	Machine:  machineKeys,
	Detect:   detectEtcdLearnerStuck,
})

// learning is how long a learner may take: kubeadm promotes one within minutes
// (k8s.io/kubernetes/cmd/kubeadm/app/util/etcd/etcd.go, MemberPromote).
const learning = time.Hour

func detectEtcdLearnerStuck(p *rule.Pass) {
	for _, c := range clusters(p) {
		for _, m := range c.members {
			if !m.learner {
				continue
			}
			for _, on := range c.from {
				k := c.key(on, m, "learner-since")
				since := on.Time(k)
				if since.IsZero() || on.ObservedAt().Sub(since) < learning {
					continue
				}
				p.Report(finding.Finding{
					Subject: m.subject(), Mechanism: v1alpha1.MechanismDegraded, Since: since,
					Title: finding.Textf("etcd member %s has been a learner since %s", "etcd member %s: %s부터 learner로 남아 있습니다", m.label(), finding.Clock(p.Now(), since)),
					Why: finding.Text{
						EN: "It receives all data and has no vote: the cluster survives no more losses than without it.", KO: "데이터를 모두 받지만 투표권이 없습니다. 이 member가 없을 때와 같은 수의 장애만 견딥니다.",
					},
					Evidence: []finding.Evidence{on.Evidence(k)},
					Remedies: finding.Remedies{Now: []finding.Remedy{{
						Text:    finding.Text{EN: "give it its vote; it is refused while it has not caught up", KO: "투표권을 부여합니다. 아직 따라잡지 못했으면 거부됩니다"},
						Command: etcdctl + "member promote " + m.id, Machine: on.Node(),
					}}},
				})
				break
			}
		}
	}
}
