package resilience

import (
	"fmt"

	corev1 "k8s.io/api/core/v1"

	"github.com/maek-dev/maek/api/maek/v1alpha1"
	"github.com/maek-dev/maek/internal/finding"
	"github.com/maek-dev/maek/internal/rule"
)

var _ = Catalog.Add(rule.Rule{
	Code:  "EtcdRedundancyMissing",
	Title: finding.Text{EN: "etcd bears no loss of a member", KO: "etcd가 멤버 하나의 손실도 견디지 못합니다"},
	Doc: finding.Text{
		EN: "etcd runs with one or two members: it needs a majority, so the loss of one machine stops every write, and with one member it takes all of the cluster's state along. " +
			"Three members bear the loss of one, five of two. An etcd that does not run as static pods of the cluster cannot be seen and is skipped.",
		KO: "etcd 멤버가 하나 또는 둘입니다. etcd는 과반수가 있어야 하므로 머신 한 대만 잃어도 모든 쓰기가 멈추고, 멤버가 하나뿐이면 클러스터의 모든 상태를 함께 잃습니다. " +
			"멤버 3개는 1개, 5개는 2개의 손실을 견딥니다. 클러스터의 static pod로 실행되지 않는 etcd는 보이지 않으므로 확인하지 않습니다.",
	},
	Link:     "https://etcd.io/docs/v3.6/faq/#what-is-failure-tolerance",
	Severity: finding.Warning,
	Risk:     true,
	Needs:    []rule.Need{rule.Whole[*corev1.Pod]()},
	Detect: func(p *rule.Pass) {
		members := p.ControlPlanePods("etcd")
		switch {
		case len(members) == 0:
			p.Skip(finding.Text{
				EN: "etcd: its members do not run as pods of this cluster, so how many there are cannot be seen from here",
				KO: "etcd: 멤버가 이 클러스터의 Pod로 실행되지 않아 몇 개인지 여기서는 알 수 없습니다",
			})
			return
		case len(members) > 2:
			return
		}
		first := members[0]
		f := finding.Finding{
			Subject: finding.Subject{Kind: "Pod", Namespace: first.Namespace, Name: first.Name}, Mechanism: v1alpha1.MechanismDegraded,
			Title: finding.Textf("etcd has one member, on %s: its loss takes all of the cluster's state", "etcd 멤버가 %s 하나뿐입니다. 이 머신을 잃으면 클러스터의 모든 상태를 잃습니다", first.Spec.NodeName),
			Why:   finding.Textf("one etcd pod runs (%s); its data lies in %s on that machine", "etcd Pod는 하나만 실행됩니다(%s). 데이터는 그 머신의 %s에 있습니다", first.Name, dataFolder(first)),
			Remedies: finding.Remedies{Later: []finding.Remedy{{
				Text:    finding.Text{EN: "take a snapshot now, and keep it on another machine", KO: "지금 snapshot을 만들어 다른 머신에 보관합니다"},
				Command: "etcdctl --endpoints https://127.0.0.1:2379 --cacert /etc/kubernetes/pki/etcd/ca.crt --cert /etc/kubernetes/pki/etcd/server.crt --key /etc/kubernetes/pki/etcd/server.key snapshot save /var/backups/etcd.db", Machine: first.Spec.NodeName,
			}, {
				Text: finding.Text{EN: "run three members on three machines", KO: "머신 3대에 멤버 3개를 둡니다"},
			}}},
		}
		if len(members) == 2 {
			f.Title = finding.Textf("etcd has two members: the loss of either (%s, %s) stops every write", "etcd 멤버가 둘입니다. 하나(%s, %s)만 잃어도 모든 쓰기가 멈춥니다", first.Spec.NodeName, members[1].Spec.NodeName)
			f.Why = finding.Text{EN: "two of two is the majority that etcd needs: two members bear no more losses than one", KO: "멤버가 둘이면 과반수도 둘이므로, 하나일 때보다 더 견디지 못합니다"}
		}
		for _, m := range members {
			f.Evidence = append(f.Evidence, finding.Evidence{Source: "Pod " + m.Namespace + "/" + m.Name, Path: ".spec.nodeName", Value: m.Spec.NodeName})
		}
		p.Report(f)
	},
})

// dataFolder is where a member's data lies on its machine, as far as its volumes tell: kubeadm calls
// that volume etcd-data (k8s.io/kubernetes/cmd/kubeadm/app/phases/etcd).
func dataFolder(p *corev1.Pod) string {
	for _, v := range p.Spec.Volumes {
		if v.Name == "etcd-data" && v.HostPath != nil {
			return v.HostPath.Path
		}
	}
	return fmt.Sprintf("a folder that the pod's volumes do not name (kubeadm's is %s)", "/var/lib/etcd")
}
