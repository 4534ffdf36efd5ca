package workload

import (
	"cmp"
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
	Code:  "PodNotReady",
	Title: finding.Text{EN: "not ready", KO: "Ready 상태가 아닙니다"},
	Doc: finding.Text{
		EN: "A pod that should serve is not ready: it has no Node, its containers are not up, its probes do not succeed, or its Node " +
			"stopped reporting. It is mostly the effect of something else, and a finding of its own only when nothing explains it. " +
			"Left alone: pods that ran to their end, pods being deleted, pods held by a scheduling gate, pods that are still within what " +
			"their own startup and readiness probes allow, pods of a rollout for five minutes, pods on their way " +
			"to a Node or into being for fifteen (other rules know what holds those up), or thirty while a Node is being added for them or an image pulled, pods of Jobs that run, and checker pods, whose check tells of them. A StatefulSet's pod that should be gone and is not " +
			"counts, for its successor cannot be created before. Where both the kubelet of a Node and the controller manager are dead, nobody " +
			"keeps the Ready condition of its pods: that is said as a gap, never taken for health.",
		KO: "서비스해야 할 Pod가 Ready 상태가 아닙니다. Node가 정해지지 않았거나, 컨테이너가 올라오지 않았거나, probe가 성공하지 않거나, Node의 보고가 끊긴 경우입니다. " +
			"대개 다른 원인의 결과이며, 설명할 원인이 없을 때만 독립된 문제로 다룹니다. 실행을 마친 Pod, 삭제 중인 Pod, scheduling gate에 걸린 Pod, " +
			"startup·readiness probe가 허용하는 시간 안에 있는 Pod, 진행 중인 rollout의 5분 이내 Pod, 배치·생성 중인 15분 이내 Pod(원인은 다른 규칙이 판단하며, Node 추가나 이미지 pull이 진행 중이면 30분), 실행 중인 Job의 Pod, check의 결과로 알리는 checker Pod는 제외합니다. 삭제되었어야 할 StatefulSet Pod는 후속 Pod의 생성을 막으므로 포함합니다. " +
			"Node의 kubelet과 controller manager가 모두 멈춘 경우 Ready 값을 갱신할 주체가 없으므로 정상으로 보지 않고 확인 불가로 알립니다.",
	},
	Link:     "https://kubernetes.io/docs/concepts/workloads/pods/pod-lifecycle/#pod-conditions",
	Severity: finding.Warning,
	Needs: slices.Concat([]rule.Need{
		rule.Any[*corev1.Pod](), rule.Optional[*corev1.Node](), rule.Optional[*coordinationv1.Lease](), rule.Optional[*corev1.Event](),
		rule.Optional[*appsv1.Deployment](), rule.Optional[*appsv1.StatefulSet](),
	}, rule.Owners()),
	For:     unreadyAfter,
	Symptom: true,
	Causes: []rule.Cause{
		{Code: "KubeletStopped", Via: rule.RunsOn},
		{Code: "NodeUnreachable", Via: rule.RunsOn},
		{Code: "NodeNotReady", Via: rule.RunsOn},
		{Code: "ContainerRuntimeDown", Via: rule.RunsOn},
		{Code: "NetworkPluginNotReady", Via: rule.RunsOn},
		{Code: "SchedulerDown", Via: rule.Cluster, Holds: neverJudgedByScheduler},
		{Code: "ControllerManagerDown", Via: rule.Cluster, Holds: outlivesItsNode},
	},
	Detect: podNotReady,
})

// neverJudgedByScheduler holds a dead scheduler against the pod: one that the scheduler has judged
// carries its PodScheduled condition.
func neverJudgedByScheduler(s *snapshot.Snapshot, effect, _ finding.Finding) bool {
	pod, ok := snapshot.Get[*corev1.Pod](s, effect.Subject.Namespace, effect.Subject.Name)
	return ok && pod.Spec.NodeName == "" && snapshot.PodCondition(pod, corev1.PodScheduled) == nil
}

