package podrun

import (
	"strings"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/util/validation"

	"github.com/maek-dev/maek/api/maek/v1alpha1"
)

func named(name, uid string) *v1alpha1.Check {
	return &v1alpha1.Check{ObjectMeta: metav1.ObjectMeta{Namespace: "shop", Name: name, UID: types.UID(uid)}}
}

func TestPodNames(t *testing.T) {
	t.Parallel()
	slot := time.Date(2026, 3, 1, 12, 0, 0, 1, time.UTC)
	seen := map[string]string{}
	for what, name := range map[string]string{
		"a check":                         PodName(named("open", "a"), slot),
		"its next slot":                   PodName(named("open", "a"), slot.Add(time.Nanosecond)),
		"a later check of the name":       PodName(named("open", "b"), slot),
		"a name with dots":                PodName(named("shop.example.com", "c"), slot),
		"the longest name":                PodName(named(strings.Repeat("a", 253), "d"), slot),
		"a long name that differs late":   PodName(named(strings.Repeat("a", 252)+"b", "e"), slot),
		"a name that is cut before a dot": PodName(named(strings.Repeat("a", 51)+".b", "f"), slot),
	} {
		if bad := validation.IsDNS1123Label(name); len(bad) > 0 {
			t.Errorf("%s: %s is no label: %v", what, name, bad)
		}
		if other, taken := seen[name]; taken {
			t.Errorf("%s and %s have the name %s", what, other, name)
		}
		seen[name] = what
	}
	seoul := time.FixedZone("KST", 9*60*60)
	if PodName(named("open", "a"), slot) != PodName(named("open", "a"), slot.In(seoul)) {
		t.Error("the name hangs on the time zone")
	}
}

func TestSlotsAreReadAsTheyWereWritten(t *testing.T) {
	t.Parallel()
	slot := time.Date(2026, 3, 1, 12, 0, 0, 123_456_789, time.FixedZone("KST", 9*60*60))
	label := slotLabel(slot)
	if bad := validation.IsValidLabelValue(label); len(bad) > 0 {
		t.Errorf("%s is no value of a label: %v", label, bad)
	}
	pod := &corev1.Pod{ObjectMeta: metav1.ObjectMeta{Labels: map[string]string{LabelSlot: label}}}
	if got, ok := slotOf(pod); !ok || !got.Equal(slot) {
		t.Errorf("it is %s (%t), want %s", got, ok, slot)
	}
	if _, ok := slotOf(&corev1.Pod{}); ok {
		t.Error("a pod without the label tells a slot")
	}
}
