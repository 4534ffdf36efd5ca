package checkerpod

import (
	"errors"
	"strings"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"sigs.k8s.io/controller-runtime/pkg/cache"
)

// passing are words of refusals that may pass by themselves: a ServiceAccount that is made a moment after
// its namespace, and room that other pods give back (kubernetes: plugin/pkg/admission/serviceaccount/admission.go;
// k8s.io/apiserver: pkg/admission/plugin/resourcequota/controller.go). The API has no codes for them.
var passing = []string{"error looking up service account", "exceeded quota", "status unknown for quota"}

// Objection is what an error says of what the API server has against a pod.
type Objection int

// The objections.
const (
	// NoObjection: the error says nothing about the pod.
	NoObjection Objection = iota
	// Refused: trying again is pointless until somebody changes the pod or what refuses it.
	Refused
	// MayPass: it may pass by itself within PassesWithin.
	MayPass
	// NotAsked: somebody who has a say could not be asked, or says later: a webhook that is ill.
	NotAsked
)

// PassesWithin is how long a refusal is waited for that may pass by itself.
const PassesWithin = time.Minute

// ObjectionOf judges the error of a request to make a pod.
func ObjectionOf(err error) Objection {
	switch {
	case Terminating(err):
		return NoObjection
	case denied(err):
		if apierrors.IsTooManyRequests(err) || Unanswered(err) {
			return NotAsked
		}
		return Refused
	case WebhookFailed(err), apierrors.IsInternalError(err):
		return NotAsked
	case Unanswered(err), apierrors.IsConflict(err), apierrors.IsAlreadyExists(err):
		return NoObjection
	case apierrors.IsNotFound(err), apierrors.IsForbidden(err) && mayPass(err):
		// Not found is the namespace, as the API server knows it.
		return MayPass
	}
	return Refused
}

func mayPass(err error) bool {
	for _, words := range passing {
		if strings.Contains(err.Error(), words) {
			return true
		}
	}
	return false
}

// Unanswered tells that the API server did not answer, or could not: nothing is known of whether the
// request was carried out. Where only a webhook did not, that says nothing of other requests.
func Unanswered(err error) bool {
	// The cache was asked for a kind that is not followed any more: no request was made.
	if _, notCached := errors.AsType[*cache.ErrResourceNotCached](err); notCached {
		return false
	}
	var status apierrors.APIStatus
	if !errors.As(err, &status) {
		return true
	}
	if WebhookFailed(err) {
		return false
	}
	return apierrors.IsServerTimeout(err) || apierrors.IsTimeout(err) || apierrors.IsServiceUnavailable(err) ||
		apierrors.IsTooManyRequests(err) || apierrors.IsInternalError(err) || apierrors.IsUnexpectedServerError(err)
}

// WebhookFailed tells that a webhook of the API server gave no answer (k8s.io/apiserver:
// pkg/util/webhook/error.go).
func WebhookFailed(err error) bool {
	return apierrors.IsInternalError(err) && strings.Contains(err.Error(), "failed calling webhook")
}

// denied tells that a webhook refused (k8s.io/apiserver: pkg/admission/plugin/webhook/errors/statuserror.go).
// It may give any code.
func denied(err error) bool {
	return strings.Contains(err.Error(), "admission webhook ") && strings.Contains(err.Error(), " denied the request")
}

// Terminating tells that nothing can be made any more in a namespace (kubernetes:
// plugin/pkg/admission/namespace/lifecycle).
func Terminating(err error) bool {
	return apierrors.HasStatusCause(err, corev1.NamespaceTerminatingCause)
}
