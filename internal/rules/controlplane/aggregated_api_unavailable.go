package controlplane

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
	"time"

	autoscalingv2 "k8s.io/api/autoscaling/v2"
	corev1 "k8s.io/api/core/v1"
	apiregistrationv1 "k8s.io/kube-aggregator/pkg/apis/apiregistration/v1"

	"github.com/maek-dev/maek/api/maek/v1alpha1"
	"github.com/maek-dev/maek/internal/finding"
	"github.com/maek-dev/maek/internal/rule"
	"github.com/maek-dev/maek/internal/snapshot"
)

var _ = Catalog.Add(rule.Rule{
	Code:  "AggregatedAPIUnavailable",
	Title: finding.Text{EN: "aggregated API is not available", KO: "aggregated API를 사용할 수 없습니다"},
	Doc: finding.Text{
		EN: "An APIService hands a group of the API on to a Service in the cluster, and the API server cannot reach it: the Service is gone, has no endpoint, or does not answer the discovery check. Beyond that group itself it " +
			"harms everybody who asks for all groups: no namespace can finish its deletion, the garbage collector leaves out the group, and autoscalers that read its metrics stand still. APIServices of the API server's own are " +
			"left alone, and so are the moments of a rolling update.",
		KO: "APIService는 API group 하나를 클러스터 안의 Service에 넘기는데, API server가 그 Service에 연결하지 못합니다. Service가 없거나 endpoint가 없거나 discovery 점검에 응답하지 않는 경우입니다. 그 group뿐 아니라 모든 group을 조회하는 " +
			"동작에 영향을 줍니다. namespace 삭제가 끝나지 않고, garbage collector가 그 group을 건너뛰며, 그 metric을 읽는 autoscaler가 멈춥니다. API server 자체의 APIService와 rolling update 중의 짧은 중단은 제외합니다.",
	},
	Link:     "https://kubernetes.io/docs/concepts/extend-kubernetes/api-extension/apiserver-aggregation/",
	Severity: finding.Warning,
	Needs: append(rule.Owners(), rule.Any[*apiregistrationv1.APIService](), rule.Optional[*corev1.Service](), rule.Optional[*corev1.Pod](),
		rule.Optional[*corev1.Namespace](), rule.Optional[*autoscalingv2.HorizontalPodAutoscaler]()),
	For:    time.Minute,
	Causes: []rule.Cause{{Code: "CertificateExpired", Via: rule.Itself}, {Code: "PodNetworkBroken", Via: rule.Cluster, Holds: cutsFromBackend}},
	Detect: detectAggregatedAPIUnavailable,
})

// aggregatedFaults are the reasons for which an APIService is not available
// (k8s.io/kube-aggregator/pkg/controllers/status/remote/remote_available_controller.go, sync).
var aggregatedFaults = map[string]finding.Mechanism{
	"ServiceNotFound":      v1alpha1.MechanismMissing,
	"ServicePortError":     v1alpha1.MechanismMisconfigured,
	"EndpointsNotFound":    v1alpha1.MechanismStopped,
	"MissingEndpoints":     v1alpha1.MechanismStopped,
	"FailedDiscoveryCheck": v1alpha1.MechanismFailing,
}

func detectAggregatedAPIUnavailable(p *rule.Pass) {
	for _, api := range snapshot.List[*apiregistrationv1.APIService](p.Snapshot) {
		i := slices.IndexFunc(api.Status.Conditions, func(c apiregistrationv1.APIServiceCondition) bool { return c.Type == apiregistrationv1.Available })
		if api.Spec.Service == nil || i < 0 || api.Status.Conditions[i].Status == apiregistrationv1.ConditionTrue {
			continue
		}
		p.Report(unavailable(p, api, api.Status.Conditions[i]))
	}
}

