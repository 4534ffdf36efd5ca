package v1alpha1

import metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

//go:generate go run -C ../../../tools ./diagnosisschema ../docs/diagnosis.schema.json

// Severity says how much a finding or an incident matters.
//
// +kubebuilder:validation:Enum=critical;warning;info
type Severity string

// The severities, worst first.
const (
	// SeverityCritical: users or the control plane are losing function now.
	SeverityCritical Severity = "critical"
	// SeverityWarning: redundancy or function is reduced, or will be lost at the next event.
	SeverityWarning Severity = "warning"
	// SeverityInfo: worth knowing; never an incident of its own.
	SeverityInfo Severity = "info"
)

// Verdict is the one-word answer about a whole cluster.
//
// +kubebuilder:validation:Enum=Healthy;Degraded;Critical;Unknown
type Verdict string

// The verdicts.
const (
	// VerdictHealthy: all that a critical rule needs was read whole, and nothing is wrong.
	VerdictHealthy Verdict = "Healthy"
	// VerdictDegraded: the worst incident is a warning.
	VerdictDegraded Verdict = "Degraded"
	// VerdictCritical: at least one incident is critical.
	VerdictCritical Verdict = "Critical"
	// VerdictUnknown: nothing was found, but too little could be looked at to say Healthy.
	VerdictUnknown Verdict = "Unknown"
)

// Confidence says how firmly the evidence carries an incident's cause.
//
// +kubebuilder:validation:Enum=high;medium;low
type Confidence string

// The confidences.
const (
	// ConfidenceHigh: the evidence names this cause and leaves no other.
	ConfidenceHigh Confidence = "high"
	// ConfidenceMedium: the evidence fits this cause best; another is possible.
	ConfidenceMedium Confidence = "medium"
	// ConfidenceLow: only the class of the cause can be told.
	ConfidenceLow Confidence = "low"
)

// Mechanism is the stable word for the way in which a subject fails. Programs may compare it.
type Mechanism string

// The mechanisms.
const (
	MechanismStopped       Mechanism = "stopped"       // it does not run, or was told not to
	MechanismHung          Mechanism = "hung"          // it runs and makes no progress
	MechanismUnreachable   Mechanism = "unreachable"   // no answer comes back, and nobody refuses
	MechanismRefused       Mechanism = "refused"       // somebody answers, and says no
	MechanismMisconfigured Mechanism = "misconfigured" // a field, flag or file is wrong
	MechanismMissing       Mechanism = "missing"       // something that is referred to does not exist
	MechanismExhausted     Mechanism = "exhausted"     // a limit, quota or capacity is used up
	MechanismExpired       Mechanism = "expired"       // a certificate or credential is out of date
	MechanismUnauthorized  Mechanism = "unauthorized"  // credentials or rights are lacking
	MechanismCrashing      Mechanism = "crashing"      // it starts and ends by itself, again and again
	MechanismKilled        Mechanism = "killed"        // something else ends it, again and again
	MechanismFailing       Mechanism = "failing"       // it answers, and the answer is an error
	MechanismDegraded      Mechanism = "degraded"      // it does less than it should
)

// Subject names what a statement is about. Kind is a Kubernetes kind or one of those that the
// API server does not know: Machine, Unit, EtcdMember, File, Endpoint, Path, Certificate.
type Subject struct {
	// Kind of the subject, such as Pod or Node.
	// +kubebuilder:validation:MaxLength=63
	Kind string `json:"kind"`
	// Namespace of the subject; empty for what has none.
	// +kubebuilder:validation:MaxLength=63
	// +optional
	Namespace string `json:"namespace,omitempty"`
	// Name of the subject.
	// +kubebuilder:validation:MaxLength=512
	Name string `json:"name"`
	// Machine on which a Unit, File or Path lies; empty for the others.
	// +kubebuilder:validation:MaxLength=253
	// +optional
	Machine string `json:"machine,omitempty"`
}

// Evidence is a value seen at a source at a time.
type Evidence struct {
	// Source is where it was seen: an object ("Pod shop/api-0"), a log, an endpoint.
	Source string `json:"source"`
	// Path within the source: a field path, a check's name, a line's container.
	// +optional
	Path string `json:"path,omitempty"`
	// Value as it was seen, cut to a readable length.
	Value string `json:"value"`
	// At is when the source says that it came to be so; absent where the source does not say.
	// +optional
	At *metav1.Time `json:"at,omitempty"`
}

