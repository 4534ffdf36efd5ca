package apiserver

import (
	"context"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/types"
)

// Conditions writes conditions and events of one Node.
type Conditions struct {
	*Client
	// Node whose they are.
	Node string
}

// PatchConditions writes conditions of the Node; those of other types stay as they are.
func (c Conditions) PatchConditions(ctx context.Context, conditions []corev1.NodeCondition) error {
	patch := map[string]any{"status": map[string]any{"conditions": conditions}}
	return c.PatchNode(ctx, c.Node, types.StrategicMergePatchType, patch)
}

// RemoveConditions takes conditions off the Node, by the directive of strategic merge patches for items of
// lists (k8s.io/apimachinery/pkg/util/strategicpatch); those of other types stay as they are.
func (c Conditions) RemoveConditions(ctx context.Context, gone []corev1.NodeConditionType) error {
	items := make([]map[string]any, 0, len(gone))
	for _, kind := range gone {
		items = append(items, map[string]any{"type": kind, "$patch": "delete"})
	}
	patch := map[string]any{"status": map[string]any{"conditions": items}}
	return c.PatchNode(ctx, c.Node, types.StrategicMergePatchType, patch)
}
