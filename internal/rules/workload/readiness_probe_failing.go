package workload

import (
	"fmt"
	"slices"
	"strings"
	"time"

	appsv1 "k8s.io/api/apps/v1"
	coordinationv1 "k8s.io/api/coordination/v1"
	corev1 "k8s.io/api/core/v1"

	"github.com/maek-dev/maek/api/maek/v1alpha1"
	"github.com/maek-dev/maek/internal/finding"
	"github.com/maek-dev/maek/internal/rule"
	"github.com/maek-dev/maek/internal/snapshot"
)

var _ = Catalog.Add(rule.Rule{
	Code:  "ReadinessProbeFailing",
	Title: finding.Text{EN: "readiness probe fails", KO: "readiness probe가 실패합니다"},
	Doc: finding.Text{
		EN: "Containers of a workload run and do not restart, and their readiness probe fails, so their pods get no traffic. The application " +
			"says that it cannot serve (often because something it depends on does not), or the probe asks the wrong question: a wrong port or " +
			"path. Whom it waits for is read from the probe's words and definition, from the program's log, and from the Services without a Ready pod that its environment names. One finding a workload. Left alone: pods within what their startup and readiness probes allow, containers that were " +
			"restarted a moment ago, and pods on Nodes that do not report, whose status is old.",
		KO: "워크로드의 컨테이너가 재시작 없이 실행 중이지만 readiness probe가 실패하여 트래픽을 받지 못합니다. 애플리케이션이 스스로 서비스할 수 없다고 응답하거나(의존하는 대상의 장애가 흔합니다), " +
			"probe의 포트나 경로가 잘못된 경우입니다. 무엇을 기다리는지는 probe의 메시지와 정의, 프로그램 로그, 그리고 환경 변수에 적힌 Service 가운데 Ready Pod가 없는 것에서 찾습니다. 워크로드마다 하나로 알립니다. probe가 허용하는 시작 시간 안에 있는 Pod, 방금 재시작한 컨테이너, 보고가 끊긴 Node의 Pod는 제외합니다.",
	},
	Link:     "https://kubernetes.io/docs/concepts/workloads/pods/pod-lifecycle/#container-probes",
	Severity: finding.Warning,
	Needs: slices.Concat([]rule.Need{
		rule.Any[*corev1.Pod](), rule.Optional[*corev1.Node](), rule.Optional[*coordinationv1.Lease](), rule.Optional[*corev1.Event](),
		rule.Optional[*appsv1.Deployment](), rule.Optional[*appsv1.StatefulSet](),
	}, dependencyNeeds(), rule.Owners()),
	For: 3 * time.Minute,
	Causes: append([]rule.Cause{
		{Code: "ContainerCrashLoop", Via: rule.Itself},
		{Code: "ContainerOOMKilled", Via: rule.Itself},
		{Code: "LivenessProbeFailing", Via: rule.Itself},
		{Code: "ProbePortNotFound", Via: rule.Itself},
		{Code: "ProbeNeverSucceeded", Via: rule.Itself},
		{Code: "ProbeRefusedByPolicy", Via: rule.Itself},
	}, callCauses()...),
	Detect: readinessProbeFailing,
})

// restartGrace is how long a container must have run since its last start, beyond what its probes
// allow, before its readiness is judged: one that keeps crashing is unready for another reason.
const restartGrace = time.Minute

// failingProbe is what one workload's pods have in common.
type failingProbe struct {
	workload finding.Subject
	pods     []*corev1.Pod
	// first is the trouble that began first, and pod the one that it is of.
	first unready
	pod   *corev1.Pod
}

func readinessProbeFailing(p *rule.Pass) {
	var found []*failingProbe
	d := newDirectory(p.Snapshot)
	byWorkload := map[finding.Subject]*failingProbe{}
	for _, pod := range snapshot.List[*corev1.Pod](p.Snapshot) {
		if snapshot.PodReady(pod) || !shouldServe(pod) || pod.Spec.NodeName == "" {
			continue
		}
		u := unreadiness(pod)
		if u.stage != stageReadiness || !settledContainer(p, pod, u.container) || !nodeReports(p.Snapshot, pod.Spec.NodeName) {
			continue
		}
		w := p.Workload(pod)
		f := byWorkload[w]
		if f == nil {
			f = &failingProbe{workload: w, first: u, pod: pod}
			byWorkload[w] = f
			found = append(found, f)
		}
		if u.since.Before(f.first.since) {
			f.first, f.pod = u, pod
		}
		f.pods = append(f.pods, pod)
	}
	for _, f := range found {
		p.Report(f.finding(p, d))
	}
}

// settledContainer tells whether a container has run long enough for its readiness to mean
// something.
func settledContainer(p *rule.Pass, pod *corev1.Pod, container string) bool {
	c, ok := containerNamed(pod, container)
	return ok && c.status.State.Running != nil && p.Now().Sub(c.status.State.Running.StartedAt.Time) >= snapshot.StartAllowance(pod)+restartGrace
}

