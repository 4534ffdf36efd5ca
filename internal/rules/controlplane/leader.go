package controlplane

import (
	"fmt"
	"slices"
	"strings"
	"time"

	coordinationv1 "k8s.io/api/coordination/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/maek-dev/maek/api/maek/v1alpha1"
	"github.com/maek-dev/maek/internal/finding"
	"github.com/maek-dev/maek/internal/rule"
	"github.com/maek-dev/maek/internal/snapshot"
)

// leader is a component of the control plane of which one process at a time works: the holder of
// a Lease.
type leader struct {
	// component is the program's name, and the value of the label that kubeadm gives its static
	// pods (k8s.io/kubernetes/cmd/kubeadm/app/util/staticpod, ComponentPod).
	component string
	// writer names its Lease.
	writer snapshot.Writer
	// other is the other such component, whose Lease shows whether Leases can be renewed at all.
	other snapshot.Writer
}

// The labels of kubeadm's static pods and of its control-plane nodes
// (k8s.io/kubernetes/cmd/kubeadm/app/constants, ControlPlaneTier and LabelNodeRoleControlPlane).
const (
	componentLabel        = "component"
	tierLabel             = "tier"
	controlPlaneTier      = "control-plane"
	apiServerComponent    = "kube-apiserver"
	controlPlaneNodeLabel = "node-role.kubernetes.io/control-plane"
)

// takeover is how long after its last sign of life work of a leader can still turn up: what it had
// begun, and a process that takes over within the Lease's duration.
const takeover = time.Minute

// backAfter is how long after an outage of the API server its leaders can take to be back. They end when they
// cannot renew their Leases, and the kubelet waits for 10, 20 and 40 s before it starts them again
// (k8s.io/kubernetes/pkg/kubelet/kubelet.go, backOffPeriod).
const backAfter = 90 * time.Second

// servedSince is since when there has been an API server, as far as the Leases and the static pods of API servers
// tell. It is zero where they do not.
func servedSince(p *rule.Pass) time.Time {
	var pods time.Time
	for _, pod := range p.ControlPlanePods(apiServerComponent) {
		for i := range pod.Status.ContainerStatuses {
			running := pod.Status.ContainerStatuses[i].State.Running
			if running != nil && (pods.IsZero() || running.StartedAt.Time.Before(pods)) {
				pods = running.StartedAt.Time
			}
		}
	}
	return finding.Later(p.ServedSince(), pods)
}

// lapse is a leader that nobody is.
type lapse struct {
	snapshot.Freshness

	// leader that is missing.
	leader leader
	// pods are its static pods.
	pods []*corev1.Pod
	// fossils are those of them whose own kubelet is dead: what they say is old.
	fossils map[string]bool
	// machines on which it runs, or should.
	machines []string
	// early tells that the API server has not been back for long enough for the leader to be back too. One that
	// was heard of since then was back.
	early bool
	// manifestGone tells that other control-plane components run as static pods and this does not.
	manifestGone bool
	// without are the nodes that run kube-apiserver as a static pod and not this component, by a
	// kubelet that lives: there the kubelet lacks the manifest, or cannot read it.
	without []string
}

// lapsed tells whether nobody holds the Lease. It skips the rule where no Lease can tell.
func (l leader) lapsed(p *rule.Pass) (lapse, bool) {
	f := p.Writer(l.writer)
	switch f.State {
	case snapshot.Alive:
		return lapse{}, false
	case snapshot.LivenessUnknown:
		if f.Awaited {
			p.Skip(finding.Textf("%s: it is too early to tell whether %s runs", "%s: %s 실행 여부를 판단하기에는 아직 이릅니다", f.Reason, l.component))
			return lapse{}, false
		}
		p.Skip(finding.Textf("%s: whether %s runs cannot be told here (a managed control plane, k3s, or leader election is off)",
			"%s: %s 실행 여부를 알 수 없습니다(관리형 control plane, k3s, 또는 leader election을 끈 경우)", f.Reason, l.component))
		return lapse{}, false
	case snapshot.Dead:
	}
	served := servedSince(p)
	out := lapse{Freshness: f, leader: l, fossils: map[string]bool{}, early: f.LastSeen.Before(served) && p.Now().Sub(served) < backAfter}
	var family []*corev1.Pod
	for _, pod := range snapshot.List[*corev1.Pod](p.Snapshot) {
		if pod.Namespace != metav1.NamespaceSystem || pod.Labels[tierLabel] != controlPlaneTier || !snapshot.StaticPod(pod) {
			continue
		}
		if pod.Labels[componentLabel] != l.component {
			family = append(family, pod)
			continue
		}
		out.pods = append(out.pods, pod)
		if p.Writer(snapshot.KubeletOn(pod.Spec.NodeName)).State == snapshot.Dead {
			out.fossils[pod.Name] = true
		}
	}
	out.manifestGone = len(out.pods) == 0 && len(family) > 0
	for _, pod := range family {
		node := pod.Spec.NodeName
		if pod.Labels[componentLabel] != apiServerComponent {
			continue // A machine that runs etcd only has no controller manager and no scheduler.
		}
		has := slices.ContainsFunc(out.pods, func(own *corev1.Pod) bool { return own.Spec.NodeName == node })
		if !has && p.Writer(snapshot.KubeletOn(node)).State == snapshot.Alive && !slices.Contains(out.without, node) {
			out.without = append(out.without, node)
		}
	}
	out.machines = l.machines(p, f.Holder, slices.Concat(out.pods, family))
	return out, true
}

