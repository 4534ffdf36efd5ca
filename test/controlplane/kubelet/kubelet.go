// Package kubelet plays scheduler and kubelet for tests on a real API server without nodes. It writes into the
// status of pods what the real ones write; what becomes of each pod is the test's to say.
package kubelet

import (
	"context"
	"encoding/json"
	"strings"
	"sync"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/watch"
	"sigs.k8s.io/controller-runtime/pkg/client"
)

// Kubelet looks after the pods of one namespace.
type Kubelet struct {
	t      *testing.T
	client client.WithWatch

	mu   sync.Mutex
	seen []*corev1.Pod
}

// Play has every pod that is made in a namespace from now on live its life, in a goroutine of its own, until
// the test ends: ctx is over then. A pod that is deleted goes at once, without its grace period.
func Play(t *testing.T, c client.WithWatch, namespace string, live func(ctx context.Context, p *Pod)) *Kubelet {
	t.Helper()
	k := &Kubelet{t: t, client: c}
	ctx, cancel := context.WithCancel(t.Context())
	w, err := c.Watch(ctx, &corev1.PodList{}, client.InNamespace(namespace))
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
				k.seen = append(k.seen, pod)
				k.mu.Unlock()
				tasks.Go(func() { live(ctx, k.pod(ctx, pod)) })
			case event.Type == watch.Modified && pod.DeletionTimestamp != nil:
				// Another of its name is not meant.
				_ = c.Delete(ctx, pod, client.GracePeriodSeconds(0), client.Preconditions{UID: &pod.UID})
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

// Seen counts the pods that there ever were, by a key of theirs.
func (k *Kubelet) Seen(key func(metav1.Object) string) map[string]int {
	k.mu.Lock()
	defer k.mu.Unlock()
	pods := map[string]int{}
	for _, pod := range k.seen {
		pods[key(pod)]++
	}
	return pods
}

// Pod is one whose life is played. Its methods write its status; a pod that is gone has none. Like the kubelet
// (syncPod in pkg/kubelet/status/status_manager.go), they never write that of another pod with its name.
type Pod struct {
	// Pod as it was when it was made.
	*corev1.Pod
	// Container is the status of its first container, as the next method writes it.
	Container corev1.ContainerStatus

	kubelet *Kubelet
	ctx     context.Context //nolint:containedctx // it is the life of the pod
	began   metav1.Time
}

func (k *Kubelet) pod(ctx context.Context, pod *corev1.Pod) *Pod {
	first := pod.Spec.Containers[0]
	return &Pod{Pod: pod, Container: corev1.ContainerStatus{Name: first.Name, Image: first.Image}, kubelet: k, ctx: ctx, began: metav1.Now()}
}

// Unschedulable leaves it without a node.
func (p *Pod) Unschedulable() {
	p.write(corev1.PodStatus{Phase: corev1.PodPending, Conditions: []corev1.PodCondition{{
		Type: corev1.PodScheduled, Status: corev1.ConditionFalse, Reason: corev1.PodReasonUnschedulable,
		Message: "0/3 nodes are available: 3 Insufficient cpu.",
	}}})
}

// Bind gives it to a node.
func (p *Pod) Bind(node string) {
	_ = p.kubelet.client.SubResource("binding").Create(p.ctx, p.Pod, &corev1.Binding{Target: corev1.ObjectReference{Kind: "Node", Name: node}})
}

// Wait has its container not start, for a while already.
func (p *Pod) Wait(since time.Duration, reason, message string) {
	p.began = metav1.NewTime(p.began.Add(-since))
	p.Container.State = corev1.ContainerState{Waiting: &corev1.ContainerStateWaiting{Reason: reason, Message: message}}
	p.write(corev1.PodStatus{Phase: corev1.PodPending, StartTime: &p.began, ContainerStatuses: []corev1.ContainerStatus{p.Container}})
}

// Start has its container run.
func (p *Pod) Start() {
	p.Container.State = corev1.ContainerState{Running: &corev1.ContainerStateRunning{StartedAt: p.began}}
	p.write(p.onItsNode(corev1.PodRunning))
}

// End has its container leave what a container leaves, now, and the pod succeed or fail with it.
func (p *Pod) End(left corev1.ContainerStateTerminated) {
	left.StartedAt, left.FinishedAt = p.began, metav1.Now()
	p.Container.State = corev1.ContainerState{Terminated: &left}
	phase := corev1.PodSucceeded
	if left.ExitCode != 0 {
		phase = corev1.PodFailed
	}
	p.write(p.onItsNode(phase))
}

// onItsNode is the status of a pod with an address, which no other pod has.
func (p *Pod) onItsNode(phase corev1.PodPhase) corev1.PodStatus {
	ip := address(p.UID)
	return corev1.PodStatus{
		Phase: phase, StartTime: &p.began, PodIP: ip, PodIPs: []corev1.PodIP{{IP: ip}},
		ContainerStatuses: []corev1.ContainerStatus{p.Container},
	}
}

// address of a pod.
func address(uid types.UID) string {
	digits := strings.ReplaceAll(string(uid), "-", "")
	return "fd00::" + strings.Join([]string{digits[:4], digits[4:8], digits[8:12]}, ":")
}

func (p *Pod) write(status corev1.PodStatus) {
	patch, err := json.Marshal(map[string]any{"metadata": map[string]types.UID{"uid": p.UID}, "status": status})
	if err == nil {
		err = p.kubelet.client.Status().Patch(p.ctx, p.DeepCopy(), client.RawPatch(types.StrategicMergePatchType, patch))
	}
	gone := apierrors.IsNotFound(err) || apierrors.IsConflict(err)
	if err != nil && !gone && p.ctx.Err() == nil {
		p.kubelet.t.Errorf("the kubelet writes the status of %s: %v", p.Name, err)
	}
}
