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

// configChanged names the ConfigMaps and Secrets that a pod reads and that were changed just before its
// pods began to fail, with when and by whom; empty where there is none. That is no proof, but it is what
// people look for next when the template does not tell.
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
	maps, secrets := readBy(spec)
	for _, name := range maps {
		if m, ok := snapshot.Get[*corev1.ConfigMap](p.Snapshot, namespace, name); ok {
			tell(m)
		}
	}
	for _, name := range secrets {
		if s, ok := snapshot.Get[*corev1.Secret](p.Snapshot, namespace, name); ok {
			tell(s)
		}
	}
	return finding.Join("; ", texts...)
}

// readBy names the ConfigMaps and Secrets that the containers of a pod read, each once, sorted.
func readBy(spec *corev1.PodSpec) (configMaps, secrets []string) {
	for _, v := range spec.Volumes {
		if v.ConfigMap != nil {
			configMaps = append(configMaps, v.ConfigMap.Name)
		}
		if v.Secret != nil {
			secrets = append(secrets, v.Secret.SecretName)
		}
		if v.Projected == nil {
			continue
		}
		for _, source := range v.Projected.Sources {
			if source.ConfigMap != nil {
				configMaps = append(configMaps, source.ConfigMap.Name)
			}
			if source.Secret != nil {
				secrets = append(secrets, source.Secret.Name)
			}
		}
	}
	for _, containers := range [][]corev1.Container{spec.InitContainers, spec.Containers} {
		for i := range containers {
			for _, from := range containers[i].EnvFrom {
				if from.ConfigMapRef != nil {
					configMaps = append(configMaps, from.ConfigMapRef.Name)
				}
				if from.SecretRef != nil {
					secrets = append(secrets, from.SecretRef.Name)
				}
			}
			for _, e := range containers[i].Env {
				if e.ValueFrom != nil && e.ValueFrom.ConfigMapKeyRef != nil {
					configMaps = append(configMaps, e.ValueFrom.ConfigMapKeyRef.Name)
				}
				if e.ValueFrom != nil && e.ValueFrom.SecretKeyRef != nil {
					secrets = append(secrets, e.ValueFrom.SecretKeyRef.Name)
				}
			}
		}
	}
	slices.Sort(configMaps)
	slices.Sort(secrets)
	return slices.Compact(configMaps), slices.Compact(secrets)
}
