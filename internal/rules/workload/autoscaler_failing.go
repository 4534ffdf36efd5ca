package workload

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	appsv1 "k8s.io/api/apps/v1"
	autoscalingv2 "k8s.io/api/autoscaling/v2"
	corev1 "k8s.io/api/core/v1"
	apiregistrationv1 "k8s.io/kube-aggregator/pkg/apis/apiregistration/v1"

	"github.com/maek-dev/maek/api/maek/v1alpha1"
	"github.com/maek-dev/maek/internal/finding"
	"github.com/maek-dev/maek/internal/rule"
	"github.com/maek-dev/maek/internal/snapshot"
)

var _ = Catalog.Add(rule.Rule{
	Code:  "AutoscalerFailing",
	Title: finding.Text{EN: "autoscaler does not scale", KO: "autoscaler가 동작하지 않습니다"},
	Doc: finding.Text{
		EN: "A HorizontalPodAutoscaler cannot do its work: what it scales does not exist, its metrics cannot be had (no metrics API, or one that fails), " +
			"a container lacks the request that utilization is counted from, or its selector is shared with another autoscaler. The pods go on as many " +
			"as they are. Left alone: autoscalers of targets that people scaled to zero, and the first minutes of new pods, which have no metrics yet.",
		KO: "HorizontalPodAutoscaler가 동작하지 못합니다. 스케일 대상이 없거나, metric을 얻을 수 없거나(metrics API 없음 또는 장애), 사용률 계산에 필요한 request가 컨테이너에 없거나, " +
			"다른 autoscaler와 selector가 겹치는 경우입니다. Pod는 현재 개수 그대로 유지됩니다. 대상을 사람이 0으로 줄인 경우와 아직 metric이 없는 새 Pod의 처음 몇 분은 제외합니다.",
	},
	Link:     "https://kubernetes.io/docs/tasks/run-application/horizontal-pod-autoscale/",
	Severity: finding.Warning,
	Needs: []rule.Need{
		rule.Any[*autoscalingv2.HorizontalPodAutoscaler](), rule.Optional[*appsv1.Deployment](), rule.Optional[*appsv1.StatefulSet](),
		rule.Optional[*apiregistrationv1.APIService](),
	},
	For:     5 * time.Minute,
	Symptom: true,
	Causes: []rule.Cause{
		{Code: "ControllerManagerDown", Via: rule.Cluster, Holds: neverJudgedByAutoscaler},
	},
	Detect: autoscalerFailing,
})

// neverJudgedByAutoscaler holds a dead controller manager against an autoscaler of which it has said nothing.
func neverJudgedByAutoscaler(s *snapshot.Snapshot, effect, _ finding.Finding) bool {
	h, ok := snapshot.Get[*autoscalingv2.HorizontalPodAutoscaler](s, effect.Subject.Namespace, effect.Subject.Name)
	return ok && len(h.Status.Conditions) == 0
}

func autoscalerFailing(p *rule.Pass) {
	absent := map[string][]finding.Finding{}
	for _, h := range snapshot.List[*autoscalingv2.HorizontalPodAutoscaler](p.Snapshot) {
		if h.DeletionTimestamp != nil {
			continue
		}
		for _, t := range []autoscalingv2.HorizontalPodAutoscalerConditionType{autoscalingv2.AbleToScale, autoscalingv2.ScalingActive} {
			// ScalingDisabled: people scaled the target to zero.
			if c := hpaCondition(h, t); c != nil && c.Status == corev1.ConditionFalse && c.Reason != "ScalingDisabled" {
				f := hpaFails(p, h, c)
				p.Report(f)
				if api, ok := absentAPI(f); ok {
					absent[api] = append(absent[api], f)
				}
				break
			}
		}
	}
	for _, api := range slices.Sorted(maps.Keys(absent)) {
		p.Report(apiAbsent(api, absent[api]))
	}
}

