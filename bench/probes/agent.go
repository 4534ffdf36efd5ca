package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/netip"
	"os"
	"runtime"
	"sync"
	"text/tabwriter"
	"time"

	"github.com/maek-dev/maek/bench/process"
	"github.com/maek-dev/maek/internal/agent/prober"
	"github.com/maek-dev/maek/internal/probe/remote"
)

const (
	// agentGOGC is that of agents, as kubectl maek install sets it.
	agentGOGC = "40"
	// agentChecks are asked of one agent, each once in the period.
	agentChecks = 200
)

// asked is what probes cost the agent that makes them. Allocated is in bytes a probe.
type asked struct {
	Runs, Failures int
	Failure        string
	Cores          float64
	Idle, Resident uint64
	Allocated      uint64
}

// measureAgent has an agent's prober asked for probes, each in a request of its own as operators send it.
func measureAgent(ctx context.Context, in io.Reader, out io.Writer, o options) error {
	var where servers
	if err := json.NewDecoder(in).Decode(&where); err != nil {
		return fmt.Errorf("reading where the server is: %w", err)
	}
	p := prober.New(prober.Options{Others: func() []netip.Addr { return nil }, Now: time.Now})
	document, err := json.Marshal(remote.NewRequest([]remote.Probe{{
		Addresses: []string{where.Node}, Nodes: true,
		HTTP: &remote.HTTP{URL: "http://" + where.Node + "/healthz", Header: header()},
	}}, o.timeout))
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
	tick := time.NewTicker(o.period / agentChecks)
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

// errNoAddress is the error of a machine on which no agent can be measured.
var errNoAddress = errors.New("this machine has no address but loopback, and agents do not ask that")

// nodeAddress is one of this machine's that an agent may ask; "" where there is none.
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
	return "", nil
}

// compareAgent measures what probes from a node add to an agent.
func compareAgent(ctx context.Context, out io.Writer, o options) error {
	if o.only != "" && o.only != "agent" {
		return nil
	}
	fmt.Fprintf(out, "\n%d HTTP checks every %s from one agent, one core\n", agentChecks, o.period)
	table := tabwriter.NewWriter(out, 0, 0, 2, ' ', 0)
	fmt.Fprintln(table, "targets\truns/s\tcores\tidle RSS\tRSS\tallocated a probe\tfailures")
	for _, delay := range []time.Duration{0, o.delay} {
		got, err := askedOf(ctx, delay, o)
		if err != nil {
			return err
		}
		name := "quick"
		if delay > 0 {
			name = "slow"
		}
		fmt.Fprintf(table, "%s\t%.0f\t%.3f\t%.1f MiB\t%.1f MiB\t%d B\t%d %s\n", name, float64(got.Runs)/o.lasts.Seconds(), got.Cores,
			mib(got.Idle), mib(got.Resident), got.Allocated, got.Failures, got.Failure)
	}
	return table.Flush()
}

func askedOf(ctx context.Context, delay time.Duration, o options) (got asked, err error) {
	server, err := start(ctx, last(), "server", "-delay", delay.String())
	if err != nil {
		return got, err
	}
	defer func() { err = errors.Join(err, server.end()) }()
	var where servers
	if err := server.hear(&where); err != nil {
		return got, err
	}
	if where.Node == "" {
		return got, errNoAddress
	}
	p, err := start(ctx, first(), "agent", "-period", o.period.String(), "-timeout", o.timeout.String(), "-for", o.lasts.String())
	if err != nil {
		return got, err
	}
	if err := p.tell(where); err != nil {
		return got, err
	}
	if err := p.hear(&got); err != nil {
		return got, err
	}
	return got, p.end()
}
