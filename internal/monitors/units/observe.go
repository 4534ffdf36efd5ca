package units

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	systemd "github.com/coreos/go-systemd/v22/dbus"

	"github.com/maek-dev/maek/internal/monitor"
	"github.com/maek-dev/maek/internal/monitors/lastwords"
	"github.com/maek-dev/maek/internal/snapshot"
)

// watcher keeps a connection, and what it last read of each unit.
type watcher struct {
	now       func() time.Time
	connect   func() (manager, error)
	lastLines LastLines
	manager   manager
	known     map[string]*unit
}

// unit is what is kept of one unit between looks.
type unit struct {
	changed    uint64
	read       time.Time
	properties map[string]any
	lines      []string
	// starts are the counts of restarts that were seen, over the time that is told of.
	starts []count
	// failing is since when starts follow each other; zero where they do not.
	failing time.Time
}

type count struct {
	at       time.Time
	restarts uint32
}

func (w *watcher) observe(ctx context.Context) ([]snapshot.MachineEvidence, error) {
	states, err := w.states(ctx)
	if err != nil && w.manager != nil {
		// A bus that was restarted leaves connections that no longer answer: one new one is tried.
		w.manager.Close()
		w.manager = nil
		states, err = w.states(ctx)
	}
	if errors.Is(err, errNoSystemd) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	var (
		out  []snapshot.MachineEvidence
		errs []error
	)
	seen := map[string]bool{}
	for _, s := range states {
		if s.LoadState == "not-found" || seen[s.Name] {
			continue
		}
		seen[s.Name] = true
		evidence, err := w.one(ctx, s)
		out = append(out, evidence...)
		if err != nil {
			errs = append(errs, err)
		}
	}
	for name := range w.known {
		if !seen[name] {
			delete(w.known, name)
		}
	}
	return out, errors.Join(errs...)
}

// states of the units that are told of.
func (w *watcher) states(ctx context.Context) ([]systemd.UnitStatus, error) {
	if w.manager == nil {
		m, err := w.connect()
		if err != nil {
			return nil, err
		}
		w.manager = m
	}
	states, err := w.manager.ByName(ctx, names)
	if err != nil {
		return nil, fmt.Errorf("listing units: %w", err)
	}
	failed, err := w.manager.Failed(ctx)
	if err != nil {
		return nil, fmt.Errorf("listing failed units: %w", err)
	}
	slices.SortFunc(failed, func(a, b systemd.UnitStatus) int { return strings.Compare(a.Name, b.Name) })
	return append(states, failed[:min(len(failed), failedTold)]...), nil
}

// one tells of a unit. All of it is read only where its state has changed since, or after a while:
// systemd takes milliseconds to write all properties down.
func (w *watcher) one(ctx context.Context, s systemd.UnitStatus) ([]snapshot.MachineEvidence, error) {
	u := w.known[s.Name]
	if u == nil {
		u = &unit{}
		w.known[s.Name] = u
	}
	now := w.now()
	changed, err := w.manager.Changed(ctx, s.Name)
	if err != nil {
		return nil, fmt.Errorf("reading unit %s: %w", s.Name, err)
	}
	var gap error
	if u.properties == nil || changed != u.changed || now.Sub(u.read) >= refresh {
		p, err := w.manager.Properties(ctx, s.Name)
		if err != nil {
			return nil, fmt.Errorf("reading unit %s: %w", s.Name, err)
		}
		fresh := changed != u.changed
		u.properties, u.changed, u.read = needed(p), changed, now
		u.count(now)
		if fresh {
			u.lines = nil
			if w.lastLines != nil && u.troubled(s, now) {
				u.lines, gap = w.lastLines(ctx, s.Name, linesRead)
				if gap != nil {
					gap = fmt.Errorf("reading the journal of %s: %w", s.Name, gap)
				}
			}
		}
	}
	u.forget(now)
	return u.evidence(s), gap
}

// settling is how long a unit must run after restarts until they are believed to be over.
const settling = 2 * time.Minute

// troubled tells whether it matters what a unit wrote last.
func (u *unit) troubled(s systemd.UnitStatus, now time.Time) bool {
	result := u.text("Result")
	return s.ActiveState == "failed" || s.ActiveState == "activating" || result != "" && result != "success" || !u.failing.IsZero() ||
		u.restarts() > 0 && now.Sub(moment(u.properties["ExecMainStartTimestamp"])) < settling
}

