package checkerpod

// Reason says in a word why a run is not OK. All but ReportedFailure say that the run itself went
// wrong, and nothing of what it was to check.
type Reason string

// The reasons.
const (
	// ReportedFailure: the checker looked, and what it looked at is not well.
	ReportedFailure Reason = "ReportedFailure"
	// ImagePullFailed: an image of the pod cannot be had.
	ImagePullFailed Reason = "ImagePullFailed"
	// Unschedulable: no node takes the pod.
	Unschedulable Reason = "Unschedulable"
	// OOMKilled: a container used more memory than its limit.
	OOMKilled Reason = "OOMKilled"
	// Crashed: a container ended with an error, and nothing was reported.
	Crashed Reason = "Crashed"
	// NoReport: the checker ended well, and said nothing.
	NoReport Reason = "NoReport"
	// InitFailed: an init container did not end well, so that the checker never began.
	InitFailed Reason = "InitFailed"
	// ConfigMissing: a container needs a ConfigMap, Secret or key that is not there.
	ConfigMissing Reason = "ConfigMissing"
	// NotStarted: the pod was given a node, and its containers had not started when time was up.
	NotStarted Reason = "NotStarted"
	// Deadline: the checker was still at work when time was up.
	Deadline Reason = "Deadline"
	// PodDeleted: somebody deleted the pod.
	PodDeleted Reason = "PodDeleted"
	// PodEvicted: the node, the scheduler or the API took the pod away: pressure, preemption, a drain.
	PodEvicted Reason = "PodEvicted"
	// NodeLost: the pod's node is gone, or does not answer.
	NodeLost Reason = "NodeLost"
	// PodRefused: the API server, or an admission controller or webhook, did not take the pod.
	PodRefused Reason = "PodRefused"
)
