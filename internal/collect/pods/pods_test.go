package pods

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/client-go/rest"

	"github.com/maek-dev/maek/internal/collect/pods/podstest"
	"github.com/maek-dev/maek/internal/probe"
)

// serve starts a node at the addresses at which API servers have its doors. It knows no websockets for ports, as API
// servers before Kubernetes 1.30.
func serve(t *testing.T, ports map[int32]string) *rest.Config {
	t.Helper()
	say := func(container string, args []string, out, errOut io.Writer) error {
		_, _ = fmt.Fprintf(out, "%s in %s", strings.Join(args, "|"), container)
		_, _ = io.WriteString(errOut, " and this")
		return nil
	}
	node := podstest.New(t, podstest.Options{Programs: map[string]podstest.Program{"say": say}, Ports: ports})
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		switch path := r.URL.Path; {
		case strings.Contains(path, "/pods/forbidden/"):
			w.Header().Set("Content-Type", "application/json")
			w.WriteHeader(http.StatusForbidden)
			_, _ = io.WriteString(w, `{"kind":"Status","apiVersion":"v1","status":"Failure","reason":"Forbidden","code":403,"message":"no"}`)
		case strings.HasSuffix(path, "/exec"):
			node.Exec(w, r, r.URL.Query().Get("container"))
		case strings.HasSuffix(path, "/portforward"):
			node.PortForward(w, r, "web")
		default:
			http.NotFound(w, r)
		}
	}))
	t.Cleanup(server.Close)
	return &rest.Config{Host: server.URL}
}

func TestCommands(t *testing.T) {
	c := Commands{Config: serve(t, nil)}
	in := func(pod string, command ...string) probe.Exec {
		return probe.Exec{Namespace: "shop", Pod: pod, Container: "app", Command: command}
	}
	output, code, err := c.Run(t.Context(), in("web", "say", "two words", "$(x)"), time.Minute)
	if string(output) != "two words|$(x) in app and this" || code != 0 || err != nil {
		t.Errorf("says %q, %d, %v", output, code, err)
	}
	output, code, err = c.Run(t.Context(), in("web", "flood"), time.Minute)
	if len(output) != probe.KubeletBodyLimit || code != podstest.FloodExitCode || err != nil {
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
	cfg := serve(t, map[int32]string{8080: web.Listener.Addr().String()})
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
