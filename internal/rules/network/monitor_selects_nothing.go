package network

import (
	"cmp"
	"fmt"
	"slices"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"

	"github.com/maek-dev/maek/api/maek/v1alpha1"
	"github.com/maek-dev/maek/internal/finding"
	"github.com/maek-dev/maek/internal/rule"
	"github.com/maek-dev/maek/internal/snapshot"
)

var _ = Catalog.Add(rule.Rule{
	Code:  "MonitorSelectsNothing",
	Title: finding.Text{EN: "monitor watches nothing", KO: "monitor가 감시하는 대상이 없습니다"},
	Doc: finding.Text{
		EN: "The selector of a ServiceMonitor or PodMonitor of the Prometheus operator matches no Service or pod in its namespaces: nothing is scraped, and no alert tells, for what is not scraped has no metrics. " +
			"Where something near carries the same labels with other values, or the monitor's name, it is named and it is a warning; else a remark: what is to be watched may not be installed. " +
			"Left alone: monitors that were just made, and pods that run to an end.",
		KO: "Prometheus operator의 ServiceMonitor나 PodMonitor의 selector와 일치하는 Service나 Pod가 없어 metric이 수집되지 않습니다. 수집되지 않으면 경보도 울리지 않습니다. " +
			"같은 레이블 키에 다른 값을 가졌거나 이름이 같은 대상이 있으면 그 이름을 알리고 warning으로, 없으면 감시 대상이 아직 설치되지 않았을 수 있어 참고로 알립니다. 방금 만든 monitor와 끝난 Pod는 제외합니다.",
	},
	Link:            "https://prometheus-operator.dev/docs/developer/getting-started/#using-servicemonitors",
	Severity:        finding.Warning,
	Needs:           []rule.Need{rule.Whole[*corev1.Service](), rule.Whole[*corev1.Pod]()},
	CustomResources: true,
	For:             10 * time.Minute,
	Detect:          monitorSelectsNothing,
})

func monitorSelectsNothing(p *rule.Pass) {
	var services, pods map[string][]metav1.Object
	for _, r := range p.CustomResources() {
		if r.Selects == nil || r.DeletionTimestamp != nil {
			continue
		}
		if services == nil {
			services, pods = byNamespace[*corev1.Service](p.Snapshot), byNamespace[*corev1.Pod](p.Snapshot)
		}
		of := services
		if r.Kind.Kind == "PodMonitor" {
			of = pods
		}
		selector, err := metav1.LabelSelectorAsSelector(&r.Selects.Labels)
		if err != nil || selector.Empty() {
			continue
		}
		var near metav1.Object
		var differing string
		matched := false
		for _, namespace := range watched(r, of) {
			if matched {
				break
			}
			for _, o := range of[namespace] {
				if selector.Matches(labels.Set(o.GetLabels())) {
					matched = true
					break
				}
				if key, ok := resembles(r, o); ok && near == nil {
					near, differing = o, key
				}
			}
		}
		if !matched {
			p.Report(blindMonitor(r, near, differing))
		}
	}
}

// byNamespace lists objects by namespace, without pods that have run to their end.
func byNamespace[T snapshot.Object](s *snapshot.Snapshot) map[string][]metav1.Object {
	out := map[string][]metav1.Object{}
	for _, o := range snapshot.List[T](s) {
		if pod, ok := any(o).(*corev1.Pod); ok && snapshot.PodDone(pod) {
			continue
		}
		out[o.GetNamespace()] = append(out[o.GetNamespace()], o)
	}
	return out
}

// watched are the namespaces that a monitor looks in, sorted.
func watched(r *snapshot.CustomResource, of map[string][]metav1.Object) []string {
	switch {
	case r.Selects.Anywhere:
		var all []string
		for namespace := range of {
			all = append(all, namespace)
		}
		slices.Sort(all)
		return all
	case len(r.Selects.Namespaces) > 0:
		return r.Selects.Namespaces
	default:
		return []string{r.Namespace}
	}
}

// resembles tells whether an object is most likely what a monitor means: it has the monitor's name, or
// the value that the monitor asks for as its own name, or carries the monitor's name as a label. The key
// is that of a label in which it differs, where it has one.
func resembles(r *snapshot.CustomResource, o metav1.Object) (key string, ok bool) {
	set := o.GetLabels()
	for k, v := range r.Selects.Labels.MatchLabels {
		if has, there := set[k]; there && has != v && (o.GetName() == r.Name || o.GetName() == v || has == r.Name) {
			if key == "" || k < key {
				key = k
			}
		}
	}
	return key, key != "" || o.GetName() == r.Name
}

func blindMonitor(r *snapshot.CustomResource, near metav1.Object, key string) finding.Finding {
	subject := r.Subject()
	selector := metav1.FormatLabelSelector(&r.Selects.Labels)
	written := finding.Later(r.CreationTimestamp.Time, snapshot.SpecWritten(r))
	what, resource := "Service", "services"
	if r.Kind.Kind == "PodMonitor" {
		what, resource = "Pod", "pods"
	}
	f := finding.Finding{
		Subject: subject, Mechanism: v1alpha1.MechanismMisconfigured, Field: ".spec.selector", Since: written, Severity: finding.Info,
		Title:    finding.Textf("%s: watches nothing, no %s carries %s", "%s: 감시하는 대상이 없습니다. 레이블이 일치하는 %s가 없습니다(%s)", finding.Named(subject), what, selector),
		Why:      finding.Textf("no %s in its namespaces carries these labels, so nothing is scraped and no alert can tell", "해당 namespace에 이 레이블을 가진 %s가 없어 metric이 수집되지 않고 경보도 울릴 수 없습니다", what),
		Evidence: []finding.Evidence{{Source: finding.Named(subject), Path: ".spec.selector", Value: selector, At: finding.Timestamp(written)}},
		Remedies: finding.Remedies{Now: []finding.Remedy{{
			Text:    finding.Text{EN: "see which labels there are, and correct the selector", KO: "레이블을 확인하고 selector를 바로잡습니다"},
			Command: fmt.Sprintf("kubectl -n %s get %s --show-labels", cmp.Or(slices.Concat(r.Selects.Namespaces, []string{r.Namespace})...), resource),
		}}},
	}
	if near == nil {
		return f
	}
	f.Severity = finding.Warning
	name := what + " " + near.GetNamespace() + "/" + near.GetName()
	carries := labels.Set(near.GetLabels()).String()
	if key != "" {
		carries = key + "=" + near.GetLabels()[key]
	}
	f.Why = finding.Join("; ", finding.Textf("it most likely means %s, which carries %s", "의도한 대상은 %s로 보이며 레이블은 %s입니다", name, carries), f.Why)
	f.Evidence = append(f.Evidence, finding.Evidence{Source: name, Path: ".metadata.labels", Value: labels.Set(near.GetLabels()).String()})
	return f
}
