package run

import (
	"sync"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/util/resourceversion"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/maek-dev/maek/api/maek/v1alpha1"
	"github.com/maek-dev/maek/internal/kuberhealthy"
	"github.com/maek-dev/maek/internal/operator/checkerpod"
)

// believeFor is for how long what this replica wrote is believed over a cache that does not show it: a
// cache may hear of a write late, and of what was made and deleted in between not at all.
const believeFor = 10 * time.Second

// memory is what the engine knows besides the caches. It may all be lost: then a request or two are made
// in vain, and less is told.
type memory struct {
	mu sync.Mutex
	// written are objects as this replica wrote them.
	written map[reference]written
	// runs are the records of runs in written.
	runs map[string]reference
	// pods made by this replica, by the UID of their check and their own.
	pods map[types.UID]map[types.UID]written
	// leaving are pods that this replica deleted, and until when they are waited for.
	leaving map[types.UID]time.Time
	// gone is the checker pod of a check that was last seen to go.
	gone map[types.UID]departure
	// notes on checks.
	notes map[types.UID]*note
}

type reference struct {
	kind schema.GroupVersionKind
	types.NamespacedName
}

type written struct {
	client.Object

	until time.Time
}

type departure struct {
	pod *corev1.Pod
	at  time.Time
}

// note is what is remembered of a check.
type note struct {
	// resumed is since when this replica looks after the check; zero while it does not.
	resumed time.Time
	// run that trouble is about, and how often its pod could not be made.
	run     string
	trouble trouble
	tries   int
	// told is the end of the run that Outcomes was last told of.
	told time.Time
	// ok tells how that ended.
	ok bool
	// cause is what a run's pod showed last of why it does not start, and causeOf that run.
	cause   checkerpod.Failure
	causeOf string
	// sight of the node of a pod that nobody takes up.
	sight sight
	// warned is what was last logged of the check, so that it is not logged again.
	warned string
}

func newMemory() *memory {
	return &memory{
		written: map[reference]written{},
		runs:    map[string]reference{},
		pods:    map[types.UID]map[types.UID]written{},
		leaving: map[types.UID]time.Time{},
		gone:    map[types.UID]departure{},
		notes:   map[types.UID]*note{},
	}
}

// wrote remembers an object as the API server returned it.
func (m *memory) wrote(object client.Object, now time.Time) {
	m.mu.Lock()
	defer m.mu.Unlock()
	ref := reference{kindOf(object), client.ObjectKeyFromObject(object)}
	m.forget(ref)
	m.written[ref] = written{object, now.Add(believeFor)}
	if run := recordedRun(object); run != "" {
		m.runs[run] = ref
	}
}

// forget drops what was written.
func (m *memory) forget(ref reference) {
	if own, ok := m.written[ref]; ok {
		delete(m.runs, recordedRun(own.Object))
		delete(m.written, ref)
	}
}

// recorder returns the record that this replica wrote and that names a run.
func (m *memory) recorder(run string) (reference, bool) {
	m.mu.Lock()
	defer m.mu.Unlock()
	ref, ok := m.runs[run]
	return ref, ok
}

// newest returns what was written if it is newer than what a cache has, which may be nil.
func (m *memory) newest(kind schema.GroupVersionKind, name types.NamespacedName, cached client.Object, now time.Time) client.Object {
	m.mu.Lock()
	defer m.mu.Unlock()
	ref := reference{kind, name}
	own, ok := m.written[ref]
	if !ok {
		return cached
	}
	if now.After(own.until) || cached != nil && !older(cached, own) {
		m.forget(ref)
		return cached
	}
	copied, _ := own.DeepCopyObject().(client.Object)
	return copied
}

// older tells that one version of an object is older than another.
func older(a, b client.Object) bool {
	order, err := resourceversion.CompareResourceVersion(a.GetResourceVersion(), b.GetResourceVersion())
	return err == nil && order < 0
}

// vanished forgets an object that an informer saw deleted.
func (m *memory) vanished(object client.Object) {
	m.mu.Lock()
	defer m.mu.Unlock()
	ref := reference{kindOf(object), client.ObjectKeyFromObject(object)}
	if own, ok := m.written[ref]; ok && (own.GetUID() == object.GetUID() || older(own, object)) {
		m.forget(ref)
	}
	delete(m.notes, object.GetUID())
	delete(m.gone, object.GetUID())
	delete(m.pods, object.GetUID())
}

// made remembers a pod that this replica made.
func (m *memory) made(pod *corev1.Pod, now time.Time) {
	m.mu.Lock()
	defer m.mu.Unlock()
	check := types.UID(pod.Labels[v1alpha1.LabelRunOf])
	if m.pods[check] == nil {
		m.pods[check] = map[types.UID]written{}
	}
	m.pods[check][pod.UID] = written{pod, now.Add(believeFor)}
}

// unseen returns pods of a check that this replica made and that its cache does not show yet.
func (m *memory) unseen(check types.UID, seen map[types.UID]bool, now time.Time) []*corev1.Pod {
	m.mu.Lock()
	defer m.mu.Unlock()
	var pods []*corev1.Pod
	for uid, own := range m.pods[check] {
		if seen[uid] || now.After(own.until) {
			delete(m.pods[check], uid)
			continue
		}
		if pod, ok := own.Object.(*corev1.Pod); ok {
			pods = append(pods, pod)
		}
	}
	if len(m.pods[check]) == 0 {
		delete(m.pods, check)
	}
	return pods
}

// removed remembers that this replica deleted a pod.
func (m *memory) removed(pod *corev1.Pod, until time.Time) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.leaving[pod.UID] = until
}

// leavingUntil returns until when a pod that was deleted is waited for; zero for one that was not.
func (m *memory) leavingUntil(pod *corev1.Pod) time.Time {
	m.mu.Lock()
	defer m.mu.Unlock()
	until := m.leaving[pod.UID]
	if pod.DeletionTimestamp != nil {
		until = later(until, pod.DeletionTimestamp.Add(vanishGrace))
	}
	return until
}

// departed remembers how a pod was last seen, where its check is still there: most go after their check.
func (m *memory) departed(pod *corev1.Pod, now time.Time) {
	m.mu.Lock()
	defer m.mu.Unlock()
	check := types.UID(pod.Labels[v1alpha1.LabelRunOf])
	delete(m.leaving, pod.UID)
	delete(m.pods[check], pod.UID)
	if m.notes[check] == nil {
		return
	}
	if last, ok := m.gone[check]; !ok || !pod.CreationTimestamp.Time.Before(last.pod.CreationTimestamp.Time) {
		m.gone[check] = departure{pod, now}
	}
}

// lost returns how the pod of a run was last seen, if it went.
func (m *memory) lost(check types.UID, run string) (departure, bool) {
	m.mu.Lock()
	defer m.mu.Unlock()
	last, ok := m.gone[check]
	return last, ok && kuberhealthy.RunIDOf(last.pod) == run
}

// note changes or reads what is remembered of a check, and returns it as it is then.
func (m *memory) note(check types.UID, change func(*note)) note {
	m.mu.Lock()
	defer m.mu.Unlock()
	n := m.notes[check]
	if n == nil {
		n = &note{}
		m.notes[check] = n
	}
	if change != nil {
		change(n)
	}
	return *n
}
