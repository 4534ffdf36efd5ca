package monitor

import (
	"cmp"
	"context"
	"fmt"
	"sync"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/maek-dev/maek/internal/snapshot"
)

// atOnce bounds how many monitors look at one moment: an agent is a guest on its machine.
const atOnce = 4

// Runner looks through monitors, each on its own schedule, and keeps what each saw last. A monitor
// that does not return when its time is up costs one goroutine, once: it is not asked again until it
// returns, and meanwhile its values are not reported.
type Runner struct {
	id       Identity
	now      func() time.Time
	monitors []*watched
	slots    chan struct{}
	changed  func()
}

// watched is a monitor with what it saw last.
type watched struct {
	Monitor
	wake chan struct{}

	mu       sync.Mutex
	looking  bool
	began    time.Time
	read     time.Time
	spent    time.Duration
	looks    int
	evidence []snapshot.MachineEvidence
	gaps     []string
}

// NewRunner makes a runner of monitors. Changed, where it is not nil, is called after every look.
func NewRunner(id Identity, monitors []Monitor, now func() time.Time, changed func()) *Runner {
	r := &Runner{id: id, now: now, slots: make(chan struct{}, atOnce), changed: changed}
	for _, m := range monitors {
		m.Interval = cmp.Or(m.Interval, DefaultInterval)
		m.Timeout = cmp.Or(m.Timeout, DefaultTimeout)
		r.monitors = append(r.monitors, &watched{Monitor: m, wake: make(chan struct{}, 1)})
	}
	return r
}

// Once lets every monitor look once and returns the report.
func (r *Runner) Once(ctx context.Context) snapshot.MachineReport {
	var wg sync.WaitGroup
	for _, m := range r.monitors {
		wg.Go(func() { r.look(ctx, m) })
	}
	wg.Wait()
	return r.Report()
}

// Run lets every monitor look again and again until the context ends.
func (r *Runner) Run(ctx context.Context) {
	var wg sync.WaitGroup
	for n, m := range r.monitors {
		wg.Go(func() { r.repeat(ctx, m, n) })
		if m.Watch != nil {
			wg.Go(func() { r.watch(ctx, m) })
		}
	}
	wg.Wait()
}

func (r *Runner) repeat(ctx context.Context, m *watched, n int) {
	// The first looks come at once; after them monitors with one interval are spread over it.
	next := m.Interval + m.Interval*time.Duration(n)/time.Duration(len(r.monitors))
	for {
		r.look(ctx, m)
		timer := time.NewTimer(next)
		next = m.Interval
		select {
		case <-ctx.Done():
			timer.Stop()
			return
		case <-timer.C:
		case <-m.wake:
			timer.Stop()
		}
	}
}

// watch waits for changes, and once more after each failure.
func (r *Runner) watch(ctx context.Context, m *watched) {
	for ctx.Err() == nil {
		m.await(ctx)
		timer := time.NewTimer(m.Interval)
		select {
		case <-ctx.Done():
		case <-timer.C:
		}
		timer.Stop()
	}
}

// await waits for changes until the context ends or the monitor fails, or breaks. Why it failed is what
// the next look says.
func (m *watched) await(ctx context.Context) {
	defer func() { _ = recover() }()
	_ = m.Watch(ctx, func() {
		select {
		case m.wake <- struct{}{}:
		default:
		}
	})
}

// look asks a monitor, unless it is still at the last look, and waits until it answers or its time is up.
func (r *Runner) look(ctx context.Context, m *watched) {
	select {
	case r.slots <- struct{}{}:
	case <-ctx.Done():
		return
	}
	defer func() { <-r.slots }()
	m.mu.Lock()
	if m.looking {
		m.mu.Unlock()
		return
	}
	m.looking, m.began = true, r.now()
	m.mu.Unlock()

	bounded, cancel := context.WithTimeout(ctx, m.Timeout)
	done := make(chan struct{})
	go func() {
		defer close(done)
		defer cancel()
		m.keep(r.now, observe(bounded, m.Monitor))
	}()
	grace := time.NewTimer(m.Timeout + stuckAfter)
	defer grace.Stop()
	select {
	case <-done:
	case <-grace.C:
	}
	if r.changed != nil {
		r.changed()
	}
}

// stuckAfter is how long after its timeout a monitor that heeds its context has to return.
const stuckAfter = time.Second

// seen is what one look gave.
type seen struct {
	evidence []snapshot.MachineEvidence
	err      error
}

func observe(ctx context.Context, m Monitor) (s seen) {
	defer func() {
		if v := recover(); v != nil {
			s = seen{err: fmt.Errorf("monitor %s broke: %v", m.Name, v)}
		}
	}()
	evidence, err := m.Observe(ctx)
	return seen{evidence, err}
}

// Report puts together what every monitor saw last.
func (r *Runner) Report() snapshot.MachineReport {
	now := r.now()
	report := snapshot.MachineReport{
		TypeMeta: metav1.TypeMeta{APIVersion: snapshot.MachineReportVersion, Kind: "MachineReport"},
		Machine:  r.id.Machine, Node: r.id.Node, ObservedAt: metav1.NewTime(now.UTC()),
		Evidence: []snapshot.MachineEvidence{},
	}
	for _, m := range r.monitors {
		m.report(now, &report)
	}
	report.Sort()
	return report
}

// report adds what a monitor saw last. What a monitor that hangs saw before is no longer believed.
func (m *watched) report(now time.Time, to *snapshot.MachineReport) {
	m.mu.Lock()
	defer m.mu.Unlock()
	gap := func(reason string) {
		to.Gaps = append(to.Gaps, snapshot.MachineGap{Monitor: m.Name, Reason: reason})
	}
	if m.looking && now.Sub(m.began) > m.Timeout+stuckAfter {
		gap(fmt.Sprintf("it hangs: it was asked at %s and has not answered", m.began.UTC().Format(time.TimeOnly)))
		return
	}
	if m.read.IsZero() {
		gap("it has not looked yet")
		return
	}
	if len(m.evidence) > 0 || len(m.gaps) == 0 {
		to.Reads = append(to.Reads, snapshot.MonitorRead{Monitor: m.Name, At: metav1.NewTime(m.read.UTC())})
	}
	to.Evidence = append(to.Evidence, m.evidence...)
	for _, reason := range m.gaps {
		gap(reason)
	}
}

// State tells of one monitor for the agent's own metrics.
type State struct {
	// Monitor's name.
	Monitor string
	// Looks so far, and how long they took together.
	Looks int
	Spent time.Duration
	// Read is when it last answered; zero where it never did.
	Read time.Time
	// Gaps it left at its last look.
	Gaps int
	// Stuck tells that it hangs.
	Stuck bool
}

// States of all monitors, in their order.
func (r *Runner) States() []State {
	now := r.now()
	out := make([]State, 0, len(r.monitors))
	for _, m := range r.monitors {
		m.mu.Lock()
		out = append(out, State{
			Monitor: m.Name, Looks: m.looks, Spent: m.spent, Read: m.read, Gaps: len(m.gaps),
			Stuck: m.looking && now.Sub(m.began) > m.Timeout+stuckAfter,
		})
		m.mu.Unlock()
	}
	return out
}
