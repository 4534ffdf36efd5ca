package podrun

import (
	"crypto/sha256"
	"encoding/hex"
	"strings"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/util/validation"

	"github.com/maek-dev/maek/api/maek/v1alpha1"
)

// The labels of the pods, beside v1alpha1.LabelRunOf.
const (
	// LabelCheck holds the check's name, or the beginning of one that is too long for a label: for people who look
	// for a check's pods.
	LabelCheck = "maek.dev/check"
	// LabelSlot holds the slot that a pod is the run of.
	LabelSlot = "maek.dev/slot"
)

// slotLayout writes a slot as the value of a label, in UTC.
const slotLayout = "20060102T150405.000000000Z"

// suffixLength is how many digits tell the pods of a check's slots apart, and those of checks of one name that
// followed each other.
const suffixLength = 10

// PodName is the name of the pod of a check's slot. It is a DNS label: at most 63 bytes, without dots.
func PodName(check *v1alpha1.Check, slot time.Time) string {
	sum := sha256.Sum256([]byte(string(check.UID) + " " + slotLabel(slot)))
	return clip(strings.ReplaceAll(check.Name, ".", "-"), validation.DNS1123LabelMaxLength-suffixLength-1) +
		"-" + hex.EncodeToString(sum[:])[:suffixLength]
}

func slotLabel(slot time.Time) string { return slot.UTC().Format(slotLayout) }

// slotOf is the slot that a pod is the run of; false where it tells none.
func slotOf(pod *corev1.Pod) (time.Time, bool) {
	slot, err := time.Parse(slotLayout, pod.Labels[LabelSlot])
	return slot, err == nil
}

// clip cuts a name to so many bytes, and so that it ends as names and labels must.
func clip(name string, most int) string {
	return strings.TrimRight(name[:min(len(name), most)], "-._")
}
