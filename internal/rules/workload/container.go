package workload

import (
	"cmp"
	"fmt"
	"iter"
	"slices"
	"time"

	coordinationv1 "k8s.io/api/coordination/v1"
	corev1 "k8s.io/api/core/v1"

	"github.com/maek-dev/maek/internal/finding"
	"github.com/maek-dev/maek/internal/rule"
	"github.com/maek-dev/maek/internal/snapshot"
)

// container is one container of a pod: what is asked for and what became of it.
type container struct {
	pod    *corev1.Pod
	spec   *corev1.Container
	status *corev1.ContainerStatus
	init   bool
}

// containersOf yields the containers of a pod that have a status, init containers first. A status
// without a container in the spec is left out.
func containersOf(p *corev1.Pod) iter.Seq[container] {
	return func(yield func(container) bool) {
		of := func(specs []corev1.Container, statuses []corev1.ContainerStatus, isInit bool) bool {
			for i := range statuses {
				for j := range specs {
					if specs[j].Name == statuses[i].Name {
						if !yield(container{pod: p, spec: &specs[j], status: &statuses[i], init: isInit}) {
							return false
						}
						break
					}
				}
			}
			return true
		}
		if of(p.Spec.InitContainers, p.Status.InitContainerStatuses, true) {
			of(p.Spec.Containers, p.Status.ContainerStatuses, false)
		}
	}
}

// containerNamed returns the container of a pod that has a name; false where its status has none.
func containerNamed(p *corev1.Pod, name string) (container, bool) {
	for c := range containersOf(p) {
		if c.spec.Name == name {
			return c, true
		}
	}
	return container{}, false
}

// ended is how the container's last run that is over came to its end; nil where none is over. Of a
// container that the kubelet backs off from, the end may have been forgotten with the remains of it.
func (c container) ended() *corev1.ContainerStateTerminated {
	switch {
	case c.status.State.Terminated != nil:
		return c.status.State.Terminated
	case c.status.LastTerminationState.Terminated == nil && c.backingOff():
		return &corev1.ContainerStateTerminated{Reason: endForgotten}
	default:
		return c.status.LastTerminationState.Terminated
	}
}

// endForgotten is the reason of an end of which nothing is known.
const endForgotten = "Forgotten"

// backingOff tells whether the kubelet waits before it starts the container again
// (k8s.io/kubernetes/pkg/kubelet/container/sync_result.go, ErrCrashLoopBackOff).
func (c container) backingOff() bool {
	w := c.status.State.Waiting
	return w != nil && w.Reason == "CrashLoopBackOff"
}

const (
	// restartsInARow is how many restarts make a container that runs just now one that keeps
	// restarting.
	restartsInARow = 3
	// recently is how long ago the last end of a container may be for it to count as still
	// restarting: twice the kubelet's longest back-off (5 minutes; k8s.io/kubernetes/pkg/kubelet, MaxCrashLoopBackOff).
	recently = 10 * time.Minute
	// steady is how long a container must run and be ready to count as recovered, when its last
	// run did not last longer.
	steady = 2 * time.Minute
)

// keepsEnding tells whether the container ends again and again: the kubelet backs off from starting
// it, or it has been restarted several times, the last time only just now.
func (c container) keepsEnding(now time.Time) bool {
	end := c.ended()
	switch {
	case end == nil || snapshot.PodDone(c.pod) || c.pod.DeletionTimestamp != nil:
		return false
	case c.backingOff():
		return true
	case c.status.RestartCount < restartsInARow || now.Sub(end.FinishedAt.Time) > recently:
		return false
	case c.status.State.Terminated != nil:
		return c.willRestart(end)
	case c.status.State.Running != nil:
		return !c.recovered(now, end)
	default:
		return false
	}
}

// willRestart tells whether the pod's restart policy brings the container back.
func (c container) willRestart(end *corev1.ContainerStateTerminated) bool {
	policy := c.pod.Spec.RestartPolicy
	if c.spec.RestartPolicy != nil {
		policy = corev1.RestartPolicy(*c.spec.RestartPolicy)
	} else if c.init && end.ExitCode == 0 {
		return false
	}
	return policy == "" || policy == corev1.RestartPolicyAlways || (policy == corev1.RestartPolicyOnFailure && end.ExitCode != 0)
}

// recovered tells whether the container is ready and runs for twice as long as it did before.
func (c container) recovered(now time.Time, end *corev1.ContainerStateTerminated) bool {
	lasted := end.FinishedAt.Sub(end.StartedAt.Time)
	return c.status.Ready && now.Sub(c.status.State.Running.StartedAt.Time) > max(steady, 2*lasted)
}

// oomKilled tells whether the runtime recorded that the kernel ended the container for want of
// memory. An exit code of 137 alone only says SIGKILL, whoever sent it.
func oomKilled(end *corev1.ContainerStateTerminated) bool {
	return end != nil && end.Reason == "OOMKilled"
}

