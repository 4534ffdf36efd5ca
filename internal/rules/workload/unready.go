package workload

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/maek-dev/maek/internal/snapshot"
)

// stage is how far a pod that is not ready has come.
type stage int

const (
	// stageDeleting: its time to end is over and it is still there.
	stageDeleting stage = iota
	// stageUnscheduled: no Node was chosen.
	stageUnscheduled
	// stageAssigned: a Node was chosen and its kubelet has said nothing yet.
	stageAssigned
	// stageMarked: its containers were ready when their kubelet last spoke, and the node lifecycle
	// controller took the pod out of service.
	stageMarked
	// stageGate: its containers are ready and a readiness gate of its own is not.
	stageGate
	// stageInit: an init container has not finished.
	stageInit
	// stageWaiting: a container waits to be started.
	stageWaiting
	// stageEnded: a container ended.
	stageEnded
	// stageStartup: a container runs and its startup probe has not succeeded.
	stageStartup
	// stageReadiness: a container runs and its readiness probe does not succeed.
	stageReadiness
	// stageUnknown: the status does not say.
	stageUnknown
)

// unready says why a pod is not ready, as far as its own status tells.
type unready struct {
	stage stage
	// container that holds the pod up; empty where it is no single one.
	container string
	// reason and message in Kubernetes' words.
	reason, message string
	// path of the field that says so, and its value.
	path, value string
	// since is when the pod ceased to be ready, or began to wait for it.
	since time.Time
}

// unreadiness reads the status of a pod whose Ready condition is not true.
func unreadiness(pod *corev1.Pod) unready {
	switch {
	case pod.DeletionTimestamp != nil:
		return unready{
			stage: stageDeleting, since: pod.DeletionTimestamp.Time,
			path: ".metadata.deletionTimestamp", value: pod.DeletionTimestamp.UTC().Format(time.RFC3339),
		}
	case pod.Spec.NodeName == "":
		return unscheduled(pod)
	}
	u := containerUnreadiness(pod)
	u.since = snapshot.NotReadySince(pod)
	return u
}

func unscheduled(pod *corev1.Pod) unready {
	u := unready{stage: stageUnscheduled, since: pod.CreationTimestamp.Time, path: nodeNamePath, value: "(none)"}
	if c := snapshot.PodCondition(pod, corev1.PodScheduled); c != nil {
		u.reason, u.message = c.Reason, c.Message
		u.path, u.value = ".status.conditions[PodScheduled].reason", c.Reason
		if !c.LastTransitionTime.IsZero() {
			u.since = c.LastTransitionTime.Time
		}
	}
	return u
}

// unjudged tells whether no scheduler has said anything of the pod.
func (u unready) unjudged() bool { return u.stage == stageUnscheduled && u.path == nodeNamePath }

// nodeNamePath is where a pod names its Node.
const nodeNamePath = ".spec.nodeName"

// containerUnreadiness looks, in the order in which a kubelet starts them, for the container that
// holds a scheduled pod up.
func containerUnreadiness(pod *corev1.Pod) unready {
	status := &pod.Status
	if len(status.ContainerStatuses) == 0 && status.StartTime.IsZero() {
		return unready{stage: stageAssigned, path: ".status.phase", value: string(status.Phase)}
	}
	if c := snapshot.PodCondition(pod, corev1.ContainersReady); c != nil && c.Status == corev1.ConditionTrue {
		return containersReady(pod)
	}
	u, beside, held := initUnreadiness(pod)
	if held {
		return u
	}
	for i := range status.ContainerStatuses {
		if c := &status.ContainerStatuses[i]; !c.Ready && (beside == nil || c.State.Waiting == nil || c.State.Waiting.Reason != podInitializing) {
			return ofContainer(c, "containerStatuses")
		}
	}
	if beside != nil {
		return ofContainer(beside, "initContainerStatuses")
	}
	u = unready{stage: stageUnknown, path: ".status.phase", value: string(status.Phase)}
	if c := snapshot.PodCondition(pod, corev1.PodReady); c != nil {
		u.reason, u.message = c.Reason, c.Message
	}
	return u
}

// initUnreadiness looks for an init container that holds a pod up, and for a sidecar that is not ready
// beside the others; nil where there is none.
func initUnreadiness(pod *corev1.Pod) (u unready, beside *corev1.ContainerStatus, held bool) {
	for i := range pod.Status.InitContainerStatuses {
		c := &pod.Status.InitContainerStatuses[i]
		if sidecar(pod, c.Name) {
			if !c.Ready && beside == nil {
				beside = c
			}
			// What comes after a sidecar waits until it has started, not until it is ready.
			if c.State.Running == nil || (c.Started != nil && !*c.Started) {
				return unready{}, beside, false
			}
			continue
		}
		if c.State.Terminated != nil && c.State.Terminated.ExitCode == 0 {
			continue
		}
		u = ofContainer(c, "initContainerStatuses")
		if u.stage != stageWaiting || u.reason == "" || u.reason == podInitializing {
			u.stage = stageInit
		}
		return u, beside, true
	}
	return unready{}, beside, false
}

// podInitializing and containerCreating are the reasons with which a kubelet says that a container
// waits for nothing but its turn (k8s.io/kubernetes/pkg/kubelet, PodInitializing, ContainerCreating).
const (
	podInitializing   = "PodInitializing"
	containerCreating = "ContainerCreating"
)

