package kubelet_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	ours "github.com/maek-dev/maek/internal/probe"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/tools/record"
	"k8s.io/klog/v2"
	kubecontainer "k8s.io/kubernetes/pkg/kubelet/container"
	"k8s.io/kubernetes/pkg/kubelet/prober"
	"k8s.io/kubernetes/pkg/kubelet/prober/results"
	"k8s.io/kubernetes/pkg/kubelet/status"
	"k8s.io/utils/exec"
)

// trace is what a worker did, by kind of probe: when it asked, what it made others believe, and its
// events. Moments count from the pod's begin.
type trace map[ours.Kind]*doings

type doings struct {
	Asked    []string
	Believed []string
	Events   []string
}

func newTrace() trace {
	t := trace{}
	for _, kind := range ours.Kinds() {
		t[kind] = &doings{}
	}
	return t
}

// believe notes a result. Of several at one moment, the last stays.
func (d *doings) believe(at time.Duration, container, result string) {
	prefix := fmt.Sprint(at, " ")
	if n := len(d.Believed); n > 0 && len(d.Believed[n-1]) > len(prefix) && d.Believed[n-1][:len(prefix)] == prefix {
		d.Believed = d.Believed[:n-1]
	}
	d.Believed = append(d.Believed, prefix+container+" "+result)
}

// kubelet is what the kubelet's probe manager needs around it.
type kubelet struct {
	status.Manager // only GetPodStatus is called
	record.EventRecorderLogger

	scenario *scenario
	begin    time.Time

	mu    sync.Mutex
	pod   corev1.PodStatus
	known bool
	trace trace
}

// GetPodStatus implements status.Manager.
func (k *kubelet) GetPodStatus(types.UID) (corev1.PodStatus, bool) {
	k.mu.Lock()
	defer k.mu.Unlock()
	return k.pod, k.known
}

// RunInContainer implements kubecontainer.CommandRunner.
func (k *kubelet) RunInContainer(_ context.Context, id kubecontainer.ContainerID, command []string, _ time.Duration) ([]byte, error) {
	kind := ours.Kind(command[0])
	at := time.Since(k.begin)
	k.mu.Lock()
	k.trace[kind].Asked = append(k.trace[kind].Asked, fmt.Sprint(at, " ", id.String()))
	k.mu.Unlock()
	answer := k.scenario.answerAt(kind, at)
	time.Sleep(answer.takes)
	switch {
	case answer.verdict.Discarded:
		return nil, errors.New(answer.verdict.Message)
	case answer.verdict.Result == ours.Failure:
		return []byte(answer.verdict.Message), exec.CodeExitError{Err: errors.New("it failed"), Code: 1}
	default:
		return []byte(answer.verdict.Message), nil
	}
}

// WithLogger implements record.EventRecorderLogger.
func (k *kubelet) WithLogger(klog.Logger) record.EventRecorderLogger { return k }

// Eventf implements record.EventRecorder.
func (k *kubelet) Eventf(_ runtime.Object, _, reason, message string, args ...any) {
	k.mu.Lock()
	defer k.mu.Unlock()
	text := fmt.Sprintf(message, args...)
	for kind, doings := range k.trace {
		if len(text) > len(kind) && text[:len(kind)] == string(kind) {
			doings.Events = append(doings.Events, fmt.Sprint(time.Since(k.begin), " ", reason, ": ", text))
		}
	}
}

// live lets the kubelet's own workers live through a scenario, in a bubble of its own time, and
// gives it, what they did and, for each step, the status that the kubelet made of it.
func live(t *testing.T, seed uint64) (s *scenario, did trace, seen []corev1.PodStatus) {
	synctest.Test(t, func(t *testing.T) {
		managers := map[ours.Kind]results.Manager{}
		for _, kind := range ours.Kinds() {
			managers[kind] = results.NewManager()
		}
		k := &kubelet{trace: newTrace()}
		manager := prober.NewManager(k, managers[ours.Liveness], managers[ours.Readiness], managers[ours.Startup], k, k)
		time.Sleep(kubeletUp)
		k.begin = time.Now()
		s = randomScenario(seed, k.begin)
		k.scenario = s

		done := make(chan struct{})
		for kind, m := range managers {
			go k.listen(kind, m, done)
		}
		ctx := klog.NewContext(t.Context(), klog.Logger{}) // which says nothing
		manager.AddPod(ctx, s.pod)
		for _, step := range s.steps {
			time.Sleep(time.Until(k.begin.Add(step.at)))
			synctest.Wait()
			if step.deleted {
				s.pod.DeletionTimestamp = new(metav1.Now())
			}
			if step.stopped {
				manager.StopLivenessAndStartup(s.pod)
				synctest.Wait()
			}
			seen = append(seen, k.sync(ctx, manager, step.status))
		}
		time.Sleep(time.Until(k.begin.Add(length)))
		synctest.Wait()
		did = k.frozen()
		manager.RemovePod(s.pod)
		time.Sleep(time.Minute) // for those that are asking
		close(done)
	})
	return s, did, seen
}

// sync works out the pod's status as the kubelet does, keeping what it knew to have started.
func (k *kubelet) sync(ctx context.Context, manager prober.Manager, next corev1.PodStatus) corev1.PodStatus {
	k.mu.Lock()
	defer k.mu.Unlock()
	next = *next.DeepCopy()
	manager.UpdatePodStatus(ctx, k.scenario.pod, &next)
	k.pod, k.known = next, true
	return *next.DeepCopy()
}

func (k *kubelet) listen(kind ours.Kind, manager results.Manager, done <-chan struct{}) {
	for {
		select {
		case update := <-manager.Updates():
			k.mu.Lock()
			k.trace[kind].believe(time.Since(k.begin), update.ContainerID.String(), update.Result.String())
			k.mu.Unlock()
		case <-done:
			return
		}
	}
}

// frozen is what was done until now.
func (k *kubelet) frozen() trace {
	k.mu.Lock()
	defer k.mu.Unlock()
	out := newTrace()
	for kind, did := range k.trace {
		*out[kind] = doings{Asked: slices.Clone(did.Asked), Believed: slices.Clone(did.Believed), Events: slices.Clone(did.Events)}
	}
	return out
}
