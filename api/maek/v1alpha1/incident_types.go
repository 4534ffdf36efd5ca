package v1alpha1

import metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

// IncidentPhase says whether an incident is going on.
//
// +kubebuilder:validation:Enum=Open;Closed
type IncidentPhase string

// The phases of an incident.
const (
	// IncidentOpen: its root is found in the newest snapshot, or could not be looked for (Unverified).
	IncidentOpen IncidentPhase = "Open"
	// IncidentClosed: its root was looked for and is gone.
	IncidentClosed IncidentPhase = "Closed"
)

// IncidentStatus is what the operator has seen of an incident.
type IncidentStatus struct {
	IncidentDetails `json:",inline"`

	// Phase of the incident.
	Phase IncidentPhase `json:"phase"`
	// OpenedAt is when the operator first saw it.
	OpenedAt metav1.Time `json:"openedAt"`
	// ClosedAt is when the operator first looked and did not see it any more.
	// +optional
	ClosedAt *metav1.Time `json:"closedAt,omitempty"`
	// Unverified says why an open incident could not be looked for since it was last seen, so that nobody
	// knows whether it goes on; empty where it was seen in the newest snapshot.
	// +optional
	Unverified string `json:"unverified,omitempty"`
}

// Incident is one open or lately closed incident of the cluster. Only the operator writes it.
//
// +kubebuilder:object:root=true
// +kubebuilder:subresource:status
// +kubebuilder:resource:scope=Cluster
// +kubebuilder:printcolumn:name="Severity",type=string,JSONPath=`.status.severity`
// +kubebuilder:printcolumn:name="Phase",type=string,JSONPath=`.status.phase`
// +kubebuilder:printcolumn:name="Code",type=string,JSONPath=`.status.code`
// +kubebuilder:printcolumn:name="Since",type=date,JSONPath=`.status.since`
// +kubebuilder:printcolumn:name="Title",type=string,JSONPath=`.status.title`
type Incident struct {
	metav1.TypeMeta `json:",inline"`
	// +optional
	metav1.ObjectMeta `json:"metadata,omitzero"`

	// Status is what the operator has seen; an incident has no desired state.
	// +optional
	Status IncidentStatus `json:"status,omitzero"`
}

// IncidentList is a list of Incident objects.
//
// +kubebuilder:object:root=true
type IncidentList struct {
	metav1.TypeMeta `json:",inline"`
	// +optional
	metav1.ListMeta `json:"metadata,omitzero"`

	// Items of the list.
	Items []Incident `json:"items"`
}
