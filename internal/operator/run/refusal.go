package run

import (
	"errors"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
)

// outdated tells that a request was made in view of something that has changed since.
func outdated(err error) bool {
	return apierrors.IsConflict(err) || apierrors.IsAlreadyExists(err) || apierrors.IsNotFound(err)
}

// unanswered tells that the API server did not answer, or could not: nothing is known of whether the
// request was carried out.
func unanswered(err error) bool {
	var status apierrors.APIStatus
	if !errors.As(err, &status) {
		return true
	}
	return apierrors.IsServerTimeout(err) || apierrors.IsTimeout(err) || apierrors.IsServiceUnavailable(err) ||
		apierrors.IsTooManyRequests(err) || apierrors.IsInternalError(err) || apierrors.IsUnexpectedServerError(err)
}

// terminating tells that nothing can be made any more in a namespace (kubernetes:
// plugin/pkg/admission/namespace/lifecycle).
func terminating(err error) bool {
	return apierrors.HasStatusCause(err, corev1.NamespaceTerminatingCause)
}

// refused tells that the API server did not take a pod, and will not while nobody changes something.
func refused(err error) bool {
	return !unanswered(err) && !outdated(err) && !terminating(err)
}
