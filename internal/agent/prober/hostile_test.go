package prober

import (
	"context"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/maek-dev/maek/internal/monitor"
	"github.com/maek-dev/maek/internal/probe/remote"
)

// TestEvilTargets holds that targets which send what they like take bounded memory and time.
func TestEvilTargets(t *testing.T) {
	raw := func(answer func(net.Conn)) remote.Probe {
		l := listen(t)
		t.Cleanup(func() { _ = l.Close() })
		go func() {
			for {
				c, err := l.Accept()
				if err != nil {
					return
				}
				go func() {
					defer func() { _ = c.Close() }()
					_, _ = c.Read(make([]byte, 1024))
					answer(c)
				}()
			}
		}()
		return remote.Probe{Addresses: []string{l.Addr().String()}, HTTP: &remote.HTTP{URL: "http://" + l.Addr().String()}}
	}
	endless := func(begin string) remote.Probe {
		return raw(func(c net.Conn) {
			_, err := io.WriteString(c, begin)
			for err == nil {
				_, err = io.WriteString(c, strings.Repeat("x", 32<<10))
			}
		})
	}
	for name, tc := range map[string]struct {
		probe   remote.Probe
		timeout time.Duration
		want    string
	}{
		"a header without end": {endless("HTTP/1.1 200 OK\r\nX: "), time.Minute, "unasked: what comes before the answer's body is larger than 128 KiB"},
		"headers without end": {raw(func(c net.Conn) {
			_, err := io.WriteString(c, "HTTP/1.1 200 OK\r\n")
			for err == nil {
				_, err = io.WriteString(c, strings.Repeat("X: y\r\n", 1000))
			}
		}), time.Minute, "unasked: what comes before"},
		"a body without end":     {endless("HTTP/1.1 200 OK\r\n\r\n"), time.Minute, "success: xxx"},
		"silence":                {raw(func(c net.Conn) { _, _ = c.Read(make([]byte, 1)) }), 50 * time.Millisecond, "Client.Timeout exceeded"},
		"rubbish":                {raw(func(c net.Conn) { _, _ = io.WriteString(c, "\x00\xff\n") }), time.Minute, "malformed HTTP"},
		"a hang-up":              {raw(func(net.Conn) {}), time.Minute, "EOF"},
		"a body that is cut off": {raw(func(c net.Conn) { _, _ = io.WriteString(c, "HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nhalf") }), time.Minute, "failure: unexpected EOF"},
	} {
		t.Run(name, func(t *testing.T) {
			if got := words(ask(t, newProber(), tc.timeout, tc.probe)[0]); !strings.Contains(got, tc.want) {
				t.Errorf("%.200s, want %s", got, tc.want)
			}
		})
	}
}

// TestOneLargeBodyIsHeldAtATime counts the large answers that are being taken in at once.
func TestOneLargeBodyIsHeldAtATime(t *testing.T) {
	var mu sync.Mutex
	now, most := 0, 0
	s := serve(t, http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		mu.Lock()
		now++
		most = max(most, now)
		mu.Unlock()
		_, _ = io.WriteString(w, strings.Repeat("x", remote.MaxBody-1))
		// Before the last byte: whoever has that may ask for the next at once.
		mu.Lock()
		now--
		mu.Unlock()
		_, _ = io.WriteString(w, "x")
	}), false)
	one := httpAt(s, "/")
	one.HTTP.BodyLimit = remote.MaxBody
	for i, a := range ask(t, newProber(), time.Minute, slices.Repeat([]remote.Probe{one}, 12)...) {
		if a.Outcome == nil || len(a.Outcome.HTTP.Body) != remote.MaxBody {
			t.Errorf("probe %d: %.200s", i, words(a))
		}
	}
	if most != 1 {
		t.Errorf("%d large answers at once, want 1", most)
	}
}

// TestACallerWhoGoesAwayLeavesNothing holds that what was begun for somebody who does not wait any more ends.
func TestACallerWhoGoesAwayLeavesNothing(t *testing.T) {
	arrived := make(chan struct{}, 64)
	s := serve(t, http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		arrived <- struct{}{}
		<-r.Context().Done()
	}), false)
	p := newProber()
	before, files := runtime.NumGoroutine(), descriptors(t)
	for name, end := range map[string]func(context.CancelFunc) error{
		"the caller goes":            func(cancel context.CancelFunc) error { cancel(); return nil },
		"nothing can be told to him": func(context.CancelFunc) error { return errors.New("broken pipe") },
	} {
		t.Run(name, func(t *testing.T) {
			ctx, cancel := context.WithCancel(t.Context())
			defer cancel()
			probes := slices.Repeat([]remote.Probe{httpAt(s, "/")}, 60)
			probes = append(probes, remote.Probe{Addresses: []string{at(s)}, TCP: &remote.TCP{Address: at(s)}})
			// The last shall be first: it is answered while the others wait.
			slices.Reverse(probes)
			told := 0
			ended := make(chan struct{})
			go func() {
				defer close(ended)
				p.Run(ctx, remote.NewRequest(probes, time.Minute), func(remote.Answer) error {
					told++
					<-arrived // somebody else is being asked
					return end(cancel)
				})
			}()
			<-ended
			if told != 1 {
				t.Errorf("%d answers were told", told)
			}
		})
	}
	wait(t, func() bool { return runtime.NumGoroutine() <= before && descriptors(t) <= files }, func() string {
		return fmt.Sprintf("%d goroutines and %d descriptors, and before %d and %d", runtime.NumGoroutine(), descriptors(t), before, files)
	})
	if len(p.slots) != 0 || len(p.large) != 0 {
		t.Errorf("%d places are taken, %d large ones", len(p.slots), len(p.large))
	}
}

