// Package v2 holds the type of the API group kuberhealthy.github.io/v2, as Kuberhealthy 3 defines it
// (https://github.com/kuberhealthy/kuberhealthy, pkg/api). Maek serves such objects unchanged, so
// names and units are theirs.
//
// +kubebuilder:object:generate=true
// +groupName=kuberhealthy.github.io
package v2

import (
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
)

var (
	// GroupVersion is the API group and version of every type in this package.
	GroupVersion = schema.GroupVersion{Group: "kuberhealthy.github.io", Version: "v2"}

	// SchemeBuilder collects the functions that add this package's types to a scheme.
	SchemeBuilder = runtime.NewSchemeBuilder(addKnownTypes)

	// AddToScheme adds this package's types to a scheme.
	AddToScheme = SchemeBuilder.AddToScheme
)

func addKnownTypes(scheme *runtime.Scheme) error {
	scheme.AddKnownTypes(GroupVersion, &HealthCheck{}, &HealthCheckList{})
	metav1.AddToGroupVersion(scheme, GroupVersion)
	return nil
}