// nodeReports tells whether the status of a node's pods is kept up: its kubelet is not known to be
// dead, and the Node is Ready as far as it is known.
func nodeReports(s *snapshot.Snapshot, name string) bool {
	if s.Writer(snapshot.KubeletOn(name)).State == snapshot.Dead {
		return false
	}
	node, ok := snapshot.Get[*corev1.Node](s, "", name)
	if !ok {
		return true
	}
	c := snapshot.NodeCondition(node, corev1.NodeReady)
	return c == nil || c.Status == corev1.ConditionTrue
}

func (f *failingProbe) finding(p *rule.Pass, d *directory) finding.Finding {
	alive := 0
	for _, pod := range p.PodsOf(f.workload) {
		if shouldServe(pod) {
			alive++
		}
	}
	alive = max(alive, len(f.pods))
	name := finding.Named(f.workload)
	c, _ := containerNamed(f.pod, f.first.container)
	out := finding.Finding{
		Subject: f.workload, Mechanism: v1alpha1.MechanismFailing, Since: f.first.since,
		Title: finding.Textf("%s: readiness probe of container %s fails on %d of %d pods",
			"%s: 컨테이너(%s)의 readiness probe가 Pod %[4]d개 중 %[3]d개에서 실패합니다", name, f.first.container, len(f.pods), alive),
		Explains: podSubjects(f.pods),
		Settling: p.Now().Sub(f.first.since) < patience(p.Snapshot, f.pods[0], f.first),
		Field:    containerField(f.workload, f.first.container, c.init, ".readinessProbe"),
	}
	if alive == 1 {
		out.Title = finding.Textf("%s: readiness probe of container %s fails on its only pod", "%s: 컨테이너(%s)의 readiness probe가 하나뿐인 Pod에서 실패합니다", name, f.first.container)
	}
	out.Why = finding.Textf("container %s runs and has not restarted lately, and it is not ready since %s",
		"컨테이너(%s)는 최근 재시작 없이 실행 중이나 %s부터 Ready가 아닙니다", f.first.container, finding.Clock(p.Now(), f.first.since))
	var last *corev1.Event
	for _, pod := range f.pods[:min(len(f.pods), podsTold)] {
		u := unreadiness(pod)
		out.Evidence = append(out.Evidence, finding.Evidence{Source: finding.Named(podSubject(pod)), Path: u.path, Value: u.value, At: finding.Timestamp(u.since)})
		if e := probeFailure(p.Snapshot, pod, u.container, "Readiness", u.since); e != nil && last == nil {
			last = e
		}
	}
	message := ""
	if last != nil {
		message = last.Message
		out.Evidence = append(out.Evidence, eventEvidence(last))
		out.Why = finding.Join(": ", out.Why, quoted(last.Message))
	}
	words := askPresentWords(p, d, c)
	verdict := judgeProbe(c.spec, c.spec.ReadinessProbe, message, words.heard)
	if strings.Contains(message, "connection refused") {
		out.Mechanism = v1alpha1.MechanismRefused
	}
	out.Mechanism = verdict.mechanism(out.Mechanism)
	out.Field += verdict.field
	waits := slices.Concat(words.waits, d.named(f.pod, probeText(c.spec.ReadinessProbe)+" "+afterColon(message)))
	perhaps := finding.Text{}
	if len(waits) == 0 && !verdict.wrong && out.Mechanism != v1alpha1.MechanismRefused {
		waits = d.configured(f.pod)
		perhaps = mayWaitFor(waits)
	}
	out.WaitsFor = subjectsOf(waits)
	out.Evidence = append(out.Evidence, words.evidence...)
	out.Why = finding.Join("; ", out.Why, verdict.says, words.text(), perhaps, staticNote(f.pods))
	out.RuledOut = []finding.Statement{{Text: finding.Text{
		EN: "crash or lack of memory (the containers run) · the Node (its kubelet reports)",
		KO: "비정상 종료나 메모리 부족(컨테이너는 실행 중입니다) · Node 장애(kubelet이 보고하고 있습니다)",
	}}}
	pod := f.pod
	out.Remedies.Now = append(f.first.remedies(pod), finding.Remedy{
		Text: finding.Text{
			EN: "compare the probe's port and path with what the container serves; mend what the application waits for",
			KO: "probe의 포트와 경로를 컨테이너가 실제로 제공하는 것과 비교하고, 애플리케이션이 기다리는 대상을 복구합니다",
		},
		Command: fmt.Sprintf("kubectl -n %s get pod %s -o jsonpath='{.spec.containers[?(@.name==%q)].readinessProbe}'", pod.Namespace, pod.Name, f.first.container),
	})
	return out
}

// podsTold is how many pods of a workload give evidence one by one; the others are like them.
const podsTold = 2
