package incident

import (
	"context"
	"sync"
	"time"

	"k8s.io/client-go/rest"

	"github.com/maek-dev/maek/internal/collect/agents"
	"github.com/maek-dev/maek/internal/finding"
	"github.com/maek-dev/maek/internal/rule"
	"github.com/maek-dev/maek/internal/snapshot"
)

const (
	// machinesEvery is how often agents are asked for the reports of their machines: as often as their own
	// diagnoses are made anew.
	machinesEvery = 30 * time.Second
	// machinesTTL is how long reports are good where agents cannot be asked again.
	machinesTTL = 2 * time.Minute
)

// machines are what agents told last.
type machines struct {
	cfg  *rest.Config
	keys []snapshot.EvidenceKey
	now  func() time.Time
	// news is told when reports came.
	news func()

	mu      sync.Mutex
	reports agents.Reports
	at      time.Time
}

func newMachines(cfg *rest.Config, rules []rule.Rule, now func() time.Time, news func()) *machines {
	return &machines{cfg: cfg, keys: rule.Keys(rules), now: now, news: news}
}

// run asks again and again until ctx ends. current is the cluster as it is known, or nil where that is not yet so.
func (m *machines) run(ctx context.Context, current func() *snapshot.Snapshot) {
	if len(m.keys) == 0 {
		return
	}
	for {
		pause := time.Second
		if s := current(); s != nil {
			pause = machinesEvery
			told := agents.Collect(ctx, m.cfg, s, agents.Options{Keys: m.keys})
			if ctx.Err() != nil {
				return
			}
			if told.Looked {
				m.take(told)
			}
		}
		timer := time.NewTimer(pause)
		select {
		case <-ctx.Done():
			timer.Stop()
			return
		case <-timer.C:
		}
	}
}

func (m *machines) take(told agents.Reports) {
	m.mu.Lock()
	news := told.Installed || m.reports.Installed
	m.reports, m.at = told, m.now()
	m.mu.Unlock()
	if news {
		m.news()
	}
}

// add adds to a snapshot what agents told, and says what was wrong with it.
func (m *machines) add(s *snapshot.Snapshot) (*snapshot.Snapshot, []finding.Skip) {
	m.mu.Lock()
	told, at := m.reports, m.at
	m.mu.Unlock()
	if !told.Installed {
		return s, nil
	}
	if m.now().Sub(at) > machinesTTL {
		silent := map[string]string{}
		for _, r := range told.Reports {
			silent[r.Node] = "agents were not heard since " + at.UTC().Format(time.RFC3339)
		}
		return s.WithMachines(nil, silent), nil
	}
	return s.WithMachines(told.Reports, told.Unreported), told.Skips
}
