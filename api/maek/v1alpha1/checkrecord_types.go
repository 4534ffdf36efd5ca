package v1alpha1

import (
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
)

// The bounds of a CheckRecord. Together they keep one record under about 32 KiB, so that a few
// thousand checks fit into etcd beside everything else.
const (
	// MaxOutcomes is the number of runs that a CheckRecord keeps.
	MaxOutcomes = 60
	// MaxHours is the number of hourly summaries that a CheckRecord keeps.
	MaxHours = 24
	// MaxDays is the number of daily summaries that a CheckRecord keeps.
	MaxDays = 30
	// MaxLogTail is the length, in bytes, of the log kept with the last failure.
	MaxLogTail = 8 << 10
)

// CheckRecord is the bounded history of one check: a Check, or one of Kuberhealthy's. The replica
// that runs the check writes it on transitions and every few minutes, so that every other replica
// can show it and a restart forgets nothing that matters.
//
// It has no spec and no status: nobody desires a history, and one write makes it whole.
//
// +kubebuilder:object:root=true
// +kubebuilder:resource:scope=Namespaced,categories=maek
// +kubebuilder:printcolumn:name="Kind",type=string,JSONPath=`.check.kind`
// +kubebuilder:printcolumn:name="Check",type=string,JSONPath=`.check.name`
// +kubebuilder:printcolumn:name="Healthy",type=string,JSONPath=`.healthy`
// +kubebuilder:printcolumn:name="Written",type=date,JSONPath=`.writtenAt`
type CheckRecord struct {
	metav1.TypeMeta `json:",inline"`
	// +optional
	metav1.ObjectMeta `json:"metadata,omitzero"`

	// Check that this is the history of, in the record's namespace.
	// +kubebuilder:validation:XValidation:rule="self == oldSelf",message="a record belongs to one check for good; write a new CheckRecord for another"
	Check CheckReference `json:"check"`
	// Writer is the operator's replica that owns the check.
	// +kubebuilder:validation:MaxLength=253
	Writer string `json:"writer"`
	// WrittenAt is when it wrote this.
	WrittenAt metav1.Time `json:"writtenAt"`
	// Healthy is the check's verdict.
	// +kubebuilder:validation:Enum=True;False;Unknown
	Healthy metav1.ConditionStatus `json:"healthy"`
	// Since is when the verdict became what it is.
	// +optional
	Since *metav1.Time `json:"since,omitempty"`
	// Streak counts how many runs in a row ended as the newest did; whoever takes the check over
	// counts on from here, so that thresholds hold across a restart.
	// +kubebuilder:validation:Minimum=0
	// +optional
	Streak int32 `json:"streak,omitempty"`
	// Outcomes of the newest runs, newest first.
	// +kubebuilder:validation:MaxItems=60
	// +listType=atomic
	// +optional
	Outcomes []Outcome `json:"outcomes,omitempty"`
	// Hours (of UTC) in which runs began last, newest first, with the one that goes on.
	// +kubebuilder:validation:MaxItems=24
	// +listType=atomic
	// +optional
	Hours []OutcomeSummary `json:"hours,omitempty"`
	// Days (of UTC) in which runs began last, newest first, with the one that goes on.
	// +kubebuilder:validation:MaxItems=30
	// +listType=atomic
	// +optional
	Days []OutcomeSummary `json:"days,omitempty"`
	// LastFailure is the newest run that failed, kept until another does.
	// +optional
	LastFailure *FailureRecord `json:"lastFailure,omitempty"`
}

// CheckRecordList is a list of CheckRecord objects.
//
// +kubebuilder:object:root=true
type CheckRecordList struct {
	metav1.TypeMeta `json:",inline"`
	// +optional
	metav1.ListMeta `json:"metadata,omitzero"`

	// Items of the list.
	Items []CheckRecord `json:"items"`
}

// CheckReference names a check of any of the APIs that Maek serves.
type CheckReference struct {
	// APIVersion of the check: maek.dev/v1alpha1, comcast.github.io/v1 or kuberhealthy.github.io/v2.
	// +kubebuilder:validation:MaxLength=317
	APIVersion string `json:"apiVersion"`
	// Kind of the check.
	// +kubebuilder:validation:MaxLength=63
	Kind string `json:"kind"`
	// Name of the check.
	// +kubebuilder:validation:MaxLength=253
	Name string `json:"name"`
	// UID of the check: one that was deleted and made anew starts a new history.
	UID types.UID `json:"uid"`
}

// CheckResult is how a run ended.
//
// +kubebuilder:validation:Enum=Success;Failure;Unknown
type CheckResult string

// The results.
const (
	// ResultSuccess: every target gave a good answer.
	ResultSuccess CheckResult = "Success"
	// ResultFailure: some target gave a bad answer, or none in time.
	ResultFailure CheckResult = "Failure"
	// ResultUnknown: the question could not be asked.
	ResultUnknown CheckResult = "Unknown"
)

// Outcome is how one run ended.
type Outcome struct {
	// At is when the run began.
	At metav1.Time `json:"at"`
	// Result of the run.
	Result CheckResult `json:"result"`
	// LatencyMilliseconds that the run took: of the slowest target where there are several.
	// +kubebuilder:validation:Minimum=0
	// +optional
	LatencyMilliseconds int32 `json:"latencyMilliseconds,omitempty"`
	// Reason in one word, for a run that did not succeed.
	// +kubebuilder:validation:MaxLength=63
	// +optional
	Reason string `json:"reason,omitempty"`
}

// OutcomeSummary sums up the runs that began within an hour or a day.
type OutcomeSummary struct {
	// Start of the hour or day.
	Start metav1.Time `json:"start"`
	// Successes is the number of runs that succeeded.
	// +kubebuilder:validation:Minimum=0
	Successes int32 `json:"successes"`
	// Failures is the number of runs that failed.
	// +kubebuilder:validation:Minimum=0
	Failures int32 `json:"failures"`
	// Unknowns is the number of runs that could not ask. They count neither for nor against.
	// +kubebuilder:validation:Minimum=0
	// +optional
	Unknowns int32 `json:"unknowns,omitempty"`
	// MeanLatencyMilliseconds of the runs that succeeded.
	// +kubebuilder:validation:Minimum=0
	// +optional
	MeanLatencyMilliseconds int32 `json:"meanLatencyMilliseconds,omitempty"`
	// MaxLatencyMilliseconds of the runs that succeeded.
	// +kubebuilder:validation:Minimum=0
	// +optional
	MaxLatencyMilliseconds int32 `json:"maxLatencyMilliseconds,omitempty"`
}

// FailureRecord is the newest failure with what was seen of it.
type FailureRecord struct {
	CheckFailure `json:",inline"`

	// LogTail is the end of the checker's log, at most 8 KiB, cut at the start of a line.
	// +kubebuilder:validation:MaxLength=8192
	// +optional
	LogTail string `json:"logTail,omitempty"`
}
