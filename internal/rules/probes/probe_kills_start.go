package probes

import (
	"cmp"
	"fmt"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"

	coordinationv1 "k8s.io/api/coordination/v1"
	corev1 "k8s.io/api/core/v1"

	"github.com/maek-dev/maek/api/maek/v1alpha1"
	"github.com/maek-dev/maek/internal/finding"
	kubelet "github.com/maek-dev/maek/internal/probe"
	"github.com/maek-dev/maek/internal/rule"
	"github.com/maek-dev/maek/internal/snapshot"
)

var _ = Catalog.Add(rule.Rule{
	Code:  "ProbeKillsStart",
	Title: finding.Textf("probe kills the container before it has started", "시작이 끝나기 전에 probe가 컨테이너를 종료시킵니다"),
	Doc: finding.Textf(
		"A container is killed by its liveness or startup probe again and again, each time so soon after its start that not one probe of the run can have succeeded: a container that never answers is killed between "+
			"initialDelaySeconds + (failureThreshold - 1) x periodSeconds and initialDelaySeconds + failureThreshold x periodSeconds after its start, and the last run lasted that long. What the probe says fits a program that is "+
			"still starting, so more time is what it lacks: a startup probe where there is none, a larger budget where there is one. How long other pods of the workload took from their start to Ready gives the measure. "+
			"Events tell which probe killed; where they have expired, the length of the run and the signal do, with less confidence. Left alone: containers that answered once and then no more, that end by themselves or for want of memory, whose "+
			"probe asks a wrong port, path, scheme or command, whose own log complains of something, and those that are ready again.",
		"liveness 또는 startup probe가 컨테이너를 반복해서 종료시키는데, 시작 후 종료까지의 시간이 너무 짧아 그동안 probe가 한 번도 성공할 수 없었던 경우입니다. 한 번도 응답하지 않는 컨테이너는 시작 후 "+
			"initialDelaySeconds + (failureThreshold - 1) x periodSeconds에서 initialDelaySeconds + failureThreshold x periodSeconds 사이에 종료되며, 마지막 실행 시간이 여기에 해당합니다. probe 메시지가 아직 시작 중인 프로그램과 "+
			"맞으므로 부족한 것은 시간입니다. startup probe가 없으면 추가하고, 있으면 허용 시간을 늘려야 합니다. 같은 워크로드의 다른 Pod가 시작부터 Ready까지 걸린 시간을 기준으로 삼습니다. "+
			"어떤 probe가 종료시켰는지는 이벤트로 확인하며, 이벤트가 만료되었으면 실행 시간과 signal로 판단하되 확신을 낮춥니다. 한 번이라도 응답한 뒤 멈춘 컨테이너, 스스로 또는 메모리 부족으로 끝난 컨테이너, "+
			"probe의 port·경로·scheme·명령이 잘못된 경우, 로그에 오류가 있는 경우, 다시 Ready가 된 컨테이너는 제외합니다."),
	Link:     probeTasks + "#define-startup-probes",
	Severity: finding.Warning,
	Needs:    baseNeeds(rule.Optional[*corev1.Event](), rule.Optional[*coordinationv1.Lease]()),
	For:      2 * time.Minute,
	Detect: func(p *rule.Pass) {
		asked := 0
		for f := range familiesOf(p.Snapshot).newest() {
			if killed := killedStarting(p.Snapshot, f); len(killed) > 0 {
				reportKilledStart(p, killed, asked < logsAsked)
				asked++
			}
		}
	},
})

const (
	// killsInARow is how many restarts make a loop of a container that a probe killed.
	killsInARow = 2
	// stillRestarting is how long ago the last end of a container in a loop may be: twice the longest
	// back-off (k8s.io/kubernetes/pkg/kubelet, MaxCrashLoopBackOff).
	stillRestarting = 10 * time.Minute
	// generous is what a startup probe should bear where nothing tells how long a start takes. It costs
	// nothing: the startup probe ends with its first success.
	generous = 5 * time.Minute
	// logsAsked is of how many workloads the log is asked for: there is a budget for all rules.
	logsAsked = 5
	// longestStart is how long after its start a pod that became Ready can have been starting all the time.
	longestStart = 15 * time.Minute
)

// killedStart is a container that a probe killed before its first success.
type killedStart struct {
	probe

	end *corev1.ContainerStateTerminated
	// run is how long it ran until it was killed.
	run time.Duration
	// told tells that an event says which probe killed; else only the arithmetic does.
	told *corev1.Event
	// message of the probe's last failure in the run; empty where no event has it.
	message string
	failure *corev1.Event
}

