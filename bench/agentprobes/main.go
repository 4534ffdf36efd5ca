// Agentprobes measures what probes from a node add to its agent: processor time and memory of the agent's prober
// alone, asked for 200 HTTP checks every 10 s, with quick targets and with slow ones. It prints what it saw and
// judges nothing.
//
//	GOGC=40 go run ./bench/agentprobes
//
// It starts itself again as the server that is asked, and as the agent. GOGC=40 is what kubectl maek install gives agents.
package main

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/netip"
	"os"
	"os/exec"
	"os/signal"
	"runtime"
	"strings"
	"sync"
	"text/tabwriter"
	"time"

	"github.com/maek-dev/maek/bench/process"
	"github.com/maek-dev/maek/internal/agent/prober"
	"github.com/maek-dev/maek/internal/probe/remote"
)

const (
	// checks are asked of the agent, each once in a period.
	checks = 200
	period = 10 * time.Second
	// timeout of an attempt.
	timeout = time.Second
)

type options struct {
	as, server   string
	lasts, delay time.Duration
}

func main() {
	var o options
	flag.StringVar(&o.as, "as", "", "run as the server or as the agent")
	flag.StringVar(&o.server, "server", "", "where the server is, with -as agent")
	flag.DurationVar(&o.lasts, "for", 30*time.Second, "how long each case is measured")
	flag.DurationVar(&o.delay, "delay", 800*time.Millisecond, "after how long slow targets answer")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	err := run(ctx, o)
	stop()
	if err != nil {
		fmt.Fprintln(os.Stderr, "bench:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context, o options) error {
	switch o.as {
	case "":
		return compare(ctx, os.Stdout, o)
	case "server":
		return serve(ctx, os.Stdout, o.delay)
	case "agent":
		return measure(ctx, os.Stdout, o)
	default:
		return fmt.Errorf("-as %s: there are server and agent", o.as)
	}
}

// asked is what probes cost the agent that makes them. Allocated is in bytes a probe.
type asked struct {
	Runs, Failures int
	Failure        string
	Cores          float64
	Idle, Resident uint64
	Allocated      uint64
}

// measure has an agent's prober asked for probes, each in a request of its own as operators send it.
func measure(ctx context.Context, out io.Writer, o options) error {
	p := prober.New(prober.Options{Others: func() []netip.Addr { return nil }, Now: time.Now})
	document, err := json.Marshal(remote.NewRequest([]remote.Probe{{
		Addresses: []string{o.server}, Nodes: true,
		HTTP: &remote.HTTP{URL: "http://" + o.server + "/healthz", Header: http.Header{"User-Agent": {"kube-probe/1.36"}, "Accept": {"*/*"}}},
	}}, timeout))
	if err != nil {
		return fmt.Errorf("writing the request: %w", err)
	}
	runtime.GC()
	before, err := process.Of(os.Getpid())
	if err != nil {
		return err
	}
	var memory, after runtime.MemStats
	runtime.ReadMemStats(&memory)
	got := asked{Idle: before.Resident}
	var mu sync.Mutex
	var wg sync.WaitGroup
	began := time.Now()
	tick := time.NewTicker(period / checks)
	defer tick.Stop()
	for time.Since(began) < o.lasts {
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-tick.C:
		}
		wg.Go(func() {
			failure := ""
			if err := askAgent(ctx, p, document); err != nil {
				failure = err.Error()
			}
			mu.Lock()
			defer mu.Unlock()
			got.Runs++
			if failure != "" {
				got.Failures++
				got.Failure = failure
			}
		})
	}
	used, err := process.Of(os.Getpid())
	if err != nil {
		return err
	}
	runtime.ReadMemStats(&after)
	took := time.Since(began)
	wg.Wait()
	got.Cores = (used.Processor - before.Processor).Seconds() / took.Seconds()
	got.Resident, got.Allocated = used.Resident, (after.TotalAlloc-memory.TotalAlloc)/uint64(max(1, got.Runs))
	return json.NewEncoder(out).Encode(got)
}

// askAgent makes what a request asks for, from its document to that of its answer.
func askAgent(ctx context.Context, p *prober.Prober, document []byte) error {
	request, err := remote.DecodeRequest(bytes.NewReader(document))
	if err != nil {
		return err
	}
	done, err := p.Admit("operator", len(request.Probes))
	if err != nil {
		return err
	}
	defer done()
	var failed error
	p.Run(ctx, request, func(answer remote.Answer) error {
		if answer.Outcome == nil {
			failed = errors.New(answer.Unasked)
		} else if answer.Outcome.Kubelet.Result != "success" {
			failed = errors.New(string(answer.Outcome.Kubelet.Message))
		}
		return json.NewEncoder(io.Discard).Encode(answer)
	})
	return failed
}

// nodeAddress is one of this machine's that an agent may ask.
func nodeAddress() (string, error) {
	all, err := net.InterfaceAddrs()
	if err != nil {
		return "", fmt.Errorf("listing addresses: %w", err)
	}
	for _, a := range all {
		if prefix, err := netip.ParsePrefix(a.String()); err == nil && prefix.Addr().Is4() && prefix.Addr().IsGlobalUnicast() {
			return prefix.Addr().String(), nil
		}
	}
	return "", errors.New("this machine has no address but loopback, and agents do not ask that")
}

// serve serves until it is ended. It says where.
func serve(ctx context.Context, out io.Writer, delay time.Duration) error {
	host, err := nodeAddress()
	if err != nil {
		return err
	}
	listener, err := new(net.ListenConfig).Listen(ctx, "tcp", net.JoinHostPort(host, "0"))
	if err != nil {
		return fmt.Errorf("listening: %w", err)
	}
	if _, err := fmt.Fprintln(out, listener.Addr()); err != nil {
		return fmt.Errorf("saying where the server is: %w", err)
	}
	server := &http.Server{ReadHeaderTimeout: time.Minute, Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		select {
		case <-r.Context().Done():
		case <-time.After(delay):
		}
		_, _ = io.WriteString(w, "ok")
	})}
	return server.Serve(listener)
}

