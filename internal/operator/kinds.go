package operator

import (
	"context"
	"fmt"

	coordinationv1 "k8s.io/api/coordination/v1"
	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"
	networkingv1 "k8s.io/api/networking/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/meta"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"sigs.k8s.io/controller-runtime/pkg/client"

	khv1 "github.com/maek-dev/maek/api/kuberhealthy/v1"
	khv2 "github.com/maek-dev/maek/api/kuberhealthy/v2"
	"github.com/maek-dev/maek/api/maek/v1alpha1"
	"github.com/maek-dev/maek/internal/operator/check/target"
	"github.com/maek-dev/maek/internal/operator/record"
	"github.com/maek-dev/maek/internal/operator/served"
)

// newScheme has the types that the operator reads and writes.
func newScheme() (*runtime.Scheme, error) {
	scheme := runtime.NewScheme()
	for _, add := range []func(*runtime.Scheme) error{
		corev1.AddToScheme, coordinationv1.AddToScheme, discoveryv1.AddToScheme, networkingv1.AddToScheme,
		khv1.AddToScheme, khv2.AddToScheme, v1alpha1.AddToScheme,
	} {
		if err := add(scheme); err != nil {
			return nil, fmt.Errorf("collecting types: %w", err)
		}
	}
	return scheme, nil
}

// newMapper says under which resource a kind is served, whether or not it is just now.
func newMapper() meta.RESTMapper {
	mapper := meta.NewDefaultRESTMapper(nil)
	for _, kind := range served.Kinds {
		plural := kind.GroupVersion().WithResource(kind.Resource)
		// A cache of some namespaces asks for the scope of lists too.
		for _, name := range []string{kind.Kind, kind.Kind + "List"} {
			mapper.AddSpecific(kind.GroupVersion().WithKind(name), plural, plural, scopeOf(kind))
		}
	}
	for _, kind := range target.Kinds() {
		plural := kind.GroupVersion().WithResource(kind.Resource)
		scope := meta.RESTScopeRoot
		if kind.Namespaced {
			scope = meta.RESTScopeNamespace
		}
		for _, name := range []string{kind.Kind, kind.Kind + "List"} {
			mapper.AddSpecific(kind.GroupVersion().WithKind(name), plural, plural, scope)
		}
	}
	// Who takes pods out of service keeps a ledger in a Lease (internal/operator/check/inservice).
	leases := coordinationv1.SchemeGroupVersion.WithResource("leases")
	mapper.AddSpecific(coordinationv1.SchemeGroupVersion.WithKind("Lease"), leases, leases, meta.RESTScopeNamespace)
	return mapper
}

func scopeOf(kind served.Kind) meta.RESTScope {
	if kind == served.Incident || kind == served.CheckPolicy {
		return meta.RESTScopeRoot
	}
	return meta.RESTScopeNamespace
}

// checkKinds are those that the engine watches, with an empty list of each.
var checkKinds = []struct {
	kind schema.GroupVersionKind
	list func() client.ObjectList
}{
	{served.KuberhealthyCheck.GroupVersionKind, func() client.ObjectList { return &khv1.KuberhealthyCheckList{} }},
	{served.KuberhealthyJob.GroupVersionKind, func() client.ObjectList { return &khv1.KuberhealthyJobList{} }},
	{served.KuberhealthyState.GroupVersionKind, func() client.ObjectList { return &khv1.KuberhealthyStateList{} }},
	{served.HealthCheck.GroupVersionKind, func() client.ObjectList { return &khv2.HealthCheckList{} }},
}

// kindOf is the kind of a check's object.
func kindOf(check record.Check) (schema.GroupVersionKind, error) {
	version, err := schema.ParseGroupVersion(check.APIVersion)
	if err != nil {
		return schema.GroupVersionKind{}, fmt.Errorf("reading the API version of %s: %w", check.NamespacedName, err)
	}
	return version.WithKind(check.Kind), nil
}

// exists tells whether a check's object is still there. Where that cannot be told, it is.
func exists(ctx context.Context, reader client.Reader, scheme *runtime.Scheme, check record.Check) bool {
	kind, err := kindOf(check)
	if err != nil {
		return true
	}
	made, err := scheme.New(kind)
	if err != nil {
		return true
	}
	object, ok := made.(client.Object)
	if !ok {
		return true
	}
	switch err := reader.Get(ctx, check.NamespacedName, object); {
	case apierrors.IsNotFound(err):
		return false
	case err != nil:
		return true
	}
	return object.GetUID() == check.UID
}