// killedStarting are the containers of one name in a family that a probe kills while they start, those
// that restarted most first.
func killedStarting(s *snapshot.Snapshot, f *family) []killedStart {
	var out []killedStart
	for _, pod := range f.pods {
		for at := range f.places(pod) {
			if k, ok := at.killedStart(s); ok && k.maybeSlow() && (len(out) == 0 || out[0].container.Name == at.container.Name) {
				out = append(out, k)
			}
		}
	}
	// The first one's log is asked for; LivenessProbeFailing asks for the same.
	slices.SortStableFunc(out, func(a, b killedStart) int {
		return cmp.Or(cmp.Compare(a.waits(), b.waits()), cmp.Compare(b.status().RestartCount, a.status().RestartCount))
	})
	return out
}

// killedStart tells how a probe killed the container's last run, if one did before its first success.
func (at place) killedStart(s *snapshot.Snapshot) (killedStart, bool) {
	st := at.status()
	if st == nil || st.RestartCount < killsInARow || at.container.ReadinessProbe != nil && (st.Ready || snapshot.WasReady(at.pod)) {
		return killedStart{}, false
	}
	end := st.LastTerminationState.Terminated
	if st.State.Terminated != nil {
		end = st.State.Terminated
	}
	backingOff := st.State.Waiting != nil && st.State.Waiting.Reason == "CrashLoopBackOff"
	if end == nil || end.Reason == "OOMKilled" || !backingOff && s.Now().Sub(end.FinishedAt.Time) > stillRestarting {
		return killedStart{}, false
	}
	k := killedStart{probe: probe{place: at, kind: startup, spec: at.container.StartupProbe}, end: end}
	if k.spec == nil {
		k.kind, k.spec = liveness, at.container.LivenessProbe
	}
	if k.spec == nil {
		return killedStart{}, false
	}
	// Without a readiness probe a container counts as ready while it starts.
	if r := st.State.Running; r != nil && s.Now().Sub(r.StartedAt.Time) > budget(k.timing())+slack {
		return killedStart{}, false
	}
	k.read(s)
	return k, k.proven()
}

// waits orders containers that the kubelet backs off from before those that run.
func (k killedStart) waits() int {
	if k.status().State.Waiting != nil {
		return 0
	}
	return 1
}

// read looks among the events of the last run for the kill and for what the probe said before.
func (k *killedStart) read(s *snapshot.Snapshot) {
	for _, e := range s.PodEvents(k.pod) {
		t := snapshot.EventTime(e)
		if e.InvolvedObject.FieldPath != k.fieldPath() || t.Before(k.end.StartedAt.Time) || t.After(k.end.FinishedAt.Add(slack)) {
			continue
		}
		switch {
		case k.told == nil && e.Reason == "Killing" && strings.Contains(e.Message, "failed "+string(k.kind)+" probe"):
			k.told = e
		case k.failure == nil && e.Reason == "Unhealthy" && k.failed(e):
			k.failure, k.message = e, output(e)
		}
	}
	k.run = k.end.FinishedAt.Sub(k.end.StartedAt.Time)
	if k.told != nil {
		k.run = snapshot.EventTime(k.told).Sub(k.end.StartedAt.Time)
	}
}

// Exit codes of containers that a signal ended: 128 and the number of the signal.
const (
	exitTerminated = 143
	exitKilled     = 137
)

// proven tells whether the probe killed the run, and before its first success. Without an event the signal
// says how much of the run was spent on its end: a program that heeds SIGTERM ends at once, another when
// its grace period is over.
func (k *killedStart) proven() bool {
	t := k.timing()
	if k.told != nil {
		return failedFromStart(t, k.run)
	}
	switch k.end.ExitCode {
	case exitKilled:
		k.run -= k.grace()
	case exitTerminated:
	default:
		return false
	}
	return failedFromStart(t, k.run)
}

// grace is what the container is given to end after SIGTERM when the probe kills it
// (k8s.io/kubernetes/pkg/kubelet/kuberuntime/kuberuntime_container.go, setTerminationGracePeriod).
func (k *killedStart) grace() time.Duration {
	switch {
	case k.spec.TerminationGracePeriodSeconds != nil:
		return time.Duration(*k.spec.TerminationGracePeriodSeconds) * time.Second
	case k.pod.Spec.TerminationGracePeriodSeconds != nil:
		return time.Duration(*k.pod.Spec.TerminationGracePeriodSeconds) * time.Second
	default:
		return corev1.DefaultTerminationGracePeriodSeconds * time.Second
	}
}

// maybeSlow tells whether what the probe said fits a program that is still starting. One that answers
// that it is ill may be starting, too; that is for its log to say.
func (k killedStart) maybeSlow() bool {
	switch kubelet.MeaningOf(k.spec, k.message) {
	case kubelet.MeansRefused, kubelet.MeansNoGRPC:
		return len(k.container.Ports) == 0 || k.number() == 0 || slices.ContainsFunc(k.container.Ports, func(p corev1.ContainerPort) bool { return int(p.ContainerPort) == k.number() })
	case kubelet.MeansNothing, kubelet.MeansSlow, kubelet.MeansUnreachable, kubelet.MeansCommandFailed:
		return true
	default:
		return false
	}
}