// absentAPI returns the APIService that an autoscaler would read its metrics from and that does not
// exist; false where that is not what it suffers from.
func absentAPI(f finding.Finding) (string, bool) {
	if f.Mechanism != v1alpha1.MechanismMissing || len(f.WaitsFor) == 0 {
		return "", false
	}
	return f.WaitsFor[0].Name, true
}

// apiAbsent tells once that a metrics API does not exist: every autoscaler that reads it waits for it.
func apiAbsent(api string, autoscalers []finding.Finding) finding.Finding {
	subject := apiService(api)
	f := finding.Finding{
		Subject: subject, Mechanism: v1alpha1.MechanismMissing,
		Title:    finding.Textf("%s: does not exist, and autoscalers read their metrics from it", "%s: 존재하지 않아 autoscaler가 metric을 읽지 못합니다", finding.Named(subject)),
		Evidence: []finding.Evidence{{Source: finding.Named(subject), Path: ".", Value: "(does not exist)"}},
		Remedies: finding.Remedies{Now: []finding.Remedy{{
			Text:    finding.Text{EN: "see which metrics APIs there are, and install what serves this one", KO: "등록된 metrics API를 확인하고 필요한 구성 요소를 설치합니다"},
			Command: "kubectl get apiservices",
		}}},
	}
	var names []string
	for _, a := range autoscalers {
		names = append(names, finding.Qualified(a.Subject))
		f.Since = finding.Earlier(f.Since, a.Since)
	}
	f.Why = finding.Format("nothing in the cluster serves it, and these cannot scale: %s", "클러스터에 이 API를 제공하는 구성 요소가 없어 다음 autoscaler가 동작하지 못합니다: %s", finding.List(names))
	return f
}

func apiService(name string) finding.Subject { return finding.Subject{Kind: "APIService", Name: name} }

func hpaFails(p *rule.Pass, h *hpa, c *autoscalingv2.HorizontalPodAutoscalerCondition) finding.Finding {
	subject, target := snapshot.SubjectOf(h), targetOf(h)
	f := finding.Finding{
		Subject: subject, Mechanism: v1alpha1.MechanismFailing, Since: c.LastTransitionTime.Time,
		Title: finding.Textf("%s: does not scale %s", "%s: 스케일 대상 %s의 Pod 수를 조절하지 못합니다", finding.Named(subject), finding.Named(target)),
		Evidence: []finding.Evidence{{
			Source: finding.Named(subject), Path: fmt.Sprintf(".status.conditions[%s].message", c.Type),
			Value: finding.Quote(c.Reason + ": " + c.Message), At: finding.Timestamp(c.LastTransitionTime.Time),
		}},
	}
	said := finding.Join(": ", finding.Verbatim(c.Reason), quoted(c.Message))
	template, exists, known := targetTemplate(p.Snapshot, target)
	switch {
	case c.Reason == "FailedGetScale" && known && !exists:
		f.Mechanism, f.Field = v1alpha1.MechanismMissing, ".spec.scaleTargetRef"
		f.Why = finding.Join("; ", finding.Textf("%s does not exist", "%s가 존재하지 않습니다", finding.Named(target)), said)
		f.Remedies.Now = []finding.Remedy{hpaCommand(h), {
			Text:    finding.Text{EN: "correct what it scales, or delete it with its workload", KO: "스케일 대상을 바로잡거나, 워크로드와 함께 삭제합니다"},
			Command: fmt.Sprintf("kubectl -n %s edit horizontalpodautoscaler %s", h.Namespace, h.Name),
		}}
		return f
	case c.Reason == "InvalidSelector", c.Reason == "AmbiguousSelector", c.Reason == "InvalidMetricSourceType":
		f.Mechanism, f.Field = v1alpha1.MechanismMisconfigured, ".spec"
	case lacksRequest(&f, h, template, target, c.Message):
	case strings.Contains(c.Message, "no metrics returned from"), strings.Contains(c.Message, "did not receive metrics for targeted pods"),
		strings.Contains(c.Message, "no pods returned by selector"):
		// The API answers; of pods that do not run, or on a node that nobody reaches, there is nothing to tell.
		f.Mechanism = v1alpha1.MechanismDegraded
		f.WaitsFor = []finding.Subject{target}
	case strings.Contains(c.Message, "metrics API"):
		tellMetricsAPI(p, &f, c.Message)
	}
	f.Why = finding.Join("; ", f.Why, said)
	if !strings.HasPrefix(c.Reason, "FailedGet") || len(f.Remedies.Now) == 0 {
		f.Remedies.Now = append([]finding.Remedy{hpaCommand(h)}, f.Remedies.Now...)
	}
	return f
}

