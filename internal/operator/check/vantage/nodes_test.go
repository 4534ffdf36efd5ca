package vantage

import (
	"context"
	"crypto/sha256"
	"crypto/tls"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"net/url"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/utils/clock"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/maek-dev/maek/internal/collect/agents"
	"github.com/maek-dev/maek/internal/monitor"
	"github.com/maek-dev/maek/internal/operator/check/plan"
	"github.com/maek-dev/maek/internal/probe"
	"github.com/maek-dev/maek/internal/probe/remote"
)

// cluster has nodes with agents on this machine: one address of loopback each, at one port.
type cluster struct {
	nodes []corev1.Node
	pods  []corev1.Pod
	port  uint16

	mu sync.Mutex
	// connections and requests that agents were given, by node, and tokens that they were shown.
	connections, requests map[string]int
	tokens                []string
	lists                 int
	failing               error
}

// List implements client.Reader with what a cache holds.
func (c *cluster) List(_ context.Context, into client.ObjectList, options ...client.ListOption) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.lists++
	if c.failing != nil {
		return c.failing
	}
	var o client.ListOptions
	o.ApplyOptions(options)
	switch list := into.(type) {
	case *corev1.NodeList:
		list.Items = c.nodes
	case *corev1.PodList:
		for _, p := range c.pods {
			if o.LabelSelector.Matches(labelsOf(p)) {
				list.Items = append(list.Items, p)
			}
		}
	}
	return nil
}

// Get implements client.Reader; nobody gets anything.
func (c *cluster) Get(context.Context, client.ObjectKey, client.Object, ...client.GetOption) error {
	return errors.New("nothing is got by name")
}

type labelsOf corev1.Pod

func (l labelsOf) Has(label string) bool              { _, ok := l.Labels[label]; return ok }
func (l labelsOf) Get(label string) string            { return l.Labels[label] }
func (l labelsOf) Lookup(label string) (string, bool) { v, ok := l.Labels[label]; return v, ok }

func newCluster() *cluster {
	return &cluster{connections: map[string]int{}, requests: map[string]int{}}
}

// join adds a node whose agent answers by h.
func (c *cluster) join(t *testing.T, name string, h http.HandlerFunc) {
	t.Helper()
	address := fmt.Sprintf("127.0.0.%d", len(c.nodes)+2)
	l, err := (&net.ListenConfig{}).Listen(t.Context(), "tcp", fmt.Sprintf("%s:%d", address, c.port))
	if err != nil {
		t.Fatal(err)
	}
	c.port = netip.MustParseAddrPort(l.Addr().String()).Port()
	s := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		c.mu.Lock()
		c.requests[name]++
		c.tokens = append(c.tokens, r.Header.Get("Authorization"))
		c.mu.Unlock()
		if r.Method != http.MethodPost || r.URL.Path != monitor.ProbePath {
			t.Errorf("%s %s", r.Method, r.URL)
		}
		h(w, r)
	}))
	_ = s.Listener.Close()
	s.Listener = l
	s.EnableHTTP2 = true
	s.Config.ErrorLog = log.New(io.Discard, "", 0)
	s.Config.ConnState = func(_ net.Conn, state http.ConnState) {
		if state == http.StateNew {
			c.mu.Lock()
			defer c.mu.Unlock()
			c.connections[name]++
		}
	}
	s.StartTLS()
	t.Cleanup(s.Close)
	sum := sha256.Sum256(s.Certificate().RawSubjectPublicKeyInfo)
	c.add(name, address, "sha256:"+hex.EncodeToString(sum[:]), corev1.ConditionTrue)
	c.pods = append(c.pods, corev1.Pod{ObjectMeta: metav1.ObjectMeta{Labels: agents.Labels()}, Spec: corev1.PodSpec{NodeName: name, HostNetwork: true}})
}

// add adds a node.
func (c *cluster) add(name, address, key string, ready corev1.ConditionStatus) {
	c.nodes = append(c.nodes, corev1.Node{
		ObjectMeta: metav1.ObjectMeta{Name: name, Annotations: map[string]string{monitor.KeyAnnotation: key}},
		Status: corev1.NodeStatus{
			Addresses:  []corev1.NodeAddress{{Type: corev1.NodeHostName, Address: name}, {Type: corev1.NodeInternalIP, Address: address}},
			Conditions: []corev1.NodeCondition{{Type: corev1.NodeReady, Status: ready}},
		},
	})
}

func (c *cluster) newNodes(t *testing.T) *Nodes {
	t.Helper()
	n := NewNodes(NodesOptions{Reader: c, Token: func() (string, error) { return "narrow", nil }, Port: c.port, Now: clock.RealClock{}.Now})
	t.Cleanup(n.Close)
	return n
}

