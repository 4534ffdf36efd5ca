package run

import (
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"k8s.io/apimachinery/pkg/types"
)

func checkKey(name string) key { return key{"KuberhealthyCheck", types.NamespacedName{Name: name}} }

func TestPaceOfRuns(t *testing.T) {
	t.Parallel()
	p := &pace{apart: 20 * time.Millisecond, held: map[key]time.Time{}}
	name := func(i int) key { return checkKey(string(rune('a' + i))) }
	for i := range burst {
		if got := p.slot(name(i), began); !got.Equal(began) {
			t.Fatalf("run %d begins %s later, want at once", i, got.Sub(began))
		}
	}
	// Who asks again is given no other slot.
	for range 3 {
		if got := p.slot(name(burst), began); got.Sub(began) != 20*time.Millisecond {
			t.Fatalf("the first run after the burst begins %s later, want 20ms", got.Sub(began))
		}
	}
	if got := p.slot(name(burst+1), began); got.Sub(began) != 40*time.Millisecond {
		t.Errorf("the second one begins %s later, want 40ms", got.Sub(began))
	}
	later := at(40 * time.Millisecond)
	for i := range 2 {
		if got := p.slot(name(burst+i), later); !got.Equal(later) {
			t.Errorf("a slot whose time has come is %s away", got.Sub(later))
		}
	}
	if len(p.held) != 0 {
		t.Errorf("slots are held that were used: %v", p.held)
	}
	p.slot(name(burst), later)
	p.drop(name(burst))
	if len(p.held) != 0 {
		t.Errorf("a slot is held that was given up: %v", p.held)
	}
	// What nobody used is not saved up.
	hour := at(time.Hour)
	for i := range burst {
		p.slot(name(i), hour)
	}
	if got := p.slot(name(burst), hour); got.Sub(hour) != 20*time.Millisecond {
		t.Errorf("after an hour of nothing the run after the burst begins %s later, want 20ms", got.Sub(hour))
	}
}

func TestOneTriesWhileTheAPIServerDoesNotAnswer(t *testing.T) {
	t.Parallel()
	r := &reach{aside: map[key]struct{}{}}
	a, b := checkKey("a"), checkKey("b")
	if !r.admit(a, began) || !r.since(began).IsZero() {
		t.Error("nothing is let through although nothing is wrong")
	}
	if !r.failed(began) || r.failed(began) {
		t.Error("the first request without an answer is news, and only that")
	}
	if r.admit(a, at(time.Second)) || r.admit(b, at(time.Second)) {
		t.Error("requests are made before it is time to try")
	}
	if !r.admit(a, at(probeEvery)) || r.admit(b, at(probeEvery)) {
		t.Error("one alone is to try")
	}
	if got := r.since(at(probeEvery)); !got.Equal(at(probeEvery)) {
		t.Errorf("it has answered since %s, want not at all", got)
	}
	aside, fresh := r.answered(at(3 * time.Second))
	names := map[string]bool{}
	for _, k := range aside {
		names[k.Name] = true
	}
	if diff := cmp.Diff(map[string]bool{"a": true, "b": true}, names); !fresh || diff != "" {
		t.Errorf("news %t, put aside (-want +got):\n%s", fresh, diff)
	}
	if aside, fresh := r.answered(at(4 * time.Second)); fresh || len(aside) > 0 {
		t.Errorf("the second answer is news (%t), or somebody is still aside: %v", fresh, aside)
	}
	if got := r.since(at(time.Minute)); !got.Equal(at(3 * time.Second)) {
		t.Errorf("it has answered since %s, want since the first answer", got)
	}
	r.outer = func() (time.Time, bool) { return at(10 * time.Second), true }
	if got := r.since(at(time.Minute)); !got.Equal(at(10 * time.Second)) {
		t.Errorf("it has answered since %s, want since the Lease was renewed", got)
	}
	r.outer = func() (time.Time, bool) { return time.Time{}, false }
	if got := r.since(at(time.Minute)); !got.Equal(at(time.Minute)) {
		t.Errorf("it has answered since %s although the Lease is lost", got)
	}
}
