package serve

import (
	"bytes"
	"context"
	"crypto/tls"
	"encoding/json"
	"io"
	"net"
	"net/http"
	"net/netip"
	"runtime"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"k8s.io/utils/clock"

	"github.com/maek-dev/maek/internal/agent/access"
	"github.com/maek-dev/maek/internal/agent/identity"
	"github.com/maek-dev/maek/internal/agent/prober"
	"github.com/maek-dev/maek/internal/monitor"
	"github.com/maek-dev/maek/internal/probe/remote"
)

// door is a real agent's server on a real socket.
type door struct {
	*world

	url    string
	client *http.Client
}

func openDoor(t *testing.T) *door {
	t.Helper()
	d := &door{world: newWorld(t)}
	d.server.o.Prober = prober.New(prober.Options{Others: func() []netip.Addr { return nil }, Now: clock.RealClock{}.Now})
	d.server.o.Check = func(r *http.Request) (string, error) {
		switch {
		case r.Header.Get("Authorization") == "Bearer prober":
			return "prober", nil
		case r.Header.Get("Authorization") == "Bearer reader" && r.Method == http.MethodGet:
			return "reader", nil
		case r.Header.Get("Authorization") == "Bearer reader":
			return "reader", access.ErrForbidden
		default:
			return "", access.ErrNobody
		}
	}
	l, err := (&net.ListenConfig{}).Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() { ended <- d.server.Serve(ctx, l, nil, d.own.Server()) }()
	t.Cleanup(func() {
		cancel()
		if err := <-ended; err != nil {
			t.Error(err)
		}
	})
	transport := &http.Transport{TLSClientConfig: &tls.Config{InsecureSkipVerify: true}, ForceAttemptHTTP2: true}
	t.Cleanup(transport.CloseIdleConnections)
	d.url, d.client = "https://"+l.Addr().String()+monitor.ProbePath, &http.Client{Transport: transport}
	return d
}

func (d *door) post(ctx context.Context, t *testing.T, token string, body io.Reader) (*http.Response, error) {
	t.Helper()
	r, err := http.NewRequestWithContext(ctx, http.MethodPost, d.url, body)
	if err != nil {
		t.Fatal(err)
	}
	r.Header.Set("Authorization", "Bearer "+token)
	return d.client.Do(r)
}

// own is this machine's address that is not loopback.
func ownAddress(t *testing.T) string {
	t.Helper()
	all, err := net.InterfaceAddrs()
	if err != nil {
		t.Fatal(err)
	}
	for _, a := range all {
		if n, ok := a.(*net.IPNet); ok && n.IP.To4() != nil && n.IP.IsGlobalUnicast() && !n.IP.IsLoopback() {
			return n.IP.String()
		}
	}
	t.Skip("NOT RUN: this machine has no address but loopback")
	return ""
}

// target listens where probes may go, and answers as it is told to.
func target(t *testing.T, h http.HandlerFunc) remote.Probe {
	t.Helper()
	l, err := (&net.ListenConfig{}).Listen(t.Context(), "tcp", net.JoinHostPort(ownAddress(t), "0"))
	if err != nil {
		t.Fatal(err)
	}
	server := &http.Server{Handler: h, ReadHeaderTimeout: time.Minute}
	go func() { _ = server.Serve(l) }()
	t.Cleanup(func() { _ = server.Close() })
	at := l.Addr().String()
	return remote.Probe{Addresses: []string{at}, Nodes: true, HTTP: &remote.HTTP{URL: "http://" + at + "/"}}
}

func written(t *testing.T, timeout time.Duration, probes ...remote.Probe) io.Reader {
	t.Helper()
	data, err := json.Marshal(remote.NewRequest(probes, timeout))
	if err != nil {
		t.Fatal(err)
	}
	return bytes.NewReader(data)
}

