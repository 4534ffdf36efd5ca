// Package launch is how a scenario becomes a pod, and how its result is read from what the pod left: the same for
// whoever starts it, a command, an installed check or the operator.
package launch

import (
	"errors"
	"fmt"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"

	"github.com/maek-dev/maek/internal/synthetic"
)

// What a checker ends with.
const (
	// ExitOK: nothing failed, or what failed was reported and taken.
	ExitOK = 0
	// ExitFailed: something failed, or the report was not taken.
	ExitFailed = 1
	// ExitUnable: it could not be tried, for options or rights.
	ExitUnable = 2
	// ExitMisused is sysexits.h's EX_USAGE: the arguments make no sense, such as a scenario that this version of
	// the checker does not have.
	ExitMisused = 64
)

// Container is the name of the checker's container.
const Container = "checker"

// Spec is a pod that runs a scenario as a ServiceAccount, which may be empty for the namespace's default. It fits
// the restricted Pod Security Standard.
func Spec(s synthetic.Scenario, account, image string, env []corev1.EnvVar) corev1.PodSpec {
	return corev1.PodSpec{
		ServiceAccountName: account,
		RestartPolicy:      corev1.RestartPolicyNever,
		// What a scenario makes is removed after it was stopped, too.
		TerminationGracePeriodSeconds: new(int64(60)),
		SecurityContext:               RestrictedPod(),
		// The address of the Service kuberhealthy is in the environment: how else would a check report that
		// names are not resolved?
		EnableServiceLinks: new(true),
		Containers: []corev1.Container{{
			Name:  Container,
			Image: image,
			Args:  []string{"run", s.Name},
			Env: append([]corev1.EnvVar{
				{Name: "POD_NAME", ValueFrom: own("metadata.name")},
				{Name: "POD_NAMESPACE", ValueFrom: own("metadata.namespace")},
				{Name: "NODE_NAME", ValueFrom: own("spec.nodeName")},
				// Scenarios run pods of this image, so that no other has to be pulled.
				{Name: "MAEK_CHECKER_IMAGE", Value: image},
			}, env...),
			Resources: corev1.ResourceRequirements{
				Requests: corev1.ResourceList{corev1.ResourceCPU: resource.MustParse("10m"), corev1.ResourceMemory: resource.MustParse("32Mi")},
				Limits:   corev1.ResourceList{corev1.ResourceMemory: resource.MustParse("128Mi")},
			},
			SecurityContext: RestrictedContainer(),
		}},
	}
}

// RestrictedPod is what the restricted Pod Security Standard asks of a pod
// (https://kubernetes.io/docs/concepts/security/pod-security-standards/#restricted).
func RestrictedPod() *corev1.PodSecurityContext {
	return &corev1.PodSecurityContext{
		RunAsNonRoot:   new(true),
		SeccompProfile: &corev1.SeccompProfile{Type: corev1.SeccompProfileTypeRuntimeDefault},
	}
}

// RestrictedContainer is what it asks of a container, and a file system that is not written to.
func RestrictedContainer() *corev1.SecurityContext {
	return &corev1.SecurityContext{
		AllowPrivilegeEscalation: new(false), ReadOnlyRootFilesystem: new(true),
		Capabilities: &corev1.Capabilities{Drop: []corev1.Capability{"ALL"}},
	}
}

// own is a field of the pod itself.
func own(path string) *corev1.EnvVarSource {
	return &corev1.EnvVarSource{FieldRef: &corev1.ObjectFieldSelector{APIVersion: "v1", FieldPath: path}}
}

// Verdict is what a scenario's run came to.
type Verdict int

// The verdicts.
const (
	// Unable: it could not look, for options or rights that are wrong, or was not understood.
	Unable Verdict = iota
	// Passed: it looked, and nothing failed.
	Passed
	// Failed: it looked, and something did.
	Failed
)

// ErrNoResult is that the pod of a scenario has ended, and left none.
var ErrNoResult = errors.New("no result was left")

// Read reads the result from a pod that has ended. Its error wraps ErrNoResult, and says how the pod ended
// instead; it goes on after the pod's name.
func Read(pod *corev1.Pod) (synthetic.Outcome, Verdict, error) {
	for i := range pod.Status.ContainerStatuses {
		t := pod.Status.ContainerStatuses[i].State.Terminated
		if t == nil {
			continue
		}
		outcome, err := synthetic.DecodeOutcome([]byte(t.Message))
		if err != nil {
			return synthetic.Outcome{}, Unable, noResultError(fmt.Sprintf("its container ended with exit code %d (%s) and left no result", t.ExitCode, t.Reason))
		}
		switch {
		case t.ExitCode == ExitOK && outcome.OK:
			return outcome, Passed, nil
		case t.ExitCode == ExitFailed:
			return outcome, Failed, nil
		}
		return outcome, Unable, nil
	}
	return synthetic.Outcome{}, Unable, noResultError(fmt.Sprintf("its pod ended without a container that did: %s %s", pod.Status.Reason, pod.Status.Message))
}

// noResultError is how a pod ended that left no result.
type noResultError string

func (n noResultError) Error() string { return string(n) }

func (noResultError) Unwrap() error { return ErrNoResult }
