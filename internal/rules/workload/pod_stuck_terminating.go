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
	Code:  "PodStuckTerminating",
	Title: finding.Text{EN: "pod does not go away", KO: "Pod가 삭제되지 않습니다"},
	Doc: finding.Text{
		EN: "A pod was deleted, its time to end is over for five minutes, and it is still there: a finalizer holds it, its kubelet cannot end its " +
			"containers or does not answer, or its Node is gone. A StatefulSet or DaemonSet makes no other pod in its place until it is gone. Left alone: " +
			"pods that still have time by their termination grace period, however long that is, and checker pods that no finalizer holds: nothing waits for them but their check, which tells of it (CheckNotRunning).",
		KO: "삭제된 Pod가 종료 유예 시간이 지난 뒤 5분이 넘도록 남아 있습니다. finalizer가 남아 있거나, kubelet이 컨테이너를 종료하지 못하거나 응답하지 않거나, Node가 없는 경우입니다. " +
			"StatefulSet과 DaemonSet은 이 Pod가 없어질 때까지 대신할 Pod를 만들지 않습니다. terminationGracePeriodSeconds가 아직 남은 Pod와 finalizer가 없는 checker Pod는 제외합니다. 이런 Pod를 기다리는 것은 check뿐이며, check가 직접 알립니다(CheckNotRunning).",
	},
	Link:     "https://kubernetes.io/docs/concepts/workloads/pods/pod-lifecycle/#pod-termination",
	Severity: finding.Warning,
	Needs: slices.Concat([]rule.Need{
		rule.Any[*corev1.Pod](), rule.Optional[*corev1.Node](), rule.Optional[*corev1.Event](), rule.Optional[*coordinationv1.Lease](),
		rule.Optional[*corev1.Namespace](), rule.Optional[*appsv1.Deployment](), rule.Optional[*appsv1.StatefulSet](), rule.Optional[*appsv1.DaemonSet](),
	}, rule.Owners()),
	For: terminatingAfter,
	Causes: []rule.Cause{
		{Code: "KubeletStopped", Via: rule.RunsOn, Holds: withoutFinalizers},
		{Code: "NodeUnreachable", Via: rule.RunsOn, Holds: withoutFinalizers},
		{Code: "NodeNotReady", Via: rule.RunsOn, Holds: withoutFinalizers},
		{Code: "ContainerRuntimeDown", Via: rule.RunsOn, Holds: withoutFinalizers},
		{Code: "NetworkPluginNotReady", Via: rule.RunsOn, Holds: withoutFinalizers},
		{Code: "ControllerManagerDown", Via: rule.Cluster, Holds: removedByControllerManager},
	},
	Detect: podStuckTerminating,
})

// terminatingAfter is how long past its time to end a pod may be there: a kubelet unmounts volumes and
// takes the network down within it.
const terminatingAfter = 5 * time.Minute

// withoutFinalizers holds a dead kubelet against a pod: one that finalizers keep would stay anyway.
func withoutFinalizers(s *snapshot.Snapshot, effect, _ finding.Finding) bool {
	pod, ok := snapshot.Get[*corev1.Pod](s, effect.Subject.Namespace, effect.Subject.Name)
	return ok && len(pod.Finalizers) == 0
}

// removedByControllerManager holds a dead controller manager against a pod that it should take away:
// one whose Node is gone (k8s.io/kubernetes/pkg/controller/podgc), or with a finalizer of Kubernetes'.
func removedByControllerManager(s *snapshot.Snapshot, effect, _ finding.Finding) bool {
	pod, ok := snapshot.Get[*corev1.Pod](s, effect.Subject.Namespace, effect.Subject.Name)
	if !ok {
		return false
	}
	_, hasNode := snapshot.Get[*corev1.Node](s, "", pod.Spec.NodeName)
	return slices.ContainsFunc(pod.Finalizers, isKubernetes) || (len(pod.Finalizers) == 0 && !hasNode)
}