// lacksRequest tells of the containers without the request that utilization is counted from, if that
// is what the autoscaler complains of.
func lacksRequest(f *finding.Finding, h *hpa, template *corev1.PodTemplateSpec, target finding.Subject, message string) bool {
	m := missingRequest.FindStringSubmatch(message)
	if m == nil {
		return false
	}
	resource, containers := m[1], []string{m[2]}
	if all := withoutRequest(template, corev1.ResourceName(resource)); len(all) > 0 {
		containers = all
	}
	f.Mechanism = v1alpha1.MechanismMisconfigured
	f.Field = containerField(target, containers[0], false, ".resources.requests."+resource)
	f.Why = finding.Format("utilization of %s is a share of what containers request, and these request none: %s",
		"%s 사용률은 컨테이너 request 대비 비율인데, 다음 컨테이너에는 request가 없습니다: %s", finding.Verbatim(resource), finding.List(containers))
	f.Evidence = append(f.Evidence, finding.Evidence{Source: finding.Named(target), Path: f.Field, Value: "(none)"})
	for _, c := range containers {
		f.Remedies.Now = append(f.Remedies.Now, setRequests(target, c, resource))
	}
	f.Remedies.Later = []finding.Remedy{{
		Text: finding.Text{
			EN: "let a LimitRange give containers a default request", KO: "LimitRange로 컨테이너의 기본 request를 지정하십시오",
		},
		Command: fmt.Sprintf("kubectl -n %s get limitranges", h.Namespace),
	}}
	return true
}

// tellMetricsAPI tells of a metrics API that is not there or does not answer.
func tellMetricsAPI(p *rule.Pass, f *finding.Finding, message string) {
	for _, api := range metricAPIs {
		if !strings.Contains(message, api.words) {
			continue
		}
		there := false
		for _, name := range api.service {
			s, ok := snapshot.Get[*apiregistrationv1.APIService](p.Snapshot, "", name)
			if !ok {
				continue
			}
			there = true
			subject := snapshot.SubjectOf(s)
			f.WaitsFor = append(f.WaitsFor, subject)
			if backend := s.Spec.Service; backend != nil {
				f.WaitsFor = append(f.WaitsFor, finding.Subject{Kind: "Service", Namespace: backend.Namespace, Name: backend.Name})
			}
			for _, c := range s.Status.Conditions {
				if c.Type == apiregistrationv1.Available && c.Status == apiregistrationv1.ConditionFalse {
					f.Evidence = append(f.Evidence, finding.Evidence{
						Source: finding.Named(subject), Path: ".status.conditions[Available].message",
						Value: finding.Quote(c.Reason + ": " + c.Message), At: finding.Timestamp(c.LastTransitionTime.Time),
					})
				}
			}
		}
		if !there && p.Coverage(snapshot.KindOf[*apiregistrationv1.APIService]()).Known() {
			f.Mechanism = v1alpha1.MechanismMissing
			f.Why = finding.Textf("nothing in the cluster serves %s", "클러스터에 %s를 제공하는 구성 요소가 없습니다", api.group)
			f.WaitsFor = []finding.Subject{apiService(api.service[0])}
		}
		f.Remedies.Now = append(f.Remedies.Now, finding.Remedy{
			Text:    finding.Text{EN: "see whether the metrics API is there and answers", KO: "metrics API가 있고 응답하는지 확인합니다"},
			Command: "kubectl get apiservices " + api.service[0],
		})
		return
	}
}
