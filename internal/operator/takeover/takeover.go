// Package takeover knows whether a Kuberhealthy operator is alive, so that Maek's leaves its checks
// alone until it is gone or somebody says that they are to be adopted: two operators would run each
// check twice, and take each other's results away.
//
// Alive is a version 3 whose Lease is renewed, and either version whose pods run. The Lease is judged by
// when this process sees it change, never by what its times say. Once the other is gone for a while,
// Maek goes on by itself; while that cannot be told, nothing is begun.
package takeover

import (
	"cmp"
	"context"
	"fmt"
	"log/slog"
	"maps"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	coordinationv1client "k8s.io/client-go/kubernetes/typed/coordination/v1"
	corev1client "k8s.io/client-go/kubernetes/typed/core/v1"
	"k8s.io/utils/clock"

	khv2 "github.com/maek-dev/maek/api/kuberhealthy/v2"
)

// podLabels select the pods of both versions (deploy/helm/kuberhealthy/templates/deployment.yaml on both
// branches; version 2 finds its replicas by them too, pkg/masterCalculation).
const podLabels = "app=kuberhealthy"

// imageName is what the last part of the name of Kuberhealthy's image holds, whatever registry it is
// mirrored to (docker.io/kuberhealthy/kuberhealthy in both charts).
const imageName = "kuberhealthy"

// DefaultSettle is for how long the other must be gone before its checks are run: a rollout that stops
// the old pod before it starts the new one is no farewell.
const DefaultSettle = time.Minute

const (
	// lookEvery is how often silence is looked at.
	lookEvery = time.Second
	// patience is how long a first list may take before it is worth a word.
	patience = 10 * time.Second
	// notYet is why checks are held back until then.
	notYet = "It is not known yet whether a Kuberhealthy operator runs these checks."
)

// Options of a Watcher. All are needed but where they say otherwise.
type Options struct {
	// Adopt runs the checks whoever else is alive; nothing is watched then.
	Adopt bool
	// Pods and Leases of the whole cluster.
	Pods   corev1client.PodsGetter
	Leases coordinationv1client.LeasesGetter
	// Lease is the name of Kuberhealthy's; empty stands for its default. LeaseNamespace is where it is;
	// empty stands for every namespace.
	Lease, LeaseNamespace string
	// Settle is for how long the other must be gone; zero stands for DefaultSettle.
	Settle time.Duration
	// Tell is told of each change: whether checks are held back, and a sentence that says why, or that
	// they no longer are. It must not block.
	Tell func(held bool, why string)
	// Metrics takes the metric of this package; nil for none.
	Metrics prometheus.Registerer
	Clock   clock.WithTicker
	Log     *slog.Logger
}

// Watcher follows whether somebody else runs the checks. It is safe for concurrent use.
type Watcher struct {
	o       Options
	changed chan struct{}

	mu    sync.RWMutex
	state state
	// held tells that checks are held back, and why says in a sentence why.
	held bool
	why  string
	// told tells that somebody was told that they are.
	told bool
}

// New returns a Watcher that holds checks back until it knows better, or is told to adopt them.
func New(o Options) (*Watcher, error) {
	o.Lease = cmp.Or(o.Lease, khv2.DefaultLease)
	o.Settle = cmp.Or(o.Settle, DefaultSettle)
	w := &Watcher{o: o, changed: make(chan struct{}, 1), state: newState(o.Clock.Now()), held: !o.Adopt, why: notYet}
	if o.Metrics == nil {
		return w, nil
	}
	gauge := prometheus.NewGaugeFunc(prometheus.GaugeOpts{
		Name: "maek_operator_checks_held_back",
		Help: "1 while no check is begun because a Kuberhealthy operator is alive, or may be.",
	}, func() float64 {
		if w.Adopted() {
			return 0
		}
		return 1
	})
	if err := o.Metrics.Register(gauge); err != nil {
		return nil, fmt.Errorf("registering the metric of held-back checks: %w", err)
	}
	return w, nil
}

// Adopted tells whether checks may be run.
func (w *Watcher) Adopted() bool {
	w.mu.RLock()
	defer w.mu.RUnlock()
	return !w.held
}

// Note says in a sentence why checks are held back; it is empty while they are not.
func (w *Watcher) Note() string {
	w.mu.RLock()
	defer w.mu.RUnlock()
	if !w.held {
		return ""
	}
	return w.why
}

