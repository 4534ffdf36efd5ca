package probes

import (
	"cmp"
	"iter"
	"slices"
	"time"

	appsv1 "k8s.io/api/apps/v1"
	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/maek-dev/maek/internal/finding"
	"github.com/maek-dev/maek/internal/rule"
	"github.com/maek-dev/maek/internal/snapshot"
)

// family are the pods that were made of one version of one template: what their probes say is read once
// for all of them.
type family struct {
	workload finding.Subject
	// controller made the pods: a ReplicaSet, say. It is the workload where nothing is between.
	controller finding.Subject
	// pods that are to live, by name.
	pods []*corev1.Pod
	// newest tells that no other version of the workload has a younger pod.
	newest bool
	born   time.Time
}

// families of a snapshot, by workload, the newest of each first.
type families []*family

type familyKey struct{ namespace, kind, controller, revision string }

// baseNeeds are the kinds that familiesOf and the remedies read.
func baseNeeds(more ...rule.Need) []rule.Need {
	return slices.Concat([]rule.Need{
		rule.Any[*corev1.Pod](), rule.Optional[*appsv1.Deployment](), rule.Optional[*appsv1.StatefulSet](), rule.Optional[*appsv1.DaemonSet](),
		rule.Optional[*batchv1.CronJob](),
	}, rule.Owners(), more)
}

// familiesOf sorts all pods that are to live into families, once for all rules.
func familiesOf(s *snapshot.Snapshot) families {
	pods := snapshot.List[*corev1.Pod](s)
	return snapshot.Derived(s, func() families {
		by := map[familyKey]*family{}
		var all families
		for _, pod := range pods {
			if snapshot.PodDone(pod) || pod.DeletionTimestamp != nil {
				continue
			}
			k := familyOf(pod)
			f := by[k]
			if f == nil {
				f = &family{workload: s.Workload(pod), controller: finding.Subject{Kind: k.kind, Namespace: k.namespace, Name: k.controller}}
				by[k] = f
				all = append(all, f)
			}
			f.pods = append(f.pods, pod)
			f.born = finding.Later(f.born, pod.CreationTimestamp.Time)
		}
		slices.SortStableFunc(all, func(a, b *family) int {
			return cmp.Or(finding.CompareSubjects(a.workload, b.workload), b.born.Compare(a.born))
		})
		for i, f := range all {
			f.newest = i == 0 || all[i-1].workload != f.workload
		}
		return all
	})
}

// familyOf tells by whom, and of which version of its template, a pod was made. DaemonSets and
// StatefulSets write the version into a label.
func familyOf(pod *corev1.Pod) familyKey {
	ref := metav1.GetControllerOfNoCopy(pod)
	if ref == nil || ref.Kind == "Node" {
		return familyKey{pod.Namespace, "Pod", pod.Name, ""}
	}
	return familyKey{pod.Namespace, ref.Kind, ref.Name, pod.Labels[appsv1.ControllerRevisionHashLabelKey]}
}

// newest yields of each workload the family that was made last.
func (f families) newest() iter.Seq[*family] {
	return func(yield func(*family) bool) {
		for _, one := range f {
			if one.newest && !yield(one) {
				return
			}
		}
	}
}

// place is a container of a family, as one of its pods has it.
type place struct {
	of        *family
	pod       *corev1.Pod
	container *corev1.Container
	// init tells that it is a sidecar, which is an init container that always restarts.
	init bool
}

// places yields the containers of a pod that may have probes: the regular ones and the sidecars
// (k8s.io/kubernetes/pkg/apis/core/validation, validateInitContainers).
func (f *family) places(pod *corev1.Pod) iter.Seq[place] {
	return func(yield func(place) bool) {
		for i := range pod.Spec.InitContainers {
			c := &pod.Spec.InitContainers[i]
			if c.RestartPolicy != nil && *c.RestartPolicy == corev1.ContainerRestartPolicyAlways && !yield(place{f, pod, c, true}) {
				return
			}
		}
		for i := range pod.Spec.Containers {
			if !yield(place{f, pod, &pod.Spec.Containers[i], false}) {
				return
			}
		}
	}
}

// in is the same container in another pod of the family.
func (at place) in(pod *corev1.Pod) (place, bool) {
	for other := range at.of.places(pod) {
		if other.container.Name == at.container.Name {
			return other, true
		}
	}
	return place{}, false
}

// status of the container; nil where its kubelet has said nothing of it.
func (at place) status() *corev1.ContainerStatus {
	list := at.pod.Status.ContainerStatuses
	if at.init {
		list = at.pod.Status.InitContainerStatuses
	}
	for i := range list {
		if list[i].Name == at.container.Name {
			return &list[i]
		}
	}
	return nil
}

// statusPath is where the container's status is in its pod.
func (at place) statusPath() string {
	if at.init {
		return ".status.initContainerStatuses[" + at.container.Name + "]"
	}
	return ".status.containerStatuses[" + at.container.Name + "]"
}

// fieldPath names the container as Events do (k8s.io/kubernetes/pkg/kubelet/container/ref.go).
func (at place) fieldPath() string {
	if at.init {
		return "spec.initContainers{" + at.container.Name + "}"
	}
	return "spec.containers{" + at.container.Name + "}"
}

// kind of a probe, in the words of fields.
type kind string

// The kinds of probes.
const (
	liveness  kind = "liveness"
	readiness kind = "readiness"
	startup   kind = "startup"
)

// probe is one probe of a container.
type probe struct {
	place

	kind kind
	spec *corev1.Probe
}

// probes of the container, those that keep its pod from being ready first.
func (at place) probes() []probe {
	var out []probe
	for _, p := range []probe{{at, readiness, at.container.ReadinessProbe}, {at, startup, at.container.StartupProbe}, {at, liveness, at.container.LivenessProbe}} {
		if p.spec != nil {
			out = append(out, p)
		}
	}
	return out
}

// said is the first word with which events tell of the probe (k8s.io/kubernetes/pkg/kubelet/prober/prober.go).
func (p probe) said() string {
	switch p.kind {
	case liveness:
		return "Liveness"
	case readiness:
		return "Readiness"
	default:
		return "Startup"
	}
}