// machines returns where the component runs or should: its holder's machine, else those of the
// control plane's static pods, else the nodes labelled as control plane.
func (l leader) machines(p *rule.Pass, holder string, pods []*corev1.Pod) []string {
	if host := hostOf(holder); host != "" {
		return []string{host}
	}
	var out []string
	for _, pod := range pods {
		out = append(out, pod.Spec.NodeName)
	}
	if len(out) == 0 {
		for _, n := range snapshot.List[*corev1.Node](p.Snapshot) {
			if _, ok := n.Labels[controlPlaneNodeLabel]; ok {
				out = append(out, n.Name)
			}
		}
	}
	slices.Sort(out)
	return slices.Compact(out)
}

// hostOf is the host of a leader election identity, "host_uuid"
// (k8s.io/kubernetes/cmd/kube-controller-manager/app/controllermanager.go, Run).
func hostOf(identity string) string {
	if i := strings.LastIndex(identity, "_"); i >= 0 {
		return identity[:i]
	}
	return identity
}

// crashed returns the last end of the component's container, where its pod tells of one.
func (l lapse) crashed() (*corev1.Pod, *corev1.ContainerStatus, *corev1.ContainerStateTerminated) {
	for _, pod := range l.pods {
		for i := range pod.Status.ContainerStatuses {
			c := &pod.Status.ContainerStatuses[i]
			switch {
			case c.State.Terminated != nil:
				return pod, c, c.State.Terminated
			case c.State.Waiting != nil && c.LastTerminationState.Terminated != nil:
				return pod, c, c.LastTerminationState.Terminated
			}
		}
	}
	return nil, nil, nil
}

// running returns a pod of the component whose container runs, by a kubelet that lives.
func (l lapse) running() *corev1.Pod {
	for _, pod := range l.pods {
		if !l.fossils[pod.Name] && snapshot.PodReady(pod) {
			return pod
		}
	}
	return nil
}

// mechanism by which the component is gone.
func (l lapse) mechanism() finding.Mechanism {
	if _, _, end := l.crashed(); end != nil {
		return v1alpha1.MechanismCrashing
	}
	if l.running() != nil && l.Holder != "" {
		return v1alpha1.MechanismHung
	}
	return v1alpha1.MechanismStopped
}

// title says by which mechanism it is gone.
func (l lapse) title() finding.Text {
	_, _, end := l.crashed()
	switch {
	case end != nil:
		return finding.Textf("%s ends at every start (exit code %d)", "%s: 시작할 때마다 종료됩니다(종료 코드 %d)", l.leader.component, end.ExitCode)
	case l.mechanism() == v1alpha1.MechanismHung:
		return finding.Textf("%s runs and does no work", "%s: 프로세스는 있지만 동작하지 않습니다", l.leader.component)
	case l.manifestGone:
		return finding.Textf("%s does not run: its static pod is gone", "%s: 실행되지 않습니다(static Pod가 없음)", l.leader.component)
	default:
		return finding.Textf("%s does not run", "%s: 실행되지 않습니다", l.leader.component)
	}
}

