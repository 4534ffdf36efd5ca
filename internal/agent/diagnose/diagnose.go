// Package diagnose says what the rules make of the agent's own machine. Everybody who asks at one moment
// gets one answer: its cost does not grow with the number of those who ask.
package diagnose

import (
	"context"
	"sync"
	"sync/atomic"
	"time"

	"github.com/maek-dev/maek/internal/diagnosis"
	"github.com/maek-dev/maek/internal/monitor"
	"github.com/maek-dev/maek/internal/rule"
	"github.com/maek-dev/maek/internal/snapshot"
)

// How long an answer is good: at least freshest, even if a monitor looked since, and at most stalest, for
// findings grow worse as time passes.
const (
	freshest = time.Second
	stalest  = 30 * time.Second
)

// Diagnoser judges the reports of one machine.
type Diagnoser struct {
	id     monitor.Identity
	report func() snapshot.MachineReport
	rules  []rule.Rule
	now    func() time.Time
	looks  atomic.Int64

	mu     sync.Mutex
	last   diagnosis.Diagnosis
	at     time.Time
	looked int64
	spent  time.Duration
	count  int
}

// New makes a diagnoser of rules, of which it runs those that stand on machine evidence alone.
func New(id monitor.Identity, report func() snapshot.MachineReport, rules []rule.Rule, now func() time.Time) *Diagnoser {
	return &Diagnoser{id: id, report: report, rules: rule.OnMachines(rules), now: now}
}

// Looked tells that a monitor looked.
func (d *Diagnoser) Looked() { d.looks.Add(1) }

// Diagnose returns what is wrong with the machine.
func (d *Diagnoser) Diagnose(ctx context.Context) diagnosis.Diagnosis {
	d.mu.Lock()
	defer d.mu.Unlock()
	looks, now := d.looks.Load(), d.now()
	age := now.Sub(d.at)
	if age >= 0 && (age < freshest || looks == d.looked && age < stalest) {
		return d.last
	}
	b := snapshot.NewBuilder(now, snapshot.Source{Name: d.id.Machine, Machine: d.id.Node})
	b.AddMachine(d.report())
	// The rules ask nothing here, so that nothing waits and nobody's patience counts.
	result := rule.Evaluate(context.WithoutCancel(ctx), b.Build(), d.rules, nil, rule.DefaultBudget)
	d.last, d.at, d.looked = diagnosis.Diagnose(result, d.rules), now, looks
	d.spent += d.now().Sub(now)
	d.count++
	return d.last
}

// Spent is how often the rules ran, and how long it took together.
func (d *Diagnoser) Spent() (runs int, spent time.Duration) {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.count, d.spent
}
