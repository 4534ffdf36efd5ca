package watched

import (
	"slices"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/types"

	"github.com/maek-dev/maek/internal/snapshot"
)

const (
	// eventsPerObject bounds how many Events about one object are held, the newest: a component that
	// repeats itself counts in one Event (k8s.io/client-go/tools/record, EventAggregator), so that these are
	// as many different things that were said.
	eventsPerObject = 20
	// eventsInAll bounds all Events together, some 600 bytes each. A cluster of 100,000 pods in trouble has as many in
	// the hour that an API server keeps them (kube-apiserver --event-ttl), which deletes them after.
	eventsInAll = 100_000
)

// events keeps the Events that are held in bounds.
type events struct {
	// about lists the Events about each object in the order in which they came.
	about map[corev1.ObjectReference][]types.NamespacedName
	of    map[types.NamespacedName]corev1.ObjectReference
	// left tells that some were left out for there being too many.
	left bool
}

func newEvents() *events {
	e := &events{}
	e.reset()
	return e
}

func (e *events) reset() {
	e.about, e.of, e.left = map[corev1.ObjectReference][]types.NamespacedName{}, map[types.NamespacedName]corev1.ObjectReference{}, false
}

// restart takes note of all Events anew, and drops those that are too many about one object.
func (e *events) restart(all map[types.NamespacedName]snapshot.Object) {
	e.reset()
	held := make([]*corev1.Event, 0, len(all))
	for _, o := range all {
		if event, ok := o.(*corev1.Event); ok {
			held = append(held, event)
		}
	}
	slices.SortFunc(held, func(a, b *corev1.Event) int { return snapshot.EventTime(a).Compare(snapshot.EventTime(b)) })
	for _, event := range held {
		if oldest, full := e.took(nameOf(event), event); full {
			delete(all, oldest)
		}
	}
}

// took takes note of an Event. Where its object has too many now, the oldest of them has to go.
func (e *events) took(name types.NamespacedName, o snapshot.Object) (oldest types.NamespacedName, full bool) {
	event, ok := o.(*corev1.Event)
	if !ok {
		return oldest, false
	}
	e.lost(name)
	r := event.InvolvedObject
	about := corev1.ObjectReference{Kind: r.Kind, Namespace: r.Namespace, Name: r.Name}
	e.about[about] = append(e.about[about], name)
	e.of[name] = about
	if len(e.about[about]) <= eventsPerObject {
		return oldest, false
	}
	oldest = e.about[about][0]
	e.lost(oldest)
	return oldest, true
}

// lost forgets an Event.
func (e *events) lost(name types.NamespacedName) {
	about, ok := e.of[name]
	if !ok {
		return
	}
	delete(e.of, name)
	names := e.about[about]
	if i := slices.Index(names, name); i >= 0 {
		names = slices.Delete(names, i, i+1)
	}
	if e.about[about] = names; len(names) == 0 {
		delete(e.about, about)
	}
}

// cut drops the oldest of all Events where there are too many, a fifth at once so that it is seldom done.
func (e *events) cut(t snapshot.Table, pending map[types.NamespacedName]snapshot.Object) {
	e.left = e.left && len(e.of) > eventsInAll*4/5
	if len(e.of) <= eventsInAll {
		return
	}
	held := make([]*corev1.Event, 0, len(e.of))
	for name := range e.of {
		o := pending[name]
		if o == nil {
			o, _ = t.Get(name)
		}
		if event, ok := o.(*corev1.Event); ok {
			held = append(held, event)
		}
	}
	slices.SortFunc(held, func(a, b *corev1.Event) int { return snapshot.EventTime(b).Compare(snapshot.EventTime(a)) })
	for _, event := range held[min(len(held), eventsInAll*4/5):] {
		e.lost(nameOf(event))
		pending[nameOf(event)] = nil
	}
	e.left = true
}