// complains are words in which a program's log says what keeps it, other than the work of starting.
var complains = regexp.MustCompile(`(?i)\bpanic:|\bfatal\b|exception\b|\berror\b|\bfail(?:ed|ure)?\b|cannot |could not |couldn't |unable to|refused|denied|not found|no such|timed? ?out`)

// listening matches the words with which programs say where they listen.
var listening = regexp.MustCompile(`(?i)\b(?:listen(?:ing|s)?|serving|bound)\b[^\n]*?[:\s](\d{2,5})\b`)

// lastLines is how many lines of a log tell what a program did last.
const lastLines = 20

// complained tells whether the log of the killed run says that something else is the matter, or that the
// program listens on another port than the probe asks, and whether it could be read.
func (k killedStart) complained(p *rule.Pass) (complained, read bool) {
	answer, ok := p.Ask(snapshot.Question{
		Kind: snapshot.ContainerLog, Namespace: k.pod.Namespace, Name: k.pod.Name, Container: k.container.Name, Previous: k.status().State.Terminated == nil,
	})
	if !ok || answer.Outcome != snapshot.Answered {
		return false, false
	}
	if heard := listening.FindStringSubmatch(answer.Text); heard != nil && k.number() != 0 && heard[1] != strconv.Itoa(k.number()) {
		return true, true
	}
	lines := strings.Split(strings.TrimSpace(answer.Text), "\n")
	return complains.MatchString(strings.Join(lines[max(0, len(lines)-lastLines):], "\n")), true
}

// measuredStarts is how long containers of this name took, in pods of the workload that are Ready, from
// their start to Ready: the longest, and of how many.
func (k killedStart) measuredStarts(s *snapshot.Snapshot) (longest time.Duration, pods int) {
	for _, pod := range s.PodsOf(k.of.workload) {
		ready := snapshot.PodCondition(pod, corev1.PodReady)
		at, ok := k.in(pod)
		if !ok || ready == nil || ready.Status != corev1.ConditionTrue || at.container.ReadinessProbe == nil && at.container.StartupProbe == nil {
			continue
		}
		st := at.status()
		if st == nil || st.State.Running == nil || st.RestartCount > 0 {
			continue
		}
		if took := ready.LastTransitionTime.Sub(st.State.Running.StartedAt.Time); took > 0 && took < longestStart {
			longest, pods = max(longest, took), pods+1
		}
	}
	return longest, pods
}

func reportKilledStart(p *rule.Pass, killed []killedStart, ask bool) {
	k := killed[0]
	t := k.timing()
	longest, measured := k.measuredStarts(p.Snapshot)
	var complained, logRead bool
	if ask {
		complained, logRead = k.complained(p)
	}
	why := kubelet.MeaningOf(k.spec, k.message)
	unsure := (why == kubelet.MeansRefused || why == kubelet.MeansNoGRPC) && len(k.container.Ports) == 0 && !logRead
	if (complained || unsure) && longest <= budget(t) {
		return
	}
	var pods []*corev1.Pod
	var restarts int32
	for _, one := range killed {
		pods = append(pods, one.pod)
		restarts += one.status().RestartCount
	}
	f := k.of
	out := finding.Finding{
		Subject: f.workload, Mechanism: v1alpha1.MechanismMisconfigured, Explains: f.claims(pods), Since: unreadySince(pods), Field: k.place.field(".startupProbe"),
		Title: finding.Textf("%s: container %s is killed by its %s probe %d s after its start, before it answers once",
			"%s: %s 컨테이너가 한 번도 응답하기 전에 시작 %[4]d초 만에 %[3]s probe로 종료됩니다", finding.Named(f.workload), k.container.Name, k.kind, seconds(k.run)),
		Evidence: []finding.Evidence{{
			Source: finding.Named(subjectsOf(pods[:1])[0]), Path: k.statusPath() + ".lastState.terminated",
			Value: fmt.Sprintf("exit code %d, ran %d s", k.end.ExitCode, seconds(k.end.FinishedAt.Sub(k.end.StartedAt.Time))), At: finding.Timestamp(k.end.FinishedAt.Time),
		}},
		RuledOut: []finding.Statement{{Text: finding.Textf("memory: the runtime records no OOM kill", "메모리 부족이 아닙니다. OOM 기록이 없습니다")}},
	}
	for _, e := range []*corev1.Event{k.told, k.failure} {
		if e != nil {
			out.Evidence = append(out.Evidence, observation{count: times(e), pods: pods[:1], first: snapshot.EventStart(e), last: snapshot.EventTime(e), latest: e}.evidence()...)
		}
	}
	if k.told == nil || measured == 0 && !logRead {
		out.Confidence = v1alpha1.ConfidenceMedium
	}
	said := finding.Text{}
	if k.message != "" {
		said = finding.Format("the probe said: %s", "probe 메시지: %s", finding.Verbatim(finding.Quote(k.message)))
	}
	out.Why = finding.Join("; ",
		finding.Format("%s restarts on %s, which did not help", "%[2]s에서 %[1]s회 재시작했으나 나아지지 않았습니다", number(int(restarts)), finding.Pods(len(pods))),
		finding.Textf("the last run was killed after %d s, and a container that never answers is killed %d + %d x %d = %d s to %d + %d x %d = %d s after its start, so that no probe of that run succeeded",
			"마지막 실행은 %d초 만에 종료되었고, 한 번도 응답하지 않는 컨테이너는 시작 후 %d + %d x %d = %d초에서 %d + %d x %d = %d초 사이에 종료되므로 그동안 성공한 probe가 없습니다",
			seconds(k.run), seconds(t.InitialDelay), t.FailureThreshold-1, seconds(t.Period), seconds(spare(t)), seconds(t.InitialDelay), t.FailureThreshold, seconds(t.Period), seconds(budget(t))),
		said, measuredText(longest, measured), k.unreadText(p.Snapshot, logRead))
	out.Remedies = k.remedies(p.Snapshot, longest)
	p.Report(out)
}

