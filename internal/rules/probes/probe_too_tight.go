package probes

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	corev1 "k8s.io/api/core/v1"

	"github.com/maek-dev/maek/api/maek/v1alpha1"
	"github.com/maek-dev/maek/internal/finding"
	kubelet "github.com/maek-dev/maek/internal/probe"
	"github.com/maek-dev/maek/internal/rule"
	"github.com/maek-dev/maek/internal/snapshot"
)

var _ = Catalog.Add(rule.Rule{
	Code:  "ProbeTooTight",
	Title: finding.Textf("probe is too impatient for a program that works", "정상 동작하는 프로그램에 비해 probe가 너무 성급합니다"),
	Doc: finding.Textf(
		"Pods serve, and yet a probe of theirs ran into its timeout several times within the last hour: the answers come, only later than timeoutSeconds allows. Where the liveness probe had containers killed for it twice, the last time within half an hour, that have run well "+
			"since, users lost their connections: a warning. Where nothing but the attempts failed it is a remark: the next longer pause costs a restart, or the pod its place in its Services. The text says how long a pause the probe bears as it is, "+
			"and what it would bear with the recommended values. If pods of several workloads on one node are slow together, the node is the matter, and the finding says so. Left alone: containers in a kill loop (LivenessProbeFailing, "+
			"ProbeKillsStart), failures with another answer than none, pods that began less than ten minutes ago, and fewer than five slow answers, unless the kubelet has counted that more than one in a hundred of those in time took at least half of it. "+
			"What the kubelet has counted (get on nodes/proxy) is said with it: how long answers take, and whether the container's limit of CPU held it back, which is then the cause.",
		"Pod는 서비스하고 있지만 최근 한 시간 동안 probe가 여러 번 timeout에 걸렸습니다. 응답은 오지만 timeoutSeconds보다 늦습니다. liveness probe 때문에 두 번 이상(마지막은 30분 이내) 종료되었다가 이후 문제없이 실행 중인 컨테이너가 있으면 사용자의 연결이 끊긴 것이므로 warning이고, "+
			"시도만 실패했으면 참고로 알립니다. 조금 더 길게 멈추면 재시작되거나 Service에서 빠지게 됩니다. 지금 설정이 견디는 정지 시간과 권장 값이 견디는 시간을 함께 알립니다. 한 노드에서 여러 워크로드의 Pod가 함께 느리면 노드의 문제일 수 있음을 알립니다. "+
			"반복해서 종료되는 컨테이너(LivenessProbeFailing, ProbeKillsStart), 응답은 왔으나 실패인 경우, 시작한 지 10분이 되지 않은 Pod, 늦은 응답이 다섯 번 미만인 경우(제때 온 응답의 1%%가 넘게 timeout의 절반 이상 걸렸다고 kubelet이 집계한 경우는 알립니다)는 제외합니다. "+
			"kubelet의 집계(nodes/proxy의 get 권한)로 응답에 걸리는 시간과 CPU limit이 컨테이너를 멈추게 했는지도 함께 알리며, 그렇다면 그것이 원인입니다."),
	Link:     "https://kubernetes.io/docs/tasks/configure-pod-container/configure-liveness-readiness-startup-probes/#configure-probes",
	Severity: finding.Warning,
	Needs:    baseNeeds(rule.Any[*corev1.Event]()),
	Detect:   probeTooTight,
})

const (
	// window is how far back events are counted; API servers keep them for an hour
	// (k8s.io/kubernetes/cmd/kube-apiserver/app/options, --event-ttl).
	window = time.Hour
	// slowAnswers is how many slow answers of a workload are a habit.
	slowAnswers = 5
	// lately is how long ago the last kill may be that makes a loss of connections one of now.
	lately = 30 * time.Minute
	// begun is how long after its start a container's slowness is no matter of its start any more.
	begun = 10 * time.Minute
)

// tight is a probe of a family that serves, and what it cost.
type tight struct {
	probe

	slow, kills observation
	// serving pods of the family.
	serving int
	// counted is what the kubelet counted of the pod that was slow last; known tells that it said.
	counted counted
	known   bool
}

func probeTooTight(p *rule.Pass) {
	var found []tight
	slowOn := map[string]map[finding.Subject]bool{}
	for f := range familiesOf(p.Snapshot).newest() {
		t, ok := tooTight(p.Snapshot, f)
		if !ok {
			continue
		}
		found = append(found, t)
		if t.slow.count < slowAnswers {
			continue
		}
		for _, pod := range t.slow.pods {
			if slowOn[pod.Spec.NodeName] == nil {
				slowOn[pod.Spec.NodeName] = map[finding.Subject]bool{}
			}
			slowOn[pod.Spec.NodeName][f.workload] = true
		}
	}
	// Those whose habit is sure are asked about first.
	slices.SortStableFunc(found, func(a, b tight) int { return min(b.slow.count, slowAnswers) - min(a.slow.count, slowAnswers) })
	for i, t := range found {
		if i < countsAsked {
			t.counted, t.known = countedOf(p, t.probe, t.slowest())
		}
		if t.slow.count >= slowAnswers || t.known && t.counted.often(t.probe) {
			p.Report(t.finding(p, t.node(slowOn)))
		}
	}
}

