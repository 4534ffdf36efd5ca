package snapshot

import (
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// Trim drops from an object what no rule reads, in place: it is what lets a snapshot of a large
// cluster fit into memory, and what keeps secret values out of it.
func Trim(o Object) {
	o.SetManagedFields(trimManagedFields(o.GetManagedFields()))
	if a := o.GetAnnotations(); a[corev1.LastAppliedConfigAnnotation] != "" {
		delete(a, corev1.LastAppliedConfigAnnotation)
	}
	switch o := o.(type) {
	case *corev1.Pod:
		// A pod's fields are written by its kubelet and the scheduler; who else touched it shows in
		// its owner. On a large cluster these entries are a fifth of a pod.
		o.ManagedFields = nil
		trimPodSpec(&o.Spec)
	case *corev1.Event:
		o.ManagedFields = nil
	case *corev1.Secret:
		for k := range o.Data {
			o.Data[k] = nil
		}
		clear(o.StringData)
	case *corev1.ConfigMap:
		for k := range o.Data {
			o.Data[k] = ""
		}
		for k := range o.BinaryData {
			o.BinaryData[k] = nil
		}
	case *corev1.Node:
		o.Status.Images = nil
	}
}

// trimManagedFields keeps who wrote and when, without the list of fields.
func trimManagedFields(in []metav1.ManagedFieldsEntry) []metav1.ManagedFieldsEntry {
	for i := range in {
		in[i].FieldsV1 = nil
		in[i].FieldsType = ""
	}
	return in
}

// trimPodSpec drops literal environment values: rules read which objects a pod refers to, and a
// literal may be a password.
func trimPodSpec(spec *corev1.PodSpec) {
	trim := func(env []corev1.EnvVar) []corev1.EnvVar {
		var kept []corev1.EnvVar
		for _, e := range env {
			if e.ValueFrom != nil {
				kept = append(kept, e)
			}
		}
		return kept
	}
	for i := range spec.InitContainers {
		spec.InitContainers[i].Env = trim(spec.InitContainers[i].Env)
	}
	for i := range spec.Containers {
		spec.Containers[i].Env = trim(spec.Containers[i].Env)
	}
}
