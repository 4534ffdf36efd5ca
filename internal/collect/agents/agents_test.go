package agents

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	authenticationv1 "k8s.io/api/authentication/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/rest"

	"github.com/maek-dev/maek/internal/monitor"
	"github.com/maek-dev/maek/internal/snapshot"
)

var moment = time.Date(2026, 3, 2, 2, 20, 0, 0, time.UTC)

// report is one of a machine with a kubelet.
func report(node string) *snapshot.MachineReport {
	return &snapshot.MachineReport{
		TypeMeta: metav1.TypeMeta{APIVersion: snapshot.MachineReportVersion, Kind: "MachineReport"},
		Machine:  node, Node: node, ObservedAt: metav1.NewTime(moment),
		Evidence: []snapshot.MachineEvidence{{Key: "unit/kubelet.service/active-state", Value: "active"}},
	}
}

func line(t *testing.T, r monitor.Relayed) string {
	t.Helper()
	data, err := json.Marshal(r)
	if err != nil {
		t.Fatal(err)
	}
	return string(data) + "\n"
}

func of(t *testing.T, nodes ...string) string {
	t.Helper()
	var out strings.Builder
	for _, n := range nodes {
		out.WriteString(line(t, monitor.Relayed{Node: n, Report: report(n)}))
	}
	return out.String()
}

// fake are agents that run on this machine.
type fake struct {
	servers map[string]*httptest.Server
	asked   chan string
}

// agents starts one agent a node, each with a key of its own.
func agents(t *testing.T, answers map[string]http.HandlerFunc) (*fake, []Agent) {
	t.Helper()
	f := &fake{servers: map[string]*httptest.Server{}, asked: make(chan string, 10)}
	var out []Agent
	for node, answer := range answers {
		server := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			f.asked <- node
			answer(w, r)
		}))
		server.Config.ErrorLog = log.New(io.Discard, "", 0)
		server.StartTLS()
		t.Cleanup(server.Close)
		f.servers[node] = server
		sum := sha256.Sum256(server.Certificate().RawSubjectPublicKeyInfo)
		out = append(out, Agent{Node: node, Key: "sha256:" + hex.EncodeToString(sum[:]), ready: true})
	}
	slices.SortFunc(out, func(a, b Agent) int { return strings.Compare(a.Node, b.Node) })
	return f, out
}

func (f *fake) dial(ctx context.Context, a Agent) (net.Conn, error) {
	server, ok := f.servers[a.Node]
	if !ok {
		return nil, errors.New("connection refused")
	}
	return (&net.Dialer{}).DialContext(ctx, "tcp", server.Listener.Addr().String())
}

func says(text string) http.HandlerFunc {
	return func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, text) }
}

// heard is what came of asking, as tests compare it.
type heard struct {
	Reported   []string
	Unreported map[string]string
	Asked      []string
	Skips      []string
}

func hear(r Reports) heard {
	out := heard{Unreported: r.Unreported, Asked: r.Asked}
	for _, m := range r.Reports {
		out.Reported = append(out.Reported, m.Node)
	}
	for _, s := range r.Skips {
		out.Skips = append(out.Skips, s.Reason.EN)
	}
	return out
}

