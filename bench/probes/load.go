package main

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"os"
	"runtime"
	"runtime/metrics"
	"strconv"
	"sync"
	"text/tabwriter"
	"time"

	"github.com/cespare/xxhash/v2"
	"k8s.io/utils/clock"

	"github.com/maek-dev/maek/bench/process"
	"github.com/maek-dev/maek/internal/probe"
	"github.com/maek-dev/maek/internal/probe/schedule"
)

// loaded is what was seen of a load. Times are in milliseconds.
type loaded struct {
	Runs, Skipped, Withheld, Failures int
	Lag50, Lag99, LagMax              float64
	Took50, Took99, TookMax           float64
	Cores                             float64
	Resident, Peak, Files             uint64
	// Heap is what was reachable at the last collection, and Stacks those of goroutines, where they were most together.
	Heap, Stacks           uint64
	Goroutines, MostAtOnce int
	Failure                string
}

// spread counts durations by tenths of a millisecond.
type spread struct {
	counts [50_000]uint32
	n      uint32
	most   time.Duration
}

const step = 100 * time.Microsecond

func (s *spread) add(d time.Duration) {
	s.counts[min(max(0, int(d/step)), len(s.counts)-1)]++
	s.n++
	s.most = max(s.most, d)
}

// at returns below which duration a part of all lie, in milliseconds: the longest, where that is 5 s or more.
func (s *spread) at(part float64) float64 {
	left := uint32(part * float64(s.n))
	for i, n := range s.counts {
		if n > left && i < len(s.counts)-1 {
			return (time.Duration(i+1) * step).Seconds() * 1000
		}
		left -= min(n, left)
	}
	return s.most.Seconds() * 1000
}

// observed is what probes came to, once it is counted.
type observed struct {
	mu        sync.Mutex
	counting  bool
	lag, took spread
	loaded
}

func (o *observed) add(slot schedule.Slot, outcome probe.Outcome, stalled time.Duration) {
	o.mu.Lock()
	defer o.mu.Unlock()
	if !o.counting {
		return
	}
	o.Runs++
	o.Skipped += slot.Skipped
	o.lag.add(slot.Lag())
	o.took.add(outcome.Latency)
	switch {
	case outcome.Kubelet.Passed():
	case outcome.Cause == probe.TimedOut && schedule.Unheard(stalled, outcome.Latency):
		o.Withheld++
	default:
		o.Failures++
		o.Failure = outcome.Kubelet.Message
	}
}

// measureLoad runs checks, and prints what it saw of them.
func measureLoad(ctx context.Context, in io.Reader, out io.Writer, o options) error {
	var where servers
	if err := json.NewDecoder(in).Decode(&where); err != nil {
		return fmt.Errorf("reading where the server is: %w", err)
	}
	const class = "http"
	s := schedule.New(schedule.Options{Clock: clock.RealClock{}, Classes: map[schedule.Class]int{class: o.workers}})
	prober := probe.New(probe.Options{Now: time.Now})
	seen := observed{}
	for i := range o.checks {
		phase := time.Duration(xxhash.Sum64String("check-"+strconv.Itoa(i)) % uint64(o.period))
		s.Set("check-"+strconv.Itoa(i), schedule.Task{
			Class: class,
			Next: func(after time.Time) (time.Time, bool) {
				gone := (time.Duration(after.UnixNano()) - phase) % o.period
				return after.Add(o.period - gone), true
			},
			Run: func(ctx context.Context, slot schedule.Slot) {
				// As the operator does: what is asked is found anew with each run, and not kept.
				target := probe.HTTP{
					URL:    &url.URL{Scheme: "http", Host: where.HTTP[i%len(where.HTTP)], Path: "/healthz"},
					Header: header(),
				}
				before := s.Stalled()
				outcome := prober.Probe(ctx, target, o.timeout)
				seen.add(slot, outcome, s.Stalled()-before)
			},
		})
	}
	ctx, stop := context.WithCancel(ctx)
	defer stop()
	ended := make(chan error, 1)
	go func() { ended <- s.Run(ctx) }()
	if err := wait(ctx, o.warm); err != nil {
		return err
	}
	before, err := process.Of(os.Getpid())
	if err != nil {
		return err
	}
	held := []metrics.Sample{{Name: "/gc/heap/live:bytes"}, {Name: "/memory/classes/heap/stacks:bytes"}}
	began := time.Now()
	seen.mu.Lock()
	seen.counting = true
	seen.mu.Unlock()
	for time.Since(began) < o.lasts {
		if err := wait(ctx, 100*time.Millisecond); err != nil {
			return err
		}
		n, running := runtime.NumGoroutine(), s.Backlogs()[class].Running
		metrics.Read(held)
		heap, stacks := held[0].Value.Uint64(), held[1].Value.Uint64()
		seen.mu.Lock()
		if heap+stacks > seen.Heap+seen.Stacks {
			seen.Heap, seen.Stacks = heap, stacks
		}
		seen.Goroutines, seen.MostAtOnce = max(seen.Goroutines, n), max(seen.MostAtOnce, running)
		seen.mu.Unlock()
	}
	seen.mu.Lock()
	seen.counting = false
	seen.mu.Unlock()
	after, err := process.Of(os.Getpid())
	if err != nil {
		return err
	}
	took := time.Since(began)
	stop()
	if err := <-ended; err != nil {
		return err
	}
	got := seen.loaded
	got.Lag50, got.Lag99, got.LagMax = seen.lag.at(.5), seen.lag.at(.99), seen.lag.most.Seconds()*1000
	got.Took50, got.Took99, got.TookMax = seen.took.at(.5), seen.took.at(.99), seen.took.most.Seconds()*1000
	got.Cores = (after.Processor - before.Processor).Seconds() / took.Seconds()
	got.Resident, got.Peak, got.Files = after.Resident, after.Peak, after.Files
	return json.NewEncoder(out).Encode(got)
}

