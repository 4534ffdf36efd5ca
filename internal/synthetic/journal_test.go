package synthetic

import (
	"context"
	"fmt"
	"reflect"
	"strconv"
	"strings"
	"sync"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/watch"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/client/interceptor"
)

// journal gives a fake client watches that begin at the version of a list, as an API server does; the
// fake's own begin when they are opened, and what happened in between is lost.
type journal struct {
	mu      sync.Mutex
	events  []watch.Event
	readers map[*reader]bool
}

// reader is one watch.
type reader struct {
	of     *journal
	kind   reflect.Type
	wake   chan struct{}
	result chan watch.Event
	stop   chan struct{}
	once   sync.Once
}

func (j *journal) over(c client.WithWatch) client.WithWatch {
	j.readers = map[*reader]bool{}
	return interceptor.NewClient(c, interceptor.Funcs{
		Create: func(ctx context.Context, c client.WithWatch, o client.Object, opts ...client.CreateOption) error {
			return j.write(ctx, c, watch.Added, o, func() error { return c.Create(ctx, o, opts...) })
		},
		Update: func(ctx context.Context, c client.WithWatch, o client.Object, opts ...client.UpdateOption) error {
			return j.write(ctx, c, watch.Modified, o, func() error { return c.Update(ctx, o, opts...) })
		},
		Patch: func(ctx context.Context, c client.WithWatch, o client.Object, p client.Patch, opts ...client.PatchOption) error {
			return j.write(ctx, c, watch.Modified, o, func() error { return c.Patch(ctx, o, p, opts...) })
		},
		SubResourceUpdate: func(ctx context.Context, c client.Client, name string, o client.Object, opts ...client.SubResourceUpdateOption) error {
			return j.write(ctx, c, watch.Modified, o, func() error { return c.SubResource(name).Update(ctx, o, opts...) })
		},
		Delete: func(ctx context.Context, c client.WithWatch, o client.Object, opts ...client.DeleteOption) error {
			return j.write(ctx, c, watch.Deleted, o, func() error { return c.Delete(ctx, o, opts...) })
		},
		List: func(ctx context.Context, c client.WithWatch, list client.ObjectList, opts ...client.ListOption) error {
			j.mu.Lock()
			defer j.mu.Unlock()
			err := c.List(ctx, list, opts...)
			list.SetResourceVersion(strconv.Itoa(len(j.events)))
			return err
		},
		Watch: func(_ context.Context, _ client.WithWatch, list client.ObjectList, opts ...client.ListOption) (watch.Interface, error) {
			var o client.ListOptions
			from, err := strconv.Atoi(o.ApplyOptions(opts).Raw.ResourceVersion)
			if err != nil {
				return nil, err
			}
			r := &reader{of: j, kind: reflect.TypeOf(list), wake: make(chan struct{}, 1), result: make(chan watch.Event), stop: make(chan struct{})}
			j.mu.Lock()
			j.readers[r] = true
			j.mu.Unlock()
			go r.read(from)
			return r, nil
		},
	})
}

// write keeps what became of a write: an object that finalizers hold is not gone when it is deleted, but when
// the last of them goes.
func (j *journal) write(ctx context.Context, c client.Client, kind watch.EventType, o client.Object, do func() error) error {
	j.mu.Lock()
	defer j.mu.Unlock()
	if err := do(); err != nil {
		return err
	}
	now, ok := o.DeepCopyObject().(client.Object)
	if !ok {
		return fmt.Errorf("no copy of %T", o)
	}
	switch err := c.Get(ctx, client.ObjectKeyFromObject(o), now); {
	case apierrors.IsNotFound(err):
		kind = watch.Deleted
	case err != nil:
		return err
	case kind == watch.Deleted:
		kind = watch.Modified
	}
	j.events = append(j.events, watch.Event{Type: kind, Object: now})
	for r := range j.readers {
		select {
		case r.wake <- struct{}{}:
		default:
		}
	}
	return nil
}

// read passes on the events of the reader's kind.
func (r *reader) read(from int) {
	for {
		r.of.mu.Lock()
		events := r.of.events[from:]
		r.of.mu.Unlock()
		from += len(events)
		for _, e := range events {
			if !r.wants(e.Object) {
				continue
			}
			select {
			case r.result <- e:
			case <-r.stop:
				return
			}
		}
		select {
		case <-r.wake:
		case <-r.stop:
			return
		}
	}
}

func (r *reader) wants(o runtime.Object) bool {
	return strings.TrimSuffix(r.kind.Elem().Name(), "List") == reflect.TypeOf(o).Elem().Name()
}

// Stop ends the watch.
func (r *reader) Stop() {
	r.once.Do(func() { close(r.stop) })
	r.of.mu.Lock()
	delete(r.of.readers, r)
	r.of.mu.Unlock()
}

// ResultChan gives the events.
func (r *reader) ResultChan() <-chan watch.Event { return r.result }
