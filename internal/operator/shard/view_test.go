package shard

import (
	"fmt"
	"strconv"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	"k8s.io/apimachinery/pkg/types"
)

const lasts = 10 * time.Second

// hour is what happens to one replica, a, whose own renewals come back at once unless said otherwise.
type hour struct {
	view    view
	now     time.Time
	version int
}

func newHour() *hour {
	return &hour{view: newView("a", lasts), now: time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)}
}

func (h *hour) sight(name string) sighting {
	h.version++
	return sighting{name: name, version: strconv.Itoa(h.version), lasts: lasts}
}

// beat lets replicas renew; those that hear themselves are in echo.
func (h *hour) beat(names ...string) {
	for _, name := range names {
		if name == "a" {
			h.view.renewed(h.now)
		}
		h.view.see(h.sight(name), h.now)
	}
}

// pass lets time go by in steps of a second, in each of which the named replicas renew.
func (h *hour) pass(d time.Duration, names ...string) {
	for range d / time.Second {
		h.now = h.now.Add(time.Second)
		h.beat(names...)
		h.view.look(h.now)
	}
}

func (h *hour) members() []string { return h.view.membership().at(h.now) }

func TestMembership(t *testing.T) {
	tests := map[string]struct {
		play func(h *hour)
		want []string
	}{
		"nobody owns anything before the own Lease came back": {
			play: func(h *hour) { h.view.renewed(h.now); h.view.look(h.now) },
		},
		"a replica that hears itself and others": {
			play: func(h *hour) { h.pass(3*time.Second, "a", "b", "c") },
			want: []string{"a", "b", "c"},
		},
		"one that is silent for less than its Lease lasts": {
			play: func(h *hour) { h.pass(3*time.Second, "a", "b"); h.pass(9*time.Second, "a") },
			want: []string{"a", "b"},
		},
		"one that is silent for as long as its Lease lasts": {
			play: func(h *hour) { h.pass(3*time.Second, "a", "b"); h.pass(10*time.Second, "a") },
			want: []string{"a"},
		},
		"one that was dead and renews again": {
			play: func(h *hour) { h.pass(3*time.Second, "a", "b"); h.pass(20*time.Second, "a"); h.beat("b") },
			want: []string{"a", "b"},
		},
		"one that gave its Lease back": {
			play: func(h *hour) { h.pass(3*time.Second, "a", "b"); h.view.gone("b") },
			want: []string{"a"},
		},
		"an own Lease that is not renewed for two thirds of what it lasts": {
			play: func(h *hour) { h.pass(3*time.Second, "a", "b"); h.pass(7*time.Second, "b") },
			want: []string{"b"},
		},
		"an own Lease that is renewed just in time": {
			play: func(h *hour) { h.pass(3*time.Second, "a", "b"); h.pass(6*time.Second, "b") },
			want: []string{"a", "b"},
		},
		"an own Lease that somebody removed": {
			play: func(h *hour) { h.pass(3*time.Second, "a", "b"); h.view.gone("a") },
			want: []string{"b"},
		},
		"an outage of everything kills nobody": {
			play: func(h *hour) { h.pass(3*time.Second, "a", "b"); h.pass(time.Minute) },
			want: []string{"b"},
		},
		"after an outage the others have a full duration to be heard": {
			play: func(h *hour) {
				h.pass(3*time.Second, "a", "b")
				h.pass(time.Minute)
				h.pass(10*time.Second, "a")
			},
			want: []string{"a", "b"},
		},
		"after an outage one that is not heard for a full duration is dead": {
			play: func(h *hour) {
				h.pass(3*time.Second, "a", "b")
				h.pass(time.Minute)
				h.pass(11*time.Second, "a")
			},
			want: []string{"a"},
		},
		"one that was dead before an outage stays so": {
			play: func(h *hour) {
				h.pass(3*time.Second, "a", "b")
				h.pass(15*time.Second, "a")
				h.pass(time.Minute)
				h.pass(time.Second, "a")
			},
			want: []string{"a"},
		},
		"a watch that brings nothing kills nobody while the own Lease is renewed": {
			play: func(h *hour) {
				h.pass(3*time.Second, "a", "b")
				for range 30 {
					h.now = h.now.Add(time.Second)
					h.view.renewed(h.now)
					h.view.look(h.now)
				}
			},
			want: []string{"a", "b"},
		},
		"a process that stood still kills nobody on waking": {
			play: func(h *hour) {
				h.pass(3*time.Second, "a", "b")
				h.now = h.now.Add(time.Minute)
				h.beat("a")
				h.view.look(h.now)
			},
			want: []string{"a", "b"},
		},
		"a list without a replica takes it out": {
			play: func(h *hour) {
				h.pass(3*time.Second, "a", "b", "c")
				h.view.replace([]sighting{h.sight("a"), h.sight("c")}, h.now)
			},
			want: []string{"a", "c"},
		},
		"a list that says nothing new is no sign of life": {
			play: func(h *hour) {
				h.pass(3*time.Second, "a", "b")
				b := h.view.members["b"].version
				h.pass(5*time.Second, "a")
				h.view.replace([]sighting{{name: "b", version: b, lasts: lasts}, h.sight("a")}, h.now)
				h.pass(5*time.Second, "a")
			},
			want: []string{"a"},
		},
		"a renewal that was sent long ago and answered now": {
			play: func(h *hour) {
				h.pass(3*time.Second, "a", "b")
				sent := h.now
				h.pass(8*time.Second, "b")
				h.view.renewed(sent)
			},
			want: []string{"b"},
		},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			h := newHour()
			tc.play(h)
			if diff := cmp.Diff(tc.want, h.members(), cmpopts.EquateEmpty()); diff != "" {
				t.Errorf("members (-want +got):\n%s", diff)
			}
		})
	}
}

