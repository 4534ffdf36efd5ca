package inservice

import (
	"context"
	"fmt"
	"sync"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/types"
	toolscache "k8s.io/client-go/tools/cache"

	"github.com/maek-dev/maek/api/maek/v1alpha1"
	"github.com/maek-dev/maek/internal/operator/check/plan"
)

const (
	// careEvery is how often the conditions are looked after, beside the moments in which pods change, and
	// takeEvery how often it is judged who is to be taken out, beside the moments in which runs end.
	careEvery = time.Second
	takeEvery = 5 * time.Second
	// restAfter is the least time between two looks.
	restAfter = 100 * time.Millisecond
	// gapMost is how long a replica may not have looked before what it has seen counts for nothing: it slept,
	// or its clock was set.
	gapMost = time.Minute
	// othersWait is how long the others leave a pod to its owner: as long as it takes them to notice that the
	// owner is dead (internal/operator/shard, DefaultDuration), and a little more.
	othersWait = 15 * time.Second
	// ledgerEvery is how often the ledger is read while pods are held back.
	ledgerEvery = 5 * time.Second
	// againAfter is when something that the API server or the examination refused is tried again.
	againAfter = 30 * time.Second
	// stormLasts is for how long checks, and pods of a check, that failed together are no guide afterwards. It is
	// longer for checks that take longer to tell.
	stormLasts = 5 * time.Minute
)

// Keeper takes pods out of service and lets them in again. It is safe for concurrent use.
type Keeper struct {
	o       Options
	metrics metrics
	// careNow and takeNow ask for a look out of turn.
	careNow, takeNow chan struct{}

	mu sync.Mutex
	// age is the own count of time, counted is the clock when it was last brought up to date, and gap the age
	// at which the view began.
	age, gap time.Duration
	counted  time.Time

	pods      map[types.NamespacedName]pod
	sightings map[types.UID]sighting
	records   map[types.UID]*record
	dry       ledger

	// ledger as it was last read, at which age; never before the first time.
	ledger   ledger
	ledgerAt time.Duration
	// takes are those of the ledger, with the age at which this replica first saw them; never for those that were
	// there when it first looked.
	takes map[taking]time.Duration
	// storm is when checks last failed together, and crowds when too many pods of one did.
	storm     time.Duration
	crowds    map[types.UID]time.Duration
	forbidden map[string]time.Duration
	refused   map[types.UID]time.Duration
	// acted is the version of each pod that was last patched, so that it is not patched again before the
	// cache has heard of it.
	acted map[types.UID]string
	told  map[telling]bool
	// complaints are the errors that were logged last.
	complaints map[string]string
}

// New returns a Keeper that does nothing before Run.
func New(o Options) (*Keeper, error) {
	if err := o.validate(); err != nil {
		return nil, err
	}
	if o.Within == nil {
		o.Within = func([]v1alpha1.MaintenanceWindow, time.Time) (bool, error) { return false, nil }
	}
	if o.Resting == nil {
		o.Resting = func(check *v1alpha1.Check, _ time.Time) bool { return check.Spec.Suspend }
	}
	k := &Keeper{
		o: o, metrics: newMetrics(),
		careNow: make(chan struct{}, 1), takeNow: make(chan struct{}, 1),
		pods: map[types.NamespacedName]pod{}, sightings: map[types.UID]sighting{}, records: map[types.UID]*record{},
		ledgerAt: never, storm: never, crowds: map[types.UID]time.Duration{},
		forbidden: map[string]time.Duration{}, refused: map[types.UID]time.Duration{},
		acted: map[types.UID]string{}, told: map[telling]bool{}, complaints: map[string]string{},
	}
	if err := k.metrics.register(o.Metrics); err != nil {
		return nil, fmt.Errorf("preparing to take pods out of service: %w", err)
	}
	return k, nil
}

// Run does the work until ctx ends; then it returns nil. Pods that are out stay so for the replica that comes
// next, which gives them back when nobody confirms that they fail.
func (k *Keeper) Run(ctx context.Context) error {
	informer, err := k.o.Informers.GetInformer(ctx, &corev1.Pod{})
	if err != nil {
		if ctx.Err() != nil {
			return nil
		}
		return fmt.Errorf("watching pods: %w", err)
	}
	registration, err := informer.AddEventHandler(k.handler())
	if err != nil {
		return fmt.Errorf("watching pods: %w", err)
	}
	defer func() { _ = informer.RemoveEventHandler(registration) }()
	var tasks sync.WaitGroup
	tasks.Go(func() { k.loop(ctx, careEvery, k.careNow, k.care) })
	tasks.Go(func() { k.loop(ctx, takeEvery, k.takeNow, k.consider) })
	tasks.Wait()
	return nil
}

