package network

import (
	"encoding/json"
	"maps"
	"slices"
	"strings"

	appsv1 "k8s.io/api/apps/v1"
	batchv1 "k8s.io/api/batch/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/maek-dev/maek/internal/finding"
	"github.com/maek-dev/maek/internal/rule"
	"github.com/maek-dev/maek/internal/snapshot"
)

// template is a kind of pods that a workload makes.
type template struct {
	workload finding.Subject
	labels   map[string]string
	// wanted is the number of pods that ought to be there all the time; none for what runs to an end.
	wanted int
}

// templateKinds are what templates reads.
func templateKinds() []rule.Need {
	return []rule.Need{
		rule.Optional[*appsv1.Deployment](), rule.Optional[*appsv1.StatefulSet](), rule.Optional[*appsv1.DaemonSet](),
		rule.Optional[*appsv1.ReplicaSet](), rule.Optional[*batchv1.Job](), rule.Optional[*batchv1.CronJob](),
	}
}

// templates returns, by namespace, the kinds of pods that workloads make.
func templates(p *rule.Pass) map[string][]template {
	out := map[string][]template{}
	add := func(o snapshot.Object, labels map[string]string, wanted int) {
		if o.GetDeletionTimestamp() == nil {
			out[o.GetNamespace()] = append(out[o.GetNamespace()], template{snapshot.SubjectOf(o), labels, wanted})
		}
	}
	for _, d := range snapshot.List[*appsv1.Deployment](p.Snapshot) {
		add(d, d.Spec.Template.Labels, snapshot.Replicas(d.Spec.Replicas))
	}
	for _, s := range snapshot.List[*appsv1.StatefulSet](p.Snapshot) {
		add(s, s.Spec.Template.Labels, snapshot.Replicas(s.Spec.Replicas))
	}
	for _, d := range snapshot.List[*appsv1.DaemonSet](p.Snapshot) {
		add(d, d.Spec.Template.Labels, int(d.Status.DesiredNumberScheduled))
	}
	for _, r := range snapshot.List[*appsv1.ReplicaSet](p.Snapshot) {
		// One of a Deployment is told by that; of other controllers, such as Argo's Rollouts, it is all
		// that is known.
		if ref := metav1.GetControllerOfNoCopy(r); ref == nil || ref.Kind != "Deployment" {
			add(r, r.Spec.Template.Labels, snapshot.Replicas(r.Spec.Replicas))
		}
	}
	for _, j := range snapshot.List[*batchv1.Job](p.Snapshot) {
		add(j, j.Spec.Template.Labels, 0)
	}
	for _, c := range snapshot.List[*batchv1.CronJob](p.Snapshot) {
		add(c, c.Spec.JobTemplate.Spec.Template.Labels, 0)
	}
	return out
}

// templatesKnown tells whether a workload that templates does not return does not exist.
func templatesKnown(p *rule.Pass) bool {
	return !slices.ContainsFunc(templateKinds(), func(n rule.Need) bool { return !p.Coverage(n.Kind).Known() })
}

// nearest returns the workload that a selector most likely means and misses: one that carries some
// of its labels, or the Service's name; the more of them, the nearer.
func nearest(all []template, service string, selector map[string]string) (template, bool) {
	score := func(t template) int {
		n := 0
		for k, v := range selector {
			if t.labels[k] == v {
				n += 2
			}
		}
		if t.workload.Name == service {
			n++
		}
		return n
	}
	best := template{}
	for _, t := range all {
		if len(t.labels) > 0 && t.wanted > 0 && score(t) > max(0, score(best)) {
			best = t
		}
	}
	return best, best.workload.Name != ""
}

// differing returns the labels of a selector that a template does not carry, sorted.
func differing(selector, labels map[string]string) []string {
	var keys []string
	for k, v := range selector {
		if labels[k] != v {
			keys = append(keys, k)
		}
	}
	slices.Sort(keys)
	return keys
}

// tellLabels says what labels hold for keys.
func tellLabels(labels map[string]string, keys []string) finding.Text {
	var texts []finding.Text
	for _, k := range keys {
		if v, ok := labels[k]; ok {
			texts = append(texts, finding.Verbatim(k+"="+v))
		} else {
			texts = append(texts, finding.Textf("no %s", "%s 없음", k))
		}
	}
	return finding.Join(", ", texts...)
}

// written writes labels as kubectl takes them, sorted.
func written(labels map[string]string) string {
	var out []string
	for _, k := range slices.Sorted(maps.Keys(labels)) {
		out = append(out, k+"="+labels[k])
	}
	return strings.Join(out, ",")
}

// selectorPatch is a merge patch that turns the labels in which a selector differs from a template
// into the template's.
func selectorPatch(labels map[string]string, keys []string) string {
	selector := map[string]string{}
	for _, k := range keys {
		selector[k] = labels[k]
	}
	data, err := json.Marshal(map[string]any{"spec": map[string]any{"selector": selector}})
	if err != nil {
		return ""
	}
	return string(data)
}
