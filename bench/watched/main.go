// Watched measures the operator's diagnosing on change beside a manager with plain informers of the same
// kinds, on a generated cluster in a real API server: memory of both in the same run, and while pods change
// all the time the processor time of diagnosing and how long it takes from the write of a fault until its
// Incident is open. It prints what it saw and judges nothing.
//
//	go run ./bench/watched -nodes 50 -deployments 200 -pods 10
//
// KUBEBUILDER_ASSETS names the folder with kube-apiserver and etcd. It starts itself again as each
// of the programs that are measured: the two, and one that does nothing, which tells what of their memory is code
// and what packages hold from their start.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"slices"
	"time"

	"github.com/go-logr/logr"
	"k8s.io/klog/v2"
	"sigs.k8s.io/controller-runtime/pkg/envtest"
	ctrllog "sigs.k8s.io/controller-runtime/pkg/log"

	"github.com/maek-dev/maek/bench/process"
	"github.com/maek-dev/maek/bench/world"
)

func main() {
	var o options
	// controller-runtime has a flag of its own among the common ones.
	set := flag.NewFlagSet("watched", flag.ExitOnError)
	set.StringVar(&o.as, "as", "", "run as one of the measured programs: operator, informers or nothing")
	set.StringVar(&o.heap, "heap", "", "file to which the operator writes a profile of its heap as it ends")
	set.StringVar(&o.gogc, "gogc", "50", "GOGC of the operator, as kubectl maek install sets it; the informers keep Go's own 100")
	set.StringVar(&o.kubeconfig, "kubeconfig", "", "the cluster, with -as")
	set.IntVar(&o.size.Nodes, "nodes", 50, "nodes of the generated cluster")
	set.IntVar(&o.size.Deployments, "deployments", 200, "Deployments, each with a Service")
	set.IntVar(&o.size.PodsPerDeployment, "pods", 10, "pods of each Deployment")
	set.IntVar(&o.size.Namespaces, "namespaces", 20, "namespaces")
	set.IntVar(&o.changes, "changes", 50, "changes of pods in a second")
	set.DurationVar(&o.duration, "for", time.Minute, "how long pods change")
	set.IntVar(&o.faults, "faults", 10, "faults that are written meanwhile")
	// Both programs are measured without their logs.
	ctrllog.SetLogger(logr.Discard())
	klog.SetLogger(logr.Discard())
	if err := set.Parse(os.Args[1:]); err != nil {
		os.Exit(2)
	}
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	err := run(ctx, os.Stdout, o)
	stop()
	if err != nil {
		fmt.Fprintln(os.Stderr, "bench:", err)
		os.Exit(1)
	}
}

type options struct {
	as         string
	heap       string
	gogc       string
	kubeconfig string
	size       world.Size
	changes    int
	duration   time.Duration
	faults     int
}

func run(ctx context.Context, out io.Writer, o options) error {
	switch o.as {
	case "":
		return measure(ctx, out, o)
	case "operator":
		return operator(ctx, o)
	case "informers":
		return informers(ctx, o.kubeconfig)
	case "nothing":
		fmt.Fprint(os.Stdout, ready)
		<-ctx.Done()
		return nil
	default:
		return fmt.Errorf("-as %s: there are operator, informers and nothing", o.as)
	}
}