// hold is what pods that do not go away have in common.
type hold struct{ node, finalizers string }

func podStuckTerminating(p *rule.Pass) {
	held := map[hold][]*corev1.Pod{}
	var order []hold
	for _, pod := range snapshot.List[*corev1.Pod](p.Snapshot) {
		// The deletion timestamp of a pod is when its time to end is over
		// (k8s.io/apimachinery/pkg/apis/meta/v1, ObjectMeta.DeletionTimestamp).
		if pod.DeletionTimestamp == nil || !pod.DeletionTimestamp.Time.Before(p.Now()) {
			continue
		}
		if snapshot.CheckerPod(pod) && len(pod.Finalizers) == 0 {
			continue
		}
		h := hold{pod.Spec.NodeName, strings.Join(pod.Finalizers, ",")}
		if held[h] == nil {
			order = append(order, h)
		}
		held[h] = append(held[h], pod)
	}
	for _, h := range order {
		p.Report(stuckPods(p, held[h]))
	}
}

func stuckPods(p *rule.Pass, pods []*corev1.Pod) finding.Finding {
	slices.SortStableFunc(pods, func(a, b *corev1.Pod) int { return a.DeletionTimestamp.Compare(b.DeletionTimestamp.Time) })
	first := pods[0]
	since := first.DeletionTimestamp.Time
	subject := snapshot.SubjectOf(first)
	f := finding.Finding{
		Subject: subject, Mechanism: v1alpha1.MechanismHung, Since: since,
		Title: finding.Textf("%s: deleted, and does not go away", "%s: 삭제되었으나 없어지지 않습니다", finding.Named(subject)),
		Evidence: []finding.Evidence{{
			Source: finding.Named(subject), Path: ".metadata.deletionTimestamp", Value: since.UTC().Format(time.RFC3339), At: finding.Timestamp(since),
		}},
	}
	if more := len(pods) - 1; more > 0 {
		f.Title = finding.Textf("%s and %d more: deleted, and do not go away", "%s 외 %d개: 삭제되었으나 없어지지 않습니다", finding.Named(subject), more)
	}
	overdue := finding.Textf("its time to end was over at %s", "종료 유예 시간이 %s에 끝났습니다", finding.Clock(p.Now(), since))
	why, remedies := whatHolds(p, first, &f)
	f.Why = finding.Join("; ", overdue, why)
	f.Remedies = remedies
	f.Explains = heldUp(p, pods)
	return f
}

