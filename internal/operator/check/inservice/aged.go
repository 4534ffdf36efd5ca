package inservice

import (
	"slices"
	"time"

	"k8s.io/apimachinery/pkg/types"
)

// taking is one time that a pod was taken out, by the clock of whoever did.
type taking struct {
	uid types.UID
	at  int64
}

// takesOf are the takes that a ledger has, of pods and, without a UID, of the bucket.
func takesOf(l ledger) []taking {
	var out []taking
	for _, e := range l.Entries {
		for _, t := range e.Times {
			out = append(out, taking{e.UID, t.Unix()})
		}
	}
	for _, t := range l.Takes {
		out = append(out, taking{"", t.Unix()})
	}
	return out
}

// note takes in what the ledger has just been read or written to have. Its caller holds mu.
func (k *Keeper) note(l ledger) {
	first := k.takes == nil
	seen := map[taking]time.Duration{}
	for _, t := range takesOf(l) {
		at, known := k.takes[t]
		switch {
		case known:
		case first && t.at <= k.counted.Unix():
			at = never
		default:
			at = k.age
		}
		seen[t] = at
	}
	k.takes = seen
}

// aged is the ledger as it is to be judged by: no pod was taken out longer ago than this replica has counted since
// it first saw that. So no clock that is set forward, and none of another replica that is behind, makes a pause
// shorter.
func (k *Keeper) aged(l ledger, now time.Time) ledger {
	return k.corrected(l, now, func(at time.Time, seen time.Duration) bool { return now.Sub(at) > seen })
}

// present is the ledger with nothing of a time to come, which is taken for the time at which this replica first saw
// it: a clock that was ahead for a while is not waited for.
func (k *Keeper) present(l ledger, now time.Time) ledger {
	return k.corrected(l, now, func(at time.Time, _ time.Duration) bool { return at.After(now) })
}

// corrected is the ledger with the times of takes that are wrong set to when this replica saw them first.
func (k *Keeper) corrected(l ledger, now time.Time, wrong func(at time.Time, seen time.Duration) bool) ledger {
	k.mu.Lock()
	defer k.mu.Unlock()
	times := func(uid types.UID, times []time.Time) []time.Time {
		out := slices.Clone(times)
		for i, t := range out {
			if at, known := k.takes[taking{uid, t.Unix()}]; known && at != never && wrong(t, k.age-at) {
				out[i] = now.Add(at - k.age)
			}
		}
		return out
	}
	out := ledger{Entries: slices.Clone(l.Entries), Takes: times("", l.Takes)}
	for i := range out.Entries {
		out.Entries[i].Times = times(out.Entries[i].UID, out.Entries[i].Times)
	}
	return out
}