// outlivesItsNode holds a dead controller manager against a pod without a Node: nobody else would
// remove it.
func outlivesItsNode(s *snapshot.Snapshot, effect, _ finding.Finding) bool {
	pod, ok := snapshot.Get[*corev1.Pod](s, effect.Subject.Namespace, effect.Subject.Name)
	if !ok || pod.Spec.NodeName == "" || !s.Coverage(snapshot.KindOf[*corev1.Node]()).Known() {
		return false
	}
	_, exists := snapshot.Get[*corev1.Node](s, "", pod.Spec.NodeName)
	return !exists
}

func podNotReady(p *rule.Pass) {
	nodes := existingNodes(p)
	manager := p.Writer(snapshot.ControllerManager)
	silent := map[string]int{}
	for _, pod := range snapshot.List[*corev1.Pod](p.Snapshot) {
		if !shouldServe(pod) && !holdsItsPlace(p.Now(), pod) {
			continue
		}
		node := pod.Spec.NodeName
		switch {
		case node != "" && nodes != nil && !nodes[node] && pod.DeletionTimestamp == nil:
			p.Report(withoutNode(pod, manager))
		case snapshot.PodReady(pod) && pod.DeletionTimestamp == nil:
			if node != "" && manager.State == snapshot.Dead {
				silent[node]++
			}
		default:
			p.Report(notReady(p, pod))
		}
	}
	tellSilent(p, manager, silent)
}

// existingNodes returns the Nodes that there are; nil where absence could not be told.
func existingNodes(p *rule.Pass) map[string]bool {
	if !p.Coverage(snapshot.KindOf[*corev1.Node]()).Known() {
		return nil
	}
	names := map[string]bool{}
	for _, n := range snapshot.List[*corev1.Node](p.Snapshot) {
		names[n.Name] = true
	}
	return names
}

// tellSilent reports as a gap the pods that say they are ready while both who would say otherwise
// are dead.
func tellSilent(p *rule.Pass, manager snapshot.Freshness, pods map[string]int) {
	for _, n := range snapshot.List[*corev1.Node](p.Snapshot) {
		if pods[n.Name] == 0 {
			continue
		}
		kubelet := p.Writer(snapshot.KubeletOn(n.Name))
		if kubelet.State != snapshot.Dead {
			continue
		}
		p.Skip(finding.Textf(
			"readiness of pods on Node %[2]s is not known (%[1]d say that they are ready): its kubelet last reported at %[3]s, and the controller manager, which would take them out of service, is dead since %[4]s",
			"Node %[2]s에 있는 Pod %[1]d개의 Ready 여부를 알 수 없습니다. kubelet의 마지막 보고는 %[3]s이고, Pod를 서비스에서 제외해야 할 controller manager도 %[4]s부터 멈춰 있습니다",
			pods[n.Name], n.Name, finding.Clock(p.Now(), kubelet.LastSeen), finding.Clock(p.Now(), manager.LastSeen)))
	}
}

// withoutNode is the finding about a pod whose Node object is gone. The pod garbage collector
// removes such a pod within a minute, so it only settles while the controller manager lives.
func withoutNode(pod *corev1.Pod, manager snapshot.Freshness) finding.Finding {
	f := finding.Finding{
		Subject: snapshot.SubjectOf(pod), Mechanism: v1alpha1.MechanismMissing, Field: ".spec.nodeName",
		Title: finding.Textf("Pod %s/%s: its Node %s no longer exists", "Pod %s/%s: 배치된 Node(%s)가 더 이상 없습니다", pod.Namespace, pod.Name, pod.Spec.NodeName),
		Why: finding.Textf("the pod is bound to Node %s, and there is no Node of that name, so no Service sends anything to it",
			"Pod는 Node %s에 배치되어 있으나 그런 이름의 Node가 없으므로 Service 트래픽을 받지 않습니다", pod.Spec.NodeName),
		Evidence: []finding.Evidence{{Source: finding.Named(snapshot.SubjectOf(pod)), Path: ".spec.nodeName", Value: pod.Spec.NodeName}},
		Remedies: finding.Remedies{Now: []finding.Remedy{
			{Text: finding.Text{EN: "see which Nodes there are", KO: "현재 Node 목록을 확인합니다"}, Command: "kubectl get nodes"},
			{
				Text:    finding.Text{EN: "if the machine is up, its kubelet registers the Node anew when it starts", KO: "장비가 살아 있으면 kubelet이 시작할 때 Node를 다시 등록합니다"},
				Command: "systemctl restart kubelet", Machine: pod.Spec.NodeName,
			},
		}},
	}
	if !snapshot.PodReady(pod) {
		f.Since = snapshot.NotReadySince(pod)
	} else {
		f.Settling = manager.State != snapshot.Dead
	}
	return f
}

