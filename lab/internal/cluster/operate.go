package cluster

import (
	"context"
	"encoding/json"

	"golang.org/x/sync/errgroup"
	corev1 "k8s.io/api/core/v1"
)

// LoadEverywhere gives an image in an archive to every machine that is on.
func (l *Lab) LoadEverywhere(ctx context.Context, archive string) error {
	group, ctx := errgroup.WithContext(ctx)
	for _, spec := range l.Machines {
		m := l.machine(spec)
		group.Go(func() error {
			leader, err := m.Leader()
			if err != nil || leader == 0 {
				return err
			}
			return LoadImage(ctx, m, archive)
		})
	}
	return group.Wait()
}

// nodeReady is what a [NodeState] says about a node that is ready.
const nodeReady = "Ready"

// NodeState is what the API says about a node.
type NodeState struct {
	// Readiness is Ready, NotReady or Unknown; empty when the node has not told yet.
	Readiness string
	// PodCIDR is where its pods have their addresses; empty until it was assigned.
	PodCIDR string
}

// Nodes returns what the API says about each node, by name. Where the API cannot be asked it returns nil.
func (l *Lab) Nodes(ctx context.Context) map[string]NodeState {
	out, err := l.Kubectl(ctx, "", "get", "nodes", "-o", "json", "--request-timeout=3s")
	if err != nil {
		return nil
	}
	var list corev1.NodeList
	if json.Unmarshal([]byte(out), &list) != nil {
		return nil
	}
	nodes := make(map[string]NodeState, len(list.Items))
	for _, item := range list.Items {
		state := NodeState{PodCIDR: item.Spec.PodCIDR}
		for _, condition := range item.Status.Conditions {
			if condition.Type == corev1.NodeReady {
				state.Readiness = map[corev1.ConditionStatus]string{
					corev1.ConditionTrue: nodeReady, corev1.ConditionFalse: "NotReady", corev1.ConditionUnknown: "Unknown",
				}[condition.Status]
			}
		}
		nodes[item.Name] = state
	}
	return nodes
}
