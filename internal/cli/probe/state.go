package probe

import (
	"fmt"
	"strconv"
	"time"

	corev1 "k8s.io/api/core/v1"

	"github.com/maek-dev/maek/internal/finding"
	"github.com/maek-dev/maek/internal/probe"
	"github.com/maek-dev/maek/internal/snapshot"
)

func (d *describer) containerReport(pod *corev1.Pod, c place) containerReport {
	status := statusOf(pod, c.spec.Name)
	out := containerReport{Name: c.spec.Name, Sidecar: c.sidecar, State: d.state(status).In(d.language)}
	if status != nil {
		out.Restarts, out.Ready = int(status.RestartCount), status.Ready
		out.Started = status.Started != nil && *status.Started
	}
	all := d.evidence.probesOf(pod, c)
	if len(all) == 0 {
		out.None = d.none(pod).In(d.language)
	}
	for _, o := range all {
		out.Probes = append(out.Probes, d.probe(o))
	}
	return out
}

// none says what it comes to that a container has no probe.
func (d *describer) none(pod *corev1.Pod) finding.Text {
	text := finding.Textf("no probes: the kubelet takes the container for ready and well as long as its process runs, and restarts it only when it ends",
		"probe가 없습니다. kubelet은 프로세스가 실행 중이면 정상이고 Ready라고 보며, 프로세스가 끝났을 때만 재시작합니다")
	if members := d.evidence.memberships(pod); len(members) > 0 {
		text = sentence(text, finding.Textf("Service %s sends it traffic from its first moment", "Service %s는 시작하자마자 트래픽을 보냅니다", members[0].service))
	}
	return text
}

// state of a container in words.
func (d *describer) state(status *corev1.ContainerStatus) finding.Text {
	if status == nil {
		return finding.Textf("not created yet", "아직 생성되지 않았습니다")
	}
	var now finding.Text
	switch s := status.State; {
	case s.Running != nil:
		now = finding.Format("running for %s", "%s째 실행 중", age(d.now.Sub(s.Running.StartedAt.Time)))
	case s.Terminated != nil:
		now = d.ended(finding.Textf("ended at", "종료"), s.Terminated)
	case s.Waiting != nil:
		now = finding.Textf("waiting: %s", "대기 중: %s", said(s.Waiting.Reason))
	default:
		now = finding.Textf("not created yet", "아직 생성되지 않았습니다")
	}
	var more finding.Text
	switch {
	case status.RestartCount == 1:
		more = finding.Textf("1 restart", "재시작 1회")
	case status.RestartCount > 1:
		more = finding.Textf("%d restarts", "재시작 %d회", status.RestartCount)
	}
	var last finding.Text
	if ended := status.LastTerminationState.Terminated; ended != nil {
		last = d.ended(finding.Textf("the one before ended at", "직전 컨테이너 종료"), ended)
	}
	return sentence(finding.Join(", ", now, more, standing(status)), last)
}

// standing is what the kubelet makes of a container that runs.
func standing(status *corev1.ContainerStatus) finding.Text {
	switch {
	case status.State.Running == nil:
		return finding.Text{}
	case status.Started != nil && !*status.Started:
		return finding.Textf("not started yet as far as its startup probe tells", "startup probe가 아직 성공하지 않음")
	case status.Ready:
		return finding.Textf("ready", "Ready")
	default:
		return finding.Textf("not ready", "Ready 아님")
	}
}

func (d *describer) ended(what finding.Text, t *corev1.ContainerStateTerminated) finding.Text {
	text := finding.Format("%s %s with exit code %s", "%s %s, 종료 코드 %s",
		what, d.ago(t.FinishedAt.Time), finding.Verbatim(strconv.Itoa(int(t.ExitCode))))
	if t.Reason != "" {
		text.EN += " (" + said(t.Reason) + ")"
		text.KO += " (" + said(t.Reason) + ")"
	}
	return text
}

func (d *describer) probe(o one) probeReport {
	h := o.history(d.evidence)
	out := probeReport{
		Kind: o.kind, Asks: o.asks().In(d.language), Means: d.texts(o.means()), Seen: d.texts(d.seen(o, h)), Counts: h.counts,
		Consequence: d.texts(d.consequence(o)),
	}
	answers := d.answers[o.key()]
	if text := d.outlook(o, h, weightiest(answers)); !text.IsZero() {
		out.Seen = append(out.Seen, text.In(d.language))
	}
	d.addAnswers(&out, o, answers)
	out.Verdict = d.verdict(o, h, weightiest(answers))
	return out
}