func TestWhatAgentsTell(t *testing.T) {
	other := report("w2")
	other.APIVersion = "maek.dev/agent/v9"
	posing := report("cp1")
	tests := map[string]struct {
		answers map[string]http.HandlerFunc
		nodes   []string
		want    heard
	}{
		"one agent passes on what all others say": {
			answers: map[string]http.HandlerFunc{"w1": says(of(t, "w1", "w2")), "w2": says(of(t, "w2"))},
			nodes:   []string{"w1", "w2"},
			want:    heard{Reported: []string{"w1", "w2"}, Asked: []string{"w1"}},
		},
		"a machine that one does not reach is asked itself": {
			answers: map[string]http.HandlerFunc{
				"w1": says(of(t, "w1") + line(t, monitor.Relayed{Node: "w2", Error: "connection timed out"})),
				"w2": says(of(t, "w2")),
			},
			nodes: []string{"w1", "w2"},
			want:  heard{Reported: []string{"w1", "w2"}, Asked: []string{"w1", "w2"}},
		},
		"an agent that refuses is passed over": {
			answers: map[string]http.HandlerFunc{
				"w1": func(w http.ResponseWriter, _ *http.Request) { http.Error(w, "who are you", http.StatusUnauthorized) },
				"w2": says(of(t, "w1", "w2")),
			},
			nodes: []string{"w1", "w2"},
			want:  heard{Reported: []string{"w1", "w2"}, Asked: []string{"w2"}},
		},
		"where none answers, one reason stands for all": {
			answers: map[string]http.HandlerFunc{
				"w1": func(w http.ResponseWriter, _ *http.Request) { http.Error(w, "who are you", http.StatusUnauthorized) },
			},
			nodes: []string{"w1", "w2"},
			want:  heard{Unreported: map[string]string{"w1": "the agent of w1: it answers 401 Unauthorized: who are you"}},
		},
		"an agent of another version is no report": {
			answers: map[string]http.HandlerFunc{
				"w1": says(of(t, "w1") + line(t, monitor.Relayed{Node: "w2", Report: other})), "w2": says(line(t, monitor.Relayed{Node: "w2", Report: other})),
			},
			nodes: []string{"w1", "w2"},
			want: heard{Reported: []string{"w1"}, Asked: []string{"w1", "w2"}, Unreported: map[string]string{
				"w2": `its agent speaks "maek.dev/agent/v9", and this program "maek.dev/agent/v1"`,
			}},
		},
		"half an answer is used as far as it goes": {
			answers: map[string]http.HandlerFunc{
				"w1": func(w http.ResponseWriter, _ *http.Request) {
					_, _ = io.WriteString(w, of(t, "w1")+`{"node":"w2","report":{"apiVers`)
					_ = http.NewResponseController(w).Flush()
					panic(http.ErrAbortHandler)
				},
				"w2": func(w http.ResponseWriter, _ *http.Request) { http.Error(w, "not yet", http.StatusServiceUnavailable) },
			},
			nodes: []string{"w1", "w2"},
			want:  heard{Reported: []string{"w1"}, Unreported: map[string]string{"w2": "the agent of w1 broke off"}, Asked: []string{"w1"}},
		},
		"a machine that is no node is left out, and said": {
			answers: map[string]http.HandlerFunc{"w1": says(of(t, "evil", "w1"))},
			nodes:   []string{"w1"},
			want: heard{Reported: []string{"w1"}, Asked: []string{"w1"}, Skips: []string{
				"agent of w1: told of a machine that is no node of this cluster; that is left out",
			}},
		},
		"a report under another's name is left out": {
			answers: map[string]http.HandlerFunc{"w1": says(line(t, monitor.Relayed{Node: "w1", Report: posing}))},
			nodes:   []string{"cp1", "w1"},
			want:    heard{Unreported: map[string]string{"w1": `its agent reports as node "cp1"`}, Asked: []string{"w1"}},
		},
		"what is no report at all is said": {
			answers: map[string]http.HandlerFunc{"w1": says("<html>\n" + of(t, "w1"))},
			nodes:   []string{"w1"},
			want: heard{Reported: []string{"w1"}, Asked: []string{"w1"}, Skips: []string{
				"agent of w1: reading a report: invalid character '<' looking for beginning of value; that is left out",
			}},
		},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			f, list := agents(t, tc.answers)
			c := newCollector(&rest.Config{}, nil, seen{agents: list, nodes: tc.nodes}, f.dial)
			c.run(t.Context())
			got := hear(c.result())
			if len(got.Unreported) == 0 {
				got.Unreported = nil
			}
			if diff := cmp.Diff(tc.want, got); diff != "" {
				t.Errorf("heard (-want +got):\n%s", diff)
			}
		})
	}
}

