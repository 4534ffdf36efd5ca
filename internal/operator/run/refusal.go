package run

import (
	"errors"
	"strings"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"sigs.k8s.io/controller-runtime/pkg/cache"
)

// passesWithin is how long a refusal is waited for that may pass by itself.
const passesWithin = time.Minute

// passing are words of refusals that may pass by themselves: a ServiceAccount that is made a moment after
// its namespace, and room that other pods give back (kubernetes: plugin/pkg/admission/serviceaccount/admission.go;
// k8s.io/apiserver: pkg/admission/plugin/resourcequota/controller.go). The API has no codes for them.
var passing = []string{"error looking up service account", "exceeded quota", "status unknown for quota"}

// refusal is what the API server has against a pod; false where the error says nothing about the pod.
// What may pass by itself is tried again, from a time on for a minute or the run's timeout.
func refusal(err error, from time.Time, timeout time.Duration) (trouble, bool) {
	t := trouble{message: err.Error()}
	switch {
	case terminating(err):
		return trouble{}, false
	case denied(err):
		t.refused = !apierrors.IsTooManyRequests(err) && !unanswered(err)
		return t, true
	case webhookFailed(err), apierrors.IsInternalError(err):
		return t, true
	case unanswered(err), apierrors.IsConflict(err), apierrors.IsAlreadyExists(err):
		return trouble{}, false
	case apierrors.IsNotFound(err), apierrors.IsForbidden(err) && mayPass(err):
		// Not found is the namespace, as the API server knows it.
		t.giveUp = from.Add(min(timeout, passesWithin))
		return t, true
	}
	t.refused = true
	return t, true
}

func mayPass(err error) bool {
	for _, words := range passing {
		if strings.Contains(err.Error(), words) {
			return true
		}
	}
	return false
}

// outdated tells that a request was made in view of something that has changed since.
func outdated(err error) bool {
	return apierrors.IsConflict(err) || apierrors.IsAlreadyExists(err) || apierrors.IsNotFound(err)
}

// unanswered tells that the API server did not answer, or could not: nothing is known of whether the
// request was carried out. Where only a webhook did not, that says nothing of other requests.
func unanswered(err error) bool {
	// The cache was asked for a kind that is not followed any more: no request was made.
	if _, notCached := errors.AsType[*cache.ErrResourceNotCached](err); notCached {
		return false
	}
	var status apierrors.APIStatus
	if !errors.As(err, &status) {
		return true
	}
	if webhookFailed(err) {
		return false
	}
	return apierrors.IsServerTimeout(err) || apierrors.IsTimeout(err) || apierrors.IsServiceUnavailable(err) ||
		apierrors.IsTooManyRequests(err) || apierrors.IsInternalError(err) || apierrors.IsUnexpectedServerError(err)
}

// unstored tells that what could not be written should be written again.
func unstored(err error) bool { return unanswered(err) || webhookFailed(err) }

// webhookFailed tells that a webhook of the API server gave no answer (k8s.io/apiserver:
// pkg/util/webhook/error.go).
func webhookFailed(err error) bool {
	return apierrors.IsInternalError(err) && strings.Contains(err.Error(), "failed calling webhook")
}

// denied tells that a webhook refused (k8s.io/apiserver: pkg/admission/plugin/webhook/errors/statuserror.go).
// It may give any code.
func denied(err error) bool {
	return strings.Contains(err.Error(), "admission webhook ") && strings.Contains(err.Error(), " denied the request")
}

// terminating tells that nothing can be made any more in a namespace (kubernetes:
// plugin/pkg/admission/namespace/lifecycle).
func terminating(err error) bool {
	return apierrors.HasStatusCause(err, corev1.NamespaceTerminatingCause)
}
