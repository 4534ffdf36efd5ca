package operator

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"sync/atomic"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/events"
	"sigs.k8s.io/controller-runtime/pkg/cache"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/maek-dev/maek/internal/kuberhealthy"
	"github.com/maek-dev/maek/internal/operator/check"
	"github.com/maek-dev/maek/internal/operator/check/inservice"
	"github.com/maek-dev/maek/internal/operator/check/vantage"
	"github.com/maek-dev/maek/internal/operator/checkerpod"
	"github.com/maek-dev/maek/internal/operator/incident"
	"github.com/maek-dev/maek/internal/operator/record"
	"github.com/maek-dev/maek/internal/operator/run"
	"github.com/maek-dev/maek/internal/operator/served"
	"github.com/maek-dev/maek/internal/operator/shard"
	"github.com/maek-dev/maek/internal/operator/takeover"
)

// Operator is one replica of the operator.
type Operator struct {
	o             Options
	settings      atomic.Pointer[kuberhealthy.Settings]
	configuration []byte
	metrics       *prometheus.Registry
	health        health

	apis        apis
	wire        wire
	cache       cache.Cache
	client      client.Client
	broadcaster events.EventBroadcaster
	recorder    events.EventRecorder

	ring     *shard.Ring
	served   *served.Watcher
	takeover *takeover.Watcher
	records  *record.Keeper
	engine   *run.Engine

	// checks runs Checks, targets holds what they ask, and inService does what follows from them.
	checks        *check.Controller
	targets       cache.Cache
	targetsFilled atomic.Bool
	inService     *inservice.Keeper
	nodes         *vantage.Nodes

	// incidents is nil where nothing is diagnosed.
	incidents *incident.Diagnoser
}

// New returns an operator that does nothing before Run. It asks nobody anything.
func New(o Options) (*Operator, error) {
	if err := o.Validate(); err != nil {
		return nil, err
	}
	op := &Operator{o: o, metrics: prometheus.NewRegistry()}
	op.health.started = o.Clock.Now()
	op.metrics.MustRegister(collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}))
	if err := op.readSettings(); err != nil {
		return nil, err
	}
	for _, part := range []func() error{op.connect, op.share, op.keep, op.runChecks, op.runCheckObjects, op.diagnose} {
		if err := part(); err != nil {
			return nil, err
		}
	}
	return op, nil
}

// connect makes the clients and the cache.
func (o *Operator) connect() error {
	scheme, err := newScheme()
	if err != nil {
		return err
	}
	config := rest.CopyConfig(o.o.Config)
	config.UserAgent = "maek-operator/" + o.o.Version
	// The engine bounds what is asked at once; a limit by rate would make late what is in time.
	config.QPS = -1
	o.wire.clock = o.o.Clock
	config.Wrap(o.wire.wrap())
	httpClient, err := rest.HTTPClientFor(config)
	if err != nil {
		return fmt.Errorf("preparing to ask the API server: %w", err)
	}
	if o.apis, err = newAPIs(config, httpClient); err != nil {
		return err
	}
	mapper := newMapper()
	if o.client, err = client.New(config, client.Options{HTTPClient: httpClient, Scheme: scheme, Mapper: mapper}); err != nil {
		return fmt.Errorf("preparing to write objects: %w", err)
	}
	options := cache.Options{
		HTTPClient: httpClient, Scheme: scheme, Mapper: mapper, ByObject: run.ByObject(),
		DefaultTransform: cache.TransformStripManagedFields(),
		// A kind that is not watched is an error at once, not an informer that never has anything.
		ReaderFailOnMissingInformer: true,
		DefaultWatchErrorHandler:    o.watchFailed(),
	}
	if only := o.Settings().Namespace; only != "" {
		options.DefaultNamespaces = map[string]cache.Config{only: {}}
	}
	if o.cache, err = cache.New(config, options); err != nil {
		return fmt.Errorf("preparing to watch objects: %w", err)
	}
	// The Services of the cluster's own lie in other namespaces than checks do.
	options.ByObject, options.DefaultNamespaces = targetObjects(), nil
	if o.targets, err = cache.New(config, options); err != nil {
		return fmt.Errorf("preparing to watch what Checks ask: %w", err)
	}
	o.broadcaster = events.NewBroadcaster(&events.EventSinkImpl{Interface: o.apis.events})
	o.recorder = o.broadcaster.NewRecorder(scheme, reportingController)
	return nil
}

