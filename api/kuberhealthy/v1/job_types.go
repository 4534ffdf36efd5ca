package v1

import (
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
)

// JobPhase says how far a job is.
type JobPhase string

// The phases of a job. A job without one has not begun.
const (
	// JobRunning: its pod was made, or is about to be.
	JobRunning JobPhase = "Running"
	// JobCompleted: it has ended, well or not; its KuberhealthyState tells.
	JobCompleted JobPhase = "Completed"
)

// KuberhealthyJob runs a checker pod once.
//
// +kubebuilder:object:root=true
// +kubebuilder:resource:path=khjobs,singular=khjob,shortName=khj
type KuberhealthyJob struct {
	metav1.TypeMeta `json:",inline"`
	// +optional
	metav1.ObjectMeta `json:"metadata,omitzero"`

	// Spec says what to run. The operator writes its phase.
	Spec JobSpec `json:"spec"`
}

// KuberhealthyJobList is a list of KuberhealthyJob objects.
//
// +kubebuilder:object:root=true
type KuberhealthyJobList struct {
	metav1.TypeMeta `json:",inline"`
	// +optional
	metav1.ListMeta `json:"metadata,omitempty"`

	// Items of the list.
	Items []KuberhealthyJob `json:"items"`
}

// JobSpec says what to run.
type JobSpec struct {
	// Phase of the job: empty until it begins.
	// +optional
	Phase JobPhase `json:"phase,omitempty"`
	// Timeout after which a run that has not reported has failed, such as 10m. Empty, or what cannot be
	// read, stands for 5m.
	Timeout string `json:"timeout"`
	// PodSpec of the checker pod, kept as it was written.
	// +kubebuilder:validation:Schemaless
	// +kubebuilder:validation:Type=object
	// +kubebuilder:pruning:PreserveUnknownFields
	PodSpec runtime.RawExtension `json:"podSpec"`
	// ExtraAnnotations of the checker pod.
	// +optional
	ExtraAnnotations map[string]string `json:"extraAnnotations,omitempty"`
	// ExtraLabels of the checker pod.
	// +optional
	ExtraLabels map[string]string `json:"extraLabels,omitempty"`
}
