package v1

import metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

// KuberhealthyState is what is known of the check or the job of the same name. It has no status: its
// spec is the state, and only the operator writes it.
//
// +kubebuilder:object:root=true
// +kubebuilder:resource:path=khstates,singular=khstate,shortName=khs
// +kubebuilder:printcolumn:name="OK",type=string,JSONPath=`.spec.OK`,description="OK status"
// +kubebuilder:printcolumn:name="Age LastRun",type=date,JSONPath=`.spec.LastRun`,description="Last Run"
// +kubebuilder:printcolumn:name="Age",type=date,JSONPath=`.metadata.creationTimestamp`,description="Age"
type KuberhealthyState struct {
	metav1.TypeMeta `json:",inline"`
	// +optional
	metav1.ObjectMeta `json:"metadata,omitzero"`

	// Spec is the state.
	Spec State `json:"spec"`
}

// KuberhealthyStateList is a list of KuberhealthyState objects.
//
// +kubebuilder:object:root=true
type KuberhealthyStateList struct {
	metav1.TypeMeta `json:",inline"`
	// +optional
	metav1.ListMeta `json:"metadata,omitempty"`

	// Items of the list.
	Items []KuberhealthyState `json:"items"`
}

// State is what is known of a check or a job.
type State struct {
	// OK tells whether the last run ended well.
	OK bool `json:"OK"`
	// Errors of the last run.
	Errors []string `json:"Errors"`
	// RunDuration of the last run, such as 22.5s; empty where a run could not be carried out.
	RunDuration string `json:"RunDuration"`
	// Namespace of the check.
	Namespace string `json:"Namespace"`
	// Node that the checker pod ran on.
	Node string `json:"Node"`
	// LastRun is when this was last written: by a report, or at the end of a run.
	// +nullable
	// +optional
	LastRun *metav1.Time `json:"LastRun,omitempty"`
	// AuthoritativePod is the operator's pod that wrote this.
	AuthoritativePod string `json:"AuthoritativePod"`
	// CurrentUUID is the run whose pod may report.
	CurrentUUID string `json:"uuid"`
	// KHWorkload is in Kuberhealthy's definition, and written by nobody.
	// +nullable
	// +optional
	KHWorkload *string `json:"khWorkload,omitempty"`
}
