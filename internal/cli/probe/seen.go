package probe

import (
	"strings"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/maek-dev/maek/internal/finding"
	"github.com/maek-dev/maek/internal/probe"
	"github.com/maek-dev/maek/internal/snapshot"
)

// reasonKilling is the reason of the kubelet's event about a container that it ends
// (k8s.io/kubernetes/pkg/kubelet/events/event.go).
const reasonKilling = "Killing"

// A source tells so many Events of one object at first, and then one in so many minutes (k8s.io/client-go/tools/record,
// defaultSpamBurst and defaultSpamQPS); the count of that one has those that were not told.
const (
	eventsAtFirst   = 25
	eventsThenEvery = 5
)

// what an event says of a probe.
type what int

const (
	nothing what = iota
	failed
	discarded
	warned
	killed
)

// tells is what an event says of this very probe, with the words of the probe itself.
func (o one) tells(e *corev1.Event) (what, string) {
	if !about(e, o.pod) || e.InvolvedObject.FieldPath != o.fieldPath() {
		return nothing, ""
	}
	words := string(o.kind) + " probe "
	rest, ours := strings.CutPrefix(e.Message, words)
	switch {
	case e.Reason == reasonKilling && strings.Contains(e.Message, "ontainer "+o.container.Name+" failed "+strings.ToLower(string(o.kind))+" probe"):
		return killed, e.Message
	case !ours:
		return nothing, ""
	}
	_, message, _ := strings.Cut(rest, ": ")
	switch {
	case e.Reason == probe.ReasonUnhealthy && strings.HasPrefix(rest, "failed"):
		return failed, message
	case e.Reason == probe.ReasonUnhealthy && strings.HasPrefix(rest, "errored"):
		return discarded, message
	case e.Reason == probe.ReasonProbeWarning:
		return warned, message
	default:
		return nothing, ""
	}
}

// fieldPath names the container as events do (k8s.io/kubernetes/pkg/kubelet/container/ref.go).
func (o one) fieldPath() string {
	if o.sidecar {
		return "spec.initContainers{" + o.container.Name + "}"
	}
	return "spec.containers{" + o.container.Name + "}"
}

// history is what the kubelet has told of a probe.
type history struct {
	counts counts
	// first and last time of what went wrong, and its latest words.
	first, last time.Time
	message     string
	// alike is how often those words were told, and alikeSince since when: a row of its own, where others went before.
	alike      int
	alikeSince time.Time
	lastKill   time.Time
}

func (o one) history(e *evidence) history {
	var h history
	for _, event := range e.events {
		is, message := o.tells(event)
		n := times(event)
		switch is {
		case failed:
			h.counts.Failed += n
		case discarded:
			h.counts.Discarded += n
		case warned:
			h.counts.Warned += n
		case killed:
			h.counts.Killed += n
			h.lastKill = finding.Later(h.lastKill, snapshot.EventTime(event))
			continue
		case nothing:
			continue
		}
		h.first = finding.Earlier(h.first, snapshot.EventStart(event))
		if at := snapshot.EventTime(event); !at.Before(h.last) {
			h.last, h.message = at, message
			h.alike, h.alikeSince = n, snapshot.EventStart(event)
		}
	}
	if !h.last.IsZero() {
		h.counts.Last = new(metav1.NewTime(h.last))
	}
	h.counts.Metrics = counted(e.metrics[o.pod.Spec.NodeName], o.pod, o.container.Name, o.kind)
	return h
}

// times is how often an event was seen.
func times(e *corev1.Event) int {
	n := max(1, int(e.Count))
	if e.Series != nil {
		n = max(n, int(e.Series.Count))
	}
	return n
}

// lately tells whether the probe's latest trouble is no older than what the kubelet needs to judge.
func (h history) lately(t probe.Timing, now time.Time) bool {
	return !h.last.IsZero() && now.Sub(h.last) <= t.Detection(t.Timeout).Most
}

