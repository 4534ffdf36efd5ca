package podrun

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/maek-dev/maek/internal/operator/check/plan"
	"github.com/maek-dev/maek/internal/operator/checkerpod"
	"github.com/maek-dev/maek/internal/synthetic/stage"
)

// The pauses between tries to make a pod double from the first to the longest.
const leastPause, mostPause = time.Second, 30 * time.Second

// begin makes the pod of the slot, or takes the one that is there. What may pass by itself is waited for.
func (s *slotRun) begin(ctx context.Context) (*corev1.Pod, time.Time, error) {
	giveUp := s.o.Clock.Now().Add(min(s.timeout, checkerpod.PassesWithin))
	for pause := leastPause; ; pause = min(2*pause, mostPause) {
		made, err := s.makePod(ctx)
		if err != nil {
			return nil, time.Time{}, err
		}
		err = s.create(ctx, made)
		if err == nil {
			pod := &corev1.Pod{}
			if err := runtime.DefaultUnstructuredConverter.FromUnstructured(made.Object, pod); err != nil {
				return nil, time.Time{}, fmt.Errorf("reading the pod that was made: %w", err)
			}
			return pod, s.o.Clock.Now().Add(s.timeout), nil
		}
		if apierrors.IsAlreadyExists(err) {
			return s.adopt(ctx)
		}
		objection := checkerpod.ObjectionOf(err)
		patient := objection == checkerpod.MayPass || objection == checkerpod.NotAsked
		if patient && s.o.Clock.Now().Add(pause).Before(giveUp) {
			if err := s.sleep(ctx, pause); err != nil {
				return nil, time.Time{}, err
			}
			continue
		}
		return nil, time.Time{}, s.objection(objection, err)
	}
}

// create asks for the pod, and has the API server refuse fields that it does not know: a misspelt one would be left
// out in silence.
func (s *slotRun) create(ctx context.Context, pod *unstructured.Unstructured) error {
	ctx, cancel := context.WithTimeout(ctx, requestWithin)
	defer cancel()
	return s.o.Client.Create(ctx, pod, client.FieldValidation(metav1.FieldValidationStrict))
}

// adopt takes the pod that has the name of the slot's: this replica's cache has not heard of it, or has not heard
// that it was made although the answer was lost.
func (s *slotRun) adopt(ctx context.Context) (*corev1.Pod, time.Time, error) {
	pod, err := s.live(ctx)
	switch {
	case err != nil:
		return nil, time.Time{}, err
	case !metav1.IsControlledBy(pod, s.check):
		return nil, time.Time{}, nobody(NotRun, "there is a pod %s already, which is not of this check", pod.Name)
	}
	return pod, s.deadlineOf(pod), nil
}

// live reads the slot's pod past the cache.
func (s *slotRun) live(ctx context.Context) (*corev1.Pod, error) {
	ctx, cancel := context.WithTimeout(ctx, requestWithin)
	defer cancel()
	pod := &corev1.Pod{}
	if err := s.o.Client.Get(ctx, s.pod, pod); err != nil {
		return nil, fmt.Errorf("reading the pod of the run: %w", err)
	}
	return pod, nil
}

// objection is the end of a run whose pod could not be made.
func (s *slotRun) objection(objection checkerpod.Objection, err error) error {
	why := strings.TrimRight(strings.ReplaceAll(stage.Refused(err).Error(), s.pod.Name, s.check.Name), ". ")
	switch {
	case checkerpod.Terminating(err):
		return nobody(Terminating, "the namespace %s is being deleted", s.pod.Namespace)
	case objection == checkerpod.NoObjection:
		return err
	case objection == checkerpod.NotAsked:
		return nobody(checkerpod.PodRefused, "the pod could not be made: %s", why)
	}
	return plan.Refuse(ReasonPodRefused, "%s; %s", checkerpod.Clean(why), s.instead(err))
}

// instead says what to write or run where the API server refuses the pod. The words are those of kubernetes:
// plugin/pkg/admission/serviceaccount, k8s.io/apiserver: pkg/admission/plugin/resourcequota and
// k8s.io/pod-security-admission.
func (s *slotRun) instead(err error) string {
	field, account := "spec.podTemplate", ""
	if action := s.check.Spec.Synthetic; action != nil {
		field, account = "spec.synthetic", action.ServiceAccountName
	} else if template := s.check.Spec.PodTemplate; template != nil {
		account = template.Spec.ServiceAccountName
	}
	text := err.Error()
	switch {
	case strings.Contains(text, "error looking up service account") && account != "":
		return fmt.Sprintf("make it with kubectl create serviceaccount %s -n %s, or name one that is there", account, s.pod.Namespace)
	case strings.Contains(text, "exceeded quota"), strings.Contains(text, "failed quota"):
		return "give the namespace a larger ResourceQuota, or write what it asks for into the resources of the containers"
	case strings.Contains(text, "violates PodSecurity") && s.check.Spec.PodTemplate != nil:
		return "write the securityContext that it asks for into spec.podTemplate, or move the check to a namespace whose level allows the pod"
	case stage.NotAllowed(err):
		return fmt.Sprintf("let the operator make pods in the namespace %s: kubectl maek install grants it that in all of them", s.pod.Namespace)
	case checkerpod.ObjectionOf(err) == checkerpod.Refused && strings.Contains(text, "admission webhook"):
		return "write " + field + " as the webhook wants it"
	}
	return "mend " + field
}

// sleep waits. Its error is that ctx ended.
func (s *slotRun) sleep(ctx context.Context, pause time.Duration) error {
	timer := s.o.Clock.NewTimer(pause)
	defer timer.Stop()
	select {
	case <-ctx.Done():
		return fmt.Errorf("waiting to make the pod: %w", errors.Join(ctx.Err(), context.Cause(ctx)))
	case <-timer.C():
		return nil
	}
}
