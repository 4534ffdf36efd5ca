package check

import (
	"context"
	"errors"
	"fmt"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/maek-dev/maek/api/maek/v1alpha1"
)

// Reader reads Checks from what the controller knows, and all else from another reader. Of a Check that is its spec,
// but for the podTemplate, its status, and of its metadata what tells it from others.
func (c *Controller) Reader(rest client.Reader) client.Reader { return reader{rest, c} }

type reader struct {
	client.Reader

	c *Controller
}

// Get implements client.Reader.
func (r reader) Get(ctx context.Context, key client.ObjectKey, object client.Object, options ...client.GetOption) error {
	into, ok := object.(*v1alpha1.Check)
	if !ok {
		return r.Reader.Get(ctx, key, object, options...)
	}
	if !r.c.Synced() {
		return fmt.Errorf("reading Check %s: not all Checks are known yet", key)
	}
	for _, s := range r.c.all() {
		s.mu.Lock()
		check := s.check.Check
		s.mu.Unlock()
		if check != nil && client.ObjectKeyFromObject(check) == key {
			check.DeepCopyInto(into)
			return nil
		}
	}
	return apierrors.NewNotFound(v1alpha1.GroupVersion.WithResource("checks").GroupResource(), key.Name)
}

// List implements client.Reader. The Checks in the list are the controller's own; options that select are not
// followed, but for the namespace.
func (r reader) List(ctx context.Context, list client.ObjectList, options ...client.ListOption) error {
	into, ok := list.(*v1alpha1.CheckList)
	if !ok {
		return r.Reader.List(ctx, list, options...)
	}
	if !r.c.Synced() {
		return errors.New("listing Checks: not all are known yet")
	}
	wanted := client.ListOptions{}
	wanted.ApplyOptions(options)
	into.Items = nil
	for _, s := range r.c.all() {
		s.mu.Lock()
		check := s.check.Check
		s.mu.Unlock()
		if check != nil && (wanted.Namespace == "" || wanted.Namespace == check.Namespace) {
			into.Items = append(into.Items, *check)
		}
	}
	return nil
}
