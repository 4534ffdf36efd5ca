package workload

import (
	"fmt"
	"slices"
	"strings"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/maek-dev/maek/api/maek/v1alpha1"
	"github.com/maek-dev/maek/internal/finding"
	"github.com/maek-dev/maek/internal/rule"
	"github.com/maek-dev/maek/internal/snapshot"
)

var _ = Catalog.Add(rule.Rule{
	Code:  "ContainerCrashLoop",
	Title: finding.Textf("container ends again and again", "컨테이너가 반복해서 종료됩니다"),
	Doc: finding.Textf(
		"A container ends, is restarted and ends again: its program fails, its command cannot be run, it is built for another processor, or its liveness or startup probe has it "+
			"killed. The exit code, the probe's events and the last telling line of its log say which. Silent for containers killed for memory (ContainerOOMKilled), "+
			"for one that was restarted some time ago and has run since, for Jobs whose pods have ended, and for fewer than three restarts of a container that runs just now.",
		"컨테이너가 종료되고 다시 시작되기를 반복합니다. 프로그램이 실패하거나, 명령을 실행할 수 없거나, 다른 아키텍처용 이미지이거나, liveness·startup probe가 컨테이너를 종료시키는 경우입니다. "+
			"exit code, probe 이벤트, 로그의 마지막 단서로 구분합니다. 메모리 부족으로 종료된 컨테이너는 ContainerOOMKilled에서 다룹니다. 예전에 재시작했지만 지금은 안정된 컨테이너, "+
			"이미 끝난 Job의 Pod, 재시작이 세 번 미만이고 지금 실행 중인 컨테이너는 보고하지 않습니다."),
	Link:     "https://kubernetes.io/docs/concepts/workloads/pods/pod-lifecycle/#restart-policy",
	Severity: finding.Warning,
	Needs:    containerNeeds(),
	For:      crashPatience,
	Causes: []rule.Cause{
		{Code: "ClusterDNSDown", Via: rule.Cluster, Holds: failsOverNames},
		{Code: "ApiServerNotReady", Via: rule.Cluster, Holds: needsAPIServer},
	},
	Detect: detectContainerCrashLoop,
})

// crashPatience is how long a container must have been in trouble to be a root of its own: many
// programs end once or twice until what they depend on has started too.
const crashPatience = time.Minute

// logPath is the path of evidence that was read from a container's log.
const logPath = "log of "

// failsOverNames tells whether the log of the containers speaks of a name that was not resolved.
func failsOverNames(_ *snapshot.Snapshot, effect, _ finding.Finding) bool {
	for _, e := range effect.Evidence {
		if strings.HasPrefix(e.Path, logPath) && nameFailures.MatchString(e.Value) {
			return true
		}
	}
	return false
}

// needsAPIServer tells whether the container is one of the control plane's own, which end whenever
// the API server, or the etcd behind it, is not there: static pods by the names that kubeadm gives
// them (k8s.io/kubernetes/cmd/kubeadm/app/util/staticpod, ComponentPod).
func needsAPIServer(s *snapshot.Snapshot, effect, _ finding.Finding) bool {
	pod, ok := snapshot.Get[*corev1.Pod](s, effect.Subject.Namespace, effect.Subject.Name)
	if !ok || effect.Subject.Kind != "Pod" || pod.Namespace != metav1.NamespaceSystem || !snapshot.StaticPod(pod) {
		return false
	}
	return slices.ContainsFunc([]string{"kube-apiserver", "kube-controller-manager", "kube-scheduler"}, func(component string) bool {
		return pod.Name == component+"-"+pod.Spec.NodeName
	})
}

func detectContainerCrashLoop(p *rule.Pass) {
	now := p.Now()
	for _, g := range endingContainers(p, func(c container) bool { return c.keepsEnding(now) && !oomKilled(c.ended()) }) {
		p.Report(containerCrashLoop(p, g))
	}
}

