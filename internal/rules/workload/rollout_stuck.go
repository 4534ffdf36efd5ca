package workload

import (
	"fmt"
	"slices"
	"strconv"
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
	Code:  "RolloutStuck",
	Title: finding.Text{EN: "rollout is stuck", KO: "rollout이 멈춰 있습니다"},
	Doc: finding.Text{
		EN: "The new version of a Deployment, StatefulSet or DaemonSet does not get ready: the Deployment passed its progress deadline, none of the new " +
			"pods got ready for five minutes though their containers were made, pods of the new version cannot be created, or a StatefulSet or DaemonSet waits for a pod of its new " +
			"revision. The finding says what the new version changed. Left alone: rollouts that get on, paused ones, finished ones (whose " +
			"pods may fail later for other reasons), and pods within what their probes allow for a start.",
		KO: "Deployment, StatefulSet, DaemonSet의 새 버전이 Ready가 되지 않습니다. progress deadline을 넘겼거나, 컨테이너가 만들어진 새 Pod가 5분 동안 하나도 Ready가 되지 않았거나, " +
			"새 버전의 Pod를 생성할 수 없거나, StatefulSet이나 DaemonSet이 새 revision의 Pod를 기다리는 경우입니다. 새 버전에서 무엇이 바뀌었는지 함께 알립니다. " +
			"진행 중인 rollout, 일시 중지된 rollout, 완료된 rollout(이후의 Pod 장애는 별개입니다), probe가 허용하는 시작 시간 안의 Pod는 제외합니다.",
	},
	Link:     "https://kubernetes.io/docs/concepts/workloads/controllers/deployment/#failed-deployment",
	Severity: finding.Warning,
	Needs: slices.Concat([]rule.Need{
		rule.Any[*appsv1.Deployment](), rule.Any[*appsv1.StatefulSet](), rule.Optional[*appsv1.DaemonSet](), rule.Whole[*appsv1.ReplicaSet](),
		rule.Whole[*corev1.Pod](), rule.Optional[*appsv1.ControllerRevision](), rule.Optional[*corev1.ConfigMap](),
		rule.Optional[*corev1.Node](), rule.Optional[*coordinationv1.Lease](),
	}, rule.Owners()),
	For: stuckAfter,
	Causes: []rule.Cause{
		{Code: "ImageNotFound", Via: rule.Itself},
		{Code: "ImageNameInvalid", Via: rule.Itself},
		{Code: "ImagePullDenied", Via: rule.Itself},
		{Code: "ContainerCrashLoop", Via: rule.Itself},
		{Code: "ContainerOOMKilled", Via: rule.Itself},
		{Code: "ContainerStartFailing", Via: rule.Itself},
		{Code: "ImageArchitectureMismatch", Via: rule.Itself},
		{Code: "ImagePullFailed", Via: rule.Itself},
		{Code: "InitContainerStuck", Via: rule.Itself},
		{Code: "LivenessProbeFailing", Via: rule.Itself},
		{Code: "PodEvicted", Via: rule.Itself},
		{Code: "PodRejected", Via: rule.Itself},
		{Code: "StartupProbeFailing", Via: rule.Itself},
		{Code: "PodUnschedulable", Via: rule.Itself},
		{Code: "PodStuckCreating", Via: rule.Itself},
		{Code: "ReadinessProbeFailing", Via: rule.Itself},
		{Code: "PodNotReady", Via: rule.HasPod, Holds: isOfNewRevision},
		{Code: "PodsNotCreated", Via: rule.Itself, Holds: lacksNewPods},
		{Code: "WorkloadContested", Via: rule.Itself},
		// What is wrong with a probe of the new version is known before its failures are a habit.
		{Code: "ProbeNeverSucceeded", Via: rule.Itself},
		{Code: "ProbePortNotFound", Via: rule.Itself},
		{Code: "ProbeKillsStart", Via: rule.Itself},
		{Code: "ProbeRefusedByPolicy", Via: rule.Itself},
		{Code: "ReadinessGateUnset", Via: rule.Itself},
	},
	Detect: rolloutStuck,
})

// stuckAfter is how long no new pod must have got ready before a rollout within its deadline counts
// as stuck: long enough for images to be pulled and programs to start, and half of the default
// deadline.
const stuckAfter = 5 * time.Minute

