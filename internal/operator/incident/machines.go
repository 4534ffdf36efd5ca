package incident

import (
	"context"
	"maps"
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
	// machinesSoon is when it is looked again where it cannot be seen whether there are agents.
	machinesSoon = 3 * time.Second
	// machinesTTL is how long reports are good where agents cannot be asked again.
	machinesTTL = 2 * time.Minute
)

// machines are what agents told last.
type machines struct {
	cfg *rest.Config
	// token to show to agents; nil where cfg's credentials are shown.
	token func() (string, error)
	// rules that read what agents tell.
	rules []rule.Rule
	now   func() time.Time
	// news is told when reports came.
	news func()
	// asked is closed once agents were asked, whatever came of it.
	asked chan struct{}

	mu      sync.Mutex
	reports agents.Reports
	at      time.Time
}

func newMachines(cfg *rest.Config, token func() (string, error), rules []rule.Rule, now func() time.Time, news func()) *machines {
	m := &machines{cfg: cfg, token: token, now: now, news: news, asked: make(chan struct{})}
	for _, r := range rules {
		if len(r.Machine) > 0 {
			m.rules = append(m.rules, r)
		}
	}
	if len(m.rules) == 0 {
		close(m.asked)
	}
	return m
}

// run asks again and again until ctx ends. current is the cluster as it is known, or nil where that is not yet so.
func (m *machines) run(ctx context.Context, current func() *snapshot.Snapshot) {
	if len(m.rules) == 0 {
		return
	}
	for first := true; ; {
		pause := readyEvery
		if s := current(); s != nil {
			pause = machinesEvery
			told := agents.Collect(ctx, m.cfg, s, agents.Options{Keys: rule.Keys(m.rules), Token: m.token})
			if ctx.Err() != nil {
				return
			}
			if told.Looked {
				m.take(told)
			} else {
				pause = machinesSoon
			}
			if first {
				close(m.asked)
				first = false
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

// add adds to a snapshot what agents told, and says what was wrong with it. Before anything is known of agents
// the rules that read what they tell were not wholly evaluated: what they found for the leader before this one
// is not gone.
func (m *machines) add(s *snapshot.Snapshot) (*snapshot.Snapshot, []finding.Skip) {
	m.mu.Lock()
	told, at := m.reports, m.at
	m.mu.Unlock()
	if at.IsZero() {
		skips := make([]finding.Skip, 0, len(m.rules))
		for _, r := range m.rules {
			skips = append(skips, finding.Skip{Code: r.Code, Reason: finding.Textf("agents were not asked yet", "agent에 아직 묻지 않았습니다")})
		}
		return s, skips
	}
	if !told.Installed {
		return s, nil
	}
	if m.now().Sub(at) > machinesTTL {
		silent := map[string]string{}
		maps.Copy(silent, told.Unreported)
		for _, r := range told.Reports {
			silent[r.Node] = "agents were not heard since " + at.UTC().Format(time.RFC3339)
		}
		return s.WithMachines(nil, silent), nil
	}
	return s.WithMachines(told.Reports, told.Unreported), told.Skips
}
