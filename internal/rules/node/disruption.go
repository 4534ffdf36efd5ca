package node

import (
	"fmt"
	"strings"
	"time"

	coordinationv1 "k8s.io/api/coordination/v1"
	corev1 "k8s.io/api/core/v1"

	"github.com/maek-dev/maek/internal/finding"
	"github.com/maek-dev/maek/internal/rule"
	"github.com/maek-dev/maek/internal/snapshot"
)

// The node lifecycle controller's defaults for a zone that loses nodes
// (k8s.io/kubernetes/pkg/controller/nodelifecycle/config/v1alpha1/defaults.go and
// node_lifecycle_controller.go, ComputeZoneState: more than two nodes, and at least this share).
const (
	unhealthyShare = 0.55
	unhealthyNodes = 2
	largeZone      = 50
)

// zoneOf is the zone that all the given nodes lie in, where they are at least half of it, another
// zone has nodes, and none of those is lost; empty otherwise.
func zoneOf(p *rule.Pass, lost []*corev1.Node) string {
	zone := lost[0].Labels[corev1.LabelTopologyZone]
	gone := make(map[string]bool, len(lost))
	for _, n := range lost {
		if n.Labels[corev1.LabelTopologyZone] != zone {
			return ""
		}
		gone[n.Name] = true
	}
	inside, outside := 0, 0
	for _, n := range snapshot.List[*corev1.Node](p.Snapshot) {
		switch {
		case n.Labels[corev1.LabelTopologyZone] == zone:
			inside++
		case reports(p.Snapshot, n):
			outside++
		default:
			return ""
		}
	}
	if zone == "" || outside == 0 || 2*len(gone) < inside {
		return ""
	}
	return zone
}

// reports tells whether a node's kubelet reports.
func reports(s *snapshot.Snapshot, n *corev1.Node) bool {
	_, lost := lostNode(s, n)
	return !lost
}

// anyAlive tells whether any node can still take pods.
func anyAlive(p *rule.Pass) bool {
	for _, n := range snapshot.List[*corev1.Node](p.Snapshot) {
		if !reserved(n) && reports(p.Snapshot, n) {
			return true
		}
	}
	return false
}

// evictions says what becomes of the pods on lost nodes, by the state of the zones.
func evictions(p *rule.Pass) finding.Text {
	if p.Writer(snapshot.ControllerManager).State == snapshot.Dead {
		return finding.Text{
			EN: "The controller manager is dead too: nobody evicts their pods.",
			KO: "controller manager도 멈춰 있어 Pod를 eviction할 주체가 없습니다.",
		}
	}
	type zone struct{ ready, lost int }
	zones := map[string]*zone{}
	ready := 0
	for _, n := range snapshot.List[*corev1.Node](p.Snapshot) {
		key := n.Labels[corev1.LabelTopologyRegion] + ":" + n.Labels[corev1.LabelTopologyZone]
		if zones[key] == nil {
			zones[key] = &zone{}
		}
		if c := snapshot.NodeCondition(n, corev1.NodeReady); c != nil && c.Status == corev1.ConditionTrue && reports(p.Snapshot, n) {
			zones[key].ready++
			ready++
		} else {
			zones[key].lost++
		}
	}
	if ready == 0 {
		return finding.Text{
			EN: "No node is ready, so the node lifecycle controller takes the fault for its own and evicts no pod.",
			KO: "Ready인 노드가 없으므로 node lifecycle controller는 자신의 문제로 보고 Pod를 eviction하지 않습니다.",
		}
	}
	halted, slowed := false, false
	for _, z := range zones {
		if z.ready > 0 && z.lost > unhealthyNodes && float64(z.lost) >= unhealthyShare*float64(z.lost+z.ready) {
			halted = halted || z.lost+z.ready <= largeZone
			slowed = slowed || z.lost+z.ready > largeZone
		}
	}
	switch {
	case halted:
		return finding.Text{
			EN: "More than half of a zone of at most 50 nodes is lost: the node lifecycle controller evicts no pod there.",
			KO: "노드 50개 이하인 zone의 절반 넘게 끊겼으므로 node lifecycle controller는 그곳의 Pod를 eviction하지 않습니다.",
		}
	case slowed:
		return finding.Text{
			EN: "More than half of a zone is lost: the node lifecycle controller evicts from one node in 100 s only.",
			KO: "zone의 절반 넘게 끊겼으므로 node lifecycle controller는 100초에 노드 하나씩만 eviction합니다.",
		}
	}
	return finding.Text{
		EN: "Their pods are evicted once they have tolerated that for their time (300 s unless they say otherwise).",
		KO: "이 노드의 Pod는 toleration 시간(기본 300초)이 지나면 eviction됩니다.",
	}
}

// stillRenewed finds a Lease that a program on one of the nodes has renewed well after a moment: by
// leader election, whose identity begins with the host name, which is the pod's or, on the host's
// network, the node's (k8s.io/kubernetes/cmd/kube-scheduler/app/server.go, and
// sigs.k8s.io/controller-runtime/pkg/leaderelection). The machine is up then, and has a way to the
// API server.
func stillRenewed(p *rule.Pass, nodes map[string]bool, since time.Time) (evidence finding.Evidence, node string, ok bool) {
	for _, lease := range snapshot.List[*coordinationv1.Lease](p.Snapshot) {
		if lease.Namespace == corev1.NamespaceNodeLease || lease.Spec.HolderIdentity == nil {
			continue
		}
		host, _, _ := strings.Cut(*lease.Spec.HolderIdentity, "_")
		w := p.Writer(snapshot.Writer{Namespace: lease.Namespace, Name: lease.Name})
		if w.State != snapshot.Alive || w.LastSeen.Sub(since) <= 2*together {
			continue
		}
		node = host
		if pod, found := snapshot.Get[*corev1.Pod](p.Snapshot, lease.Namespace, host); found {
			node = pod.Spec.NodeName
		}
		if nodes[node] {
			return finding.Evidence{
				Source: fmt.Sprintf("Lease %s/%s", lease.Namespace, lease.Name), Path: ".spec.renewTime",
				Value: fmt.Sprintf("%s, by %s on node %s", w.LastSeen.UTC().Format(time.RFC3339), host, node), At: finding.Timestamp(w.LastSeen),
			}, node, true
		}
	}
	return finding.Evidence{}, "", false
}