// isOfNewRevision refuses a pod of the old version as the cause: a rollout waits for the new ones. It
// refuses the pods that the rollout itself explains too.
func isOfNewRevision(s *snapshot.Snapshot, effect, cause finding.Finding) bool {
	pod, ok := snapshot.Get[*corev1.Pod](s, cause.Subject.Namespace, cause.Subject.Name)
	if !ok {
		return false
	}
	subject := effect.Subject
	if d, ok := snapshot.Get[*appsv1.Deployment](s, subject.Namespace, subject.Name); ok && subject.Kind == "Deployment" {
		sets := s.ReplicaSetsOf(d)
		return len(sets) > 0 && controllerOf(pod) == sets[0].Name && mayHold(s, effect, cause)
	}
	if subject.Kind == "DaemonSet" {
		n, known := revisionNumber(s, pod)
		newest := slices.ContainsFunc(effect.Evidence, func(e finding.Evidence) bool { return e.Path == revisionPath && e.Value == strconv.FormatInt(n, 10) })
		return known && newest && mayHold(s, effect, cause)
	}
	set, ok := snapshot.Get[*appsv1.StatefulSet](s, subject.Namespace, subject.Name)
	return ok && subject.Kind == "StatefulSet" && pod.Labels[appsv1.ControllerRevisionHashLabelKey] == set.Status.UpdateRevision &&
		mayHold(s, effect, cause)
}

// lacksNewPods holds a refusal of pods against a rollout that told of it: one that has all its pods
// waits for something else.
func lacksNewPods(_ *snapshot.Snapshot, effect, _ finding.Finding) bool {
	return slices.ContainsFunc(effect.Evidence, func(e finding.Evidence) bool { return e.Path == replicaFailurePath })
}

func rolloutStuck(p *rule.Pass) {
	for _, d := range snapshot.List[*appsv1.Deployment](p.Snapshot) {
		if d.Spec.Paused || d.DeletionTimestamp != nil || snapshot.Replicas(d.Spec.Replicas) == 0 || d.Status.ObservedGeneration < d.Generation {
			continue
		}
		if f, ok := deploymentStuck(p, d); ok {
			p.Report(f)
		}
	}
	for _, s := range snapshot.List[*appsv1.StatefulSet](p.Snapshot) {
		if s.DeletionTimestamp != nil || snapshot.Replicas(s.Spec.Replicas) == 0 || s.Status.UpdateRevision == s.Status.CurrentRevision ||
			s.Spec.UpdateStrategy.Type == appsv1.OnDeleteStatefulSetStrategyType {
			continue
		}
		if f, ok := statefulSetStuck(p, s); ok {
			p.Report(f)
		}
	}
	newest := newestRevisions(p.Snapshot)
	for _, d := range snapshot.List[*appsv1.DaemonSet](p.Snapshot) {
		if d.DeletionTimestamp != nil || !ofDaemonSet(d).rollout || d.Status.ObservedGeneration < d.Generation {
			continue
		}
		if f, ok := daemonSetStuck(p, d, newest[snapshot.SubjectOf(d)]); ok {
			p.Report(f)
		}
	}
}

// newPods are a workload's pods of its new revision.
type newPods struct {
	all   []*corev1.Pod
	ready int
	// failing are those that are neither ready nor starting, since is when the first of them ceased to
	// be, and coming tells that one of them is on its way into being, which may take long and be well.
	failing []*corev1.Pod
	since   time.Time
	coming  bool
}

func sortNew(p *rule.Pass, pods []*corev1.Pod, isNew func(*corev1.Pod) bool) newPods {
	var n newPods
	for _, pod := range alivePods(pods) {
		if !isNew(pod) {
			continue
		}
		n.all = append(n.all, pod)
		switch {
		case snapshot.PodReady(pod):
			n.ready++
		case !p.PodStarting(pod):
			n.failing = append(n.failing, pod)
			u := unreadiness(pod)
			n.since = finding.Earlier(n.since, u.since)
			n.coming = n.coming || u.underWay() || u.stage == stageUnscheduled || u.stage == stageAssigned || u.stage == stageInit && u.reason == ""
		}
	}
	return n
}

