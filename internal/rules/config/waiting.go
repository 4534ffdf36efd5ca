package config

import (
	"fmt"
	"slices"
	"strings"
	"time"

	corev1 "k8s.io/api/core/v1"

	"github.com/maek-dev/maek/internal/finding"
	"github.com/maek-dev/maek/internal/snapshot"
)

// said is what a kubelet says keeps a pod from starting.
type said struct {
	// message in the kubelet's words.
	message string
	// volume that it is about; empty for a container.
	volume string
	// container that it is about; empty for a volume.
	container string
	// first is when it said so first, as far as is known.
	first    time.Time
	evidence finding.Evidence
}

// createContainerConfigError is the reason with which a kubelet says that it cannot make a
// container of its spec (k8s.io/kubernetes/pkg/kubelet/kuberuntime, ErrCreateContainerConfig).
const createContainerConfigError = "CreateContainerConfigError"

// retryWindow is how old the kubelet's last word about a volume may be. It tries again at least
// every two minutes (k8s.io/kubernetes/pkg/volume/util/types, MaxDurationBeforeRetry: 2 m 2 s), and
// the event recorder lets one event in five minutes through at worst
// (k8s.io/client-go/tools/record, defaultSpamQPS).
const retryWindow = 10 * time.Minute

// waits returns what a kubelet says keeps a pod from starting now. It is nothing for a pod that
// has started, that is on its way out, or whose kubelet is dead and says nothing any more.
func waits(s *snapshot.Snapshot, pod *corev1.Pod) []said {
	if !stuck(pod) || s.Writer(snapshot.KubeletOn(pod.Spec.NodeName)).State == snapshot.Dead {
		return nil
	}
	var out []said
	out = append(out, containersWait(pod, "initContainerStatuses", pod.Status.InitContainerStatuses)...)
	out = append(out, containersWait(pod, "containerStatuses", pod.Status.ContainerStatuses)...)
	for _, e := range s.EventsOf(snapshot.SubjectOf(pod)) {
		seen := snapshot.EventTime(e)
		if e.Reason != "FailedMount" || s.Now().Sub(seen) > retryWindow || seen.Before(pod.CreationTimestamp.Time) {
			continue
		}
		first := e.FirstTimestamp.Time
		if first.IsZero() {
			first = seen
		}
		out = append(out, said{
			message: e.Message, volume: volumeNamed(e.Message), first: first, evidence: finding.Evidence{
				Source: fmt.Sprintf("Event FailedMount on Pod %s/%s", pod.Namespace, pod.Name), Path: ".message",
				Value: finding.Quote(e.Message), At: finding.Timestamp(seen),
			},
		})
	}
	return out
}

func containersWait(pod *corev1.Pod, list string, statuses []corev1.ContainerStatus) []said {
	var out []said
	for _, c := range statuses {
		w := c.State.Waiting
		if w == nil || w.Reason != createContainerConfigError {
			continue
		}
		since := waitsSince(pod, c)
		out = append(out, said{
			message: w.Message, container: c.Name, first: since, evidence: finding.Evidence{
				Source: fmt.Sprintf("Pod %s/%s", pod.Namespace, pod.Name),
				Path:   fmt.Sprintf(".status.%s[%s].state.waiting.message", list, c.Name),
				Value:  finding.Quote(w.Message), At: finding.Timestamp(since),
			},
		})
	}
	return out
}

// stuck tells whether a pod was given to a kubelet and has a container that was not made yet.
func stuck(pod *corev1.Pod) bool {
	if pod.Spec.NodeName == "" || pod.DeletionTimestamp != nil || snapshot.PodDone(pod) {
		return false
	}
	return len(pod.Status.ContainerStatuses) == 0 ||
		slices.ContainsFunc(pod.Status.InitContainerStatuses, unmade) || slices.ContainsFunc(pod.Status.ContainerStatuses, unmade)
}

// unmade tells whether a container waits to be made, and not for its image or after a crash.
func unmade(c corev1.ContainerStatus) bool {
	if c.State.Waiting == nil {
		return false
	}
	switch c.State.Waiting.Reason {
	case createContainerConfigError, "ContainerCreating", "PodInitializing":
		return true
	default:
		return false
	}
}

// waitsSince is when a container began to wait: when it last ended, or when its pod came to its
// kubelet.
func waitsSince(pod *corev1.Pod, c corev1.ContainerStatus) time.Time {
	if t := c.LastTerminationState.Terminated; t != nil && !t.FinishedAt.IsZero() {
		return t.FinishedAt.Time
	}
	return cameToKubelet(pod)
}

func cameToKubelet(pod *corev1.Pod) time.Time {
	if pod.Status.StartTime != nil {
		return pod.Status.StartTime.Time
	}
	return pod.CreationTimestamp.Time
}

// volumeNamed takes the name of the volume from a message of the volume manager,
// `MountVolume.SetUp failed for volume "NAME" : REASON`.
func volumeNamed(message string) string {
	_, after, ok := strings.Cut(message, `for volume "`)
	if !ok {
		return ""
	}
	name, _, _ := strings.Cut(after, `"`)
	return name
}

// missesObject tells whether a kubelet's word says that the referred object does not exist. The
// words are those of the kubelet's object managers
// (k8s.io/kubernetes/pkg/kubelet/util/manager, apierrors.NewNotFound).
func (w said) missesObject(r reference) bool {
	return (w.volume == "" || w.volume == r.volume) &&
		strings.Contains(w.message, fmt.Sprintf("%s %q not found", strings.ToLower(r.kind), r.name))
}

// missedKey returns the key that a kubelet's word says the referred object lacks; empty where it
// says no such thing (k8s.io/kubernetes/pkg/kubelet/kubelet_pods.go, makeEnvironmentVariables;
// k8s.io/kubernetes/pkg/volume/configmap and .../secret, MakePayload).
func (w said) missedKey(namespace string, r reference) string {
	for _, key := range r.keys {
		switch {
		case r.volume == "" && w.container == r.container &&
			strings.HasSuffix(w.message, fmt.Sprintf("couldn't find key %s in %s %s/%s", key, r.kind, namespace, r.name)):
			return key
		case r.volume != "" && w.volume == r.volume && namesKey(w.message, "references non-existent "+keyWord(r.kind)+" key: ", key):
			return key
		}
	}
	return ""
}

func keyWord(kind string) string {
	if kind == kindSecret {
		return "secret"
	}
	return "config"
}

// namesKey tells whether a message has a key after some words, and not a longer key.
func namesKey(message, words, key string) bool {
	_, after, ok := strings.Cut(message, words)
	if !ok {
		return false
	}
	rest, ok := strings.CutPrefix(after, key)
	return ok && (rest == "" || strings.ContainsAny(rest[:1], " ,]"))
}