// how says what the Lease and the static pods tell.
func (l lapse) how(now time.Time) finding.Text {
	lease := l.leader.writer.Namespace + "/" + l.leader.writer.Name
	when := finding.Clock(now, l.LastSeen)
	var parts []finding.Text
	if l.Holder == "" {
		parts = append(parts, finding.Textf("Its Lease %s was given up at %s, as at an orderly end, and nobody took it.",
			"%s Lease가 %s에 반납되었고(정상 종료) 이를 이어받은 프로세스가 없습니다.", lease, when))
	} else {
		parts = append(parts, finding.Textf("Its Lease %s was last renewed at %s by %s and has run out; nobody took it.",
			"%s Lease의 마지막 갱신은 %s(%s)이며 그 뒤 만료되었고 이를 이어받은 프로세스가 없습니다.", lease, when, hostOf(l.Holder)))
	}
	if pod, c, end := l.crashed(); end != nil {
		parts = append(parts, finding.Textf("Its container in Pod %s ended with exit code %d (restarts: %d).",
			"Pod %s의 컨테이너가 종료 코드 %d번으로 종료되었습니다(재시작 %d회).", pod.Name, end.ExitCode, c.RestartCount))
	} else if pod := l.running(); pod != nil && l.Holder != "" {
		parts = append(parts, finding.Textf("Pod %s runs and does not renew it: the process hangs, or the API server does not accept its requests.",
			"Pod(%s)는 실행 중이지만 Lease를 갱신하지 않습니다. 프로세스가 멈췄거나 API server가 요청을 받아들이지 않습니다.", pod.Name))
	}
	switch {
	case len(l.without) > 0:
		parts = append(parts, finding.Format("The kubelet on %s reports and runs other parts of the control plane as static pods, and %s has none there: its manifest %s was moved away, or the kubelet cannot read it, of which only its log tells.",
			"%[1]s의 kubelet은 보고하고 있으며 control plane의 다른 구성 요소를 static Pod로 실행하지만 %[2]s의 static Pod는 없습니다. manifest(%[3]s)가 옮겨졌거나 kubelet이 읽을 수 없는 상태입니다(이 경우 kubelet 로그에만 나타납니다).",
			finding.List(l.without), finding.Verbatim(l.leader.component), finding.Verbatim(l.leader.manifest())))
	case l.manifestGone:
		parts = append(parts, finding.Textf("Other parts of the control plane run as static pods and %s has none: its manifest was moved away or cannot be read.",
			"control plane의 다른 구성 요소는 static Pod로 실행 중이지만 %s의 static Pod는 없습니다. manifest가 옮겨졌거나 읽을 수 없는 상태입니다.", l.leader.component))
	}
	for _, pod := range l.pods {
		if l.fossils[pod.Name] {
			parts = append(parts, finding.Textf("What Pod %s says is old: the kubelet on %s does not report.",
				"Pod %s의 상태는 오래된 값입니다. %s의 kubelet이 보고하지 않습니다.", pod.Name, pod.Spec.NodeName))
		}
	}
	return finding.Join(" ", parts...)
}

// evidence for how.
func (l lapse) evidence() []finding.Evidence {
	out := slices.Clone(l.Evidence)
	if pod, c, end := l.crashed(); end != nil {
		out = append(out, finding.Evidence{
			Source: "Pod " + pod.Namespace + "/" + pod.Name, Path: fmt.Sprintf(".status.containerStatuses[%s]", c.Name),
			Value: finding.Quote(fmt.Sprintf("exit code %d, %s, %d restarts %s", end.ExitCode, end.Reason, c.RestartCount, end.Message)),
			At:    finding.Timestamp(end.FinishedAt.Time),
		})
	} else if pod := l.running(); pod != nil {
		c := snapshot.PodCondition(pod, corev1.PodReady)
		out = append(out, finding.Evidence{
			Source: "Pod " + pod.Namespace + "/" + pod.Name, Path: ".status.conditions[Ready]", Value: string(c.Status), At: finding.Timestamp(c.LastTransitionTime.Time),
		})
	}
	return out
}

// ruledOut names other causes that the evidence excludes.
func (l lapse) ruledOut(p *rule.Pass) []finding.Statement {
	if f := p.Writer(l.leader.other); f.State == snapshot.Alive {
		return []finding.Statement{{
			Text: finding.Textf("etcd and the API server: Lease %s/%s is renewed through them",
				"etcd와 API server: %s/%s Lease가 정상적으로 갱신되고 있습니다", l.leader.other.Namespace, l.leader.other.Name),
			Evidence: f.Evidence,
		}}
	}
	return nil
}

