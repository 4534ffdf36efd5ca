package workload

import (
	"fmt"
	"regexp"

	appsv1 "k8s.io/api/apps/v1"
	autoscalingv2 "k8s.io/api/autoscaling/v2"
	corev1 "k8s.io/api/core/v1"

	"github.com/maek-dev/maek/internal/finding"
	"github.com/maek-dev/maek/internal/snapshot"
)

// hpa is a HorizontalPodAutoscaler's type, whose name is long.
type hpa = autoscalingv2.HorizontalPodAutoscaler

func hpaCondition(h *hpa, t autoscalingv2.HorizontalPodAutoscalerConditionType) *autoscalingv2.HorizontalPodAutoscalerCondition {
	for i := range h.Status.Conditions {
		if h.Status.Conditions[i].Type == t {
			return &h.Status.Conditions[i]
		}
	}
	return nil
}

// targetOf names what an autoscaler scales.
func targetOf(h *hpa) finding.Subject {
	ref := h.Spec.ScaleTargetRef
	return finding.Subject{Kind: ref.Kind, Namespace: h.Namespace, Name: ref.Name}
}

// targetTemplate returns the pod template of a target of the kinds of Kubernetes itself, and whether
// it exists; known is false where that cannot be told.
func targetTemplate(s *snapshot.Snapshot, target finding.Subject) (template *corev1.PodTemplateSpec, exists, known bool) {
	switch target.Kind {
	case "Deployment":
		known = s.Coverage(snapshot.KindOf[*appsv1.Deployment]()).Known()
		if d, ok := snapshot.Get[*appsv1.Deployment](s, target.Namespace, target.Name); ok {
			return &d.Spec.Template, true, true
		}
	case "StatefulSet":
		known = s.Coverage(snapshot.KindOf[*appsv1.StatefulSet]()).Known()
		if set, ok := snapshot.Get[*appsv1.StatefulSet](s, target.Namespace, target.Name); ok {
			return &set.Spec.Template, true, true
		}
	}
	return nil, false, known
}

// missingRequest matches what the autoscaler says of a container without a request
// (k8s.io/kubernetes/pkg/controller/podautoscaler, replica_calculator.go: calculatePodRequests).
var missingRequest = regexp.MustCompile(`missing request for (\S+) in container (\S+) of Pod (\S+)`)

// withoutRequest returns the containers of a template that ask for none of a resource.
func withoutRequest(t *corev1.PodTemplateSpec, resource corev1.ResourceName) []string {
	if t == nil {
		return nil
	}
	var out []string
	for _, c := range t.Spec.Containers {
		_, asks := c.Resources.Requests[resource]
		_, limited := c.Resources.Limits[resource] // A limit without a request is a request too.
		if !asks && !limited {
			out = append(out, c.Name)
		}
	}
	return out
}

// metricAPIs are the aggregated APIs that an autoscaler reads its metrics from, by the words with which
// its messages name them (k8s.io/kubernetes/pkg/controller/podautoscaler/metrics, client.go), and the
// APIServices that stand for them.
var metricAPIs = []struct {
	words   string
	group   string
	service []string
}{
	{"resource metrics API", "metrics.k8s.io", []string{"v1beta1.metrics.k8s.io"}},
	{"custom metrics API", "custom.metrics.k8s.io", []string{"v1beta2.custom.metrics.k8s.io", "v1beta1.custom.metrics.k8s.io"}},
	{"external metrics API", "external.metrics.k8s.io", []string{"v1beta1.external.metrics.k8s.io"}},
}

// hpaCommand describes an autoscaler.
func hpaCommand(h *hpa) finding.Remedy {
	return finding.Remedy{
		Text:    finding.Text{EN: "see its conditions and events", KO: "condition과 이벤트를 확인합니다"},
		Command: fmt.Sprintf("kubectl -n %s describe horizontalpodautoscaler %s", h.Namespace, h.Name),
	}
}

// setRequests asks for a request in the workload that runs the pods. How large it must be is not known.
func setRequests(target finding.Subject, container, resource string) finding.Remedy {
	return finding.Remedy{
		Text: finding.Textf("give container %s a request for %s, about what one pod uses under normal load: utilization is a share of it",
			"컨테이너 %s에 평소 사용량에 맞는 %s request를 지정합니다. 사용률은 request 대비 비율로 계산됩니다", container, resource),
		Command: fmt.Sprintf("kubectl -n %s edit %s", target.Namespace, argument(target)),
	}
}
