package v1alpha1

// What a Check's conditions say, beside why a run failed or cannot be.
const (
	// ReasonSucceeded, of Healthy: every target gives a good answer.
	ReasonSucceeded = "Succeeded"
	// ReasonRetrying, of Healthy: it fails, and not often enough yet to be called unhealthy.
	ReasonRetrying = "Retrying"
	// ReasonRecovering, of Healthy: it succeeds, and not often enough yet to be called healthy.
	ReasonRecovering = "Recovering"
	// ReasonStale, of Healthy: no run has ended for so long that nobody can tell.
	ReasonStale = "Stale"
	// ReasonSuspended, of Healthy and Ready: the check is suspended.
	ReasonSuspended = "Suspended"
	// ReasonMaintenance, of Healthy and Ready: a maintenance window is open.
	ReasonMaintenance = "Maintenance"
	// ReasonStalled, of Healthy and Ready: the condition Stalled says why there is no run.
	ReasonStalled = "Stalled"
	// ReasonPending, of all three: nobody has tried yet.
	ReasonPending = "Pending"
	// ReasonRunning, of Ready: the check runs as its spec says.
	ReasonRunning = "Running"
	// ReasonOverdue, of Ready: no run has ended for two periods.
	ReasonOverdue = "Overdue"
	// ReasonOverloaded, of Ready: the operator has more to do than it can.
	ReasonOverloaded = "Overloaded"
	// ReasonAccepted, of Stalled: nothing keeps the check from running.
	ReasonAccepted = "Accepted"
)

// Why a run of a Check failed, in one word of CamelCase. Those of the first group are the causes of a probe,
// under the same words.
const (
	ReasonConnectionRefused  = "ConnectionRefused"
	ReasonConnectionReset    = "ConnectionReset"
	ReasonUnreachable        = "Unreachable"
	ReasonTimedOut           = "TimedOut"
	ReasonNameNotFound       = "NameNotFound"
	ReasonNameLookupFailed   = "NameLookupFailed"
	ReasonTLSHandshakeFailed = "TLSHandshakeFailed"
	ReasonCertificateInvalid = "CertificateInvalid"
	ReasonBodyIncomplete     = "BodyIncomplete"
	ReasonNotServing         = "NotServing"
	ReasonRecordMissing      = "RecordMissing"

	ReasonCertificateExpiring = "CertificateExpiring"
	ReasonUnexpectedStatus    = "UnexpectedStatus"
	ReasonUnexpectedBody      = "UnexpectedBody"
	ReasonUnexpectedHeader    = "UnexpectedHeader"
	ReasonUnexpectedJSON      = "UnexpectedJSON"
	ReasonUnexpectedOutput    = "UnexpectedOutput"
	ReasonTooSlow             = "TooSlow"
	ReasonRedirectedAway      = "RedirectedAway"
	ReasonCommandFailed       = "CommandFailed"
	ReasonCommandNotRun       = "CommandNotRun"
	ReasonPortNotFound        = "PortNotFound"
	ReasonContainerNotFound   = "ContainerNotFound"
	// ReasonRequestFailed: no answer that can be read, for a reason that has no word of its own.
	ReasonRequestFailed = "RequestFailed"

	// ReasonServiceNotFound: there is no Service of that name.
	ReasonServiceNotFound = "ServiceNotFound"
	// ReasonNoEndpoints: the Service has no endpoint that is ready.
	ReasonNoEndpoints = "NoEndpoints"
	// ReasonIngressNotFound: there is no Ingress of that name.
	ReasonIngressNotFound = "IngressNotFound"
	// ReasonNoAddress: the Ingress was given no address by its controller.
	ReasonNoAddress = "NoAddress"
)

// Why a run of a Check has no result: nobody could ask.
const (
	// ReasonNotAsked: whoever was to ask did not.
	ReasonNotAsked = "NotAsked"
	// ReasonOperatorStalled: the operator itself stood still while it waited for the answer.
	ReasonOperatorStalled = "OperatorStalled"
	// ReasonDiscarded: a kubelet would throw the result away.
	ReasonDiscarded = "Discarded"
	// ReasonNoPods: no pod that the selector fits is running.
	ReasonNoPods = "NoPods"
	// ReasonNoNodes: no node fits the selector.
	ReasonNoNodes = "NoNodes"
	// ReasonPodGone: the pod that was to be asked went away before it could be.
	ReasonPodGone = "PodGone"
	// ReasonEndpointsUnsettled: the Service sends to the address of a pod that is no more.
	ReasonEndpointsUnsettled = "EndpointsUnsettled"
)

