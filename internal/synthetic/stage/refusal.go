package stage

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/url"
	"strings"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
)

// refusal is an error of the API server with a text for people; errors.As finds the error itself.
type refusal struct {
	text  string
	cause error
}

func (r refusal) Error() string { return r.text }
func (r refusal) Unwrap() error { return r.cause }

// Refused words an error of a request in one sentence: who refuses it, and why.
func Refused(err error) error {
	if err == nil {
		return nil
	}
	if _, worded := errors.AsType[refusal](err); worded {
		return err
	}
	return refusal{text: wording(err), cause: err}
}

func wording(err error) string {
	message := strings.Join(strings.Fields(err.Error()), " ")
	switch {
	case errors.Is(err, context.DeadlineExceeded) && !isStatus(err):
		return "the API server did not answer in time"
	case errors.Is(err, context.Canceled):
		return "the run was stopped meanwhile"
	case apierrors.HasStatusCause(err, corev1.NamespaceTerminatingCause):
		return "the namespace is being deleted"
	case apierrors.IsForbidden(err):
		return forbidden(message)
	case !isStatus(err):
		return "the API server could not be reached: " + network(err)
	case strings.Contains(message, "failed calling webhook"):
		// https://github.com/kubernetes/kubernetes/blob/master/staging/src/k8s.io/apiserver/pkg/admission/plugin/webhook/errors/statuserror.go
		return "the API server could not ask an admission webhook, whose policy is to refuse then: " + message
	case strings.Contains(message, "admission webhook") && strings.Contains(message, "denied the request"):
		return "an admission webhook refuses it: " + message
	}
	return "the API server refuses it: " + message
}

// forbidden tells the four apart that answer 403. Their texts are in
// pkg/quota (plugin/pkg/admission/resourcequota/controller.go "exceeded quota"),
// staging/src/k8s.io/pod-security-admission ("violates PodSecurity") and
// staging/src/k8s.io/apiserver/pkg/endpoints/handlers/responsewriters/errors.go ("cannot create resource").
func forbidden(message string) string {
	switch {
	case strings.Contains(message, "exceeded quota"), strings.Contains(message, "failed quota"):
		return "a ResourceQuota of the namespace refuses it: " + message
	case strings.Contains(message, "violates PodSecurity"):
		return "the Pod Security level of the namespace refuses it: " + message
	case strings.Contains(message, " cannot "):
		return "RBAC does not allow it: " + message
	}
	return "admission refuses it: " + message
}

func isStatus(err error) bool {
	var status apierrors.APIStatus // no error by its methods, so AsType does not take it
	return errors.As(err, &status)
}

// network leaves out the address of the request, which says nothing new.
func network(err error) string {
	if u, ok := errors.AsType[*url.Error](err); ok {
		err = u.Err
	}
	if o, ok := errors.AsType[*net.OpError](err); ok {
		return fmt.Sprintf("%s %v: %v", o.Op, o.Addr, o.Err)
	}
	return strings.Join(strings.Fields(err.Error()), " ")
}

// transient tells that the same request may succeed a moment later.
func transient(err error) bool {
	if !isStatus(err) {
		return true // The network's. Whoever asks has seen that the run goes on.
	}
	return apierrors.IsServerTimeout(err) || apierrors.IsTimeout(err) || apierrors.IsTooManyRequests(err) ||
		apierrors.IsInternalError(err) || apierrors.IsServiceUnavailable(err)
}

// Stopped tells that waiting ended because the run was stopped, and not because its time was over.
func Stopped(err error) bool { return errors.Is(err, context.Canceled) }

// Denied tells that something that is needed may not be read.
func Denied(err error) bool { return apierrors.IsForbidden(err) }

// Refusal is the part of an error of Stage that says who refuses, and why, without the object that was
// to be made.
func Refusal(err error) string {
	if r, ok := errors.AsType[refusal](err); ok {
		return r.text
	}
	return err.Error()
}

// NotAllowed tells that RBAC refuses, and not admission.
func NotAllowed(err error) bool {
	return apierrors.IsForbidden(err) && strings.Contains(err.Error(), " cannot ")
}
