// Probes measures probes and their scheduler: what a probe costs beside a bare GET and beside a bare client
// of the same protocol, what it holds while it waits, how late 10,000 checks every 10 s begin on one core, with
// quick targets, with slow ones, and with a process that is short of processor time. It prints what it saw and
// judges nothing.
//
//	go run ./bench/probes
//	go run ./bench/probes -only load -checks 20000
//
// It starts itself again as the programs that are measured, each pinned to a core by taskset where the machine
// has more than one: servers on the last core, probes on the first. All traffic is on the loopback interface.
package main

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/exec"
	"os/signal"
	"runtime"
	"strconv"
	"time"
)

// gogc is that of the operator, as kubectl maek install sets it.
const gogc = "50"

type options struct {
	as, only, one, cpuProfile string
	checks, workers           int
	period, timeout           time.Duration
	warm, lasts, delay        time.Duration
	hogs, rounds              int
}

func main() {
	var o options
	flag.StringVar(&o.as, "as", "", "run as one of the measured programs: server, pairs, waiting, load, hog or nothing")
	flag.StringVar(&o.only, "only", "", "measure only the costs of a probe (pairs), what it holds while it waits (waiting), or the scheduler (load)")
	flag.IntVar(&o.checks, "checks", 10_000, "number of checks")
	flag.DurationVar(&o.period, "period", 10*time.Second, "period of each check")
	flag.DurationVar(&o.timeout, "timeout", time.Second, "timeout of a probe")
	flag.IntVar(&o.workers, "workers", 1024, "probes that are made at a time")
	flag.DurationVar(&o.warm, "warm", 15*time.Second, "how long each load lasts before it is measured")
	flag.DurationVar(&o.lasts, "for", time.Minute, "how long each load is measured")
	flag.DurationVar(&o.delay, "delay", 800*time.Millisecond, "after how long slow targets answer")
	flag.IntVar(&o.hogs, "hogs", 3, "programs that compete for the core where the process is short of processor time")
	flag.IntVar(&o.rounds, "rounds", 40, "pairs of rounds for the cost of a probe")
	flag.StringVar(&o.cpuProfile, "cpuprofile", "", "file for a profile of the measured program, with -as")
	flag.StringVar(&o.one, "case", "", "measure only this pair or load")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	err := run(ctx, os.Stdin, os.Stdout, o)
	stop()
	if err != nil {
		fmt.Fprintln(os.Stderr, "bench:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context, in io.Reader, out io.Writer, o options) error {
	switch o.as {
	case "":
		return errors.Join(comparePairs(ctx, out, o), compareWaiting(ctx, out, o), compareLoads(ctx, out, o))
	case "server":
		return serve(ctx, in, out, o)
	case "pairs":
		return profiled(o, func() error { return measurePairs(ctx, in, out, o) })
	case "load":
		return profiled(o, func() error { return measureLoad(ctx, in, out, o) })
	case "waiting":
		return measureWaiting(ctx, in, out, o)
	case "hog":
		return hog(in)
	case "nothing":
		return measureNothing(out)
	default:
		return fmt.Errorf("-as %s: there are server, pairs, waiting, load, hog and nothing", o.as)
	}
}

// program is one of those that are measured, or that these ask.
type program struct {
	cmd *exec.Cmd
	in  io.WriteCloser
	out *bufio.Reader
}

// start starts this program as another, on a core of its own: the first, or the last.
func start(ctx context.Context, core int, as string, args ...string) (*program, error) {
	self, err := os.Executable()
	if err != nil {
		return nil, fmt.Errorf("finding this program: %w", err)
	}
	args = append([]string{self, "-as", as}, args...)
	if as == "server" {
		// It is not what is measured, and must not be what is waited for. Without the right to it, nice says so
		// and goes on.
		args = append([]string{"nice", "-n", "-20"}, args...)
	}
	if runtime.NumCPU() > 1 {
		args = append([]string{"taskset", "--cpu-list", strconv.Itoa(core)}, args...)
	}
	p := &program{cmd: exec.CommandContext(ctx, args[0], args[1:]...)}
	p.cmd.Stderr = os.Stderr
	p.cmd.Env = append(os.Environ(), "GOGC="+gogc)
	if p.in, err = p.cmd.StdinPipe(); err != nil {
		return nil, fmt.Errorf("starting %s: %w", as, err)
	}
	out, err := p.cmd.StdoutPipe()
	if err != nil {
		return nil, fmt.Errorf("starting %s: %w", as, err)
	}
	p.out = bufio.NewReader(out)
	if err := p.cmd.Start(); err != nil {
		return nil, fmt.Errorf("starting %s: %w", as, err)
	}
	return p, nil
}

// first and last are the cores on which programs run.
func first() int { return 0 }
func last() int  { return runtime.NumCPU() - 1 }

// tell gives a program something to read.
func (p *program) tell(v any) error {
	if err := json.NewEncoder(p.in).Encode(v); err != nil {
		return fmt.Errorf("telling a program what to do: %w", err)
	}
	return nil
}

// hear reads what a program prints next.
func (p *program) hear(v any) error {
	line, err := p.out.ReadBytes('\n')
	if err != nil {
		return fmt.Errorf("waiting for what a program has to say: %w", err)
	}
	if err := json.Unmarshal(line, v); err != nil {
		return fmt.Errorf("reading what a program says: %w", err)
	}
	return nil
}

// end ends a program by ending what it reads.
func (p *program) end() error {
	_ = p.in.Close()
	if err := p.cmd.Wait(); err != nil {
		return fmt.Errorf("ending a program: %w", err)
	}
	return nil
}