func containerCrashLoop(p *rule.Pass, g group[container]) finding.Finding {
	c, pods := g.Items[0], containerPods(g.Items)
	end, h := c.ended(), historyOf(p.Snapshot, g.Subject, pods)
	log, asked := lastWords(p, c)
	f := finding.Finding{
		Subject: g.Subject, Mechanism: v1alpha1.MechanismCrashing, Since: earliest(p.Snapshot, g.Items),
		Title:    finding.Format("%s: %s %s", "%s: %s %s", finding.Verbatim(finding.Qualified(g.Subject)), c.label(), how(end)),
		Evidence: []finding.Evidence{c.evidence()},
	}
	meaning := exitMeaning(end)
	switch killed, byProbe := probeKill(p.Snapshot, c); {
	case byProbe:
		meaning = killed.why
		f.Mechanism, f.Field, f.Title = killed.mechanism, c.field(g.Subject, killed.field), killed.title(g.Subject, c)
		f.Evidence = append(f.Evidence, killed.evidence...)
		f.RuledOut = killed.ruledOut
		f.Remedies.Now = append(f.Remedies.Now, edit(g.Subject, pods, f.Field))
	case wrongArchitecture(end.Message, log):
		f.Title = finding.Format("%s: %s is built for another processor", "%s: %s 다른 아키텍처용으로 빌드되었습니다", finding.Verbatim(finding.Qualified(g.Subject)), c.label())
		meaning = finding.Textf("its program is for another processor architecture than that of node %s", "노드(%s)와 다른 프로세서 아키텍처용 프로그램입니다", c.pod.Spec.NodeName)
		f.Mechanism, f.Field = v1alpha1.MechanismMisconfigured, c.field(g.Subject, ".image")
		f.Remedies.Now = append(f.Remedies.Now, edit(g.Subject, pods, f.Field))
	case notStarted(end) || end.ExitCode == 126 || end.ExitCode == 127:
		f.Mechanism, f.Field = v1alpha1.MechanismMisconfigured, c.field(g.Subject, ".command")
		f.Remedies.Now = append(f.Remedies.Now, edit(g.Subject, pods, f.Field))
	case end.ExitCode == firstSignal+9 && c.spec.LivenessProbe != nil:
		meaning = finding.Join("; ", meaning, finding.Textf("it has a liveness probe, but no event tells whether that had it killed",
			"liveness probe가 있지만 그 때문에 종료되었는지 알려 주는 이벤트가 없습니다"))
	}
	f.Evidence = append(f.Evidence, asked...)
	f.Why = finding.Join("; ", restarts(g.Items), meaning, said(end.Message, log), h.brought(".spec"), h.serving())
	if h.blames(".spec") {
		f.Evidence = append(f.Evidence, h.revision.evidence()...)
		f.Remedies.Now = append(h.rollback(), f.Remedies.Now...)
	}
	if !notStarted(end) {
		f.Remedies.Now = append(f.Remedies.Now, finding.Remedy{
			Text:    finding.Textf("read what it said before it ended", "종료되기 전의 로그를 확인합니다"),
			Command: fmt.Sprintf("kubectl -n %s logs %s -c %s --previous --tail=100", c.pod.Namespace, c.pod.Name, c.spec.Name),
		})
	}
	return aboutPods(p.Snapshot, f, pods)
}

// restarts counts what happened to containers of one workload.
func restarts(containers []container) finding.Text {
	var total int32
	var names []string
	for _, c := range containers {
		total += max(0, c.status.RestartCount)
		names = append(names, c.spec.Name)
	}
	var count finding.Text
	switch pods := len(containerPods(containers)); {
	case total == 0:
		return finding.Text{}
	case pods > 1:
		count = finding.Textf("%d restarts in %d pods", "Pod %[2]d개에서 %[1]d회 재시작", total, pods)
	case total == 1:
		count = finding.Textf("restarted once", "1회 재시작")
	default:
		count = finding.Textf("%d restarts", "%d회 재시작", total)
	}
	if listed := finding.List(names); strings.Contains(listed.EN, ",") {
		return finding.Format("%s (containers %s)", "%s(컨테이너 %s)", count, listed)
	}
	return count
}

// said quotes the last words of a container, from its log or from the message that it left.
func said(message, log string) finding.Text {
	switch {
	case log != "" && (troubled.MatchString(log) || nameFailures.MatchString(log)):
		return finding.Format("its log says %s", "로그: %s", inQuotes(log))
	case log != "":
		return finding.Format("its log ends with %s", "마지막 로그: %s", inQuotes(log))
	case message != "":
		return finding.Format("it left %s", "종료 메시지: %s", inQuotes(tellingLine(message)))
	default:
		return finding.Text{}
	}
}

// lastWords asks for the log of the run that ended last and returns its telling line, with it as
// evidence; both are empty where it is not, or cannot be, known.
func lastWords(p *rule.Pass, c container) (string, []finding.Evidence) {
	if notStarted(c.ended()) {
		return "", nil
	}
	answer, ok := p.Ask(snapshot.Question{
		Kind: snapshot.ContainerLog, Namespace: c.pod.Namespace, Name: c.pod.Name, Container: c.spec.Name,
		// A container that is over and not yet waiting is the current one to the kubelet.
		Previous: c.status.State.Terminated == nil,
	})
	if !ok || answer.Outcome != snapshot.Answered {
		return "", nil
	}
	line := tellingLine(answer.Text)
	if line == "" {
		return "", nil
	}
	return line, []finding.Evidence{{
		Source: finding.Named(snapshot.SubjectOf(c.pod)), Path: logPath + c.spec.Name, Value: finding.Quote(line),
		At: finding.Timestamp(c.ended().FinishedAt.Time),
	}}
}