func header() http.Header { return http.Header{"User-Agent": {"kube-probe/1.36"}, "Accept": {"*/*"}} }

// measureNothing tells what a program holds that does nothing.
func measureNothing(out io.Writer) error {
	use, err := process.Of(os.Getpid())
	if err != nil {
		return err
	}
	return json.NewEncoder(out).Encode(loaded{Resident: use.Resident, Files: use.Files})
}

// loads are the cases that are measured.
var loads = []struct {
	name       string
	slow, hogs bool
}{
	{name: "quick"},
	{name: "slow", slow: true},
	{name: "quick, short of processor", hogs: true},
	{name: "slow, short of processor", slow: true, hogs: true},
}

// compareLoads measures the scheduler under each load.
func compareLoads(ctx context.Context, out io.Writer, o options) error {
	if o.only != "" && o.only != "load" {
		return nil
	}
	var idle loaded
	nothing, err := start(ctx, first(), "nothing")
	if err != nil {
		return err
	}
	if err := nothing.hear(&idle); err != nil {
		return err
	}
	if err := nothing.end(); err != nil {
		return err
	}
	fmt.Fprintf(out, "\n%d HTTP checks every %s, timeout %s, %d workers, one core (the same program doing nothing: %.1f MiB)\n",
		o.checks, o.period, o.timeout, o.workers, mib(idle.Resident))
	table := tabwriter.NewWriter(out, 0, 0, 2, ' ', 0)
	fmt.Fprintln(table, "targets\truns/s\tlag p50\tp99\tmax\tlatency p50\tp99\tmax\tcores\tRSS\tpeak\theap\tstacks\tat once\tskipped\twithheld\tfalse failures")
	for _, load := range loads {
		if o.one != "" && o.one != load.name {
			continue
		}
		got, err := compareLoad(ctx, load.slow, load.hogs, o)
		if err != nil {
			return err
		}
		fmt.Fprintf(table, "%s\t%.0f\t%.1f ms\t%.1f ms\t%.1f ms\t%.1f ms\t%.1f ms\t%.1f ms\t%.2f\t%.1f MiB\t%.1f MiB\t%.1f MiB\t%.1f MiB\t%d\t%d\t%d\t%d %s\n",
			load.name, float64(got.Runs)/o.lasts.Seconds(), got.Lag50, got.Lag99, got.LagMax, got.Took50, got.Took99, got.TookMax,
			got.Cores, mib(got.Resident), mib(got.Peak), mib(got.Heap), mib(got.Stacks), got.MostAtOnce, got.Skipped, got.Withheld, got.Failures, got.Failure)
	}
	return table.Flush()
}

func compareLoad(ctx context.Context, slow, hogs bool, o options) (got loaded, err error) {
	delay := time.Duration(0)
	if slow {
		delay = o.delay
	}
	server, err := start(ctx, last(), "server", "-delay", delay.String())
	if err != nil {
		return got, err
	}
	defer func() { _ = server.end() }()
	var where servers
	if err := server.hear(&where); err != nil {
		return got, err
	}
	if hogs {
		for range o.hogs {
			hog, err := start(ctx, first(), "hog")
			if err != nil {
				return got, err
			}
			defer func() { _ = hog.end() }()
		}
	}
	p, err := start(ctx, first(), "load", "-checks", strconv.Itoa(o.checks), "-workers", strconv.Itoa(o.workers), "-period", o.period.String(),
		"-timeout", o.timeout.String(), "-warm", o.warm.String(), "-for", o.lasts.String(), "-cpuprofile", o.cpuProfile)
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

func wait(ctx context.Context, d time.Duration) error {
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-time.After(d):
		return nil
	}
}

func mib(bytes uint64) float64 { return float64(bytes) / (1 << 20) }
