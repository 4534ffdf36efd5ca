package kubelet_test

import (
	"context"
	"fmt"
	"io"
	"strings"
	"testing"
	"time"

	ours "github.com/maek-dev/maek/internal/probe"
	"github.com/maek-dev/maek/internal/probe/probetest"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/util/intstr"
	remote "k8s.io/cri-client/pkg"
	execprobe "k8s.io/kubernetes/pkg/probe/exec"
	grpcprobe "k8s.io/kubernetes/pkg/probe/grpc"
	tcpprobe "k8s.io/kubernetes/pkg/probe/tcp"
	"k8s.io/utils/exec"
)

func TestTCP(t *testing.T) {
	t.Parallel()
	all := newAgreement(t, "TCP servers")
	prober := ours.New(ours.Options{Now: wallClock})
	for name, tc := range probetest.TCP() {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			port := tc.Start(t)
			timeout := probetest.HTTPCase{}.Timeout()
			theirs := verdictOf(tcpprobe.New().Probe("127.0.0.1", port, timeout))
			spec := &corev1.Probe{ProbeHandler: corev1.ProbeHandler{TCPSocket: &corev1.TCPSocketAction{Port: intstr.FromInt(port)}}}
			outcome := prober.Probe(t.Context(), ours.Resolve(spec, site()), timeout)
			all.compare(t, "TCP: "+name, theirs, outcome.Kubelet, func(message string) string { return probetest.Normal(message, port) })
		})
	}
}

func TestGRPC(t *testing.T) {
	t.Parallel()
	all := newAgreement(t, "gRPC servers")
	prober := ours.New(ours.Options{Now: wallClock})
	for name, tc := range probetest.GRPC() {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			port := tc.Start(t)
			theirs := verdictOf(grpcprobe.New().Probe("127.0.0.1", tc.Service, port, tc.Timeout()))
			spec := &corev1.Probe{ProbeHandler: corev1.ProbeHandler{GRPC: &corev1.GRPCAction{Port: int32(port), Service: &tc.Service}}}
			outcome := prober.Probe(t.Context(), ours.Resolve(spec, site()), tc.Timeout())
			all.compare(t, "gRPC: "+name, theirs, outcome.Kubelet, func(message string) string { return probetest.Normal(message, port) })
		})
	}
}

func TestExec(t *testing.T) {
	t.Parallel()
	all := newAgreement(t, "commands")
	for name, tc := range probetest.Exec() {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			theirs := verdictOf(execprobe.New().Probe(&runtimeCommand{of: tc}))
			spec := &corev1.Probe{ProbeHandler: corev1.ProbeHandler{Exec: &corev1.ExecAction{Command: tc.Command}}}
			prober := ours.New(ours.Options{Now: wallClock, Run: runner(tc)})
			outcome := prober.Probe(t.Context(), ours.Resolve(spec, site()), time.Second)
			all.compare(t, "exec: "+name, theirs, outcome.Kubelet, asItIs)
		})
	}
}

// runner runs a command as a case says, for our prober.
type runner probetest.ExecCase

func (r runner) Run(context.Context, ours.Exec, time.Duration) (output []byte, exitCode int, err error) {
	if r.TimedOut {
		return []byte(r.Output), 0, ours.ErrCommandTimedOut
	}
	return []byte(r.Output), r.ExitCode, r.Err
}

// runtimeCommand does so for the kubelet's, with the errors that its client of the container
// runtime makes (remote_runtime.go of k8s.io/cri-client). Of the interface, the prober uses only
// what is here.
type runtimeCommand struct {
	exec.Cmd

	of     probetest.ExecCase
	writer io.Writer
}

func (c *runtimeCommand) SetStdout(out io.Writer) { c.writer = out }
func (c *runtimeCommand) SetStderr(out io.Writer) { c.writer = out }

func (c *runtimeCommand) Start() error {
	// The kubelet, too, only logs that its writer takes no more.
	_, _ = c.writer.Write([]byte(c.of.Output))
	return runtimeError(c.of, time.Second)
}

func (c *runtimeCommand) Wait() error { return nil }

func runtimeError(tc probetest.ExecCase, timeout time.Duration) error {
	command := strings.Join(tc.Command, " ")
	switch {
	case tc.TimedOut:
		return fmt.Errorf("%w: %q timed out after %s", remote.ErrCommandTimedOut, command, timeout)
	case tc.Err != nil:
		return tc.Err
	case tc.ExitCode != 0:
		return exec.CodeExitError{Err: fmt.Errorf("command '%s' exited with %d", command, tc.ExitCode), Code: tc.ExitCode}
	default:
		return nil
	}
}
