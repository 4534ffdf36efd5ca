package main

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"text/tabwriter"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/health/grpc_health_v1"

	"github.com/maek-dev/maek/internal/probe"
)

const (
	// patience is long enough for no probe to end by it.
	patience = 20 * time.Second
	// batch is how many operations there are in a round of each side of a pair.
	batch = 100
)

// pair is a probe and what it is measured beside, in turns of a batch each: whatever else the machine does
// then, it does to both.
type pair struct {
	Name, Beside string
	bare, probe  func(context.Context) error
}

// cost is of one operation: processor time of the client, in microseconds, allocations, and bytes of them.
type cost struct{ Processor, Allocations, Bytes float64 }

// paired is what was seen of a pair: medians over rounds, of the ratio as well.
type paired struct {
	Name, Beside string
	Bare, Probe  cost
	Ratio        float64
}

func measurePairs(ctx context.Context, in io.Reader, out io.Writer, o options) error {
	var where servers
	if err := json.NewDecoder(in).Decode(&where); err != nil {
		return fmt.Errorf("reading where the server is: %w", err)
	}
	all, err := pairs(where)
	if err != nil {
		return err
	}
	var got []paired
	for _, p := range all {
		if o.one != "" && !strings.HasPrefix(p.Name, o.one) {
			continue
		}
		one, err := p.measure(ctx, o.rounds)
		if err != nil {
			return fmt.Errorf("measuring %s: %w", p.Name, err)
		}
		got = append(got, one)
	}
	return json.NewEncoder(out).Encode(got)
}

func (p pair) measure(ctx context.Context, rounds int) (paired, error) {
	got := paired{Name: p.Name, Beside: p.Beside}
	var bare, probe []cost
	var ratios []float64
	for round := range rounds + 1 {
		a, err := measureBatch(ctx, p.bare)
		if err != nil {
			return got, err
		}
		b, err := measureBatch(ctx, p.probe)
		if err != nil {
			return got, err
		}
		if round == 0 {
			continue // what is made once
		}
		bare, probe = append(bare, a), append(probe, b)
		ratios = append(ratios, b.Processor/a.Processor)
	}
	got.Bare, got.Probe, got.Ratio = medians(bare), medians(probe), median(ratios)
	return got, nil
}

func measureBatch(ctx context.Context, run func(context.Context) error) (cost, error) {
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	began, err := processorTime()
	if err != nil {
		return cost{}, err
	}
	for range batch {
		if err := run(ctx); err != nil {
			return cost{}, err
		}
	}
	ended, err := processorTime()
	if err != nil {
		return cost{}, err
	}
	runtime.ReadMemStats(&after)
	return cost{
		Processor:   float64((ended - began).Nanoseconds()) / 1000 / batch,
		Allocations: float64(after.Mallocs-before.Mallocs) / batch,
		Bytes:       float64(after.TotalAlloc-before.TotalAlloc) / batch,
	}, nil
}

// processorTime is what this process has used. Unlike the time that passes it does not depend on what else a
// machine does.
func processorTime() (time.Duration, error) {
	var used syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &used); err != nil {
		return 0, fmt.Errorf("reading the processor time: %w", err)
	}
	return time.Duration(used.Utime.Nano() + used.Stime.Nano()), nil
}

func median(values []float64) float64 {
	slices.Sort(values)
	return values[len(values)/2]
}

func medians(costs []cost) cost {
	of := func(field func(cost) float64) float64 {
		var values []float64
		for _, c := range costs {
			values = append(values, field(c))
		}
		return median(values)
	}
	return cost{
		Processor:   of(func(c cost) float64 { return c.Processor }),
		Allocations: of(func(c cost) float64 { return c.Allocations }),
		Bytes:       of(func(c cost) float64 { return c.Bytes }),
	}
}

