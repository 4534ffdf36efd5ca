package node

import (
	"strings"

	coordinationv1 "k8s.io/api/coordination/v1"
	corev1 "k8s.io/api/core/v1"

	"github.com/maek-dev/maek/internal/finding"
	"github.com/maek-dev/maek/internal/rule"
	"github.com/maek-dev/maek/internal/snapshot"
)

// readyFalse is a node whose living kubelet says that it is not ready.
type readyFalse struct {
	node  *corev1.Node
	ready *corev1.NodeCondition
}

// readyFalseNeeds is what readyFalseNodes reads.
func readyFalseNeeds() []rule.Need {
	return []rule.Need{
		rule.Any[*corev1.Node](), rule.Optional[*coordinationv1.Lease](), rule.Optional[*corev1.Pod](),
	}
}

// readyFalseNodes returns the nodes that are not ready by the word of a kubelet that lives. One
// that has only just joined, or is being removed, is not ready for a good reason; of one whose
// kubelet is dead the condition is old.
func readyFalseNodes(p *rule.Pass) []readyFalse {
	var out []readyFalse
	for _, n := range snapshot.List[*corev1.Node](p.Snapshot) {
		ready := snapshot.NodeCondition(n, corev1.NodeReady)
		if ready == nil || ready.Status != corev1.ConditionFalse || young(p.Snapshot, n) || leaving(n) {
			continue
		}
		if p.Writer(snapshot.KubeletOn(n.Name)).State != snapshot.Dead {
			out = append(out, readyFalse{node: n, ready: ready})
		}
	}
	return out
}

// trouble is the class of what a kubelet's Ready=False complains of.
type trouble int

const (
	otherTrouble trouble = iota
	// runtimeSilent: the runtime does not answer the kubelet's question for its state, or answers
	// that it is not ready.
	runtimeSilent
	// runtimeHangs: the runtime answers that question, and not the one for its containers.
	runtimeHangs
	// noNetwork: the runtime says that its network plugin is not ready.
	noNetwork
)

// The words that the kubelet puts into Ready=False
// (k8s.io/kubernetes/pkg/kubelet/runtime.go, runtimeErrors; kubelet.go, updateRuntimeUp;
// pleg/generic.go, Healthy) and the reason that runtimes give for a missing network
// (github.com/containerd/containerd/internal/cri/server/status.go; cri-o server/runtime_status.go).
const (
	runtimeIsDown      = "container runtime is down"
	runtimeNeverSeen   = "container runtime status check may not have completed yet"
	runtimeNotReady    = "container runtime not ready"
	plegNotHealthy     = "PLEG is not healthy"
	networkNotReady    = "container runtime network not ready"
	networkPluginWords = "NetworkPluginNotReady"
)

// troubleOf classes a kubelet's message. A runtime that is down comes before all that it causes: the
// PLEG goes stale with it, and its network stays as it was last seen.
func troubleOf(message string) trouble {
	has := func(words string) bool { return strings.Contains(message, words) }
	switch {
	case has(runtimeIsDown), has(runtimeNotReady):
		return runtimeSilent
	case has(networkNotReady), has(networkPluginWords):
		return noNetwork
	case has(runtimeNeverSeen):
		return runtimeSilent
	case has(plegNotHealthy):
		return runtimeHangs
	default:
		return otherTrouble
	}
}

// kubeletLives is the ruled-out cause of every finding that rests on a kubelet's own word.
func kubeletLives(s *snapshot.Snapshot, n *corev1.Node) []finding.Statement {
	f := s.Writer(snapshot.KubeletOn(n.Name))
	if f.State != snapshot.Alive {
		return nil
	}
	return []finding.Statement{{
		Text: finding.Text{
			EN: "kubelet stopped, machine off, network cut: the kubelet renews its Lease",
			KO: "kubelet 중지, 머신 꺼짐, 네트워크 단절: kubelet이 Lease를 갱신하고 있습니다",
		},
		Evidence: f.Evidence,
	}}
}

// runtimeName is the node's container runtime as its unit is called, from a version such as
// containerd://2.2.1; containerd where the node does not say.
func runtimeName(n *corev1.Node) string {
	name, _, ok := strings.Cut(n.Status.NodeInfo.ContainerRuntimeVersion, "://")
	switch {
	case !ok:
		return "containerd"
	case name == "cri-o":
		return "crio"
	default:
		return name
	}
}
