package snapshot

import (
	"maps"
	"strings"

	appsv1 "k8s.io/api/apps/v1"
	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
	apiextensionsv1 "k8s.io/apiextensions-apiserver/pkg/apis/apiextensions/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// Trim drops from an object what no rule reads, in place: it is what lets a snapshot of a large
// cluster fit into memory, and what keeps secret values out of it.
func Trim(o Object) {
	o.SetManagedFields(trimManagedFields(o.GetManagedFields()))
	o.SetAnnotations(trimAnnotations(o.GetAnnotations()))
	switch o := o.(type) {
	case *corev1.Pod:
		// A pod's fields are written by its kubelet and the scheduler; who else touched it shows in
		// its owner. On a large cluster these entries are a fifth of a pod.
		o.ManagedFields = nil
		trimPodSpec(&o.Spec)
		trimTokenVolume(&o.Spec)
		trimPodStatus(&o.Status)
	case *corev1.Event:
		o.ManagedFields = nil
	case *corev1.Secret:
		o.Annotations = nil
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
	case *apiextensionsv1.CustomResourceDefinition:
		// Schemas of a few hundred definitions are tens of megabytes, and no rule reads them.
		for i := range o.Spec.Versions {
			o.Spec.Versions[i].Schema = nil
		}
	case *appsv1.ControllerRevision:
		// It is a copy of the whole pod template, environment included.
		o.Data.Raw, o.Data.Object = nil, nil
	case *appsv1.StatefulSet:
		for i := range o.Spec.VolumeClaimTemplates {
			c := &o.Spec.VolumeClaimTemplates[i]
			c.Annotations = trimAnnotations(c.Annotations)
		}
	case *batchv1.CronJob:
		o.Spec.JobTemplate.Annotations = trimAnnotations(o.Spec.JobTemplate.Annotations)
	default:
		trimCheck(o)
	}
}

// flannelAnnotations is the prefix of the annotations in which flannel on a node tells the others where and
// how to send its traffic (https://github.com/flannel-io/flannel/blob/master/pkg/subnet/kube/annotations.go).
const flannelAnnotations = "flannel.alpha.coreos.com/"

// keptAnnotations are the annotations that something reads. All others are dropped: deployment tools
// keep copies of whole manifests in annotations, Secrets among them, under ever new names (kubectl's
// kubectl.kubernetes.io/last-applied-configuration, kapp's deploy.kapp.k14s.io/original, Rancher's
// objectset.rio.cattle.io/applied).
var keptAnnotations = map[string]bool{
	corev1.MirrorPodAnnotationKey:         true,
	corev1.EndpointsLastChangeTriggerTime: true,
	revisionAnnotation:                    true,
	revisionHistoryAnnotation:             true,
	defaultClassAnnotation:                true,
	betaDefaultClassAnnotation:            true,
	corev1.BetaStorageClassAnnotation:     true,
}

// ownAnnotations is the prefix of Maek's own annotations, which are kept too.
const ownAnnotations = "maek.dev/"

// trimAnnotations keeps the annotations that something reads. It returns nil where none is left.
func trimAnnotations(in map[string]string) map[string]string {
	maps.DeleteFunc(in, func(key, _ string) bool {
		return !keptAnnotations[key] && !strings.HasPrefix(key, ownAnnotations) && !strings.HasPrefix(key, flannelAnnotations)
	})
	if len(in) == 0 {
		return nil
	}
	return in
}

// trimManagedFields keeps who wrote and when, without the list of fields.
func trimManagedFields(in []metav1.ManagedFieldsEntry) []metav1.ManagedFieldsEntry {
	for i := range in {
		in[i].FieldsV1 = nil
		in[i].FieldsType = ""
	}
	return in
}

// trimPodSpec drops literal environment values: rules read which objects a pod refers to and which
// Services it names, and any other literal may be a password.
func trimPodSpec(spec *corev1.PodSpec) {
	trim := func(env []corev1.EnvVar) []corev1.EnvVar {
		var kept []corev1.EnvVar
		for _, e := range env {
			if e.ValueFrom == nil {
				e.Value = trimEnvValue(e.Name, e.Value)
			}
			if e.ValueFrom != nil || e.Value != "" {
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
	for i := range spec.EphemeralContainers {
		spec.EphemeralContainers[i].Env = trim(spec.EphemeralContainers[i].Env)
	}
}

// trimPodStatus drops the names that the container runtime gave.
func trimPodStatus(status *corev1.PodStatus) {
	for _, statuses := range [][]corev1.ContainerStatus{status.InitContainerStatuses, status.ContainerStatuses, status.EphemeralContainerStatuses} {
		for i := range statuses {
			statuses[i].ContainerID = ""
			statuses[i].VolumeMounts = nil
			statuses[i].AllocatedResources, statuses[i].Resources, statuses[i].User = nil, nil, nil
		}
	}
}
