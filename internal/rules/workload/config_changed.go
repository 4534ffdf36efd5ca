package workload

import (
	"slices"
	"time"

	corev1 "k8s.io/api/core/v1"

	"github.com/maek-dev/maek/internal/finding"
	"github.com/maek-dev/maek/internal/rule"
	"github.com/maek-dev/maek/internal/snapshot"
)

// configLately is how long before pods began to fail a change of what they read counts as just before:
// who edits a ConfigMap mostly restarts the pods right after.
const configLately = 15 * time.Minute

// configChanged names the ConfigMaps that a pod reads and that were changed just before its
// pods began to fail, with when and by whom; empty where there is none. That is no proof, but it is what
// people look for next when the template does not tell. Secrets are never listed.
func configChanged(p *rule.Pass, spec *corev1.PodSpec, namespace string, failed time.Time) finding.Text {
	if failed.IsZero() {
		return finding.Text{}
	}
	var texts []finding.Text
	tell := func(o snapshot.Object) {
		manager, at := snapshot.LastManager(o)
		created := o.GetCreationTimestamp()
		if at.IsZero() || at.Equal(created.Time) || at.After(failed) || failed.Sub(at) > configLately {
			return
		}
		texts = append(texts, finding.Textf("%s, which they read, was changed at %s by %q", "Pod가 읽는 %s가 변경되었습니다(%s, %q)",
			finding.Named(snapshot.SubjectOf(o)), finding.Clock(p.Now(), at), manager))
	}
	for _, name := range configMapsOf(spec) {
		if m, ok := snapshot.Get[*corev1.ConfigMap](p.Snapshot, namespace, name); ok {
			tell(m)
		}
	}
	return finding.Join("; ", texts...)
}

// configMapsOf names the ConfigMaps that the containers of a pod read, each once, sorted.
func configMapsOf(spec *corev1.PodSpec) []string {
	var names []string
	for _, v := range spec.Volumes {
		if v.ConfigMap != nil {
			names = append(names, v.ConfigMap.Name)
		}
		if v.Projected == nil {
			continue
		}
		for _, source := range v.Projected.Sources {
			if source.ConfigMap != nil {
				names = append(names, source.ConfigMap.Name)
			}
		}
	}
	for _, containers := range [][]corev1.Container{spec.InitContainers, spec.Containers} {
		for i := range containers {
			for _, from := range containers[i].EnvFrom {
				if from.ConfigMapRef != nil {
					names = append(names, from.ConfigMapRef.Name)
				}
			}
			for _, e := range containers[i].Env {
				if e.ValueFrom != nil && e.ValueFrom.ConfigMapKeyRef != nil {
					names = append(names, e.ValueFrom.ConfigMapKeyRef.Name)
				}
			}
		}
	}
	slices.Sort(names)
	return slices.Compact(names)
}
