package snapshot

import (
	"cmp"
	"maps"
	"slices"
	"sync"

	appsv1 "k8s.io/api/apps/v1"
	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/maek-dev/maek/api/maek/v1alpha1"
)

// OwnerKinds are the kinds that Workload climbs through: a rule that names workloads declares
// them, so that a pod is named by its Deployment and not by a ReplicaSet.
func OwnerKinds() []Kind {
	return []Kind{KindOf[*appsv1.ReplicaSet](), KindOf[*batchv1.Job]()}
}

// index holds the lookups that topology needs, each built when first asked for.
type index struct {
	nodes    sync.Once
	byNode   map[string][]*corev1.Pod
	labels   sync.Once
	byLabel  map[labelKey][]podRun
	owners   sync.Once
	byOwner  map[v1alpha1.Subject][]*corev1.Pod
	slices   sync.Once
	ofSvc    map[labelKey][]*discoveryv1.EndpointSlice
	services sync.Once
	bySel    map[labelKey][]*corev1.Service
	sets     sync.Once
	setsOf   map[v1alpha1.Subject][]*appsv1.ReplicaSet
	events   sync.Once
	eventsOf map[v1alpha1.Subject][]*corev1.Event
	pulls    sync.Once
	failed   []PullFailure
	writers  sync.Map // Freshness by Writer
}

// podRun is a part of the sorted pods whose labels are all alike: those of one ReplicaSet, mostly.
// Runs are what labels are looked up among, for there are far fewer of them than pods.
type podRun []*corev1.Pod

type labelKey struct{ namespace, key, value string }

// SubjectOf names an object.
func SubjectOf(o Object) v1alpha1.Subject {
	k, _ := KindOfObject(o)
	return v1alpha1.Subject{Kind: k.Kind, Namespace: o.GetNamespace(), Name: o.GetName()}
}

// PodsOn returns the pods bound to a node. They are shared: do not write to the slice.
func (s *Snapshot) PodsOn(node string) []*corev1.Pod {
	all := List[*corev1.Pod](s)
	s.index.nodes.Do(func() {
		s.index.byNode = map[string][]*corev1.Pod{}
		for _, p := range all {
			if p.Spec.NodeName != "" {
				s.index.byNode[p.Spec.NodeName] = append(s.index.byNode[p.Spec.NodeName], p)
			}
		}
	})
	return s.index.byNode[node]
}

// PodsOf returns the pods whose Workload is the subject. They are shared: do not write to the slice.
func (s *Snapshot) PodsOf(workload v1alpha1.Subject) []*corev1.Pod {
	all := List[*corev1.Pod](s)
	s.index.owners.Do(func() { s.index.byOwner = s.podsByWorkload(all) })
	return s.index.byOwner[workload]
}

// podsByWorkload looks up what is above pods once for each run of pods with the same controller.
func (s *Snapshot) podsByWorkload(all []*corev1.Pod) map[v1alpha1.Subject][]*corev1.Pod {
	whole := &Snapshot{state: s.state}
	out := map[v1alpha1.Subject][]*corev1.Pod{}
	for from := 0; from < len(all); {
		to := from + 1
		for to < len(all) && sameController(all[from], all[to]) {
			to++
		}
		w, run := whole.Workload(all[from]), all[from:to:to]
		if before, ok := out[w]; ok {
			// A run has no room to grow, so that appending to one makes a copy.
			run = append(before, run...)
		}
		out[w] = run
		from = to
	}
	return out
}

// sameController tells whether two pods have the same Workload because of whom they name as their
// controller.
func sameController(a, b *corev1.Pod) bool {
	if a.Namespace != b.Namespace {
		return false
	}
	x, y := metav1.GetControllerOfNoCopy(a), metav1.GetControllerOfNoCopy(b)
	return x != nil && y != nil && x.Name == y.Name && x.Kind == y.Kind && x.Kind != nodeKind
}

// PodsSelected returns the pods of a namespace that carry every label of a selector, sorted by name.
// An empty selector selects nothing, as in a Service. The pods are shared: do not write to the slice.
func (s *Snapshot) PodsSelected(namespace string, selector map[string]string) []*corev1.Pod {
	if len(selector) == 0 {
		return nil
	}
	s.indexLabels()
	var candidates []podRun
	first := true
	for k, v := range selector {
		with := s.index.byLabel[labelKey{namespace, k, v}]
		if first || len(with) < len(candidates) {
			candidates, first = with, false
		}
	}
	var out []*corev1.Pod
	for _, run := range candidates {
		switch {
		case !Selects(selector, run[0].Labels):
		case out == nil:
			out = run
		default:
			// A run has no room to grow, so that appending to one makes a copy.
			out = append(out, run...)
		}
	}
	return out
}

func (s *Snapshot) indexLabels() {
	all := List[*corev1.Pod](s)
	s.index.labels.Do(func() {
		s.index.byLabel = map[labelKey][]podRun{}
		for from := 0; from < len(all); {
			to := from + 1
			for to < len(all) && all[from].Namespace == all[to].Namespace && maps.Equal(all[from].Labels, all[to].Labels) {
				to++
			}
			for k, v := range all[from].Labels {
				key := labelKey{all[from].Namespace, k, v}
				s.index.byLabel[key] = append(s.index.byLabel[key], all[from:to:to])
			}
			from = to
		}
	})
}

// Selects tells whether labels carry every pair of an equality selector.
func Selects(selector, labels map[string]string) bool {
	for k, v := range selector {
		if got, has := labels[k]; !has || got != v {
			return false
		}
	}
	return len(selector) > 0
}

