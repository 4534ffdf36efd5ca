package check

import "time"

// The marks between which a check is on time, or the operator overloaded: one run that begins late is no
// overload, and neither is one that begins in time the end of it.
const (
	overloadedAt = 3
	heaviest     = 6
)

// lateShare of a period is how late a run may begin; leastLate is late in any case, however short the period.
const (
	lateShare = 0.1
	leastLate = 100 * time.Millisecond
)

// load weighs how late the runs of one check begin. That is the operator's own doing, and says nothing about
// the target.
type load struct {
	weight int
	over   bool
}

// begin takes note of a run that began so late, after so many slots were left out for lack of a worker.
func (l *load) begin(lag, period time.Duration, skipped int) {
	late := period > 0 && lag > max(time.Duration(lateShare*float64(period)), leastLate)
	switch {
	case skipped > 0:
		l.add(min(skipped, heaviest) + 1)
	case late:
		l.add(1)
	default:
		l.add(-1)
	}
}

// stalled takes note of a run that came to nothing because this replica stood still meanwhile. It weighs more than
// that the next one begins in time.
func (l *load) stalled() { l.add(2) }

func (l *load) add(weight int) {
	l.weight += weight
	l.weight = min(max(l.weight, 0), heaviest)
	switch {
	case l.weight >= overloadedAt:
		l.over = true
	case l.weight == 0:
		l.over = false
	}
}
