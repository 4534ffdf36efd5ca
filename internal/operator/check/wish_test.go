package check

import (
	"fmt"
	"testing"
	"testing/synctest"
	"time"

	"k8s.io/utils/clock"

	"github.com/maek-dev/maek/api/maek/v1alpha1"
)

// TestWishesAreBounded has somebody write the annotation, or change the spec, ten times a second.
func TestWishesAreBounded(t *testing.T) {
	for name, write := range map[string]func(*bed, string){
		"the annotation":             func(b *bed, name string) { b.runNow(name, b.clock.Now()) },
		"the annotation, in advance": func(b *bed, name string) { b.runNow(name, b.clock.Now().Add(50*time.Second)) },
		"the spec":                   func(b *bed, name string) { b.change(name, func(c *v1alpha1.Check) { c.Generation++ }) },
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				b := newBed(t)
				b.hangs["shop"] = 10 * time.Millisecond
				b.operate(t)
				const checks = 20
				for i := range checks {
					b.make("shop", fmt.Sprint("web-", i), v1alpha1.CheckSpec{PeriodSeconds: 3600})
				}
				pass(2 * time.Minute) // all have their first run
				before, written := b.runs(), b.statusWrites()
				const rounds = 600
				for range rounds {
					for i := range checks {
						write(b, fmt.Sprint("web-", i))
					}
					pass(100 * time.Millisecond)
				}
				pass(wishesApart + 2*time.Second)
				spent := rounds * 100 * time.Millisecond
				if got, most, least := b.runs()-before, checks*(2+int(spent/wishesApart)), checks*9; got > most || got < least {
					t.Errorf("%d runs, want %d to %d", got, least, most)
				}
				if got, most := b.statusWrites()-written, writesPerSecond*int((spent+10*time.Second)/time.Second)+writeBurst; got > most {
					t.Errorf("%d writes, want %d at most", got, most)
				}
				for i := range checks {
					runs := b.runsOf(fmt.Sprint("web-", i))
					if last := (clock.RealClock{}).Since(runs[len(runs)-1]); last > wishesApart+3*time.Second {
						t.Errorf("what was wished for last was not granted: the newest run began %v ago", last)
					}
				}
			})
		})
	}
}

// TestAWishIsGrantedAtOnce holds that one who asks now and then does not wait, whichever way clocks differ or were put.
func TestAWishIsGrantedAtOnce(t *testing.T) {
	for name, tc := range map[string]struct {
		before, ahead time.Duration
		put           time.Duration
	}{
		"nothing special":                         {},
		"the writer's clock was ahead before":     {before: 50 * time.Second},
		"the writer's clock is ahead":             {ahead: 50 * time.Second},
		"the clock was put back hours meanwhile":  {put: -5 * time.Hour},
		"the clock was put forward meanwhile":     {put: 5 * time.Hour},
		"the clock was put back, after a skew":    {before: 50 * time.Second, put: -time.Minute},
		"the clock was put back by a few seconds": {put: -9 * time.Second},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				b := newBed(t)
				b.operate(t)
				b.make("shop", "web", v1alpha1.CheckSpec{Schedule: "0 0 1 6 *"})
				pass(5 * time.Second)
				b.runNow("web", b.clock.Now().Add(tc.before))
				pass(5500 * time.Millisecond)
				b.clock.put(tc.put)
				pass(1500 * time.Millisecond)
				before := len(b.runsOf("web"))
				b.runNow("web", b.clock.Now().Add(tc.ahead))
				pass(time.Second)
				if got := len(b.runsOf("web")) - before; before != 1 || got != 1 {
					t.Errorf("%d runs, and %d upon the second wish, want one each", before, got)
				}
				pass(time.Minute)
				if got := len(b.runsOf("web")) - before; got != 1 {
					t.Errorf("%d runs upon one wish", got)
				}
			})
		})
	}
}

// TestConflictsAreBounded has somebody write Checks so often that no status can be written.
func TestConflictsAreBounded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBed(t)
		b.operate(t)
		for i := range 100 {
			b.make("shop", fmt.Sprint("web-", i), v1alpha1.CheckSpec{PeriodSeconds: 10})
		}
		pass(2 * time.Minute)
		b.disturb(true)
		for i := range 100 {
			b.change(fmt.Sprint("web-", i), func(c *v1alpha1.Check) { c.Generation++ })
		}
		written := b.statusWrites()
		pass(5 * time.Minute)
		// Each goes on with what it began.
		if got, most := b.statusWrites()-written, writesPerSecond*300+attempts*writeBurst+attempts*writers; got > most || got < 300 {
			t.Errorf("%d writes in five minutes, want %d at most", got, most)
		}
		b.disturb(false)
		pass(5 * time.Minute)
		for name := range b.checks {
			if got := b.healthy(name); got != "Ready=True/Running Healthy=True/Succeeded " {
				t.Errorf("%s says %s", name, got)
			}
		}
	})
}

// TestNamespacesShareThePods has a namespace whose pods hang beside one whose pods do not.
func TestNamespacesShareThePods(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBed(t)
		b.hangs["hog"] = time.Minute
		b.operate(t)
		for i := range 500 {
			b.make("hog", fmt.Sprint("hog-", i), v1alpha1.CheckSpec{PeriodSeconds: 10})
		}
		b.make("shop", "web", v1alpha1.CheckSpec{PeriodSeconds: 10})
		pass(10 * time.Minute)
		if got := len(b.runsOf("web")); got < 59 {
			t.Errorf("beside a namespace whose runs all hang, %d runs in 60 periods", got)
		}
		for _, got := range b.saidOf("web")[1:] {
			if got != "Ready=True/Running Healthy=True/Succeeded " {
				t.Errorf("it was said to be %s", got)
			}
		}
	})
}
