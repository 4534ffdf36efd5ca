package workload

import (
	"fmt"
	"regexp"
	"slices"
	"strings"
	"time"

	corev1 "k8s.io/api/core/v1"

	"github.com/maek-dev/maek/api/maek/v1alpha1"
	"github.com/maek-dev/maek/internal/finding"
	"github.com/maek-dev/maek/internal/rule"
	"github.com/maek-dev/maek/internal/snapshot"
)

var _ = Catalog.Add(rule.Rule{
	Code:  "ContainerStartFailing",
	Title: finding.Textf("container cannot be made or started", "컨테이너를 생성하거나 시작하지 못합니다"),
	Doc: finding.Textf(
		"The kubelet or the container runtime cannot make or start a container of a pod, so its program never runs, or is stopped at once: its command is not in the image or may not be run, it must not run as root and would, "+
			"a subPath or mount does not fit, a device or a privilege is lacking, the runtime does not answer, or its postStart hook fails. The waiting reason, the end that the runtime records and the hook's event say which. "+
			"Silent for images (their own rules), for a missing ConfigMap, Secret or key (ConfigMapMissing, SecretMissing, ConfigKeyMissing), for a program of another architecture (ImageArchitectureMismatch), and for one that did run.",
		"kubelet이나 컨테이너 runtime이 컨테이너를 생성하거나 시작하지 못하여 프로그램이 실행되지 않거나 바로 종료됩니다. 명령이 이미지에 없거나 실행할 수 없는 경우, root로 실행되면 안 되는데 root인 경우, "+
			"subPath나 mount가 맞지 않는 경우, device나 권한이 부족한 경우, runtime이 응답하지 않는 경우, postStart hook이 실패하는 경우입니다. waiting reason, runtime이 기록한 종료 정보, hook 이벤트로 구분합니다. "+
			"이미지 문제, ConfigMap·Secret·key가 없는 경우, 다른 아키텍처의 프로그램, 실행된 뒤 종료된 프로그램은 각각의 규칙에서 다룹니다."),
	Link:     "https://kubernetes.io/docs/tasks/debug/debug-application/debug-pods/",
	Severity: finding.Warning,
	Needs:    containerNeeds(),
	For:      crashPatience,
	Causes: []rule.Cause{
		{Code: "ContainerRuntimeDown", Via: rule.Cluster, Holds: stuckFor},
		{Code: "NodeNotReady", Via: rule.Cluster, Holds: stuckFor},
	},
	Detect: detectContainerStartFailing,
})

// startErrors are the waiting reasons of a container that cannot be made or started
// (k8s.io/kubernetes/pkg/kubelet/kuberuntime/kuberuntime_container.go, container/sync_result.go).
var startErrors = []string{
	"CreateContainerConfigError", "CreateContainerError", "RunContainerError", "PreCreateHookError", "PreStartHookError", "PostStartHookError",
}

// startClue is a way in which a container cannot be started, by the words of the kubelet, the
// container runtime or runc.
type startClue struct {
	text      pattern
	mechanism finding.Mechanism
	field     string // of the container; empty where none is wrong
	says      finding.Text
}