// Changed gets a value after the answer of Adopted has changed. It is for one reader.
func (w *Watcher) Changed() <-chan struct{} { return w.changed }

// Run follows the other until ctx ends, and returns nil then.
func (w *Watcher) Run(ctx context.Context) error {
	if w.o.Adopt {
		<-ctx.Done()
		return nil
	}
	var tasks sync.WaitGroup
	tasks.Go(func() { w.watchPods(ctx) })
	tasks.Go(func() { w.watchLeases(ctx) })
	tasks.Go(func() {
		ticker := w.o.Clock.NewTicker(lookEvery)
		defer ticker.Stop()
		for {
			select {
			case <-ctx.Done():
				return
			case <-ticker.C():
				w.update(func(*state, time.Time) {})
			}
		}
	})
	tasks.Wait()
	return nil
}

// update changes what is known, and tells of it where that has consequences.
func (w *Watcher) update(change func(s *state, now time.Time)) {
	w.mu.Lock()
	now := w.o.Clock.Now()
	change(&w.state, now)
	held, why := w.state.verdict(now, w.o.Settle)
	flipped, news := held != w.held, held && why != w.why
	tell := flipped && w.told || news
	if tell {
		w.told = held
	}
	w.held, w.why = held, why
	w.mu.Unlock()
	if tell {
		w.tell(held, why)
	}
	if flipped {
		select {
		case w.changed <- struct{}{}:
		default:
		}
	}
}

func (w *Watcher) tell(held bool, why string) {
	if held {
		w.o.Log.Warn("checks are held back", "why", why)
	} else {
		why = "No Kuberhealthy operator is alive: its checks are run from now on."
		w.o.Log.Info("checks are held back no longer", "why", why)
	}
	if w.o.Tell != nil {
		w.o.Tell(held, why)
	}
}

// state is what is known of the other. It is pure: times are given to it, all of this process's clock.
type state struct {
	// pods of the other that run, and whether they were listed.
	pods       map[string]bool
	podsListed bool
	// leases of its name, by namespace.
	leases       map[string]*lease
	leasesListed bool
	// aliveAt is when the other was last known to be alive, and since is when this began.
	aliveAt, since time.Time
}

// lease is one that Kuberhealthy 3 would hold.
type lease struct {
	version, holder string
	lasts           time.Duration
	seenAt          time.Time
	// renewed tells that it was seen to change: before, it may be what a dead one left.
	renewed bool
}

func newState(now time.Time) state {
	return state{pods: map[string]bool{}, leases: map[string]*lease{}, since: now}
}

// see takes in a Lease.
func (s *state) see(namespace string, seen lease, now time.Time) {
	old := s.leases[namespace]
	if old != nil && old.version == seen.version {
		return
	}
	seen.seenAt, seen.renewed = now, old != nil
	s.leases[namespace] = &seen
}

// verdict judges whether checks are to be held back, and why.
func (s *state) verdict(now time.Time, settle time.Duration) (held bool, why string) {
	if !s.podsListed || !s.leasesListed {
		if now.Sub(s.since) < patience {
			return true, notYet
		}
		return true, "Whether a Kuberhealthy operator is alive cannot be told: the API server has not listed its pods and Leases. With --adopt the checks are run in any case."
	}
	if len(s.pods) > 0 {
		s.aliveAt = now
		names := slices.Sorted(maps.Keys(s.pods))
		return true, fmt.Sprintf("A Kuberhealthy operator is alive and runs the checks: pod %s. Scale its Deployment to 0, or start Maek with --adopt.", strings.Join(names, ", "))
	}
	for _, namespace := range slices.Sorted(maps.Keys(s.leases)) {
		l := s.leases[namespace]
		if l.holder == "" || now.Sub(l.seenAt) >= l.lasts {
			continue
		}
		if !l.renewed {
			return true, fmt.Sprintf("There is a Lease of a Kuberhealthy operator in namespace %s, held by %s; whether it is renewed is seen within %s.", namespace, l.holder, l.lasts)
		}
		s.aliveAt = now
		return true, fmt.Sprintf("A Kuberhealthy operator is alive and runs the checks: %s renews its Lease in namespace %s. Scale its Deployment to 0, or start Maek with --adopt.", l.holder, namespace)
	}
	if gone := now.Sub(s.aliveAt); !s.aliveAt.IsZero() && gone < settle {
		return true, fmt.Sprintf("The Kuberhealthy operator is gone; its checks are run when it stays so for %s.", settle)
	}
	return false, ""
}
