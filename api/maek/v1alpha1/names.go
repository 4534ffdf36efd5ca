package v1alpha1

// LabelRunOf is on every checker pod that Maek makes, with the UID of the check: one selector sees the pods
// of both versions of Kuberhealthy, and those of Maek's own Checks.
const LabelRunOf = "maek.dev/run-of"

// AnnotationRunNow on a check, of Maek or of Kuberhealthy, is the time (RFC 3339) at which somebody wished
// for a run. It has been granted when a run began then or later.
const AnnotationRunNow = "maek.dev/run-now"

// What Maek notes on a KuberhealthyState, whose own fields do not tell whether a run goes on.
const (
	// AnnotationRunOf is the UID of the check or job that the state is of: one of each may have the same name.
	AnnotationRunOf = "maek.dev/run-of"
	// AnnotationRunStarted is when the newest run was recorded (RFC 3339, with nanoseconds).
	AnnotationRunStarted = "maek.dev/run-started"
	// AnnotationRunEnded is when it ended. A run that goes on has none.
	AnnotationRunEnded = "maek.dev/run-ended"
)

// LabelRing is on the Leases by which replicas share work, with the ring's name as its value: RingOperator
// is that of the operator's replicas.
const (
	LabelRing    = "maek.dev/ring"
	RingOperator = "operator"
)