// TestAgentsNeverSeeTheKubeconfigsToken holds that an agent is shown a token that is good for nothing else,
// and one with another key than its Node says nothing at all.
func TestAgentsNeverSeeTheKubeconfigsToken(t *testing.T) {
	const path = "/api/v1/namespaces/maek-system/serviceaccounts/maek/token"
	refused := false
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		var request authenticationv1.TokenRequest
		if err := json.NewDecoder(r.Body).Decode(&request); err != nil || r.URL.Path != path || r.Header.Get("Authorization") != "Bearer secret" {
			t.Errorf("the API server is asked %s %s: %v", r.Method, r.URL.Path, err)
		}
		if diff := cmp.Diff([]string{monitor.Audience}, request.Spec.Audiences); diff != "" {
			t.Errorf("audiences (-want +got):\n%s", diff)
		}
		w.Header().Set("Content-Type", "application/json")
		if refused {
			w.WriteHeader(http.StatusForbidden)
			_, _ = io.WriteString(w, `{"kind":"Status","apiVersion":"v1","status":"Failure","reason":"Forbidden","code":403}`)
			return
		}
		_, _ = io.WriteString(w, `{"kind":"TokenRequest","apiVersion":"authentication.k8s.io/v1","status":{"token":"narrow"}}`)
	}))
	t.Cleanup(server.Close)
	for name, tc := range map[string]struct {
		refused  bool
		otherKey bool
		// want is what the agent is shown, and wantError why it is not asked.
		want, wantError string
	}{
		"an agent is shown a token of its own": {want: "Bearer narrow"},
		"another key is shown nothing":         {otherKey: true, wantError: errOtherKey.Error()},
		"nothing takes the token's place":      {refused: true, wantError: "there is no token for agents (forbidden: needs a client certificate, or create on serviceaccounts/token of maek in namespace maek-system)"},
	} {
		t.Run(name, func(t *testing.T) {
			refused = tc.refused
			shown := make(chan string, 1)
			f, list := agents(t, map[string]http.HandlerFunc{"w1": func(w http.ResponseWriter, r *http.Request) {
				shown <- r.Header.Get("Authorization")
				_, _ = io.WriteString(w, of(t, "w1"))
			}})
			list[0].namespace = "maek-system"
			if tc.otherKey {
				list[0].Key = "sha256:" + strings.Repeat("0", 64)
			}
			cfg := &rest.Config{Host: server.URL, BearerToken: "secret", ContentConfig: rest.ContentConfig{ContentType: "application/json"}}
			c := newCollector(cfg, nil, seen{agents: list, nodes: []string{"w1"}}, f.dial)
			c.run(t.Context())
			var got, gotError string
			if len(shown) > 0 {
				got = <-shown
			}
			gotError = strings.TrimPrefix(c.result().Unreported["w1"], "the agent of w1: ")
			if got != tc.want || gotError != tc.wantError {
				t.Errorf("shown %q, error %q; want %q, %q", got, gotError, tc.want, tc.wantError)
			}
		})
	}
}

func TestOnlyWantedEvidenceIsAskedFor(t *testing.T) {
	var got []string
	f, list := agents(t, map[string]http.HandlerFunc{"w1": func(w http.ResponseWriter, r *http.Request) {
		got = append([]string{r.URL.Path}, r.URL.Query()["keys"]...)
		_, _ = io.WriteString(w, of(t, "w1"))
	}})
	c := newCollector(&rest.Config{}, []snapshot.EvidenceKey{"unit/*/active-state", "boot/*/at"}, seen{agents: list, nodes: []string{"w1"}}, f.dial)
	c.run(t.Context())
	if diff := cmp.Diff([]string{"/reports", "unit/*/active-state", "boot/*/at"}, got); diff != "" {
		t.Errorf("request (-want +got):\n%s", diff)
	}
}

// TestAgentsThatTakeTooLong holds that what came in time is kept.
func TestAgentsThatTakeTooLong(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	f, list := agents(t, map[string]http.HandlerFunc{"w1": func(w http.ResponseWriter, r *http.Request) {
		_, _ = io.WriteString(w, of(t, "w1"))
		_ = http.NewResponseController(w).Flush()
		<-r.Context().Done()
		panic(http.ErrAbortHandler)
	}})
	list = append(list, Agent{Node: "w2"})
	c := newCollector(&rest.Config{}, nil, seen{agents: list, nodes: []string{"w1", "w2"}}, f.dial)
	go func() {
		<-f.asked
		cancel()
	}()
	c.run(ctx)
	r := c.result()
	if r.Unreported["w2"] == "" || len(r.Reports)+len(r.Unreported) != 2 {
		t.Errorf("%d reports, unreported %v", len(r.Reports), r.Unreported)
	}
}

// TestAnAgentThatHangs holds that another is asked in its place.
func TestAnAgentThatHangs(t *testing.T) {
	f, list := agents(t, map[string]http.HandlerFunc{
		"w1": func(_ http.ResponseWriter, r *http.Request) {
			<-r.Context().Done()
			panic(http.ErrAbortHandler)
		},
		"w2": says(of(t, "w1", "w2")),
	})
	c := newCollector(&rest.Config{}, nil, seen{agents: list, nodes: []string{"w1", "w2"}}, f.dial)
	c.patience = time.Second
	c.run(t.Context())
	if diff := cmp.Diff(heard{Reported: []string{"w1", "w2"}, Unreported: map[string]string{}, Asked: []string{"w2"}}, hear(c.result())); diff != "" {
		t.Errorf("heard (-want +got):\n%s", diff)
	}
}

