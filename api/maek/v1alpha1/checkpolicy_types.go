package v1alpha1

import metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

// CheckPolicy is what an administrator allows the Checks of some namespaces beyond these namespaces.
// What several policies allow adds up; what none allows is refused. Loopback and link-local addresses,
// where clouds keep the credentials of machines, are refused whatever a policy says.
//
// +kubebuilder:object:root=true
// +kubebuilder:resource:scope=Cluster,categories=maek
// +kubebuilder:printcolumn:name="Nodes",type=boolean,JSONPath=`.spec.nodes`
// +kubebuilder:printcolumn:name="TakeOutOfService",type=string,JSONPath=`.spec.takeOutOfService.mode`
// +kubebuilder:printcolumn:name="Paused",type=boolean,JSONPath=`.spec.takeOutOfService.paused`
// +kubebuilder:printcolumn:name="Age",type=date,JSONPath=`.metadata.creationTimestamp`
type CheckPolicy struct {
	metav1.TypeMeta `json:",inline"`
	// +optional
	metav1.ObjectMeta `json:"metadata,omitzero"`

	// Spec says what is allowed, and to whom.
	Spec CheckPolicySpec `json:"spec"`
}

// CheckPolicyList is a list of CheckPolicy objects.
//
// +kubebuilder:object:root=true
type CheckPolicyList struct {
	metav1.TypeMeta `json:",inline"`
	// +optional
	metav1.ListMeta `json:"metadata,omitzero"`

	// Items of the list.
	Items []CheckPolicy `json:"items"`
}

// CheckPolicySpec says what is allowed, and to whom.
type CheckPolicySpec struct {
	// NamespaceSelector selects the namespaces whose Checks this policy is for; {} selects all.
	NamespaceSelector metav1.LabelSelector `json:"namespaceSelector"`
	// Hosts that may be asked: a name (api.example.com), all names below one (*.example.com), an address,
	// or a network (10.20.0.0/16). A name is held against what the check names, whatever it resolves to;
	// an address and a network against what is connected to. Nodes and the API server are in no network
	// here: the former need Nodes, the latter an entry of its own, by name or address. The address of a
	// Service leads to whomever its namespace has behind it: name networks of Services to nobody who may
	// not ask all of them.
	// +kubebuilder:validation:MaxItems=256
	// +listType=set
	// +optional
	Hosts []PolicyHost `json:"hosts,omitempty"`
	// Nodes allows target.nodes, and pods in their node's network.
	// +optional
	Nodes bool `json:"nodes,omitempty"`
	// TakeOutOfService lets Checks take pods out of their Services. Absent means that none may.
	// +optional
	TakeOutOfService *TakeOutOfServicePolicy `json:"takeOutOfService,omitempty"`
}

// PolicyHost is a host that may be asked.
//
// +kubebuilder:validation:MinLength=1
// +kubebuilder:validation:MaxLength=253
// +kubebuilder:validation:XValidation:rule="isIP(self) || isCIDR(self) || self.matches('^([*][.])?[A-Za-z0-9_]([-A-Za-z0-9_]*[A-Za-z0-9_])?([.][A-Za-z0-9_]([-A-Za-z0-9_]*[A-Za-z0-9_])?)*[.]?$')",message="write a name (api.example.com), a wildcard (*.example.com), an address or a network (10.20.0.0/16)"
// +kubebuilder:validation:XValidation:rule="isIP(self) || isCIDR(self) || !self.matches('(^|[.])([0-9]+|0[xX][0-9A-Fa-f]*)[.]?$')",message="what ends in a number is an address to some and a name to others; write all four numbers of an IPv4 address, in decimals"
type PolicyHost string

// TakeOutOfServicePolicy bounds what Checks may take out of service. Of several policies for a
// namespace, the strictest bounds hold, and any that is paused pauses.
type TakeOutOfServicePolicy struct {
	// Mode Enforce lets Checks act that say so themselves; DryRun has all of them only tell.
	// +kubebuilder:default=DryRun
	// +optional
	Mode ConsequenceMode `json:"mode,omitempty"`
	// Paused stops all actions at once and gives back every pod that was taken out.
	// +optional
	Paused bool `json:"paused,omitempty"`
	// Windows are the times at which pods are taken out, such as those at which people are at work. Absent
	// means always. Of several policies all must have one open. Pods are given back at any time.
	// +kubebuilder:validation:MaxItems=16
	// +listType=atomic
	// +optional
	Windows []MaintenanceWindow `json:"windows,omitempty"`
	// MaxFailingPercent of a check's pods, and of a workload's, that may fail at a time for any to be taken
	// out, at least one of three: what more have in common is no fault of a single pod.
	// +kubebuilder:validation:Minimum=1
	// +kubebuilder:validation:Maximum=100
	// +kubebuilder:default=30
	// +optional
	MaxFailingPercent int32 `json:"maxFailingPercent,omitempty"`
	// MaxOut is how many pods of the cluster may be out at a time.
	// +kubebuilder:validation:Minimum=1
	// +kubebuilder:validation:Maximum=1000
	// +kubebuilder:default=5
	// +optional
	MaxOut int32 `json:"maxOut,omitempty"`
	// SecondsApart is the least time between two pods of one workload, or of one node, that are taken out.
	// +kubebuilder:validation:Minimum=1
	// +kubebuilder:validation:Maximum=86400
	// +kubebuilder:default=300
	// +optional
	SecondsApart int32 `json:"secondsApart,omitempty"`
	// MaxSeconds is how long a pod is out at most; then it is given back, whatever the check says.
	// +kubebuilder:validation:Minimum=30
	// +kubebuilder:validation:Maximum=86400
	// +kubebuilder:default=1800
	// +optional
	MaxSeconds int32 `json:"maxSeconds,omitempty"`
	// MaxTimesADay is how often one pod is taken out in 24 hours.
	// +kubebuilder:validation:Minimum=1
	// +kubebuilder:validation:Maximum=100
	// +kubebuilder:default=3
	// +optional
	MaxTimesADay int32 `json:"maxTimesADay,omitempty"`
}
