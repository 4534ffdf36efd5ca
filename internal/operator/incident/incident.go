// Package incident diagnoses a cluster as it changes, and keeps what it finds as Incident objects,
// Events and metrics. One replica of the operator does that at a time: the one that leads.
//
// An incident is closed only when its root was looked for and is gone. Where the kinds that its rule
// needs cannot be read, it stays open and says so: silence is not health.
package incident

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"k8s.io/client-go/rest"

	"github.com/maek-dev/maek/internal/collect/agents"
	"github.com/maek-dev/maek/internal/collect/watched"
	"github.com/maek-dev/maek/internal/finding"
	"github.com/maek-dev/maek/internal/operator/incident/object"
	"github.com/maek-dev/maek/internal/rule"
)

// What Options stand at when they say nothing.
const (
	// DefaultTTL is how long a closed Incident is kept.
	DefaultTTL = 24 * time.Hour
	// DefaultMost is how many Incidents there are at most, open and closed: the oldest closed ones go
	// first, and of the open ones the least grave are not written. Graver ones that come when there are as many
	// are written still, up to twice as many in all.
	DefaultMost = 500
)

// program is the name under which the API server knows this one.
const program = "maek-operator"

// Options say what to diagnose, and how to tell of it.
type Options struct {
	// Config of the API server and this program's credentials. It is needed.
	Config *rest.Config
	// Rules to judge by. They are needed.
	Rules []rule.Rule
	// Name under which people know the cluster; empty means "cluster".
	Name string
	// Language of the texts in Incidents and Events; empty means English.
	Language finding.Language
	// Identity of this replica, named in Events as the reporting instance: its pod's name.
	Identity string
	// Version of this program, for the User-Agent.
	Version string
	// TTL of closed Incidents; 0 means DefaultTTL.
	TTL time.Duration
	// Most Incidents that there are at a time; 0 means DefaultMost.
	Most int
	// Passive asks no questions beyond what is watched, such as for the end of a log.
	Passive bool
	// NoAgents asks no agents for the reports of their machines.
	NoAgents bool
	// AgentToken gives the token to show to agents (agents.Options); nil means that of the operator's pod, and
	// outside of one the credentials of Config.
	AgentToken func() (string, error)
	// WatchTime is how long one watch lasts before it is opened anew; 0 leaves it to client-go.
	WatchTime time.Duration
	// Metrics takes the metrics of this package; nil means none.
	Metrics prometheus.Registerer
	// Log of what goes wrong with the diagnosing itself; nil means none.
	Log *slog.Logger
	// Now is this machine's clock. It is needed.
	Now func() time.Time
}

func (o Options) withDefaults() (Options, error) {
	switch {
	case o.Config == nil:
		return o, errors.New("diagnosing: no API server was given")
	case len(o.Rules) == 0:
		return o, errors.New("diagnosing: no rules were given")
	case o.Now == nil:
		return o, errors.New("diagnosing: no clock was given")
	}
	o.Name = cmp.Or(o.Name, "cluster")
	o.Language = cmp.Or(o.Language, finding.English)
	o.Identity = cmp.Or(o.Identity, "maek-operator")
	o.TTL = cmp.Or(o.TTL, DefaultTTL)
	o.Most = cmp.Or(o.Most, DefaultMost)
	if _, err := os.Stat(agents.TokenFile); o.AgentToken == nil && err == nil {
		o.AgentToken = agents.TokenFrom(agents.TokenFile)
	}
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	return o, nil
}

// Diagnoser diagnoses one cluster. Its metrics are registered once, when it is made; Run may be called
// again after it returned, as leadership comes and goes.
type Diagnoser struct {
	options Options
	metrics *metrics
	api     *object.API
}

// New makes a diagnoser. The error tells of options that cannot be used.
func New(o Options) (*Diagnoser, error) {
	o, err := o.withDefaults()
	if err != nil {
		return nil, err
	}
	d := &Diagnoser{options: o, metrics: newMetrics()}
	if d.api, err = object.NewAPI(o.Config); err != nil {
		return nil, err
	}
	if o.Metrics != nil {
		if err := o.Metrics.Register(d.metrics); err != nil {
			return nil, fmt.Errorf("registering the metrics of incidents: %w", err)
		}
	}
	return d, nil
}

// Run diagnoses until ctx ends, and then returns nil. Nothing that is wrong with the cluster ends it; an
// error tells of a configuration that cannot be used. Everything that it watches is held only while it runs.
func (d *Diagnoser) Run(ctx context.Context) error {
	o := d.options
	w, err := watched.New(o.Config, rule.Kinds(o.Rules), watched.Options{
		Name: o.Name, CustomResources: rule.CustomResources(o.Rules), Program: program, Version: o.Version,
		WatchTime: o.WatchTime, Log: o.Log, Now: o.Now,
	})
	if err != nil {
		return err
	}
	defer d.metrics.tell(nil)
	j := newJudge(d, w)
	var wg sync.WaitGroup
	stored := make(chan struct{})
	wg.Go(func() { w.Run(ctx) })
	wg.Go(func() { j.writer.Run(ctx, stored) })
	wg.Go(func() { j.machines.run(ctx, j.current) })
	j.run(ctx, stored)
	j.answers.end()
	wg.Wait()
	return nil
}
