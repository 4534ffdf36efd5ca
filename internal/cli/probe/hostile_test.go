package probe

import (
	"strings"
	"testing"
	"time"
	"unicode"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/maek-dev/maek/internal/finding"
	"github.com/maek-dev/maek/internal/probe"
	"github.com/maek-dev/maek/internal/report"
)

// What programs write into their answers reaches the page through Events: it must neither steer the terminal, nor
// turn the text around, nor fill the screen, in no language and at no width.
func TestWhatProgramsWriteIsHarmless(t *testing.T) {
	hostile := "\x1b]0;owned\x07\x1b[2J\xff\xfe\u202eright to left\u2066\r\n" + strings.Repeat("x", 1<<20)
	said := failure(2, 0)
	said.Message = "Readiness probe failed: " + hostile
	p := watchedPod(func(p *corev1.Pod) {
		p.Status.ContainerStatuses[0].LastTerminationState.Terminated = &corev1.ContainerStateTerminated{ExitCode: 1, Reason: hostile, FinishedAt: metav1.NewTime(moment)}
		p.Spec.ReadinessGates = []corev1.PodReadinessGate{{ConditionType: "example.com/gate"}}
		p.Status.Conditions = []corev1.PodCondition{
			{Type: "example.com/gate", Status: corev1.ConditionFalse, Message: hostile},
			{Type: corev1.PodScheduled, Status: corev1.ConditionFalse, Message: hostile},
		}
	})
	answer := asked{from: byForward, timeout: time.Second, outcome: probe.Outcome{Kubelet: probe.Verdict{Result: probe.Failure, Message: hostile}}}
	for _, language := range []finding.Language{finding.English, finding.Korean} {
		for _, width := range []int{80, 100, 120} {
			e := &evidence{target: target{"Pod", "shop", "web"}, pods: []*corev1.Pod{p}, events: []*corev1.Event{said}}
			d := &describer{
				evidence: e, now: moment, language: language, location: time.UTC,
				answers: map[key][]asked{{"web", "app", probe.Readiness}: {answer}},
			}
			var page strings.Builder
			if err := d.document().page(report.Options{Language: language, Width: width, Program: "kubectl maek"}).Write(&page); err != nil {
				t.Fatal(err)
			}
			if page.Len() > 16<<10 {
				t.Errorf("%s at %d: %d bytes", language, width, page.Len())
			}
			for line := range strings.Lines(page.String()) {
				line = strings.TrimSuffix(line, "\n")
				if i := strings.IndexFunc(line, func(r rune) bool { return unicode.IsControl(r) || unicode.In(r, unicode.Cf) }); i >= 0 {
					t.Errorf("%s at %d: %q", language, width, line)
				}
				columns := 0
				for _, r := range line {
					columns++
					if unicode.Is(unicode.Hangul, r) {
						columns++
					}
				}
				if columns > width {
					t.Errorf("%s at %d: %d columns: %s", language, width, columns, line)
				}
			}
		}
	}
}
