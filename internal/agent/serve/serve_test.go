package serve

import (
	"bufio"
	"compress/gzip"
	"context"
	"crypto/tls"
	"encoding/json"
	"io"
	"io/fs"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/utils/clock"

	"github.com/maek-dev/maek/internal/agent/access"
	"github.com/maek-dev/maek/internal/agent/identity"
	"github.com/maek-dev/maek/internal/agent/peer"
	"github.com/maek-dev/maek/internal/diagnosis"
	"github.com/maek-dev/maek/internal/monitor"
	"github.com/maek-dev/maek/internal/rule"
	"github.com/maek-dev/maek/internal/snapshot"
)

type memory map[string][]byte

func (m memory) Load(name string) ([]byte, error) {
	if data, ok := m[name]; ok {
		return data, nil
	}
	return nil, fs.ErrNotExist
}

func (m memory) Save(name string, data []byte) error {
	m[name] = data
	return nil
}

func identityOf(t *testing.T, node string) identity.Own {
	t.Helper()
	own, err := identity.Load(memory{}, node)
	if err != nil {
		t.Fatal(err)
	}
	return own
}

func reportOf(node string) snapshot.MachineReport {
	return snapshot.MachineReport{
		TypeMeta: metav1.TypeMeta{APIVersion: snapshot.MachineReportVersion, Kind: "MachineReport"}, Machine: node + ".example", Node: node,
		Evidence: []snapshot.MachineEvidence{
			{Key: "unit/kubelet.service/active-state", Value: "active"},
			{Key: "unit/kubelet.service/restarts", Value: "0"},
			{Key: "pressure/cpu/some-avg10", Value: "0.1"},
		},
	}
}

type source struct{ peers []peer.Peer }

func (source) Self() peer.Peer      { return peer.Peer{Node: "self"} }
func (s source) Peers() []peer.Peer { return s.peers }

// world is an agent, with a way to it that a peer of its has.
type world struct {
	server *Server
	own    identity.Own
	source *source
	ports  map[string]uint16
}

func newWorld(t *testing.T) *world {
	t.Helper()
	w := &world{own: identityOf(t, "self"), source: &source{}, ports: map[string]uint16{}}
	log := slog.New(slog.NewTextHandler(t.Output(), nil))
	w.server = New(Options{
		Source: w.source,
		Client: func(p peer.Peer, at netip.Addr) *http.Client {
			return identity.NewClients(w.own, w.ports[p.Node]).For(p, at)
		},
		Check: func(r *http.Request) (string, error) {
			switch r.Header.Get("Authorization") {
			case "Bearer good":
				return "good", nil
			case "Bearer bad":
				return "bad", access.ErrForbidden
			}
			return "", access.ErrNobody
		},
		Report: func() snapshot.MachineReport { return reportOf("self") },
		Diagnose: func(ctx context.Context) diagnosis.Diagnosis {
			b := snapshot.NewBuilder(time.Unix(1000, 0), snapshot.Source{Name: "self", Machine: "self"})
			b.AddMachine(reportOf("self"))
			return diagnosis.Diagnose(rule.Evaluate(ctx, b.Build(), nil, nil, rule.DefaultBudget), nil)
		},
		Alive:   func() bool { return true },
		Metrics: http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, "up 1\n") }),
		Mesh: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			p, _ := peer.Caller(r.Context())
			_, _ = io.WriteString(w, "hello "+p.Node)
		}),
		Now: clock.RealClock{}.Now, Log: log,
	})
	return w
}

// join adds a peer that answers by h.
func (w *world) join(t *testing.T, node string, h http.Handler) identity.Own {
	t.Helper()
	own := identityOf(t, node)
	s := httptest.NewUnstartedServer(h)
	s.TLS = own.Server()
	s.StartTLS()
	t.Cleanup(s.Close)
	at := netip.MustParseAddrPort(s.Listener.Addr().String())
	w.ports[node] = at.Port()
	w.source.peers = append(w.source.peers, peer.Peer{Node: node, Key: own.Fingerprint, Addresses: []netip.Addr{at.Addr()}, Expected: true})
	return own
}

// says answers with a value as JSON.
func says(v any) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { _ = json.NewEncoder(w).Encode(v) })
}

func get(t *testing.T, h http.Handler, path string, change func(*http.Request)) *httptest.ResponseRecorder {
	t.Helper()
	r := httptest.NewRequestWithContext(t.Context(), http.MethodGet, path, http.NoBody)
	r.Header.Set("Authorization", "Bearer good")
	if change != nil {
		change(r)
	}
	w := httptest.NewRecorder()
	h.ServeHTTP(w, r)
	return w
}

