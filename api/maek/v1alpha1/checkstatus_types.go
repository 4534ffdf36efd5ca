package v1alpha1

import metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

// CheckStatus is what the operator has learned. It is written when something in it changes
// meaning and as a slow heartbeat, never for each run: thousands of checks every few seconds
// would otherwise be thousands of writes to etcd. What each run found is in the CheckRecord.
type CheckStatus struct {
	// ObservedGeneration of the spec that this status is about.
	// +optional
	ObservedGeneration int64 `json:"observedGeneration,omitempty"`
	// Conditions Ready, Healthy and Stalled.
	// +kubebuilder:validation:MaxItems=16
	// +listType=map
	// +listMapKey=type
	// +optional
	Conditions []metav1.Condition `json:"conditions,omitempty"`
	// ObservedAt is when the newest run that this status knows of ended. A reader who finds it
	// older than StaleAfterSeconds must not believe the verdict: its writer may be dead.
	// +optional
	ObservedAt *metav1.Time `json:"observedAt,omitempty"`
	// StaleAfterSeconds is the age at which ObservedAt makes the verdict a fossil.
	// +kubebuilder:validation:Minimum=1
	// +optional
	StaleAfterSeconds int32 `json:"staleAfterSeconds,omitempty"`
	// Observer is the operator's replica that ran the check and wrote this.
	// +kubebuilder:validation:MaxLength=253
	// +optional
	Observer string `json:"observer,omitempty"`
	// Targets counts what was asked in the newest run that this status knows of: each target once for
	// each place that it was asked from.
	// +optional
	Targets *TargetCounts `json:"targets,omitempty"`
	// Failing are targets that failed in that run, by target and place.
	// +kubebuilder:validation:MaxItems=10
	// +listType=atomic
	// +optional
	Failing []CheckFailure `json:"failing,omitempty"`
	// RecentFailures of the check, newest first.
	// +kubebuilder:validation:MaxItems=5
	// +listType=atomic
	// +optional
	RecentFailures []CheckFailure `json:"recentFailures,omitempty"`
	// Transitions of the verdict, newest first.
	// +kubebuilder:validation:MaxItems=10
	// +listType=atomic
	// +optional
	Transitions []VerdictTransition `json:"transitions,omitempty"`
	// Consequences are what was done of takeOutOfService, or would have been, newest first.
	// +kubebuilder:validation:MaxItems=10
	// +listType=atomic
	// +optional
	Consequences []Consequence `json:"consequences,omitempty"`
}

// ConsequenceAction is what was done with a pod.
//
// +kubebuilder:validation:Enum=TakenOut;GivenBack;Withheld
type ConsequenceAction string

// The actions.
const (
	// ActionTakenOut: the pod was taken out of its Services.
	ActionTakenOut ConsequenceAction = "TakenOut"
	// ActionGivenBack: it was let into them again.
	ActionGivenBack ConsequenceAction = "GivenBack"
	// ActionWithheld: it fails, and a brake kept it in.
	ActionWithheld ConsequenceAction = "Withheld"
)

// Consequence is something that a check did, or would have done.
type Consequence struct {
	// At is when.
	At metav1.Time `json:"at"`
	// Action that was taken.
	Action ConsequenceAction `json:"action"`
	// DryRun tells that it was only told of.
	// +optional
	DryRun bool `json:"dryRun,omitempty"`
	// Pod that it was taken with, of the check's namespace.
	// +kubebuilder:validation:MaxLength=253
	Pod string `json:"pod"`
	// Reason in one word: for a pod that was withheld, the brake.
	// +kubebuilder:validation:MaxLength=63
	Reason string `json:"reason"`
	// Message says why in a sentence.
	// +kubebuilder:validation:MaxLength=512
	// +optional
	Message string `json:"message,omitempty"`
}

// TargetCounts counts the targets of one run by what they answered. Total is the sum of the rest.
type TargetCounts struct {
	// Total number of targets.
	// +kubebuilder:validation:Minimum=0
	Total int32 `json:"total"`
	// Healthy targets.
	// +kubebuilder:validation:Minimum=0
	Healthy int32 `json:"healthy"`
	// Unhealthy targets.
	// +kubebuilder:validation:Minimum=0
	Unhealthy int32 `json:"unhealthy"`
	// Unknown targets: those that could not be asked.
	// +kubebuilder:validation:Minimum=0
	Unknown int32 `json:"unknown"`
}

// CheckFailure is one run that failed at one target.
type CheckFailure struct {
	// At is when the run ended.
	At metav1.Time `json:"at"`
	// Target that failed: an address, or a pod's name; empty where the check has none.
	// +kubebuilder:validation:MaxLength=253
	// +optional
	Target string `json:"target,omitempty"`
	// From is the node that it was asked from; empty for the operator.
	// +kubebuilder:validation:MaxLength=253
	// +optional
	From string `json:"from,omitempty"`
	// Reason in one word, such as ConnectionRefused, TimedOut or UnexpectedStatus.
	// +kubebuilder:validation:MaxLength=63
	Reason string `json:"reason"`
	// Message says what was seen, cut to a readable length.
	// +kubebuilder:validation:MaxLength=512
	// +optional
	Message string `json:"message,omitempty"`
}

// VerdictTransition is one change of the Healthy condition.
type VerdictTransition struct {
	// At is when the verdict changed.
	At metav1.Time `json:"at"`
	// Healthy is the verdict from then on.
	// +kubebuilder:validation:Enum=True;False;Unknown
	Healthy metav1.ConditionStatus `json:"healthy"`
	// Reason of the condition.
	// +kubebuilder:validation:MaxLength=63
	Reason string `json:"reason"`
}