func notReady(p *rule.Pass, pod *corev1.Pod) finding.Finding {
	u := unreadiness(pod)
	f := finding.Finding{
		Subject: podSubject(pod), Mechanism: u.mechanism(), Since: u.since,
		Title:    finding.Join(": ", finding.Verbatim(finding.Named(podSubject(pod))), u.text(pod)),
		Evidence: []finding.Evidence{{Source: finding.Named(podSubject(pod)), Path: u.path, Value: u.value, At: finding.Timestamp(u.since)}},
		Settling: settles(p.Snapshot, pod, u),
	}
	f.Why = finding.Join("; ", u.why(p.Now()), staticNote([]*corev1.Pod{pod}))
	if u.unjudged() && p.Writer(snapshot.Scheduler).State == snapshot.Alive {
		tellScheduler(p, &f, pod)
	}
	if probe := u.probe(); probe != "" {
		if e := probeFailure(p.Snapshot, pod, u.container, probe, u.since); e != nil {
			f.Evidence = append(f.Evidence, eventEvidence(e))
			f.Why = finding.Join(": ", f.Why, quoted(e.Message))
		}
	} else if u.message != "" && u.message != u.value {
		f.Evidence = append(f.Evidence, finding.Evidence{
			Source: finding.Named(snapshot.SubjectOf(pod)), Path: strings.TrimSuffix(u.path, ".reason") + ".message", Value: finding.Quote(u.message),
		})
	}
	f.Remedies.Now = u.remedies(pod)
	return f
}

// tellScheduler names the scheduler that a pod asks for: kube-scheduler lives and has not judged the
// pod, so it is most likely not the one.
func tellScheduler(p *rule.Pass, f *finding.Finding, pod *corev1.Pod) {
	name := cmp.Or(pod.Spec.SchedulerName, corev1.DefaultSchedulerName)
	f.Field, f.Mechanism = ".spec.schedulerName", v1alpha1.MechanismMissing
	f.Title = finding.Textf("%s: no scheduler named %s has taken it up", "%s: 이름이 %s인 scheduler가 처리하지 않았습니다", finding.Named(f.Subject), name)
	f.Why = finding.Join("; ", f.Why, finding.Textf("kube-scheduler lives and has said nothing of the pod, which asks for the scheduler %s: see whether one of that name runs",
		"kube-scheduler는 동작하고 있으나 이 Pod를 다루지 않았습니다. Pod는 scheduler %s를 지정하고 있으므로 그 이름의 scheduler가 실행 중인지 확인하십시오", name))
	f.Evidence = append(f.Evidence, finding.Evidence{Source: finding.Named(f.Subject), Path: f.Field, Value: name})
	f.RuledOut = []finding.Statement{{
		Text:     finding.Text{EN: "kube-scheduler stopped: it renews its Lease", KO: "kube-scheduler 중지: Lease를 갱신하고 있습니다"},
		Evidence: p.Writer(snapshot.Scheduler).Evidence,
	}}
}

// quoted puts a message of Kubernetes' own between quotation marks.
func quoted(message string) finding.Text { return finding.Verbatim(`"` + finding.Quote(message) + `"`) }

func eventEvidence(e *corev1.Event) finding.Evidence {
	o := e.InvolvedObject
	return finding.Evidence{
		Source: fmt.Sprintf("Event %s on %s %s/%s", e.Reason, o.Kind, o.Namespace, o.Name), Path: ".message",
		Value: told(e), At: finding.Timestamp(snapshot.EventTime(e)),
	}
}

func (u unready) mechanism() finding.Mechanism {
	switch u.stage {
	case stageReadiness, stageStartup:
		return v1alpha1.MechanismFailing
	case stageEnded:
		return v1alpha1.MechanismStopped
	case stageMarked:
		return v1alpha1.MechanismUnreachable
	case stageGate, stageUnknown:
		return v1alpha1.MechanismDegraded
	default:
		return v1alpha1.MechanismHung
	}
}

