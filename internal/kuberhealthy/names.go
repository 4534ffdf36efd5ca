package kuberhealthy

import (
	"crypto/sha256"
	"encoding/hex"
	"strconv"
	"strings"

	"k8s.io/apimachinery/pkg/util/validation"
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
