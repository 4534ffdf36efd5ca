package synthetic

import (
	"context"
	"errors"
	"fmt"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/client-go/tools/pager"
	"sigs.k8s.io/controller-runtime/pkg/client"
)

// pageSize is how many objects one request lists, as many as kubectl asks for at once.
const pageSize = 500

// AccessError is a request that the API server did not allow.
type AccessError struct {
	// Verb and Resource as roles name them, such as "list" and "events".
	Verb, Resource string
	// Namespace that it is about; empty for the whole cluster.
	Namespace string
	// Err is what the API server said.
	Err error
}

// Error says which right is missing, and where.
func (e *AccessError) Error() string {
	where, role := "the namespace "+e.Namespace, "Role"
	if e.Namespace == "" {
		where, role = "the whole cluster", "ClusterRole"
	}
	return fmt.Sprintf("the check's ServiceAccount may not %s %s in %s: give it a %s with the verb %s on the resource %s",
		e.Verb, e.Resource, where, role, e.Verb, e.Resource)
}

// Unwrap returns what the API server said.
func (e *AccessError) Unwrap() error { return e.Err }

// denied tells whether a right was missing.
func denied(err error) bool {
	_, ok := errors.AsType[*AccessError](err)
	return ok
}

// explain names the right that is missing, where that is what an error of the API server says, or what
// was being done.
func explain(err error, verb, resource, namespace string) error {
	if err == nil {
		return nil
	}
	if apierrors.IsForbidden(err) {
		return &AccessError{Verb: verb, Resource: resource, Namespace: namespace, Err: err}
	}
	// The address of the request is the API server's, and the same for all.
	return fmt.Errorf("asking the API server to %s %s: %w", verb, resource, reason(err))
}

// each calls do for every object of a kind, page by page, so that a big cluster is not held in memory.
// The list says which kind, and resource is its name in roles.
func each[T client.Object](ctx context.Context, c client.Client, list client.ObjectList, resource, namespace string, where metav1.ListOptions, do func(T)) error {
	pages := pager.New(func(ctx context.Context, o metav1.ListOptions) (runtime.Object, error) {
		page, ok := list.DeepCopyObject().(client.ObjectList)
		if !ok {
			return nil, fmt.Errorf("%T is no list", list)
		}
		err := c.List(ctx, page, client.InNamespace(namespace), &client.ListOptions{Raw: &o, Limit: o.Limit, Continue: o.Continue})
		return page, err
	})
	pages.PageSize = pageSize
	pages.PageBufferSize = 1
	err := pages.EachListItem(ctx, where, func(object runtime.Object) error {
		item, ok := object.(T)
		if !ok {
			return fmt.Errorf("the list of %s holds a %T", resource, object)
		}
		do(item)
		return nil
	})
	return explain(err, "list", resource, namespace)
}

// namespaceOrAll names where a scenario looks.
func namespaceOrAll(namespace string) string {
	if namespace == "" {
		return "all namespaces"
	}
	return "the namespace " + namespace
}