// loop does a task every so often, and when it is asked to.
func (k *Keeper) loop(ctx context.Context, every time.Duration, now <-chan struct{}, task func(context.Context)) {
	ticker := k.o.Clock.NewTicker(every)
	defer ticker.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-ticker.C():
		case <-now:
		}
		if ctx.Err() != nil {
			return
		}
		task(ctx)
		// What comes in the meantime is looked at together.
		rest := k.o.Clock.NewTimer(restAfter)
		select {
		case <-ctx.Done():
		case <-rest.C():
		}
		rest.Stop()
	}
}

// Observe takes in the results of a run of a check that this replica owns. It never blocks. The check must
// not be changed afterwards.
func (k *Keeper) Observe(check *v1alpha1.Check, at time.Time, results []plan.Result) {
	k.mu.Lock()
	defer k.mu.Unlock()
	if check.Spec.TakeOutOfService == nil {
		delete(k.records, check.UID)
		delete(k.crowds, check.UID)
		return
	}
	k.records[check.UID] = k.records[check.UID].after(check, at, results)
	poke(k.takeNow)
	poke(k.careNow)
}

// Forget drops what is known of a check that this replica does not run any more: it was deleted, or another
// owns it. Pods that it holds back are given back if it was deleted; else its new owner speaks for them.
func (k *Keeper) Forget(uid types.UID) {
	k.mu.Lock()
	defer k.mu.Unlock()
	delete(k.records, uid)
	delete(k.crowds, uid)
	for t := range k.told {
		if t.check == uid {
			delete(k.told, t)
		}
	}
}

// handler takes in what the watch of pods tells.
func (k *Keeper) handler() toolscache.ResourceEventHandler {
	seen := func(obj any) {
		if p, ok := obj.(*corev1.Pod); ok {
			k.see(p)
		}
	}
	return toolscache.ResourceEventHandlerFuncs{
		AddFunc:    seen,
		UpdateFunc: func(_, obj any) { seen(obj) },
		DeleteFunc: func(obj any) {
			if last, ok := obj.(toolscache.DeletedFinalStateUnknown); ok {
				obj = last.Obj
			}
			if p, ok := obj.(*corev1.Pod); ok {
				k.lose(p)
			}
		},
	}
}

// see takes in a pod.
func (k *Keeper) see(p *corev1.Pod) {
	if len(p.Spec.ReadinessGates) == 0 {
		return
	}
	seen, gated := podOf(p)
	if !gated {
		return
	}
	k.mu.Lock()
	defer k.mu.Unlock()
	k.pods[seen.NamespacedName] = seen
	if seen.gate == nil && !seen.leaving {
		poke(k.careNow)
	}
}

// lose takes a pod out that is gone.
func (k *Keeper) lose(p *corev1.Pod) {
	name := types.NamespacedName{Namespace: p.Namespace, Name: p.Name}
	k.mu.Lock()
	defer k.mu.Unlock()
	if k.pods[name].uid == p.UID {
		delete(k.pods, name)
	}
	delete(k.sightings, p.UID)
	delete(k.acted, p.UID)
	delete(k.refused, p.UID)
}

// count brings the own count of time up to date. Time that nobody saw pass counts as a moment, and what was
// seen before it does not count any more.
func (k *Keeper) count() time.Time {
	now := k.o.Clock.Now()
	passed := now.Sub(k.counted)
	if k.counted.IsZero() {
		passed = 0
	}
	if passed < 0 || passed > gapMost {
		passed = careEvery
		k.gap = k.age + passed
		for uid, r := range k.records {
			k.records[uid] = r.forgetRuns()
		}
		k.o.Log.Info("the clock was set, or this replica slept; it looks on anew before it takes pods out of service")
	}
	k.age += passed
	k.counted = now
	return now
}

func poke(c chan<- struct{}) {
	select {
	case c <- struct{}{}:
	default:
	}
}