// slowest is the pod that was slow last.
func (t tight) slowest() *corev1.Pod {
	i := slices.IndexFunc(t.slow.pods, func(pod *corev1.Pod) bool { return pod.Name == t.slow.latest.InvolvedObject.Name })
	return t.slow.pods[max(i, 0)]
}

// sharedBy is how many workloads slow on one node point at the node.
const sharedBy = 3

// node is the one on which all slow pods are, where other workloads are slow, too.
func (t tight) node(slowOn map[string]map[finding.Subject]bool) string {
	name := t.slow.pods[0].Spec.NodeName
	for _, pod := range t.slow.pods {
		if pod.Spec.NodeName != name {
			return ""
		}
	}
	if len(slowOn[name]) < sharedBy {
		return ""
	}
	return name
}

// tooTight finds the probe of a family's pods that serve which ran into its timeout most harmfully: one that
// kills goes first.
func tooTight(s *snapshot.Snapshot, f *family) (tight, bool) {
	var serving []*corev1.Pod
	for _, pod := range f.pods {
		if snapshot.PodReady(pod) && s.Now().Sub(pod.CreationTimestamp.Time) > begun {
			serving = append(serving, pod)
		}
	}
	if len(serving) == 0 {
		return tight{}, false
	}
	var best tight
	for at := range f.places(serving[0]) {
		for _, one := range at.probes() {
			if one.kind == startup {
				continue
			}
			t := tight{probe: one, serving: len(serving)}
			t.slow = one.observe(s, serving, "Unhealthy", func(e *corev1.Event) bool {
				return one.failed(e) && kubelet.MeaningOf(one.spec, output(e)) == kubelet.MeansSlow && s.Now().Sub(snapshot.EventTime(e)) < window
			})
			if t.slow.count == 0 || !t.begunBefore() {
				continue
			}
			if one.kind == liveness {
				t.kills = one.observe(s, serving, "Killing", func(e *corev1.Event) bool {
					return strings.Contains(e.Message, "failed liveness probe") && s.Now().Sub(snapshot.EventTime(e)) < window
				})
			}
			if t.kills.count > 0 && !t.runsSince(s) {
				continue
			}
			if best.spec == nil || t.kills.count > best.kills.count || t.kills.count == best.kills.count && t.slow.count > best.slow.count {
				best = t
			}
		}
	}
	return best, best.spec != nil
}

// begunBefore tells whether the slow answers came from containers that had started long before.
func (t tight) begunBefore() bool {
	return slices.ContainsFunc(t.slow.pods, func(pod *corev1.Pod) bool { return t.slow.last.Sub(pod.CreationTimestamp.Time) > begun })
}

// runsSince tells whether the containers that were killed have since run for longer than the probe needs to kill.
func (t tight) runsSince(s *snapshot.Snapshot) bool {
	for _, pod := range t.kills.pods {
		at, ok := t.in(pod)
		if !ok {
			continue
		}
		st := at.status()
		if st == nil || st.State.Running == nil || s.Now().Sub(st.State.Running.StartedAt.Time) < 2*budget(t.timing()) {
			return false
		}
	}
	return true
}

