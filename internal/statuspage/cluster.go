package statuspage

import (
	"context"
	"fmt"
	"io"
	"slices"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/fields"
	"k8s.io/apimachinery/pkg/types"
	corev1client "k8s.io/client-go/kubernetes/typed/core/v1"

	"github.com/maek-dev/maek/internal/kuberhealthy"
)

// Cluster reads what the API server knows of checker pods. It is asked only for those who may.
type Cluster interface {
	// Pod of that name.
	Pod(ctx context.Context, name types.NamespacedName) (*corev1.Pod, error)
	// Events about a check's object, the oldest first.
	Events(ctx context.Context, check kuberhealthy.Check) ([]corev1.Event, error)
	// Log of one of a pod's containers.
	Log(ctx context.Context, pod types.NamespacedName, options corev1.PodLogOptions) (io.ReadCloser, error)
}

// maxEvents bounds an answer; events expire after an hour, and a check has a few in each run.
const maxEvents = 500

// NewCluster makes a Cluster that asks the API server.
func NewCluster(client interface {
	corev1client.PodsGetter
	corev1client.EventsGetter
},
) Cluster {
	return apiServer{pods: client, events: client}
}

type apiServer struct {
	pods   corev1client.PodsGetter
	events corev1client.EventsGetter
}

func (a apiServer) Pod(ctx context.Context, name types.NamespacedName) (*corev1.Pod, error) {
	pod, err := a.pods.Pods(name.Namespace).Get(ctx, name.Name, metav1.GetOptions{})
	if err != nil {
		return nil, fmt.Errorf("reading pod %s: %w", name, err)
	}
	return pod, nil
}

func (a apiServer) Events(ctx context.Context, check kuberhealthy.Check) ([]corev1.Event, error) {
	list, err := a.events.Events(check.Namespace).List(ctx, metav1.ListOptions{
		FieldSelector: fields.Set{"involvedObject.kind": check.Kind, "involvedObject.name": check.Name}.AsSelector().String(),
		Limit:         maxEvents,
	})
	if err != nil {
		return nil, fmt.Errorf("listing events about %s: %w", check.NamespacedName, err)
	}
	slices.SortStableFunc(list.Items, func(a, b corev1.Event) int { return seen(&a).Compare(seen(&b)) })
	return list.Items, nil
}

func (a apiServer) Log(ctx context.Context, pod types.NamespacedName, options corev1.PodLogOptions) (io.ReadCloser, error) {
	stream, err := a.pods.Pods(pod.Namespace).GetLogs(pod.Name, &options).Stream(ctx)
	if err != nil {
		return nil, fmt.Errorf("reading the log of pod %s: %w", pod, err)
	}
	return stream, nil
}

// seen is when an event was last seen. Events of the newer API leave the fields of the older one blank.
func seen(event *corev1.Event) time.Time {
	switch {
	case event.Series != nil && !event.Series.LastObservedTime.IsZero():
		return event.Series.LastObservedTime.Time
	case !event.LastTimestamp.IsZero():
		return event.LastTimestamp.Time
	case !event.EventTime.IsZero():
		return event.EventTime.Time
	}
	return event.CreationTimestamp.Time
}