// compare measures an agent whose targets are quick, and one whose targets are slow.
func compare(ctx context.Context, out io.Writer, o options) error {
	fmt.Fprintf(out, "%d HTTP checks every %s from one agent\n", checks, period)
	table := tabwriter.NewWriter(out, 0, 0, 2, ' ', 0)
	fmt.Fprintln(table, "targets\truns/s\tcores\tidle RSS\tRSS\tallocated a probe\tfailures")
	for _, load := range []struct {
		name  string
		delay time.Duration
	}{{"quick", 0}, {"slow", o.delay}} {
		got, err := measured(ctx, load.delay, o.lasts)
		if err != nil {
			return err
		}
		fmt.Fprintf(table, "%s\t%.0f\t%.3f\t%.1f MiB\t%.1f MiB\t%d B\t%d %s\n", load.name, float64(got.Runs)/o.lasts.Seconds(), got.Cores,
			mib(got.Idle), mib(got.Resident), got.Allocated, got.Failures, got.Failure)
	}
	return table.Flush()
}

// measured starts a server and an agent, and returns what the agent saw.
func measured(ctx context.Context, delay, lasts time.Duration) (got asked, err error) {
	self, err := os.Executable()
	if err != nil {
		return got, fmt.Errorf("finding this program: %w", err)
	}
	ctx, stop := context.WithCancel(ctx)
	defer stop()
	server := exec.CommandContext(ctx, self, "-as", "server", "-delay", delay.String())
	server.Stderr = os.Stderr
	says, err := server.StdoutPipe()
	if err != nil {
		return got, fmt.Errorf("starting the server: %w", err)
	}
	if err := server.Start(); err != nil {
		return got, fmt.Errorf("starting the server: %w", err)
	}
	defer func() {
		stop()
		_ = server.Wait() // it was ended
	}()
	where, err := bufio.NewReader(says).ReadString('\n')
	if err != nil {
		return got, fmt.Errorf("waiting for the server: %w", err)
	}
	agent := exec.CommandContext(ctx, self, "-as", "agent", "-server", strings.TrimSpace(where), "-for", lasts.String())
	agent.Stderr = os.Stderr
	seen, err := agent.Output()
	if err != nil {
		return got, fmt.Errorf("running the agent: %w", err)
	}
	if err := json.Unmarshal(seen, &got); err != nil {
		return got, fmt.Errorf("reading what the agent says: %w", err)
	}
	return got, nil
}

func mib(bytes uint64) float64 { return float64(bytes) / (1 << 20) }
