package v1alpha1

import metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

// Changes tells what differs from an earlier diagnosis. Incidents are the same where their ids are.
type Changes struct {
	// Since is when the earlier diagnosis was made.
	Since metav1.Time `json:"since"`
	// New lists the ids of incidents that were not there.
	New []string `json:"new"`
	// Still lists the ids of incidents that were there already.
	Still []string `json:"still"`
	// Gone are the incidents that were there and are not any more, as they were told then.
	Gone []IncidentDetails `json:"gone"`
	// Unseen are the incidents that were there and may be still, as they were told then: the rules that
	// would find them could not look at everything.
	// +optional
	Unseen []IncidentDetails `json:"unseen,omitempty"`
}

// Happening is the kind of a Moment.
//
// +kubebuilder:validation:Enum=Event;Change;Incident
type Happening string

// The kinds of moments.
const (
	// HappeningEvent: somebody recorded a Kubernetes Event.
	HappeningEvent Happening = "Event"
	// HappeningChange: somebody wrote an object that an incident is about or reaches.
	HappeningChange Happening = "Change"
	// HappeningIncident: an incident began.
	HappeningIncident Happening = "Incident"
)

// Moment is one entry of a timeline.
type Moment struct {
	// At is when it happened; of an Event that was seen several times, the last time.
	At metav1.Time `json:"at"`
	// First is when an Event was first seen, where that is another time.
	// +optional
	First *metav1.Time `json:"first,omitempty"`
	// Happening says what sort of entry it is.
	Happening Happening `json:"happening"`
	// Subject that it is about.
	Subject Subject `json:"subject"`
	// Reason of an Event, code of an incident, manager of a change.
	Reason string `json:"reason"`
	// Text of it.
	Text string `json:"text"`
	// Warning marks an Event of type Warning.
	// +optional
	Warning bool `json:"warning,omitempty"`
	// Count of how often an Event was seen.
	// +optional
	Count int32 `json:"count,omitempty"`
	// Recovered marks a warning about something that is gone, or with which nothing is wrong now.
	// +optional
	Recovered bool `json:"recovered,omitempty"`
}

// Risk is what one loss that has not happened yet would take.
type Risk struct {
	// Code of the rule that found it.
	Code string `json:"code"`
	// Subject whose loss it is, or that would not bear it.
	Subject Subject `json:"subject"`
	// Title is one line: the subject first, then what would happen.
	Title string `json:"title"`
	// Why says how that is known.
	Why string `json:"why"`
	// Affected lists, by kind, the names of all that would suffer.
	// +optional
	Affected map[string][]string `json:"affected,omitempty"`
	// Remedies against it.
	// +optional
	Remedies []Remedy `json:"remedies,omitempty"`
	// Evidence for it.
	// +optional
	Evidence []Evidence `json:"evidence,omitempty"`
}

// Resilience is what `kubectl maek resilience -o json` prints: what the next loss would take.
type Resilience struct {
	metav1.TypeMeta `json:",inline"`

	// Cluster that was looked at.
	Cluster Cluster `json:"cluster"`
	// ObservedAt is the time by the cluster's own clock, or the bundle's.
	ObservedAt metav1.Time `json:"observedAt"`
	// Risks are what the next loss would take, the widest first.
	Risks []Risk `json:"risks"`
	// Skipped lists what could not be checked.
	Skipped []SkippedRule `json:"skipped"`
	// Stats of this look.
	Stats Stats `json:"stats"`
}
