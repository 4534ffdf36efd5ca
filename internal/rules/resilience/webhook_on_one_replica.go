package resilience

import (
	"fmt"

	admissionregistrationv1 "k8s.io/api/admissionregistration/v1"
	corev1 "k8s.io/api/core/v1"

	"github.com/maek-dev/maek/api/maek/v1alpha1"
	"github.com/maek-dev/maek/internal/finding"
	"github.com/maek-dev/maek/internal/rule"
	"github.com/maek-dev/maek/internal/snapshot"
)

var _ = Catalog.Add(rule.Rule{
	Code:  "WebhookOnOneReplica",
	Title: finding.Text{EN: "an admission webhook that must answer runs on one node", KO: "반드시 응답해야 하는 admission webhook이 한 노드에서만 실행됩니다"},
	Doc: finding.Text{
		EN: "A webhook with failurePolicy Fail is served by pods on one node only. When that node is lost, what the webhook covers cannot be created or changed, and where it covers pods, nothing that was lost is " +
			"replaced: its own pods may be among that. Left alone: webhooks with failurePolicy Ignore, and those outside the cluster.",
		KO: "failurePolicy가 Fail인 webhook의 Pod가 한 노드에만 있습니다. 그 노드를 잃으면 webhook 대상 객체를 만들거나 바꿀 수 없고, 대상이 Pod라면 사라진 Pod도 다시 만들어지지 않습니다. webhook 자신의 Pod도 " +
			"마찬가지일 수 있습니다. failurePolicy가 Ignore인 webhook과 클러스터 밖의 webhook은 대상이 아닙니다.",
	},
	Link:     "https://kubernetes.io/docs/concepts/cluster-administration/admission-webhooks-good-practices/",
	Severity: finding.Info,
	Risk:     true,
	Needs: append(rule.Owners(), rule.Any[*admissionregistrationv1.ValidatingWebhookConfiguration](), rule.Any[*admissionregistrationv1.MutatingWebhookConfiguration](),
		rule.Any[*corev1.Service](), rule.Any[*corev1.Pod]()),
	Detect: func(p *rule.Pass) {
		for _, c := range snapshot.List[*admissionregistrationv1.MutatingWebhookConfiguration](p.Snapshot) {
			for _, h := range c.Webhooks {
				if served(p, finding.Subject{Kind: "MutatingWebhookConfiguration", Name: c.Name}, h.Name, h.FailurePolicy, h.ClientConfig.Service) {
					break
				}
			}
		}
		for _, c := range snapshot.List[*admissionregistrationv1.ValidatingWebhookConfiguration](p.Snapshot) {
			for _, h := range c.Webhooks {
				if served(p, finding.Subject{Kind: "ValidatingWebhookConfiguration", Name: c.Name}, h.Name, h.FailurePolicy, h.ClientConfig.Service) {
					break
				}
			}
		}
	},
})

// served reports a webhook whose ready pods all run on one node, and tells whether it did: webhooks of
// one configuration mostly share their server, so the first one speaks for all.
func served(p *rule.Pass, configuration finding.Subject, name string, policy *admissionregistrationv1.FailurePolicyType, ref *admissionregistrationv1.ServiceReference) bool {
	if ref == nil || policy != nil && *policy == admissionregistrationv1.Ignore {
		return false
	}
	svc, ok := snapshot.Get[*corev1.Service](p.Snapshot, ref.Namespace, ref.Name)
	if !ok {
		return false
	}
	w := workload{}
	for _, pod := range p.PodsSelected(svc.Namespace, svc.Spec.Selector) {
		if snapshot.PodReady(pod) && pod.DeletionTimestamp == nil {
			w.pods = append(w.pods, pod)
		}
	}
	node := w.oneNode()
	if node == "" {
		return false
	}
	owner := p.Workload(w.pods[0])
	p.Report(finding.Finding{
		Subject: finding.Subject{Kind: configuration.Kind, Name: configuration.Name}, Mechanism: v1alpha1.MechanismDegraded,
		Title: finding.Textf("webhook %s must answer and is served by node %s alone", "반드시 응답해야 하는 webhook %s의 Pod가 노드 %s에서만 실행됩니다", name, node),
		Why: finding.Textf("its failurePolicy is Fail, and all its ready pods (%d) run on %s (%s): without that node nothing that it covers can be created or changed",
			"failurePolicy가 Fail이고 실행 중인 Pod %d개가 모두 %s에 있습니다(%s). 이 노드가 없으면 대상 객체를 만들거나 바꿀 수 없습니다", len(w.pods), node, finding.Named(owner)),
		Explains: []finding.Subject{owner},
		Evidence: []finding.Evidence{{Source: finding.Named(configuration), Path: fmt.Sprintf(".webhooks[%s].failurePolicy", name), Value: "Fail"}},
		Remedies: finding.Remedies{Later: []finding.Remedy{{
			Text:    finding.Text{EN: "run it on two nodes, and leave its own namespace and kube-system out of what it covers (namespaceSelector)", KO: "노드 두 대 이상에서 실행하고, webhook 자신의 namespace와 kube-system은 namespaceSelector로 대상에서 제외합니다"},
			Command: "kubectl edit " + configuration.Kind + " " + configuration.Name,
		}}},
	})
	return true
}
