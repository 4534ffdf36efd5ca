// Checks measures maek-operator running checker pods: on a real API server, with a simulated kubelet in
// whose pods a checker reports after a moment. It prints what it saw and judges nothing.
//
//	go run ./bench/checks -operator bin/maek-operator -checks 10,100,1000
//	go run ./bench/checks -operator bin/maek-operator -checks 100 -kills 20
//
// KUBEBUILDER_ASSETS names the folder with kube-apiserver and etcd; `make bench-checks` sets it.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"github.com/go-logr/logr"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/envtest"
	ctrllog "sigs.k8s.io/controller-runtime/pkg/log"

	khv1 "github.com/maek-dev/maek/api/kuberhealthy/v1"
	khv2 "github.com/maek-dev/maek/api/kuberhealthy/v2"
)

const (
	// home is the operator's namespace, and where the checks are.
	home = "maek-system"
	// podSpec of every check.
	podSpec = `{"containers":[{"name":"main","image":"checker.example/none:1","env":[{"name":"MODE","value":"fast"}]}]}`
)

type options struct {
	operator, checks, api   string
	interval, timeout, work time.Duration
	lasts                   time.Duration
	replicas, kills         int
	logs                    string
}

func main() {
	var o options
	flag.StringVar(&o.operator, "operator", "bin/maek-operator", "the program to measure")
	flag.StringVar(&o.checks, "checks", "10,100,1000", "numbers of checks, one measurement each")
	flag.StringVar(&o.api, "api", "v2", "v2 (KuberhealthyCheck) or v3 (HealthCheck)")
	flag.DurationVar(&o.interval, "interval", time.Minute, "interval of each check")
	flag.DurationVar(&o.timeout, "run-timeout", 45*time.Second, "timeout of a run")
	flag.DurationVar(&o.work, "work", 200*time.Millisecond, "how long a checker takes")
	flag.DurationVar(&o.lasts, "for", 4*time.Minute, "how long each measurement lasts, after the first interval")
	flag.IntVar(&o.replicas, "replicas", 2, "replicas of the operator")
	flag.IntVar(&o.kills, "kills", 0, "how many times to kill a replica, and start it again, in the middle of runs")
	flag.StringVar(&o.logs, "logs", "", "folder for the operator's logs; a temporary one by default")
	flag.Parse()
	ctrllog.SetLogger(logr.Discard()) // envtest's about what it does
	if err := measureAll(o); err != nil {
		fmt.Fprintln(os.Stderr, "bench:", err)
		os.Exit(1)
	}
}

func measureAll(o options) error {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	for number := range strings.SplitSeq(o.checks, ",") {
		n, err := strconv.Atoi(number)
		if err != nil {
			return fmt.Errorf("reading -checks: %w", err)
		}
		if err := measure(ctx, os.Stdout, n, o); err != nil {
			return err
		}
	}
	return nil
}

func measure(ctx context.Context, out io.Writer, n int, o options) (err error) {
	environment := &envtest.Environment{CRDDirectoryPaths: []string{filepath.Join("config", "crd")}}
	cfg, err := environment.Start()
	if err != nil {
		return fmt.Errorf("starting the control plane: %w", err)
	}
	defer func() { err = errors.Join(err, environment.Stop()) }()
	cfg.QPS = -1
	scheme := runtime.NewScheme()
	for _, add := range []func(*runtime.Scheme) error{corev1.AddToScheme, khv1.AddToScheme, khv2.AddToScheme} {
		if err := add(scheme); err != nil {
			return err
		}
	}
	c, err := client.NewWithWatch(cfg, client.Options{Scheme: scheme})
	if err != nil {
		return fmt.Errorf("making a client: %w", err)
	}
	if err := c.Create(ctx, &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: home}}); err != nil {
		return fmt.Errorf("making the namespace: %w", err)
	}
	dir := o.logs
	if dir == "" {
		if dir, err = os.MkdirTemp("", "maek-bench"); err != nil {
			return fmt.Errorf("making a folder for logs: %w", err)
		}
		defer os.RemoveAll(dir)
	}
	operators, err := startAll(ctx, cfg, o, dir)
	if err != nil {
		return err
	}
	defer operators.stop()
	k := &kubelet{client: c, work: o.work, path: "/externalCheckStatus", replicas: operators.addresses, runs: map[string][]run{}}
	if o.api == "v3" {
		k.path = "/check"
	}
	playing, stop := context.WithCancel(ctx)
	defer stop()
	played := make(chan error, 1)
	go func() { played <- k.follow(playing, home) }()

	for i := range n {
		if err := c.Create(ctx, check(i, o)); err != nil {
			return fmt.Errorf("making check %d: %w", i, err)
		}
		// Spread over the interval, as those of a grown cluster are.
		if err := wait(ctx, o.interval/time.Duration(n)); err != nil {
			return err
		}
	}
	before := operators.measure()
	began := time.Now()
	if o.kills > 0 {
		err = operators.killInTurn(ctx, o)
	} else {
		err = wait(ctx, o.lasts)
	}
	if err != nil {
		return err
	}
	after, ended := operators.measure(), time.Now()
	fmt.Fprintf(out, "\n%d checks of %s every %s, %d replicas, %s, %d kills\n", n, o.api, o.interval, o.replicas, ended.Sub(began).Round(time.Second), o.kills)
	k.print(out, began, ended, n, o)
	printCost(out, before, after, k.between(began, ended))
	operators.printPages(ctx, out)
	if err := operators.printLeft(ctx, out, c, o); err != nil {
		return err
	}
	stop()
	if err := <-played; err != nil && !gone(err) {
		return err
	}
	return nil
}

// check number i.
func check(i int, o options) client.Object {
	meta := metav1.ObjectMeta{Namespace: home, Name: fmt.Sprintf("check-%04d", i)}
	if o.api == "v3" {
		return &khv2.HealthCheck{ObjectMeta: meta, Spec: khv2.HealthCheckSpec{
			RunInterval: o.interval.String(), Timeout: o.timeout.String(),
			PodSpec: khv2.CheckPodSpec{Spec: runtime.RawExtension{Raw: []byte(podSpec)}},
		}}
	}
	return &khv1.KuberhealthyCheck{ObjectMeta: meta, Spec: khv1.CheckSpec{
		RunInterval: o.interval.String(), Timeout: o.timeout.String(), PodSpec: runtime.RawExtension{Raw: []byte(podSpec)},
	}}
}

func wait(ctx context.Context, d time.Duration) error {
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-time.After(d):
		return nil
	}
}
