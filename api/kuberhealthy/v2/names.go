package v2

// What version 3 puts on its checker pods; users select by these (main: internal/kuberhealthy/kuberhealthy.go).
const (
	// LabelRunID, which is also an annotation, holds the run's ID, and LabelCheck the check's name.
	LabelRunID = "kh-run-uuid"
	LabelCheck = "healthcheck"
	// AnnotationCheck holds the check's name, AnnotationCreatedBy CreatedBy, and AnnotationCreatedAt the run's
	// start.
	AnnotationCheck     = "kuberhealthyCheckName"
	AnnotationCreatedBy = "createdBy"
	CreatedBy           = "kuberhealthy"
	AnnotationCreatedAt = "createdTime"
)

// DefaultLease is the name of the Lease by which version 3 elects its leader (main:
// cmd/kuberhealthy/config.go, KH_LEADER_ELECTION_NAME).
const DefaultLease = "kuberhealthy-controller"
