package live

import (
	"context"
	"errors"
	"net/http"
	"slices"
	"strings"

	apierrors "k8s.io/apimachinery/pkg/api/errors"

	"github.com/maek-dev/maek/internal/snapshot"
)

// A log travels kubelet -> API server -> here, and an error can be of either. The API server passes
// on what its own dialing said ("dial tcp 10.0.0.1:10250: connect: connection refused") as plain
// text, and nothing but the text tells it from other errors.

// answerTo says what an error of asking for a log means, in one word and in the server's own.
func answerTo(err error) (snapshot.Outcome, string) {
	said := words(err)
	status := 0
	if failed, ok := errors.AsType[*apierrors.StatusError](err); ok {
		status = int(failed.ErrStatus.Code)
	}
	switch {
	case errors.Is(err, context.DeadlineExceeded):
		return snapshot.TimedOut, "no answer in time"
	case status == 0:
		// No answer at all: it is the API server that is gone, and that says nothing about a node.
		return snapshot.Errored, said
	case status == http.StatusForbidden, status == http.StatusUnauthorized:
		return snapshot.Denied, said
	case status == http.StatusNotFound, status == http.StatusBadRequest:
		// The pod is gone, or its container has not started, or has no previous run: the log that was
		// asked for does not exist.
		return snapshot.Absent, said
	case containsAny(said, "connection refused"):
		return snapshot.Refused, said
	case containsAny(said, "i/o timeout", "no route to host", "network is unreachable", "context deadline exceeded", "connection timed out", "TLS handshake timeout"):
		return snapshot.TimedOut, said
	default:
		return snapshot.Errored, said
	}
}

// apiServerOnly are the API server's own words for a log request that it does not send on
// (k8s.io/kubernetes/pkg/registry/core/pod, LogLocation).
var apiServerOnly = []string{"a container name must be specified", "is not valid for pod", "does not have a host assigned"}

// fromKubelet tells whether an error is the kubelet's answer, so that the API server did reach it.
// The kubelet's statuses come under the resource "pods/log" where the API server's own come under
// "pods"; its 400 and 500 come with its words alone (k8s.io/apiserver/pkg/registry/generic/rest,
// GenericHttpResponseChecker). A TLS error is of a connection that opened.
func fromKubelet(err error) bool {
	failed, ok := errors.AsType[*apierrors.StatusError](err)
	if !ok {
		return false
	}
	status := failed.ErrStatus
	switch status.Code {
	case http.StatusBadRequest:
		return !containsAny(status.Message, apiServerOnly...)
	case http.StatusInternalServerError:
		return !strings.Contains(status.Message, "dial ") &&
			(strings.HasPrefix(status.Message, "Internal error occurred: ") || containsAny(status.Message, "tls: ", "x509: "))
	default:
		return status.Details != nil && status.Details.Kind == "pods/log"
	}
}

func containsAny(s string, parts ...string) bool {
	return slices.ContainsFunc(parts, func(part string) bool { return strings.Contains(s, part) })
}
