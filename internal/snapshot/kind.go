package snapshot

import (
	"cmp"
	"fmt"
	"reflect"
	"sync"

	admissionregistrationv1 "k8s.io/api/admissionregistration/v1"
	appsv1 "k8s.io/api/apps/v1"
	autoscalingv2 "k8s.io/api/autoscaling/v2"
	batchv1 "k8s.io/api/batch/v1"
	certificatesv1 "k8s.io/api/certificates/v1"
	coordinationv1 "k8s.io/api/coordination/v1"
	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"
	flowcontrolv1 "k8s.io/api/flowcontrol/v1"
	networkingv1 "k8s.io/api/networking/v1"
	policyv1 "k8s.io/api/policy/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	schedulingv1 "k8s.io/api/scheduling/v1"
	storagev1 "k8s.io/api/storage/v1"
	apiextensionsv1 "k8s.io/apiextensions-apiserver/pkg/apis/apiextensions/v1"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	utilruntime "k8s.io/apimachinery/pkg/util/runtime"
	apiregistrationv1 "k8s.io/kube-aggregator/pkg/apis/apiregistration/v1"

	khv1 "github.com/maek-dev/maek/api/kuberhealthy/v1"
	khv2 "github.com/maek-dev/maek/api/kuberhealthy/v2"
	"github.com/maek-dev/maek/api/maek/v1alpha1"
)

// Scheme knows every type that a snapshot can hold. It is complete when the program starts and is
// never changed after.
var Scheme = newScheme()

func newScheme() *runtime.Scheme {
	s := runtime.NewScheme()
	for _, add := range []func(*runtime.Scheme) error{
		admissionregistrationv1.AddToScheme, apiextensionsv1.AddToScheme, apiregistrationv1.AddToScheme, appsv1.AddToScheme, autoscalingv2.AddToScheme, batchv1.AddToScheme,
		certificatesv1.AddToScheme, coordinationv1.AddToScheme, corev1.AddToScheme, discoveryv1.AddToScheme,
		flowcontrolv1.AddToScheme, networkingv1.AddToScheme, policyv1.AddToScheme, rbacv1.AddToScheme,
		schedulingv1.AddToScheme, storagev1.AddToScheme,
		khv1.AddToScheme, khv2.AddToScheme, v1alpha1.AddToScheme,
	} {
		utilruntime.Must(add(s))
	}
	metav1.AddToGroupVersion(s, schema.GroupVersion{Version: "v1"})
	return s
}

// Object is a Kubernetes object of a type that Scheme knows.
type Object interface {
	runtime.Object
	metav1.Object
}

// Kind names a kind of object as the API serves it. It is comparable.
type Kind struct {
	Group    string
	Version  string
	Kind     string
	Resource string
}

// KindOf returns the kind of a Go type. It panics on a type that Scheme does not know: that is a
// mistake in the program, seen by the first test that runs it.
func KindOf[T Object]() Kind {
	t := reflect.TypeFor[T]()
	known, _ := kindsOfTypes.Load(t)
	if k, ok := known.(Kind); ok {
		return k
	}
	k := kindOfType(t)
	kindsOfTypes.Store(t, k)
	return k
}

// kindsOfTypes remembers the kinds of Go types: KindOf is asked for with every object that is read.
var kindsOfTypes sync.Map

// KindOfObject returns the kind of an object; false where Scheme does not know its type.
func KindOfObject(obj runtime.Object) (Kind, bool) {
	t := reflect.TypeOf(obj)
	known, _ := kindsOfTypes.Load(t)
	if k, ok := known.(Kind); ok {
		return k, true
	}
	gvks, _, err := Scheme.ObjectKinds(obj)
	if err != nil || len(gvks) == 0 {
		return Kind{}, false
	}
	k := kindFor(gvks[0])
	if _, own := obj.(runtime.Unstructured); !own {
		// An unstructured object is of the kind that it says, whatever its Go type.
		kindsOfTypes.Store(t, k)
	}
	return k, true
}

// KindFor returns the kind of a group, version and kind; false where Scheme does not know it.
func KindFor(gvk schema.GroupVersionKind) (Kind, bool) {
	if !Scheme.Recognizes(gvk) {
		return Kind{}, false
	}
	return kindFor(gvk), true
}

