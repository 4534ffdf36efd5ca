package probe_test

import (
	"context"
	"crypto/tls"
	"io"
	"net/http"
	"net/url"
	"syscall"
	"testing"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/health/grpc_health_v1"

	"github.com/maek-dev/maek/internal/probe"
)

// Each probe is measured beside a bare GET of net/http, in a connection of its own as well:
//
//	go test -run '^$' -bench . -benchmem ./internal/probe
//
// Servers run in processes of their own. cpu-µs/op is the processor time of this one, which, unlike the
// time that passes, does not depend on what else a machine does.

const patience = 20 * time.Second

// measure runs an operation, and reports the processor time that it takes.
func measure(b *testing.B, run func(ctx context.Context) error) {
	b.Helper()
	b.ReportAllocs()
	began := processorTime(b)
	for b.Loop() {
		if err := run(b.Context()); err != nil {
			b.Fatal(err)
		}
	}
	b.ReportMetric(float64((processorTime(b)-began).Microseconds())/float64(b.N), "cpu-µs/op")
}

func processorTime(b *testing.B) time.Duration {
	b.Helper()
	var used syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &used); err != nil {
		b.Fatal(err)
	}
	return time.Duration(used.Utime.Nano() + used.Stime.Nano())
}

// bare gets a URL as one would without this package.
func bare(b *testing.B, address string) {
	b.Helper()
	client := http.Client{Timeout: patience, Transport: &http.Transport{
		DisableKeepAlives: true,
		TLSClientConfig:   &tls.Config{InsecureSkipVerify: true},
	}}
	measure(b, func(ctx context.Context) error {
		request, err := http.NewRequestWithContext(ctx, http.MethodGet, address, http.NoBody)
		if err != nil {
			return err
		}
		response, err := client.Do(request)
		if err != nil {
			return err
		}
		defer response.Body.Close()
		_, err = io.Copy(io.Discard, response.Body)
		return err
	})
}

func ask(b *testing.B, target probe.Target) {
	b.Helper()
	prober := probe.New(probe.Options{Now: wallClock})
	measure(b, func(ctx context.Context) error {
		if got := prober.Probe(ctx, target, patience); !got.Kubelet.Passed() {
			b.Fatalf("%+v", got.Kubelet)
		}
		return nil
	})
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
	address, _, _ := elsewhere(b, "http")
	b.Run("bare", func(b *testing.B) { bare(b, address) })
	b.Run("probe", func(b *testing.B) { ask(b, httpTarget(b, address)) })
}

func BenchmarkTCP(b *testing.B) {
	url, address, _ := elsewhere(b, "http")
	b.Run("bare HTTP", func(b *testing.B) { bare(b, url) })
	b.Run("probe", func(b *testing.B) { ask(b, probe.TCP{Address: address}) })
}

func BenchmarkTLS(b *testing.B) {
	url, address, roots := elsewhere(b, "https")
	b.Run("bare", func(b *testing.B) { bare(b, url) })
	b.Run("HTTPS probe", func(b *testing.B) { ask(b, httpTarget(b, url)) })
	b.Run("probe", func(b *testing.B) {
		ask(b, probe.TLS{Address: address, ServerName: "example.com", Roots: roots})
	})
}

// BenchmarkGRPC has two things to be measured beside: a GET, and a health call as people write it.
func BenchmarkGRPC(b *testing.B) {
	url, _, _ := elsewhere(b, "http")
	_, address, _ := elsewhere(b, "grpc")
	b.Run("bare HTTP", func(b *testing.B) { bare(b, url) })
	b.Run("bare", func(b *testing.B) {
		measure(b, func(ctx context.Context) error {
			conn, err := grpc.NewClient("passthrough:///"+address, grpc.WithTransportCredentials(insecure.NewCredentials()))
			if err != nil {
				return err
			}
			defer conn.Close()
			_, err = grpc_health_v1.NewHealthClient(conn).Check(ctx, &grpc_health_v1.HealthCheckRequest{})
			return err
		})
	})
	b.Run("probe", func(b *testing.B) { ask(b, probe.GRPC{Address: address, UserAgent: "kube-probe/1.36"}) })
}
