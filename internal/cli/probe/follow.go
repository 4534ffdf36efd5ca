package probe

import (
	"context"
	"maps"
	"reflect"
	"slices"
	"time"

	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/watch"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/maek-dev/maek/internal/finding"
)

// followAgain is how long to wait before a watch that ended is begun anew.
const followAgain = 2 * time.Second

// change is one thing that a watch has told.
type change struct {
	// list is all there is of a kind, when its watch begins, and when it begins anew.
	list client.ObjectList
	// object that is new or another; of one that is gone, the last that was known. Altered tells that it was there
	// before, whether or not it was told of.
	object        client.Object
	gone, altered bool
	// missing is what cannot be watched at all.
	missing finding.Text
	// interrupted is what was watched and cannot be now. A list of the same kind ends that.
	interrupted finding.Text
	// kind of what is listed, missing or interrupted: that of its lists.
	kind reflect.Type
}

// kindsFollowed is how many kinds are: pods, Events and EndpointSlices.
const kindsFollowed = 3

// follow tells all that changes of a target, until ctx is done.
func (r *reader) follow(ctx context.Context, t target, after func(time.Duration) <-chan time.Time) (<-chan change, error) {
	pods := []client.ListOption{client.InNamespace(t.namespace)}
	events := []client.ListOption{client.InNamespace(t.namespace)}
	about := client.MatchingFields{"involvedObject.kind": "Pod"}
	if t.kind == "Pod" {
		pods = append(pods, client.MatchingFields{"metadata.name": t.name})
		about["involvedObject.name"] = t.name
	} else {
		selector, err := r.selector(ctx, client.ObjectKey{Namespace: t.namespace, Name: t.name}, t)
		if err != nil {
			return nil, err
		}
		pods = append(pods, client.MatchingLabelsSelector{Selector: selector})
	}
	inNamespace := []client.ListOption{client.InNamespace(t.namespace)}
	changes := make(chan change, changesKept)
	go r.followKind(ctx, changes, after, unreadableKind{finding.Textf("changes of pods", "Pod의 변화"), "list and watch on pods"}, func() client.ObjectList { return &corev1.PodList{} }, pods)
	go r.followKind(ctx, changes, after, unreadableKind{finding.Textf("new Events", "새 Event"), "list and watch on events"}, func() client.ObjectList { return &corev1.EventList{} }, append(events, about))
	go r.followKind(ctx, changes, after, unreadableKind{finding.Textf("changes of EndpointSlices", "EndpointSlice의 변화"), "list and watch on endpointslices.discovery.k8s.io"},
		func() client.ObjectList { return &discoveryv1.EndpointSliceList{} }, inNamespace)
	return changes, nil
}

// changesKept is how many changes wait to be shown together.
const changesKept = 64

// unreadableKind says of a kind what to say where it may not be followed.
type unreadableKind struct {
	what  finding.Text
	right string
}

// followKind lists a kind and watches what changes, again and again. A refusal is final only if nothing was ever
// watched: an API server that has just started refuses what it allows a moment later.
func (r *reader) followKind(
	ctx context.Context, changes chan<- change, after func(time.Duration) <-chan time.Time, kind unreadableKind, empty func() client.ObjectList, options []client.ListOption,
) {
	ever, told := false, false
	is := reflect.TypeOf(empty())
	for {
		listed, watched, err := r.followOnce(ctx, changes, empty, options)
		ever = ever || watched
		switch {
		case ctx.Err() != nil:
			return
		case apierrors.IsForbidden(err) && !ever:
			tell(ctx, changes, change{kind: is, missing: unreadable(kind.what, kind.right, err)})
			return
		case listed:
			// Watches end now and then, and begin anew with a list.
			told = false
		case !told:
			told = tell(ctx, changes, change{kind: is, interrupted: unreadable(kind.what, kind.right, err)})
		}
		select {
		case <-ctx.Done():
			return
		case <-after(followAgain):
		}
	}
}

// followOnce lists a kind and watches it until the watch ends, and tells whether it could be listed and watched.
func (r *reader) followOnce(ctx context.Context, changes chan<- change, empty func() client.ObjectList, options []client.ListOption) (listed, watched bool, err error) {
	list := empty()
	if err := r.client.List(ctx, list, append(slices.Clone(options), client.Limit(objectsFollowed))...); err != nil {
		return false, false, err
	}
	if !tell(ctx, changes, change{list: list, kind: reflect.TypeOf(list)}) {
		return true, false, ctx.Err()
	}
	from := &client.ListOptions{Raw: &metav1.ListOptions{ResourceVersion: list.GetResourceVersion()}}
	w, err := r.client.Watch(ctx, empty(), append(slices.Clone(options), from)...)
	if err != nil {
		return true, false, err
	}
	defer w.Stop()
	relay(ctx, w, changes)
	return true, true, nil
}

// objectsFollowed bounds what is listed of a kind before it is watched.
const objectsFollowed = 2000

// relay passes on what a watch tells until it ends.
func relay(ctx context.Context, w watch.Interface, changes chan<- change) {
	for event := range w.ResultChan() {
		object, ok := event.Object.(client.Object)
		if !ok || event.Type == watch.Bookmark || event.Type == watch.Error {
			continue
		}
		// Nothing here reads who wrote what, and it is much of what is kept.
		object.SetManagedFields(nil)
		if !tell(ctx, changes, change{object: object, gone: event.Type == watch.Deleted, altered: event.Type == watch.Modified}) {
			return
		}
	}
}

func tell(ctx context.Context, changes chan<- change, c change) bool {
	select {
	case changes <- c:
		return true
	case <-ctx.Done():
		return false
	}
}

// with is the view with a change.
func (v view) with(c change) view {
	switch o := c.object.(type) {
	case *corev1.Pod:
		v.pods = put(v.pods, o, c.gone)
	case *corev1.Event:
		// Events end by their age, and that is no news.
		v.events = put(v.events, o, c.gone)
	case *discoveryv1.EndpointSlice:
		v.slices = put(v.slices, o, c.gone)
	}
	switch l := c.list.(type) {
	case *corev1.PodList:
		v.pods = byName(l.Items)
	case *corev1.EventList:
		v.events = byName(l.Items)
	case *discoveryv1.EndpointSliceList:
		v.slices = byName(l.Items)
	}
	return v
}

// has tells whether an object is in the view.
func (v view) has(object client.Object) bool {
	ok := false
	switch object.(type) {
	case *corev1.Pod:
		_, ok = v.pods[object.GetName()]
	case *corev1.Event:
		_, ok = v.events[object.GetName()]
	case *discoveryv1.EndpointSlice:
		_, ok = v.slices[object.GetName()]
	}
	return ok
}

// put returns a copy of a map with an object, or without it.
func put[T client.Object](in map[string]T, object T, gone bool) map[string]T {
	out := maps.Clone(in)
	if gone {
		delete(out, object.GetName())
	} else {
		out[object.GetName()] = object
	}
	return out
}

func byName[T any, P interface {
	*T
	client.Object
}](items []T) map[string]P {
	out := make(map[string]P, len(items))
	for i := range items {
		object := P(&items[i])
		object.SetManagedFields(nil)
		out[object.GetName()] = object
	}
	return out
}