// TestRelay asks an agent for the reports of all, where each peer is wrong in another way.
func TestRelay(t *testing.T) {
	w := newWorld(t)
	w.join(t, "good", says(reportOf("good")))
	w.join(t, "liar", says(reportOf("good")))
	old := reportOf("old")
	old.APIVersion = "maek.dev/agent/v0"
	w.join(t, "old", says(old))
	w.join(t, "rubbish", http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, "\x00\xff{") }))
	w.join(t, "refusing", http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { http.Error(w, "not known here", http.StatusForbidden) }))
	w.join(t, "hanging", http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) { <-r.Context().Done() }))
	w.join(t, "flooding", http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		for r.Context().Err() == nil {
			if _, err := w.Write(make([]byte, 1<<20)); err != nil {
				return
			}
		}
	}))
	w.join(t, "swapped", says(reportOf("swapped")))
	w.source.peers[len(w.source.peers)-1].Key = "sha256:another"
	w.source.peers = append(w.source.peers,
		peer.Peer{Node: "bare", Expected: false},
		peer.Peer{Node: "young", Expected: true},
		peer.Peer{Node: "dead", Key: "sha256:0", Addresses: []netip.Addr{netip.MustParseAddr("127.0.0.1")}, Expected: true},
	)
	w.ports["dead"] = 1 // nobody listens there: no system gives out ports so low

	response := get(t, w.server.Outside(), monitor.ReportsPath, nil)
	got := map[string]string{}
	lines := bufio.NewScanner(response.Body)
	lines.Buffer(nil, 1<<20)
	first := ""
	for lines.Scan() {
		var l monitor.Relayed
		if err := json.Unmarshal(lines.Bytes(), &l); err != nil {
			t.Fatalf("%v in %s", err, lines.Bytes())
		}
		if first == "" {
			first = l.Node
		}
		got[l.Node] = l.Error
		if l.Report != nil {
			got[l.Node] += "report of " + l.Report.Node
		}
	}
	if first != "self" {
		t.Errorf("the first line is about %s, want its own", first)
	}
	for node, want := range map[string]string{
		"self":     "report of self",
		"good":     "report of good",
		"liar":     `it reports as node "good", which it is not`,
		"old":      `its agent speaks "maek.dev/agent/v0", and this one "maek.dev/agent/v1": run one version on all machines`,
		"rubbish":  "its report is not one",
		"refusing": "it answered 403 Forbidden: not known here",
		"hanging":  "context deadline exceeded",
		"flooding": "its report is longer than 8 MiB",
		"swapped":  "it answered with another key than its Node tells",
		"bare":     "no agent runs there",
		"young":    "its agent has not published its key yet",
		"dead":     "connection refused",
	} {
		if !strings.Contains(got[node], want) {
			t.Errorf("%s: %q, want %q", node, got[node], want)
		}
		delete(got, node)
	}
	if len(got) > 0 {
		t.Errorf("lines about others: %v", got)
	}
}

func TestKeysArePassedOn(t *testing.T) {
	w := newWorld(t)
	asked := make(chan []string, 1)
	w.join(t, "w2", http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		asked <- r.URL.Query()[keysParameter]
		says(trim(reportOf("w2"), r.URL.Query()[keysParameter])).ServeHTTP(w, r)
	}))
	response := get(t, w.server.Outside(), monitor.ReportsPath+"?keys=unit/*/restarts&keys=boot/id", func(r *http.Request) {
		r.Header.Set("Accept-Encoding", "br, gzip;q=0.5")
	})
	if diff := cmp.Diff([]string{"unit/*/restarts", "boot/id"}, <-asked); diff != "" {
		t.Errorf("the peer was asked for other keys (-want +got):\n%s", diff)
	}
	body, err := gzip.NewReader(response.Body)
	if err != nil {
		t.Fatal(err)
	}
	decoder := json.NewDecoder(body)
	for range 2 {
		var l monitor.Relayed
		if err := decoder.Decode(&l); err != nil {
			t.Fatal(err)
		}
		want := []snapshot.MachineEvidence{{Key: "unit/kubelet.service/restarts", Value: "0"}}
		if diff := cmp.Diff(want, l.Report.Evidence); diff != "" {
			t.Errorf("%s (-want +got):\n%s", l.Node, diff)
		}
	}
}

