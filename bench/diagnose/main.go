// Diagnose measures kubectl-maek beside a bare LIST of the same kinds, in pairs, on a generated
// cluster in a real API server. It prints what it saw and judges nothing.
//
//	go run ./bench/diagnose -maek bin/kubectl-maek -barelist bin/barelist -nodes 50 -deployments 200 -pods 10
//
// KUBEBUILDER_ASSETS names the folder with kube-apiserver and etcd; `make bench` sets it.
package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"syscall"
	"time"

	"sigs.k8s.io/controller-runtime/pkg/envtest"

	"github.com/maek-dev/maek/api/maek/v1alpha1"
	"github.com/maek-dev/maek/bench/world"
)

func main() {
	var o options
	flag.StringVar(&o.maek, "maek", "bin/kubectl-maek", "the program to measure")
	flag.StringVar(&o.barelist, "barelist", "bin/barelist", "the yardstick")
	flag.IntVar(&o.pairs, "pairs", 10, "how many times to run both")
	flag.IntVar(&o.size.Nodes, "nodes", 50, "nodes of the generated cluster")
	flag.IntVar(&o.size.Deployments, "deployments", 200, "Deployments, each with a Service")
	flag.IntVar(&o.size.PodsPerDeployment, "pods", 10, "pods of each Deployment")
	flag.IntVar(&o.size.Namespaces, "namespaces", 20, "namespaces")
	flag.BoolVar(&o.size.Sick, "sick", false, fmt.Sprintf("let a third of all pods fail, for %d reasons", world.Ailments))
	flag.Parse()
	if err := run(context.Background(), os.Stdout, o); err != nil {
		fmt.Fprintln(os.Stderr, "bench:", err)
		os.Exit(1)
	}
}

type options struct {
	maek     string
	barelist string
	pairs    int
	size     world.Size
}

// sample is one run of one program.
type sample struct {
	wall time.Duration
	// processor is the time of all processors together, which other work on the machine changes less.
	processor time.Duration
	// rss is the peak resident set, in bytes.
	rss int64
}

func run(ctx context.Context, out io.Writer, o options) (err error) {
	environment := &envtest.Environment{}
	if _, err := environment.Start(); err != nil {
		return fmt.Errorf("starting the control plane: %w", err)
	}
	defer func() { err = errors.Join(err, environment.Stop()) }()
	began := time.Now()
	if err := world.New(o.size, began).Store(ctx, environment.ControlPlane.Etcd.URL.String()); err != nil {
		return fmt.Errorf("generating the cluster: %w", err)
	}
	fmt.Fprintf(out, "%d nodes, %d pods, %d Deployments and Services, written in %s\n",
		o.size.Nodes, o.size.Deployments*o.size.PodsPerDeployment, o.size.Deployments, time.Since(began).Round(time.Second))
	dir, err := os.MkdirTemp("", "maek-bench")
	if err != nil {
		return fmt.Errorf("making a folder for the kubeconfig: %w", err)
	}
	defer os.RemoveAll(dir)
	kubeconfig := filepath.Join(dir, "kubeconfig")
	if err := os.WriteFile(kubeconfig, environment.KubeConfig, 0o600); err != nil {
		return fmt.Errorf("writing the kubeconfig: %w", err)
	}
	var ours, bare []sample
	var diagnosis v1alpha1.Diagnosis
	for range o.pairs + 1 {
		s, stdout, err := measure(ctx, o.maek, "diagnose", "--kubeconfig", kubeconfig, "-o", "json")
		if err != nil {
			return err
		}
		if err := json.Unmarshal(stdout, &diagnosis); err != nil {
			return fmt.Errorf("reading the diagnosis: %w: %s", err, stdout)
		}
		ours = append(ours, s)
		s, _, err = measure(ctx, o.barelist, "--kubeconfig", kubeconfig)
		if err != nil {
			return err
		}
		bare = append(bare, s)
	}
	report(out, diagnosis, ours[1:], bare[1:])
	return nil
}

// measure runs a program to its end. Its exit code may speak of incidents; only a program that
// cannot be run is an error.
func measure(ctx context.Context, program string, args ...string) (sample, []byte, error) {
	cmd := exec.CommandContext(ctx, program, args...)
	var stdout, stderr bytes.Buffer
	cmd.Stdout, cmd.Stderr = &stdout, &stderr
	began := time.Now()
	err := cmd.Run()
	s := sample{wall: time.Since(began)}
	if _, exited := errors.AsType[*exec.ExitError](err); err != nil && !exited {
		return s, nil, fmt.Errorf("running %s: %w", program, err)
	}
	if stdout.Len() == 0 {
		return s, nil, fmt.Errorf("running %s: it printed nothing: %s", program, stderr.String())
	}
	if usage, ok := cmd.ProcessState.SysUsage().(*syscall.Rusage); ok {
		s.rss = usage.Maxrss * 1024 // Linux counts KiB
		s.processor = cmd.ProcessState.UserTime() + cmd.ProcessState.SystemTime()
	}
	return s, stdout.Bytes(), nil
}

func report(out io.Writer, d v1alpha1.Diagnosis, ours, bare []sample) {
	ratios := make([]float64, len(ours))
	extra := make([]int64, len(ours))
	for i := range ours {
		ratios[i] = ours[i].wall.Seconds() / bare[i].wall.Seconds()
		extra[i] = ours[i].rss - bare[i].rss
	}
	fmt.Fprintf(out, "verdict %s, %d incidents\n", d.Verdict, len(d.Incidents))
	fmt.Fprintf(out, "requests %d, received %.1f MiB, %d objects of %d kinds\n", d.Stats.Requests, mib(d.Stats.Bytes), d.Stats.Objects, d.Stats.Kinds)
	fmt.Fprintf(out, "wall      diagnose %s   bare LIST %s   ratio %.2f (%.2f to %.2f)\n",
		median(walls(ours)).Round(time.Millisecond), median(walls(bare)).Round(time.Millisecond), median(ratios), slices.Min(ratios), slices.Max(ratios))
	fmt.Fprintf(out, "processor diagnose %s   bare LIST %s\n",
		median(processors(ours)).Round(time.Millisecond), median(processors(bare)).Round(time.Millisecond))
	fmt.Fprintf(out, "peak RSS  diagnose %.1f MiB   bare LIST %.1f MiB   difference %.1f MiB (%.1f to %.1f)\n",
		mib(median(sizes(ours))), mib(median(sizes(bare))), mib(median(extra)), mib(slices.Min(extra)), mib(slices.Max(extra)))
}

func walls(samples []sample) []time.Duration {
	var out []time.Duration
	for _, s := range samples {
		out = append(out, s.wall)
	}
	return out
}

func processors(samples []sample) []time.Duration {
	var out []time.Duration
	for _, s := range samples {
		out = append(out, s.processor)
	}
	return out
}

func sizes(samples []sample) []int64 {
	var out []int64
	for _, s := range samples {
		out = append(out, s.rss)
	}
	return out
}

func median[T int64 | float64 | time.Duration](in []T) T {
	sorted := slices.Sorted(slices.Values(in))
	return sorted[len(sorted)/2]
}

func mib(n int64) float64 { return float64(n) / (1 << 20) }
