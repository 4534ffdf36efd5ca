package probes

import (
	"fmt"
	"strings"
	"time"

	corev1 "k8s.io/api/core/v1"

	"github.com/maek-dev/maek/internal/finding"
	"github.com/maek-dev/maek/internal/snapshot"
)

// observation is what the kubelets' events of one container's probe, in any number of pods, say.
type observation struct {
	// count of the events that were merged, and pods that they are about. Events are lossy: it is a
	// lower bound (k8s.io/client-go/tools/record/events_cache.go).
	count int
	pods  []*corev1.Pod
	// first and last time that one was seen.
	first, last time.Time
	// latest event.
	latest *corev1.Event
}

// observe takes the events about pods' probe that keep accepts.
func (p probe) observe(s *snapshot.Snapshot, pods []*corev1.Pod, reason string, keep func(*corev1.Event) bool) observation {
	var o observation
	for _, pod := range pods {
		at, ok := p.in(pod)
		if !ok {
			continue
		}
		seen := false
		for _, e := range s.PodEvents(pod) {
			if e.Reason != reason || e.InvolvedObject.FieldPath != at.fieldPath() || !keep(e) {
				continue
			}
			o.count += times(e)
			o.first = finding.Earlier(o.first, snapshot.EventStart(e))
			if t := snapshot.EventTime(e); o.latest == nil || t.After(o.last) {
				o.last, o.latest = t, e
			}
			seen = true
		}
		if seen {
			o.pods = append(o.pods, pod)
		}
	}
	return o
}

// times is how often an event was seen.
func times(e *corev1.Event) int {
	n := max(1, int(e.Count))
	if e.Series != nil {
		n = max(n, int(e.Series.Count))
	}
	return n
}

// evidence is the latest event, with how often such were seen.
func (o observation) evidence() []finding.Evidence {
	if o.latest == nil {
		return nil
	}
	value := finding.Quote(o.latest.Message)
	if o.count > 1 {
		value += fmt.Sprintf(" (x%d on %s over %s)", o.count, finding.Pods(len(o.pods)).EN, short(o.last.Sub(o.first)))
	}
	return []finding.Evidence{{
		Source: "Event " + o.latest.InvolvedObject.Namespace + "/" + o.latest.InvolvedObject.Name, Path: o.latest.Reason + ".message",
		Value: value, At: finding.Timestamp(o.last),
	}}
}

// short writes a duration in minutes, or in seconds where it is less than two minutes.
func short(d time.Duration) string {
	if d < 2*time.Minute {
		return fmt.Sprintf("%ds", seconds(d))
	}
	return fmt.Sprintf("%dm", int(d/time.Minute))
}

// failed tells whether an event is of a failed attempt of the probe that counted.
func (p probe) failed(e *corev1.Event) bool {
	return strings.HasPrefix(e.Message, p.said()+" probe failed: ")
}

// errored tells whether an event is of an attempt that the kubelet threw away
// (k8s.io/kubernetes/pkg/kubelet/prober/worker.go, doProbe: a result with an error counts for nothing).
func (p probe) errored(e *corev1.Event) bool {
	return strings.HasPrefix(e.Message, p.said()+" probe errored ")
}

// output is what the probe itself said, without the kubelet's words in front of it.
func output(e *corev1.Event) string {
	if e == nil {
		return ""
	}
	_, said, _ := strings.Cut(e.Message, ": ")
	return said
}

// unread says that Events, which tell most about probes, were not read whole; empty where they were.
func unread(s *snapshot.Snapshot) finding.Text {
	if s.Coverage(snapshot.KindOf[*corev1.Event]()).Known() {
		return finding.Text{}
	}
	return finding.Textf("not read whole: Events, in which kubelets tell of their probes", "Event를 모두 읽지 못해 kubelet이 남긴 probe 기록은 확인하지 못했습니다")
}

// subjectsOf names pods.
func subjectsOf(pods []*corev1.Pod) []finding.Subject {
	out := make([]finding.Subject, 0, len(pods))
	for _, p := range pods {
		out = append(out, finding.Subject{Kind: "Pod", Namespace: p.Namespace, Name: p.Name})
	}
	return out
}

// claims are the subjects that suffer where pods of the family do: the pods, who made them, and the
// workload.
func (f *family) claims(pods []*corev1.Pod) []finding.Subject {
	out := []finding.Subject{f.workload}
	if f.controller != f.workload {
		out = append(out, f.controller)
	}
	if f.workload.Kind == "Pod" {
		return out
	}
	return append(out, subjectsOf(pods)...)
}
