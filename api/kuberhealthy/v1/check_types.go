package v1

import (
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
)

// KuberhealthyCheck runs a checker pod again and again; the pod reports whether all is well.
//
// +kubebuilder:object:root=true
// +kubebuilder:resource:path=khchecks,singular=khcheck,shortName=khc
type KuberhealthyCheck struct {
	metav1.TypeMeta `json:",inline"`
	// +optional
	metav1.ObjectMeta `json:"metadata,omitzero"`

	// Spec says what to run, and how often.
	Spec CheckSpec `json:"spec"`
}

// KuberhealthyCheckList is a list of KuberhealthyCheck objects.
//
// +kubebuilder:object:root=true
type KuberhealthyCheckList struct {
	metav1.TypeMeta `json:",inline"`
	// +optional
	metav1.ListMeta `json:"metadata,omitempty"`

	// Items of the list.
	Items []KuberhealthyCheck `json:"items"`
}

// CheckSpec says what to run, and how often.
type CheckSpec struct {
	// RunInterval is the time from one start to the next, such as 5m or 1h30m. What cannot be read
	// stands for 10m.
	RunInterval string `json:"runInterval"`
	// Timeout after which a run that has not reported has failed, such as 10m. Empty, or what cannot be
	// read, stands for 5m.
	Timeout string `json:"timeout"`
	// PodSpec of the checker pods. It is kept as it was written and refused when it is first run, by the
	// API server itself: the schema of a pod would make this definition twenty times as large, and age
	// with each release.
	// +kubebuilder:validation:Schemaless
	// +kubebuilder:validation:Type=object
	// +kubebuilder:pruning:PreserveUnknownFields
	PodSpec runtime.RawExtension `json:"podSpec"`
	// ExtraAnnotations of the checker pods.
	// +optional
	ExtraAnnotations map[string]string `json:"extraAnnotations,omitempty"`
	// ExtraLabels of the checker pods.
	// +optional
	ExtraLabels map[string]string `json:"extraLabels,omitempty"`
}
