package config

import (
	"fmt"
	"iter"

	corev1 "k8s.io/api/core/v1"
)

// The kinds of object that a pod takes configuration from.
const (
	kindConfigMap = "ConfigMap"
	kindSecret    = "Secret"
)

// reference is one place in a pod where an object must exist for the pod to start. Places marked
// optional are none.
type reference struct {
	// kind and name of the object; its namespace is the pod's.
	kind, name string
	// keys that the object must have.
	keys []string
	// volume that the place is in; empty for an environment variable.
	volume string
	// container that takes the variable, and the list that the container is in; empty for a volume.
	container, list string
	// variable that takes one key; empty where all keys are taken.
	variable string
	// index of the place within envFrom or the sources of a projected volume; -1 where it has none.
	index int
}

// references yields what a pod must find to start, in the order in which it is written.
func references(spec *corev1.PodSpec) iter.Seq[reference] {
	return func(yield func(reference) bool) {
		for i := range spec.InitContainers {
			if !inContainer("initContainers", &spec.InitContainers[i], yield) {
				return
			}
		}
		for i := range spec.Containers {
			if !inContainer("containers", &spec.Containers[i], yield) {
				return
			}
		}
		for i := range spec.Volumes {
			if !inVolume(&spec.Volumes[i], yield) {
				return
			}
		}
	}
}

func inContainer(list string, c *corev1.Container, yield func(reference) bool) bool {
	tell := func(r reference, optional *bool) bool {
		if r.name == "" || (optional != nil && *optional) {
			return true
		}
		r.container, r.list = c.Name, list
		return yield(r)
	}
	for i, from := range c.EnvFrom {
		if m := from.ConfigMapRef; m != nil && !tell(reference{kind: kindConfigMap, name: m.Name, index: i}, m.Optional) {
			return false
		}
		if s := from.SecretRef; s != nil && !tell(reference{kind: kindSecret, name: s.Name, index: i}, s.Optional) {
			return false
		}
	}
	for _, env := range c.Env {
		if env.ValueFrom == nil {
			continue
		}
		if m := env.ValueFrom.ConfigMapKeyRef; m != nil &&
			!tell(reference{kind: kindConfigMap, name: m.Name, keys: []string{m.Key}, variable: env.Name, index: -1}, m.Optional) {
			return false
		}
		if s := env.ValueFrom.SecretKeyRef; s != nil &&
			!tell(reference{kind: kindSecret, name: s.Name, keys: []string{s.Key}, variable: env.Name, index: -1}, s.Optional) {
			return false
		}
	}
	return true
}

func inVolume(v *corev1.Volume, yield func(reference) bool) bool {
	tell := func(kind, name string, items []corev1.KeyToPath, optional *bool, index int) bool {
		if name == "" || (optional != nil && *optional) {
			return true
		}
		r := reference{kind: kind, name: name, volume: v.Name, index: index}
		for _, item := range items {
			r.keys = append(r.keys, item.Key)
		}
		return yield(r)
	}
	if m := v.ConfigMap; m != nil && !tell(kindConfigMap, m.Name, m.Items, m.Optional, -1) {
		return false
	}
	if s := v.Secret; s != nil && !tell(kindSecret, s.SecretName, s.Items, s.Optional, -1) {
		return false
	}
	if v.Projected == nil {
		return true
	}
	for i, source := range v.Projected.Sources {
		if m := source.ConfigMap; m != nil && !tell(kindConfigMap, m.Name, m.Items, m.Optional, i) {
			return false
		}
		if s := source.Secret; s != nil && !tell(kindSecret, s.Name, s.Items, s.Optional, i) {
			return false
		}
	}
	return true
}

// path of the place within the pod spec.
func (r reference) path() string {
	ref, word := "configMap", "configMapRef"
	if r.kind == kindSecret {
		ref, word = "secret", "secretRef"
	}
	switch {
	case r.volume != "" && r.index >= 0:
		return fmt.Sprintf(".volumes[%s].projected.sources[%d].%s", r.volume, r.index, ref)
	case r.volume != "":
		return fmt.Sprintf(".volumes[%s].%s", r.volume, ref)
	case r.variable != "":
		return fmt.Sprintf(".%s[%s].env[%s].valueFrom.%sKeyRef", r.list, r.container, r.variable, ref)
	default:
		return fmt.Sprintf(".%s[%s].envFrom[%d].%s", r.list, r.container, r.index, word)
	}
}

// podSpecPaths lead from an object to the pod spec in it, where that is not the template's.
var podSpecPaths = map[string]string{
	"Pod": ".spec", "CronJob": ".spec.jobTemplate.spec.template.spec",
}

// pathIn is the path of the place within the object that people edit.
func (r reference) pathIn(workloadKind string) string { return inPodSpec(workloadKind, r.path()) }

// inPodSpec is a path within the pod spec, from the object that people edit.
func inPodSpec(workloadKind, path string) string {
	if prefix, ok := podSpecPaths[workloadKind]; ok {
		return prefix + path
	}
	return ".spec.template.spec" + path
}
