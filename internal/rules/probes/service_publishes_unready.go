package probes

import (
	"slices"

	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"

	"github.com/maek-dev/maek/api/maek/v1alpha1"
	"github.com/maek-dev/maek/internal/finding"
	"github.com/maek-dev/maek/internal/rule"
	"github.com/maek-dev/maek/internal/snapshot"
)

var _ = Catalog.Add(rule.Rule{
	Code:  "ServicePublishesUnready",
	Title: finding.Textf("Service sends clients to pods whatever their readiness probes say", "Service가 readiness probe와 관계없이 Pod로 연결을 보냅니다"),
	Doc: finding.Textf(
		"A Service with an address of its own publishes pods that are not ready (publishNotReadyAddresses), and its pods have readiness probes: they gate nothing there. The field is for headless Services through which the members of a set find "+
			"each other before they are ready. While a pod is not ready and listed as an endpoint that is, clients get connections to it: a warning. Else a remark. Left alone: headless Services, and pods without readiness probes.",
		"자체 주소가 있는 Service가 Ready가 아닌 Pod도 공개하도록(publishNotReadyAddresses) 설정되어 있고 Pod에는 readiness probe가 있습니다. 이 Service에서는 probe가 아무것도 막지 못합니다. 이 필드는 구성원끼리 Ready가 되기 전에 서로를 찾는 headless Service를 위한 것입니다. "+
			"Ready가 아닌 Pod가 ready endpoint로 올라 있으면 클라이언트의 연결이 그 Pod로 가므로 warning, 그 밖에는 참고로 알립니다. headless Service와 readiness probe가 없는 Pod는 제외합니다."),
	Link:     "https://kubernetes.io/docs/reference/kubernetes-api/service-resources/service-v1/#ServiceSpec",
	Severity: finding.Warning,
	Needs:    baseNeeds(rule.Any[*corev1.Service](), rule.Optional[*discoveryv1.EndpointSlice]()),
	Detect: func(p *rule.Pass) {
		for _, svc := range snapshot.List[*corev1.Service](p.Snapshot) {
			if !svc.Spec.PublishNotReadyAddresses || svc.Spec.ClusterIP == corev1.ClusterIPNone || svc.Spec.Type == corev1.ServiceTypeExternalName {
				continue
			}
			if pods := p.PodsSelected(svc.Namespace, svc.Spec.Selector); slices.ContainsFunc(pods, probedReadiness) {
				p.Report(publishFinding(p, svc, pods))
			}
		}
	},
})

func probedReadiness(pod *corev1.Pod) bool {
	return slices.ContainsFunc(pod.Spec.Containers, func(c corev1.Container) bool { return c.ReadinessProbe != nil })
}

func publishFinding(p *rule.Pass, svc *corev1.Service, pods []*corev1.Pod) finding.Finding {
	listed := map[string]bool{}
	for _, slice := range p.EndpointSlicesOf(svc) {
		for _, e := range slice.Endpoints {
			if e.TargetRef != nil && (e.Conditions.Ready == nil || *e.Conditions.Ready) {
				listed[e.TargetRef.Name] = true
			}
		}
	}
	var unready []*corev1.Pod
	for _, pod := range pods {
		if listed[pod.Name] && !snapshot.PodReady(pod) && !snapshot.PodDone(pod) && pod.DeletionTimestamp == nil && p.Now().Sub(snapshot.NotReadySince(pod)) > shortestPause {
			unready = append(unready, pod)
		}
	}
	name := finding.Subject{Kind: "Service", Namespace: svc.Namespace, Name: svc.Name}
	out := finding.Finding{
		Subject: name, Mechanism: v1alpha1.MechanismMisconfigured, Severity: finding.Info, Field: ".spec.publishNotReadyAddresses",
		Title: finding.Textf("%s: publishes pods that are not ready, so that their readiness probes gate nothing", "%s: Ready가 아닌 Pod도 공개하므로 readiness probe가 아무것도 막지 못합니다", finding.Named(name)),
		Why: finding.Textf("publishNotReadyAddresses is true, the Service has an address of its own, and its pods have readiness probes: a pod that fails them goes on getting connections",
			"publishNotReadyAddresses가 true이고 Service에 자체 주소가 있으며 Pod에 readiness probe가 있습니다. probe에 실패한 Pod에도 계속 연결이 갑니다"),
		Evidence: []finding.Evidence{{Source: finding.Named(name), Path: ".spec.publishNotReadyAddresses", Value: "true"}},
		Remedies: finding.Remedies{Later: []finding.Remedy{{
			Text:    finding.Textf("let readiness decide; peers that must find each other early get a headless Service of their own", "readiness가 결정하게 합니다. 미리 서로를 찾아야 하는 구성원에게는 별도의 headless Service를 둡니다"),
			Command: "kubectl -n " + svc.Namespace + " patch service/" + svc.Name + ` --type=strategic -p '{"spec":{"publishNotReadyAddresses":false}}'`,
		}}},
	}
	if len(unready) > 0 {
		out.Severity, out.Since, out.Remedies.Now = finding.Warning, unreadySince(unready), out.Remedies.Later
		out.Remedies.Later = nil
		out.Title = finding.Format("%s: sends clients to pods that are not Ready (%s)", "%s: Ready가 아닌 Pod로 클라이언트의 연결을 보냅니다(%s)", finding.Verbatim(finding.Named(name)), finding.Pods(len(unready)))
		out.Evidence = append(out.Evidence, finding.Evidence{
			Source: finding.Named(subjectsOf(unready[:1])[0]), Path: ".status.conditions[Ready].status", Value: "False", At: finding.Timestamp(snapshot.NotReadySince(unready[0])),
		})
	}
	return out
}