// ServicesSelecting returns the Services whose selector matches a pod, sorted by name.
func (s *Snapshot) ServicesSelecting(p *corev1.Pod) []*corev1.Service {
	s.indexServices()
	var out []*corev1.Service
	for k, v := range p.Labels {
		for _, svc := range s.index.bySel[labelKey{p.Namespace, k, v}] {
			if Selects(svc.Spec.Selector, p.Labels) {
				out = append(out, svc)
			}
		}
	}
	slices.SortFunc(out, func(a, b *corev1.Service) int { return cmp.Compare(a.Name, b.Name) })
	return out
}

// indexServices files every Service that selects pods under one pair of its selector: the one that
// fewest selectors of the namespace share, for all of them may have a pair such as tier=web in common
// and then only the rest tells one from another.
func (s *Snapshot) indexServices() {
	all := List[*corev1.Service](s)
	s.index.services.Do(func() {
		shared := map[labelKey]int{}
		for _, svc := range all {
			for k, v := range svc.Spec.Selector {
				shared[labelKey{svc.Namespace, k, v}]++
			}
		}
		s.index.bySel = map[labelKey][]*corev1.Service{}
		for _, svc := range all {
			var rarest labelKey
			for k, v := range svc.Spec.Selector {
				key := labelKey{svc.Namespace, k, v}
				if rarest == (labelKey{}) || shared[key] < shared[rarest] {
					rarest = key
				}
			}
			if rarest != (labelKey{}) {
				s.index.bySel[rarest] = append(s.index.bySel[rarest], svc)
			}
		}
	})
}

// EndpointSlicesOf returns the EndpointSlices of a Service.
func (s *Snapshot) EndpointSlicesOf(svc *corev1.Service) []*discoveryv1.EndpointSlice {
	all := List[*discoveryv1.EndpointSlice](s)
	s.index.slices.Do(func() {
		s.index.ofSvc = map[labelKey][]*discoveryv1.EndpointSlice{}
		for _, slice := range all {
			k := labelKey{namespace: slice.Namespace, value: slice.Labels[discoveryv1.LabelServiceName]}
			s.index.ofSvc[k] = append(s.index.ofSvc[k], slice)
		}
	})
	return s.index.ofSvc[labelKey{namespace: svc.Namespace, value: svc.Name}]
}

// ReplicaSetsOf returns the ReplicaSets of a Deployment, the newest revision first.
func (s *Snapshot) ReplicaSetsOf(d *appsv1.Deployment) []*appsv1.ReplicaSet {
	all := List[*appsv1.ReplicaSet](s)
	s.index.sets.Do(func() {
		s.index.setsOf = map[v1alpha1.Subject][]*appsv1.ReplicaSet{}
		for _, rs := range all {
			if ref := metav1.GetControllerOfNoCopy(rs); ref != nil && ref.Kind == "Deployment" {
				k := v1alpha1.Subject{Kind: ref.Kind, Namespace: rs.Namespace, Name: ref.Name}
				s.index.setsOf[k] = append(s.index.setsOf[k], rs)
			}
		}
		for _, sets := range s.index.setsOf {
			slices.SortStableFunc(sets, func(a, b *appsv1.ReplicaSet) int { return cmp.Compare(Revision(b), Revision(a)) })
		}
	})
	return s.index.setsOf[SubjectOf(d)]
}

// EventsOf returns the Events about a subject, oldest first by when each was last seen.
func (s *Snapshot) EventsOf(subject v1alpha1.Subject) []*corev1.Event {
	all := List[*corev1.Event](s)
	s.index.events.Do(func() {
		s.index.eventsOf = map[v1alpha1.Subject][]*corev1.Event{}
		for _, e := range all {
			o := e.InvolvedObject
			k := v1alpha1.Subject{Kind: o.Kind, Namespace: o.Namespace, Name: o.Name}
			s.index.eventsOf[k] = append(s.index.eventsOf[k], e)
		}
		for _, events := range s.index.eventsOf {
			slices.SortStableFunc(events, func(a, b *corev1.Event) int { return EventTime(a).Compare(EventTime(b)) })
		}
	})
	return s.index.eventsOf[subject]
}

// nodeKind is the kind of the "controller" of static pods.
const nodeKind = "Node"

// Workload names what a pod belongs to, as high as controllers lead: Deployment over ReplicaSet,
// CronJob over Job. A pod without a controller is its own workload; so is a static pod, whose
// "controller" is its node.
func (s *Snapshot) Workload(p *corev1.Pod) v1alpha1.Subject {
	ref := metav1.GetControllerOfNoCopy(p)
	if ref == nil || ref.Kind == nodeKind {
		return v1alpha1.Subject{Kind: "Pod", Namespace: p.Namespace, Name: p.Name}
	}
	owner := v1alpha1.Subject{Kind: ref.Kind, Namespace: p.Namespace, Name: ref.Name}
	var above *metav1.OwnerReference
	switch ref.Kind {
	case "ReplicaSet":
		if rs, ok := Get[*appsv1.ReplicaSet](s, p.Namespace, ref.Name); ok {
			above = metav1.GetControllerOfNoCopy(rs)
		}
	case "Job":
		if job, ok := Get[*batchv1.Job](s, p.Namespace, ref.Name); ok {
			above = metav1.GetControllerOfNoCopy(job)
		}
	}
	if above != nil {
		return v1alpha1.Subject{Kind: above.Kind, Namespace: p.Namespace, Name: above.Name}
	}
	return owner
}