func TestAnAgentProbes(t *testing.T) {
	d := openDoor(t)
	good := target(t, func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, "well") })
	loopback := remote.Probe{Addresses: []string{"127.0.0.1:22"}, Nodes: true, TCP: &remote.TCP{Address: "127.0.0.1:22"}}
	response, err := d.post(t.Context(), t, "prober", written(t, time.Minute, good, loopback))
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = response.Body.Close() }()
	got := map[int]remote.Answer{}
	if err := remote.ReadAnswers(response.Body, "self", 2, func(a remote.Answer) bool { got[a.Index] = a; return true }); err != nil {
		t.Fatal(err)
	}
	if o := got[0].Outcome; response.ProtoMajor != 2 || o == nil || string(o.HTTP.Body) != "well" {
		t.Errorf("%s: %+v", response.Proto, got[0])
	}
	if !strings.Contains(got[1].Unasked, "loopback") {
		t.Errorf("loopback: %+v", got[1])
	}
}

func TestWhoMayHaveAnAgentProbe(t *testing.T) {
	d := openDoor(t)
	known := d.join(t, "w2", http.NotFoundHandler())
	body := func() io.Reader {
		return written(t, time.Minute, remote.Probe{Addresses: []string{"127.0.0.1:22"}, TCP: &remote.TCP{Address: "127.0.0.1:22"}})
	}
	for name, tc := range map[string]struct {
		token string
		want  int
	}{
		"a prober may":                 {"prober", http.StatusOK},
		"who may read what it sees":    {"reader", http.StatusForbidden},
		"nobody":                       {"", http.StatusUnauthorized},
		"a token that is not accepted": {"other", http.StatusUnauthorized},
	} {
		t.Run(name, func(t *testing.T) {
			response, err := d.post(t.Context(), t, tc.token, body())
			if err != nil {
				t.Fatal(err)
			}
			_ = response.Body.Close()
			if response.StatusCode != tc.want {
				t.Errorf("%s, want %d", response.Status, tc.want)
			}
		})
	}
	t.Run("a peer may not", func(t *testing.T) {
		peer := d.as(t, known)
		response, err := peer.post(t.Context(), t, "", body())
		if err != nil {
			t.Fatal(err)
		}
		_ = response.Body.Close()
		if response.StatusCode != http.StatusUnauthorized {
			t.Errorf("%s", response.Status)
		}
	})
	t.Run("nobody gets it", func(t *testing.T) {
		if got := get(t, d.server.Outside(), monitor.ProbePath, func(r *http.Request) { r.Header.Set("Authorization", "Bearer prober") }).Code; got != http.StatusMethodNotAllowed {
			t.Errorf("status %d", got)
		}
	})
}

// as is the door with a client that shows an agent's certificate.
func (d *door) as(t *testing.T, own identity.Own) *door {
	t.Helper()
	transport := &http.Transport{TLSClientConfig: &tls.Config{InsecureSkipVerify: true, Certificates: []tls.Certificate{own.Certificate}}}
	t.Cleanup(transport.CloseIdleConnections)
	return &door{world: d.world, url: d.url, client: &http.Client{Transport: transport}}
}

