package network

import (
	"fmt"
	"slices"
	"time"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"

	"github.com/maek-dev/maek/api/maek/v1alpha1"
	"github.com/maek-dev/maek/internal/finding"
	"github.com/maek-dev/maek/internal/rule"
	"github.com/maek-dev/maek/internal/snapshot"
)

var _ = Catalog.Add(rule.Rule{
	Code:  "ServiceLocalEndpointsMissing",
	Title: finding.Text{EN: "a Service for local pods has none on a Node", KO: "같은 Node로만 연결되는 Service에 해당 Node의 Pod가 없습니다"},
	Doc: finding.Text{
		EN: "A Service with internalTrafficPolicy Local leads callers only to pods on their own Node, and on some Nodes with pods none of its own is ready: callers there get nothing, while the Service has " +
			"endpoints. Where a DaemonSet ought to serve that Node it is a warning, else a remark: nobody may call it there. Left alone: Services without any endpoint, of which ServiceWithoutEndpoints tells, Nodes " +
			"that are not ready or run nothing but DaemonSets, and externalTrafficPolicy Local, where load balancers leave such Nodes out by themselves.",
		KO: "internalTrafficPolicy가 Local인 Service는 호출하는 쪽과 같은 Node의 Pod로만 연결되는데, 일부 Node에 Ready인 Pod가 없어 그곳의 호출이 실패합니다(Service 전체에는 endpoint가 있습니다). " +
			"DaemonSet이 담당해야 할 Node이면 warning, 그 밖에는 그 Node에서 호출하는 쪽이 없을 수 있어 참고로 알립니다. endpoint가 전혀 없는 Service(ServiceWithoutEndpoints), Ready가 아니거나 DaemonSet Pod만 있는 Node, " +
			"로드 밸런서가 스스로 제외하는 externalTrafficPolicy Local은 제외합니다.",
	},
	Link:     "https://kubernetes.io/docs/concepts/services-networking/service-traffic-policy/",
	Severity: finding.Warning,
	Needs: slices.Concat([]rule.Need{
		rule.Any[*corev1.Service](), rule.Whole[*corev1.Pod](), rule.Any[*corev1.Node](), rule.Optional[*appsv1.DaemonSet](), rule.Optional[*corev1.Namespace](),
	}, rule.Owners()),
	For:     3 * time.Minute,
	Symptom: true,
	Causes:  []rule.Cause{{Code: "PodNotReady", Via: rule.HasPod}},
	Detect:  serviceLocalEndpointsMissing,
})

func serviceLocalEndpointsMissing(p *rule.Pass) {
	for _, svc := range snapshot.List[*corev1.Service](p.Snapshot) {
		if !selects(p, svc) || svc.Spec.InternalTrafficPolicy == nil || *svc.Spec.InternalTrafficPolicy != corev1.ServiceInternalTrafficPolicyLocal {
			continue
		}
		pods := p.PodsSelected(svc.Namespace, svc.Spec.Selector)
		served, daemon := map[string]bool{}, map[string]*corev1.Pod{}
		for _, pod := range pods {
			switch {
			case snapshot.PodDone(pod) || pod.Spec.NodeName == "":
			case snapshot.PodReady(pod):
				served[pod.Spec.NodeName] = true
			case p.Workload(pod).Kind == "DaemonSet":
				daemon[pod.Spec.NodeName] = pod
			}
		}
		if len(served) == 0 {
			continue
		}
		var without, failing []string
		var since time.Time
		for _, node := range snapshot.List[*corev1.Node](p.Snapshot) {
			if served[node.Name] || !nodeServes(p, node) {
				continue
			}
			without = append(without, node.Name)
			if pod := daemon[node.Name]; pod != nil {
				failing = append(failing, node.Name)
				since = finding.Earlier(since, snapshot.NotReadySince(pod))
			}
		}
		if len(without) > 0 {
			p.Report(localFinding(svc, without, failing, since))
		}
	}
}

// nodeServes tells whether a Node is ready and runs pods that could call a Service.
func nodeServes(p *rule.Pass, node *corev1.Node) bool {
	c := snapshot.NodeCondition(node, corev1.NodeReady)
	if c == nil || c.Status != corev1.ConditionTrue {
		return false
	}
	return slices.ContainsFunc(p.PodsOn(node.Name), func(pod *corev1.Pod) bool {
		return !snapshot.PodDone(pod) && !snapshot.StaticPod(pod) && p.Workload(pod).Kind != "DaemonSet"
	})
}

func localFinding(svc *corev1.Service, without, failing []string, since time.Time) finding.Finding {
	subject := snapshot.SubjectOf(svc)
	f := finding.Finding{
		Subject: subject, Mechanism: v1alpha1.MechanismDegraded, Field: ".spec.internalTrafficPolicy", Since: since, Severity: finding.Info,
		Title: finding.Format("%s: leads only to pods on the caller's Node, and there are none on %s", "%s: 같은 Node의 Pod로만 연결되는데 다음 Node에는 Pod가 없습니다: %s",
			finding.Verbatim(finding.Named(subject)), finding.List(without)),
		Why: finding.Textf("internalTrafficPolicy is Local; Nodes that run other pods and none of the Service's ready ones: %d", "internalTrafficPolicy가 Local이며, 다른 Pod는 있으나 이 Service의 Ready Pod가 없는 Node가 %d개입니다", len(without)),
		Evidence: []finding.Evidence{{
			Source: finding.Named(subject), Path: ".spec.internalTrafficPolicy", Value: string(corev1.ServiceInternalTrafficPolicyLocal), At: finding.Timestamp(snapshot.SpecWritten(svc)),
		}},
		Remedies: finding.Remedies{Now: []finding.Remedy{{
			Text:    finding.Text{EN: "see on which Nodes its pods are", KO: "Pod가 있는 Node를 확인합니다"},
			Command: fmt.Sprintf("kubectl -n %s get pods -o wide -l '%s'", svc.Namespace, written(svc.Spec.Selector)),
		}}},
	}
	if len(failing) > 0 {
		f.Severity = finding.Warning
		f.Why = finding.Join("; ", f.Why, finding.Format("the DaemonSet behind it has pods that are not ready on %s", "DaemonSet의 Pod가 Ready가 아닌 Node: %s", finding.List(failing)))
		return f
	}
	f.Remedies.Now = append(f.Remedies.Now, finding.Remedy{
		Text:    finding.Text{EN: "let callers reach pods on other Nodes too, or run a pod on every Node", KO: "다른 Node의 Pod로도 연결하거나, 모든 Node에 Pod를 실행합니다"},
		Command: fmt.Sprintf(`kubectl -n %s patch service %s --type=merge -p '{"spec":{"internalTrafficPolicy":"Cluster"}}'`, svc.Namespace, svc.Name),
	})
	return f
}
