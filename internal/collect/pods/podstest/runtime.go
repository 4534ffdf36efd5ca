// Package podstest plays, for tests, the container runtime behind a kubelet: the streaming server of the real
// ones (k8s.io/cri-streaming), with commands and ports that a test chooses.
package podstest

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"testing"

	utilexec "k8s.io/client-go/util/exec"
	runtimeapi "k8s.io/cri-api/pkg/apis/runtime/v1"
	"k8s.io/cri-streaming/pkg/streaming"
	"k8s.io/cri-streaming/pkg/streaming/remotecommand"
)

// Program is what a container can execute. An exit code other than 0 is a utilexec.CodeExitError.
type Program func(container string, args []string, out, errOut io.Writer) error

// Options say what is in the pods of a Runtime; all have the same.
type Options struct {
	// Programs by name. Beside them every container has flood, which writes 10 MiB and exits with 3, and hang, which
	// ends with whoever asked for it.
	Programs map[string]Program
	// Ports lead to these addresses; on others nothing listens. It is read when a connection is made.
	Ports map[int32]string
}

// FloodExitCode is that of the program flood.
const FloodExitCode = 3

// Runtime is the streaming server of a container runtime.
type Runtime struct{ streams streaming.Server }

// New makes a runtime.
func New(t testing.TB, o Options) *Runtime {
	t.Helper()
	config := streaming.DefaultConfig
	config.Addr = "localhost:12345" // only the path of what it makes of this is used
	server, err := streaming.NewServer(config, inside{o})
	if err != nil {
		t.Fatalf("making a streaming server: %v", err)
	}
	return &Runtime{streams: server}
}

// Exec answers a request to run a command, which is in its query as for a kubelet, in a container.
func (r *Runtime) Exec(w http.ResponseWriter, request *http.Request, container string) {
	answer, err := r.streams.GetExec(&runtimeapi.ExecRequest{ContainerId: container, Cmd: request.URL.Query()["command"], Stdout: true, Stderr: true})
	r.stream(w, request, answer.GetUrl(), err)
}

// PortForward answers a request to reach the ports of a pod.
func (r *Runtime) PortForward(w http.ResponseWriter, request *http.Request, pod string) {
	answer, err := r.streams.GetPortForward(&runtimeapi.PortForwardRequest{PodSandboxId: pod})
	r.stream(w, request, answer.GetUrl(), err)
}

// stream passes a request on to where the streaming server waits for it.
func (r *Runtime) stream(w http.ResponseWriter, request *http.Request, at string, err error) {
	to, parseErr := url.Parse(at)
	if err := errors.Join(err, parseErr); err != nil {
		http.Error(w, err.Error(), http.StatusInternalServerError)
		return
	}
	request.URL.Path = to.Path
	r.streams.ServeHTTP(w, request)
}

// inside is what a Runtime's server finds in pods.
type inside struct{ Options }

// Exec implements streaming.Runtime.
func (i inside) Exec(ctx context.Context, container string, command []string, _ io.Reader, out, errOut io.WriteCloser, _ bool, _ <-chan remotecommand.TerminalSize) error {
	name := command[0]
	if program, ok := i.Programs[name]; ok {
		return program(container, command[1:], out, errOut)
	}
	switch name {
	case "flood":
		block := bytes.Repeat([]byte("no"), 64<<10)
		for range 80 {
			if _, err := out.Write(block); err != nil {
				return err
			}
		}
		return utilexec.CodeExitError{Err: fmt.Errorf("exit status %d", FloodExitCode), Code: FloodExitCode}
	case "hang":
		<-ctx.Done()
		return ctx.Err()
	}
	// These are runc's words.
	return fmt.Errorf("OCI runtime exec failed: exec failed: unable to start container process: exec: %q: executable file not found in $PATH: unknown", name)
}

// Attach implements streaming.Runtime.
func (inside) Attach(context.Context, string, io.Reader, io.WriteCloser, io.WriteCloser, bool, <-chan remotecommand.TerminalSize) error {
	return errors.New("nothing to attach to")
}

// PortForward implements streaming.Runtime.
func (i inside) PortForward(ctx context.Context, _ string, port int32, stream io.ReadWriteCloser) error {
	address, ok := i.Ports[port]
	if !ok {
		// These are containerd's words.
		return fmt.Errorf("failed to execute portforward in network namespace %q: failed to connect to localhost:%d inside namespace %q, IPv4: dial tcp4 127.0.0.1:%d: connect: connection refused",
			"/var/run/netns/cni-1", port, "id", port)
	}
	conn, err := new(net.Dialer).DialContext(ctx, "tcp", address)
	if err != nil {
		return err
	}
	// What is said to a program that has ended is lost: whoever asks learns from the end of this that it has.
	go func() {
		_, _ = io.Copy(conn, stream)
		_ = conn.Close()
	}()
	_, err = io.Copy(stream, conn)
	_ = conn.Close()
	return err
}