func descriptors(t *testing.T) int {
	t.Helper()
	all, err := os.ReadDir("/proc/self/fd")
	if err != nil {
		t.Skipf("NOT RUN: %v", err)
	}
	return len(all)
}

// wait waits until something is so.
func wait(t *testing.T, is func() bool, or func() string) {
	t.Helper()
	tick := time.NewTicker(10 * time.Millisecond)
	defer tick.Stop()
	end := time.NewTimer(time.Minute)
	defer end.Stop()
	for !is() {
		select {
		case <-tick.C:
		case <-end.C:
			t.Fatal(or())
		}
	}
}

func TestHowMuchOneCallerMayAskFor(t *testing.T) {
	now := time.Unix(1000, 0)
	p := New(Options{Now: func() time.Time { return now }})
	admitted := func(caller string, n int) bool {
		done, err := p.Admit(caller, n)
		if err != nil && !errors.Is(err, ErrBusy) {
			t.Error(err)
		}
		if done != nil {
			done()
		}
		return err == nil
	}
	for range probesAtOnce / remote.MaxProbes {
		if !admitted("operator", remote.MaxProbes) {
			t.Fatal("refused at once")
		}
	}
	if admitted("operator", 1) {
		t.Error("one caller may ask for more than there is")
	}
	if !admitted("another", remote.MaxProbes) {
		t.Error("another caller pays for it")
	}
	now = now.Add(time.Second)
	if !admitted("operator", probesPerSecond) || admitted("operator", 1) {
		t.Error("a second later it is another number")
	}
	for n := range requests {
		if _, err := p.Admit(strconv.Itoa(n), 1); err != nil {
			t.Fatalf("request %d: %v", n, err)
		}
	}
	if _, err := p.Admit("one more", 1); !errors.Is(err, ErrBusy) {
		t.Errorf("beyond all bounds: %v", err)
	}
}

func TestWhomTheMachineTrusts(t *testing.T) {
	s := httptest.NewTLSServer(http.NotFoundHandler())
	t.Cleanup(s.Close)
	bundle := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: s.Certificate().Raw})
	want := x509.NewCertPool()
	want.AddCert(s.Certificate())
	nobody := func() (*x509.CertPool, error) { return x509.NewCertPool(), nil }
	root := t.TempDir()
	file := filepath.Join(root, "etc/pki/tls/certs/ca-bundle.crt")
	if err := os.MkdirAll(filepath.Dir(file), 0o750); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(root, "etc/real.pem"), bundle, 0o600); err != nil {
		t.Fatal(err)
	}
	// As the machine means it.
	if err := os.Symlink("/etc/real.pem", file); err != nil {
		t.Fatal(err)
	}
	for name, tc := range map[string]struct {
		of      *authorities
		want    *x509.CertPool
		wantErr error
	}{
		"the image's":   {&authorities{system: func() (*x509.CertPool, error) { return want, nil }}, want, nil},
		"the machine's": {&authorities{system: nobody, host: monitor.Host{Root: root}}, want, nil},
		"nobody":        {&authorities{system: nobody, host: monitor.Host{Root: t.TempDir()}}, nil, errNoRoots},
	} {
		t.Run(name, func(t *testing.T) {
			for range 2 {
				got, err := tc.of.pool()
				if !errors.Is(err, tc.wantErr) || (err == nil && !got.Equal(tc.want)) {
					t.Errorf("%v, %v", got, err)
				}
			}
		})
	}
	p := newProber()
	p.roots.system, p.roots.host = nobody, monitor.Host{Root: t.TempDir()}
	server := serve(t, http.NotFoundHandler(), true)
	verified := remote.Probe{Addresses: []string{at(server)}, HTTP: &remote.HTTP{URL: server.URL, Security: &remote.Security{ServerName: "example.com"}}}
	shaken := remote.Probe{Addresses: []string{at(server)}, TLS: &remote.TLS{Address: at(server)}}
	for _, a := range ask(t, p, time.Minute, verified, shaken) {
		if diff := cmp.Diff("unasked: "+errNoRoots.Error(), words(a)); diff != "" {
			t.Errorf("where nobody is trusted (-want +got):\n%s", diff)
		}
	}
}

// TestSeveralAddresses holds that a target which answers at one of them answers.
func TestSeveralAddresses(t *testing.T) {
	closed := listen(t)
	nobody := closed.Addr().String()
	_ = closed.Close()
	s := serve(t, http.HandlerFunc(func(http.ResponseWriter, *http.Request) {}), false)
	_, port, err := net.SplitHostPort(at(s))
	if err != nil {
		t.Fatal(err)
	}
	to := func(addresses ...string) remote.Probe {
		return remote.Probe{Addresses: addresses, HTTP: &remote.HTTP{URL: (&url.URL{Scheme: "http", Host: "front:" + port}).String()}}
	}
	host, _, _ := net.SplitHostPort(nobody)
	got := ask(t, newProber(), 10*time.Second, to(nobody, at(s)), to("[fd00::dead]:"+port, net.JoinHostPort(host, port)), to(nobody))
	if words(got[0]) != "success: " || words(got[1]) != "success: " || !strings.Contains(words(got[2]), "none of the addresses") {
		t.Errorf("%s; %s; %s", words(got[0]), words(got[1]), words(got[2]))
	}
}
