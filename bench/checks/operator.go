package main

import (
	"context"
	"fmt"
	"io"
	"maps"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"syscall"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/clientcmd"
	clientcmdapi "k8s.io/client-go/tools/clientcmd/api"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/maek-dev/maek/bench/process"
)

// operator is one replica.
type operator struct {
	name, address string
	command       func() *exec.Cmd
	counter       *counter

	mu      sync.Mutex
	process *exec.Cmd
}

// operators are all replicas.
type operators []*operator

func startAll(ctx context.Context, cfg *rest.Config, o options, dir string) (operators, error) {
	var all operators
	for i := range o.replicas {
		c, err := newCounter(cfg)
		if err != nil {
			return all, err
		}
		name := fmt.Sprintf("maek-operator-%d", i)
		kubeconfig := filepath.Join(dir, name+".kubeconfig")
		if err := clientcmd.WriteToFile(clientcmdapi.Config{
			Clusters:       map[string]*clientcmdapi.Cluster{"bench": {Server: c.url}},
			AuthInfos:      map[string]*clientcmdapi.AuthInfo{"bench": {}},
			Contexts:       map[string]*clientcmdapi.Context{"bench": {Cluster: "bench", AuthInfo: "bench"}},
			CurrentContext: "bench",
		}, kubeconfig); err != nil {
			return all, fmt.Errorf("writing the kubeconfig: %w", err)
		}
		address, err := freeAddress()
		if err != nil {
			return all, err
		}
		one := &operator{name: name, address: address, counter: c}
		one.command = func() *exec.Cmd {
			cmd := exec.CommandContext(ctx, o.operator, "--kubeconfig", kubeconfig, "--listen-address", address)
			cmd.Env = append(os.Environ(), "POD_NAME="+name, "POD_NAMESPACE="+home)
			if log, err := os.OpenFile(filepath.Join(dir, name+".log"), os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600); err == nil {
				cmd.Stderr = log
			}
			return cmd
		}
		if err := one.start(); err != nil {
			return all, err
		}
		all = append(all, one)
	}
	for _, one := range all {
		if err := one.ready(ctx); err != nil {
			return all, err
		}
	}
	return all, nil
}

func freeAddress() (string, error) {
	l, err := net.Listen("tcp", "127.0.0.1:0") //nolint:noctx // it is closed at once
	if err != nil {
		return "", fmt.Errorf("looking for a free port: %w", err)
	}
	defer l.Close()
	return l.Addr().String(), nil
}

func (o *operator) start() error {
	cmd := o.command()
	if err := cmd.Start(); err != nil {
		return fmt.Errorf("starting %s: %w", o.name, err)
	}
	o.mu.Lock()
	defer o.mu.Unlock()
	o.process = cmd
	return nil
}

func (o *operator) ready(ctx context.Context) error {
	for range 300 {
		if status, _, _ := get(ctx, "http://"+o.address+"/readyz"); status == http.StatusOK {
			return nil
		}
		if err := wait(ctx, 100*time.Millisecond); err != nil {
			return err
		}
	}
	return fmt.Errorf("%s is not ready after 30 s", o.name)
}

// kill ends a replica without a word, and waits until it has.
func (o *operator) kill(signal syscall.Signal) {
	o.mu.Lock()
	process := o.process
	o.process = nil
	o.mu.Unlock()
	if process != nil {
		_ = process.Process.Signal(signal)
		_ = process.Wait()
	}
}

func (all operators) stop() {
	for _, o := range all {
		o.kill(syscall.SIGTERM)
		_ = o.counter.server.Close()
	}
}

// addresses of the replicas that live.
func (all operators) addresses() []string {
	var out []string
	for _, o := range all {
		o.mu.Lock()
		if o.process != nil {
			out = append(out, o.address)
		}
		o.mu.Unlock()
	}
	return out
}

// killInTurn kills one replica after another, each a different moment after the last, and starts it again.
func (all operators) killInTurn(ctx context.Context, o options) error {
	for i := range o.kills {
		victim := all[i%len(all)]
		// Moments that do not fall into step with the checks.
		if err := wait(ctx, 17*time.Second+time.Duration(i*370)*time.Millisecond); err != nil {
			return err
		}
		victim.kill(syscall.SIGKILL)
		if err := wait(ctx, 3*time.Second); err != nil {
			return err
		}
		if err := victim.start(); err != nil {
			return err
		}
	}
	// What was begun last is to end, and one more interval shows that all go on.
	return wait(ctx, o.timeout+o.interval)
}