func measuredText(longest time.Duration, pods int) finding.Text {
	if pods == 0 {
		return finding.Textf("no pod of it is Ready that would tell how long a start takes", "시작에 걸리는 시간을 알려 줄 Ready Pod가 없습니다")
	}
	return finding.Format("%s of it took up to %s s from the start to Ready", "%s는 시작부터 Ready까지 최대 %s초가 걸렸습니다", finding.Pods(pods), number(seconds(longest)))
}

func (k killedStart) unreadText(s *snapshot.Snapshot, logRead bool) finding.Text {
	var log, kill finding.Text
	if !logRead {
		log = finding.Textf("not read: the log of the killed run", "종료된 실행의 로그는 읽지 못했습니다")
	}
	if k.told == nil {
		kill = finding.Textf("no event names the probe any more, the length of the run and exit code %d do", "probe를 알려 주는 이벤트는 남아 있지 않으나 실행 시간과 종료 코드 %d가 일치합니다", k.end.ExitCode)
	}
	return finding.Join("; ", kill, log, unread(s))
}

// remedies give the container time: twice what the longest start took, or plenty where none was seen.
func (k killedStart) remedies(s *snapshot.Snapshot, longest time.Duration) finding.Remedies {
	t := k.timing()
	bear, because := max(generous, 2*budget(t)), finding.Textf("plenty, for nothing tells how long a start takes", "시작 시간을 알 수 없어 넉넉하게 잡은 값")
	if longest > 0 {
		bear, because = max(2*longest, 2*budget(t)), finding.Textf("twice the longest start of %d s, and no less than twice what it has now", "가장 길었던 시작 %d초의 두 배, 최소한 지금의 두 배", seconds(longest))
	}
	better := forStart(t, bear, t.InitialDelay)
	change := fields{"startupProbe": fields{"failureThreshold": better.FailureThreshold}}
	what := finding.Textf("let the startup probe spare starts of up to %s s", "startup probe가 %s초까지의 시작을 기다리게 합니다", sparing(better))
	if k.kind == liveness {
		better = forStart(t, bear, 0)
		handler := k.handler()
		handler["periodSeconds"], handler["failureThreshold"], handler["timeoutSeconds"] = seconds(t.Period), better.FailureThreshold, seconds(t.Timeout)
		change = fields{"startupProbe": handler}
		what = finding.Textf("add a startup probe that asks the same and spares starts of up to %s s; the liveness probe begins when it succeeds",
			"같은 것을 확인하며 %s초까지의 시작을 기다리는 startup probe를 추가합니다. liveness probe는 startup probe가 성공한 뒤에 시작합니다", sparing(better))
	}
	return finding.Remedies{
		Now: []finding.Remedy{
			k.mend(s, change, finding.Format("%s (%s)", "%s(%s)", what, because)),
			{
				Text:    finding.Textf("see how far it came before it was killed", "종료되기 전에 어디까지 진행했는지 확인합니다"),
				Command: fmt.Sprintf("kubectl -n %s logs %s -c %s --previous --tail=50", k.pod.Namespace, k.pod.Name, k.container.Name),
			},
		},
		Later: []finding.Remedy{{Text: finding.Textf(
			"if it does not answer in that time either, it is no slow start: find out what it waits for", "그 시간에도 응답하지 않으면 느린 시작이 아니므로 무엇을 기다리는지 찾으십시오")}},
	}
}