func kindOfType(t reflect.Type) Kind {
	obj, ok := reflect.TypeAssert[runtime.Object](reflect.New(t.Elem()))
	if !ok {
		panic(fmt.Sprintf("snapshot: %s is no Kubernetes object", t))
	}
	k, ok := KindOfObject(obj)
	if !ok {
		panic(fmt.Sprintf("snapshot: no scheme knows %s", t))
	}
	return k
}

// plurals are the resources whose names do not follow from their kinds' (Kuberhealthy's definitions).
var plurals = map[schema.GroupKind]string{
	{Group: khv1.GroupVersion.Group, Kind: "KuberhealthyCheck"}: "khchecks",
	{Group: khv1.GroupVersion.Group, Kind: "KuberhealthyJob"}:   "khjobs",
	{Group: khv1.GroupVersion.Group, Kind: "KuberhealthyState"}: "khstates",
}

func kindFor(gvk schema.GroupVersionKind) Kind {
	k := Kind{Group: gvk.Group, Version: gvk.Version, Kind: gvk.Kind, Resource: plurals[gvk.GroupKind()]}
	if k.Resource == "" {
		plural, _ := meta.UnsafeGuessKindToResource(gvk)
		k.Resource = plural.Resource
	}
	return k
}

// Defined tells whether a CustomResourceDefinition defines the kind, so that most clusters lack it. An API
// server has no protobuf of such kinds.
func (k Kind) Defined() bool {
	switch k.Group {
	case khv1.GroupVersion.Group, khv2.GroupVersion.Group, v1alpha1.GroupVersion.Group:
		return true
	default:
		return false
	}
}

// GroupVersionKind in apimachinery's form.
func (k Kind) GroupVersionKind() schema.GroupVersionKind {
	return schema.GroupVersionKind{Group: k.Group, Version: k.Version, Kind: k.Kind}
}

// GroupResource as RBAC and error messages write it: "pods", "deployments.apps".
func (k Kind) GroupResource() string {
	return schema.GroupResource{Group: k.Group, Resource: k.Resource}.String()
}

// CompareKinds orders kinds by group, resource and version.
func CompareKinds(a, b Kind) int {
	return cmp.Or(cmp.Compare(a.Group, b.Group), cmp.Compare(a.Resource, b.Resource), cmp.Compare(a.Version, b.Version))
}

// String is the plural resource with its group.
func (k Kind) String() string { return k.GroupResource() }

// clusterScoped lists the kinds of Scheme that have no namespace; the API server's discovery is
// the source, and a test holds the list against it.
var clusterScoped = map[string]bool{
	"Node": true, "Namespace": true, "ComponentStatus": true, "PersistentVolume": true, "StorageClass": true, "CSIDriver": true, "CSINode": true,
	"VolumeAttachment": true, "VolumeAttributesClass": true, "PriorityClass": true, "ClusterRole": true, "ClusterRoleBinding": true,
	"IngressClass": true, "ServiceCIDR": true, "IPAddress": true, "CertificateSigningRequest": true, "FlowSchema": true,
	"PriorityLevelConfiguration": true, "ValidatingWebhookConfiguration": true, "MutatingWebhookConfiguration": true,
	"ValidatingAdmissionPolicy": true, "ValidatingAdmissionPolicyBinding": true,
	"MutatingAdmissionPolicy": true, "MutatingAdmissionPolicyBinding": true, "CustomResourceDefinition": true, "APIService": true,
	"Incident": true, "CheckPolicy": true,
}

// Namespaced tells whether objects of the kind live in namespaces.
func (k Kind) Namespaced() bool { return !clusterScoped[k.Kind] }

// NewList returns an empty list of the kind, to decode into. It panics on a kind that Scheme does
// not know.
func (k Kind) NewList() runtime.Object {
	list, err := Scheme.New(schema.GroupVersionKind{Group: k.Group, Version: k.Version, Kind: k.Kind + "List"})
	if err != nil {
		panic(fmt.Sprintf("snapshot: %v", err))
	}
	return list
}
