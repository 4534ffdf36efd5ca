package inservice

// Reasons of the condition while it is True, and of pods that are given back.
const (
	// reasonNoVerdict: nothing is known against the pod.
	reasonNoVerdict = "NoVerdict"
	// reasonRecovered: the check is green for successThreshold runs.
	reasonRecovered = "Recovered"
	// reasonStale: nobody has confirmed the verdict for three periods.
	reasonStale = "NotRefreshed"
	// reasonTooLong: maxSeconds are over.
	reasonTooLong = "TimeLimit"
	// reasonPaused: a policy or the namespace pauses.
	reasonPaused = "Paused"
	// reasonNotAllowed: no policy enforces it any more.
	reasonNotAllowed = "NotAllowed"
	// reasonCheckGone: the check was deleted.
	reasonCheckGone = "CheckDeleted"
	// reasonResting: the check is suspended or in maintenance.
	reasonResting = "CheckResting"
	// reasonNotAsked: the check asks for it no more.
	reasonNotAsked = "NotAsked"
)

// pausedMessage says what reasonPaused means.
const pausedMessage = "a CheckPolicy with paused: true, or the namespace's annotation " + PauseAnnotation + ": " + PauseValue + ", keeps all pods in service"

// reasonFailed is that of the condition while it is False, and of pods that are taken out.
const reasonFailed = "CheckFailed"

// Reasons for which a pod that fails is kept in. reasonPaused is one too.
const (
	// brakeNoGate: the pod does not name the readiness gate.
	brakeNoGate = "NoReadinessGate"
	// brakeForbidden: the namespace has not bound the ClusterRole.
	brakeForbidden = "Forbidden"
	// brakeNotReady: it is not ready anyway.
	brakeNotReady = "NotReady"
	// brakeSettling: this replica has not looked on for a full window yet.
	brakeSettling = "Settling"
	// brakeSharedCause: too many fail together for it to be this pod's own fault.
	brakeSharedCause = "SharedCause"
	// brakeNoControl: nothing else that the check asks answers well.
	brakeNoControl = "NoControl"
	// brakeHours: it is outside of the hours of a policy.
	brakeHours = "OutsideHours"
	// brakeCordoned: somebody works on its node, or is about to.
	brakeCordoned = "NodeCordoned"
	// brakeNodeNotReady: its node is not ready, or gone.
	brakeNodeNotReady = "NodeNotReady"
	// brakeUnread: something that must be known just before cannot be read.
	brakeUnread = "NotReadable"
	// brakeRollout: the workload's pods are being replaced.
	brakeRollout = "RolloutInProgress"
	// brakeNotConfirmed: asked again from several places, it did not fail from two of them.
	brakeNotConfirmed = "NotConfirmed"
	// brakeNoService: no Service sends it anything.
	brakeNoService = "NoService"
	// brakeLastEndpoint: too few endpoints would stay ready.
	brakeLastEndpoint = "TooFewEndpoints"
	// brakeMaxOut: as many pods are out as may be.
	brakeMaxOut = "MaxOut"
	// brakeTooSoon: another was taken out too short a time ago, or this one was.
	brakeTooSoon = "TooSoon"
	// brakeExhausted: it was taken out as often as it may be in a day.
	brakeExhausted = "Exhausted"
	// brakeNoEffect: it was taken out twice and did not recover.
	brakeNoEffect = "NoEffect"
)