// Link is one effect in an incident's chain.
type Link struct {
	// Subject that suffers; the first of several where Text counts more than one.
	Subject Subject `json:"subject"`
	// Code of the finding that says so.
	Code string `json:"code"`
	// Depth is the number of links between the root and this one; 0 is a direct effect of the root.
	Depth int32 `json:"depth"`
	// Text says what happens to it.
	Text string `json:"text"`
	// Evidence for this link.
	// +optional
	Evidence []Evidence `json:"evidence,omitempty"`
}

// Statement is a sentence with the evidence it stands on.
type Statement struct {
	// Text of the statement.
	Text string `json:"text"`
	// Evidence for it.
	// +optional
	Evidence []Evidence `json:"evidence,omitempty"`
}

// Remedy is one thing to do.
type Remedy struct {
	// Text says what to do, or what the command does.
	Text string `json:"text"`
	// Command to paste, with every name filled in; empty where there is none.
	// +optional
	Command string `json:"command,omitempty"`
	// Machine on which to run Command; empty means wherever kubectl works.
	// +optional
	Machine string `json:"machine,omitempty"`
}

// Remedies are in two parts: what ends the trouble, and what keeps it from coming back.
type Remedies struct {
	// Now ends the trouble.
	// +optional
	Now []Remedy `json:"now,omitempty"`
	// Later keeps it from coming back.
	// +optional
	Later []Remedy `json:"later,omitempty"`
}

// IncidentDetails is one root cause and everything that it explains.
type IncidentDetails struct {
	// ID is the same for the same root in every snapshot: made of code and subject.
	ID string `json:"id"`
	// Code of the root finding's rule.
	Code string `json:"code"`
	// Severity is the worst of the root and of what it explains.
	Severity Severity `json:"severity"`
	// Title is one line: the subject first, then what happened to it.
	Title string `json:"title"`
	// Subject is the root.
	Subject Subject `json:"subject"`
	// Mechanism by which the root fails.
	Mechanism Mechanism `json:"mechanism"`
	// Field, flag or file that is wrong, where there is one.
	// +optional
	Field string `json:"field,omitempty"`
	// Since is when the root began, as far as its evidence says.
	// +optional
	Since *metav1.Time `json:"since,omitempty"`
	// Why says how the cause is known.
	Why string `json:"why"`
	// Chain of effects, each below what brings it about.
	// +optional
	Chain []Link `json:"chain,omitempty"`
	// Affected lists, by kind, the names ("namespace/name", or "name") of all that suffers.
	// +optional
	Affected map[string][]string `json:"affected,omitempty"`
	// RuledOut lists other causes that the evidence excludes.
	// +optional
	RuledOut []Statement `json:"ruledOut,omitempty"`
	// Remedies for it.
	// +optional
	Remedies Remedies `json:"remedies,omitzero"`
	// Confidence in the cause.
	Confidence Confidence `json:"confidence"`
	// Evidence for the root.
	// +optional
	Evidence []Evidence `json:"evidence,omitempty"`
}

// FindingDetails is one thing that is wrong with one subject.
type FindingDetails struct {
	// Code of the rule that found it.
	Code string `json:"code"`
	// Severity as the rule judges it.
	Severity Severity `json:"severity"`
	// Subject it is about.
	Subject Subject `json:"subject"`
	// Text says what is wrong.
	Text string `json:"text"`
	// Since is when it began, where that is known.
	// +optional
	Since *metav1.Time `json:"since,omitempty"`
	// Incident is the id of the incident that it belongs to; empty for an info finding of its own
	// and for one that is settling.
	// +optional
	Incident string `json:"incident,omitempty"`
	// Settling marks a finding that has not lasted long enough to be an incident of its own.
	// +optional
	Settling bool `json:"settling,omitempty"`
}

// SkippedRule is a rule that was not, or not wholly, evaluated. It is never the same as healthy.
type SkippedRule struct {
	// Code of the rule; empty where the gap concerns no single rule.
	// +optional
	Code string `json:"code,omitempty"`
	// Reason says what could not be looked at and why.
	Reason string `json:"reason"`
}

