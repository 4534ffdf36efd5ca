package logs

import (
	"cmp"
	"maps"
	"slices"
	"time"

	"github.com/maek-dev/maek/internal/monitor"
	"github.com/maek-dev/maek/internal/snapshot"
)

// errorWindow is the time over which errors are counted.
const errorWindow = 10 * time.Minute

// Bounds of what is remembered and given of error lines.
const (
	maxSites   = 64
	givenSites = 3
)

// errorsSeen counts the error lines of logs, and by the place in the code that they come from.
type errorsSeen struct {
	// minutes counts errors by log and by minute since 1970.
	minutes map[string]map[int64]int64
	sites   map[string]map[string]*site
}

// site is a place in the code that writes errors.
type site struct {
	count int64
	last  time.Time
	line  string
}

func newErrorsSeen() *errorsSeen {
	return &errorsSeen{minutes: map[string]map[int64]int64{}, sites: map[string]map[string]*site{}}
}

func (e *errorsSeen) take(source string, l Line, now time.Time) {
	if l.Severity != 'E' && l.Severity != 'F' || now.Sub(l.At) > errorWindow {
		return
	}
	if e.minutes[source] == nil {
		e.minutes[source] = map[int64]int64{}
	}
	e.minutes[source][l.At.Unix()/60]++
	if l.site == "" || l.Class == "" {
		return
	}
	sites := e.sites[string(l.Class)]
	if sites == nil {
		sites = map[string]*site{}
		e.sites[string(l.Class)] = sites
	}
	s := sites[l.site]
	if s == nil {
		if len(sites) >= maxSites {
			return
		}
		s = &site{}
		sites[l.site] = s
	}
	s.count++
	s.last, s.line = l.At, cut(l.Text)
}

func (e *errorsSeen) prune(now time.Time) {
	for source, minutes := range e.minutes {
		maps.DeleteFunc(minutes, func(m, _ int64) bool { return now.Sub(time.Unix(m*60, 0)) > errorWindow })
		if len(minutes) == 0 {
			delete(e.minutes, source)
		}
	}
	for _, sites := range e.sites {
		maps.DeleteFunc(sites, func(_ string, s *site) bool { return now.Sub(s.last) > errorWindow })
	}
}

// of is how many errors a log had in the window.
func (e *errorsSeen) of(source string) int64 {
	var n int64
	for _, count := range e.minutes[source] {
		n += count
	}
	return n
}

// evidence gives the places that write most errors, a few of each component.
func (e *errorsSeen) evidence() []snapshot.MachineEvidence {
	var out []snapshot.MachineEvidence
	for component, sites := range e.sites {
		places := slices.SortedFunc(maps.Keys(sites), func(a, b string) int {
			return cmp.Or(cmp.Compare(sites[b].count, sites[a].count), cmp.Compare(a, b))
		})
		for _, place := range places[:min(len(places), givenSites)] {
			s := sites[place]
			key := func(last string) snapshot.EvidenceKey { return snapshot.KeyOf("log", "klog", component, place, last) }
			out = append(out, monitor.Int(key("count"), s.count), monitor.Moment(key("last"), s.last), monitor.Value(key("line"), s.line))
		}
	}
	return out
}
