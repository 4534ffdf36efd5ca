package world

import (
	"fmt"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// Ailments is how many reasons there are for which Deployments of a sick world fail: ten kinds of
// trouble, each with five objects or messages to blame.
const Ailments = 50

// culprits is the number of different objects or messages of each kind of trouble.
const culprits = 5

// ails tells whether a Deployment's pods fail.
func (w *World) ails(deployment int) bool { return w.size.Sick && deployment%3 == 0 }

// ailment is the number of the reason for which a Deployment fails, 0 to Ailments-1.
func ailment(deployment int) (kind, culprit int) {
	n := deployment / 3 % Ailments
	return n / culprits, n % culprits
}

// image of a Deployment's first container: what fails to be pulled names its own registry.
func (w *World) image(deployment int) string {
	registry := "registry.example"
	if kind, culprit := ailment(deployment); w.ails(deployment) && kind == 2 {
		registry = fmt.Sprintf("registry-%d.example", culprit)
	}
	return fmt.Sprintf("%s/team/service-%05d:1.0.0", registry, deployment)
}

// ail makes a pod fail as its Deployment does, in the words of the kubelet, the container runtime and
// the scheduler.
func (w *World) ail(pod *corev1.Pod, deployment int) {
	kind, culprit := ailment(deployment)
	first := &pod.Status.ContainerStatuses[0]
	first.Ready, first.Started = false, new(false)
	for i := range pod.Status.Conditions {
		c := &pod.Status.Conditions[i]
		if c.Type == corev1.PodReady || c.Type == corev1.ContainersReady {
			c.Status, c.Reason = corev1.ConditionFalse, "ContainersNotReady"
		}
	}
	waiting := func(reason, message string) {
		first.State = corev1.ContainerState{Waiting: &corev1.ContainerStateWaiting{Reason: reason, Message: message}}
		first.ImageID, first.ContainerID = "", ""
		pod.Status.Phase = corev1.PodPending
	}
	ended := func(code int32, reason string) {
		first.State = corev1.ContainerState{Waiting: &corev1.ContainerStateWaiting{Reason: "CrashLoopBackOff", Message: "back-off 5m0s restarting failed container"}}
		first.LastTerminationState = corev1.ContainerState{Terminated: &corev1.ContainerStateTerminated{
			ExitCode: code, Reason: reason, StartedAt: metav1.NewTime(w.now.Add(-6 * 60e9)), FinishedAt: metav1.NewTime(w.now.Add(-5 * 60e9)),
		}}
		first.RestartCount = 40
	}
	image := pod.Spec.Containers[0].Image
	switch kind {
	case 0:
		waiting("ImagePullBackOff", fmt.Sprintf(`Back-off pulling image "%s": ErrImagePull: rpc error: code = NotFound desc = failed to pull and unpack image "%[1]s": %[1]s: not found`, image))
	case 1:
		waiting("CreateContainerConfigError", fmt.Sprintf(`configmap "settings-%d" not found`, culprit))
	case 2:
		waiting("ImagePullBackOff", fmt.Sprintf(`Back-off pulling image "%s": ErrImagePull: failed to do request: Head "https://registry-%d.example/v2/": dial tcp 192.0.2.%[2]d:443: i/o timeout`, image, culprit))
	case 3:
		waiting("CreateContainerConfigError", fmt.Sprintf(`secret "credentials-%d" not found`, culprit))
	case 4:
		ended(int32(1+culprit), "Error")
	case 5:
		ended(137, "OOMKilled")
	case 6:
		waiting("CreateContainerConfigError", fmt.Sprintf(`couldn't find key key-%d in ConfigMap %s/settings`, culprit, pod.Namespace))
	case 7:
		waiting("ContainerCreating", "")
	case 8:
		first.Started = new(true)
	default:
		pod.Spec.NodeName = ""
		pod.Status = corev1.PodStatus{Phase: corev1.PodPending, Conditions: []corev1.PodCondition{{
			Type: corev1.PodScheduled, Status: corev1.ConditionFalse, Reason: "Unschedulable", LastTransitionTime: w.began,
			Message: fmt.Sprintf("0/%d nodes are available: %[1]d node(s) didn't match Pod's node affinity/selector. no new claims to deallocate, preemption: 0/%[1]d nodes are available: %[1]d Preemption is not helpful for scheduling.", w.size.Nodes),
		}}}
		pod.Spec.NodeSelector = map[string]string{"pool": fmt.Sprintf("gone-%d", culprit)}
	}
}

// event is what the kubelet says about a pod that fails; nil about all others.
func (w *World) event(i int) *corev1.Event {
	deployment := i / w.size.PodsPerDeployment
	if !w.ails(deployment) {
		return nil
	}
	kind, culprit := ailment(deployment)
	pod := w.pod(i)
	e := &corev1.Event{
		ObjectMeta:     metav1.ObjectMeta{Namespace: pod.Namespace, Name: pod.Name + ".1"},
		InvolvedObject: corev1.ObjectReference{APIVersion: "v1", Kind: "Pod", Namespace: pod.Namespace, Name: pod.Name},
		Type:           corev1.EventTypeWarning, Count: 20, FirstTimestamp: w.began, LastTimestamp: metav1.NewTime(w.now.Add(-60e9)),
		Source: corev1.EventSource{Component: "kubelet", Host: pod.Spec.NodeName},
	}
	switch kind {
	case 7:
		e.Reason, e.Message = "FailedMount", fmt.Sprintf(`MountVolume.SetUp failed for volume "config" : configmap "files-%d" not found`, culprit)
	case 8:
		e.Reason, e.Message = "Unhealthy", fmt.Sprintf("Readiness probe failed: HTTP probe failed with statuscode: 50%d", culprit)
	case 9:
		e.Reason, e.Message, e.Source = "FailedScheduling", pod.Status.Conditions[0].Message, corev1.EventSource{Component: "default-scheduler"}
	default:
		e.Reason, e.Message = "BackOff", "Back-off restarting failed container"
	}
	return e
}
