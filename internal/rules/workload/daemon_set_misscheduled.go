package workload

import (
	"fmt"
	"strconv"

	appsv1 "k8s.io/api/apps/v1"

	"github.com/maek-dev/maek/api/maek/v1alpha1"
	"github.com/maek-dev/maek/internal/finding"
	"github.com/maek-dev/maek/internal/rule"
	"github.com/maek-dev/maek/internal/snapshot"
)

var _ = Catalog.Add(rule.Rule{
	Code:  "DaemonSetMisscheduled",
	Title: finding.Text{EN: "DaemonSet's pods run where they should not", KO: "DaemonSet의 Pod가 실행되지 않아야 할 Node에 있습니다"},
	Doc: finding.Text{
		EN: "Pods of a DaemonSet run on Nodes that its selector, affinity or tolerations exclude by now, and they stay because the taint only keeps new pods " +
			"away (NoSchedule). Noted, for they use the Node's room. Left alone: counts that its controller has not looked at since the last change.",
		KO: "DaemonSet의 Pod가 이제는 selector, affinity, toleration에 맞지 않는 Node에서 실행되고 있습니다. taint가 새 Pod만 막기 때문에(NoSchedule) 남아 있으며, Node의 자원을 사용하므로 알립니다. " +
			"마지막 변경 이후 controller가 처리하지 않은 값은 제외합니다.",
	},
	Link:     "https://kubernetes.io/docs/concepts/workloads/controllers/daemonset/#taints-and-tolerations",
	Severity: finding.Info,
	Needs:    []rule.Need{rule.Any[*appsv1.DaemonSet]()},
	Detect:   daemonSetMisscheduled,
})

func daemonSetMisscheduled(p *rule.Pass) {
	for _, d := range snapshot.List[*appsv1.DaemonSet](p.Snapshot) {
		n := int(d.Status.NumberMisscheduled)
		if n == 0 || d.DeletionTimestamp != nil || d.Status.ObservedGeneration < d.Generation {
			continue
		}
		subject := snapshot.SubjectOf(d)
		p.Report(finding.Finding{
			Subject: subject, Mechanism: v1alpha1.MechanismMisconfigured,
			Title:    finding.Format("%s: %s on Nodes where none should run", "%s: %s가 실행되지 않아야 할 Node에 있습니다", finding.Verbatim(finding.Named(subject)), finding.Pods(n)),
			Why:      finding.Text{EN: "its controller counts them, and does not end what runs already", KO: "controller가 집계한 값이며, 이미 실행 중인 Pod는 종료하지 않습니다"},
			Evidence: []finding.Evidence{{Source: finding.Named(subject), Path: ".status.numberMisscheduled", Value: strconv.Itoa(n)}},
			Remedies: finding.Remedies{Now: []finding.Remedy{{
				Text:    finding.Text{EN: "see where its pods run, and delete those that should not", KO: "Pod가 실행 중인 Node를 확인하고 불필요한 Pod를 삭제합니다"},
				Command: fmt.Sprintf("kubectl -n %s get pods -o wide -l '%s'", d.Namespace, selectorText(d)),
			}}},
		})
	}
}
