package checks

import (
	"cmp"
	"slices"
	"strings"

	corev1 "k8s.io/api/core/v1"

	khv1 "github.com/maek-dev/maek/api/kuberhealthy/v1"
	"github.com/maek-dev/maek/api/maek/v1alpha1"
	"github.com/maek-dev/maek/internal/finding"
	"github.com/maek-dev/maek/internal/snapshot"
)

// reason is why a run ended without a report, in the word that Maek's operator records
// (CheckRecord.lastFailure.reason).
type reason string

// reported is the reason of a run whose checker reported that something is wrong: the checker is well.
const reported reason = v1alpha1.ReasonReportedFailure

// The reasons of runs that ended without a report. Of a Kuberhealthy's own checks they are guessed from its
// words and from the pod.
const (
	imagePullFailed reason = v1alpha1.ReasonImagePullFailed
	unschedulable   reason = v1alpha1.ReasonUnschedulable
	oomKilled       reason = v1alpha1.ReasonOOMKilled
	crashed         reason = v1alpha1.ReasonCrashed
	noReport        reason = v1alpha1.ReasonNoReport
	initFailed      reason = v1alpha1.ReasonInitFailed
	configMissing   reason = v1alpha1.ReasonConfigMissing
	notStarted      reason = v1alpha1.ReasonNotStarted
	deadline        reason = v1alpha1.ReasonDeadline
	podDeleted      reason = v1alpha1.ReasonPodDeleted
	podEvicted      reason = v1alpha1.ReasonPodEvicted
	nodeLost        reason = v1alpha1.ReasonNodeLost
	podRefused      reason = v1alpha1.ReasonPodRefused
	// notRun: it could not be carried out, and nothing tells why.
	notRun reason = v1alpha1.ReasonNotRun
)

// ending is how runs end for a reason.
type ending struct {
	mechanism finding.Mechanism
	text      finding.Text
}

var endings = map[reason]ending{
	imagePullFailed: {v1alpha1.MechanismMissing, finding.Textf("the checker's image cannot be pulled", "checker 이미지를 가져오지 못합니다")},
	unschedulable:   {v1alpha1.MechanismExhausted, finding.Textf("no node takes the checker pod", "checker Pod를 받을 노드가 없습니다")},
	oomKilled:       {v1alpha1.MechanismExhausted, finding.Textf("the checker is killed for memory", "checker가 메모리 부족으로 강제 종료됩니다")},
	crashed:         {v1alpha1.MechanismCrashing, finding.Textf("the checker ends with an error before it reports", "checker가 보고하기 전에 오류로 종료됩니다")},
	noReport:        {v1alpha1.MechanismFailing, finding.Textf("the checker ends without a report", "checker가 보고 없이 종료됩니다")},
	initFailed:      {v1alpha1.MechanismCrashing, finding.Textf("an init container of the checker pod does not end well", "checker Pod의 init 컨테이너가 정상적으로 끝나지 않습니다")},
	configMissing:   {v1alpha1.MechanismMissing, finding.Textf("what the checker pod refers to is missing", "checker Pod가 참조하는 객체가 없습니다")},
	notStarted:      {v1alpha1.MechanismHung, finding.Textf("the checker pod does not start", "checker Pod가 시작되지 않습니다")},
	deadline:        {v1alpha1.MechanismHung, finding.Textf("the checker does not report within its timeout", "checker가 timeout 안에 보고하지 않습니다")},
	podDeleted:      {v1alpha1.MechanismKilled, finding.Textf("the checker pod is deleted before it reports", "checker Pod가 보고하기 전에 삭제됩니다")},
	podEvicted:      {v1alpha1.MechanismKilled, finding.Textf("the checker pod is evicted before it reports", "checker Pod가 보고하기 전에 축출됩니다")},
	nodeLost:        {v1alpha1.MechanismUnreachable, finding.Textf("the node that the checker pod is on does not answer", "checker Pod가 있는 노드가 응답하지 않습니다")},
	podRefused:      {v1alpha1.MechanismRefused, finding.Textf("the API server refuses the checker pod", "API server가 checker Pod 생성을 거부합니다")},
	notRun:          {v1alpha1.MechanismFailing, finding.Textf("a run could not be carried out", "실행하지 못했습니다")},
}

// executionErrors are how the errors begin of runs that ended without a report: those of version 2
// (master: cmd/kuberhealthy/kuberhealthy.go) and of version 3 (main: internal/kuberhealthy/kuberhealthy.go),
// which Maek's operator keeps.
var executionErrors = []string{"Check execution error: ", "Job execution error: ", "failed to create check pod", "check run "}

// clues tell why, by the words of an execution error.
var clues = []struct {
	words string
	is    reason
}{
	{"ErrImagePull", imagePullFailed},
	{"ImagePullBackOff", imagePullFailed},
	{"failed to create pod", podRefused},
	{"failed to create check pod", podRefused},
	{"OOMKilled", oomKilled},
	{"exit without report", crashed},
	{"pod deleted", podDeleted},
	{"being removed", podDeleted},
	{"lost its pod", podDeleted},
	{"failed to see pod running", notStarted},
	{"ended without a report", noReport},
	{"timed out", deadline},
}

