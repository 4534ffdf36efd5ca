package synthetic

import (
	"cmp"
	"context"
	"fmt"
	"iter"
	"time"

	corev1 "k8s.io/api/core/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
)

// notOfChecks leaves out the pods of checks, Kuberhealthy's labels and ours: whoever runs them watches them.
const notOfChecks = "app!=kuberhealthy-check,source!=kuberhealthy,!maek.dev/run-of"

var podStatusOptions = []Option{
	{Name: "TARGET_NAMESPACE", Doc: "Namespace of the pods; without it all namespaces."},
	{Name: "SKIP_DURATION", Default: "10m", Doc: "Time that a pod is given for starting, becoming ready and ending."},
}

var podStatusAccess = []rbacv1.PolicyRule{{APIGroups: []string{""}, Resources: []string{"pods"}, Verbs: []string{"list"}}}

var _ = All.Add(Scenario{
	Name:          "pod-status",
	Doc:           "Looks for pods that do not come up, are not ready, failed without being replaced, or do not end. A failure names each of them, and what it waits for.",
	Images:        []string{"pod-status-check"},
	Options:       podStatusOptions,
	Access:        podStatusAccess,
	ClusterAccess: podStatusAccess,
	Standing:      true,
	Time:          5 * time.Minute,
	Run:           runPodStatus,
})

// failedPod is a pod that ended in failure, and what its owner may have made since.
type failedPod struct {
	job  types.UID
	text string
}

func runPodStatus(ctx context.Context, env Environment) (Result, error) {
	o := env.read(podStatusOptions)
	namespace, skip := o.text("TARGET_NAMESPACE"), o.duration("SKIP_DURATION", 0)
	if err := o.err(); err != nil {
		return Result{}, err
	}
	var result Result
	var ofJobs []failedPod
	goesOn := map[types.UID]bool{}
	replaced := 0
	now := env.Clock.Now()
	err := each(ctx, env.Client, &corev1.PodList{}, "pods", namespace, metav1.ListOptions{LabelSelector: notOfChecks}, func(p *corev1.Pod) {
		owner := metav1.GetControllerOf(p)
		if p.Status.Phase != corev1.PodFailed {
			if owner != nil && owner.Kind == "Job" {
				goesOn[owner.UID] = true
			}
			if text := unwell(p, skip, now); text != "" {
				result.Errors = append(result.Errors, text)
			}
			return
		}
		switch {
		case now.Sub(p.CreationTimestamp.Time) <= skip:
		case owner == nil:
			result.Errors = append(result.Errors, failed(p))
		case owner.Kind == "Job":
			ofJobs = append(ofJobs, failedPod{job: owner.UID, text: failed(p)})
		default:
			// Its controller makes another, which is looked at for itself; nobody deletes what was evicted.
			replaced++
		}
	})
	if err != nil {
		return Result{}, err
	}
	for _, p := range ofJobs {
		if goesOn[p.job] {
			replaced++
			continue
		}
		result.Errors = append(result.Errors, p.text)
	}
	if replaced > 0 {
		result.Notes = append(result.Notes, fmt.Sprintf("failed pods that are only leftovers, since what controls them makes others in their place: %d", replaced))
	}
	return result, nil
}

// inPhase words a finding as Kuberhealthy does, and says why.
func inPhase(p *corev1.Pod, why string) string {
	return fmt.Sprintf("pod: %s in namespace: %s is in pod status phase %s : %s", p.Name, p.Namespace, p.Status.Phase, why)
}

// failed says how a pod ended.
func failed(p *corev1.Pod) string {
	if p.Status.Reason != "" || p.Status.Message != "" {
		return inPhase(p, sentence(p.Status.Reason, p.Status.Message))
	}
	for status := range containers(p) {
		if ended := status.State.Terminated; ended != nil && ended.ExitCode != 0 {
			return inPhase(p, fmt.Sprintf("container %s ended at %s with exit code %d (%s)", status.Name, date(ended.FinishedAt.Time), ended.ExitCode, ended.Reason))
		}
	}
	return inPhase(p, "nothing says why")
}