func (t tight) finding(p *rule.Pass, node string) finding.Finding {
	f, now := t.of, t.timing()
	better := relaxed(now)
	name, container := finding.Named(f.workload), t.container.Name
	out := finding.Finding{
		Subject: f.workload, Mechanism: v1alpha1.MechanismMisconfigured, Since: t.slow.first, Field: t.field(".timeoutSeconds"), Severity: finding.Info,
		Title: finding.Textf("%s: %s probe of container %s waits %d s, and %d answers came later within the last hour",
			"%s: %[3]s 컨테이너의 %[2]s probe는 %[4]d초만 기다리며 최근 한 시간에 %[5]d번 그 안에 응답을 받지 못했습니다", name, t.kind, container, seconds(now.Timeout), t.slow.count),
		Evidence: append([]finding.Evidence{{
			Source: name, Path: t.field(""), Value: fmt.Sprintf("%s timeoutSeconds=%d periodSeconds=%d failureThreshold=%d", t.asks(), seconds(now.Timeout), seconds(now.Period), now.FailureThreshold),
		}}, t.slow.evidence()...),
	}
	if t.kills.count >= killsInARow && p.Now().Sub(t.kills.last) < lately {
		out.Severity, out.Field = finding.Warning, t.field("")
		out.Explains = append([]finding.Subject{f.workload}, subjectsOf(t.kills.pods)...)
		if f.workload.Kind == "Pod" {
			out.Explains = nil
		}
		out.Evidence = append(out.Evidence, t.kills.evidence()...)
		out.Title = finding.Textf("%s: container %s was killed %d times within the last hour for a pause of %d s, and works",
			"%s: %s 컨테이너는 정상인데도 %[4]d초의 정지 때문에 최근 한 시간에 %[3]d번 종료되었습니다", name, container, t.kills.count, seconds(notices(now)))
	}
	var shared finding.Text
	if node != "" {
		shared = finding.Textf("pods of other workloads on node %s are slow, too: look at the node first", "노드 %s에서 다른 워크로드의 Pod도 함께 느리므로 노드를 먼저 확인하십시오", node)
		out.Confidence = v1alpha1.ConfidenceMedium
	}
	out.Why = finding.Join("; ",
		finding.Format("%s slow answers on %s of %s that serve, between %s and %s", "서비스 중인 Pod %[3]s개 가운데 %[2]s에서 %[4]s부터 %[5]s까지 늦은 응답 %[1]s번",
			number(t.slow.count), finding.Pods(len(t.slow.pods)), number(t.serving), finding.Verbatim(finding.Clock(p.Now(), t.slow.first)), finding.Verbatim(finding.Clock(p.Now(), t.slow.last))),
		bears(now), shared, t.measured(), unread(p.Snapshot))
	remedy := t.mend(p.Snapshot, fields{t.name(): fields{"timeoutSeconds": seconds(better.Timeout), "failureThreshold": better.FailureThreshold}},
		finding.Format("give it time: %s", "여유를 줍니다: %s", bears(better)))
	if t.known {
		out.Evidence = append(out.Evidence, t.counted.evidence(t.probe)...)
	}
	switch limit := t.container.Resources.Limits.Cpu(); {
	case t.known && t.counted.starved() && !limit.IsZero():
		out.Field = t.place.field(".resources.limits.cpu")
		out.Remedies.Now = []finding.Remedy{t.moreCPU(p.Snapshot)}
	case t.known && t.counted.limited && t.counted.throttled < seldomHeldBack:
		out.RuledOut = append(out.RuledOut, finding.Statement{Text: finding.Textf("the limit of CPU: it held the container back in fewer than 1 in 1000 of its periods", "CPU limit은 원인이 아닙니다. throttling된 주기가 1000개 중 1개도 되지 않습니다")})
	}
	out.Remedies = finding.Remedies{Now: append(out.Remedies.Now, remedy), Later: []finding.Remedy{{
		Text: finding.Textf("find out what holds the answers up: CPU limits, garbage collection, a disk, or what the probe itself asks of others", "응답이 늦는 이유(CPU limit, GC, 디스크, probe가 다른 것에 의존하는지)를 찾으십시오"),
	}}}
	return out
}

// measured is what the kubelet's counters say of it.
func (t tight) measured() finding.Text {
	limit := t.container.Resources.Limits.Cpu()
	switch {
	case !t.known:
		return finding.Textf("not seen: how long the answers took in the end (the kubelet's metrics; get on nodes/proxy), and whether the CPU was throttled", "응답이 실제로 걸린 시간(kubelet metric, nodes/proxy의 get 권한)과 CPU throttling 여부는 확인하지 못했습니다")
	case t.counted.starved() && !limit.IsZero():
		return finding.Join("; ", t.counted.saysStarved(limit), t.counted.says())
	default:
		return t.counted.says()
	}
}

// bears says, with its numbers, how long a pause a probe of this timing bears.
func bears(t kubelet.Timing) finding.Text {
	end := finding.Textf("the container is killed", "컨테이너가 종료됩니다")
	if t.Kind == kubelet.Readiness {
		end = finding.Textf("the pod is out of its Services", "Pod가 Service에서 빠집니다")
	}
	if t.FailureThreshold == 1 {
		return finding.Format("after one answer that takes longer than %s s, %s: a pause of %s s at most", "%s초보다 늦은 응답이 한 번이면 %s: 견디는 정지 시간은 최대 %s초",
			number(seconds(t.Timeout)), end, finding.Verbatim(noticing(t)))
	}
	return finding.Format("after %s failures %s s apart, each of an answer that takes longer than %s s, %s: a pause of %s s at most",
		"%[3]s초보다 늦은 응답이 %[2]s초 간격으로 %[1]s번 이어지면 %[4]s: 견디는 정지 시간은 최대 %[5]s초",
		number(t.FailureThreshold), number(seconds(t.Pace(t.Timeout))), number(seconds(t.Timeout)), end, finding.Verbatim(noticing(t)))
}

func number(n int) finding.Text { return finding.Verbatim(strconv.Itoa(n)) }