var startClues = []startClue{
	{
		patterned(`executable file not found|no such file or directory: unknown$|stat \S+: no such file or directory|no command specified`), v1alpha1.MechanismMissing, ".command",
		finding.Textf("its command is not in the image", "명령이 이미지에 없습니다"),
	},
	{
		patterned(`exec: "[^"]*": permission denied|permission denied: unknown$|is a directory: unknown`), v1alpha1.MechanismMisconfigured, ".command",
		finding.Textf("its command may not be run: the file is not executable", "명령 파일에 실행 권한이 없습니다"),
	},
	{
		patterned(`runAsNonRoot`), v1alpha1.MechanismMisconfigured, ".securityContext.runAsNonRoot",
		finding.Textf("it must not run as root, and its image would, or does not say by number as whom", "root 실행이 금지되어 있으나 이미지가 root로 실행되거나 사용자를 숫자로 지정하지 않았습니다"),
	},
	{
		patterned(`subPath|subpath`), v1alpha1.MechanismMisconfigured, ".volumeMounts",
		finding.Textf("the subPath of a mount cannot be made in its volume", "volume 안에 mount의 subPath를 준비하지 못합니다"),
	},
	{
		patterned(`error mounting|not a directory: unknown|Are you trying to mount a directory onto a file`), v1alpha1.MechanismMisconfigured, ".volumeMounts",
		finding.Textf("a mount does not fit its image: a file over a folder, or over a path that it may not make", "mount가 이미지와 맞지 않습니다(파일과 디렉터리 불일치 등)"),
	},
	{
		patterned(`unable to find user|no users found|no matching entries in passwd`), v1alpha1.MechanismMisconfigured, ".securityContext.runAsUser",
		finding.Textf("the user that it is to run as is not in the image", "지정된 사용자가 이미지에 없습니다"),
	},
	{
		patterned(`no space left on device`), v1alpha1.MechanismExhausted, "",
		finding.Textf("the node's disk is full", "노드의 디스크가 가득 찼습니다"),
	},
	{
		patterned(`container init was OOM-killed|memory limit too low|possibly OOM|minimum memory limit`), v1alpha1.MechanismExhausted, ".resources.limits.memory",
		finding.Textf("its memory limit is too small to start anything in it", "메모리 limit이 너무 작아 아무것도 시작할 수 없습니다"),
	},
	{
		patterned(`apparmor|seccomp|selinux|capabilit`), v1alpha1.MechanismMisconfigured, ".securityContext",
		finding.Textf("a security profile or capability that it names is not there on the node, or refuses it", "지정된 보안 profile이나 capability가 노드에 없거나 실행을 거부합니다"),
	},
	{
		patterned(`name "[^"]*" is reserved for|is already in use by`), v1alpha1.MechanismHung, "",
		finding.Textf("the runtime still holds an earlier try to make it", "runtime이 이전 생성 시도를 아직 놓아 주지 않았습니다"),
	},
	{
		patterned(`context deadline exceeded|DeadlineExceeded`), v1alpha1.MechanismHung, "",
		finding.Textf("the container runtime does not answer in time", "컨테이너 runtime이 제때 응답하지 않습니다"),
	},
	{
		patterned(`[Rr]esource temporarily unavailable|[Cc]annot allocate memory|pids? limit`), v1alpha1.MechanismExhausted, "",
		finding.Textf("the node can start no more processes", "노드에서 더 이상 프로세스를 시작할 수 없습니다"),
	},
}

// missingConfig are the words for what rules of their own tell (package config).
var missingConfig = regexp.MustCompile(`(?:configmap|secret) "[^"]*" not found|couldn't find key `)

// startFailure is what is known of a container that does not start.
type startFailure struct {
	reason, message string
	hook            *corev1.Event
}

// cannotStart tells whether it is not the program that ends the container: it was never run, or its
// postStart hook failed.
func (c container) cannotStart(s *snapshot.Snapshot) bool {
	_, ok := c.startFailure(s)
	return ok
}

func (c container) startFailure(s *snapshot.Snapshot) (startFailure, bool) {
	if snapshot.PodDone(c.pod) || c.pod.DeletionTimestamp != nil {
		return startFailure{}, false
	}
	end := c.ended()
	if w := c.status.State.Waiting; w != nil && slices.Contains(startErrors, w.Reason) {
		if missingConfig.MatchString(w.Message) {
			return startFailure{}, false
		}
		out := startFailure{reason: w.Reason, message: w.Message}
		if w.Reason == "PostStartHookError" {
			out.hook = c.hookFailure(s)
		}
		return out, true
	}
	if end == nil || !c.keepsEnding(s.Now()) {
		return startFailure{}, false
	}
	if notStarted(end) {
		return startFailure{reason: end.Reason, message: end.Message}, true
	}
	if c.spec.Lifecycle != nil && c.spec.Lifecycle.PostStart != nil {
		if e := c.hookFailure(s); e != nil && snapshot.EventTime(e).Sub(end.FinishedAt.Time).Abs() < recently {
			return startFailure{reason: "PostStartHookError", message: e.Message, hook: e}, true
		}
	}
	return startFailure{}, false
}

// hookFailure is the newest event that tells of the container's postStart hook; nil where none does
// (k8s.io/kubernetes/pkg/kubelet/events/event.go, FailedPostStartHook).
func (c container) hookFailure(s *snapshot.Snapshot) *corev1.Event {
	for _, e := range s.PodEvents(c.pod) {
		if e.Reason == "FailedPostStartHook" && e.InvolvedObject.FieldPath == c.fieldPath() {
			return e
		}
	}
	return nil
}

func detectContainerStartFailing(p *rule.Pass) {
	cannot := func(c container) bool {
		f, ok := c.startFailure(p.Snapshot)
		return ok && !wrongArchitecture(f.message)
	}
	for _, g := range endingContainers(p, cannot) {
		p.Report(containerStartFailing(p, g))
	}
}

