package podrun

import (
	"context"
	"strings"
	"sync"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/watch"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/maek-dev/maek/internal/synthetic"
)

// worker is the node of all pods.
const worker = "worker-1"

// kubelet plays scheduler and kubelet. What a pod does is its first container's image: "ok" ends well, "fail" and
// "oom" do not, "slow" ends when it is released, "hang" never does, "pull" and "pending" do not start, and those that
// begin with "checker:" leave what a checker does.
type kubelet struct {
	released chan struct{}

	mu sync.Mutex
	// pods by name, all that there ever were.
	pods map[string][]types.UID
	// atWork counts pods that are, and most is how many were at once.
	atWork, most int
}

// play starts a kubelet for a namespace.
func play(t *testing.T, namespace string) *kubelet {
	t.Helper()
	k := &kubelet{pods: map[string][]types.UID{}, released: make(chan struct{})}
	ctx, cancel := context.WithCancel(t.Context())
	w, err := cluster.Watch(ctx, &corev1.PodList{}, client.InNamespace(namespace))
	if err != nil {
		t.Fatalf("watching pods: %v", err)
	}
	var tasks sync.WaitGroup
	tasks.Go(func() {
		for event := range w.ResultChan() {
			pod, ok := event.Object.(*corev1.Pod)
			switch {
			case !ok:
			case event.Type == watch.Added:
				k.mu.Lock()
				k.pods[pod.Name] = append(k.pods[pod.Name], pod.UID)
				k.mu.Unlock()
				tasks.Go(func() { k.run(ctx, t, pod) })
			case event.Type == watch.Modified && pod.DeletionTimestamp != nil:
				_ = cluster.Delete(ctx, pod, client.GracePeriodSeconds(0))
			}
		}
	})
	t.Cleanup(func() {
		cancel()
		w.Stop()
		tasks.Wait()
	})
	return k
}

func (k *kubelet) run(ctx context.Context, t *testing.T, pod *corev1.Pod) {
	image := pod.Spec.Containers[0].Image
	if image == "pending" {
		k.status(ctx, t, pod, corev1.PodStatus{Phase: corev1.PodPending, Conditions: []corev1.PodCondition{{
			Type: corev1.PodScheduled, Status: corev1.ConditionFalse, Reason: "Unschedulable", Message: "0/3 nodes are available: 3 Insufficient cpu.",
		}}})
		return
	}
	_ = cluster.SubResource("binding").Create(ctx, pod, &corev1.Binding{Target: corev1.ObjectReference{Kind: "Node", Name: worker}})
	began := metav1.Now()
	container := corev1.ContainerStatus{Name: pod.Spec.Containers[0].Name, Image: image}
	if image == "pull" {
		// It has tried for a while.
		began = metav1.NewTime(began.Add(-time.Minute))
		container.State.Waiting = &corev1.ContainerStateWaiting{Reason: "ImagePullBackOff", Message: `Back-off pulling image "pull"`}
		k.status(ctx, t, pod, corev1.PodStatus{Phase: corev1.PodPending, StartTime: &began, ContainerStatuses: []corev1.ContainerStatus{container}})
		return
	}
	container.State.Running = &corev1.ContainerStateRunning{StartedAt: began}
	k.status(ctx, t, pod, corev1.PodStatus{Phase: corev1.PodRunning, StartTime: &began, ContainerStatuses: []corev1.ContainerStatus{container}})
	k.count(1)
	defer k.count(-1)
	switch image {
	case "hang":
		return
	case "slow":
		select {
		case <-k.released:
		case <-ctx.Done():
			return
		}
	}
	end := ending(image)
	phase := corev1.PodSucceeded
	if end.ExitCode != 0 {
		phase = corev1.PodFailed
	}
	end.StartedAt, end.FinishedAt = began, metav1.Now()
	container.State = corev1.ContainerState{Terminated: &end}
	k.status(ctx, t, pod, corev1.PodStatus{Phase: phase, StartTime: &began, ContainerStatuses: []corev1.ContainerStatus{container}})
}

// ending is how the container of an image ends.
func ending(image string) corev1.ContainerStateTerminated {
	left := func(code int32, o synthetic.Outcome) corev1.ContainerStateTerminated {
		o.OK, o.Seconds = code == 0, 1.5
		return corev1.ContainerStateTerminated{ExitCode: code, Reason: "Error", Message: string(o.Encode(synthetic.MaxOutcome))}
	}
	switch image {
	case "fail":
		return corev1.ContainerStateTerminated{ExitCode: 3, Reason: "Error", Message: "the shop is shut, password=hunter22secret"}
	case "oom":
		return corev1.ContainerStateTerminated{ExitCode: 137, Reason: "OOMKilled"}
	case "checker:ok":
		return left(0, synthetic.Outcome{Notes: []string{"no node is tainted"}})
	case "checker:fail":
		return left(1, synthetic.Outcome{Errors: []string{"kubernetes.default is not resolved"}})
	case "checker:unable":
		return left(2, synthetic.Outcome{Errors: []string{(&synthetic.AccessError{Verb: "list", Resource: "pods", Namespace: "shop"}).Error()}})
	case "checker:old":
		return corev1.ContainerStateTerminated{ExitCode: 64, Reason: "Error"}
	}
	return corev1.ContainerStateTerminated{Reason: "Completed"}
}

// status writes a pod's status; one that is gone has none.
func (k *kubelet) status(ctx context.Context, t *testing.T, pod *corev1.Pod, status corev1.PodStatus) {
	patched := pod.DeepCopy()
	patched.Status = status
	err := cluster.Status().Patch(ctx, patched, client.MergeFrom(pod))
	if client.IgnoreNotFound(err) != nil && ctx.Err() == nil && !strings.Contains(err.Error(), "not found") {
		t.Errorf("the kubelet writes the status of %s: %v", pod.Name, err)
	}
}

func (k *kubelet) count(by int) {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.atWork += by
	k.most = max(k.most, k.atWork)
}

// made is how many pods there ever were, and how many of them had the name of another.
func (k *kubelet) made() (pods, doubled int) {
	k.mu.Lock()
	defer k.mu.Unlock()
	for _, uids := range k.pods {
		pods += len(uids)
		doubled += len(uids) - 1
	}
	return pods, doubled
}
