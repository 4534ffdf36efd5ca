package schedule_test

import (
	"strconv"
	"testing"
	"testing/synctest"
	"time"

	"k8s.io/utils/clock"

	"github.com/maek-dev/maek/internal/probe/schedule"
)

// TestNobodyWaitsForAHog has one group whose runs all hang for longer than its period, so that it could use any
// number of workers, beside small ones that must be run in time.
func TestNobodyWaitsForAHog(t *testing.T) {
	const (
		workers = 128
		hangs   = 30 * time.Second
	)
	synctest.Test(t, func(t *testing.T) {
		s := schedule.New(schedule.Options{Clock: clock.RealClock{}, Classes: map[schedule.Class]int{"": workers}})
		var d diary
		for i := range 1000 {
			task := d.keep("hog", every(period, period/1000*time.Duration(i)), hangs)
			task.Group = "hog"
			s.Set("hog-"+strconv.Itoa(i), task)
		}
		const others = 40
		for i := range others {
			task := d.keep(key(i), every(period, period/others*time.Duration(i)), 500*time.Millisecond)
			task.Group = "group-" + strconv.Itoa(i%4)
			s.Set(key(i), task)
		}
		start(t, s)
		time.Sleep(5 * time.Minute) //nolint:forbidigo // the time of the bubble
		for i := range others {
			slots := d.of(key(i))
			if len(slots) < 29 {
				t.Errorf("task %d was run %d times in 30 periods", i, len(slots))
			}
			for _, slot := range slots {
				if slot.Lag() > 100*time.Millisecond || slot.Skipped > 0 {
					t.Fatalf("task %d waited for a group that has all workers: %+v", i, slot)
				}
			}
		}
		// What nobody else wants is the hog's: of the workers seven eighths.
		if got, want := len(d.of("hog")), workers*7/8*9; got < want {
			t.Errorf("the hog was run %d times, want at least %d", got, want)
		}
		b := s.Backlogs()[""]
		if b.Waiting < 800 || b.Lag < period || b.Running < workers*7/8 || b.Running > workers {
			t.Errorf("the backlog does not tell of what waits: %+v", b)
		}
	})
}

// TestHogsShare holds that groups which all want more than there is get alike, however much each wants.
func TestHogsShare(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := schedule.New(schedule.Options{Clock: clock.RealClock{}, Classes: map[schedule.Class]int{"": 90}})
		var d diary
		wants := map[string]int{"a": 2000, "b": 500, "c": 100}
		for group, tasks := range wants {
			for i := range tasks {
				task := d.keep(group, every(period, period/time.Duration(tasks)*time.Duration(i)), 25*time.Second)
				task.Group = group
				s.Set(group+strconv.Itoa(i), task)
			}
		}
		start(t, s)
		time.Sleep(30 * time.Minute) //nolint:forbidigo // the time of the bubble
		all := d.runs()
		for group := range wants {
			if n := len(d.of(group)); n*3 < all*9/10 || n*3 > all*11/10 {
				t.Errorf("group %s has %d of %d runs, want a third", group, n, all)
			}
		}
	})
}

// TestOneGroupAloneUsesAllWorkers holds that nothing is kept for others where there are none, or none any more.
func TestOneGroupAloneUsesAllWorkers(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const workers = 64
		s := schedule.New(schedule.Options{Clock: clock.RealClock{}, Classes: map[schedule.Class]int{"": workers}})
		var d diary
		for i := range 200 {
			task := d.keep("hog", every(period, 0), time.Minute)
			task.Group = "hog"
			s.Set(key(i), task)
		}
		other := d.keep("other", every(time.Hour, 0), 0)
		other.Group = "other"
		s.Set("other", other)
		start(t, s)
		time.Sleep(25 * time.Second) //nolint:forbidigo // the time of the bubble
		if got := s.Backlogs()[""].Running; got != workers*7/8 {
			t.Errorf("beside another group %d runs go on, want %d", got, workers*7/8)
		}
		s.Remove("other")
		time.Sleep(time.Second) //nolint:forbidigo // the time of the bubble
		if got := s.Backlogs()[""].Running; got != workers {
			t.Errorf("alone %d runs go on, want %d", got, workers)
		}
	})
}
