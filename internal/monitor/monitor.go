// Package monitor is the contract of what is watched on a machine. A monitor watches one thing and
// gives values under evidence keys; rules read the keys and know no monitor. What a monitor could
// not read is a gap in the report, never a value.
package monitor

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/maek-dev/maek/internal/snapshot"
)

// Monitor watches one thing on a machine.
type Monitor struct {
	// Name of the monitor: lower case, one word, such as "units".
	Name string
	// Keys are the first segments of every key that it gives, such as "unit". No two monitors
	// share one.
	Keys []string
	// Timeout bounds one observation; zero means DefaultTimeout.
	Timeout time.Duration
	// Observe reads the present values. It may return values and an error: what could be read
	// stands, and the error becomes a gap.
	Observe func(context.Context) ([]snapshot.MachineEvidence, error)
}

// DefaultTimeout bounds an observation that names no bound of its own.
const DefaultTimeout = 5 * time.Second

// Identity is what a machine's report says about the machine itself.
type Identity struct {
	// Machine is the host's own name.
	Machine string
	// Node is the name of the Node object that the machine stands under.
	Node string
}

// Report runs monitors one after another and makes the machine's report. A monitor that fails,
// panics, or gives a key that is not its own leaves a gap; the rest goes on.
func Report(ctx context.Context, id Identity, at time.Time, monitors []Monitor) snapshot.MachineReport {
	report := snapshot.MachineReport{
		TypeMeta: metav1.TypeMeta{APIVersion: snapshot.MachineReportVersion, Kind: "MachineReport"},
		Machine:  id.Machine, Node: id.Node, ObservedAt: metav1.NewTime(at),
		Evidence: []snapshot.MachineEvidence{},
	}
	for _, m := range monitors {
		evidence, err := observe(ctx, m)
		for _, e := range evidence {
			if segment, _, _ := strings.Cut(string(e.Key), "/"); !slices.Contains(m.Keys, segment) {
				err = cmp.Or(err, fmt.Errorf("key %s is not among its own", e.Key))
				continue
			}
			report.Evidence = append(report.Evidence, e)
		}
		if err != nil {
			report.Gaps = append(report.Gaps, snapshot.MachineGap{Monitor: m.Name, Reason: err.Error()})
		}
	}
	slices.SortStableFunc(report.Evidence, func(a, b snapshot.MachineEvidence) int { return cmp.Compare(a.Key, b.Key) })
	return report
}

func observe(ctx context.Context, m Monitor) (evidence []snapshot.MachineEvidence, err error) {
	ctx, cancel := context.WithTimeout(ctx, cmp.Or(m.Timeout, DefaultTimeout))
	defer cancel()
	defer func() {
		if v := recover(); v != nil {
			err = fmt.Errorf("monitor %s broke: %v", m.Name, v)
		}
	}()
	return m.Observe(ctx)
}