// execution tells whether the newest run failed without a report, so that the checker is ill rather than
// what it looks at, and why.
func (c *check) execution(s *snapshot.Snapshot) (why reason, ill bool) {
	if c.spec != nil {
		_, ill = endings[c.reason]
		// The exit code of a pod of the user's own is its verdict.
		return c.reason, ill && (c.reason != crashed || c.spec.PodTemplate == nil)
	}
	if r := c.record; r != nil && r.LastFailure != nil {
		why = reason(r.LastFailure.Reason)
		_, known := endings[why]
		if known || why == reported {
			return why, known
		}
	}
	text := c.said
	if !slices.ContainsFunc(executionErrors, func(start string) bool { return strings.HasPrefix(text, start) }) {
		return reported, false
	}
	if strings.HasPrefix(text, "check run ") && !strings.Contains(text, "(started at ") {
		return reported, false
	}
	why = notRun
	for _, clue := range clues {
		if strings.Contains(text, clue.words) {
			why = clue.is
			break
		}
	}
	if why == deadline || why == notStarted || why == noReport {
		why = cmp.Or(seenIn(c.newestPod(s)), why)
	}
	return why, true
}

// newestPod of a check; nil where none is left.
func (c *check) newestPod(s *snapshot.Snapshot) *corev1.Pod {
	var newest *corev1.Pod
	for _, pod := range c.pods(s) {
		if newest == nil || pod.CreationTimestamp.After(newest.CreationTimestamp.Time) {
			newest = pod
		}
	}
	return newest
}

// pods of a check: those that name it as their controller, as Maek's operator and Kuberhealthy 3 make them,
// and those that carry its name in a label only, as Kuberhealthy 2 does.
func (c *check) pods(s *snapshot.Snapshot) []*corev1.Pod {
	if own := s.PodsOf(c.subject); len(own) > 0 {
		return own
	}
	if c.resource == "khcheck" || c.resource == "khjob" {
		return s.PodsSelected(c.subject.Namespace, map[string]string{khv1.LabelApp: khv1.App, khv1.LabelCheck: c.subject.Name})
	}
	return nil
}

// seenIn is why a pod cannot have reported, as its status shows; empty where it shows nothing.
func seenIn(pod *corev1.Pod) reason {
	if pod == nil {
		return ""
	}
	for _, status := range slices.Concat(pod.Status.InitContainerStatuses, pod.Status.ContainerStatuses) {
		switch end := status.State.Terminated; {
		case end != nil && end.Reason == "OOMKilled":
			return oomKilled
		case end != nil && end.ExitCode != 0:
			return crashed
		}
		if w := status.State.Waiting; w != nil {
			switch w.Reason {
			case "ErrImagePull", "ImagePullBackOff", "InvalidImageName", "ErrImageNeverPull":
				return imagePullFailed
			case "CreateContainerConfigError":
				return configMissing
			case "CrashLoopBackOff":
				return crashed
			}
		}
	}
	scheduled := snapshot.PodCondition(pod, corev1.PodScheduled)
	switch {
	case pod.Spec.NodeName == "" && scheduled != nil && scheduled.Status == corev1.ConditionFalse:
		return unschedulable
	case pod.Status.Phase == corev1.PodSucceeded:
		return noReport
	default:
		return ""
	}
}

// podEvidence is what the status of a checker pod tells of its end.
func podEvidence(pod *corev1.Pod) []finding.Evidence {
	if pod == nil {
		return nil
	}
	source := "Pod " + pod.Namespace + "/" + pod.Name
	out := []finding.Evidence{{Source: source, Path: ".status.phase", Value: string(pod.Status.Phase), At: finding.Timestamp(pod.CreationTimestamp.Time)}}
	for _, status := range slices.Concat(pod.Status.InitContainerStatuses, pod.Status.ContainerStatuses) {
		path := ".status.containerStatuses[" + status.Name + "].state"
		if end := status.State.Terminated; end != nil && (end.ExitCode != 0 || end.Reason == "OOMKilled") {
			out = append(out, finding.Evidence{Source: source, Path: path + ".terminated.reason", Value: finding.Quote(end.Reason), At: finding.Timestamp(end.FinishedAt.Time)})
		}
		if w := status.State.Waiting; w != nil && w.Reason != "" {
			out = append(out, finding.Evidence{Source: source, Path: path + ".waiting.reason", Value: finding.Quote(w.Reason)})
		}
	}
	if c := snapshot.PodCondition(pod, corev1.PodScheduled); c != nil && c.Status == corev1.ConditionFalse {
		out = append(out, finding.Evidence{Source: source, Path: ".status.conditions[PodScheduled].message", Value: finding.Quote(c.Message), At: finding.Timestamp(c.LastTransitionTime.Time)})
	}
	return out
}