// seen is the history in words.
func (d *describer) seen(o one, h history) []finding.Text {
	var out []finding.Text
	if n := h.counts.Failed + h.counts.Discarded + h.counts.Warned; n > 0 {
		what := finding.Format("failed %s", "%s 실패", often(h.counts.Failed))
		switch {
		case h.counts.Failed == 0 && h.counts.Discarded > 0:
			what = finding.Format("errored %s (not counted by the kubelet)", "%s 오류(kubelet이 세지 않음)", often(h.counts.Discarded))
		case h.counts.Failed == 0:
			what = finding.Format("succeeded with a warning %s", "%s 경고와 함께 성공", often(h.counts.Warned))
		case h.counts.Warned > 0:
			what = finding.Join(", ", what, finding.Format("succeeded with a warning %s", "%s 경고와 함께 성공", often(h.counts.Warned)))
		case h.counts.Discarded > 0:
			what = finding.Join(", ", what, finding.Format("errored %s (not counted by the kubelet)", "%s 오류(kubelet이 세지 않음)", often(h.counts.Discarded)))
		}
		line := finding.Format("%s since %s, last %s", "%[2]s부터 %[1]s, 마지막 %[3]s", what, d.clock(h.first), d.ago(h.last))
		switch {
		case n == 1:
			line = finding.Format("%s, %s", "%[2]s에 %[1]s", what, d.ago(h.last))
		case h.alike > 1 && h.alike < n:
			line = finding.Format("%s; %s of these since %s", "%s. 이 가운데 %s는 %s부터", line, finding.Textf("%d", "%d회", h.alike), d.clock(h.alikeSince))
		}
		if h.message != "" {
			line = finding.Join(": ", line, finding.Verbatim(quoted(h.message)))
		}
		out = append(out, line, probe.MeaningOf(o.spec, h.message).Text())
	} else if d.eventsRead() {
		out = append(out, finding.Textf("no failure in Events, which are kept for an hour or so", "Event에 실패 기록이 없습니다(Event는 보통 한 시간 동안 보관됩니다)"))
	}
	if h.counts.Killed > 0 {
		out = append(out, finding.Format("killed for it %s, last %s", "이 probe 때문에 %s 종료했습니다. 마지막 %s", often(h.counts.Killed), d.ago(h.lastKill)))
	}
	if m := h.counts.Metrics; m != nil {
		counted := finding.Textf("counted by the kubelet: %d succeeded, %d failed", "kubelet 집계: 성공 %d회, 실패 %d회", m["successful"], m["failed"])
		if m["failed"] > h.counts.Failed && h.counts.Failed >= eventsAtFirst {
			counted = sentence(counted, finding.Textf("Events are behind, for a kubelet tells %d of one pod at first, and then one in %d min",
				"Event는 이보다 늦습니다. kubelet은 Pod 하나에 Event를 처음 %d개까지, 그 뒤로는 %d분에 하나씩만 남깁니다", eventsAtFirst, eventsThenEvery))
		}
		out = append(out, counted)
	}
	if loop := d.loops(o); !loop.IsZero() {
		out = append(out, loop, o.againUnless())
	}
	return slicesOf(out)
}

// often tells how many times.
func often(n int) finding.Text {
	if n == 1 {
		return finding.Textf("once", "1회")
	}
	return finding.Textf("%d times", "%d회", n)
}

// slicesOf leaves out what is empty.
func slicesOf(texts []finding.Text) []finding.Text {
	var out []finding.Text
	for _, t := range texts {
		if !t.IsZero() {
			out = append(out, t)
		}
	}
	return out
}

// quoted is a message of somebody else's in quotes.
func quoted(message string) string {
	// What container runtimes put before the reason for which a command did not start names nothing but their own parts.
	if _, reason, ok := strings.Cut(message, "unable to start container process: "); ok {
		message = reason
	}
	mark := `"`
	if strings.Contains(message, mark) {
		mark = "'"
	}
	return mark + said(message) + mark
}

// loops says of a container that ended that it ran for as long as this probe leaves one that does not answer:
// the arithmetic tells what killed it, also where the events are gone.
func (d *describer) loops(o one) finding.Text {
	status := o.status()
	if status == nil || o.kind == probe.Readiness || (o.kind == probe.Liveness && o.container.StartupProbe != nil) {
		return finding.Text{}
	}
	ended := status.LastTerminationState.Terminated
	if status.State.Terminated != nil {
		ended = status.State.Terminated
	}
	if ended == nil || ended.StartedAt.IsZero() || ended.Reason == "OOMKilled" || ended.Reason == "Completed" {
		return finding.Text{}
	}
	ran := ended.FinishedAt.Sub(ended.StartedAt.Time)
	budget := o.timing().StartupBudget(0)
	most := o.timing().StartupBudget(o.timing().Timeout).Most + probe.Grace(o.kind, o.spec, &o.pod.Spec)
	// Times of containers are kept to the second.
	if ran < budget.Least-time.Second || ran > most+time.Second || (ended.ExitCode != exitKilled && ended.ExitCode != exitTerminated) {
		return finding.Text{}
	}
	return finding.Format("before that it ran for %s and was killed: as long as this probe leaves a container that never answers (%s, and its time to end)",
		"직전 컨테이너는 %s 동안 실행된 뒤 강제로 종료되었습니다. 한 번도 응답하지 않은 컨테이너에 이 probe가 주는 시간(%s와 종료 시간)과 같습니다", length(ran), span(budget))
}

// againUnless says how it goes on with a container that this probe kills while it starts.
func (o one) againUnless() finding.Text {
	budget := o.timing().StartupBudget(0)
	if o.kind == probe.Startup {
		return finding.Format("it will be killed again each time unless it answers within %s of its start; if that is too short for it, it takes a larger failureThreshold",
			"시작 후 %s 안에 응답하지 않는 한 매번 다시 종료됩니다. 시작이 그보다 오래 걸리면 failureThreshold를 늘려야 합니다", length(budget.Most))
	}
	return finding.Format("it will be killed again each time unless it answers within %s of its start; if that is too short for it, it takes a startup probe",
		"시작 후 %s 안에 응답하지 않는 한 매번 다시 종료됩니다. 시작이 그보다 오래 걸리면 startup probe가 필요합니다", length(budget.Most))
}

// Exit codes of processes that were ended by SIGKILL and SIGTERM.
const (
	exitKilled     = 137
	exitTerminated = 143
)
