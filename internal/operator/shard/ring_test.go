package shard

import (
	"log/slog"
	"testing"
	"time"

	clocktesting "k8s.io/utils/clock/testing"
)

// TestHeldThroughAnOutage plays that nothing is heard of the API server for a while: what this replica owned
// it holds on to, and only that.
func TestHeldThroughAnOutage(t *testing.T) {
	clock := clocktesting.NewFakeClock(time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC))
	r := New(Options{Name: "a", Namespace: "maek-system", Duration: lasts, Clock: clock, Log: slog.New(slog.DiscardHandler)})
	h := newHour()
	beat := func(names ...string) {
		for _, name := range names {
			r.update(func(v *view, now time.Time) {
				if name == "a" {
					v.renewed(now)
				}
				v.see(h.sight(name), now)
			})
		}
	}
	count := func(is func(i int) bool) (n int) {
		for i := range 100 {
			if is(i) {
				n++
			}
		}
		return n
	}
	owned := func(i int) bool { return r.Owns(uid(i)) }
	held := func(i int) bool { return r.Held(uid(i)) }
	if n := count(held); n != 0 {
		t.Errorf("before anything was heard %d are held", n)
	}
	beat("b", "a")
	before := map[int]bool{}
	for i := range 100 {
		before[i] = r.Owns(uid(i))
		if r.Held(uid(i)) != before[i] {
			t.Errorf("%d is owned %t and held %t", i, before[i], !before[i])
		}
	}
	if n := count(owned); n < 25 || n > 75 {
		t.Fatalf("%d of 100 are owned, want about half", n)
	}
	clock.Step(10 * time.Minute)
	r.update(func(v *view, now time.Time) { v.look(now) })
	if n := count(owned); n != 0 {
		t.Errorf("in an outage %d are owned", n)
	}
	for i := range 100 {
		if r.Held(uid(i)) != before[i] {
			t.Errorf("%d was owned %t, and is held %t in an outage", i, before[i], !before[i])
		}
	}
	beat("a", "b")
	if n := count(held); n != count(owned) || n == 0 {
		t.Errorf("after the outage %d are held and %d owned", n, count(owned))
	}
	// Another replica comes: what is its own is not held any more.
	beat("c")
	if n, m := count(held), count(owned); n != m || n > 60 {
		t.Errorf("with one more %d are held and %d owned", n, m)
	}
	r.update(func(v *view, _ time.Time) { v.gone("a") })
	if n := count(held); n != 0 {
		t.Errorf("after its Lease was given back %d are held", n)
	}
}
