// Package plan decides which machines of a cluster watch each other. Every machine comes to the same
// answer by itself, and the answer is symmetric: whom I watch watches me. In a small cluster these
// are all; in a large one a few that stay, and some that change until every pair has met.
package plan

import (
	"cmp"
	"hash/fnv"
	"slices"
	"time"
)

// The shape of the mesh.
const (
	// WholeUpTo is how many machines all watch each other.
	WholeUpTo = 50
	// side is how many neighbours a machine has on each side of the ring.
	side = 4
	// guests is how many machines it meets for one Round.
	guests = 8
	// perControlPlane is about how many machines a control plane meets beyond these, in a Round.
	perControlPlane = 32
	// zonesJoined bounds how many zones' representatives all watch each other.
	zonesJoined = 16
)

// Round is how long guests stay. Five hundred machines have all met within 63 rounds.
const Round = time.Minute

// RoundAt is the round of a moment.
func RoundAt(t time.Time) uint64 { return uint64(max(t.Unix(), 0)) / uint64(Round/time.Second) }

// Machine is what the plan must know of one.
type Machine struct {
	// Name is the name of its node.
	Name string
	// Zone of it; empty where it has none.
	Zone string
	// ControlPlane tells whether it is one.
	ControlPlane bool
}

// Watched are the machines that one of all watches in a round, by name. Self must be one of them.
func Watched(self string, all []Machine, round uint64) []string {
	all = slices.SortedFunc(slices.Values(all), func(a, b Machine) int { return cmp.Compare(a.Name, b.Name) })
	all = slices.CompactFunc(all, func(a, b Machine) bool { return a.Name == b.Name })
	at := slices.IndexFunc(all, func(m Machine) bool { return m.Name == self })
	if at < 0 {
		return nil
	}
	watched := map[string]bool{}
	if len(all) <= WholeUpTo {
		for _, m := range all {
			watched[m.Name] = true
		}
	} else {
		ring(self, all, watched)
		meet(at, all, round, watched)
		controlPlanes(all[at], all, round, watched)
		zones(all[at], all, watched)
	}
	delete(watched, self)
	out := make([]string, 0, len(watched))
	for _, m := range all {
		if watched[m.Name] {
			out = append(out, m.Name)
		}
	}
	return out
}

// place of a name on the ring: a hash, for machines of one rack have names beside each other.
func place(name ...string) uint64 {
	h := fnv.New64a()
	for _, n := range name {
		_, _ = h.Write([]byte(n))
		_, _ = h.Write([]byte{0})
	}
	// FNV leaves the high bits of short names alike.
	x := h.Sum64()
	x ^= x >> 33
	x *= 0xff51afd7ed558ccd
	return x ^ x>>33
}

// spot is a machine on the ring.
type spot struct {
	place uint64
	name  string
}

func compareSpots(a, b spot) int {
	return cmp.Or(cmp.Compare(a.place, b.place), cmp.Compare(a.name, b.name))
}

// ring adds the neighbours on both sides.
func ring(self string, all []Machine, watched map[string]bool) {
	spots := make([]spot, 0, len(all))
	for _, m := range all {
		spots = append(spots, spot{place(m.Name), m.Name})
	}
	slices.SortFunc(spots, compareSpots)
	at := slices.IndexFunc(spots, func(s spot) bool { return s.name == self })
	for d := 1; d <= side; d++ {
		watched[spots[(at+d)%len(spots)].name] = true
		watched[spots[(at-d+len(spots))%len(spots)].name] = true
	}
}

// meet adds guests: machines i and j meet in turn i+j modulo their number, which both compute alike
// and which leaves no pair out.
func meet(at int, all []Machine, round uint64, watched map[string]bool) {
	n := uint64(len(all))
	for turn := round * guests; turn < (round+1)*guests; turn++ {
		watched[all[(turn%n+n-uint64(at))%n].Name] = true //nolint:gosec // at is an index
	}
}

// controlPlanes joins all of them with each other, and each with a part of the others that changes.
func controlPlanes(self Machine, all []Machine, round uint64, watched map[string]bool) {
	var planes []Machine
	for _, m := range all {
		if m.ControlPlane {
			planes = append(planes, m)
		}
	}
	turns := uint64(max(1, len(all)/perControlPlane))
	joined := func(m, plane Machine) bool { return m.ControlPlane || (place(m.Name, plane.Name)+round)%turns == 0 }
	for _, plane := range planes {
		if joined(self, plane) {
			watched[plane.Name] = true
		}
		if plane.Name != self.Name {
			continue
		}
		for _, m := range all {
			if joined(m, plane) {
				watched[m.Name] = true
			}
		}
	}
}

// zones joins the representatives of zones with each other.
func zones(self Machine, all []Machine, watched map[string]bool) {
	first := map[string]spot{}
	for _, m := range all {
		here := spot{place(m.Name), m.Name}
		if r, ok := first[m.Zone]; m.Zone != "" && (!ok || compareSpots(here, r) < 0) {
			first[m.Zone] = here
		}
	}
	if len(first) > zonesJoined || first[self.Zone].name != self.Name {
		return
	}
	for _, r := range first {
		watched[r.name] = true
	}
}
