package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"runtime/pprof"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"k8s.io/client-go/tools/clientcmd"
	"sigs.k8s.io/controller-runtime/pkg/cache"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/maek-dev/maek/internal/operator/incident"
	"github.com/maek-dev/maek/internal/rule"
	"github.com/maek-dev/maek/internal/rules"
	"github.com/maek-dev/maek/internal/snapshot"
)

// operator diagnoses on change until it is ended.
func operator(ctx context.Context, o options) (err error) {
	cfg, err := clientcmd.BuildConfigFromFlags("", o.kubeconfig)
	if err != nil {
		return fmt.Errorf("reading %s: %w", o.kubeconfig, err)
	}
	metrics := prometheus.NewRegistry()
	d, err := incident.New(incident.Options{
		Config: cfg, Rules: rules.All(), Name: "bench", Metrics: metrics, Log: slog.New(slog.NewTextHandler(os.Stderr, nil)), Now: time.Now,
	})
	if err != nil {
		return err
	}
	ended := make(chan error, 1)
	go func() { ended <- d.Run(ctx) }()
	for !diagnosed(metrics) {
		select {
		case err := <-ended:
			return err
		case <-time.After(20 * time.Millisecond):
		}
	}
	fmt.Fprint(os.Stdout, ready)
	if o.heap != "" {
		<-ctx.Done()
		// While it still holds what it watches.
		err = profile(o.heap)
	}
	return errors.Join(err, <-ended)
}

// profile writes a profile of the heap.
func profile(file string) error {
	f, err := os.Create(file)
	if err != nil {
		return fmt.Errorf("making a profile of the heap: %w", err)
	}
	return errors.Join(pprof.Lookup("heap").WriteTo(f, 0), f.Close())
}

// diagnosed tells whether there was a diagnosis.
func diagnosed(metrics prometheus.Gatherer) bool {
	families, err := metrics.Gather()
	if err != nil {
		return false
	}
	for _, f := range families {
		if f.GetName() == "maek_diagnosis_timestamp_seconds" {
			return true
		}
	}
	return false
}

// informers hold the same kinds in controller-runtime's cache, as it comes, until they are ended.
func informers(ctx context.Context, kubeconfig string) error {
	cfg, err := clientcmd.BuildConfigFromFlags("", kubeconfig)
	if err != nil {
		return fmt.Errorf("reading %s: %w", kubeconfig, err)
	}
	cfg.QPS = -1
	c, err := cache.New(cfg, cache.Options{Scheme: snapshot.Scheme})
	if err != nil {
		return fmt.Errorf("making a cache: %w", err)
	}
	ended := make(chan error, 1)
	go func() { ended <- c.Start(ctx) }()
	for _, k := range rule.Kinds(rules.All()) {
		o, err := snapshot.Scheme.New(k.GroupVersionKind())
		if err != nil {
			return fmt.Errorf("making a %s: %w", k.Kind, err)
		}
		object, ok := o.(client.Object)
		if !ok {
			return fmt.Errorf("a %s is no object", k.Kind)
		}
		// It returns when all objects of the kind are there.
		if _, err := c.GetInformer(ctx, object); err != nil {
			return fmt.Errorf("watching %s: %w", k, err)
		}
	}
	fmt.Fprint(os.Stdout, ready)
	return <-ended
}
