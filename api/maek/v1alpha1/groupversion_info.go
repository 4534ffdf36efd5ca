// Package v1alpha1 holds the types of the API group maek.dev: the objects that Maek serves
// (Check, CheckPolicy, CheckRecord, Incident) and the Diagnosis document that `kubectl maek -o json` prints.
// It holds data only; what the fields mean to a reader is said here, how they are filled is
// the business of the packages above.
//
// +kubebuilder:object:generate=true
// +groupName=maek.dev
package v1alpha1

import (
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
)

var (
	// GroupVersion is the API group and version of every type in this package.
	GroupVersion = schema.GroupVersion{Group: "maek.dev", Version: "v1alpha1"}

	// SchemeBuilder collects the functions that add this package's types to a scheme.
	SchemeBuilder = runtime.NewSchemeBuilder(addKnownTypes)

	// AddToScheme adds this package's types to a scheme.
	AddToScheme = SchemeBuilder.AddToScheme
)

func addKnownTypes(scheme *runtime.Scheme) error {
	scheme.AddKnownTypes(GroupVersion,
		&Incident{}, &IncidentList{},
		&Check{}, &CheckList{},
		&CheckPolicy{}, &CheckPolicyList{},
		&CheckRecord{}, &CheckRecordList{},
	)
	metav1.AddToGroupVersion(scheme, GroupVersion)
	return nil
}