func measure(ctx context.Context, out io.Writer, o options) (err error) {
	environment := &envtest.Environment{CRDDirectoryPaths: []string{"config/crd"}, ErrorIfCRDPathMissing: true}
	cfg, err := environment.Start()
	if err != nil {
		return fmt.Errorf("starting the control plane: %w", err)
	}
	defer func() { err = errors.Join(err, environment.Stop()) }()
	began := time.Now()
	if err := world.New(o.size, began).Store(ctx, environment.ControlPlane.Etcd.URL.String()); err != nil {
		return fmt.Errorf("generating the cluster: %w", err)
	}
	pods := o.size.Deployments * o.size.PodsPerDeployment
	fmt.Fprintf(out, "%d nodes, %d pods, %d Deployments and Services, written in %s\n", o.size.Nodes, pods, o.size.Deployments, time.Since(began).Round(time.Second))
	dir, err := os.MkdirTemp("", "maek-bench")
	if err != nil {
		return fmt.Errorf("making a folder for the kubeconfig: %w", err)
	}
	defer os.RemoveAll(dir)
	kubeconfig := filepath.Join(dir, "kubeconfig")
	if err := os.WriteFile(kubeconfig, environment.KubeConfig, 0o600); err != nil {
		return fmt.Errorf("writing the kubeconfig: %w", err)
	}
	base, err := start(ctx, "nothing", nil)
	if err != nil {
		return err
	}
	defer base.end()
	plain, err := start(ctx, "informers", nil, "-kubeconfig", kubeconfig)
	if err != nil {
		return err
	}
	defer plain.end()
	ours, err := start(ctx, "operator", []string{"GOGC=" + o.gogc}, "-kubeconfig", kubeconfig, "-heap", o.heap)
	if err != nil {
		return err
	}
	defer ours.end()
	fmt.Fprintf(out, "read everything: operator after %s, informers after %s\n", ours.ready.Round(time.Millisecond), plain.ready.Round(time.Millisecond))
	c, err := newCluster(cfg, o)
	if err != nil {
		return err
	}
	before, err := ours.use()
	if err != nil {
		return err
	}
	began = time.Now()
	latencies, changed, err := c.trouble(ctx)
	if err != nil {
		return err
	}
	after, err := ours.use()
	if err != nil {
		return err
	}
	took := time.Since(began)
	slices.Sort(latencies)
	fmt.Fprintf(out, "%.0f changes of pods a second for %s\n", float64(changed)/took.Seconds(), took.Round(time.Second))
	fmt.Fprintf(out, "from fault to open Incident: median %s, longest %s of %d\n",
		latencies[len(latencies)/2].Round(time.Millisecond), latencies[len(latencies)-1].Round(time.Millisecond), len(latencies))
	fmt.Fprintf(out, "processor: operator %.2f cores\n", (after.Processor-before.Processor).Seconds()/took.Seconds())
	return report(out, ours, plain, base)
}

func report(out io.Writer, ours, plain, base *program) error {
	a, err := ours.use()
	if err != nil {
		return err
	}
	b, err := plain.use()
	if err != nil {
		return err
	}
	c, err := base.use()
	if err != nil {
		return err
	}
	now, informers, nothing := mib(a.Resident), mib(b.Resident), mib(c.Resident)
	fmt.Fprintf(out, "RSS:  operator %.0f MiB, informers %.0f MiB, ratio %.2f\n", now, informers, now/informers)
	fmt.Fprintf(out, "      beyond the %.0f MiB of the same program when it does nothing: ratio %.2f\n", nothing, (now-nothing)/(informers-nothing))
	fmt.Fprintf(out, "peak: operator %.0f MiB, informers %.0f MiB, ratio %.2f\n", mib(a.Peak), mib(b.Peak), mib(a.Peak)/mib(b.Peak))
	return nil
}

// program is one of the programs that are measured.
type program struct {
	cmd   *exec.Cmd
	ready time.Duration
}

// start starts a program, with more in its environment, and waits until it says that it has read everything.
func start(ctx context.Context, as string, env []string, args ...string) (*program, error) {
	self, err := os.Executable()
	if err != nil {
		return nil, fmt.Errorf("finding this program: %w", err)
	}
	p := &program{cmd: exec.CommandContext(ctx, self, append([]string{"-as", as}, args...)...)}
	p.cmd.Stderr, p.cmd.Env = os.Stderr, append(os.Environ(), env...)
	p.cmd.Cancel = func() error { return p.cmd.Process.Signal(os.Interrupt) }
	stdout, err := p.cmd.StdoutPipe()
	if err != nil {
		return nil, fmt.Errorf("starting %s: %w", as, err)
	}
	began := time.Now()
	if err := p.cmd.Start(); err != nil {
		return nil, fmt.Errorf("starting %s: %w", as, err)
	}
	said := make([]byte, len(ready))
	if _, err := io.ReadFull(stdout, said); err != nil || string(said) != ready {
		p.end()
		return nil, fmt.Errorf("starting %s: it said %q: %w", as, said, err)
	}
	p.ready = time.Since(began)
	return p, nil
}

// ready is what a measured program prints once it has read everything.
const ready = "ready\n"

func (p *program) end() {
	_ = p.cmd.Process.Signal(os.Interrupt)
	_ = p.cmd.Wait()
}

func (p *program) use() (process.Use, error) { return process.Of(p.cmd.Process.Pid) }

func mib(bytes uint64) float64 { return float64(bytes) / (1 << 20) }
