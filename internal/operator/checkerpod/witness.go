package checkerpod

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"time"

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

// witnessWithin bounds the question for Events, after which a failure is told without them.
const witnessWithin = 5 * time.Second

// Witnessed adds to a failure of a pod that does not say why it does not start what Events say of that: a
// volume that cannot be mounted, a network that gives out no address. The failure comes back as it is where there
// are none, or no witness, and with the error where they could not be read.
func Witnessed(ctx context.Context, witness Witness, pod *corev1.Pod, f Failure) (Failure, error) {
	if witness == nil || pod == nil || f.Cause || f.Reason != NotStarted && f.Reason != Unschedulable {
		return f, nil
	}
	ctx, cancel := context.WithTimeout(ctx, witnessWithin)
	defer cancel()
	events, err := witness.Warnings(ctx, pod)
	if len(events) == 0 {
		return f, err
	}
	newest := slices.MaxFunc(events, func(a, b corev1.Event) int { return happened(a).Compare(happened(b)) })
	f.Message = Clean(fmt.Sprintf("%s (%s): %s", f.Message, newest.Reason, newest.Message))
	return f, err
}

// happened is when an Event last did: its two APIs have different fields for that.
func happened(event corev1.Event) time.Time {
	at := event.LastTimestamp.Time
	for _, other := range []metav1.MicroTime{event.EventTime, seriesTime(event)} {
		if other.After(at) {
			at = other.Time
		}
	}
	return at
}

func seriesTime(event corev1.Event) metav1.MicroTime {
	if event.Series == nil {
		return metav1.MicroTime{}
	}
	return event.Series.LastObservedTime
}

// Lost says why a node is taken for lost; nil is a node that is not there. Empty means that it is ready.
func Lost(found *corev1.Node) string {
	if found == nil {
		return "there is no such node any more"
	}
	for _, c := range found.Status.Conditions {
		if c.Type == corev1.NodeReady && c.Status == corev1.ConditionTrue {
			return ""
		} else if c.Type == corev1.NodeReady {
			return fmt.Sprintf("the node is not ready (%s): %s", cmp.Or(c.Reason, string(c.Status)), c.Message)
		}
	}
	return "the node has never been ready"
}
