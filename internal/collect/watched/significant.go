package watched

import (
	"slices"

	coordinationv1 "k8s.io/api/coordination/v1"
	corev1 "k8s.io/api/core/v1"
	apiequality "k8s.io/apimachinery/pkg/api/equality"

	"github.com/maek-dev/maek/internal/snapshot"
)

// significant tells whether a change can alter what rules say at once. Signs of life cannot: kubelets and
// leaders renew their Leases several times a minute and say every few minutes that nothing changed. That
// one stops is no change at all, and is seen as time passes.
func significant(old, next snapshot.Object) bool {
	switch o := next.(type) {
	case *coordinationv1.Lease:
		was, ok := old.(*coordinationv1.Lease)
		return !ok || !apiequality.Semantic.DeepEqual(was.Spec.HolderIdentity, o.Spec.HolderIdentity)
	case *corev1.Event:
		return o.Type != corev1.EventTypeNormal
	case *corev1.Node:
		was, ok := old.(*corev1.Node)
		return !ok || !apiequality.Semantic.DeepEqual(timeless(was), timeless(o))
	default:
		return true
	}
}

// timeless is a Node without what changes though nothing does.
func timeless(n *corev1.Node) *corev1.Node {
	still := *n
	still.ManagedFields, still.ResourceVersion = nil, ""
	still.Status.Conditions = slices.Clone(still.Status.Conditions)
	for i := range still.Status.Conditions {
		still.Status.Conditions[i].LastHeartbeatTime.Reset()
	}
	return &still
}
