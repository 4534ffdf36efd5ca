package pods

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/client-go/rest"
	utilexec "k8s.io/client-go/util/exec"
	runtimeapi "k8s.io/cri-api/pkg/apis/runtime/v1"
	"k8s.io/cri-streaming/pkg/streaming"
	"k8s.io/cri-streaming/pkg/streaming/remotecommand"

	"github.com/maek-dev/maek/internal/probe"
)

// node is a container runtime with its own streaming server, at the addresses at which API servers have its doors. It
// knows no websockets for ports, as API servers before Kubernetes 1.30.
type node struct {
	streaming.Server

	// behind every port but 1 is this address.
	behind string
}

func (n *node) start(t *testing.T) *rest.Config {
	t.Helper()
	config := streaming.DefaultConfig
	config.Addr = "localhost:12345" // only the path of what it makes of this is used
	var err error
	if n.Server, err = streaming.NewServer(config, n); err != nil {
		t.Fatal(err)
	}
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		var at string
		switch path := r.URL.Path; {
		case strings.Contains(path, "/pods/forbidden/"):
			w.Header().Set("Content-Type", "application/json")
			w.WriteHeader(http.StatusForbidden)
			_, _ = io.WriteString(w, `{"kind":"Status","apiVersion":"v1","status":"Failure","reason":"Forbidden","code":403,"message":"no"}`)
			return
		case strings.HasSuffix(path, "/exec"):
			if answer, err := n.GetExec(&runtimeapi.ExecRequest{ContainerId: r.URL.Query().Get("container"), Cmd: r.URL.Query()["command"], Stdout: true, Stderr: true}); err == nil {
				at = answer.Url
			}
		case strings.HasSuffix(path, "/portforward"):
			if answer, err := n.GetPortForward(&runtimeapi.PortForwardRequest{PodSandboxId: "web"}); err == nil {
				at = answer.Url
			}
		}
		to, err := url.Parse(at)
		if err != nil || at == "" {
			http.NotFound(w, r)
			return
		}
		r.URL.Path = to.Path
		n.ServeHTTP(w, r)
	}))
	t.Cleanup(server.Close)
	return &rest.Config{Host: server.URL}
}

// Exec implements streaming.Runtime.
func (n *node) Exec(ctx context.Context, container string, command []string, _ io.Reader, out, errOut io.WriteCloser, _ bool, _ <-chan remotecommand.TerminalSize) error {
	switch command[0] {
	case "say":
		_, _ = fmt.Fprintf(out, "%s in %s", strings.Join(command[1:], "|"), container)
		_, _ = io.WriteString(errOut, " and this")
		return nil
	case "flood":
		block := bytes.Repeat([]byte("no"), 32<<10)
		for range 160 {
			if _, err := out.Write(block); err != nil {
				return err
			}
		}
		return utilexec.CodeExitError{Err: errors.New("exit status 3"), Code: 3}
	case "hang":
		<-ctx.Done()
		return ctx.Err()
	default:
		return fmt.Errorf("exec: %q: executable file not found in $PATH: unknown", command[0])
	}
}

// Attach implements streaming.Runtime.
func (n *node) Attach(context.Context, string, io.Reader, io.WriteCloser, io.WriteCloser, bool, <-chan remotecommand.TerminalSize) error {
	return errors.New("nothing to attach to")
}

// PortForward implements streaming.Runtime.
func (n *node) PortForward(ctx context.Context, _ string, port int32, stream io.ReadWriteCloser) error {
	if port == 1 {
		return errors.New("dial tcp4 127.0.0.1:1: connect: connection refused")
	}
	conn, err := new(net.Dialer).DialContext(ctx, "tcp", n.behind)
	if err != nil {
		return err
	}
	go func() {
		_, _ = io.Copy(conn, stream)
		_ = conn.Close()
	}()
	_, err = io.Copy(stream, conn)
	return err
}

func TestCommands(t *testing.T) {
	c := Commands{Config: (&node{}).start(t)}
	in := func(pod string, command ...string) probe.Exec {
		return probe.Exec{Namespace: "shop", Pod: pod, Container: "app", Command: command}
	}
	output, code, err := c.Run(t.Context(), in("web", "say", "two words", "$(x)"), time.Minute)
	if string(output) != "two words|$(x) in app and this" || code != 0 || err != nil {
		t.Errorf("says %q, %d, %v", output, code, err)
	}
	output, code, err = c.Run(t.Context(), in("web", "flood"), time.Minute)
	if len(output) != probe.KubeletBodyLimit || code != 3 || err != nil {
		t.Errorf("10 MB end as %d bytes, %d, %v", len(output), code, err)
	}
	if _, _, err = c.Run(t.Context(), in("web", "curl"), time.Minute); err == nil || !strings.Contains(err.Error(), "executable file not found") {
		t.Errorf("a command that is not there: %v", err)
	}
	if _, _, err = c.Run(t.Context(), in("web", "hang"), time.Second-Slack); !errors.Is(err, probe.ErrCommandTimedOut) {
		t.Errorf("a command that hangs: %v", err)
	}
	if _, _, err = c.Run(t.Context(), in("forbidden", "say"), time.Minute); !apierrors.IsForbidden(err) {
		t.Errorf("without the right: %v", err)
	}
	ended, cancel := context.WithCancel(t.Context())
	cancel()
	if _, _, err = c.Run(ended, in("web", "hang"), time.Minute); !errors.Is(err, context.Canceled) {
		t.Errorf("interrupted: %v", err)
	}
}

// TestManyConnectionsThroughOneTunnel holds also that one which cannot be made leaves the others alone.
func TestManyConnectionsThroughOneTunnel(t *testing.T) {
	web := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, "hello") }))
	t.Cleanup(web.Close)
	cfg := (&node{behind: web.Listener.Addr().String()}).start(t)
	tunnel, err := Open(t.Context(), cfg, "shop", "web")
	if err != nil {
		t.Fatal(err)
	}
	defer tunnel.Close()
	refused, err := tunnel.Dial(t.Context(), 1)
	if err != nil {
		t.Fatal(err)
	}
	if err := refused.Settled(t.Context(), nil); err == nil || !strings.Contains(err.Error(), "connection refused") {
		t.Errorf("nothing listens, and it says %v", err)
	}
	if _, err := refused.Read(make([]byte, 1)); err == nil || !strings.Contains(err.Error(), "connection refused") {
		t.Errorf("nothing listens, and reading says %v", err)
	}
	_ = refused.Close()
	for range 3 {
		conn, err := tunnel.Dial(t.Context(), 8080)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := io.WriteString(conn, "GET / HTTP/1.0\r\n\r\n"); err != nil {
			t.Fatal(err)
		}
		if answer, err := io.ReadAll(conn); err != nil || !strings.HasSuffix(string(answer), "hello") {
			t.Errorf("answered %q, %v", answer, err)
		}
		_ = conn.Close()
	}
	ended, cancel := context.WithCancel(t.Context())
	conn, err := tunnel.Dial(ended, 8080)
	if err != nil {
		t.Fatal(err)
	}
	cancel()
	// It would wait for ever if the connection outlived its context, and a cut answer that ended well would be taken for whole.
	if answer, err := io.ReadAll(conn); len(answer) > 0 || err == nil {
		t.Errorf("a connection whose context is over gave %q, %v", answer, err)
	}
	if _, err := Open(t.Context(), cfg, "shop", "forbidden"); !apierrors.IsForbidden(err) {
		t.Errorf("without the right: %v", err)
	}
}
