package workload

import (
	"slices"
	"strings"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/maek-dev/maek/internal/finding"
)

// clip cuts text to a number of runes on one line of valid UTF-8.
func clip(s string, runes int) string {
	s = strings.Join(strings.Fields(strings.ToValidUTF8(s, "\uFFFD")), " ")
	if r := []rune(s); len(r) > runes {
		return string(r[:runes]) + "…"
	}
	return s
}

// namesTold is how many names one sentence lists; the others are counted.
const namesTold = 4

// tell lists names, sorted and each once.
func tell(names []string) finding.Text {
	names = slices.Clone(names)
	slices.Sort(names)
	names = slices.Compact(names)
	if len(names) <= namesTold {
		return finding.Verbatim(strings.Join(names, ", "))
	}
	return finding.Textf("%s and %d more", "%s 외 %d개", strings.Join(names[:namesTold], ", "), len(names)-namesTold)
}

// controllerOf is the name of a pod's controller; empty where it has none.
func controllerOf(p *corev1.Pod) string {
	if ref := metav1.GetControllerOfNoCopy(p); ref != nil {
		return ref.Name
	}
	return ""
}
