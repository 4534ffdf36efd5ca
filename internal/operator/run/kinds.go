package run

import (
	"context"
	"fmt"
	"net/netip"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/selection"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"

	khv1 "github.com/maek-dev/maek/api/kuberhealthy/v1"
	khv2 "github.com/maek-dev/maek/api/kuberhealthy/v2"
	"github.com/maek-dev/maek/api/maek/v1alpha1"
	"github.com/maek-dev/maek/internal/kuberhealthy"
)

// key names a check, a job or a HealthCheck: what the engine looks after one at a time.
type key struct {
	kind string // kuberhealthy.KindCheck, KindJob or KindHealthCheck
	types.NamespacedName
}

func (k key) String() string { return k.kind + " " + k.NamespacedName.String() }

// sibling is the object that shares its KuberhealthyState with this one, if there is such a kind.
func (k key) sibling() (key, bool) {
	switch k.kind {
	case kuberhealthy.KindCheck:
		return key{kuberhealthy.KindJob, k.NamespacedName}, true
	case kuberhealthy.KindJob:
		return key{kuberhealthy.KindCheck, k.NamespacedName}, true
	}
	return key{}, false
}

// The kinds that the engine works with.
var (
	checkKind       = khv1.GroupVersion.WithKind(kuberhealthy.KindCheck)
	jobKind         = khv1.GroupVersion.WithKind(kuberhealthy.KindJob)
	stateKind       = khv1.GroupVersion.WithKind("KuberhealthyState")
	healthCheckKind = khv2.GroupVersion.WithKind(kuberhealthy.KindHealthCheck)
	podKind         = corev1.SchemeGroupVersion.WithKind("Pod")
)

// example returns an object of a kind, by which caches and clients know it.
func example(kind schema.GroupVersionKind) client.Object {
	switch kind {
	case checkKind:
		return &khv1.KuberhealthyCheck{}
	case jobKind:
		return &khv1.KuberhealthyJob{}
	case stateKind:
		return &khv1.KuberhealthyState{}
	case healthCheckKind:
		return &khv2.HealthCheck{}
	}
	return &corev1.Pod{}
}

// listOf returns an empty list of a kind.
func listOf(kind schema.GroupVersionKind) client.ObjectList {
	switch kind {
	case checkKind:
		return &khv1.KuberhealthyCheckList{}
	case jobKind:
		return &khv1.KuberhealthyJobList{}
	case stateKind:
		return &khv1.KuberhealthyStateList{}
	case healthCheckKind:
		return &khv2.HealthCheckList{}
	}
	return &corev1.PodList{}
}

// kindOf is the kind of an object that example returned, or of the same type.
func kindOf(object client.Object) schema.GroupVersionKind {
	switch object.(type) {
	case *khv1.KuberhealthyCheck:
		return checkKind
	case *khv1.KuberhealthyJob:
		return jobKind
	case *khv1.KuberhealthyState:
		return stateKind
	case *khv2.HealthCheck:
		return healthCheckKind
	}
	return podKind
}

func (k key) gvk() schema.GroupVersionKind {
	switch k.kind {
	case kuberhealthy.KindCheck:
		return checkKind
	case kuberhealthy.KindJob:
		return jobKind
	}
	return healthCheckKind
}

// checkerPods selects the checker pods of both versions that Maek made.
func checkerPods() labels.Selector {
	made, err := labels.NewRequirement(v1alpha1.LabelRunOf, selection.Exists, nil)
	if err != nil {
		return labels.Nothing() // the label is a constant
	}
	return labels.NewSelector().Add(*made)
}

// trimPod keeps of a checker pod what the engine reads: not the environment, which holds the run's
// token, and not what is large.
func trimPod(object any) (any, error) {
	pod, ok := object.(*corev1.Pod)
	if !ok {
		return object, nil
	}
	pod.ManagedFields = nil
	pod.Annotations = nil
	pod.Spec = corev1.PodSpec{
		NodeName:                      pod.Spec.NodeName,
		RestartPolicy:                 pod.Spec.RestartPolicy,
		HostNetwork:                   pod.Spec.HostNetwork,
		TerminationGracePeriodSeconds: pod.Spec.TerminationGracePeriodSeconds,
		ActiveDeadlineSeconds:         pod.Spec.ActiveDeadlineSeconds,
		Containers:                    trimContainers(pod.Spec.Containers),
		InitContainers:                trimContainers(pod.Spec.InitContainers),
	}
	return pod, nil
}

func trimContainers(containers []corev1.Container) []corev1.Container {
	trimmed := make([]corev1.Container, len(containers))
	for i := range containers {
		trimmed[i] = corev1.Container{Name: containers[i].Name, Image: containers[i].Image, RestartPolicy: containers[i].RestartPolicy}
	}
	return trimmed
}

// The indexes of the caches.
const (
	indexRunOf   = v1alpha1.LabelRunOf
	indexAddress = "status.podIPs"
	indexRunID   = "run-id"
)

// indexes returns those of a kind.
func indexes(kind schema.GroupVersionKind) map[string]client.IndexerFunc {
	switch kind {
	case podKind:
		return map[string]client.IndexerFunc{
			indexRunOf: func(o client.Object) []string { return []string{o.GetLabels()[v1alpha1.LabelRunOf]} },
			indexAddress: func(o client.Object) []string {
				pod, _ := o.(*corev1.Pod)
				if pod.Spec.HostNetwork {
					// It has its node's address, and all that runs there would be taken for it. Kuberhealthy takes no
					// report from such an address either: more than one pod has it.
					return nil
				}
				var addresses []string
				for _, ip := range pod.Status.PodIPs {
					addresses = append(addresses, canonical(ip.IP))
				}
				return addresses
			},
		}
	case stateKind, healthCheckKind:
		return map[string]client.IndexerFunc{indexRunID: func(o client.Object) []string {
			if id := recordedRun(o); id != "" {
				return []string{id}
			}
			return nil
		}}
	}
	return nil
}

// canonical is an address in the one form in which the source of a request is written; what is no address
// stays.
func canonical(ip string) string {
	address, err := netip.ParseAddr(ip)
	if err != nil {
		return ip
	}
	return address.Unmap().String()
}

// recordedRun is the run that a KuberhealthyState or a HealthCheck names.
func recordedRun(object client.Object) string {
	switch record := object.(type) {
	case *khv1.KuberhealthyState:
		return record.Spec.CurrentUUID
	case *khv2.HealthCheck:
		return record.Status.CurrentUUID
	}
	return ""
}

// ownerKey is the check that a checker pod belongs to.
func ownerKey(pod *corev1.Pod) (key, bool) {
	owner := metav1.GetControllerOf(pod)
	if owner == nil {
		return key{}, false
	}
	k := key{kind: owner.Kind, NamespacedName: types.NamespacedName{Namespace: pod.Namespace, Name: owner.Name}}
	return k, k.gvk().Kind == owner.Kind && k.gvk().GroupVersion().String() == owner.APIVersion
}

// get returns an object as it is in the cache, or as this replica wrote it last where the cache has not
// heard of that yet; nil where there is none.
func (e *Engine) get(ctx context.Context, kind schema.GroupVersionKind, name types.NamespacedName) (client.Object, error) {
	object := example(kind)
	err := e.o.Cache.Get(ctx, name, object)
	if client.IgnoreNotFound(err) != nil {
		return nil, fmt.Errorf("reading %s %s from the cache: %w", kind.Kind, name, err)
	}
	if apierrors.IsNotFound(err) {
		object = nil
	}
	return e.memory.newest(kind, name, object, e.o.Clock.Now()), nil
}
