package target

import (
	"context"
	"errors"
	"net"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"

	"github.com/maek-dev/maek/api/maek/v1alpha1"
	"github.com/maek-dev/maek/internal/operator/check/plan"
	"github.com/maek-dev/maek/internal/probe"
)

// runner runs commands in containers of a namespace, as far as the namespace lets the operator.
func (r *Resolver) runner(namespace string) (probe.Runner, error) {
	if r.o.Run == nil {
		return nil, plan.Refuse(v1alpha1.ReasonExecForbidden, "this operator runs no commands in containers; write httpGet, tcpSocket or grpc instead")
	}
	return grantedRunner{r: r, namespace: namespace}, nil
}

// grantedRunner tells what is no word about a container from what is.
type grantedRunner struct {
	r         *Resolver
	namespace string
}

// Run implements probe.Runner.
func (g grantedRunner) Run(ctx context.Context, target probe.Exec, timeout time.Duration) (output []byte, exitCode int, err error) {
	output, exitCode, err = g.r.o.Run.Run(ctx, target, timeout)
	switch {
	case err == nil, errors.Is(err, probe.ErrCommandTimedOut):
		return output, exitCode, err
	case apierrors.IsForbidden(err):
		return nil, 0, plan.Refuse(v1alpha1.ReasonExecForbidden, "namespace %s does not let commands be run in its containers; grant that: %s",
			g.namespace, g.r.grant("maek-check-exec", g.namespace))
	case notTheContainer(err):
		return nil, 0, &plan.Empty{Reason: v1alpha1.ReasonNotAsked, Message: "the API server did not run the command: " + err.Error()}
	default:
		return output, exitCode, err
	}
}

// notTheContainer tells errors of the way to a container, by which nobody has asked it.
func notTheContainer(err error) bool {
	if _, ok := errors.AsType[net.Error](err); ok {
		return true
	}
	return apierrors.IsTooManyRequests(err) || apierrors.IsServiceUnavailable(err) || apierrors.IsServerTimeout(err) ||
		apierrors.IsTimeout(err) || apierrors.IsUnauthorized(err)
}
