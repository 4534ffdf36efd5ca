package stage

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/watch"
	"k8s.io/utils/clock"
	"sigs.k8s.io/controller-runtime/pkg/client"
)

const (
	// pauseAfterFailure lies between two attempts to read what could not be read.
	pauseAfterFailure = time.Second
	// pauseBetweenLists lies between two lists where watching is not allowed: Kuberhealthy's manifests
	// let the daemonset check list nodes, and no more.
	pauseBetweenLists = 5 * time.Second
)

// Views are what a scenario watches at one time. A change in any of them wakes Until.
type Views struct {
	client  client.WithWatch
	clock   clock.WithTicker
	changed chan struct{}
	readers sync.WaitGroup
	views   []reading
}

// reading is a view without its type.
type reading interface {
	// state tells whether the view was read once, and why it cannot be read now.
	state() (synced bool, err error)
	isOptional() bool
	read(ctx context.Context) (version string, err error)
	ask(ctx context.Context) error
}

// NewViews watches nothing yet.
func NewViews(c client.WithWatch, clk clock.WithTicker) *Views {
	return &Views{client: c, clock: clk, changed: make(chan struct{}, 1)}
}

// Wait returns when all readers have ended: end the context that they were started with first.
func (v *Views) Wait() { v.readers.Wait() }

// Tick wakes Until again and again until ctx ends, for what is told by how long it lasts.
func (v *Views) Tick(ctx context.Context, every time.Duration) {
	v.readers.Go(func() {
		ticker := v.clock.NewTicker(every)
		defer ticker.Stop()
		for {
			select {
			case <-ticker.C():
				v.wake()
			case <-ctx.Done():
				return
			}
		}
	})
}

// Answered asks for a single object, and tells why the API server does not answer.
func (v *Views) Answered(ctx context.Context) error {
	for _, r := range v.views {
		if err := r.ask(ctx); !apierrors.IsForbidden(err) {
			return err
		}
	}
	return nil
}

// Refresh reads all views that may be read anew. Its error says that the API server does not answer: then
// what the views show may be of long ago, though no watch has broken yet.
func (v *Views) Refresh(ctx context.Context) error {
	for _, r := range v.views {
		if _, err := r.read(ctx); err != nil && !apierrors.IsForbidden(err) {
			return err
		}
	}
	return nil
}

// Trouble says which view cannot be read at this moment, and why; nil where all can.
func (v *Views) Trouble() error {
	var all []error
	for _, r := range v.views {
		if _, err := r.state(); err != nil && !r.isOptional() {
			all = append(all, err)
		}
	}
	return errors.Join(all...)
}

