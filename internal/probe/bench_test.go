package probe_test

import (
	"crypto/tls"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/health"
	"google.golang.org/grpc/health/grpc_health_v1"

	"github.com/maek-dev/maek/internal/probe"
)

// Each probe is measured beside a bare GET of net/http of the same server, in a connection of its own as
// well: "go test -bench . -benchmem ./internal/probe". Servers run in the same process, so that the
// difference between the two is what a probe costs more.

// bare gets a URL as one would without this package.
func bare(b *testing.B, address string) {
	b.Helper()
	transport := &http.Transport{
		DisableKeepAlives: true, ForceAttemptHTTP2: false,
		TLSClientConfig: &tls.Config{InsecureSkipVerify: true},
	}
	client := http.Client{Transport: transport, Timeout: time.Second}
	b.ReportAllocs()
	for b.Loop() {
		response, err := client.Get(address)
		if err != nil {
			b.Fatal(err)
		}
		_, err = io.Copy(io.Discard, response.Body)
		_ = response.Body.Close()
		if err != nil {
			b.Fatal(err)
		}
	}
}

func ask(b *testing.B, target probe.Target) {
	b.Helper()
	prober := probe.New(probe.Options{Now: wallClock})
	b.ReportAllocs()
	for b.Loop() {
		if got := prober.Probe(b.Context(), target, time.Second); !got.Kubelet.Passed() {
			b.Fatalf("%+v", got.Kubelet)
		}
	}
}

func healthy(w http.ResponseWriter, _ *http.Request) {
	_, _ = io.WriteString(w, "ok")
}

func httpTarget(b *testing.B, address string) probe.HTTP {
	b.Helper()
	u, err := url.Parse(address)
	if err != nil {
		b.Fatal(err)
	}
	return probe.HTTP{URL: u, Header: kubeHeader()}
}

func BenchmarkHTTP(b *testing.B) {
	server := httptest.NewServer(http.HandlerFunc(healthy))
	defer server.Close()
	b.Run("bare", func(b *testing.B) { bare(b, server.URL) })
	b.Run("probe", func(b *testing.B) { ask(b, httpTarget(b, server.URL)) })
}

func BenchmarkTCP(b *testing.B) {
	server := httptest.NewServer(http.HandlerFunc(healthy))
	defer server.Close()
	b.Run("bare", func(b *testing.B) { bare(b, server.URL) })
	b.Run("probe", func(b *testing.B) { ask(b, probe.TCP{Address: strings.TrimPrefix(server.URL, "http://")}) })
}

func BenchmarkTLS(b *testing.B) {
	server := httptest.NewTLSServer(http.HandlerFunc(healthy))
	defer server.Close()
	address := strings.TrimPrefix(server.URL, "https://")
	roots := server.Client().Transport.(*http.Transport).TLSClientConfig.RootCAs
	b.Run("bare", func(b *testing.B) { bare(b, server.URL) })
	b.Run("HTTPS probe", func(b *testing.B) { ask(b, httpTarget(b, server.URL)) })
	b.Run("probe", func(b *testing.B) { ask(b, probe.TLS{Address: address, ServerName: "example.com", Roots: roots}) })
}

func BenchmarkGRPC(b *testing.B) {
	web := httptest.NewServer(http.HandlerFunc(healthy))
	defer web.Close()
	listener, err := new(net.ListenConfig).Listen(b.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		b.Fatal(err)
	}
	server := grpc.NewServer()
	grpc_health_v1.RegisterHealthServer(server, health.NewServer())
	served := make(chan error, 1)
	go func() { served <- server.Serve(listener) }()
	defer func() {
		server.Stop()
		if err := <-served; err != nil {
			b.Error(err)
		}
	}()
	b.Run("bare", func(b *testing.B) { bare(b, web.URL) })
	b.Run("probe", func(b *testing.B) {
		ask(b, probe.GRPC{Address: listener.Addr().String(), UserAgent: "kube-probe/1.36"})
	})
}
