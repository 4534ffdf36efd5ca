// Package oom watches what the kernel kills for want of memory: how many processes of the machine, and
// of which control groups.
package oom

import (
	"context"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/maek-dev/maek/internal/monitor"
	"github.com/maek-dev/maek/internal/monitors/cgroups"
	"github.com/maek-dev/maek/internal/snapshot"
)

const (
	// remembered is for how long kills are counted as recent.
	remembered = time.Hour
	// fileLimit bounds /proc/vmstat, which has some two hundred short lines.
	fileLimit = 64 << 10
)

// New makes the monitor of a host's kills for want of memory.
func New(host monitor.Host) monitor.Monitor {
	w := &watch{host: host, groups: map[string]*group{}}
	return monitor.Monitor{
		Name: "oom", Doc: "Processes that the kernel killed for want of memory, from /proc/vmstat and the counters of control groups.",
		Keys: []monitor.Key{
			{Pattern: "oom/kills", Doc: "Processes killed since the start of the machine; At is when the last was, as far as that was seen."},
			{Pattern: "oom/recent", Doc: "Processes seen killed within the last hour."},
			{Pattern: "oom/cgroup/*/kills", Doc: "Processes of a control group killed since it was made, where any were; At as above."},
			{Pattern: "oom/cgroup/*/recent", Doc: "Processes of a control group seen killed within the last hour."},
			{Pattern: "oom/cgroup/*/recent-at-own-limit", Doc: "How many of these while the control group itself had met its memory limit."},
			{Pattern: "oom/cgroup/*/pod", Doc: "UID of the pod that the control group belongs to."},
		},
		Requires: []monitor.Privilege{monitor.HostFiles},
		Interval: 15 * time.Second,
		Observe:  func(context.Context) ([]snapshot.MachineEvidence, error) { return w.observe() },
	}
}

// watch remembers the counters that were seen.
type watch struct {
	host    monitor.Host
	machine tally
	groups  map[string]*group
}

// kill is a number of processes that were killed between two looks.
type kill struct {
	at         time.Time
	processes  int64
	atOwnLimit bool
}

// tally is a counter of kills and how it grew of late.
type tally struct {
	known bool
	kills int64
	last  time.Time
	grown []kill
}

// add takes in what the counter says now.
func (t *tally) add(now time.Time, kills int64, atOwnLimit bool) {
	if t.known && kills > t.kills {
		t.grown = append(t.grown, kill{now, kills - t.kills, atOwnLimit})
		t.last = now
	}
	for len(t.grown) > 0 && now.Sub(t.grown[0].at) > remembered {
		t.grown = t.grown[1:]
	}
	t.known, t.kills = true, kills
}

// recent counts the kills of the last hour, and those of them at the group's own limit.
func (t *tally) recent() (all, atOwnLimit int64) {
	for _, k := range t.grown {
		all += k.processes
		if k.atOwnLimit {
			atOwnLimit += k.processes
		}
	}
	return all, atOwnLimit
}

// group is what was seen of a control group.
type group struct {
	tally
	limitHits int64
}

func (w *watch) observe() ([]snapshot.MachineEvidence, error) {
	now := w.host.Now()
	data, err := w.host.ReadFile("/proc/vmstat", fileLimit)
	if err != nil {
		return nil, fmt.Errorf("counting processes killed for want of memory: %w", err)
	}
	var out []snapshot.MachineEvidence
	for line := range strings.Lines(string(data)) {
		name, value, _ := strings.Cut(strings.TrimSpace(line), " ")
		if name != "oom_kill" {
			continue
		}
		kills, err := strconv.ParseInt(value, 10, 64)
		if err != nil {
			return nil, fmt.Errorf("counting processes killed for want of memory: %w", err)
		}
		w.machine.add(now, kills, false)
		recent, _ := w.machine.recent()
		out = append(out, monitor.Since(monitor.Int("oom/kills", kills), w.machine.last), monitor.Int("oom/recent", recent))
	}
	if t, ok := cgroups.Of(w.host, "memory"); ok {
		out = append(out, w.ofGroups(now, t)...)
	}
	return out, nil
}

// ofGroups reads the kills of pods and services, and of the machine's own group.
func (w *watch) ofGroups(now time.Time, t cgroups.Tree) []snapshot.MachineEvidence {
	var out []snapshot.MachineEvidence
	present := map[string]*group{}
	for _, g := range t.Groups() {
		kills, hits := counters(t, g)
		seen := w.groups[g.Path]
		if seen == nil {
			// A group that came since the last look started with no kills; what was there at the first
			// look says nothing of when.
			seen = &group{tally: tally{known: len(w.groups) > 0}}
		}
		present[g.Path] = seen
		seen.add(now, kills, hits > seen.limitHits)
		seen.limitHits = hits
		if kills == 0 {
			continue
		}
		recent, atOwnLimit := seen.recent()
		key := func(word string) snapshot.EvidenceKey { return snapshot.KeyOf("oom", "cgroup", g.Path, word) }
		out = append(out,
			monitor.Since(monitor.Int(key("kills"), kills), seen.last),
			monitor.Int(key("recent"), recent), monitor.Int(key("recent-at-own-limit"), atOwnLimit))
		if g.Pod != "" {
			out = append(out, monitor.Value(key("pod"), g.Pod))
		}
	}
	w.groups = present
	return out
}

// counters are how many processes of a group were killed and how often it met its own limit. Version 1
// counts kills in the very group of the process only, so those of a pod's containers are added up; its
// failcnt grows whenever the limit is met (Documentation/admin-guide/cgroup-v1/memory.rst, cgroup-v2.rst).
func counters(t cgroups.Tree, g cgroups.Group) (kills, limitHits int64) {
	if t.V2 {
		kills, _ = t.Field(g.Path, "memory.events", "oom_kill")
		limitHits, _ = t.Field(g.Path, "memory.events", "oom")
		return kills, limitHits
	}
	members := []string{g.Path}
	if g.Pod != "" {
		members = append(members, t.Children(g.Path)...)
	}
	for _, m := range members {
		k, _ := t.Field(m, "memory.oom_control", "oom_kill")
		h, _ := t.Int(m, "memory.failcnt")
		kills, limitHits = kills+k, limitHits+h
	}
	return kills, limitHits
}
