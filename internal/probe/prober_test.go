package probe_test

import (
	"context"
	"errors"
	"net"
	"net/url"
	"os"
	"os/exec"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/maek-dev/maek/internal/probe"
	"github.com/maek-dev/maek/internal/probe/probetest"
)

// silent is a network in which connections are opened and nothing is ever said, in the time of a bubble.
func silent(ctx context.Context, _, _ string) (net.Conn, error) {
	ours, theirs := net.Pipe()
	go func() {
		// Reads what is written, so that only the answer is missing.
		var rest [4096]byte
		for {
			if _, err := theirs.Read(rest[:]); err != nil {
				return
			}
		}
	}()
	return ours, nil
}

func target(t *testing.T, text string) probe.HTTP {
	t.Helper()
	u, err := url.Parse(text)
	if err != nil {
		t.Fatal(err)
	}
	return probe.HTTP{URL: u}
}

func TestEveryKindEndsByItsTimeout(t *testing.T) {
	tests := map[string]func(t *testing.T) probe.Target{
		"HTTP":         func(t *testing.T) probe.Target { return target(t, "http://10.0.0.7/") },
		"HTTPS":        func(t *testing.T) probe.Target { return target(t, "https://10.0.0.7/") },
		"gRPC":         func(*testing.T) probe.Target { return probe.GRPC{Address: "10.0.0.7:1"} },
		"TLS":          func(*testing.T) probe.Target { return probe.TLS{Address: "10.0.0.7:1"} },
		"DNS":          func(*testing.T) probe.Target { return probe.DNS{Server: "10.0.0.7:53", Name: "a", OverTCP: true} },
		"DNS over UDP": func(*testing.T) probe.Target { return probe.DNS{Server: "10.0.0.7:53", Name: "a"} },
	}
	for name, make := range tests {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				prober := probe.New(probe.Options{Now: wallClock, Dial: silent})
				for _, tc := range []struct{ timeout, want time.Duration }{{3 * time.Second, 3 * time.Second}, {0, probe.DefaultTimeout}} {
					got := prober.Probe(t.Context(), make(t), tc.timeout)
					if !got.Strict.Failed() || got.Latency != tc.want {
						t.Errorf("with a timeout of %v: after %v %s: %s", tc.timeout, got.Latency, got.Strict.Result, got.Strict.Message)
					}
				}
			})
		})
	}
}

func TestTCPEndsByItsTimeout(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		prober := probe.New(probe.Options{Now: wallClock, Dial: func(ctx context.Context, _, _ string) (net.Conn, error) {
			<-ctx.Done()
			return nil, ctx.Err()
		}})
		got := prober.Probe(t.Context(), probe.TCP{Address: "10.0.0.7:1"}, 3*time.Second)
		if !got.Strict.Failed() || got.Latency != 3*time.Second || got.Phases.Connect != 3*time.Second {
			t.Errorf("%+v", got)
		}
	})
}

func TestConnectionsAreMadeWhereTheOptionsSay(t *testing.T) {
	port := probetest.Listen(t, nil, func(c *probetest.Conn) {
		c.ReadHead()
		c.Say("HTTP/1.1 200 OK\r\nX-Who: me\r\nContent-Length: 4\r\n\r\nfine")
	})
	asked := ""
	prober := probe.New(probe.Options{Now: wallClock, Dial: func(ctx context.Context, network, address string) (net.Conn, error) {
		asked = network + " " + address
		return new(net.Dialer).DialContext(ctx, network, "127.0.0.1:"+strconv.Itoa(port))
	}})
	got := prober.Probe(t.Context(), target(t, "http://nobody.example.org:81/x"), 20*time.Second)
	if got.Kubelet.Result != probe.Success || asked != "tcp nobody.example.org:81" {
		t.Fatalf("%+v after dialling %s", got.Kubelet, asked)
	}
	if got.HTTP == nil || got.HTTP.Status != 200 || got.HTTP.Header.Get("X-Who") != "me" || got.HTTP.Body != "fine" || got.HTTP.Cut {
		t.Errorf("the answer: %+v", got.HTTP)
	}
	if sum := got.Phases.Connect + got.Phases.Wait + got.Phases.Read; sum <= 0 || sum > got.Latency {
		t.Errorf("phases of %v in a latency of %v: %+v", sum, got.Latency, got.Phases)
	}
}

