package inservice

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"time"

	coordinationv1 "k8s.io/api/coordination/v1"
	corev1 "k8s.io/api/core/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"
)

const (
	// nodesByName is up to how many nodes are read one by one; of more, all of the cluster are.
	nodesByName = 16
	// Who maintains a node takes the Lease node-NAME in the namespace medik8s-leases, so that others leave the node
	// alone (https://github.com/medik8s/common/blob/main/pkg/lease/manager.go).
	maintenanceNamespace = "medik8s-leases"
	maintenancePrefix    = "node-"
)

// departures are the taints of nodes that are about to go, beside that of one that is cordoned:
// https://github.com/kubernetes/autoscaler/blob/master/cluster-autoscaler/utils/taints/taints.go
// https://karpenter.sh/docs/concepts/disruption/
// https://kubernetes.io/docs/reference/labels-annotations-taints/
var departures = []string{
	corev1.TaintNodeUnschedulable, corev1.TaintNodeOutOfService, "node.cloudprovider.kubernetes.io/shutdown",
	"ToBeDeletedByClusterAutoscaler", "karpenter.sh/disrupted",
}

// trouble is why no pod of a node is taken out, and why those that are ready there count as about to go.
type trouble struct{ reason, message string }

// troubleOf says what is wrong with a node; ok is false where nothing is.
func troubleOf(n *corev1.Node) (_ trouble, ok bool) {
	if n.Spec.Unschedulable {
		return trouble{brakeCordoned, fmt.Sprintf("node %s is cordoned, so somebody works on it", n.Name)}, true
	}
	if n.DeletionTimestamp != nil {
		return trouble{brakeCordoned, fmt.Sprintf("node %s is being deleted", n.Name)}, true
	}
	for _, t := range n.Spec.Taints {
		if slices.Contains(departures, t.Key) {
			return trouble{brakeCordoned, fmt.Sprintf("node %s has the taint %s, so it is about to go", n.Name, t.Key)}, true
		}
	}
	for _, c := range n.Status.Conditions {
		if c.Type == corev1.NodeReady && c.Status == corev1.ConditionTrue {
			return trouble{}, false
		}
	}
	return trouble{brakeNodeNotReady, fmt.Sprintf("node %s is not ready, so the fault is likely to be the node's", n.Name)}, true
}

// heldBy says who maintains a node by its Lease; it is empty where nobody does.
func heldBy(l *coordinationv1.Lease, now time.Time) string {
	s := l.Spec
	if s.HolderIdentity == nil || s.RenewTime == nil || s.LeaseDurationSeconds == nil ||
		!now.Before(s.RenewTime.Add(time.Duration(*s.LeaseDurationSeconds)*time.Second)) {
		return ""
	}
	return *s.HolderIdentity
}

// readTroubles asks the API server what is wrong with nodes, by their names. Of nodes that are well it has
// nothing.
func (k *Keeper) readTroubles(ctx context.Context, names map[string]bool) (map[string]trouble, error) {
	out := map[string]trouble{}
	if len(names) == 0 {
		return out, nil
	}
	nodes, err := k.readNodes(ctx, names)
	if err != nil {
		return nil, err
	}
	there := map[string]bool{}
	for i := range nodes {
		there[nodes[i].Name] = true
		if t, ok := troubleOf(&nodes[i]); ok && names[nodes[i].Name] {
			out[nodes[i].Name] = t
		}
	}
	for name := range names {
		if !there[name] {
			out[name] = trouble{brakeNodeNotReady, fmt.Sprintf("node %s is gone", name)}
		}
	}
	var leases coordinationv1.LeaseList
	if err := k.o.Client.List(ctx, &leases, client.InNamespace(maintenanceNamespace)); err != nil {
		return nil, fmt.Errorf("listing Leases of namespace %s: %w", maintenanceNamespace, err)
	}
	now := k.o.Clock.Now()
	for i := range leases.Items {
		for name := range names {
			if by := heldBy(&leases.Items[i], now); by != "" && leases.Items[i].Name == maintenancePrefix+name {
				out[name] = trouble{brakeCordoned, fmt.Sprintf("node %s is maintained by %s (Lease %s/%s)", name, by, maintenanceNamespace, leases.Items[i].Name)}
			}
		}
	}
	return out, nil
}

// readNodes reads nodes, and others with them where there are many. To list takes no right beyond that by which the
// operator watches them; to get would.
func (k *Keeper) readNodes(ctx context.Context, names map[string]bool) ([]corev1.Node, error) {
	var list corev1.NodeList
	if len(names) > nodesByName {
		if err := k.o.Client.List(ctx, &list); err != nil {
			return nil, fmt.Errorf("listing nodes: %w", err)
		}
		return list.Items, nil
	}
	var out []corev1.Node
	for _, name := range slices.Sorted(maps.Keys(names)) {
		if err := k.o.Client.List(ctx, &list, client.MatchingFields{"metadata.name": name}); err != nil {
			return nil, fmt.Errorf("listing node %s: %w", name, err)
		}
		out = append(out, list.Items...)
	}
	return out, nil
}