func TestAFloodEnds(t *testing.T) {
	filler := strings.Repeat("x", maxReport+1) + "\n"
	var lines int
	err := readLines(strings.NewReader(filler+of(t, "w1")), func(got told) bool {
		if lines++; lines == 1 && got.err == nil || lines == 2 && got.Node != "w1" {
			t.Errorf("line %d: %+v", lines, got)
		}
		return true
	})
	if err != nil || lines != 2 {
		t.Errorf("%d lines, %v", lines, err)
	}
	c := newCollector(&rest.Config{}, nil, seen{}, nil)
	c.left = 10
	if _, err := io.ReadAll(&metered{r: strings.NewReader(filler), c: c}); !errors.Is(err, errTooMuch) {
		t.Errorf("reading past the bound: %v", err)
	}
}

// TestFiveThousandNodes holds that texts which machines share are kept once.
func TestFiveThousandNodes(t *testing.T) {
	var nodes []string
	var list []Agent
	for i := range 5000 {
		nodes = append(nodes, fmt.Sprintf("w%04d", i))
	}
	f, first := agents(t, map[string]http.HandlerFunc{"w0000": func(w http.ResponseWriter, _ *http.Request) {
		for _, n := range nodes {
			r := report(n)
			for u := range 20 {
				r.Evidence = append(r.Evidence, snapshot.MachineEvidence{Key: snapshot.KeyOf("unit", fmt.Sprint("u", u), "active-state"), Value: "active"})
			}
			_, _ = io.WriteString(w, line(t, monitor.Relayed{Node: n, Report: r}))
		}
	}})
	list = append(list, first...)
	for _, n := range nodes[1:] {
		list = append(list, Agent{Node: n, ready: true})
	}
	c := newCollector(&rest.Config{}, nil, seen{agents: list, nodes: nodes}, f.dial)
	c.run(t.Context())
	if r := c.result(); len(r.Reports) != 5000 || len(r.Unreported) != 0 {
		t.Fatalf("%d reports, %d unreported", len(r.Reports), len(r.Unreported))
	}
	if len(c.cleaner.texts) != 22 {
		t.Errorf("%d texts are kept, want 21 keys and one value", len(c.cleaner.texts))
	}
}

func TestCredentialsInLogsAreBlottedOut(t *testing.T) {
	r := report("w1")
	r.Evidence = append(r.Evidence, snapshot.MachineEvidence{Key: "log/kubelet/last", Value: "started with --token=abcdef.0123456789abcdef"})
	c := cleaner{texts: map[string]string{}}
	c.clean(r)
	if got := r.Evidence[1].Value; strings.Contains(got, "0123456789abcdef") {
		t.Errorf("the token is still there: %s", got)
	}
}

func TestAgentsAreRemembered(t *testing.T) {
	cache := t.TempDir()
	cfg := &rest.Config{Host: "https://10.99.0.1:6443"}
	m := MemoryIn(cache, cfg)
	if got := m.load(); len(got.agents) != 0 {
		t.Errorf("before anything was kept: %v", got)
	}
	m.save(seen{nodes: []string{"w1", "w2"}, agents: []Agent{{Node: "w1", Key: "sha256:b", Addresses: []string{"10.99.0.21"}, pod: "a", namespace: "b"}}})
	want := seen{nodes: []string{"w1", "w2"}, agents: []Agent{{Node: "w1", Key: "sha256:b", Addresses: []string{"10.99.0.21"}, ready: true}}, pods: true}
	if diff := cmp.Diff(want, m.load(), cmp.AllowUnexported(seen{}, Agent{})); diff != "" {
		t.Errorf("remembered (-want +got):\n%s", diff)
	}
	if info, err := os.Stat(m.path); err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("the file: %v, %v", info, err)
	}
	if got := MemoryIn(cache, &rest.Config{Host: "https://other:6443"}).load(); len(got.agents) != 0 {
		t.Errorf("another cluster's agents: %v", got)
	}
	if err := os.WriteFile(m.path, []byte(`{"agents":[{"no`), 0o600); err != nil {
		t.Fatal(err)
	}
	if got := m.load(); len(got.agents) != 0 {
		t.Errorf("out of a broken file: %v", got)
	}
	if left, err := filepath.Glob(filepath.Join(cache, "maek", "agents", ".*")); err != nil || len(left) > 0 {
		t.Errorf("left behind: %v, %v", left, err)
	}
}
