package checkerpod

import "github.com/maek-dev/maek/api/maek/v1alpha1"

// Reason says in a word why a run is not OK. All but ReportedFailure say that the run itself went
// wrong, and nothing of what it was to check.
type Reason string

// The reasons.
const (
	// ReportedFailure: the checker looked, and what it looked at is not well.
	ReportedFailure Reason = v1alpha1.ReasonReportedFailure
	// ImagePullFailed: an image of the pod cannot be had.
	ImagePullFailed Reason = v1alpha1.ReasonImagePullFailed
	// Unschedulable: no node takes the pod.
	Unschedulable Reason = v1alpha1.ReasonUnschedulable
	// OOMKilled: a container used more memory than its limit.
	OOMKilled Reason = v1alpha1.ReasonOOMKilled
	// Crashed: a container ended with an error, and nothing was reported.
	Crashed Reason = v1alpha1.ReasonCrashed
	// NoReport: the checker ended well, and said nothing.
	NoReport Reason = v1alpha1.ReasonNoReport
	// InitFailed: an init container did not end well, so that the checker never began.
	InitFailed Reason = v1alpha1.ReasonInitFailed
	// ConfigMissing: a container needs a ConfigMap, Secret or key that is not there.
	ConfigMissing Reason = v1alpha1.ReasonConfigMissing
	// NotStarted: the pod was given a node, and its containers had not started when time was up.
	NotStarted Reason = v1alpha1.ReasonNotStarted
	// Deadline: the checker was still at work when time was up.
	Deadline Reason = v1alpha1.ReasonDeadline
	// PodDeleted: somebody deleted the pod.
	PodDeleted Reason = v1alpha1.ReasonPodDeleted
	// PodEvicted: the node, the scheduler or the API took the pod away: pressure, preemption, a drain.
	PodEvicted Reason = v1alpha1.ReasonPodEvicted
	// NodeLost: the pod's node is gone, or does not answer.
	NodeLost Reason = v1alpha1.ReasonNodeLost
	// PodRefused: the API server, or an admission controller or webhook, did not take the pod.
	PodRefused Reason = v1alpha1.ReasonPodRefused
)