// failingPods are the pods of a workload, of whatever version, that are neither ready nor starting.
func failingPods(p *rule.Pass, workload finding.Subject) []*corev1.Pod {
	return sortNew(p, p.PodsOf(workload), func(*corev1.Pod) bool { return true }).failing
}

func deploymentStuck(p *rule.Pass, d *appsv1.Deployment) (finding.Finding, bool) {
	progressing := deploymentCondition(d, appsv1.DeploymentProgressing)
	if progressing != nil && progressing.Reason == newReplicaSetAvailable {
		return finding.Finding{}, false
	}
	rev, ok := revisionOf(p.Snapshot, d)
	if !ok {
		return finding.Finding{}, false
	}
	subject := snapshot.SubjectOf(d)
	pods := sortNew(p, p.PodsOf(subject), func(pod *corev1.Pod) bool { return controllerOf(pod) == rev.Newest.Name })
	wanted := snapshot.Replicas(d.Spec.Replicas)
	if pods.ready >= wanted {
		return finding.Finding{}, false
	}
	f := finding.Finding{Subject: subject, Mechanism: v1alpha1.MechanismHung, Since: rev.began()}
	refused := ofDeployment(d).refusal
	if p.Writer(snapshot.ControllerManager).State == snapshot.Dead {
		refused = nil
	}
	switch {
	case progressing != nil && progressing.Reason == progressDeadlineExceeded:
		f.Evidence = append(f.Evidence, finding.Evidence{
			Source: finding.Named(subject), Path: ".status.conditions[Progressing].reason", Value: progressing.Reason,
			At: finding.Timestamp(progressing.LastTransitionTime.Time),
		})
	case rev.Previous == nil:
		return finding.Finding{}, false // A first version that never got ready is no rollout.
	case refused != nil && len(pods.all) < wanted && pods.ready == len(pods.all):
		f.Since = finding.Later(f.Since, refused.since)
	case pods.ready > 0 || pods.coming || len(pods.failing) == 0 || len(pods.failing) < len(pods.all):
		return finding.Finding{}, false
	default:
		f.Settling = p.Now().Sub(pods.since) < stuckAfter
	}
	f.Explains = alike(p.Snapshot, failingPods(p, subject))
	tellStuck(&f, stuck{
		pods: pods, wanted: wanted, refused: refused, previous: rev.PreviousReady,
		changes: finding.Join("; ", rev.text(p.Now()), configChanged(p, &d.Spec.Template.Spec, d.Namespace, pods.since)),
	})
	if rev.Previous != nil {
		f.Remedies.Now = append(f.Remedies.Now, history{workload: subject, revision: rev, newest: true}.rollback()...)
	}
	return f, true
}

// statefulSetStuck looks for a pod of the new revision that is not ready: the controller replaces
// no other pod before it is
// (https://kubernetes.io/docs/concepts/workloads/controllers/statefulset/#rolling-updates).
func statefulSetStuck(p *rule.Pass, s *appsv1.StatefulSet) (finding.Finding, bool) {
	subject := snapshot.SubjectOf(s)
	all := p.PodsOf(subject)
	isNew := func(pod *corev1.Pod) bool {
		return pod.Labels[appsv1.ControllerRevisionHashLabelKey] == s.Status.UpdateRevision
	}
	pods := sortNew(p, all, isNew)
	if len(pods.failing) == 0 || (pods.coming && p.Now().Sub(pods.since) < rolloutPatience) {
		return finding.Finding{}, false
	}
	var older *corev1.Pod
	serving := 0
	for _, pod := range alivePods(all) {
		if !isNew(pod) && snapshot.PodReady(pod) {
			serving++
			older = pod
		}
	}
	f := finding.Finding{Subject: subject, Mechanism: v1alpha1.MechanismHung, Since: pods.since, Evidence: []finding.Evidence{{
		Source: finding.Named(subject), Path: ".status.updateRevision",
		Value: s.Status.UpdateRevision + " (current " + s.Status.CurrentRevision + ")",
	}}}
	f.Explains = alike(p.Snapshot, failingPods(p, subject))
	tellStuck(&f, stuck{
		pods: pods, wanted: toUpdate(s), previous: serving,
		changes: finding.Join("; ", changesOfSet(pods.failing[0], older), configChanged(p, &s.Spec.Template.Spec, s.Namespace, pods.since)),
	})
	f.Remedies.Now = append(f.Remedies.Now,
		finding.Remedy{
			Text:    finding.Text{EN: "go back to the version before", KO: "이전 버전으로 되돌립니다"},
			Command: fmt.Sprintf("kubectl -n %s rollout undo %s", s.Namespace, argument(subject)),
		},
		// https://kubernetes.io/docs/concepts/workloads/controllers/statefulset/#forced-rollback
		finding.Remedy{
			Text: finding.Text{
				EN: "then delete the pod that fails: a StatefulSet does not replace it by itself",
				KO: "그다음 실패한 Pod를 삭제합니다. StatefulSet은 실패한 Pod를 스스로 교체하지 않습니다",
			},
			Command: fmt.Sprintf("kubectl -n %s delete pod %s", s.Namespace, pods.failing[0].Name),
		})
	return f, true
}