// pairs are those that are measured. Every connection is new: that is what a probe asks after.
func pairs(where servers) ([]pair, error) {
	certificate, err := x509.ParseCertificate(where.Certificate)
	if err != nil {
		return nil, fmt.Errorf("reading the server's certificate: %w", err)
	}
	roots := x509.NewCertPool()
	roots.AddCert(certificate)
	prober := probe.New(probe.Options{Now: time.Now})
	ask := func(target probe.Target) func(context.Context) error {
		return func(ctx context.Context) error {
			if got := prober.Probe(ctx, target, patience); !got.Kubelet.Passed() {
				return errors.New(got.Kubelet.Message)
			}
			return nil
		}
	}
	plain, secure := "http://"+where.HTTP[0]+"/healthz", "https://"+where.HTTPS+"/healthz"
	probes := []struct {
		name   string
		target probe.Target
		same   string
		bare   func(context.Context) error
	}{
		{"HTTP", getOf(plain), "", nil},
		{"HTTPS", getOf(secure), "GET, HTTPS", bareGet(secure)},
		{"TCP", probe.TCP{Address: where.HTTP[0]}, "net.Dialer", bareDial(where.HTTP[0])},
		{
			"TLS",
			probe.TLS{Address: where.HTTPS, ServerName: "example.com", Roots: roots},
			"tls.Dialer", bareHandshake(where.HTTPS, &tls.Config{ServerName: "example.com", RootCAs: roots, MinVersion: tls.VersionTLS12}),
		},
		{"gRPC", probe.GRPC{Address: where.GRPC, UserAgent: "kube-probe/1.36"}, "grpc-go", bareHealth(where.GRPC)},
	}
	var all []pair
	for _, p := range probes {
		all = append(all, pair{Name: p.name, Beside: "GET", bare: bareGet(plain), probe: ask(p.target)})
		if p.bare != nil {
			all = append(all, pair{Name: p.name, Beside: p.same, bare: p.bare, probe: ask(p.target)})
		}
	}
	return all, nil
}

func getOf(address string) probe.HTTP {
	u, err := url.Parse(address)
	if err != nil {
		panic(err) // of our own making
	}
	return probe.HTTP{URL: u, Header: header()}
}

// bareGet gets a URL as one would without our package.
func bareGet(address string) func(context.Context) error {
	client := http.Client{Timeout: patience, Transport: &http.Transport{
		DisableKeepAlives: true,
		TLSClientConfig:   &tls.Config{InsecureSkipVerify: true},
	}}
	return func(ctx context.Context) error {
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
	}
}

func bareDial(address string) func(context.Context) error {
	dialer := net.Dialer{Timeout: patience}
	return func(ctx context.Context) error {
		conn, err := dialer.DialContext(ctx, "tcp", address)
		if err != nil {
			return err
		}
		return conn.Close()
	}
}

func bareHandshake(address string, config *tls.Config) func(context.Context) error {
	dialer := tls.Dialer{NetDialer: &net.Dialer{Timeout: patience}, Config: config}
	return func(ctx context.Context) error {
		conn, err := dialer.DialContext(ctx, "tcp", address)
		if err != nil {
			return err
		}
		return conn.Close()
	}
}

// bareHealth makes a health call as people write it.
func bareHealth(address string) func(context.Context) error {
	return func(ctx context.Context) error {
		ctx, cancel := context.WithTimeout(ctx, patience)
		defer cancel()
		conn, err := grpc.NewClient("passthrough:///"+address, grpc.WithTransportCredentials(insecure.NewCredentials()))
		if err != nil {
			return err
		}
		defer conn.Close()
		_, err = grpc_health_v1.NewHealthClient(conn).Check(ctx, &grpc_health_v1.HealthCheckRequest{})
		return err
	}
}

// comparePairs measures what each probe costs.
func comparePairs(ctx context.Context, out io.Writer, o options) (err error) {
	if o.only != "" && o.only != "pairs" {
		return nil
	}
	server, err := start(ctx, last(), "server", "-delay", "0s")
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, server.end()) }()
	var where servers
	if err := server.hear(&where); err != nil {
		return err
	}
	p, err := start(ctx, first(), "pairs", "-rounds", strconv.Itoa(o.rounds), "-case", o.one, "-cpuprofile", o.cpuProfile)
	if err != nil {
		return err
	}
	if err := p.tell(where); err != nil {
		return err
	}
	var got []paired
	if err := p.hear(&got); err != nil {
		return err
	}
	if err := p.end(); err != nil {
		return err
	}
	fmt.Fprintf(out, "A probe beside bare clients, each in a connection of its own: medians of %d rounds of %d in turns, one core\n", o.rounds, batch)
	table := tabwriter.NewWriter(out, 0, 0, 2, ' ', 0)
	fmt.Fprintln(table, "probe\tbeside\tprocessor\tbare\tratio\tallocations\tbare\tbytes\tbare")
	for _, g := range got {
		fmt.Fprintf(table, "%s\t%s\t%.0f µs\t%.0f µs\t%.2f\t%.0f\t%.0f\t%.0f\t%.0f\n", g.Name, g.Beside, g.Probe.Processor, g.Bare.Processor, g.Ratio,
			g.Probe.Allocations, g.Bare.Allocations, g.Probe.Bytes, g.Bare.Bytes)
	}
	return table.Flush()
}
