package podrun

import (
	"context"
	"sync"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/maek-dev/maek/internal/synthetic"
	"github.com/maek-dev/maek/test/controlplane/kubelet"
)

// worker is the node of all pods.
const worker = "worker-1"

// player plays scheduler and kubelet. What a pod does is its first container's image: "ok" ends well, "fail" and
// "oom" do not, "slow" ends when it is released, "hang" never does, "pull" and "pending" do not start, and those that
// begin with "checker:" leave what a checker does.
type player struct {
	*kubelet.Kubelet

	released chan struct{}

	mu sync.Mutex
	// atWork counts pods that are, and most is how many were at once.
	atWork, most int
}

// play starts a player for a namespace.
func play(t *testing.T, namespace string) *player {
	t.Helper()
	k := &player{released: make(chan struct{})}
	k.Kubelet = kubelet.Play(t, cluster, namespace, k.live)
	return k
}

func (k *player) live(ctx context.Context, pod *kubelet.Pod) {
	image := pod.Container.Image
	if image == "pending" {
		pod.Unschedulable()
		return
	}
	pod.Bind(worker)
	if image == "pull" {
		pod.Wait(time.Minute, "ImagePullBackOff", `Back-off pulling image "pull"`)
		return
	}
	pod.Start()
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
	pod.End(ending(image))
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

func (k *player) count(by int) {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.atWork += by
	k.most = max(k.most, k.atWork)
}

// made is how many pods there ever were, and how many of them had the name of another.
func (k *player) made() (pods, doubled int) {
	for _, n := range k.Seen(metav1.Object.GetName) {
		pods += n
		doubled += n - 1
	}
	return pods, doubled
}