// agent answers as that of a node, each probe by f.
func agent(t *testing.T, node string, f func(remote.Probe) remote.Answer) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		request, err := remote.DecodeRequest(r.Body)
		if err != nil {
			t.Error(err)
			http.Error(w, err.Error(), http.StatusBadRequest)
			return
		}
		out := json.NewEncoder(w)
		_ = out.Encode(remote.Head{APIVersion: remote.Version, Node: node})
		// The last comes first.
		for i, p := range slices.Backward(request.Probes) {
			a := f(p)
			a.Index = i
			_ = out.Encode(a)
		}
	}
}

// begin begins an answer.
func begin(w http.ResponseWriter) {
	_, _ = io.WriteString(w, `{"apiVersion":"`+remote.Version+`","node":"w1"}`+"\n")
	_ = http.NewResponseController(w).Flush()
}

func answering(message string) func(remote.Probe) remote.Answer {
	return func(p remote.Probe) remote.Answer {
		return remote.Answer{Outcome: new(remote.FromOutcome(probe.Outcome{
			Kubelet: probe.Verdict{Result: probe.Success, Message: message}, Strict: probe.Verdict{Result: probe.Success, Message: message + " " + p.Addresses[0]},
		}))}
	}
}

func tcp(name, at string) plan.Question {
	return plan.Question{Name: name, Probe: probe.TCP{Address: at}, Addresses: []string{at}}
}

// told are answers as tests compare them.
func told(answers []plan.Answer) []string {
	var out []string
	for _, a := range answers {
		text := a.Outcome.Strict.Message
		if a.Unasked != nil {
			text = "unasked: " + a.Unasked.Error()
		}
		out = append(out, a.Name+" from "+a.From+": "+text)
	}
	return out
}

func TestEveryNodeWithAnAgentIsAsked(t *testing.T) {
	c := newCluster()
	c.join(t, "w3", agent(t, "w3", answering("well")))
	c.join(t, "w1", agent(t, "w1", answering("well")))
	c.add("bare", "127.0.0.200", "", corev1.ConditionTrue)
	// Somebody labels a pod of his as an agent's.
	c.add("posing", "127.0.0.201", "", corev1.ConditionTrue)
	c.pods = append(c.pods, corev1.Pod{ObjectMeta: metav1.ObjectMeta{Labels: agents.Labels()}, Spec: corev1.PodSpec{NodeName: "posing"}})
	got := told(askNodes(t.Context(), c.newNodes(t), []plan.Question{tcp("b", "10.0.0.2:80"), tcp("a", "10.0.0.1:80")}, time.Minute))
	want := []string{
		"b from w1: well 10.0.0.2:80", "a from w1: well 10.0.0.1:80", "b from w3: well 10.0.0.2:80", "a from w3: well 10.0.0.1:80",
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

// TestWhatIsWrongWithAgentsIsNoFailure has each agent be wrong in another way.
func TestWhatIsWrongWithAgentsIsNoFailure(t *testing.T) {
	status := func(code int, text string) http.HandlerFunc {
		return func(w http.ResponseWriter, _ *http.Request) { http.Error(w, text, code) }
	}
	for name, tc := range map[string]struct {
		answer http.HandlerFunc
		change func(*corev1.Node)
		want   string
	}{
		"of an older version": {status(http.StatusNotFound, "404 page not found"), nil, "its agent is of an older version"},
		"without the right":   {status(http.StatusForbidden, "you may not"), nil, "it answers 403 Forbidden: you may not"},
		"busy":                {status(http.StatusTooManyRequests, "ask again"), nil, "it answers 429 Too Many Requests"},
		"of another node":     {agent(t, "w2", answering("well")), nil, `its agent answers as node "w2"`},
		"breaking off": {func(w http.ResponseWriter, _ *http.Request) {
			begin(w)
			panic(http.ErrAbortHandler)
		}, nil, "the agent of w1: "},
		"rubbish":                {func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, "<html>") }, nil, "invalid character"},
		"refusing":               {agent(t, "w1", func(remote.Probe) remote.Answer { return remote.Answer{Unasked: "agents do not ask this address"} }), nil, "the agent of w1 did not ask: agents do not ask this address"},
		"a verdict that is none": {agent(t, "w1", func(remote.Probe) remote.Answer { return remote.Answer{Outcome: &remote.Outcome{}} }), nil, "which is none"},
		"a redirect": {func(w http.ResponseWriter, r *http.Request) {
			http.Redirect(w, r, "https://127.0.0.1:1/", http.StatusTemporaryRedirect)
		}, nil, "it answers 307"},
		"on a node that is not ready": {nil, func(n *corev1.Node) { n.Status.Conditions[0].Status = corev1.ConditionUnknown }, "node w1 is not ready"},
		"without a key":               {nil, func(n *corev1.Node) { n.Annotations = nil }, "has not published its key yet"},
		"with another key":            {nil, func(n *corev1.Node) { n.Annotations[monitor.KeyAnnotation] = "sha256:0" }, "another key than the Node names"},
		"without an address":          {nil, func(n *corev1.Node) { n.Status.Addresses = nil }, "no internal address"},
		"at a dead address":           {nil, func(n *corev1.Node) { n.Status.Addresses[1].Address = "127.0.0.250" }, "connection refused"},
	} {
		t.Run(name, func(t *testing.T) {
			c := newCluster()
			answer := tc.answer
			if answer == nil {
				answer = agent(t, "w1", answering("well"))
			}
			c.join(t, "w1", answer)
			if tc.change != nil {
				tc.change(&c.nodes[0])
			}
			answers := askNodes(t.Context(), c.newNodes(t), []plan.Question{tcp("a", "10.0.0.1:80"), tcp("b", "10.0.0.1:80")}, time.Minute)
			if len(answers) != 2 {
				t.Fatalf("%q", told(answers))
			}
			for _, a := range answers {
				if a.Unasked == nil || !strings.Contains(a.Unasked.Error(), tc.want) || a.From != "w1" || a.Outcome.Strict.Result != "" {
					t.Errorf("%q, want %q", told([]plan.Answer{a}), tc.want)
				}
				if _, refusal := errors.AsType[*plan.Refusal](a.Unasked); refusal {
					t.Errorf("%v is a refusal", a.Unasked)
				}
			}
		})
	}
}

