package v2

import (
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
)

// HealthCheck runs a checker pod, once or again and again; the pod reports whether all is well.
//
// +kubebuilder:object:root=true
// +kubebuilder:subresource:status
// +kubebuilder:resource:path=healthchecks,singular=healthcheck,shortName=hc
// +kubebuilder:printcolumn:name="OK",type=boolean,JSONPath=`.status.ok`
// +kubebuilder:printcolumn:name="RunInterval",type=string,JSONPath=`.spec.runInterval`
// +kubebuilder:printcolumn:name="ErrorMessage",type=string,JSONPath=`.status.errors[0]`
// +kubebuilder:printcolumn:name="Timeout",type=string,JSONPath=`.spec.timeout`
type HealthCheck struct {
	metav1.TypeMeta `json:",inline"`
	// +optional
	metav1.ObjectMeta `json:"metadata,omitzero"`

	// Spec says what to run, and how often.
	// +optional
	Spec HealthCheckSpec `json:"spec,omitzero"`
	// Status is what the operator has seen.
	// +optional
	Status HealthCheckStatus `json:"status,omitzero"`
}

// HealthCheckList is a list of HealthCheck objects.
//
// +kubebuilder:object:root=true
type HealthCheckList struct {
	metav1.TypeMeta `json:",inline"`
	// +optional
	metav1.ListMeta `json:"metadata,omitempty"`

	// Items of the list.
	Items []HealthCheck `json:"items"`
}

// HealthCheckSpec says what to run, and how often.
type HealthCheckSpec struct {
	// SingleRunOnly runs the check once and never again.
	// +optional
	SingleRunOnly bool `json:"singleRunOnly,omitempty"`
	// RunInterval is the time from one start to the next, such as 5m or 1h30m. Absent, or what cannot be
	// read, stands for 10m.
	// +optional
	RunInterval string `json:"runInterval,omitempty"`
	// Timeout after which a run that has not reported has failed, such as 10m. Absent, or what cannot be
	// read, stands for 30s.
	// +optional
	Timeout string `json:"timeout,omitempty"`
	// ExtraAnnotations of the checker pods.
	// +optional
	ExtraAnnotations map[string]string `json:"extraAnnotations,omitempty"`
	// ExtraLabels of the checker pods.
	// +optional
	ExtraLabels map[string]string `json:"extraLabels,omitempty"`
	// PodSpec is the checker pods' template.
	// +optional
	PodSpec CheckPodSpec `json:"podSpec,omitzero"`
}

// CheckPodSpec is the checker pods' template.
type CheckPodSpec struct {
	// Metadata of the pods.
	// +optional
	Metadata *CheckPodMetadata `json:"metadata,omitempty"`
	// Spec of the pods. It is kept as it was written and refused when it is first run, by the API server
	// itself: the schema of a pod would make this definition twenty times as large, and age with each
	// release.
	// +kubebuilder:validation:Schemaless
	// +kubebuilder:validation:Type=object
	// +kubebuilder:pruning:PreserveUnknownFields
	// +optional
	Spec runtime.RawExtension `json:"spec,omitzero"`
}

// CheckPodMetadata is what a template may say of its pods beside their spec.
type CheckPodMetadata struct {
	// Labels of the pods.
	// +optional
	Labels map[string]string `json:"labels,omitempty"`
	// Annotations of the pods.
	// +optional
	Annotations map[string]string `json:"annotations,omitempty"`
}

// HealthCheckStatus is what the operator has seen.
type HealthCheckStatus struct {
	// OK tells whether the last run ended well. It is false before the first.
	OK bool `json:"ok"`
	// Errors of the last run.
	// +optional
	Errors []string `json:"errors,omitempty"`
	// ConsecutiveFailures is how many runs in a row failed last. Kuberhealthy's own definition lacks it,
	// and a server with that one does not keep it.
	// +optional
	ConsecutiveFailures int `json:"consecutiveFailures,omitempty"`
	// RunDuration of the last run, in nanoseconds.
	// +optional
	RunDuration int64 `json:"runDuration,omitempty"`
	// Namespace that the check ran in.
	// +optional
	Namespace string `json:"namespace,omitempty"`
	// CurrentUUID is the run that is going on; empty between runs.
	// +optional
	CurrentUUID string `json:"currentUUID"`
	// LastRunUnix is when the last run began, in seconds since 1970.
	// +optional
	LastRunUnix int64 `json:"lastRunUnix,omitempty"`
	// SuccessCount is how many runs ended well.
	// +optional
	SuccessCount int `json:"successCount,omitempty"`
	// FailureCount is how many runs did not.
	// +optional
	FailureCount int `json:"failureCount,omitempty"`
	// LastOKUnix is when a run last ended well, in seconds since 1970.
	// +optional
	LastOKUnix int64 `json:"lastOKUnix,omitempty"`
	// LastFailureUnix is when a run last failed, in seconds since 1970.
	// +optional
	LastFailureUnix int64 `json:"lastFailureUnix,omitempty"`
	// AdditionalMetadata is in Kuberhealthy's type, and written by nobody.
	// +optional
	AdditionalMetadata string `json:"additionalMetadata,omitempty"`
}