func TestRequestsThatNobodyMeansWell(t *testing.T) {
	d := openDoor(t)
	one := remote.Probe{Addresses: []string{"127.0.0.1:22"}, TCP: &remote.TCP{Address: "127.0.0.1:22"}}
	head := `{"apiVersion":"` + remote.Version + `","timeoutMilliseconds":1000,"probes":`
	for name, tc := range map[string]struct {
		body io.Reader
		want int
		says string
	}{
		"10 MB":                 {strings.NewReader(head + `[{"addresses":["` + strings.Repeat("x", 10<<20) + `"]}]}`), http.StatusRequestEntityTooLarge, "too large"},
		"10 MB of nothing":      {strings.NewReader(strings.Repeat(" ", 10<<20)), http.StatusRequestEntityTooLarge, "too large"},
		"100,000 empty probes":  {strings.NewReader(head + "[" + strings.Repeat("{},", 100_000) + "{}]}"), http.StatusBadRequest, "more than 64"},
		"65 probes":             {written(t, time.Minute, slices.Repeat([]remote.Probe{one}, 65)...), http.StatusBadRequest, "more than 64"},
		"depth":                 {strings.NewReader(head + strings.Repeat("[", 200_000)), http.StatusBadRequest, "max depth"},
		"nothing":               {http.NoBody, http.StatusBadRequest, "unexpected end"},
		"a command":             {strings.NewReader(head + `[{"addresses":["10.0.0.1:1"],"exec":{"command":["true"]}}]}`), http.StatusBadRequest, "unknown field"},
		"a version of tomorrow": {strings.NewReader(`{"apiVersion":"maek.dev/probe/v9"}`), http.StatusBadRequest, "speaks"},
	} {
		t.Run(name, func(t *testing.T) {
			response, err := d.post(t.Context(), t, "prober", tc.body)
			if err != nil {
				t.Fatal(err)
			}
			defer func() { _ = response.Body.Close() }()
			said, err := io.ReadAll(io.LimitReader(response.Body, 1000))
			if err != nil || response.StatusCode != tc.want || !strings.Contains(string(said), tc.says) {
				t.Errorf("%s: %s, %v; want %d: %s", response.Status, said, err, tc.want, tc.says)
			}
		})
	}
}

// TestMemoryOfAProbingAgentIsBounded has several callers ask for the largest answers at once, and counts the
// heap while they are served.
func TestMemoryOfAProbingAgentIsBounded(t *testing.T) {
	d := openDoor(t)
	var most atomic.Uint64
	big := strings.Repeat("x", remote.MaxBody)
	one := target(t, func(w http.ResponseWriter, _ *http.Request) {
		runtime.GC()
		var m runtime.MemStats
		runtime.ReadMemStats(&m)
		if m.HeapAlloc > most.Load() {
			most.Store(m.HeapAlloc)
		}
		_, _ = io.WriteString(w, big)
	})
	one.HTTP.BodyLimit = remote.MaxBody
	runtime.GC()
	var before runtime.MemStats
	runtime.ReadMemStats(&before)
	results := make(chan error, 4)
	for range cap(results) {
		go func() {
			response, err := d.post(t.Context(), t, "prober", written(t, time.Minute, slices.Repeat([]remote.Probe{one}, 4)...))
			if err == nil {
				defer func() { _ = response.Body.Close() }()
				err = remote.ReadAnswers(response.Body, "self", 4, func(a remote.Answer) bool { return a.Outcome != nil })
			}
			results <- err
		}()
	}
	for range cap(results) {
		if err := <-results; err != nil {
			t.Error(err)
		}
	}
	// The callers are in this process too: each holds a line and what it reads of it.
	if grown := int64(most.Load()) - int64(before.HeapAlloc); grown > 32<<20 {
		t.Errorf("16 answers of 1 MiB for 4 callers took %d MiB", grown>>20)
	}
}

// TestSlowTargets holds that a caller waits longer than connections may be silent, and that one who goes away
// ends what was begun for him.
func TestSlowTargets(t *testing.T) {
	d := openDoor(t)
	left := make(chan struct{}, 1)
	arrived := make(chan struct{}, 1)
	slow := target(t, func(_ http.ResponseWriter, r *http.Request) {
		arrived <- struct{}{}
		<-r.Context().Done()
		left <- struct{}{}
	})
	ctx, cancel := context.WithCancel(t.Context())
	response, err := d.post(ctx, t, "prober", written(t, time.Minute, slow))
	if err != nil {
		t.Fatal(err) // It begins to answer before anybody else did.
	}
	defer func() { _ = response.Body.Close() }()
	<-arrived
	cancel()
	<-left

	response, err = d.post(t.Context(), t, "prober", written(t, 100*time.Millisecond, slow))
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = response.Body.Close() }()
	err = remote.ReadAnswers(response.Body, "self", 1, func(a remote.Answer) bool {
		if a.Outcome == nil || !strings.Contains(string(a.Outcome.Strict.Message), "Client.Timeout") {
			t.Errorf("%+v", a)
		}
		return true
	})
	if err != nil {
		t.Error(err)
	}
}
