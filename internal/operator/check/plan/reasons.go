package plan

// The reasons of results that are failures, each in one word of CamelCase. Those of the first group are the
// causes of package probe, under the same words.
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

// The reasons of results that are unknown: nobody could ask.
const (
	// ReasonNotAsked: whoever was to ask did not.
	ReasonNotAsked = "NotAsked"
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

// The reasons of refusals: somebody must change something before the check can run.
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