// cost is what all replicas together took so far.
type cost struct {
	calls map[string]int
	bytes int64
	ticks time.Duration
	rss   []uint64
}

func (all operators) measure() cost {
	out := cost{calls: map[string]int{}}
	for _, o := range all {
		calls, bytes := o.counter.seen()
		for call, n := range calls {
			out.calls[call] += n
		}
		out.bytes += bytes
		o.mu.Lock()
		if o.process != nil {
			// One that was just killed has used nothing that can still be read.
			use, _ := process.Of(o.process.Process.Pid)
			out.ticks += use.Processor
			out.rss = append(out.rss, use.Peak)
		}
		o.mu.Unlock()
	}
	return out
}

// printCost prints what the runs between two measurements took. Leases are apart: they are for the replicas, not
// for the runs.
func printCost(out io.Writer, before, after cost, runs int) {
	total, leases := 0, 0
	var lines []string
	for _, call := range slices.Sorted(maps.Keys(after.calls)) {
		n := after.calls[call] - before.calls[call]
		switch {
		case n <= 0:
		case strings.HasSuffix(call, " leases"):
			leases += n
		default:
			total += n
			lines = append(lines, fmt.Sprintf("  %-34s %8d  %6.2f a run", call, n, float64(n)/float64(max(1, runs))))
		}
	}
	fmt.Fprintf(out, "API calls %.2f a run, %d bytes a run (and %d for leases)\n%s\n", float64(total)/float64(max(1, runs)), (after.bytes-before.bytes)/int64(max(1, runs)), leases, strings.Join(lines, "\n"))
	fmt.Fprintf(out, "processor %s in all", (after.ticks - before.ticks).Round(time.Millisecond))
	for _, rss := range after.rss {
		fmt.Fprintf(out, ", peak RSS %.1f MiB", float64(rss)/(1<<20))
	}
	fmt.Fprintln(out)
}

// printPages times the pages that are asked for again and again.
func (all operators) printPages(ctx context.Context, out io.Writer) {
	for _, page := range []string{"/", "/json", "/metrics"} {
		var times []time.Duration
		size := 0
		for range 10 {
			for _, address := range all.addresses() {
				began := time.Now()
				_, text, err := get(ctx, "http://"+address+page)
				if err == nil {
					times, size = append(times, time.Since(began)), len(text)
				}
			}
		}
		fmt.Fprintf(out, "GET %-9s %8d bytes, %s\n", page, size, quantiles(times))
	}
}

func get(ctx context.Context, url string) (int, []byte, error) {
	r, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return 0, nil, err
	}
	answer, err := http.DefaultClient.Do(r)
	if err != nil {
		return 0, nil, err
	}
	defer answer.Body.Close()
	text, err := io.ReadAll(answer.Body)
	return answer.StatusCode, text, err
}

// printLeft says what pods are left when all has settled.
func (all operators) printLeft(ctx context.Context, out io.Writer, c client.Client, o options) error {
	if err := wait(ctx, 2*o.work+5*time.Second); err != nil {
		return err
	}
	var pods corev1.PodList
	if err := c.List(ctx, &pods, client.InNamespace(home)); err != nil {
		return fmt.Errorf("counting pods: %w", err)
	}
	running, most := 0, 0
	of := map[string]int{}
	for i := range pods.Items {
		p := &pods.Items[i]
		if time.Since(p.CreationTimestamp.Time) > o.timeout && (p.Status.Phase == corev1.PodPending || p.Status.Phase == corev1.PodRunning) {
			running++
		}
		check := p.Annotations["comcast.github.io/check-name"] + p.Annotations["kuberhealthyCheckName"]
		of[check]++
		most = max(most, of[check])
	}
	fmt.Fprintf(out, "pods left: %d, at most %d of one check; leaked (running beyond their timeout): %d\n", len(pods.Items), most, running)
	return nil
}