// wanted are the properties that evidence is made of; the rest is large and not kept.
var wanted = []string{
	"Description", "Result", "NRestarts", "ExecMainCode", "ExecMainStatus", "ExecMainStartTimestamp", "MainPID", "Restart", "UnitFileState", "NeedDaemonReload",
}

func needed(all map[string]any) map[string]any {
	out := make(map[string]any, len(wanted))
	for _, name := range wanted {
		if v, ok := all[name]; ok {
			out[name] = v
		}
	}
	return out
}

func (u *unit) text(name string) string {
	s, _ := u.properties[name].(string)
	return s
}

func (u *unit) restarts() uint32 {
	n, _ := u.properties["NRestarts"].(uint32)
	return n
}

// count notes the restarts seen by now. A count that fell was begun anew by hand.
func (u *unit) count(now time.Time) {
	n := u.restarts()
	if last := len(u.starts) - 1; last >= 0 {
		switch {
		case n < u.starts[last].restarts:
			u.starts, u.failing = nil, time.Time{}
		case n > u.starts[last].restarts && u.failing.IsZero():
			u.failing = now
		}
	}
	u.starts = append(u.starts, count{now, n})
}

// forget drops what lies too far back. One count from before the time told of is kept, as what the
// restarts within it are counted from.
func (u *unit) forget(now time.Time) {
	for len(u.starts) > 1 && now.Sub(u.starts[1].at) > recently {
		u.starts = u.starts[1:]
	}
	if len(u.starts) > 0 && u.recent() == 0 {
		u.failing = time.Time{}
	}
	if len(u.starts) == 1 && now.Sub(u.starts[0].at) > recently {
		u.failing = time.Time{}
	}
}

func (u *unit) recent() uint32 {
	if len(u.starts) == 0 {
		return 0
	}
	return u.restarts() - u.starts[0].restarts
}

// The ends of a process, as the kernel numbers them (signal.h: CLD_EXITED, CLD_KILLED, CLD_DUMPED).
var ends = map[int32]string{1: "exited", 2: "killed", 3: "dumped"}

// moment is a time of systemd's, in microseconds since 1970; zero is none.
func moment(v any) time.Time {
	us, _ := v.(uint64)
	if us == 0 || us > 1<<62 {
		return time.Time{}
	}
	return time.UnixMicro(int64(us))
}

func (u *unit) evidence(s systemd.UnitStatus) []snapshot.MachineEvidence {
	key := func(what string) snapshot.EvidenceKey { return snapshot.KeyOf("unit", s.Name, what) }
	at := moment(u.changed)
	out := []snapshot.MachineEvidence{
		monitor.Value(key("load-state"), s.LoadState),
		monitor.Since(monitor.Value(key("active-state"), s.ActiveState), at),
		monitor.Since(monitor.Value(key("sub-state"), s.SubState), at),
	}
	text := func(what, value string) {
		if value != "" {
			out = append(out, monitor.Value(key(what), value))
		}
	}
	text("description", u.text("Description"))
	text("result", u.text("Result"))
	text("file-state", u.text("UnitFileState"))
	text("restart-policy", u.text("Restart"))
	if reload, ok := u.properties["NeedDaemonReload"].(bool); ok {
		out = append(out, monitor.Bool(key("needs-reload"), reload))
	}
	if n, ok := u.properties["NRestarts"].(uint32); ok {
		out = append(out, monitor.Int(key("restarts"), n), monitor.Int(key("restarts-10m"), u.recent()))
	}
	if !u.failing.IsZero() {
		out = append(out, monitor.Moment(key("failing-since"), u.failing))
	}
	if code, ok := u.properties["ExecMainCode"].(int32); ok && ends[code] != "" {
		text("exit-code", ends[code])
		status, _ := u.properties["ExecMainStatus"].(int32)
		out = append(out, monitor.Int(key("exit-status"), status))
	}
	if started := moment(u.properties["ExecMainStartTimestamp"]); !started.IsZero() {
		out = append(out, monitor.Moment(key("started"), started))
	}
	if pid, ok := u.properties["MainPID"].(uint32); ok && pid != 0 {
		out = append(out, monitor.Int(key("main-pid"), pid))
	}
	text("last-error", lastwords.Of(lastwords.LastRun(u.lines)))
	for i, line := range u.lines[max(0, len(u.lines)-linesTold):] {
		out = append(out, monitor.Value(snapshot.KeyOf("unit", s.Name, "last-line", strconv.Itoa(i+1)), line))
	}
	return out
}

// linesTold is how many of a unit's last lines are told as they are.
const linesTold = 5