// TestNoProxyIsUsed runs in a process of its own: what the environment says of proxies is read once in each
// (net/http, ProxyFromEnvironment).
func TestNoProxyIsUsed(t *testing.T) {
	const inside = "MAEK_TEST_WITH_PROXIES"
	if os.Getenv(inside) == "" {
		own := exec.CommandContext(t.Context(), os.Args[0], "-test.run=^TestNoProxyIsUsed$")
		own.Env = append(os.Environ(), inside+"=yes")
		for _, name := range []string{"HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY"} {
			own.Env = append(own.Env, name+"=http://127.0.0.1:1", strings.ToLower(name)+"=http://127.0.0.1:1")
		}
		own.Env = append(own.Env, "NO_PROXY=", "no_proxy=")
		if out, err := own.CombinedOutput(); err != nil {
			t.Errorf("%v\n%s", err, out)
		}
		return
	}
	synctest.Test(t, func(t *testing.T) {
		var mu sync.Mutex
		var asked []string
		prober := probe.New(probe.Options{Now: wallClock, Dial: func(_ context.Context, _, address string) (net.Conn, error) {
			mu.Lock()
			defer mu.Unlock()
			asked = append(asked, address)
			return nil, errors.New("not today")
		}})
		for _, each := range []probe.Target{
			target(t, "http://shop.example.org/"),
			target(t, "https://shop.example.org/"),
			probe.GRPC{Address: "shop.example.org:9090"},
			probe.TCP{Address: "shop.example.org:22"},
		} {
			prober.Probe(t.Context(), each, time.Second)
		}
		if got, want := strings.Join(slices.Compact(asked), " "), "shop.example.org:80 shop.example.org:443 shop.example.org:9090 shop.example.org:22"; got != want {
			t.Errorf("dialled %s, want %s", got, want)
		}
	})
}

func TestABodyLongerThanTheKubeletReads(t *testing.T) {
	long := strings.Repeat("x", 3*probe.KubeletBodyLimit)
	tests := map[string]struct {
		answer string
		want   probe.Difference
		strict bool
		// discarded is what the kubelet does with it.
		discarded bool
	}{
		"a whole one":         {answer: "Content-Length: " + strconv.Itoa(len(long)) + "\r\n\r\n" + long, strict: true},
		"one that is cut off": {answer: "Content-Length: " + strconv.Itoa(len(long)+1) + "\r\n\r\n" + long, want: probe.BodyLost},
		"one that is cut off where the kubelet stops reading": {
			answer: "Content-Length: " + strconv.Itoa(len(long)) + "\r\n\r\n" + long[:probe.KubeletBodyLimit], want: probe.BodyLost,
		},
		"one that is cut off before that": {
			answer: "Content-Length: " + strconv.Itoa(len(long)) + "\r\n\r\n" + long[1:probe.KubeletBodyLimit], want: probe.BodyLost, discarded: true,
		},
		"one that never comes": {answer: "Content-Length: 1\r\n\r\n", want: probe.BodyLost, discarded: true},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			port := probetest.Listen(t, nil, func(c *probetest.Conn) {
				c.ReadHead()
				c.Say("HTTP/1.1 200 OK\r\nConnection: close\r\n" + tc.answer)
			})
			asked := target(t, "http://127.0.0.1:"+strconv.Itoa(port))
			asked.BodyLimit = 1 << 20
			got := probe.New(probe.Options{Now: wallClock}).Probe(t.Context(), asked, 20*time.Second)
			if got.Difference != tc.want || got.Strict.Passed() != tc.strict {
				t.Errorf("difference %q, strictly %s: want %q, passed %t", got.Difference, got.Strict.Result, tc.want, tc.strict)
			}
			if got.Kubelet.Discarded != tc.discarded || got.Kubelet.Passed() == tc.discarded {
				t.Errorf("the kubelet's verdict: %s, discarded %t; want %t", got.Kubelet.Result, got.Kubelet.Discarded, tc.discarded)
			}
			if len(got.HTTP.Body) > probe.KubeletBodyLimit && got.Kubelet.Message != long[:probe.KubeletBodyLimit] {
				t.Errorf("the kubelet's message has %d bytes, %d read", len(got.Kubelet.Message), len(got.HTTP.Body))
			}
		})
	}
}

func TestRedirectsEndAfterTenRequests(t *testing.T) {
	var asked atomic.Int32
	port := probetest.Listen(t, nil, func(c *probetest.Conn) {
		c.ReadHead()
		asked.Add(1)
		c.Say("HTTP/1.1 302 Found\r\nLocation: /again\r\nConnection: close\r\nContent-Length: 0\r\n\r\n")
	})
	probe.New(probe.Options{Now: wallClock}).Probe(t.Context(), target(t, "http://127.0.0.1:"+strconv.Itoa(port)), 20*time.Second)
	if got := asked.Load(); got != 10 {
		t.Errorf("%d requests were made, want 10", got)
	}
}

// TestHostileServersCostLittleMemory: none of the servers that say more than they should makes an
// attempt allocate more than the largest head that is read, a few times over.
func TestHostileServersCostLittleMemory(t *testing.T) {
	const allowed = 8 << 20
	prober := probe.New(probe.Options{Now: wallClock})
	for _, name := range []string{"a body without end", "headers without end", "hints without end"} {
		t.Run(name, func(t *testing.T) {
			tc := probetest.HTTP()[name]
			get, port := tc.Start(t)
			asked := target(t, "http://127.0.0.1:"+strconv.Itoa(port)+get.Path)
			var before, after runtime.MemStats
			runtime.ReadMemStats(&before)
			prober.Probe(t.Context(), asked, 20*time.Second)
			runtime.ReadMemStats(&after)
			if took := after.TotalAlloc - before.TotalAlloc; took > allowed {
				t.Errorf("%d bytes were allocated, more than %d", took, allowed)
			}
		})
	}
}