// Until returns when done has said so for as long as steady without a break, when done fails, when
// a view that is needed may not be read, or when ctx ends. It asks done first when every view
// has been read, and then after each change.
func (v *Views) Until(ctx context.Context, steady time.Duration, done func() (bool, error)) error {
	var since <-chan time.Time
	var timer clock.Timer
	stop := func() {
		if timer != nil {
			timer.Stop()
			timer, since = nil, nil
		}
	}
	defer stop()
	for {
		ready, err := v.ready()
		if err != nil {
			return err
		}
		if ready {
			ok, err := done()
			switch {
			case err != nil || ok && steady <= 0:
				return err
			case !ok:
				stop()
			case timer == nil:
				timer = v.clock.NewTimer(steady)
				since = timer.C()
			}
		}
		select {
		case <-v.changed:
		case <-since:
			return nil
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

// ready tells that all views have been read, or may not be and need not.
func (v *Views) ready() (bool, error) {
	for _, r := range v.views {
		synced, err := r.state()
		if err != nil && apierrors.IsForbidden(err) {
			if !r.isOptional() {
				return false, err
			}
			continue
		}
		if !synced {
			return false, nil
		}
	}
	return true, nil
}

func (v *Views) wake() {
	select {
	case v.changed <- struct{}{}:
	default:
	}
}

// View is a view of the objects of one kind. Its reader lists them and watches from there, and lists
// again when the watch breaks.
type View[T client.Object] struct {
	of       *Views
	list     client.ObjectList
	options  []client.ListOption
	selected labels.Selector
	optional bool

	mu      sync.Mutex
	objects map[client.ObjectKey]T
	synced  bool
	err     error
}

// Observe watches objects of the kind of list that opts choose, until ctx ends.
func Observe[T client.Object](ctx context.Context, v *Views, list client.ObjectList, opts ...client.ListOption) *View[T] {
	return observe[T](ctx, v, false, list, opts)
}

// ObserveIfAllowed is Observe for what the scenario can do without where it may not be read.
func ObserveIfAllowed[T client.Object](ctx context.Context, v *Views, list client.ObjectList, opts ...client.ListOption) *View[T] {
	return observe[T](ctx, v, true, list, opts)
}

func observe[T client.Object](ctx context.Context, v *Views, optional bool, list client.ObjectList, opts []client.ListOption) *View[T] {
	chosen := client.ListOptions{}
	view := &View[T]{of: v, list: list, options: opts, optional: optional, selected: chosen.ApplyOptions(opts).LabelSelector}
	v.views = append(v.views, view)
	v.readers.Go(func() { view.follow(ctx) })
	return view
}

// All returns the objects by namespace and name. They are shared: do not change them.
func (v *View[T]) All() []T {
	v.mu.Lock()
	defer v.mu.Unlock()
	all := make([]T, 0, len(v.objects))
	for _, o := range v.objects {
		all = append(all, o)
	}
	slices.SortFunc(all, func(a, b T) int {
		return cmp.Or(cmp.Compare(a.GetNamespace(), b.GetNamespace()), cmp.Compare(a.GetName(), b.GetName()))
	})
	return all
}

// Denied tells that the API server does not let the view be read, and why; nil where it does.
func (v *View[T]) Denied() error {
	if _, err := v.state(); apierrors.IsForbidden(err) {
		return err
	}
	return nil
}

func (v *View[T]) isOptional() bool { return v.optional }

func (v *View[T]) state() (synced bool, err error) {
	v.mu.Lock()
	defer v.mu.Unlock()
	return v.synced, v.err
}

func (v *View[T]) follow(ctx context.Context) {
	for ctx.Err() == nil {
		version, err := v.read(ctx)
		pause := pauseAfterFailure
		switch {
		case apierrors.IsForbidden(err):
			v.fail(err)
			return
		case err != nil:
			v.fail(err)
		default:
			if err := v.watch(ctx, version); apierrors.IsForbidden(err) {
				pause = pauseBetweenLists
			}
		}
		select {
		case <-ctx.Done():
		case <-v.of.clock.After(pause):
		}
	}
}

func (v *View[T]) fail(err error) {
	v.mu.Lock()
	v.err = err
	v.mu.Unlock()
	v.of.wake()
}

func (v *View[T]) ask(ctx context.Context) error {
	list, ok := v.list.DeepCopyObject().(client.ObjectList)
	if !ok {
		return fmt.Errorf("a copy of %T is no list", v.list)
	}
	if err := v.of.client.List(ctx, list, append(slices.Clone(v.options), client.Limit(1))...); err != nil {
		return fmt.Errorf("listing %s: %w", kindOf(v.of.client, v.list), err)
	}
	return nil
}

func (v *View[T]) read(ctx context.Context) (version string, err error) {
	list, ok := v.list.DeepCopyObject().(client.ObjectList)
	if !ok {
		return "", fmt.Errorf("a copy of %T is no list", v.list)
	}
	if err := v.of.client.List(ctx, list, v.options...); err != nil {
		return "", fmt.Errorf("listing %s: %w", kindOf(v.of.client, v.list), err)
	}
	objects := map[client.ObjectKey]T{}
	err = meta.EachListItem(list, func(o runtime.Object) error {
		object, ok := o.(T)
		if !ok {
			return fmt.Errorf("%T among %s", o, kindOf(v.of.client, v.list))
		}
		objects[client.ObjectKeyFromObject(object)] = object
		return nil
	})
	if err != nil {
		return "", err
	}
	v.mu.Lock()
	v.objects, v.synced, v.err = objects, true, nil
	v.mu.Unlock()
	v.of.wake()
	return list.GetResourceVersion(), nil
}

// watch returns when the watch has broken: the API server ends each after some minutes, and one from
// a version that it no longer has at once.
func (v *View[T]) watch(ctx context.Context, version string) error {
	opts := append(slices.Clone(v.options), &client.ListOptions{Raw: &metav1.ListOptions{ResourceVersion: version, AllowWatchBookmarks: true}})
	w, err := v.of.client.Watch(ctx, v.list, opts...)
	if err != nil {
		return fmt.Errorf("watching %s: %w", kindOf(v.of.client, v.list), err)
	}
	defer w.Stop()
	for {
		select {
		case <-ctx.Done():
			return ctx.Err()
		case event, open := <-w.ResultChan():
			if !open || event.Type == watch.Error {
				return nil
			}
			v.apply(event)
		}
	}
}

func (v *View[T]) apply(event watch.Event) {
	object, ok := event.Object.(T)
	if !ok || event.Type == watch.Bookmark {
		return
	}
	gone := event.Type == watch.Deleted || v.selected != nil && !v.selected.Matches(labels.Set(object.GetLabels()))
	v.mu.Lock()
	if gone {
		delete(v.objects, client.ObjectKeyFromObject(object))
	} else {
		v.objects[client.ObjectKeyFromObject(object)] = object
	}
	v.mu.Unlock()
	v.of.wake()
}

// kindOf names a kind of object, or of the objects of a list, for error texts.
func kindOf(c client.Client, o runtime.Object) string {
	gvk, err := c.GroupVersionKindFor(o)
	if err != nil {
		return fmt.Sprintf("%T", o)
	}
	return singular(gvk.Kind)
}