func TestTheDeadAreBuriedOnce(t *testing.T) {
	h := newHour()
	h.pass(3*time.Second, "a", "b")
	h.pass(10*time.Second, "a")
	if got := h.view.buried(h.now.Add(cleanUpAfter-time.Second), cleanUpAfter); got != nil {
		t.Errorf("buried a second too early = %v, want none", got)
	}
	got := h.view.buried(h.now.Add(cleanUpAfter), cleanUpAfter)
	want := []sighting{{name: "b", version: h.view.members["b"].version}}
	if diff := cmp.Diff(want, got, cmp.AllowUnexported(sighting{})); diff != "" {
		t.Errorf("buried (-want +got):\n%s", diff)
	}
}

// TestNobodyLetsGoLate plays that a replica loses its API server: it must own nothing before another may
// take over, however the two saw its last renewal.
func TestNobodyLetsGoLate(t *testing.T) {
	a, b := newHour(), newHour()
	b.view = newView("b", lasts)
	a.pass(3*time.Second, "a", "b")
	sent := a.now
	a.view.renewed(sent)
	// The other sees it as soon as it was sent.
	b.now = sent
	b.view.renewed(b.now)
	b.beat("a", "b")
	for step := range 40 {
		now := sent.Add(time.Duration(step) * 500 * time.Millisecond)
		a.now, b.now = now, now
		b.view.renewed(now)
		b.beat("b")
		b.view.look(now)
		a.view.look(now)
		mine := len(a.members()) > 1
		others := !b.view.members["a"].dead
		if mine && !others {
			t.Fatalf("%v after the last renewal a still owns checks and b took them", now.Sub(sent))
		}
	}
	if !b.view.members["a"].dead {
		t.Error("a is not dead after twice its Lease")
	}
}

func TestOwnersAreSharedOutEvenly(t *testing.T) {
	members := []string{"maek-operator-5d9c7b8f6-2xkqz", "maek-operator-5d9c7b8f6-8bqlm", "maek-operator-5d9c7b8f6-zzv4t"}
	const checks = 3000
	share := map[string]int{}
	for i := range checks {
		share[owner(uid(i), members)]++
	}
	for _, m := range members {
		if n := share[m]; n < checks/len(members)*85/100 || n > checks/len(members)*115/100 {
			t.Errorf("%s owns %d of %d checks, want a third give or take 15 %%", m, n, checks)
		}
	}
}

func TestOnlyTheChecksOfWhoGoesMove(t *testing.T) {
	all, rest := []string{"a", "b", "c"}, []string{"a", "c"}
	for i := range 1000 {
		before, after := owner(uid(i), all), owner(uid(i), rest)
		if before != "b" && before != after {
			t.Fatalf("check %d moved from %s to %s though b went", i, before, after)
		}
	}
}

func uid(i int) types.UID {
	return types.UID(fmt.Sprintf("%08x-0000-4000-8000-%012x", i*2654435761, i))
}