// now is what to do about it: kubectl works without either leader, and so do static pods.
func (l lapse) now() []finding.Remedy {
	const readable = 3
	var out []finding.Remedy
	for _, pod := range l.pods[:min(len(l.pods), readable)] {
		if l.fossils[pod.Name] {
			continue
		}
		previous := ""
		if p, _, _ := l.crashed(); p == pod {
			previous = " --previous"
		}
		out = append(out, finding.Remedy{
			Text:    finding.Text{EN: "what it said last", KO: "마지막 로그를 확인합니다"},
			Command: "kubectl -n " + pod.Namespace + " logs " + pod.Name + " --tail 20" + previous,
		})
	}
	for _, machine := range l.machines[:min(len(l.machines), readable)] {
		out = append(out, finding.Remedy{
			Text: finding.Textf("is the manifest there (once it is back or mended the kubelet starts it), and what does the kubelet say about it",
				"manifest가 있는지 확인하고(되돌리거나 고치면 kubelet이 바로 시작합니다) kubelet 로그를 봅니다"),
			Command: fmt.Sprintf("ls -l %s; journalctl -u kubelet -n 200 --no-pager | grep %s", l.leader.manifest(), l.leader.component),
			Machine: machine,
		})
	}
	return out
}

// explains are its own static pods that are not ready.
func (l lapse) explains() []finding.Subject {
	var out []finding.Subject
	for _, pod := range l.pods {
		if !snapshot.PodReady(pod) {
			out = append(out, snapshot.SubjectOf(pod))
		}
	}
	return out
}

// field is the file that is to blame, where one is.
func (l lapse) field() string {
	if l.manifestGone && len(l.without) > 0 {
		return l.leader.manifest()
	}
	return ""
}

// manifest is the file from which the kubelet starts the component
// (k8s.io/kubernetes/cmd/kubeadm/app/constants, GetStaticPodFilepath).
func (l leader) manifest() string { return "/etc/kubernetes/manifests/" + l.component + ".yaml" }

// subject of findings about the leader: the Lease outlives every process that held it.
func (l leader) subject() finding.Subject {
	return finding.Subject{Kind: "Lease", Namespace: l.writer.Namespace, Name: l.writer.Name}
}

// leaderCauses are what can take a leader away, beyond itself.
func leaderCauses(component string) []rule.Cause {
	out := []rule.Cause{
		{Code: "EtcdUnavailable", Via: rule.Cluster},
		{Code: "EtcdDatabaseFull", Via: rule.Cluster},
		{Code: "EtcdDataLost", Via: rule.Cluster},
		{Code: "WebhookUnavailable", Via: rule.Claimed},
		{Code: "ApiServerOverloaded", Via: rule.Cluster, Holds: starvesLeaders},
		{Code: "ApiServerNotReady", Via: rule.Cluster},
		{Code: "LeasesNotRenewed", Via: rule.Cluster},
		{Code: "NodeUnreachable", Via: rule.Cluster, Holds: heldThere},
	}
	out = append(out, onMachine()...)
	for _, code := range []finding.Code{
		"ContainerCrashLoop", "ContainerOOMKilled", "ContainerStartFailing", "ImageArchitectureMismatch", "ImageNameInvalid", "ImageNotFound", "ImagePullFailed", "LivenessProbeFailing", "StartupProbeFailing",
	} {
		out = append(out, rule.Cause{Code: code, Via: rule.Cluster, Holds: func(_ *snapshot.Snapshot, _, cause finding.Finding) bool {
			return cause.Subject.Kind == "Pod" && cause.Subject.Namespace == metav1.NamespaceSystem &&
				strings.HasPrefix(cause.Subject.Name, component+"-")
		}})
	}
	return out
}

// starvesLeaders tells whether the full priority level is one of those by which leaders renew.
func starvesLeaders(_ *snapshot.Snapshot, _, cause finding.Finding) bool {
	return cause.Severity == finding.Critical
}

// heldThere tells whether the last holder of the effect's Lease ran on the cause's Node.
func heldThere(s *snapshot.Snapshot, effect, cause finding.Finding) bool {
	lease, ok := snapshot.Get[*coordinationv1.Lease](s, effect.Subject.Namespace, effect.Subject.Name)
	return ok && lease.Spec.HolderIdentity != nil && hostOf(*lease.Spec.HolderIdentity) == cause.Subject.Name
}