func containerStartFailing(p *rule.Pass, g group[container]) finding.Finding {
	c, pods := g.Items[0], containerPods(g.Items)
	failure, _ := c.startFailure(p.Snapshot)
	h, clue := historyOf(p.Snapshot, g.Subject, pods), startClueIn(failure)
	f := finding.Finding{
		Subject: g.Subject, Mechanism: clue.mechanism, Since: c.triesSince(p.Snapshot),
		Title:    finding.Format("%s: %s cannot be started: %s", "%s: %s 시작하지 못합니다. %s", nameOf(g.Subject, pods), c.label(), clue.says),
		Evidence: []finding.Evidence{c.startEvidence(failure)},
	}
	if clue.field != "" {
		f.Field = c.field(g.Subject, clue.field)
	}
	if failure.hook != nil {
		f.Evidence = append(f.Evidence, eventEvidence(failure.hook))
	}
	f.Why = finding.Join("; ", restarts(g.Items), finding.Format("%s %s", "%s %s", finding.Verbatim(failure.reason), inQuotes(startMessage(failure.message))),
		h.brought(".spec"), h.serving(), staticNote(pods))
	if h.blames(".spec") {
		f.Evidence = append(f.Evidence, h.revision.evidence()...)
		f.Remedies.Now = h.rollback()
	}
	if f.Field != "" {
		f.Remedies.Now = append(f.Remedies.Now, edit(g.Subject, pods, f.Field))
	} else {
		f.Remedies.Now = append(f.Remedies.Now, finding.Remedy{
			Text:    finding.Textf("see on the node what the container runtime says", "노드에서 컨테이너 runtime의 로그를 확인합니다"),
			Command: "journalctl -u containerd -u crio -u kubelet --since -10min", Machine: c.pod.Spec.NodeName,
		})
	}
	f.Remedies.Now = append(f.Remedies.Now, finding.Remedy{
		Text:    finding.Textf("see all that the kubelet tells of the pod", "kubelet이 남긴 Pod 이벤트를 모두 확인합니다"),
		Command: fmt.Sprintf("kubectl -n %s describe pod %s", c.pod.Namespace, c.pod.Name),
	})
	return claimWorkload(aboutPods(p.Snapshot, f, pods))
}

func startClueIn(f startFailure) startClue {
	if f.reason == "PostStartHookError" {
		return startClue{mechanism: v1alpha1.MechanismFailing, field: ".lifecycle.postStart", says: finding.Textf("its postStart hook fails", "postStart hook이 실패합니다")}
	}
	for _, clue := range startClues {
		if clue.text.MatchString(f.message) {
			return clue
		}
	}
	return startClue{mechanism: v1alpha1.MechanismFailing, says: finding.Textf("the runtime refuses it (%s)", "runtime이 거부합니다(%s)", f.reason)}
}

// startMessage drops the heads that runtimes wrap around the reason.
func startMessage(message string) string {
	for _, head := range []string{"unable to start container process: ", "error during container init: ", " desc = "} {
		if _, tail, ok := strings.Cut(message, head); ok {
			message = tail
		}
	}
	return message
}

// startEvidence is where the status of the container says that it does not start.
func (c container) startEvidence(f startFailure) finding.Evidence {
	if w := c.status.State.Waiting; w != nil && slices.Contains(startErrors, w.Reason) {
		list := "containerStatuses"
		if c.init {
			list = "initContainerStatuses"
		}
		return finding.Evidence{
			Source: finding.Named(podSubject(c.pod)), Path: fmt.Sprintf(".status.%s[%s].state.waiting", list, c.spec.Name),
			Value: finding.Quote(f.reason + ": " + w.Message), At: finding.Timestamp(c.triesSince(nil)),
		}
	}
	return c.evidence()
}

// triesSince is when the kubelet began to try to start the container: its first failed run, or when
// the pod came to its node. Events tell it where s is given.
func (c container) triesSince(s *snapshot.Snapshot) time.Time {
	if s != nil && c.ended() != nil {
		return c.since(s)
	}
	if ready := snapshot.PodCondition(c.pod, corev1.PodReady); ready != nil && ready.Status == corev1.ConditionFalse {
		return ready.LastTransitionTime.Time
	}
	if c.pod.Status.StartTime != nil {
		return c.pod.Status.StartTime.Time
	}
	return c.pod.CreationTimestamp.Time
}