// IgnoredFinding is a finding that somebody asked not to be shown.
type IgnoredFinding struct {
	// Code of the finding.
	Code string `json:"code"`
	// Subject of the finding.
	Subject Subject `json:"subject"`
	// By says where that was asked: an annotation on an object, a file.
	// +optional
	By string `json:"by,omitempty"`
	// Reason that was given.
	// +optional
	Reason string `json:"reason,omitempty"`
	// Until is when the request ends; absent means never.
	// +optional
	Until *metav1.Time `json:"until,omitempty"`
}

// Cluster names what was looked at.
type Cluster struct {
	// Name under which the user knows the cluster: the kubeconfig's context or the bundle.
	Name string `json:"name"`
	// Server address, where there is one.
	// +optional
	Server string `json:"server,omitempty"`
	// Version of the API server.
	// +optional
	Version string `json:"version,omitempty"`
	// Nodes is the number of Node objects read.
	Nodes int `json:"nodes"`
	// Pods is the number of Pod objects read.
	Pods int `json:"pods"`
}

// Scope is the part of a cluster to which a diagnosis is confined. The whole cluster is judged all
// the same: what a namespace suffers from may lie outside it.
type Scope struct {
	// Namespace that every incident shown touches; empty means any.
	// +optional
	Namespace string `json:"namespace,omitempty"`
	// Selector of labels that something in every incident shown carries; empty means any.
	// +optional
	Selector string `json:"selector,omitempty"`
	// OtherIncidents is the number of incidents that do not touch it and are not shown.
	OtherIncidents int `json:"otherIncidents"`
}

// Stats tells what the diagnosis cost. It is the only part that differs between two diagnoses of
// one snapshot.
type Stats struct {
	// Requests sent to the cluster.
	Requests int64 `json:"requests"`
	// Bytes received from the cluster, as they came over the wire after decompression.
	Bytes int64 `json:"bytes"`
	// Objects read.
	Objects int `json:"objects"`
	// Kinds of objects read.
	Kinds int `json:"kinds"`
	// Machines that reported, through agents or because the diagnosis was made on one; absent where none
	// was asked for.
	// +optional
	Machines *int `json:"machines,omitempty"`
	// Seconds from the first request to the end of the diagnosis.
	Seconds float64 `json:"seconds"`
}

// Diagnosis is what `kubectl maek -o json` prints: a contract for programs.
type Diagnosis struct {
	metav1.TypeMeta `json:",inline"`

	// Cluster that was looked at.
	Cluster Cluster `json:"cluster"`
	// Machine on which the diagnosis was made, where that was its purpose.
	// +optional
	Machine *Machine `json:"machine,omitempty"`
	// ObservedAt is the time by the cluster's own clock, or the bundle's.
	ObservedAt metav1.Time `json:"observedAt"`
	// Verdict about the whole cluster, or about Scope where there is one.
	Verdict Verdict `json:"verdict"`
	// Scope to which Incidents, Findings and Verdict are confined; absent means the whole cluster.
	// +optional
	Scope *Scope `json:"scope,omitempty"`
	// Incidents, the most severe first.
	Incidents []IncidentDetails `json:"incidents"`
	// Findings are all that the rules found, those that incidents explain included.
	Findings []FindingDetails `json:"findings"`
	// Skipped lists what could not be checked.
	Skipped []SkippedRule `json:"skipped"`
	// Errors lists rules that failed by a fault of Maek's own.
	// +optional
	Errors []SkippedRule `json:"errors,omitempty"`
	// Ignored lists findings that somebody asked not to be shown.
	Ignored []IgnoredFinding `json:"ignored"`
	// Changes since an earlier diagnosis, where it was compared with one.
	// +optional
	Changes *Changes `json:"changes,omitempty"`
	// Timeline of what happened, oldest first, where it was asked for.
	// +optional
	Timeline []Moment `json:"timeline,omitempty"`
	// Risks are what the next loss would take, where it was asked for. They are no part of the verdict.
	// +optional
	Risks []Risk `json:"risks,omitempty"`
	// Stats of this diagnosis.
	Stats Stats `json:"stats"`
}
