package v1

// What version 2 puts on its checker pods; users select by these (master: pkg/checks/external/main.go).
const (
	// LabelRunID holds the run's ID, LabelCheck the check's name, and LabelApp App.
	LabelRunID = "kuberhealthy-run-id"
	LabelCheck = "kuberhealthy-check-name"
	LabelApp   = "app"
	App        = "kuberhealthy-check"
	// AnnotationCheck holds the check's name.
	AnnotationCheck = "comcast.github.io/check-name"
)
