package check

import (
	"context"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/watch"
	"k8s.io/client-go/tools/cache"
)

// watch follows all Checks until ctx ends. Not a shared informer: nobody else reads them, and what is kept of
// each is not what the API server sends.
func (c *Controller) watch(ctx context.Context) {
	checks := c.o.Checks.Namespace(c.o.Namespace)
	reflector := cache.NewReflectorWithOptions(&cache.ListWatch{
		ListWithContextFunc: func(ctx context.Context, o metav1.ListOptions) (runtime.Object, error) {
			return checks.List(ctx, o)
		},
		WatchFuncWithContext: func(ctx context.Context, o metav1.ListOptions) (watch.Interface, error) {
			return checks.Watch(ctx, o)
		},
	}, &unstructured.Unstructured{}, (*store)(c), cache.ReflectorOptions{Name: "checks", Clock: c.o.Clock})
	reflector.RunWithContext(ctx)
}

// store is the controller as the store that its watch fills.
type store Controller

var _ cache.ReflectorStore = (*store)(nil)

// Add takes in a Check.
func (s *store) Add(object any) error {
	check, err := decode(object)
	if err != nil {
		return err
	}
	(*Controller)(s).take(check)
	return nil
}

// Update takes in a Check.
func (s *store) Update(object any) error { return s.Add(object) }

// Delete takes a Check out.
func (s *store) Delete(object any) error {
	check, err := decode(object)
	if err != nil {
		return err
	}
	(*Controller)(s).drop(check.UID)
	return nil
}

// Replace takes in all Checks there are.
func (s *store) Replace(objects []any, _ string) error {
	c := (*Controller)(s)
	there := make(map[types.UID]bool, len(objects))
	for _, object := range objects {
		check, err := decode(object)
		if err != nil {
			return err
		}
		there[check.UID] = true
		c.take(check)
	}
	for _, s := range c.all() {
		if !there[s.uid] {
			c.drop(s.uid)
		}
	}
	c.synced.Store(true)
	return nil
}

// Resync has nothing to do.
func (s *store) Resync() error { return nil }