// whatHolds says what keeps a pod from going, and what to do.
func whatHolds(p *rule.Pass, pod *corev1.Pod, f *finding.Finding) (finding.Text, finding.Remedies) {
	describe := finding.Remedy{
		Text:    finding.Text{EN: "see what it waits for", KO: "무엇을 기다리는지 확인합니다"},
		Command: fmt.Sprintf("kubectl -n %s describe pod %s", pod.Namespace, pod.Name),
	}
	if len(pod.Finalizers) > 0 {
		f.Field = ".metadata.finalizers"
		f.Evidence = append(f.Evidence, finding.Evidence{
			Source: finding.Named(f.Subject), Path: f.Field, Value: strings.Join(pod.Finalizers, ", "),
		})
		return finding.Join(": ", finding.Text{EN: "finalizers hold it", KO: "finalizer가 남아 있습니다"}, tellFinalizers(pod.Finalizers)),
			finding.Remedies{Now: []finding.Remedy{describe, neverStrip()}}
	}
	node := pod.Spec.NodeName
	if _, ok := snapshot.Get[*corev1.Node](p.Snapshot, "", node); !ok && p.Coverage(snapshot.KindOf[*corev1.Node]()).Known() {
		f.Mechanism = v1alpha1.MechanismMissing
		return finding.Textf("its Node %q does not exist, so no kubelet can say that it ended", "Node %q가 존재하지 않아 종료를 확인해 줄 kubelet이 없습니다", node),
			finding.Remedies{Now: []finding.Remedy{
				describe,
				{
					Text:    finding.Text{EN: "the controller manager takes away pods of Nodes that are gone; see whether it does its work", KO: "없어진 Node의 Pod는 controller manager가 정리합니다. 동작 여부를 확인합니다"},
					Command: "kubectl -n kube-system logs -l component=kube-controller-manager --tail=50",
				},
			}}
	}
	why := finding.Textf("the kubelet on %s has not confirmed its end", "노드 %s의 kubelet이 종료를 확인해 주지 않았습니다", node)
	var running []string
	for _, c := range pod.Status.ContainerStatuses {
		if c.State.Running != nil {
			running = append(running, c.Name)
			f.Evidence = append(f.Evidence, finding.Evidence{
				Source: finding.Named(f.Subject), Path: fmt.Sprintf(".status.containerStatuses[%s].state", c.Name), Value: "running",
			})
		}
	}
	if len(running) > 0 {
		why = finding.Format("the kubelet on %s still reports its containers as running: %s", "노드 %s의 kubelet이 컨테이너를 실행 중으로 보고하고 있습니다: %s",
			finding.Verbatim(node), finding.List(running))
	}
	for _, e := range slices.Backward(p.PodEvents(pod)) {
		if e.Reason == "FailedKillPod" || e.Reason == "FailedPreStopHook" {
			f.Evidence = append(f.Evidence, eventEvidence(e))
			why = finding.Join(": ", why, quoted(e.Message))
			break
		}
	}
	now := []finding.Remedy{describe, {
		Text:    finding.Text{EN: "see what its kubelet says of it", KO: "kubelet 로그를 확인합니다"},
		Command: "journalctl -u kubelet --since=-30min | grep " + pod.Name, Machine: node,
	}}
	if p.Writer(snapshot.KubeletOn(node)).State != snapshot.Alive { // A machine whose kubelet reports is not off.
		now = append(now, finding.Remedy{
			Text: finding.Text{
				EN: "only if the machine is certainly switched off: say so, and its pods are taken away and its volumes detached",
				KO: "머신이 꺼져 있는 것이 확실한 경우에만 아래 taint를 추가합니다. Pod가 정리되고 볼륨이 분리됩니다",
			},
			Command: fmt.Sprintf("kubectl taint nodes %s node.kubernetes.io/out-of-service=nodeshutdown:NoExecute", node),
		})
	}
	return why, finding.Remedies{
		Now: now,
		Later: []finding.Remedy{{Text: finding.Text{
			EN: "do not delete with --force: the API server forgets the pod while its containers may go on writing to the same volumes",
			KO: "--force로 삭제하지 마십시오. API server에서만 사라지고 컨테이너는 같은 볼륨에 계속 쓸 수 있습니다",
		}}},
	}
}

// heldUp names what pods that do not go away keep from going on: the pods themselves, whose trouble
// this is; the StatefulSets and DaemonSets that make no other in their place; and the workloads and
// namespaces that are being deleted and wait for them.
func heldUp(p *rule.Pass, pods []*corev1.Pod) []finding.Subject {
	var out []finding.Subject
	for _, pod := range pods {
		out = append(out, snapshot.SubjectOf(pod))
		if ns, ok := snapshot.Get[*corev1.Namespace](p.Snapshot, "", pod.Namespace); ok && ns.DeletionTimestamp != nil {
			out = append(out, snapshot.SubjectOf(ns))
		}
		w := p.Workload(pod)
		switch w.Kind {
		case "StatefulSet", "DaemonSet":
			out = append(out, w)
		case "Deployment":
			d, ok := snapshot.Get[*appsv1.Deployment](p.Snapshot, w.Namespace, w.Name)
			if ok && (d.DeletionTimestamp != nil || d.Spec.Strategy.Type == appsv1.RecreateDeploymentStrategyType) {
				out = append(out, w)
			}
		}
	}
	slices.SortFunc(out, finding.CompareSubjects)
	return slices.Compact(out)
}
