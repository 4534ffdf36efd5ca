package runs

import (
	"context"
	"errors"
	"net/netip"
	"sync"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"

	khv1 "github.com/maek-dev/maek/api/kuberhealthy/v1"
	"github.com/maek-dev/maek/internal/kuberhealthy"
	"github.com/maek-dev/maek/test/controlplane/kubelet"
)

// node is where all pods run.
const node = "worker-1"

// player plays scheduler, kubelet and checker. What a checker does is its image's name: "ok" and "bad"
// report and end, "silent" ends without a report, "crash" and "oom" die, "loop" is started again and again,
// "hang" never ends, "config" and "pull" do not start, "unclaimed" is bound to a node that nobody knows, and
// "pending" finds none.
type player struct {
	*kubelet.Kubelet

	ring *ring

	mu sync.Mutex
	// accepted are the runs whose report was answered with nil.
	accepted map[string]int
	// hold keeps checkers from reporting while it is open; nil holds nobody.
	hold chan struct{}
}

// play starts a player for a namespace.
func play(t *testing.T, namespace string, r *ring) *player {
	t.Helper()
	k := &player{ring: r, accepted: map[string]int{}}
	k.Kubelet = kubelet.Play(t, cluster, namespace, k.live)
	return k
}

func (k *player) live(ctx context.Context, pod *kubelet.Pod) {
	switch pod.Container.Image {
	case "pending":
		pod.Unschedulable()
		return
	case "unclaimed":
		pod.Bind("worker-that-is-lost")
		return
	}
	pod.Bind(node)
	switch pod.Container.Image {
	case "config":
		pod.Wait(0, "CreateContainerConfigError", `secret "token" not found`)
		return
	case "pull":
		pod.Wait(time.Minute, "ImagePullBackOff", `Back-off pulling image "pull"`)
		return
	case "loop":
		pod.Container.RestartCount = 3
		pod.Container.LastTerminationState.Terminated = &corev1.ContainerStateTerminated{ExitCode: 1, Reason: "Error"}
	}
	pod.Start()
	end := corev1.ContainerStateTerminated{Reason: "Completed"}
	switch pod.Container.Image {
	case "ok":
		k.report(ctx, pod.Pod, kuberhealthy.Report{OK: true})
	case "bad":
		k.report(ctx, pod.Pod, kuberhealthy.Report{Errors: []string{"the thing is broken"}})
	case "hang", "loop":
		return
	case "crash":
		end = corev1.ContainerStateTerminated{ExitCode: 139, Reason: "Error", Message: "password=hunter22secret"}
	case "oom":
		end = corev1.ContainerStateTerminated{ExitCode: 137, Reason: "OOMKilled"}
	}
	pod.End(end)
}

// report reports like Kuberhealthy's clients: to whoever is there, again until it is answered, for 30 s.
func (k *player) report(ctx context.Context, pod *corev1.Pod, report kuberhealthy.Report) {
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
func (k *player) send(ctx context.Context, r *replica, from kuberhealthy.Origin, report kuberhealthy.Report) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	stop := context.AfterFunc(r.life, cancel)
	defer stop()
	return r.engine.Report(ctx, from, report)
}

// doubled are the runs that had more than one pod.
func (k *player) doubled() []string {
	var runs []string
	for id, pods := range k.Seen(kuberhealthy.RunIDOf) {
		if pods > 1 {
			runs = append(runs, id)
		}
	}
	return runs
}

func (k *player) count() (pods, accepted int) {
	k.mu.Lock()
	defer k.mu.Unlock()
	return len(k.Seen(kuberhealthy.RunIDOf)), len(k.accepted)
}

func parse(t *testing.T, ip string) netip.Addr {
	t.Helper()
	a, err := netip.ParseAddr(ip)
	if err != nil {
		t.Fatalf("parsing an address: %v", err)
	}
	return a
}
