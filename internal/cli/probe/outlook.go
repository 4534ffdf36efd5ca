package probe

import (
	"time"

	"github.com/maek-dev/maek/internal/finding"
	"github.com/maek-dev/maek/internal/probe"
)

// late is how much later than its period a kubelet's Event may be told without one being missing.
const late = 2 * time.Second

// row is how many failures in a row the Events of a probe show, if they show nothing else: one without a gap in which
// an attempt must have succeeded.
func (h history) row(t probe.Timing) int {
	unbroken := func(n int, since time.Time) bool {
		return n > 0 && h.last.Sub(since) <= time.Duration(n-1)*t.Pace(t.Timeout)+time.Second
	}
	switch n := h.counts.Failed; {
	case h.counts.Discarded+h.counts.Warned > 0 || h.last.Before(h.lastKill):
		return 0
	case unbroken(n, h.first):
		return n
	case unbroken(h.alike, h.alikeSince):
		return h.alike
	default:
		return 0
	}
}

// outlook says when the kubelet acts if a probe goes on failing, by the failures that Events tell of. It is silent
// where the next failure is overdue, for then an attempt has succeeded or Events are held back, and where the probe
// is answered now.
func (d *describer) outlook(o one, h history, now asked) finding.Text {
	t, status := o.timing(), o.status()
	run, last := h.row(t), h.last
	if r, watched := d.rows[o.key()]; watched && !r.earlier && r.length > 0 {
		run, last = r.length, r.last
	}
	switch {
	case run == 0 || status == nil || o.pod.DeletionTimestamp != nil || d.evidence.nodeLost(o.pod),
		o.kind == probe.Readiness && !status.Ready,
		d.now.Sub(last) > t.Pace(t.Timeout)+late,
		now.answered() && now.outcome.Kubelet.Passed():
		return finding.Text{}
	}
	var failing time.Duration
	if probe.MeaningOf(o.spec, h.message) == probe.MeansSlow {
		failing = t.Timeout
	}
	at, ok := probe.Worker{Kind: o.kind, Pod: &o.pod.Spec, Container: o.container}.Outlook(&o.pod.Status, run, last, failing)
	if !ok || at.Before(d.now) {
		return finding.Text{}
	}
	acts := finding.Format("the container is killed at about %s", "%s 무렵 컨테이너를 종료합니다", d.clock(at))
	if o.kind == probe.Readiness {
		acts = finding.Format("the pod is out of its Services at about %s", "%s 무렵 Pod가 Service에서 빠집니다", d.clock(at))
	}
	return finding.Format("%s in a row by the Events; if it goes on failing, %s (Maek's reckoning)",
		"Event로 보아 %s 실패했습니다. 계속 실패하면 %s(Maek의 계산)", finding.Textf("%d of %d failures", "연속 %[2]d회 가운데 %[1]d회", run, t.FailureThreshold), acts)
}
