package node

import (
	"cmp"
	"fmt"
	"slices"
	"strconv"
	"time"

	coordinationv1 "k8s.io/api/coordination/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/maek-dev/maek/internal/finding"
	"github.com/maek-dev/maek/internal/rule"
	"github.com/maek-dev/maek/internal/snapshot"
)

// joining is how long a new node may take until its kubelet reports and its network plugin is
// there: nodeStartupGracePeriod (k8s.io/kubernetes/pkg/controller/nodelifecycle/config/v1alpha1),
// and as long again for the DaemonSets that a node is made ready by.
const joining = 2 * time.Minute

// reasonNeverUpdated is the reason of Ready on a node whose kubelet never reported
// (k8s.io/kubernetes/pkg/controller/nodelifecycle/node_lifecycle_controller.go, tryUpdateNodeHealth).
const reasonNeverUpdated = "NodeStatusNeverUpdated"

// loss is a node whose kubelet does not report.
type loss struct {
	node *corev1.Node
	// since is the kubelet's last sign of life.
	since time.Time
	// never tells that no kubelet has ever reported for the node.
	never bool
	// how it is known.
	how finding.Text
	// evidence for it.
	evidence []finding.Evidence
}

// lossNeeds is what losses reads.
func lossNeeds() []rule.Need {
	return []rule.Need{
		rule.Any[*corev1.Node](), rule.Optional[*coordinationv1.Lease](), rule.Optional[*corev1.Pod](),
	}
}

// losses returns the nodes whose kubelet does not report, by name.
func losses(p *rule.Pass) []loss {
	var out []loss
	for _, n := range snapshot.List[*corev1.Node](p.Snapshot) {
		if young(p.Snapshot, n) || leaving(n) {
			continue
		}
		if l, ok := lostNode(p.Snapshot, n); ok {
			out = append(out, l)
		}
	}
	return out
}

// young tells whether a node has only just joined.
func young(s *snapshot.Snapshot, n *corev1.Node) bool {
	return s.Now().Sub(n.CreationTimestamp.Time) < joining
}

// leaving tells whether a node is being removed on purpose: it is deleted, or an autoscaler marked
// it (cluster-autoscaler/utils/taints, ToBeDeletedTaint; sigs.k8s.io/karpenter/pkg/apis/v1,
// DisruptedTaintKey).
func leaving(n *corev1.Node) bool {
	return n.DeletionTimestamp != nil || slices.ContainsFunc(n.Spec.Taints, func(t corev1.Taint) bool {
		return t.Key == "ToBeDeletedByClusterAutoscaler" || t.Key == "karpenter.sh/disrupted"
	})
}

// lostNode judges one node. A Lease speaks for itself, whatever Ready says: Ready is set to Unknown by
// the controller manager, a few seconds later, and not at all when that is dead. Only without a
// Lease does Ready alone speak.
func lostNode(s *snapshot.Snapshot, n *corev1.Node) (loss, bool) {
	ready := snapshot.NodeCondition(n, corev1.NodeReady)
	kubelet := s.Writer(snapshot.KubeletOn(n.Name))
	l := loss{node: n, since: kubelet.LastSeen, evidence: kubelet.Evidence}
	switch {
	case kubelet.State == snapshot.Alive:
		return loss{}, false
	case kubelet.State == snapshot.Dead:
		l.how = finding.Textf("The kubelet last renewed its Lease kube-node-lease/%s at %s.",
			"kubelet의 마지막 Lease(kube-node-lease/%s) 갱신은 %s입니다.", n.Name, finding.Clock(s.Now(), l.since))
		if ready != nil && ready.Status == corev1.ConditionTrue && s.Writer(snapshot.ControllerManager).State == snapshot.Dead {
			l.how = finding.Join(" ", l.how, finding.Text{
				EN: "The node still says Ready, for the controller manager that would take that back is dead too.",
				KO: "Ready를 바꿀 controller manager도 멈춰 있어 노드는 아직 Ready로 보입니다.",
			})
		}
	case ready != nil && ready.Status == corev1.ConditionUnknown:
		l.since = ready.LastTransitionTime.Time
		if ready.Reason == reasonNeverUpdated {
			l.since, l.never = n.CreationTimestamp.Time, true
		}
		l.how = finding.Textf("Its Ready is Unknown: %s", "Ready condition이 Unknown입니다: %s", finding.Quote(ready.Message))
	default:
		return loss{}, false
	}
	if ready != nil {
		l.evidence = append(slices.Clone(l.evidence), readyEvidence(n, ready))
	}
	return l, true
}

