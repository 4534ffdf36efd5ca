package runs

import (
	"context"
	"errors"
	"net/netip"
	"strings"
	"sync"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/watch"
	"sigs.k8s.io/controller-runtime/pkg/client"

	khv1 "github.com/maek-dev/maek/api/kuberhealthy/v1"
	"github.com/maek-dev/maek/internal/kuberhealthy"
)

// node is where all pods run.
const node = "worker-1"

// kubelet plays scheduler, kubelet and checker. What a checker does is its image's name: "ok" and "bad"
// report and end, "silent" ends without a report, "crash" and "oom" die, "loop" is started again and again,
// "hang" never ends, "config" and "pull" do not start, "unclaimed" is bound to a node that nobody knows, and
// "pending" finds none.
type kubelet struct {
	ring *ring

	mu sync.Mutex
	// pods by run, all that there ever were.
	pods map[string][]types.UID
	// accepted are the runs whose report was answered with nil.
	accepted map[string]int
	// hold keeps checkers from reporting while it is open; nil holds nobody.
	hold chan struct{}
}

// play starts a kubelet for a namespace.
func play(t *testing.T, namespace string, r *ring) *kubelet {
	t.Helper()
	k := &kubelet{ring: r, pods: map[string][]types.UID{}, accepted: map[string]int{}}
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
				k.pods[kuberhealthy.RunIDOf(pod)] = append(k.pods[kuberhealthy.RunIDOf(pod)], pod.UID)
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
	target := corev1.ObjectReference{Kind: "Node", Name: node}
	if image == "unclaimed" {
		target.Name = "worker-that-is-lost"
	}
	_ = cluster.SubResource("binding").Create(ctx, pod, &corev1.Binding{Target: target})
	if image == "unclaimed" {
		return
	}
	began := metav1.Now()
	container := corev1.ContainerStatus{Name: pod.Spec.Containers[0].Name, Image: image}
	waiting := func(reason, message string) corev1.PodStatus {
		container.State.Waiting = &corev1.ContainerStateWaiting{Reason: reason, Message: message}
		return corev1.PodStatus{Phase: corev1.PodPending, StartTime: &began, ContainerStatuses: []corev1.ContainerStatus{container}}
	}
	switch image {
	case "config":
		k.status(ctx, t, pod, waiting("CreateContainerConfigError", `secret "token" not found`))
		return
	case "pull":
		// It has tried for a while.
		began = metav1.NewTime(began.Add(-time.Minute))
		k.status(ctx, t, pod, waiting("ImagePullBackOff", `Back-off pulling image "pull"`))
		return
	}
	container.State.Running = &corev1.ContainerStateRunning{StartedAt: began}
	if image == "loop" {
		container.RestartCount = 3
		container.LastTerminationState.Terminated = &corev1.ContainerStateTerminated{ExitCode: 1, Reason: "Error"}
	}
	k.status(ctx, t, pod, corev1.PodStatus{
		Phase: corev1.PodRunning, StartTime: &began, PodIP: address(pod), PodIPs: []corev1.PodIP{{IP: address(pod)}},
		ContainerStatuses: []corev1.ContainerStatus{container},
	})
	end := corev1.ContainerStateTerminated{Reason: "Completed"}
	switch image {
	case "ok":
		k.report(ctx, pod, kuberhealthy.Report{OK: true})
	case "bad":
		k.report(ctx, pod, kuberhealthy.Report{Errors: []string{"the thing is broken"}})
	case "hang", "loop":
		return
	case "crash":
		end = corev1.ContainerStateTerminated{ExitCode: 139, Reason: "Error", Message: "password=hunter22secret"}
	case "oom":
		end = corev1.ContainerStateTerminated{ExitCode: 137, Reason: "OOMKilled"}
	}
	phase := corev1.PodSucceeded
	if end.ExitCode != 0 {
		phase = corev1.PodFailed
	}
	end.FinishedAt = metav1.Now()
	container.State = corev1.ContainerState{Terminated: &end}
	k.status(ctx, t, pod, corev1.PodStatus{
		Phase: phase, StartTime: &began, PodIP: address(pod), PodIPs: []corev1.PodIP{{IP: address(pod)}},
		ContainerStatuses: []corev1.ContainerStatus{container},
	})
}

// report reports like Kuberhealthy's clients: to whoever is there, again until it is answered, for 30 s.
func (k *kubelet) report(ctx context.Context, pod *corev1.Pod, report kuberhealthy.Report) {
	id := kuberhealthy.RunIDOf(pod)
	api := kuberhealthy.V3
	if pod.Labels[khv1.LabelRunID] != "" {
		api = kuberhealthy.V2
	}
	k.mu.Lock()
	hold := k.hold
	k.mu.Unlock()
	if hold != nil {
		select {
		case <-hold:
		case <-ctx.Done():
			return
		}
	}
	ctx, cancel := context.WithTimeout(ctx, 30*time.Second)
	defer cancel()
	for ; ctx.Err() == nil; time.Sleep(50 * time.Millisecond) {
		for _, r := range k.ring.live() {
			err := k.send(ctx, r, kuberhealthy.Origin{API: api, RunID: id}, report)
			var refusal *kuberhealthy.Refusal
			switch {
			case err == nil:
				k.mu.Lock()
				k.accepted[id]++
				k.mu.Unlock()
				return
			case errors.As(err, &refusal):
				return
			}
		}
	}
}

// send sends a report to a replica, whose death breaks the connection.
func (k *kubelet) send(ctx context.Context, r *replica, from kuberhealthy.Origin, report kuberhealthy.Report) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	stop := context.AfterFunc(r.life, cancel)
	defer stop()
	return r.engine.Report(ctx, from, report)
}

// status writes a pod's status; one that is gone has none.
func (k *kubelet) status(ctx context.Context, t *testing.T, pod *corev1.Pod, status corev1.PodStatus) {
	patched := pod.DeepCopy()
	patched.Status = status
	err := cluster.Status().Patch(ctx, patched, client.MergeFrom(pod))
	if client.IgnoreNotFound(err) != nil && ctx.Err() == nil {
		t.Errorf("the kubelet writes the status of %s: %v", pod.Name, err)
	}
}

// address is that of a pod: a different one for each.
func address(pod *corev1.Pod) string {
	digits := strings.ReplaceAll(string(pod.UID), "-", "")
	return "fd00::" + digits[:4] + ":" + digits[4:8] + ":" + digits[8:12]
}

// doubled are the runs that had more than one pod.
func (k *kubelet) doubled() []string {
	k.mu.Lock()
	defer k.mu.Unlock()
	var runs []string
	for id, pods := range k.pods {
		if len(pods) > 1 {
			runs = append(runs, id)
		}
	}
	return runs
}

func (k *kubelet) count() (pods, accepted int) {
	k.mu.Lock()
	defer k.mu.Unlock()
	return len(k.pods), len(k.accepted)
}

func parse(t *testing.T, ip string) netip.Addr {
	t.Helper()
	a, err := netip.ParseAddr(ip)
	if err != nil {
		t.Fatalf("parsing an address: %v", err)
	}
	return a
}
