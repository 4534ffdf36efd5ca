package kuberhealthy

import (
	"crypto/sha256"
	"encoding/hex"
	"strconv"
	"strings"

	"k8s.io/apimachinery/pkg/util/validation"
)

// LabelRunOf is on every checker pod that Maek makes, with the UID of the check: one selector sees the
// pods of both versions, and those of Maek's own Checks.
const LabelRunOf = "maek.dev/run-of"

// What Maek notes on a KuberhealthyState, whose own fields do not tell whether a run goes on.
const (
	// AnnotationRunOf is the UID of the check or job that the state is of.
	AnnotationRunOf = "maek.dev/run-of"
	// AnnotationRunStarted is when the newest run was recorded (RFC 3339, with nanoseconds).
	AnnotationRunStarted = "maek.dev/run-started"
	// AnnotationRunEnded is when it ended. A run that goes on has none.
	AnnotationRunEnded = "maek.dev/run-ended"
)

// What both versions put on their checker pods; users select by these.
const (
	// LabelRunIDV2 holds the run's ID, LabelCheckV2 the check's name, and LabelAppV2 AppV2.
	LabelRunIDV2 = "kuberhealthy-run-id"
	LabelCheckV2 = "kuberhealthy-check-name"
	LabelAppV2   = "app"
	AppV2        = "kuberhealthy-check"
	// AnnotationCheckV2 holds the check's name.
	AnnotationCheckV2 = "comcast.github.io/check-name"

	// LabelRunIDV3, which is also an annotation, holds the run's ID, and LabelCheckV3 the check's name.
	LabelRunIDV3 = "kh-run-uuid"
	LabelCheckV3 = "healthcheck"
	// AnnotationCheckV3 holds the check's name, AnnotationCreatedByV3 CreatedByV3, and
	// AnnotationCreatedAtV3 the run's start.
	AnnotationCheckV3     = "kuberhealthyCheckName"
	AnnotationCreatedByV3 = "createdBy"
	CreatedByV3           = "kuberhealthy"
	AnnotationCreatedAtV3 = "createdTime"
)

// StateName is the name of the KuberhealthyState of a check of version 2 (master:
// cmd/kuberhealthy/crd.go).
func StateName(check string) string {
	return strings.ReplaceAll(strings.ToLower(check), " ", "-")
}

// PodName is the name of a run's pod. It derives from check and run alone, so that whoever takes over
// finds the pod, and a second attempt to make it fails. It is a hostname: at most 63 bytes.
func PodName(check Check, run Run) string {
	suffix := strconv.FormatInt(run.Started.Unix(), 10)
	if check.API == V3 {
		suffix = digest(run.ID)[:5]
	}
	return fit(strings.ToLower(check.Name), validation.DNS1123LabelMaxLength-len(suffix)-1) + "-" + suffix
}

// nameLabel is a check's name as the value of a label.
func nameLabel(name string) string { return fit(name, validation.LabelValueMaxLength) }

// fitted is how many digits of its digest tell cut names apart.
const fitted = 8

// fit returns a name of at most so many bytes: the name itself, or its beginning and a digest of it.
func fit(name string, limit int) string {
	if len(name) <= limit {
		return name
	}
	return strings.TrimRight(clip(name, limit-fitted-1), "-._") + "-" + digest(name)[:fitted]
}

func digest(text string) string {
	sum := sha256.Sum256([]byte(text))
	return hex.EncodeToString(sum[:])
}