func readyEvidence(n *corev1.Node, ready *corev1.NodeCondition) finding.Evidence {
	return finding.Evidence{
		Source: "Node " + n.Name, Path: ".status.conditions[Ready]",
		Value: finding.Quote(fmt.Sprintf("%s %s: %s", ready.Status, ready.Reason, ready.Message)), At: finding.Timestamp(ready.LastTransitionTime.Time),
	}
}

// load says what stands on a node, and whether it was drained: cordoned, with nothing left on it but
// what a drain leaves (k8s.io/kubectl/pkg/drain/filters.go).
func load(s *snapshot.Snapshot, n *corev1.Node) (bound int, drained bool) {
	movable := 0
	for _, pod := range s.PodsOn(n.Name) {
		if snapshot.PodDone(pod) {
			continue
		}
		bound++
		ref := metav1.GetControllerOfNoCopy(pod)
		if !snapshot.StaticPod(pod) && (ref == nil || ref.Kind != "DaemonSet") && pod.DeletionTimestamp == nil {
			movable++
		}
	}
	known := s.Coverage(snapshot.KindOf[*corev1.Pod]()).Known()
	return bound, known && n.Spec.Unschedulable && movable == 0
}

// carries says how many pods are bound to a node.
func carries(s *snapshot.Snapshot, n *corev1.Node) finding.Text {
	if !s.Coverage(snapshot.KindOf[*corev1.Pod]()).Readable() {
		return finding.Text{}
	}
	bound, drained := load(s, n)
	switch {
	case drained:
		return finding.Text{
			EN: "It is cordoned and drained, as for maintenance.",
			KO: "cordon과 drain이 끝난 상태로, 유지보수 중으로 보입니다.",
		}
	case bound == 0:
		return finding.Text{EN: "No pod is bound to it.", KO: "이 노드에 배치된 Pod는 없습니다."}
	case bound == 1:
		return finding.Text{EN: "1 pod is bound to it.", KO: "이 노드에 배치된 Pod는 1개입니다."}
	default:
		return finding.Textf("%d pods are bound to it.", "이 노드에 배치된 Pod는 %d개입니다.", bound)
	}
}

// kubeletConnection asks whether the API server gets through to a node's kubelet.
func kubeletConnection(n *corev1.Node) snapshot.Question {
	return snapshot.Question{Kind: snapshot.KubeletConnection, Name: n.Name}
}

// kubeletPort is the port at which a node's kubelet serves.
func kubeletPort(n *corev1.Node) int32 {
	const fallback = 10250 // k8s.io/kubernetes/pkg/cluster/ports, KubeletPort
	return cmp.Or(n.Status.DaemonEndpoints.KubeletEndpoint.Port, fallback)
}

// addressOf is where to ping a node: its internal address, else its name.
func addressOf(n *corev1.Node) string {
	for _, a := range n.Status.Addresses {
		if a.Type == corev1.NodeInternalIP {
			return a.Address
		}
	}
	return n.Name
}

// askedAtOnce bounds how many lost nodes are asked whether their kubelet answers: of a mass that was
// lost together a few tell as much as all, and other rules have questions too.
const askedAtOnce = 10

// kubeletAnswer asks whether the API server gets through to the kubelet of the n-th lost node.
func kubeletAnswer(p *rule.Pass, n int, l loss) (snapshot.Answer, bool) {
	if n < askedAtOnce {
		return p.Ask(kubeletConnection(l.node))
	}
	return p.Answer(kubeletConnection(l.node))
}

// together is how far apart the last renewals of kubelets can lie that were cut off at one moment:
// the renewal period of 10 s (k8s.io/kubernetes/pkg/kubelet/apis/config/v1beta1/defaults.go, a quarter
// of nodeLeaseDurationSeconds), and once more for a retry.
const together = 20 * time.Second

// companions says which other nodes were lost at the same time: what they share is then to be
// suspected before any one of them.
func companions(l loss, all []loss) finding.Text {
	var names []string
	for _, o := range all {
		if o.node.Name != l.node.Name && o.since.Sub(l.since).Abs() <= together {
			names = append(names, o.node.Name)
		}
	}
	if len(names) == 0 {
		return finding.Text{}
	}
	return finding.Format("Lost within 20 s of it: %s. Look first at what they share: a switch, a rack, the path to the API server.",
		"20초 안에 함께 끊긴 노드: %s. 공통으로 쓰는 것(스위치, 랙, API server까지의 경로)부터 확인하십시오.", finding.List(names))
}

// portText is the kubelet's port as commands want it.
func portText(n *corev1.Node) string { return strconv.Itoa(int(kubeletPort(n))) }

// critical tells whether a cause takes function from the control plane now: one that is merely a
// warning has not kept a kubelet from reporting.
func critical(_ *snapshot.Snapshot, _, cause finding.Finding) bool {
	return cause.Severity == finding.Critical
}