func TestDoors(t *testing.T) {
	w := newWorld(t)
	known := w.join(t, "w2", http.NotFoundHandler())
	with := func(own identity.Own) func(*http.Request) {
		return func(r *http.Request) {
			r.Header.Del("Authorization")
			r.TLS = &tls.ConnectionState{}
			r.TLS.PeerCertificates = append(r.TLS.PeerCertificates, own.Certificate.Leaf)
		}
	}
	token := func(value string) func(*http.Request) {
		return func(r *http.Request) { r.Header.Set("Authorization", "Bearer "+value) }
	}
	for name, tc := range map[string]struct {
		path   string
		change func(*http.Request)
		want   int
	}{
		"health is open":                     {monitor.HealthPath, token(""), http.StatusOK},
		"a report is not":                    {monitor.ReportPath, token(""), http.StatusUnauthorized},
		"reports are not":                    {monitor.ReportsPath, token(""), http.StatusUnauthorized},
		"a diagnosis is not":                 {monitor.DiagnosisPath, token(""), http.StatusUnauthorized},
		"metrics are not":                    {monitor.MetricsPath, token(""), http.StatusUnauthorized},
		"who may not is told so":             {monitor.MetricsPath, token("bad"), http.StatusForbidden},
		"who may is served":                  {monitor.MetricsPath, token("good"), http.StatusOK},
		"a diagnosis is served":              {monitor.DiagnosisPath, token("good"), http.StatusOK},
		"a peer is served":                   {monitor.ReportPath, with(known), http.StatusOK},
		"a peer has nobody else asked":       {monitor.ReportsPath, with(known), http.StatusUnauthorized},
		"a peer reads no metrics":            {monitor.MetricsPath, with(known), http.StatusUnauthorized},
		"an agent that is no peer is not":    {monitor.ReportPath, with(identityOf(t, "w2")), http.StatusUnauthorized},
		"the mesh is a peer's":               {peer.MeshPath + "hello", with(known), http.StatusOK},
		"the mesh is not an administrator's": {peer.MeshPath + "hello", token("good"), http.StatusForbidden},
		"nothing else is there":              {"/debug/pprof/", token("good"), http.StatusNotFound},
	} {
		t.Run(name, func(t *testing.T) {
			if got := get(t, w.server.Outside(), tc.path, tc.change).Code; got != tc.want {
				t.Errorf("status %d, want %d", got, tc.want)
			}
		})
	}
	if got := get(t, w.server.Inside(), monitor.ReportPath, token("")).Code; got != http.StatusOK {
		t.Errorf("root at the socket: status %d", got)
	}
}

func TestAFloodIsPutOff(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		h := w.server.Outside()
		counts := map[int]int{}
		for range 1000 {
			counts[get(t, h, monitor.HealthPath, nil).Code]++
		}
		if diff := cmp.Diff(map[int]int{http.StatusOK: requestsAtOnce, http.StatusTooManyRequests: 1000 - requestsAtOnce}, counts); diff != "" {
			t.Errorf("1000 requests at one moment (-want +got):\n%s", diff)
		}
		other := get(t, h, monitor.HealthPath, func(r *http.Request) { r.RemoteAddr = "192.0.2.9:1" })
		if other.Code != http.StatusOK {
			t.Errorf("another address is put off too: status %d", other.Code)
		}
		<-time.After(time.Second)
		if got := get(t, h, monitor.HealthPath, nil).Code; got != http.StatusOK {
			t.Errorf("a second later: status %d", got)
		}
	})
}

// TestServe holds the bounds of connections on real sockets, and that it ends when it is told to.
func TestServe(t *testing.T) {
	w := newWorld(t)
	var listen net.ListenConfig
	network, err := listen.Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(t.TempDir(), "agent.sock")
	socket, err := listen.Listen(t.Context(), "unix", path)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() { ended <- w.server.Serve(ctx, network, socket, w.own.Server()) }()

	var dialer net.Dialer
	open := 0
	for n := range connectionsOfOne + 5 {
		c, err := dialer.DialContext(t.Context(), "tcp", network.Addr().String())
		if err != nil {
			t.Fatal(err)
		}
		defer func() { _ = c.Close() }()
		client := tls.Client(c, &tls.Config{InsecureSkipVerify: true, ServerName: strconv.Itoa(n)})
		if client.HandshakeContext(t.Context()) == nil {
			open++
		}
	}
	if open != connectionsOfOne {
		t.Errorf("%d connections of one address, want %d", open, connectionsOfOne)
	}
	client := &http.Client{Transport: &http.Transport{DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
		return dialer.DialContext(ctx, "unix", path)
	}}}
	request, err := http.NewRequestWithContext(t.Context(), http.MethodGet, "http://agent"+monitor.ReportPath, http.NoBody)
	if err != nil {
		t.Fatal(err)
	}
	response, err := client.Do(request)
	if err != nil {
		t.Fatal(err)
	}
	_ = response.Body.Close()
	if response.StatusCode != http.StatusOK {
		t.Errorf("at the socket: %s", response.Status)
	}
	cancel()
	if err := <-ended; err != nil {
		t.Errorf("Serve: %v", err)
	}
	if _, err := dialer.DialContext(t.Context(), "tcp", network.Addr().String()); err == nil {
		t.Error("it still listens")
	}
}

func TestWanted(t *testing.T) {
	patterns := []string{"cluster/api", "cluster/node/*/ready", "unit/*/result"}
	tests := map[string]struct {
		peers int
		want  []string
	}{
		"few peers tell of all Nodes":              {peers: maxKept, want: patterns},
		"each of many peers tells of its own Node": {peers: maxKept + 1, want: []string{"cluster/api", "cluster/node/w%2F1/ready", "unit/*/result"}},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			if diff := cmp.Diff(tc.want, wanted(peer.Peer{Node: "w/1"}, patterns, tc.peers)); diff != "" {
				t.Errorf("what is asked (-want +got):\n%s", diff)
			}
		})
	}
}