func unavailable(p *rule.Pass, api *apiregistrationv1.APIService, c apiregistrationv1.APIServiceCondition) finding.Finding {
	service := finding.Subject{Kind: "Service", Namespace: api.Spec.Service.Namespace, Name: api.Spec.Service.Name}
	group := api.Spec.Group + "/" + api.Spec.Version
	f := finding.Finding{
		Subject: snapshot.SubjectOf(api), Mechanism: cmp.Or(aggregatedFaults[c.Reason], v1alpha1.MechanismFailing), Since: c.LastTransitionTime.Time,
		Title: finding.Textf("%s: the API server cannot reach %s (%s)", "%s: API server가 %s에 연결하지 못합니다(%s)", api.Name, finding.Named(service), c.Reason),
		Evidence: []finding.Evidence{{
			Source: finding.Named(snapshot.SubjectOf(api)), Path: ".status.conditions[Available]", Value: finding.Quote(fmt.Sprintf("%s, %s: %s", c.Status, c.Reason, c.Message)),
			At: finding.Timestamp(c.LastTransitionTime.Time),
		}},
		WaitsFor: append(behindService(p, service), service, finding.Subject{Kind: "Namespace", Name: service.Namespace}),
	}
	if f.Mechanism == v1alpha1.MechanismMissing || f.Mechanism == v1alpha1.MechanismMisconfigured {
		f.Field = ".spec.service"
	}
	stuck := stuckNamespaces(p, group, &f)
	scalers := blindScalers(p, api.Spec.Group, &f)
	f.Why = finding.Join(" ", finding.Textf("Its group %s is served by %s, of which the API server says: %s.", "%[2]s가 %[1]s group을 제공하며 API server의 기록은 다음과 같습니다: %[3]s.", group, finding.Named(service), strings.TrimSuffix(finding.Quote(c.Message), ".")),
		finding.Text{
			EN: "Until it answers no namespace can finish its deletion and the garbage collector leaves out its kinds.",
			KO: "응답할 때까지 namespace 삭제가 끝나지 않고 garbage collector가 그 kind를 건너뜁니다.",
		}, stuck, scalers)
	f.Remedies = finding.Remedies{
		Now: []finding.Remedy{
			{
				Text:    finding.Text{EN: "see its Service and the pods behind it, and bring them back", KO: "Service와 그 뒤의 Pod를 확인하고 복구합니다"},
				Command: fmt.Sprintf("kubectl -n %s get service,endpointslices,pods -o wide", service.Namespace),
			},
			{
				Text:    finding.Text{EN: "if what it belonged to was removed for good: keep a copy and delete it", KO: "더 이상 사용하지 않는 구성 요소의 것이라면 사본을 남기고 삭제합니다"},
				Command: fmt.Sprintf("kubectl get apiservice %s -o yaml > %[1]s.yaml && kubectl delete apiservice %[1]s", api.Name),
			},
		},
		Later: []finding.Remedy{{Text: finding.Text{
			EN: "run two replicas of it with a PodDisruptionBudget, and remove the APIService together with its server",
			KO: "replica를 2개 이상 두고 PodDisruptionBudget을 설정하며, 서버를 제거할 때 APIService도 함께 제거합니다",
		}}},
	}
	return f
}

// resourceMetrics is the group of the metrics that autoscalers need for processor and memory, and that
// kubectl top shows; metrics-server serves it.
const resourceMetrics = "metrics.k8s.io"

// metricsOf is what an error about the group's metrics contains: "(get pods.metrics.k8s.io)". The
// groups of other metrics end in the same words.
func metricsOf(group string) string {
	if group == resourceMetrics {
		return "pods." + group
	}
	return "." + group
}

// behindService returns the pods that a Service selects and the workloads that they belong to.
func behindService(p *rule.Pass, service finding.Subject) []finding.Subject {
	svc, ok := snapshot.Get[*corev1.Service](p.Snapshot, service.Namespace, service.Name)
	if !ok {
		return nil
	}
	var out []finding.Subject
	for _, pod := range p.PodsSelected(svc.Namespace, svc.Spec.Selector) {
		out = append(out, snapshot.SubjectOf(pod), p.Workload(pod))
	}
	slices.SortFunc(out, finding.CompareSubjects)
	return slices.Compact(out)
}

