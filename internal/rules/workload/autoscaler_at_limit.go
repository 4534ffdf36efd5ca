package workload

import (
	"fmt"
	"time"

	autoscalingv2 "k8s.io/api/autoscaling/v2"
	corev1 "k8s.io/api/core/v1"

	"github.com/maek-dev/maek/api/maek/v1alpha1"
	"github.com/maek-dev/maek/internal/finding"
	"github.com/maek-dev/maek/internal/rule"
	"github.com/maek-dev/maek/internal/snapshot"
)

var _ = Catalog.Add(rule.Rule{
	Code:  "AutoscalerAtLimit",
	Title: finding.Text{EN: "autoscaler wants more pods than it may", KO: "autoscaler가 허용된 최대 개수보다 많은 Pod를 필요로 합니다"},
	Doc: finding.Text{
		EN: "A HorizontalPodAutoscaler has been at its maximum for fifteen minutes and its metrics call for more. Worth knowing, and a warning where a " +
			"metric is at twice its target or more, for then the pods are overrun. Left alone: short peaks, autoscalers whose minimum is their maximum, " +
			"and those that are at their maximum without wanting more.",
		KO: "HorizontalPodAutoscaler가 15분 동안 최대 개수에 머물러 있고 metric은 더 많은 Pod를 요구합니다. metric이 목표의 두 배 이상이면 Pod가 감당하지 못하는 상태이므로 warning으로 알립니다. " +
			"짧은 부하 증가, 최소와 최대가 같은 autoscaler, 최대 개수이지만 더 필요하지 않은 경우는 제외합니다.",
	},
	Link:     "https://kubernetes.io/docs/tasks/run-application/horizontal-pod-autoscale/#algorithm-details",
	Severity: finding.Info, Gravest: finding.Warning,
	Needs:  []rule.Need{rule.Any[*autoscalingv2.HorizontalPodAutoscaler]()},
	For:    15 * time.Minute,
	Detect: autoscalerAtLimit,
})

// overrun is how far above its target a metric must be, as a factor, for pods to count as overrun: half
// of the pods that the load calls for are not there.
const overrun = 2

func autoscalerAtLimit(p *rule.Pass) {
	for _, h := range snapshot.List[*autoscalingv2.HorizontalPodAutoscaler](p.Snapshot) {
		c := hpaCondition(h, autoscalingv2.ScalingLimited)
		// k8s.io/kubernetes/pkg/controller/podautoscaler, convertDesiredReplicasWithBehaviorRate.
		if c == nil || c.Status != corev1.ConditionTrue || c.Reason != "TooManyReplicas" || h.DeletionTimestamp != nil ||
			(h.Spec.MinReplicas != nil && *h.Spec.MinReplicas >= h.Spec.MaxReplicas) || h.Status.CurrentReplicas < h.Spec.MaxReplicas {
			continue
		}
		subject, target := snapshot.SubjectOf(h), targetOf(h)
		f := finding.Finding{
			Subject: subject, Mechanism: v1alpha1.MechanismExhausted, Field: ".spec.maxReplicas", Since: c.LastTransitionTime.Time,
			Title: finding.Textf("%s: at its maximum of %d pods, and wants more", "%s: 최대 개수인 Pod %d개에 도달했으며 더 필요합니다", finding.Named(subject), h.Spec.MaxReplicas),
			Why:   quoted(c.Message),
			Evidence: []finding.Evidence{{
				Source: finding.Named(subject), Path: ".status.conditions[ScalingLimited].reason", Value: c.Reason, At: finding.Timestamp(c.LastTransitionTime.Time),
			}},
			Remedies: finding.Remedies{
				Now: []finding.Remedy{hpaCommand(h), {
					Text:    finding.Text{EN: "raise the maximum, if the Nodes have room", KO: "Node에 여유가 있으면 최대 개수를 늘립니다"},
					Command: fmt.Sprintf("kubectl -n %s edit horizontalpodautoscaler %s", h.Namespace, h.Name),
				}},
			},
		}
		if name, current, wanted, ok := hottest(h); ok {
			f.Why = finding.Join("; ", finding.Textf("%s is at %d%% and its target is %d%%", "%s 사용률이 %d%%이며 목표는 %d%%입니다", name, current, wanted), f.Why)
			f.Evidence = append(f.Evidence, finding.Evidence{
				Source: finding.Named(subject), Path: fmt.Sprintf(".status.currentMetrics[%s].averageUtilization", name), Value: fmt.Sprintf("%d (target %d)", current, wanted),
			})
			if current >= overrun*wanted {
				f.Severity = finding.Warning
			}
		}
		f.Remedies.Later = []finding.Remedy{{Text: finding.Textf("watch how often %s is at its maximum, before it is there in an outage", "%s가 최대 개수에 머무는 시간을 평소에 관찰하십시오", finding.Named(target))}}
		p.Report(f)
	}
}

// hottest returns the resource whose utilization is farthest above its target, in percent of what the
// containers request.
func hottest(h *hpa) (name corev1.ResourceName, current, target int32, ok bool) {
	for _, m := range h.Status.CurrentMetrics {
		if m.Resource == nil || m.Resource.Current.AverageUtilization == nil {
			continue
		}
		for _, spec := range h.Spec.Metrics {
			if spec.Resource == nil || spec.Resource.Name != m.Resource.Name || spec.Resource.Target.AverageUtilization == nil {
				continue
			}
			c, t := *m.Resource.Current.AverageUtilization, *spec.Resource.Target.AverageUtilization
			if t > 0 && (!ok || int64(c)*int64(target) > int64(current)*int64(t)) {
				name, current, target, ok = m.Resource.Name, c, t, true
			}
		}
	}
	return name, current, target, ok
}
