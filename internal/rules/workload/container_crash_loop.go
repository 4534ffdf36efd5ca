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
		"A container ends, is restarted and ends again, by its own doing: its program fails, or what it needs is not there. The exit code and the last telling line of its log say which, "+
			"and whom it waits for: a Service whose name or address the line has, the cluster's DNS, a right, a kind. Silent for containers killed for memory (ContainerOOMKilled) or by a probe "+
			"(LivenessProbeFailing, StartupProbeFailing), for those that cannot be started at all (ContainerStartFailing) or are built for another processor (ImageArchitectureMismatch), for one that was restarted some time ago and has run since, for Jobs whose pods have ended, and for fewer than three restarts of a container that runs just now.",
		"컨테이너가 스스로 종료되고 다시 시작되기를 반복합니다. 프로그램이 실패하거나 필요한 것이 없는 경우입니다. exit code와 로그의 마지막 단서로 구분하고, 로그에 이름이나 주소가 나타난 Service, 클러스터 DNS, 권한, kind 등 "+
			"무엇을 기다리는지도 알립니다. 메모리 부족(ContainerOOMKilled), probe에 의한 종료(LivenessProbeFailing, StartupProbeFailing), 시작 자체의 실패(ContainerStartFailing), 다른 프로세서용 이미지(ImageArchitectureMismatch)는 해당 규칙에서 다룹니다. 예전에 재시작했지만 지금은 안정된 컨테이너, "+
			"이미 끝난 Job의 Pod, 재시작이 세 번 미만이고 지금 실행 중인 컨테이너는 보고하지 않습니다."),
	Link:     "https://kubernetes.io/docs/concepts/workloads/pods/pod-lifecycle/#restart-policy",
	Severity: finding.Warning,
	Needs:    append(containerNeeds(), dependencyNeeds()...),
	For:      crashPatience,
	Causes:   append([]rule.Cause{{Code: "ProbeKillsStart", Via: rule.Itself}}, callCauses()...),
	Detect:   detectContainerCrashLoop,
})

// crashPatience is how long a container must have been in trouble to be a root of its own: many
// programs end once or twice until what they depend on has started too.
const crashPatience = time.Minute

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
	now, d := p.Now(), newDirectory(p.Snapshot)
	endsByItself := func(c container) bool {
		if !c.keepsEnding(now) || oomKilled(c.ended()) || c.cannotStart(p.Snapshot) || wrongArchitecture(c.ended().Message) {
			return false
		}
		_, byProbe := probeKill(p.Snapshot, c)
		return !byProbe
	}
	for _, g := range together(endingContainers(p, endsByItself)) {
		if words := askLastWords(p, d, g.Items); !words.about(concernPlatform) {
			p.Report(containerCrashLoop(p, d, g, words))
		}
	}
}

func containerCrashLoop(p *rule.Pass, d *directory, g group[container], words lastWords) finding.Finding {
	c, pods := g.Items[0], containerPods(g.Items)
	end, h := c.ended(), historyOf(p.Snapshot, g.Subject, pods)
	f := finding.Finding{
		Subject: g.Subject, Mechanism: v1alpha1.MechanismCrashing, Since: earliest(p.Snapshot, g.Items),
		Title:    finding.Format("%s: %s %s", "%s: %s %s", nameOf(g.Subject, pods), c.label(), how(end)),
		Evidence: []finding.Evidence{c.evidence()},
	}
	meaning := exitMeaning(end)
	switch {
	case end.ExitCode == 126 || end.ExitCode == 127:
		f.Mechanism, f.Field = v1alpha1.MechanismMisconfigured, c.field(g.Subject, ".command")
		f.Remedies.Now = append(f.Remedies.Now, edit(g.Subject, pods, f.Field))
	case end.ExitCode == firstSignal+9 && c.spec.LivenessProbe != nil:
		meaning = finding.Join("; ", meaning, finding.Textf("it has a liveness probe, but no event tells whether that had it killed",
			"liveness probe가 있지만 그 때문에 종료되었는지 알려 주는 이벤트가 없습니다"))
	}
	var perhaps finding.Text
	if len(words.evidence) == 0 && end.ExitCode != 0 && !h.blames(".spec") {
		words.waits = d.configured(c.pod)
		perhaps = mayWaitFor(words.waits)
	}
	f.Why = finding.Join("; ", restarts(g.Items), meaning, words.textOr(end.Message), perhaps, h.brought(".spec"), h.serving(), staticNote(pods))
	words.apply(p, &f, pods)
	if h.blames(".spec") {
		f.Evidence = append(f.Evidence, h.revision.evidence()...)
		f.Remedies.Now = append(h.rollback(), f.Remedies.Now...)
	}
	f.Remedies.Now = append(f.Remedies.Now, readLogs(c))
	return aboutPods(p.Snapshot, f, pods)
}

// readLogs shows what a container said before it ended.
func readLogs(c container) finding.Remedy {
	return finding.Remedy{
		Text:    finding.Textf("read what it said before it ended", "종료되기 전의 로그를 확인합니다"),
		Command: fmt.Sprintf("kubectl -n %s logs %s -c %s --previous --tail=100", c.pod.Namespace, c.pod.Name, c.spec.Name),
	}
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
