package probe

import (
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/maek-dev/maek/internal/probe"
)

// failures is an Event of failures of a readiness probe that is asked every five seconds: how many, and from when to
// when, after the moment.
func failures(count int, first, last time.Duration) *corev1.Event {
	e := failure(count, last)
	e.FirstTimestamp = metav1.NewTime(moment.Add(first))
	return e
}

func TestOutlook(t *testing.T) {
	success := asked{from: byNode, outcome: probe.Outcome{Kubelet: probe.Verdict{Result: probe.Success}}}
	tests := map[string]struct {
		events []*corev1.Event
		// since the moment.
		now    time.Duration
		answer asked
		rows   map[key]run
		change func(*corev1.Pod)
		want   string
	}{
		"two in a row": {
			events: []*corev1.Event{failures(2, -5*time.Second, 0)}, now: 2 * time.Second,
			want: "2 of 3 failures in a row by the Events; if it goes on failing, the pod is out of its Services at about 02:20:05 (Maek's reckoning)",
		},
		"the first": {
			events: []*corev1.Event{failures(1, 0, 0)}, now: 2 * time.Second,
			want: "1 of 3 failures in a row by the Events; if it goes on failing, the pod is out of its Services at about 02:20:10 (Maek's reckoning)",
		},
		"one must have succeeded between":       {events: []*corev1.Event{failures(2, -time.Minute, 0)}, now: 2 * time.Second},
		"the next is overdue":                   {events: []*corev1.Event{failures(2, -5*time.Second, 0)}, now: 8 * time.Second},
		"it is answered now":                    {events: []*corev1.Event{failures(2, -5*time.Second, 0)}, now: 2 * time.Second, answer: success},
		"all that it takes":                     {events: []*corev1.Event{failures(3, -10*time.Second, 0)}, now: 2 * time.Second},
		"no failure":                            {now: 2 * time.Second},
		"a container that is not ready already": {events: []*corev1.Event{failures(2, -5*time.Second, 0)}, now: 2 * time.Second, change: func(p *corev1.Pod) { p.Status.ContainerStatuses[0].Ready = false }},
		"who watched knows more": {
			events: []*corev1.Event{failures(9, -time.Minute, 0)}, now: 2 * time.Second, rows: map[key]run{{"web", "app", probe.Readiness}: {last: moment, length: 2}},
			want: "2 of 3 failures in a row by the Events; if it goes on failing, the pod is out of its Services at about 02:20:05 (Maek's reckoning)",
		},
		"who began to watch in between does not": {
			events: []*corev1.Event{failures(9, -time.Minute, 0)}, now: 2 * time.Second, rows: map[key]run{{"web", "app", probe.Readiness}: {last: moment, length: 2, earlier: true}},
		},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			p := watchedPod(func(p *corev1.Pod) {
				p.Spec.Containers[0].ReadinessProbe.FailureThreshold = 3
				p.Status.ContainerStatuses[0].ContainerID = "containerd://1"
				p.Status.ContainerStatuses[0].State.Running = &corev1.ContainerStateRunning{StartedAt: metav1.NewTime(moment.Add(-time.Hour))}
				if tc.change != nil {
					tc.change(p)
				}
			})
			d := &describer{evidence: &evidence{pods: []*corev1.Pod{p}, events: tc.events}, rows: tc.rows, now: moment.Add(tc.now), location: time.UTC}
			for _, o := range d.evidence.probes("") {
				got := d.outlook(o, o.history(d.evidence), tc.answer).EN
				if want := map[probe.Kind]string{probe.Readiness: tc.want}[o.kind]; got != want {
					t.Errorf("%s: %q, want %q", o.kind, got, want)
				}
			}
		})
	}
}
