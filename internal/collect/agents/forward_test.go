package agents

import (
	"context"
	"errors"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/portforward"
	"k8s.io/streaming/pkg/httpstream"
	httpspdy "k8s.io/streaming/pkg/httpstream/spdy"
)

// forwarder is an API server that forwards ports over SPDY, as those before Kubernetes 1.30 do. Complaint,
// where it is not empty, is what the kubelet says instead of connecting.
func forwarder(t *testing.T, to dialer, complaint string) *rest.Config {
	t.Helper()
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Method != http.MethodPost || r.URL.Path != "/api/v1/namespaces/maek-system/pods/agent-w1/portforward" {
			http.Error(w, "no websockets here", http.StatusBadRequest)
			return
		}
		if _, err := httpstream.Handshake(r, w, []string{portforward.PortForwardProtocolV1Name}); err != nil {
			t.Error(err)
			return
		}
		streams := make(chan httpstream.Stream, 2)
		conn := httpspdy.NewResponseUpgrader().UpgradeResponse(w, r, func(s httpstream.Stream, _ <-chan struct{}) error {
			streams <- s
			return nil
		})
		if conn == nil {
			return
		}
		defer func() { _ = conn.Close() }()
		complaints, data := <-streams, <-streams
		if complaints.Headers().Get(corev1.StreamType) != corev1.StreamTypeError || data.Headers().Get(corev1.PortHeader) != "10270" {
			t.Errorf("streams with %v and %v", complaints.Headers(), data.Headers())
		}
		if complaint != "" {
			_, _ = io.WriteString(complaints, complaint)
			_ = complaints.Close()
			<-conn.CloseChan()
			return
		}
		agent, err := to(r.Context(), Agent{Node: "w1"})
		if err != nil {
			t.Error(err)
			return
		}
		defer func() { _ = agent.Close() }()
		go func() { _, _ = io.Copy(agent, data) }()
		_, _ = io.Copy(data, agent)
	}))
	t.Cleanup(server.Close)
	return &rest.Config{Host: server.URL}
}

func TestForward(t *testing.T) {
	f, list := agents(t, map[string]http.HandlerFunc{"w1": says(of(t, "w1"))})
	list[0].namespace, list[0].pod = "maek-system", "agent-w1"
	cfg := forwarder(t, f.dial, "")
	c := newCollector(cfg, nil, seen{agents: list, nodes: []string{"w1"}}, forward(cfg))
	c.run(t.Context())
	if r := c.result(); len(r.Reports) != 1 || len(r.Unreported) != 0 {
		t.Errorf("%d reports, unreported %v", len(r.Reports), r.Unreported)
	}
}

func TestTheKubeletsComplaintIsTold(t *testing.T) {
	_, list := agents(t, map[string]http.HandlerFunc{"w1": says("")})
	list[0].namespace, list[0].pod = "maek-system", "agent-w1"
	none := func(context.Context, Agent) (net.Conn, error) { return nil, errors.New("not dialed") }
	cfg := forwarder(t, none, "error forwarding port 10270 to pod: connection refused")
	c := newCollector(cfg, nil, seen{agents: list, nodes: []string{"w1"}}, forward(cfg))
	c.run(t.Context())
	if got := c.result().Unreported["w1"]; !strings.Contains(got, "connection refused") {
		t.Errorf("w1 did not report because: %q", got)
	}
}

// TestARightThatIsLacking holds that a user who may forward no port is told so once, and what it takes.
func TestARightThatIsLacking(t *testing.T) {
	var asked atomic.Int32
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if strings.HasSuffix(r.URL.Path, "/portforward") {
			asked.Add(1)
		}
		w.Header().Set("Content-Type", "application/json")
		w.WriteHeader(http.StatusForbidden)
		_, _ = io.WriteString(w, `{"kind":"Status","apiVersion":"v1","status":"Failure","reason":"Forbidden","code":403,"message":"pods \"agent-w1\" is forbidden"}`)
	}))
	t.Cleanup(server.Close)
	cfg := &rest.Config{Host: server.URL}
	list := []Agent{{Node: "w1", Key: "k", pod: "agent-w1", namespace: "maek-system", ready: true}, {Node: "w2", Key: "k", pod: "agent-w2", namespace: "maek-system", ready: true}}
	c := newCollector(cfg, nil, seen{agents: list, nodes: []string{"w1", "w2"}}, forward(cfg))
	c.run(t.Context())
	const want = "the agent of w1: its port may not be forwarded (forbidden: needs create on pods/portforward)"
	if got := c.result().Unreported; got["w1"] != want || got["w2"] != want || asked.Load() != 1 {
		t.Errorf("asked %d times, unreported %v", asked.Load(), got)
	}
}

// TestOnBehalfOfAnother holds that agents, which know nobody but the user, are then not asked.
func TestOnBehalfOfAnother(t *testing.T) {
	m := MemoryIn(t.TempDir(), &rest.Config{Host: "https://10.99.0.1:6443"})
	m.save(seen{nodes: []string{"w1"}, agents: []Agent{{Node: "w1", Key: "k"}}})
	b := snapshotOfDeadServer()
	r := Collect(t.Context(), &rest.Config{Impersonate: rest.ImpersonationConfig{UserName: "kim"}}, b, Options{Memory: m})
	if len(r.Asked) != 0 || !strings.Contains(r.Unreported["w1"], "--as") {
		t.Errorf("asked %v, unreported %v", r.Asked, r.Unreported)
	}
}

// TestWithoutAgentsNothingIsAsked holds that a cluster without agents costs nothing.
func TestWithoutAgentsNothingIsAsked(t *testing.T) {
	r := Collect(t.Context(), &rest.Config{Host: "https://127.0.0.1:1"}, snapshotOf(node("w1", "", corev1.ConditionTrue)), Options{})
	if r.Installed || !r.Looked || len(r.Unreported) != 0 {
		t.Errorf("%+v", r)
	}
	if r := Collect(t.Context(), &rest.Config{}, snapshotOfDeadServer(), Options{}); r.Installed || r.Looked {
		t.Errorf("of a server that does not answer, and no memory: %+v", r)
	}
}