// cutsFromBackend tells whether a break of the pod network lies on a machine, or on a direction from or to
// one, that runs a pod behind the Service: the API server asks such pods at their own addresses.
func cutsFromBackend(s *snapshot.Snapshot, effect, cause finding.Finding) bool {
	if effect.Mechanism != v1alpha1.MechanismFailing {
		return false // the Service or its endpoints are gone
	}
	if cause.Subject.Kind == "Network" {
		return true
	}
	return slices.ContainsFunc(effect.WaitsFor, func(waited finding.Subject) bool {
		pod, ok := snapshot.Get[*corev1.Pod](s, waited.Namespace, waited.Name)
		if waited.Kind != "Pod" || !ok {
			return false
		}
		from, to, _ := strings.Cut(cause.Subject.Name, " -> ")
		return pod.Spec.NodeName == from || pod.Spec.NodeName == to
	})
}

// stuckNamespaces claims the Namespaces whose deletion waits for discovery of the group
// (k8s.io/kubernetes/pkg/controller/namespace/deletion, NamespaceDeletionDiscoveryFailure).
func stuckNamespaces(p *rule.Pass, group string, f *finding.Finding) finding.Text {
	var names []string
	for _, ns := range snapshot.List[*corev1.Namespace](p.Snapshot) {
		i := slices.IndexFunc(ns.Status.Conditions, func(c corev1.NamespaceCondition) bool {
			return c.Type == corev1.NamespaceDeletionDiscoveryFailure && c.Status == corev1.ConditionTrue && strings.Contains(c.Message, group)
		})
		if ns.DeletionTimestamp == nil || i < 0 {
			continue
		}
		names = append(names, ns.Name)
		f.Explains = append(f.Explains, snapshot.SubjectOf(ns))
		if len(names) == 1 {
			f.Evidence = append(f.Evidence, finding.Evidence{
				Source: "Namespace " + ns.Name, Path: ".status.conditions[NamespaceDeletionDiscoveryFailure]", Value: finding.Quote(ns.Status.Conditions[i].Message),
				At: finding.Timestamp(ns.Status.Conditions[i].LastTransitionTime.Time),
			})
		}
	}
	if len(names) == 0 {
		return finding.Text{}
	}
	return finding.Format("Namespaces whose deletion waits for it: %s.", "이 때문에 삭제를 기다리는 namespace: %s.", finding.List(names))
}

// blindScalers claims the autoscalers that could not read metrics of the group.
func blindScalers(p *rule.Pass, group string, f *finding.Finding) finding.Text {
	var names []string
	for _, h := range snapshot.List[*autoscalingv2.HorizontalPodAutoscaler](p.Snapshot) {
		i := slices.IndexFunc(h.Status.Conditions, func(c autoscalingv2.HorizontalPodAutoscalerCondition) bool {
			return c.Type == autoscalingv2.ScalingActive && c.Status == corev1.ConditionFalse && strings.Contains(c.Message, metricsOf(group))
		})
		if i < 0 {
			continue
		}
		names = append(names, h.Namespace+"/"+h.Name)
		f.Explains = append(f.Explains, snapshot.SubjectOf(h))
		if len(names) == 1 {
			f.Evidence = append(f.Evidence, finding.Evidence{
				Source: "HorizontalPodAutoscaler " + names[0], Path: ".status.conditions[ScalingActive]", Value: finding.Quote(h.Status.Conditions[i].Message),
				At: finding.Timestamp(h.Status.Conditions[i].LastTransitionTime.Time),
			})
		}
	}
	if len(names) == 0 {
		return finding.Text{}
	}
	return finding.Format("Autoscalers that have no metrics because of it: %s.", "이 때문에 metric을 읽지 못하는 autoscaler: %s.", finding.List(names))
}