// Why a Check is stalled: somebody must change something before it can run.
const (
	// ReasonNotAllowed: the target lies outside the check's namespace, and no CheckPolicy allows it, or none
	// can.
	ReasonNotAllowed = "NotAllowed"
	// ReasonTargetInvalid: the target cannot be asked as it is written.
	ReasonTargetInvalid = "TargetInvalid"
	// ReasonTooManyTargets: more fit the selector than one check asks.
	ReasonTooManyTargets = "TooManyTargets"
	// ReasonExpectationInvalid: the expectation cannot be held against any answer.
	ReasonExpectationInvalid = "ExpectationInvalid"
	// ReasonSecretsForbidden: the namespace does not let its Secrets be read.
	ReasonSecretsForbidden = "SecretsForbidden"
	// ReasonSecretNotFound: a Secret or one of its keys is missing.
	ReasonSecretNotFound = "SecretNotFound"
	// ReasonSecretInvalid: a Secret does not hold what it should.
	ReasonSecretInvalid = "SecretInvalid"
	// ReasonConfigMapForbidden: the operator may not read the ConfigMap.
	ReasonConfigMapForbidden = "ConfigMapForbidden"
	// ReasonConfigMapNotFound: a ConfigMap or one of its keys is missing.
	ReasonConfigMapNotFound = "ConfigMapNotFound"
	// ReasonConfigMapInvalid: a ConfigMap does not hold what it should.
	ReasonConfigMapInvalid = "ConfigMapInvalid"
	// ReasonExecForbidden: the namespace does not let commands be run.
	ReasonExecForbidden = "ExecForbidden"
)

// How the run of a checker pod ended that is not OK, of whatever kind the check is. All but
// ReasonReportedFailure say that the run itself went wrong, and nothing of what it was to check.
const (
	// ReasonReportedFailure: the checker looked, and what it looked at is not well.
	ReasonReportedFailure = "ReportedFailure"
	// ReasonImagePullFailed: an image of the pod cannot be had.
	ReasonImagePullFailed = "ImagePullFailed"
	// ReasonUnschedulable: no node takes the pod.
	ReasonUnschedulable = "Unschedulable"
	// ReasonOOMKilled: a container used more memory than its limit.
	ReasonOOMKilled = "OOMKilled"
	// ReasonCrashed: a container ended with an error, and nothing was reported.
	ReasonCrashed = "Crashed"
	// ReasonNoReport: the checker ended well, and said nothing.
	ReasonNoReport = "NoReport"
	// ReasonInitFailed: an init container did not end well, so that the checker never began.
	ReasonInitFailed = "InitFailed"
	// ReasonConfigMissing: a container needs a ConfigMap, Secret or key that is not there.
	ReasonConfigMissing = "ConfigMissing"
	// ReasonNotStarted: the pod was given a node, and its containers had not started when time was up.
	ReasonNotStarted = "NotStarted"
	// ReasonDeadline: the checker was still at work when time was up.
	ReasonDeadline = "Deadline"
	// ReasonPodDeleted: somebody deleted the pod.
	ReasonPodDeleted = "PodDeleted"
	// ReasonPodEvicted: the node, the scheduler or the API took the pod away: pressure, preemption, a drain.
	ReasonPodEvicted = "PodEvicted"
	// ReasonNodeLost: the pod's node is gone, or does not answer.
	ReasonNodeLost = "NodeLost"
	// ReasonPodRefused: the API server, or an admission controller or webhook, did not take the pod.
	ReasonPodRefused = "PodRefused"
	// ReasonAPIServerUnreachable: the API server did not answer, so that no pod could be made, or its end not be
	// seen.
	ReasonAPIServerUnreachable = "APIServerUnreachable"
	// ReasonTerminating: the namespace, or the check, is being deleted.
	ReasonTerminating = "Terminating"
	// ReasonNotRun: the pod could not be run, for a reason that only the message names.
	ReasonNotRun = "NotRun"
	// ReasonUnable: the scenario could not look, for options or rights.
	ReasonUnable = "Unable"
)