// probe is the kind of probe that holds the pod up, as events name it; empty where it is none.
func (u unready) probe() string {
	switch u.stage {
	case stageReadiness:
		return "Readiness"
	case stageStartup:
		return "Startup"
	default:
		return ""
	}
}

// text says how far the pod has come.
func (u unready) text(pod *corev1.Pod) finding.Text {
	node, why := pod.Spec.NodeName, cmp.Or(u.reason, containerCreating)
	switch u.stage {
	case stageDeleting:
		return finding.Textf("still Terminating on Node %s, and its successor waits for it", "Node %s에서 아직 Terminating이며 후속 Pod가 생성되지 못합니다", node)
	case stageUnscheduled:
		return finding.Text{EN: "not scheduled to any Node", KO: "아직 Node에 배치되지 않았습니다"}
	case stageAssigned:
		return finding.Textf("assigned to Node %s, whose kubelet has not taken it up", "Node %s에 배치되었으나 kubelet이 처리를 시작하지 않았습니다", node)
	case stageMarked:
		return finding.Textf("out of service because its Node %s is not Ready", "배치된 Node(%s)가 Ready 상태가 아니어서 서비스에서 제외되었습니다", node)
	case stageGate:
		return finding.Textf("its readiness gate %s is not met", "readiness gate(%s)가 충족되지 않았습니다", u.container)
	case stageInit:
		return finding.Textf("its init container %s has not finished", "init 컨테이너(%s)가 끝나지 않았습니다", u.container)
	case stageWaiting:
		return finding.Textf("container %s is not started (%s)", "컨테이너(%s)가 시작되지 않았습니다(%s)", u.container, why)
	case stageEnded:
		return finding.Textf("container %s ended with exit code %s", "컨테이너(%s)가 종료 코드 %s로 끝났습니다", u.container, u.value)
	case stageStartup:
		return finding.Textf("container %s runs, its startup probe has not succeeded", "컨테이너(%s)가 실행 중이나 startup probe가 성공하지 않았습니다", u.container)
	case stageReadiness:
		return finding.Textf("container %s runs, its readiness probe fails", "컨테이너(%s)가 실행 중이나 readiness probe가 실패합니다", u.container)
	default:
		return finding.Text{EN: "not ready", KO: "Ready 상태가 아닙니다"}
	}
}

func (u unready) why(now time.Time) finding.Text {
	said := finding.Textf("%s is %s", "%s 값이 %s입니다", u.path, cmp.Or(u.value, "(none)"))
	if !u.since.IsZero() {
		said = finding.Join(" ", finding.Textf("since %s", "%s부터", finding.Clock(now, u.since)), said)
	}
	if u.message != "" && u.message != u.value && u.probe() == "" {
		said = finding.Join(": ", said, quoted(u.message))
	}
	return said
}

func (u unready) remedies(pod *corev1.Pod) []finding.Remedy {
	all := []finding.Remedy{{
		Text:    finding.Text{EN: "see its conditions and what its kubelet last said", KO: "상태와 kubelet의 마지막 이벤트를 확인합니다"},
		Command: fmt.Sprintf("kubectl -n %s describe pod %s", pod.Namespace, pod.Name),
	}}
	switch u.stage {
	case stageReadiness, stageStartup, stageInit:
		all = append(all, finding.Remedy{
			Text:    finding.Text{EN: "see what the container itself says", KO: "컨테이너 로그를 확인합니다"},
			Command: fmt.Sprintf("kubectl -n %s logs %s -c %s --tail=50", pod.Namespace, pod.Name, u.container),
		})
	case stageEnded:
		all = append(all, finding.Remedy{
			Text:    finding.Text{EN: "see what the container said before it ended", KO: "종료 직전의 컨테이너 로그를 확인합니다"},
			Command: fmt.Sprintf("kubectl -n %s logs %s -c %s --tail=50", pod.Namespace, pod.Name, u.container),
		})
	case stageDeleting, stageAssigned, stageMarked:
		all = append(all, finding.Remedy{
			Text:    finding.Text{EN: "see whether its Node reports", KO: "Node의 보고 상태를 확인합니다"},
			Command: "kubectl describe node " + pod.Spec.NodeName,
		})
	default:
	}
	return all
}
