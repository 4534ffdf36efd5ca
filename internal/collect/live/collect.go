package live

import (
	"context"
	"errors"
	"slices"
	"strings"
	"sync"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/client-go/rest"

	"github.com/maek-dev/maek/internal/snapshot"
)

// What Options stand at when they say nothing.
const (
	// DefaultTimeout bounds the reading of all kinds together.
	DefaultTimeout = 60 * time.Second
	// DefaultRequestTimeout bounds one request: a quarter of what the API server allows itself
	// (--request-timeout, 60 s), and far above what a page takes on a healthy one.
	DefaultRequestTimeout = 15 * time.Second
	// DefaultPageSize is the limit of a LIST, in objects.
	DefaultPageSize = 1000
	// DefaultParallel is the number of kinds read at once. The server's own flow control is the
	// brake; this bounds how many pages are in memory before they are trimmed.
	DefaultParallel = 4
)

// Options say how to read a cluster.
type Options struct {
	// Name under which people know the cluster: the kubeconfig context.
	Name string
	// Namespace in which a kind is read when this user may not list it in the whole cluster; empty
	// means that such a kind stays unread.
	Namespace string
	// Timeout for all lists together; 0 means DefaultTimeout. What was read by then is kept.
	Timeout time.Duration
	// RequestTimeout for one request; 0 means DefaultRequestTimeout.
	RequestTimeout time.Duration
	// PageSize is the limit of a LIST, in objects; 0 means DefaultPageSize.
	PageSize int64
	// Parallel is the number of kinds read at once; 0 means DefaultParallel.
	Parallel int
	// CustomResources reads, beside the given kinds, the objects of all kinds that the
	// CustomResourceDefinitions among them define.
	CustomResources bool
	// Program is the name of this program, for the User-Agent; empty means kubectl-maek.
	Program string
	// Version of this program, for the User-Agent.
	Version string
	// Now is this machine's clock. It is needed.
	Now func() time.Time
	// Progress, where it is not nil, is told after each page how many objects of a kind were read
	// so far. It is called from several goroutines.
	Progress func(k snapshot.Kind, objects int)
}

func (o Options) withDefaults() Options {
	if o.Timeout == 0 {
		o.Timeout = DefaultTimeout
	}
	if o.RequestTimeout == 0 {
		o.RequestTimeout = DefaultRequestTimeout
	}
	if o.PageSize == 0 {
		o.PageSize = DefaultPageSize
	}
	if o.Parallel == 0 {
		o.Parallel = DefaultParallel
	}
	if o.Program == "" {
		o.Program = "kubectl-maek"
	}
	if o.Progress == nil {
		o.Progress = func(snapshot.Kind, int) {}
	}
	return o
}

// Collect reads the given kinds from an API server. The error tells of options or a configuration
// that cannot be used; all that is wrong with the cluster, an unreachable API server included, is
// in the snapshot. Kinds that were not read when ctx ends are kept as far as they came.
func Collect(ctx context.Context, cfg *rest.Config, kinds []snapshot.Kind, o Options) (*snapshot.Snapshot, *Client, error) {
	if o.Now == nil {
		return nil, nil, errors.New("collecting: no clock was given")
	}
	c, err := newClient(cfg, o.withDefaults())
	if err != nil {
		return nil, nil, err
	}
	ctx, cancel := context.WithTimeout(quiet(ctx), c.options.Timeout)
	defer cancel()

	start := c.options.Now()
	api := c.meet(ctx)
	c.quorumDoubtful = etcdFails(api.Checks)
	var (
		readings []reading
		custom   []customReading
	)
	if listable(api.Failure) {
		readings = c.readAll(ctx, kinds)
		readings = append(readings, c.readDefined(ctx, kinds, readings)...)
		if c.options.CustomResources {
			custom = c.readCustom(ctx, readings)
		}
		c.judge(ctx, &api, readings)
		c.lookIntoEndpoints(ctx, &api, readings)
	} else {
		for _, k := range kinds {
			readings = append(readings, unread(k, api.Failure.Message, start))
		}
	}

	b := snapshot.NewBuilder(c.clock.at(start), snapshot.Source{Name: o.Name, Live: true})
	api.CertificateNotAfter = c.meter.certificateNotAfter(api.CertificateNotAfter)
	b.SetAPI(api)
	for _, r := range readings {
		r.coverage.ReadAt = c.clock.at(r.coverage.ReadAt)
		b.SetCoverage(r.kind, r.coverage)
		for _, o := range r.objects {
			b.Add(o)
		}
	}
	for _, r := range custom {
		r.coverage.ReadAt = c.clock.at(r.coverage.ReadAt)
		b.SetCustomCoverage(r.kind, r.coverage)
		for _, o := range r.objects {
			b.AddCustom(o)
		}
	}
	s := b.Build()
	c.snapshot.Store(s)
	return s, c, nil
}

// etcdFails tells whether the API server's readiness checks name etcd
// (k8s.io/apiserver/pkg/server/options, EtcdOptions: etcd and etcd-readiness).
func etcdFails(checks []snapshot.HealthCheck) bool {
	return slices.ContainsFunc(checks, func(c snapshot.HealthCheck) bool { return !c.OK && strings.HasPrefix(c.Name, "etcd") })
}

// listable tells whether it is worth asking for lists: an API server that is only short of breath
// may still give some of them, and each says for itself what became of it.
func listable(f *snapshot.APIFailure) bool {
	return f == nil || (f.Layer == snapshot.LayerRequest && (f.Reason == snapshot.TooManyRequests || f.Reason == snapshot.ServerError || f.Reason == snapshot.NoAnswer))
}

// judge decides after all lists what is wrong with the API server as a whole. What it said at first
// is forgotten where it then gave anything whole; where answers failed to come, it is asked again.
func (c *Client) judge(ctx context.Context, api *snapshot.API, readings []reading) {
	lost, whole := false, false
	for _, r := range readings {
		lost = lost || r.lost
		whole = whole || r.coverage.State == snapshot.Complete
	}
	switch {
	case lost && ctx.Err() == nil:
		api.Failure = nil
		c.greet(ctx, api)
	case whole:
		api.Failure = nil
	}
}

// readAll reads the kinds that every cluster has, a few at once. Pods come first: they are the most, and
// the rest fits in beside them.
func (c *Client) readAll(ctx context.Context, kinds []snapshot.Kind) []reading {
	pods := snapshot.KindOf[*corev1.Pod]()
	kinds = slices.DeleteFunc(slices.Clone(kinds), snapshot.Kind.Defined)
	slices.SortFunc(kinds, func(a, b snapshot.Kind) int {
		switch {
		case a == b:
			return 0
		case a == pods:
			return -1
		case b == pods:
			return 1
		default:
			return snapshot.CompareKinds(a, b)
		}
	})
	return c.readEach(ctx, kinds)
}

// readEach reads kinds in their order, a few at once.
func (c *Client) readEach(ctx context.Context, kinds []snapshot.Kind) []reading {
	readings := make([]reading, len(kinds))
	slots := make(chan struct{}, c.options.Parallel)
	var wg sync.WaitGroup
	for i, k := range kinds {
		slots <- struct{}{}
		wg.Go(func() {
			defer func() { <-slots }()
			readings[i] = c.read(ctx, k)
		})
	}
	wg.Wait()
	return readings
}
