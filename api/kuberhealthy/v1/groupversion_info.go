// Package v1 holds the types of the API group comcast.github.io/v1, as Kuberhealthy 2 defines them
// (https://github.com/kuberhealthy/kuberhealthy, branch master, pkg/apis): checks, jobs, and the state
// of both. Maek serves such objects unchanged, so names and spelling are theirs.
//
// +kubebuilder:object:generate=true
// +groupName=comcast.github.io
package v1

import (
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
)

var (
	// GroupVersion is the API group and version of every type in this package.
	GroupVersion = schema.GroupVersion{Group: "comcast.github.io", Version: "v1"}

	// SchemeBuilder collects the functions that add this package's types to a scheme.
	SchemeBuilder = runtime.NewSchemeBuilder(addKnownTypes)

	// AddToScheme adds this package's types to a scheme.
	AddToScheme = SchemeBuilder.AddToScheme
)

func addKnownTypes(scheme *runtime.Scheme) error {
	scheme.AddKnownTypes(GroupVersion,
		&KuberhealthyCheck{}, &KuberhealthyCheckList{},
		&KuberhealthyJob{}, &KuberhealthyJobList{},
		&KuberhealthyState{}, &KuberhealthyStateList{},
	)
	metav1.AddToGroupVersion(scheme, GroupVersion)
	return nil
}
