package main

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"runtime"
	"runtime/metrics"
	"text/tabwriter"
	"time"

	"github.com/maek-dev/maek/internal/probe"
)

const (
	// waiters are how many wait for an answer at a time where it is measured what they hold meanwhile.
	waiters = 1000
	// hangs is after how long the server answers them, which nobody waits for.
	hangs = time.Minute
	// settles is how long it takes all of them at most until they wait.
	settles = 3 * time.Second
)

// held is what one that waits holds, in bytes, after the garbage has been collected.
type held struct{ Heap, Stacks uint64 }

func read() held {
	runtime.GC()
	samples := []metrics.Sample{{Name: "/memory/classes/heap/objects:bytes"}, {Name: "/memory/classes/heap/stacks:bytes"}}
	metrics.Read(samples)
	return held{samples[0].Value.Uint64(), samples[1].Value.Uint64()}
}

// measureWaiting has many wait for an answer, and tells what each holds.
func measureWaiting(ctx context.Context, in io.Reader, out io.Writer, o options) error {
	var where servers
	if err := json.NewDecoder(in).Decode(&where); err != nil {
		return fmt.Errorf("reading where the server is: %w", err)
	}
	address := "http://" + where.HTTP[0] + "/healthz"
	ask := bareGet(address)
	if o.one == "probe" {
		prober, target := probe.New(probe.Options{Now: time.Now}), getOf(address)
		ask = func(ctx context.Context) error { return prober.Probe(ctx, target, hangs).Err }
	}
	ctx, stop := context.WithCancel(ctx)
	defer stop()
	before := read()
	for range waiters {
		go func() { _ = ask(ctx) }() // how it ends is not what is measured
		if err := wait(ctx, time.Millisecond); err != nil {
			return err
		}
	}
	if err := wait(ctx, settles); err != nil {
		return err
	}
	after := read()
	return json.NewEncoder(out).Encode(held{(after.Heap - before.Heap) / waiters, (after.Stacks - before.Stacks) / waiters})
}

// compareWaiting measures what a probe holds while it waits, beside a bare GET.
func compareWaiting(ctx context.Context, out io.Writer, o options) error {
	if o.only != "" && o.only != "waiting" {
		return nil
	}
	fmt.Fprintf(out, "\nWhat each of %d holds that waits for its answer, after a collection\n", waiters)
	table := tabwriter.NewWriter(out, 0, 0, 2, ' ', 0)
	fmt.Fprintln(table, "\theap\tstacks")
	for _, who := range []string{"bare GET", "probe"} {
		got, err := heldBy(ctx, who)
		if err != nil {
			return err
		}
		fmt.Fprintf(table, "%s\t%.1f KiB\t%.1f KiB\n", who, float64(got.Heap)/1024, float64(got.Stacks)/1024)
	}
	return table.Flush()
}

func heldBy(ctx context.Context, who string) (got held, err error) {
	server, err := start(ctx, last(), "server", "-delay", hangs.String())
	if err != nil {
		return got, err
	}
	defer func() { _ = server.end() }()
	var where servers
	if err := server.hear(&where); err != nil {
		return got, err
	}
	p, err := start(ctx, first(), "waiting", "-case", who)
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
