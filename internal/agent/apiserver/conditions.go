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