// verdict over a probe: what the kubelet holds of it now, and what it answers.
func (d *describer) verdict(o one, h history, a asked) verdict {
	status := o.status()
	runs := status != nil && status.State.Running != nil && !snapshot.PodDone(o.pod)
	started := status != nil && status.Started != nil && *status.Started
	if _, impossible := o.target().(probe.Impossible); impossible {
		return failing
	}
	v := passing
	switch {
	case h.counts.Killed > 0 && d.now.Sub(h.lastKill) <= recently:
		v = failing
	case !runs, d.evidence.nodeLost(o.pod):
		v = unknown
	case o.kind == probe.Startup && !started:
		v = unknown
		if h.lately(o.timing(), d.now) && restartsOf(status) > 0 {
			v = failing
		}
	case o.kind == probe.Readiness && !status.Ready:
		v = failing
	case o.kind == probe.Liveness && h.lately(o.timing(), d.now):
		v = failing
	}
	if a.answered() && o.kind != probe.Startup {
		v = worse(v, answerVerdict(a.outcome))
	}
	return v
}

// recently is how long a container that was killed for a probe is held against it: as long as the kubelet's
// back-off remembers (k8s.io/kubernetes/pkg/kubelet/kubelet.go).
const recently = 10 * time.Minute

func restartsOf(status *corev1.ContainerStatus) int32 {
	if status == nil {
		return 0
	}
	return status.RestartCount
}

// answerVerdict is what one answer comes to. One that the kubelet counts as a success although it is none is worth a
// look.
func answerVerdict(o probe.Outcome) verdict {
	switch {
	case !o.Kubelet.Passed():
		return failing
	case o.Difference == probe.RedirectedAway || o.Difference == probe.BodyLost:
		return unknown
	default:
		return passing
	}
}

// answer is what one vantage was answered, in words. Guesses are left out where another vantage tells more.
func (d *describer) answer(o one, a asked, guess bool) answer {
	out := answer{
		From: a.from, Kubelet: judged(a.outcome.Kubelet), Strict: judged(a.outcome.Strict), Difference: a.outcome.Difference,
		Milliseconds: a.outcome.Latency.Milliseconds(), TimeoutMilliseconds: a.timeout.Milliseconds(),
	}
	var what finding.Text
	verdict := a.outcome.Kubelet
	switch {
	case verdict.Discarded:
		what = finding.Textf("an error that does not count", "kubelet이 세지 않는 오류")
	case verdict.Failed():
		what = finding.Textf("a failure", "실패")
	case verdict.Result == probe.Warning:
		what = finding.Textf("a success with a warning", "경고가 있는 성공")
	default:
		what = finding.Textf("a success", "성공")
	}
	if a.outcome.HTTP != nil {
		what.EN += fmt.Sprintf(" (status %d)", a.outcome.HTTP.Status)
		what.KO += fmt.Sprintf("(상태 코드 %d)", a.outcome.HTTP.Status)
	}
	text := finding.Format("%s: %s after %s of %s", "%s: %s, %[4]s 가운데 %[3]s 걸렸습니다",
		finding.Verbatim(string(a.from)), what, finding.Verbatim(millis(a.outcome.Latency)), length(a.timeout))
	if !verdict.Passed() || verdict.Result == probe.Warning {
		text = finding.Join(": ", text, finding.Verbatim(quoted(verdict.Message)))
	}
	text = finding.Join(". ", text, a.outcome.Difference.Text(o.kind))
	if a.outcome.Strict.Message != verdict.Message && a.outcome.Difference != "" {
		text = finding.Join(" ", text, finding.Verbatim("("+said(a.outcome.Strict.Message)+")"))
	}
	var differs finding.Text
	if guess || a.from == byNode {
		differs = d.differs(o, a)
	}
	if a.outcome.Difference == "" {
		text = finding.Join(". ", text, differs)
	} else {
		text = finding.Join(" ", text, differs)
	}
	out.Text = text.In(d.language)
	return out
}

func judged(v probe.Verdict) judgement {
	return judgement{Result: v.Result, Message: said(v.Message), Discarded: v.Discarded}
}

// differs says where an answer is not what the kubelet holds of the container, and what can make that.
func (d *describer) differs(o one, a asked) finding.Text {
	status := o.status()
	if o.kind != probe.Readiness || status == nil || status.State.Running == nil {
		return finding.Text{}
	}
	switch passed := a.outcome.Kubelet.Passed(); {
	case passed && !status.Ready && a.from == byForward:
		return finding.Textf("The kubelet holds the container for not ready: it has just come back, or listens on 127.0.0.1 alone, or the node's way to the pod is closed",
			"kubelet은 이 컨테이너를 Ready가 아니라고 봅니다. 방금 회복했거나, 127.0.0.1에서만 대기하거나, 노드에서 Pod로 가는 길이 막혀 있을 수 있습니다")
	case passed && !status.Ready && a.from == byNode:
		return finding.Textf("The kubelet holds the container for not ready: it has just come back, or answers only now and then",
			"kubelet은 이 컨테이너를 Ready가 아니라고 봅니다. 방금 회복했거나 응답이 일정하지 않을 수 있습니다")
	case !passed && status.Ready:
		return finding.Textf("The kubelet holds the container for ready still", "kubelet은 아직 이 컨테이너를 Ready로 봅니다")
	default:
		return finding.Text{}
	}
}
