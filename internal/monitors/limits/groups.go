package limits

import (
	"cmp"
	"maps"
	"slices"

	"github.com/maek-dev/maek/internal/monitor"
	"github.com/maek-dev/maek/internal/monitors/cgroups"
	"github.com/maek-dev/maek/internal/snapshot"
)

const (
	// nearShare is the share of its own limit of threads from which a control group is told.
	nearShare = 0.5
	// largestTold is how many of the pods and services that use most memory are told.
	largestTold = 3
)

// groups tells control groups near a limit of their own, and the largest.
func (w *watch) groups() []snapshot.MachineEvidence {
	var out []snapshot.MachineEvidence
	told := map[cgroups.Group]bool{}
	if t, ok := cgroups.Of(w.host, "pids"); ok {
		out = append(out, w.threads(t, told)...)
	}
	if t, ok := cgroups.Of(w.host, "memory"); ok {
		out = append(out, memoryOf(t, told)...)
	}
	for g := range told {
		if g.Pod != "" {
			out = append(out, monitor.Value(key(g, "pod"), g.Pod))
		}
	}
	maps.DeleteFunc(w.counted, func(k snapshot.EvidenceKey, _ counter) bool {
		return k.Fits("limit/cgroup/*/*") && !slices.ContainsFunc(out, func(e snapshot.MachineEvidence) bool { return e.Key == k })
	})
	return out
}

func key(g cgroups.Group, word string) snapshot.EvidenceKey {
	return snapshot.KeyOf("limit", "cgroup", g.Path, word)
}

// threads tells the groups that may not have many more threads, those that were refused one, and of
// pods and services the one with most.
func (w *watch) threads(t cgroups.Tree, told map[cgroups.Group]bool) []snapshot.MachineEvidence {
	var out []snapshot.MachineEvidence
	var largest cgroups.Group
	var most int64
	for _, g := range t.Groups() {
		used, ok := t.Int(g.Path, "pids.current")
		if !ok {
			continue
		}
		if leaf(g) && used > most {
			largest, most = g, used
		}
		limit, limited := t.Int(g.Path, "pids.max")
		if !limited {
			continue
		}
		refused, _ := t.Field(g.Path, "pids.events", "max")
		if refused == 0 && float64(used) < nearShare*float64(limit) {
			continue
		}
		told[g] = true
		out = append(out, monitor.Int(key(g, "pids"), used), monitor.Int(key(g, "pids-max"), limit), w.count(key(g, "pids-refused"), refused))
	}
	if largest.Path != "" && !told[largest] {
		told[largest] = true
		out = append(out, monitor.Int(key(largest, "pids"), most))
	}
	return out
}

// leaf tells whether a group is one pod's or one service's.
func leaf(g cgroups.Group) bool {
	return g.Pod != "" || len(g.Path) > len("/system.slice/") && g.Path[:len("/system.slice/")] == "/system.slice/"
}

// memoryOf tells the memory of the machine's own group, where something limits it, of the group of all
// pods, and of the pods and services that use most. The limits of pods are their own affair.
func memoryOf(t cgroups.Tree, told map[cgroups.Group]bool) []snapshot.MachineEvidence {
	type sized struct {
		cgroups.Group
		used int64
	}
	var leaves []sized
	var out []snapshot.MachineEvidence
	tell := func(g cgroups.Group) {
		used, ok := t.WorkingSet(g.Path)
		if !ok {
			return
		}
		told[g] = true
		out = append(out, monitor.Int(key(g, "memory-bytes"), used))
		if limit, ok := t.MemoryMax(g.Path); ok {
			out = append(out, monitor.Int(key(g, "memory-max-bytes"), limit))
		}
	}
	for _, g := range t.Groups() {
		if leaf(g) {
			if used, ok := t.MemoryUsed(g.Path); ok {
				leaves = append(leaves, sized{g, used})
			}
			continue
		}
		if _, limited := t.MemoryMax(g.Path); limited {
			tell(g)
		}
	}
	slices.SortFunc(leaves, func(a, b sized) int { return cmp.Or(cmp.Compare(b.used, a.used), cmp.Compare(a.Path, b.Path)) })
	for _, g := range leaves[:min(len(leaves), largestTold)] {
		tell(g.Group)
	}
	return out
}