// share makes what says which checks are this replica's.
func (o *Operator) share() error {
	log := o.o.Log
	o.ring = shard.New(shard.Options{
		Leases: o.apis.coordination, Namespace: o.o.Namespace, Name: o.o.Pod, Duration: o.o.LeaseDuration,
		Clock: o.o.Clock, Log: log.With("part", "replicas"),
	})
	o.served = served.New(served.Options{
		Definitions: o.apis.metadata, Discovery: o.apis.discovery, Clock: o.o.Clock, Log: log.With("part", "kinds"),
	})
	var err error
	o.takeover, err = takeover.New(takeover.Options{
		Adopt: o.o.Adopt, Pods: o.apis.core, Leases: o.apis.coordination,
		Lease: o.o.Getenv("KH_LEADER_ELECTION_NAME"), LeaseNamespace: o.o.Getenv("KH_LEADER_ELECTION_NAMESPACE"),
		Tell: o.tellTakeover, Metrics: o.metrics, Clock: o.o.Clock, Log: log.With("part", "takeover"),
	})
	return err
}

// keep makes what keeps histories.
func (o *Operator) keep() error {
	o.records = record.New(record.Options{
		Client: o.client, Owns: o.ring.Owns, Replicas: o.replicas, Self: o.o.Pod, Clock: o.o.Clock, Log: o.o.Log.With("part", "records"),
		Served: func() bool { return o.served.Served(served.CheckRecord.GroupVersionKind) },
		Exists: func(ctx context.Context, c record.Check) bool {
			if c.Kind == check.Kind {
				return o.checks.Exists(c)
			}
			return exists(ctx, o.cache, o.client.Scheme(), c)
		},
	})
	return nil
}

// runChecks makes the engine.
func (o *Operator) runChecks() error {
	runs := kuberhealthy.NewRunMetrics()
	o.metrics.MustRegister(runs)
	var err error
	o.engine, err = run.New(run.Options{
		Client: o.client, Cache: o.cache, Owns: o.ring.Owns, Served: o.served.Served, Adopted: o.takeover.Adopted,
		Self: o.o.Pod, Settings: o.Settings, Logs: checkerpod.PodLogs{Pods: o.apis.core}, Witness: checkerpod.APIWitness{Core: o.apis.core},
		Events: o.recorder, Outcomes: outcomes{o.records}, Metrics: runs,
		Clock: o.o.Clock, Log: o.o.Log.With("part", "runs"),
	})
	if err != nil {
		return fmt.Errorf("preparing to run checks: %w", err)
	}
	return nil
}

// diagnose makes what diagnoses, where there are rules to diagnose by.
func (o *Operator) diagnose() error {
	if len(o.o.Rules) == 0 {
		return nil
	}
	var err error
	o.incidents, err = incident.New(incident.Options{
		Config: o.o.Config, Rules: o.o.Rules, Name: o.o.Cluster, Language: o.o.Language, Identity: o.o.Pod,
		Version: o.o.Version, Metrics: o.metrics, Log: o.o.Log.With("part", "incidents"), Now: o.o.Clock.Now,
	})
	if err != nil {
		return fmt.Errorf("preparing to diagnose: %w", err)
	}
	return nil
}

// Run does the operator's work until ctx ends, and stops in order then. Page makes the server of the
// status page; each listener gets one. The error tells of what makes going on senseless: an address that
// is taken, or a part that ended by itself.
func (o *Operator) Run(ctx context.Context, page func() *http.Server) error {
	servers, err := o.listen(ctx, page)
	if err != nil {
		return err
	}
	base, abandon := context.WithCancelCause(context.WithoutCancel(ctx))
	defer abandon(nil)
	// What is stopped first comes last: nothing is begun any more, then the checks are given away and the
	// histories written, while reports are still taken in.
	foundation, doors, standing, work := newStage(base, abandon), newStage(base, abandon), newStage(base, abandon), newStage(base, abandon)
	foundation.start("events", o.recordEvents)
	foundation.start("cache", o.cache.Start)
	foundation.start("targets", o.fillTargets)
	foundation.start("kinds", o.served.Run)
	foundation.start("takeover", o.takeover.Run)
	foundation.start("configuration", o.followSettings)
	foundation.start("readiness", o.becomeReady)
	foundation.start("liveness", o.beat)
	for _, s := range servers {
		doors.start("page", s.serve)
	}
	standing.start("replicas", o.ring.Run)
	standing.start("records", o.records.Run)
	if o.incidents != nil {
		standing.start("incidents", func(ctx context.Context) error { return o.lead(ctx, o.apis.coordination, o.incidents.Run) })
	}
	work.start("wakes", o.wake)
	work.start("runs", o.engine.Run)
	work.start("checks", o.checks.Run)
	work.start("in service", o.keepInService)

	select {
	case <-ctx.Done():
		o.o.Log.Info("stopping")
	case <-base.Done():
	}
	for _, s := range []*stage{work, standing, doors, foundation} {
		s.stop(o.o.Clock, o.o.Log)
	}
	if cause := context.Cause(base); !errors.Is(cause, context.Canceled) {
		return cause
	}
	return nil
}

// wake makes the engine look at its checks anew when something changes that it does not watch.
func (o *Operator) wake(ctx context.Context) error {
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-o.ring.Changed():
		case <-o.served.Changed():
		case <-o.takeover.Changed():
		}
		o.engine.Wake()
		o.checks.Wake()
	}
}
