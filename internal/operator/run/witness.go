package run

import (
	"context"
	"fmt"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/fields"
	corev1client "k8s.io/client-go/kubernetes/typed/core/v1"
)

// Witness tells of a pod what its own status does not.
type Witness interface {
	// Node returns a node, nil where there is none.
	Node(ctx context.Context, name string) (*corev1.Node, error)
	// Warnings returns the Events of type Warning about a pod, in no order.
	Warnings(ctx context.Context, pod *corev1.Pod) ([]corev1.Event, error)
}

// mostWarnings bounds how many Events are asked for: those of one pod that say the same are one.
const mostWarnings = 50

// APIWitness asks the API server, which answers both questions from its own cache.
type APIWitness struct{ Core corev1client.CoreV1Interface }

var _ Witness = APIWitness{}

// Node lists nodes by name, for which the right suffices that following them takes. Its error is the API
// server's.
func (w APIWitness) Node(ctx context.Context, name string) (*corev1.Node, error) {
	nodes, err := w.Core.Nodes().List(ctx, metav1.ListOptions{
		FieldSelector: fields.OneTermEqualSelector("metadata.name", name).String(), ResourceVersion: "0",
	})
	if err != nil {
		return nil, fmt.Errorf("reading node %s: %w", name, err)
	}
	if len(nodes.Items) == 0 {
		return nil, nil //nolint:nilnil // as the interface says
	}
	return &nodes.Items[0], nil
}

// Warnings lists Events of the pod's namespace. Its error is the API server's.
func (w APIWitness) Warnings(ctx context.Context, pod *corev1.Pod) ([]corev1.Event, error) {
	events, err := w.Core.Events(pod.Namespace).List(ctx, metav1.ListOptions{
		FieldSelector: fields.AndSelectors(
			fields.OneTermEqualSelector("involvedObject.uid", string(pod.UID)),
			fields.OneTermEqualSelector("type", corev1.EventTypeWarning),
		).String(),
		Limit: mostWarnings,
	})
	if err != nil && !apierrors.IsNotFound(err) {
		return nil, fmt.Errorf("reading the Events of pod %s/%s: %w", pod.Namespace, pod.Name, err)
	}
	if events == nil {
		return nil, nil
	}
	return events.Items, nil
}
