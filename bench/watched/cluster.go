package main

import (
	"context"
	"errors"
	"fmt"
	"sync/atomic"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/util/flowcontrol"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/maek-dev/maek/api/maek/v1alpha1"
)

// cluster is what changes.
type cluster struct {
	options options
	client  client.WithWatch
}

func newCluster(cfg *rest.Config, o options) (*cluster, error) {
	scheme := runtime.NewScheme()
	for _, add := range []func(*runtime.Scheme) error{corev1.AddToScheme, v1alpha1.AddToScheme} {
		if err := add(scheme); err != nil {
			return nil, fmt.Errorf("making a client: %w", err)
		}
	}
	own := rest.CopyConfig(cfg)
	own.QPS = -1
	c, err := client.NewWithWatch(own, client.Options{Scheme: scheme})
	if err != nil {
		return nil, fmt.Errorf("making a client: %w", err)
	}
	return &cluster{options: o, client: c}, nil
}

// writers are how many changes are under way at once. A write takes some ten milliseconds, and many times that
// on a busy machine.
const writers = 24

// trouble changes pods all the time, writes faults meanwhile, and measures how long it takes until each has an
// open Incident.
func (c *cluster) trouble(ctx context.Context) (latencies []time.Duration, changed int64, err error) {
	ctx, stop := context.WithCancel(ctx)
	defer stop()
	var changes atomic.Int64
	// What was late is made up for, so that a busy machine gets as many.
	limit := flowcontrol.NewTokenBucketRateLimiter(float32(c.options.changes), max(1, c.options.changes/2))
	pods := c.options.size.Deployments * c.options.size.PodsPerDeployment
	var next atomic.Int64
	failed := make(chan error, 1)
	for range writers {
		go func() {
			for limit.Wait(ctx) == nil {
				if err := c.change(ctx, int(next.Add(7919))%pods); err != nil && ctx.Err() == nil {
					select {
					case failed <- err:
					default:
					}
					return
				}
				changes.Add(1)
			}
		}()
	}
	pause := c.options.duration / time.Duration(c.options.faults)
	for i := range c.options.faults {
		began := time.Now()
		took, err := c.fault(ctx, fmt.Sprintf("node-%04d", i))
		if err != nil {
			return nil, 0, err
		}
		latencies = append(latencies, took)
		select {
		case err := <-failed:
			return nil, 0, fmt.Errorf("changing pods: %w", err)
		case <-time.After(max(0, pause-time.Since(began))):
		}
	}
	return latencies, changes.Load(), nil
}

// change writes something new into the status of a pod, as a kubelet does.
func (c *cluster) change(ctx context.Context, pod int) error {
	deployment, n := pod/c.options.size.PodsPerDeployment, pod%c.options.size.PodsPerDeployment
	// Named as bench/world names them.
	p := &corev1.Pod{ObjectMeta: metav1.ObjectMeta{
		Namespace: fmt.Sprintf("team-%02d", deployment%c.options.size.Namespaces),
		Name:      fmt.Sprintf("service-%05d-6d8f7c9b5-%05d", deployment, n),
	}}
	body := fmt.Sprintf(`{"status":{"conditions":[{"type":"Ready","status":"True","lastProbeTime":%q}]}}`, time.Now().UTC().Format(time.RFC3339))
	return c.client.Status().Patch(ctx, p, client.RawPatch(types.StrategicMergePatchType, []byte(body)))
}

// fault fills a node's disk, and measures how long it takes until there is an open Incident about it.
func (c *cluster) fault(ctx context.Context, node string) (time.Duration, error) {
	w, err := c.client.Watch(ctx, &v1alpha1.IncidentList{})
	if err != nil {
		return 0, fmt.Errorf("watching Incidents: %w", err)
	}
	defer w.Stop()
	since := time.Now().Add(-time.Hour).UTC().Format(time.RFC3339)
	body := fmt.Sprintf(`{"status":{"conditions":[{"type":"DiskPressure","status":"True","reason":"KubeletHasDiskPressure","lastTransitionTime":%q}]}}`, since)
	n := &corev1.Node{ObjectMeta: metav1.ObjectMeta{Name: node}}
	began := time.Now()
	if err := c.client.Status().Patch(ctx, n, client.RawPatch(types.StrategicMergePatchType, []byte(body))); err != nil {
		return 0, fmt.Errorf("writing a fault: %w", err)
	}
	late := time.After(time.Minute)
	for {
		select {
		case e, open := <-w.ResultChan():
			if !open {
				return 0, errors.New("watching Incidents: it ended")
			}
			if i, ok := e.Object.(*v1alpha1.Incident); ok && i.Status.Phase == v1alpha1.IncidentOpen && i.Status.Subject.Name == node {
				return time.Since(began), nil
			}
		case <-late:
			return 0, fmt.Errorf("there is no Incident about %s after a minute", node)
		}
	}
}
