package pods

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"time"

	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/remotecommand"
	"k8s.io/client-go/util/exec"

	"github.com/maek-dev/maek/internal/probe"
)

// Slack is what a command may take longer here than on its node: the way through the API server, and
// setting the streams up.
const Slack = 2 * time.Second

// Commands runs commands in containers, as kubectl exec does, without input. A command that has not ended
// in time is left to itself: the API has no way to end it.
type Commands struct {
	// Config leads to the API server.
	Config *rest.Config
}

var _ probe.Runner = Commands{}

// Run implements [probe.Runner]. What a command prints beyond what the kubelet keeps is taken and dropped.
func (c Commands) Run(ctx context.Context, target probe.Exec, timeout time.Duration) ([]byte, int, error) {
	bounded, cancel := context.WithTimeout(quiet(ctx), timeout+Slack)
	defer cancel()
	executor, err := c.executor(target)
	if err != nil {
		return nil, 0, err
	}
	var output probe.Output
	// The streams may go on for a moment after they were given up, so the output is read only where they ended.
	err = executor.StreamWithContext(bounded, remotecommand.StreamOptions{Stdout: &output.Stdout, Stderr: &output.Stderr})
	ended, hasEnded := errors.AsType[exec.ExitError](err)
	switch {
	case err == nil:
		return output.Bytes(), 0, nil
	case hasEnded && ended.Exited():
		return output.Bytes(), ended.ExitStatus(), nil
	case ctx.Err() != nil:
		return nil, 0, ctx.Err()
	case errors.Is(bounded.Err(), context.DeadlineExceeded):
		return nil, 0, probe.ErrCommandTimedOut
	default:
		return nil, 0, cause(err)
	}
}

// executor speaks over a websocket, and where a server older than Kubernetes 1.29 has none for it, over
// SPDY.
func (c Commands) executor(target probe.Exec) (remotecommand.Executor, error) {
	base, _, err := rest.DefaultServerUrlFor(c.Config)
	if err != nil {
		return nil, fmt.Errorf("reading the server's address: %w", err)
	}
	at := base.JoinPath("api/v1/namespaces", target.Namespace, "pods", target.Pod, "exec")
	at.RawQuery = url.Values{
		"container": {target.Container}, "command": target.Command, "stdout": {"true"}, "stderr": {"true"},
	}.Encode()
	newer, err := remotecommand.NewWebSocketExecutor(c.Config, http.MethodGet, at.String())
	if err != nil {
		return nil, fmt.Errorf("preparing to run a command: %w", err)
	}
	older, err := remotecommand.NewSPDYExecutor(c.Config, http.MethodPost, at)
	if err != nil {
		return nil, fmt.Errorf("preparing to run a command: %w", err)
	}
	return remotecommand.NewFallbackExecutor(newer, older, lacksWebsockets)
}