// unwell says what is wrong with a pod that has not ended; empty where it is well, or too young to tell.
func unwell(p *corev1.Pod, skip time.Duration, now time.Time) string {
	switch {
	case p.Status.Phase == corev1.PodSucceeded, now.Sub(p.CreationTimestamp.Time) <= skip:
		return ""
	case p.DeletionTimestamp != nil:
		// The timestamp has the grace period in it.
		if now.Sub(p.DeletionTimestamp.Time) <= skip {
			return ""
		}
		return inPhase(p, fmt.Sprintf("it should have ended by %s, and is still there on node %s", date(p.DeletionTimestamp.Time), p.Spec.NodeName))
	case p.Status.Phase == corev1.PodUnknown:
		return inPhase(p, "nobody knows its state: "+sentence(p.Status.Reason, p.Status.Message))
	}
	if len(p.Spec.SchedulingGates) > 0 {
		return "" // Whoever put the gate there holds it back on purpose, as queues of jobs do.
	}
	if scheduled := condition(p, corev1.PodScheduled); scheduled != nil && scheduled.Status == corev1.ConditionFalse {
		return inPhase(p, "it is on no node: "+sentence(scheduled.Reason, scheduled.Message))
	}
	for status := range containers(p) {
		if waiting := status.State.Waiting; waiting != nil && stuck(waiting.Reason) {
			return inPhase(p, fmt.Sprintf("container %s waits: %s", status.Name, waitingText(waiting)))
		}
	}
	if p.Status.Phase == corev1.PodPending {
		return inPhase(p, fmt.Sprintf("it was created at %s, and its containers do not run on node %s", date(p.CreationTimestamp.Time), cmp.Or(p.Spec.NodeName, "(none)")))
	}
	ready := condition(p, corev1.PodReady)
	if ready == nil || ready.Status == corev1.ConditionTrue || now.Sub(ready.LastTransitionTime.Time) <= skip || hasEnded(p) {
		return ""
	}
	return inPhase(p, fmt.Sprintf("it has not been ready since %s: %s", date(ready.LastTransitionTime.Time), sentence(ready.Reason, ready.Message)))
}

// stuck tells whether a container waits for something that time alone does not bring.
func stuck(reason string) bool { return reason != "ContainerCreating" && reason != "PodInitializing" }

// hasEnded tells whether a container that is not to run for ever has ended well, so that the pod is not
// ready for a good reason.
func hasEnded(p *corev1.Pod) bool {
	for i := range p.Status.ContainerStatuses {
		if ended := p.Status.ContainerStatuses[i].State.Terminated; ended != nil && ended.ExitCode == 0 {
			return true
		}
	}
	return false
}

func condition(p *corev1.Pod, of corev1.PodConditionType) *corev1.PodCondition {
	for i := range p.Status.Conditions {
		if p.Status.Conditions[i].Type == of {
			return &p.Status.Conditions[i]
		}
	}
	return nil
}

// containers goes through the containers of a pod, those that initialize it first.
func containers(p *corev1.Pod) iter.Seq[*corev1.ContainerStatus] {
	return func(yield func(*corev1.ContainerStatus) bool) {
		for _, statuses := range [][]corev1.ContainerStatus{p.Status.InitContainerStatuses, p.Status.ContainerStatuses} {
			for i := range statuses {
				if !yield(&statuses[i]) {
					return
				}
			}
		}
	}
}

func waitingText(waiting *corev1.ContainerStateWaiting) string {
	return sentence(waiting.Reason, waiting.Message)
}

// sentence joins a reason and a message of the API, either of which may be missing.
func sentence(reason, message string) string {
	const longest = 300
	switch message = shortened(message, longest); {
	case reason == "" && message == "":
		return "nothing says why"
	case message == "":
		return reason
	case reason == "":
		return message
	}
	return reason + " (" + message + ")"
}
