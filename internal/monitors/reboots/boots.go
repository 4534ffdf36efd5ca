package reboots

import (
	"slices"
	"time"
)

// ending is how a boot ended.
type ending string

// The ways in which a boot ends.
const (
	// clean: the system was ordered to stop.
	clean ending = "clean"
	// unclean: it ended without an order: power, a crash, a reset.
	unclean ending = "unclean"
	// unknown: nothing tells.
	unknown ending = "unknown"
)

// boot is one run of the system.
type boot struct {
	ID      string    `json:"id,omitempty"`
	Started time.Time `json:"started"`
	// Ended is when it was last heard of; zero for the present boot, and where nothing tells.
	Ended time.Time `json:"ended,omitzero"`
	How   ending    `json:"how,omitempty"`
	// Last is the last line that it logged, where the journal has it.
	Last string `json:"last,omitempty"`
}

// fromMarks makes boots of the marks of wtmp. The last is the present one.
func fromMarks(marks []mark) []boot {
	var out []boot
	for _, m := range marks {
		if m.boot {
			if n := len(out); n > 0 && out[n-1].How == "" {
				out[n-1].How = unclean
			}
			out = append(out, boot{Started: m.at})
			continue
		}
		if n := len(out); n > 0 {
			out[n-1].How, out[n-1].Ended = clean, m.at
		}
	}
	return out
}

// sameBoot is how far two sources may differ about when a boot began: wtmp is written late in a boot,
// and the clock may be set between.
const sameBoot = 3 * time.Minute

// merge brings together what several sources say about boots; what an earlier source says holds.
func merge(sources ...[]boot) []boot {
	var out []boot
	for _, boots := range sources {
		for _, b := range boots {
			i := slices.IndexFunc(out, func(o boot) bool {
				if o.ID != "" && b.ID != "" {
					return o.ID == b.ID
				}
				return o.Started.Sub(b.Started).Abs() <= sameBoot
			})
			if i < 0 {
				out = append(out, b)
				continue
			}
			out[i].complete(b)
		}
	}
	slices.SortStableFunc(out, func(a, b boot) int { return a.Started.Compare(b.Started) })
	return out
}

func (b *boot) complete(o boot) {
	if b.ID == "" {
		b.ID = o.ID
	}
	if b.How == "" || b.How == unknown {
		if o.How != "" {
			b.How = o.How
		}
	}
	if b.Ended.IsZero() {
		b.Ended = o.Ended
	}
	if b.Last == "" {
		b.Last = o.Last
	}
}