// since is the earliest time at which the container is known to have been in trouble: its first
// back-off, or when the pod ceased to be ready.
func (c container) since(s *snapshot.Snapshot) time.Time {
	first := c.ended().StartedAt.Time
	earlier := func(t time.Time) {
		if !t.IsZero() && (first.IsZero() || t.Before(first)) {
			first = t
		}
	}
	if ready := snapshot.PodCondition(c.pod, corev1.PodReady); ready != nil && ready.Status == corev1.ConditionFalse {
		earlier(ready.LastTransitionTime.Time)
	}
	for _, e := range s.PodEvents(c.pod) {
		if e.Reason == "BackOff" && e.InvolvedObject.FieldPath == c.fieldPath() {
			earlier(snapshot.EventStart(e))
		}
	}
	return first
}

// fieldPath names the container as Events do (k8s.io/kubernetes/pkg/kubelet/container/ref.go).
func (c container) fieldPath() string {
	if c.init {
		return "spec.initContainers{" + c.spec.Name + "}"
	}
	return "spec.containers{" + c.spec.Name + "}"
}

// label names the container as the subject of a sentence, and says where it is an init container.
func (c container) label() finding.Text {
	if c.init {
		return finding.Textf("init container %s", "%s init 컨테이너가", c.spec.Name)
	}
	return finding.Textf("container %s", "%s 컨테이너가", c.spec.Name)
}

// field is the path of one of the container's fields within its workload.
func (c container) field(workload finding.Subject, path string) string {
	return containerField(workload, c.spec.Name, c.init, path)
}

// evidence is how the container ended last.
func (c container) evidence() finding.Evidence {
	end, list, state := c.ended(), "containerStatuses", "lastState"
	if c.init {
		list = "initContainerStatuses"
	}
	if c.status.State.Terminated != nil {
		state = "state"
	}
	if end.Reason == endForgotten {
		return finding.Evidence{
			Source: finding.Named(snapshot.SubjectOf(c.pod)), Path: fmt.Sprintf(".status.%s[%s].state.waiting", list, c.spec.Name),
			Value: finding.Quote(c.status.State.Waiting.Reason + ": " + c.status.State.Waiting.Message),
		}
	}
	value := fmt.Sprintf("exit code %d, %s", end.ExitCode, end.Reason)
	if end.Message != "" {
		value += ": " + end.Message
	}
	return finding.Evidence{
		Source: finding.Named(snapshot.SubjectOf(c.pod)), Path: fmt.Sprintf(".status.%s[%s].%s.terminated", list, c.spec.Name, state),
		Value: finding.Quote(value), At: finding.Timestamp(end.FinishedAt.Time),
	}
}

// worstFirst orders containers of one workload: those that the kubelet backs off from, then by the
// number of restarts.
func worstFirst(a, b container) int {
	backing := func(c container) int {
		if c.backingOff() {
			return 0
		}
		return 1
	}
	return cmp.Or(cmp.Compare(backing(a), backing(b)), cmp.Compare(b.status.RestartCount, a.status.RestartCount),
		cmp.Compare(a.pod.Name, b.pod.Name), cmp.Compare(a.spec.Name, b.spec.Name))
}

// restless are the containers about which the rules of endingContainers may have something to say: all
// but those that run, are no init containers and never ended, which are nearly all of a large cluster.
type restless []container

func restlessContainers(pods []*corev1.Pod) restless {
	var out restless
	for _, pod := range pods {
		if calm(pod) {
			continue
		}
		for c := range containersOf(pod) {
			if c.init || !ranOnce(c.status) {
				out = append(out, c)
			}
		}
	}
	return out
}

// calm tells whether no container of a pod is restless.
func calm(pod *corev1.Pod) bool {
	if len(pod.Status.InitContainerStatuses) > 0 {
		return false
	}
	for i := range pod.Status.ContainerStatuses {
		if !ranOnce(&pod.Status.ContainerStatuses[i]) {
			return false
		}
	}
	return true
}

// ranOnce tells whether a container runs and never ended before.
func ranOnce(c *corev1.ContainerStatus) bool {
	return c.State.Running != nil && c.LastTerminationState.Terminated == nil
}

// endingContainers returns the restless containers for which keep holds, by workload, the worst first.
func endingContainers(p *rule.Pass, keep func(container) bool) []group[container] {
	pods := snapshot.List[*corev1.Pod](p.Snapshot)
	var found []container
	for _, c := range snapshot.Derived(p.Snapshot, func() restless { return restlessContainers(pods) }) {
		if keep(c) {
			found = append(found, c)
		}
	}
	groups := groupBy(found, func(c container) finding.Subject { return p.Workload(c.pod) })
	for _, g := range groups {
		slices.SortFunc(g.Items, worstFirst)
	}
	return groups
}

func containerPods(containers []container) []*corev1.Pod {
	return distinctPods(containers, func(c container) *corev1.Pod { return c.pod })
}

// earliest is the earliest time at which any of the containers was in trouble.
func earliest(s *snapshot.Snapshot, containers []container) time.Time {
	var first time.Time
	for _, c := range containers {
		if t := c.since(s); !t.IsZero() && (first.IsZero() || t.Before(first)) {
			first = t
		}
	}
	return first
}

// containerNeeds are the kinds that the rules about containers that end read.
func containerNeeds() []rule.Need {
	return append([]rule.Need{
		rule.Any[*corev1.Pod](), rule.Optional[*corev1.Event](), rule.Optional[*coordinationv1.Lease](),
	}, historyNeeds()...)
}