// changesOfSet says in which images a new pod of a StatefulSet differs from an old one; empty where there
// is no old one left to compare with.
func changesOfSet(failing, older *corev1.Pod) finding.Text {
	if older == nil {
		return finding.Text{}
	}
	return tellChanges(imageChanges(older, failing))
}

// toUpdate is how many pods of a StatefulSet are to be of its new revision: those from its partition on
// (https://kubernetes.io/docs/concepts/workloads/controllers/statefulset/#partitions). The partition
// counts from the first ordinal (k8s.io/kubernetes/pkg/controller/statefulset, updateStatefulSet).
func toUpdate(s *appsv1.StatefulSet) int {
	n := snapshot.Replicas(s.Spec.Replicas)
	if u := s.Spec.UpdateStrategy.RollingUpdate; u != nil && u.Partition != nil {
		return max(0, n-int(*u.Partition))
	}
	return n
}

// stuck is what is told about a rollout.
type stuck struct {
	pods     newPods
	wanted   int
	previous int
	refused  *refusal
	changes  finding.Text
}

func tellStuck(f *finding.Finding, s stuck) {
	name := finding.Named(f.Subject)
	f.Title = finding.Textf("%s: rollout stuck at %d of %d new pods ready", "%s: rollout이 멈췄습니다. 새 Pod %[3]d개 중 %[2]d개만 Ready입니다", name, s.pods.ready, s.wanted)
	serving := finding.Format("the old version goes on serving with %s", "이전 버전의 %s가 계속 서비스합니다", finding.Pods(s.previous))
	if s.previous == 0 {
		serving = finding.Text{EN: "no pod of an old version serves", KO: "이전 버전의 Pod는 서비스하고 있지 않습니다"}
	}
	var texts []finding.Text
	if !s.changes.IsZero() {
		texts = append(texts, s.changes)
	}
	if len(s.pods.failing) > 0 {
		texts = append(texts, finding.Format("not ready: %s", "Ready가 아닌 새 Pod: %s", tellPods(s.pods.failing)))
	}
	if s.refused != nil && len(s.pods.all) < s.wanted {
		texts = append(texts, finding.Join(": ", finding.Text{EN: "new pods cannot be created", KO: "새 Pod를 생성하지 못합니다"}, quoted(s.refused.message)))
		f.Mechanism = s.refused.mechanism()
		f.Evidence = append(f.Evidence, s.refused.evidence)
	}
	f.Why = finding.Join("; ", append(texts, serving)...)
	for _, pod := range s.pods.failing[:min(len(s.pods.failing), podsTold)] {
		u := unreadiness(pod)
		f.Evidence = append(f.Evidence, finding.Evidence{
			Source: finding.Named(snapshot.SubjectOf(pod)), Path: u.path, Value: u.value, At: finding.Timestamp(u.since),
		})
	}
	f.Remedies.Now = []finding.Remedy{{
		Text:    finding.Text{EN: "see how far it is", KO: "진행 상황을 확인합니다"},
		Command: fmt.Sprintf("kubectl -n %s rollout status %s --timeout=5s", f.Subject.Namespace, argument(f.Subject)),
	}}
}