// containersReady tells a readiness gate from the node lifecycle controller, which turns a pod's
// Ready condition alone when its Node stops reporting
// (k8s.io/kubernetes/pkg/controller/util/node, MarkPodsNotReady).
func containersReady(pod *corev1.Pod) unready {
	for _, gate := range pod.Spec.ReadinessGates {
		c := snapshot.PodCondition(pod, gate.ConditionType)
		if c != nil && c.Status == corev1.ConditionTrue {
			continue
		}
		u := unready{
			stage: stageGate, container: string(gate.ConditionType),
			path: fmt.Sprintf(".status.conditions[%s].status", gate.ConditionType), value: "(none)",
		}
		if c != nil {
			u.value, u.reason, u.message = string(c.Status), c.Reason, c.Message
		}
		return u
	}
	if c := snapshot.PodCondition(pod, corev1.PodReady); c != nil && c.Reason != "" {
		// The kubelet gives a reason, the controller leaves what there was, which is none: the last gate was
		// met a moment ago, and the kubelet has yet to say so.
		return unready{stage: stageUnknown, path: ".status.conditions[Ready].reason", value: c.Reason}
	}
	return unready{stage: stageMarked, path: ".status.conditions[Ready].status", value: string(readyStatus(pod))}
}

func readyStatus(pod *corev1.Pod) corev1.ConditionStatus {
	if c := snapshot.PodCondition(pod, corev1.PodReady); c != nil {
		return c.Status
	}
	return corev1.ConditionUnknown
}

func ofContainer(c *corev1.ContainerStatus, list string) unready {
	at := fmt.Sprintf(".status.%s[%s]", list, c.Name)
	switch state := c.State; {
	case state.Waiting != nil:
		return unready{
			stage: stageWaiting, container: c.Name, reason: state.Waiting.Reason, message: state.Waiting.Message,
			path: at + ".state.waiting.reason", value: state.Waiting.Reason,
		}
	case state.Terminated != nil:
		return unready{
			stage: stageEnded, container: c.Name, reason: state.Terminated.Reason, message: state.Terminated.Message,
			path: at + ".state.terminated.exitCode", value: strconv.Itoa(int(state.Terminated.ExitCode)),
		}
	case state.Running != nil && c.Started != nil && !*c.Started:
		return unready{stage: stageStartup, container: c.Name, path: at + ".started", value: "false"}
	case state.Running != nil:
		return unready{stage: stageReadiness, container: c.Name, path: at + ".ready", value: "false"}
	default:
		return unready{stage: stageWaiting, container: c.Name, path: at + ".state", value: "(none)"}
	}
}

// word names the trouble in a word or two, alike in every language.
func (u unready) word(pod *corev1.Pod) string {
	switch {
	case u.stage == stageMarked:
		return "Node " + pod.Spec.NodeName
	case u.stage == stageReadiness:
		return "readiness probe"
	case u.stage == stageStartup:
		return "startup probe"
	case u.stage == stageGate:
		return "readiness gate " + u.container
	case u.stage == stageInit && u.reason == "":
		return "init container " + u.container
	default:
		return clip(u.reason, changeRunes)
	}
}

// underWay tells whether the kubelet says that it is still about to make the container.
func (u unready) underWay() bool {
	return u.stage == stageWaiting && (u.reason == "" || u.reason == podInitializing || u.reason == containerCreating)
}

// sidecar tells whether an init container is one that runs beside the others.
func sidecar(pod *corev1.Pod, name string) bool {
	return slices.ContainsFunc(pod.Spec.InitContainers, func(c corev1.Container) bool {
		return c.Name == name && c.RestartPolicy != nil && *c.RestartPolicy == corev1.ContainerRestartPolicyAlways
	})
}

// shouldServe tells whether a pod is one that ought to be ready now. One that runs to an end, as a
// Job's does, serves nobody; it only ought to get going.
func shouldServe(pod *corev1.Pod) bool {
	switch {
	case snapshot.PodDone(pod) || len(pod.Spec.SchedulingGates) > 0:
		return false
	case snapshot.CheckerPod(pod):
		return false
	case pod.DeletionTimestamp != nil:
		return false
	case pod.Spec.RestartPolicy != "" && pod.Spec.RestartPolicy != corev1.RestartPolicyAlways:
		return pod.Status.Phase == corev1.PodPending
	default:
		return true
	}
}

// holdsItsPlace tells whether a pod that should be gone keeps its successor from being created: a
// StatefulSet has at most one pod of a name
// (https://kubernetes.io/docs/tasks/run-application/force-delete-stateful-set-pod/).
func holdsItsPlace(now time.Time, pod *corev1.Pod) bool {
	ref := metav1.GetControllerOfNoCopy(pod)
	return pod.DeletionTimestamp != nil && now.After(pod.DeletionTimestamp.Time) && !snapshot.PodDone(pod) &&
		ref != nil && ref.Kind == "StatefulSet"
}

// probeFailure returns the youngest event in which a kubelet says that a probe of a container
// failed, if it is no older than the trouble that it is to explain; nil where there is none.
func probeFailure(s *snapshot.Snapshot, pod *corev1.Pod, container, probe string, since time.Time) *corev1.Event {
	for _, e := range s.PodEvents(pod) {
		if path := e.InvolvedObject.FieldPath; e.Reason == "Unhealthy" && (path == "spec.containers{"+container+"}" || path == "spec.initContainers{"+container+"}") &&
			strings.HasPrefix(e.Message, probe+" probe") && !snapshot.EventTime(e).Before(since.Add(-time.Minute)) {
			return e
		}
	}
	return nil
}