func TestWhatNobodyCanAskFromNodesIsRefused(t *testing.T) {
	c := newCluster()
	c.join(t, "w1", agent(t, "w1", answering("well")))
	at := &url.URL{Scheme: "https", Host: "10.0.0.1:443"}
	own := plan.Question{Name: "own", Probe: probe.HTTP{URL: at}, Addresses: []string{"10.0.0.1:443"}, Options: probe.Options{TLS: &tls.Config{Certificates: []tls.Certificate{{}}}}}
	outside := plan.Question{Name: "outside", Probe: probe.TCP{Address: "api.example.com:443"}}
	command := plan.Question{Name: "command", Probe: probe.Exec{}}
	answers := askNodes(t.Context(), c.newNodes(t), []plan.Question{own, tcp("a", "10.0.0.1:80"), outside, command}, time.Minute)
	want := []string{
		"own from : unasked: own cannot be asked from nodes: tls.clientCertificate stays with the operator, for its key is not given to other machines; write from: operator",
		"outside from : unasked: outside cannot be asked from nodes: agents look up no names outside the cluster; write from: operator",
		"command from : unasked: command cannot be asked from nodes: commands are run in containers, and not from machines; write from: operator",
		"a from w1: well 10.0.0.1:80",
	}
	if diff := cmp.Diff(want, told(answers)); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	for _, a := range answers[:3] {
		if refusal, ok := errors.AsType[*plan.Refusal](a.Unasked); !ok || refusal.Reason != ReasonNotFromNodes {
			t.Errorf("%v is no refusal", a.Unasked)
		}
	}
	empty := newCluster()
	empty.add("bare", "127.0.0.2", "", corev1.ConditionTrue)
	for _, a := range askNodes(t.Context(), empty.newNodes(t), []plan.Question{own, command}, time.Minute) {
		if refusal, ok := errors.AsType[*plan.Refusal](a.Unasked); !ok || refusal.Reason != ReasonNoAgents || !strings.Contains(refusal.Message, "kubectl maek install --agent") {
			t.Errorf("without agents: %v", a.Unasked)
		}
	}
	empty.failing = errors.New("the cache is closed")
	blind := askNodes(t.Context(), empty.newNodes(t), []plan.Question{command}, time.Minute)
	if _, refusal := errors.AsType[*plan.Refusal](blind[0].Unasked); refusal || !strings.Contains(blind[0].Unasked.Error(), "the cache is closed") {
		t.Errorf("where nobody can tell: %v", blind[0].Unasked)
	}
}

// askNodes returns the answers as Confirm does: by node, and in the order of the questions.
func askNodes(ctx context.Context, n *Nodes, questions []plan.Question, timeout time.Duration) []plan.Answer {
	return gather(func(tell func(int, plan.Answer)) {
		if r := n.prepare(ctx, questions, timeout, tell); r != nil {
			r.askAll(ctx, r.places)
		}
	})
}
