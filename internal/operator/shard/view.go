package shard

import (
	"maps"
	"slices"
	"time"
)

// view is what one replica makes of the Leases that it sees. It is pure: times are given to it, all of
// this process's own clock.
type view struct {
	self string
	// fence is after how long without a renewal of its own this replica owns nothing, and after how long
	// without an echo of one it is deaf.
	fence   time.Duration
	members map[string]*member
	// renewedAt is when the newest of the own renewals that succeeded was sent.
	renewedAt time.Time
	// echoAt is when an own renewal last came back through the watch.
	echoAt time.Time
	// lookedAt is when somebody last looked: a long gap means that the process stood still.
	lookedAt time.Time
}

// member is one Lease.
type member struct {
	// version tells one renewal from another.
	version string
	// lasts is the Lease's own duration.
	lasts time.Duration
	// seenAt is when a renewal was last seen.
	seenAt time.Time
	// dead tells that it was judged so, at deadAt.
	dead   bool
	deadAt time.Time
}

// sighting is a Lease as the watch gave it.
type sighting struct {
	name, version string
	lasts         time.Duration
}

func newView(self string, lasts time.Duration) view {
	return view{self: self, fence: part(lasts, fenceAfter), members: map[string]*member{}}
}

// deaf tells that own renewals do not come back: the silence of others may be this replica's own.
func (v *view) deaf(now time.Time) bool {
	return v.echoAt.IsZero() || now.Sub(v.echoAt) >= v.fence
}

// see takes in one Lease.
func (v *view) see(s sighting, now time.Time) {
	m := v.members[s.name]
	if m == nil {
		m = &member{}
		v.members[s.name] = m
	} else if m.version == s.version {
		return
	}
	m.version, m.lasts, m.seenAt, m.dead = s.version, s.lasts, now, false
	if s.name == v.self {
		if v.deaf(now) {
			v.hearAgain(now)
		}
		v.echoAt = now
	}
}

// hearAgain gives everybody who was not dead before a full duration: nobody was heard in between.
func (v *view) hearAgain(now time.Time) {
	for _, m := range v.members {
		if !m.dead {
			m.seenAt = now
		}
	}
}

// replace takes in a whole list.
func (v *view) replace(all []sighting, now time.Time) {
	listed := make(map[string]bool, len(all))
	for _, s := range all {
		listed[s.name] = true
		if s.name != v.self {
			v.see(s, now)
		}
	}
	for name := range v.members {
		if !listed[name] {
			v.gone(name)
		}
	}
	// The own one comes last: who is heard with it was heard.
	for _, s := range all {
		if s.name == v.self {
			v.see(s, now)
		}
	}
}

// gone takes a Lease out that was given back or removed. Whoever removes the own one takes its checks
// away, until it is renewed.
func (v *view) gone(name string) {
	delete(v.members, name)
	if name == v.self {
		v.renewedAt = time.Time{}
	}
}

// renewed notes an own renewal that succeeded, by when it was sent.
func (v *view) renewed(sent time.Time) {
	if sent.After(v.renewedAt) {
		v.renewedAt = sent
	}
}

// look judges who is dead.
func (v *view) look(now time.Time) {
	stoodStill := !v.lookedAt.IsZero() && now.Sub(v.lookedAt) >= v.fence
	v.lookedAt = now
	if stoodStill {
		v.hearAgain(now)
	}
	if v.deaf(now) {
		return
	}
	for name, m := range v.members {
		if name != v.self && !m.dead && now.Sub(m.seenAt) >= m.lasts {
			m.dead, m.deadAt = true, now
		}
	}
}

// buried returns the Leases of those that are dead for that long, with the version they had.
func (v *view) buried(now time.Time, after time.Duration) []sighting {
	var all []sighting
	for name, m := range v.members {
		if m.dead && now.Sub(m.deadAt) >= after {
			all = append(all, sighting{name: name, version: m.version})
		}
	}
	return all
}

// membership is who shares the checks, until the own Lease lapses.
func (v *view) membership() membership {
	if v.renewedAt.IsZero() || v.echoAt.IsZero() || v.members[v.self] == nil {
		return membership{members: v.others()}
	}
	others := v.others()
	all := slices.Sorted(slices.Values(append(slices.Clone(others), v.self)))
	return membership{members: all, others: others, until: v.renewedAt.Add(v.fence)}
}

// others are the live ones but this replica, by name.
func (v *view) others() []string {
	var live []string
	for _, name := range slices.Sorted(maps.Keys(v.members)) {
		if name != v.self && !v.members[name].dead {
			live = append(live, name)
		}
	}
	return live
}

// membership is a set of replicas, of which this one is a member until a time.
type membership struct {
	// members with this replica, and without it, sorted.
	members, others []string
	// until is when this replica stops being one; zero where it is none.
	until time.Time
}

// lapsed tells that this replica was a member and is none any more.
func (m membership) lapsed(now time.Time) bool { return !m.until.IsZero() && !now.Before(m.until) }

// at returns the members at a time.
func (m membership) at(now time.Time) []string {
	if m.lapsed(now) {
		return m.others
	}
	return m.members
}
