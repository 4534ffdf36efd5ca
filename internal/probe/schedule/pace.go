package schedule

import "time"

const (
	// together is for how long after a look at what is due the next one waits. Of thousands of tasks a
	// second, some are then started with each waking of the process, at the price of that much lag.
	together = 5 * time.Millisecond
	// crowd is how long it takes all goroutines that are ready to have their turn, where there are more of
	// them than there is processor time for.
	crowd = 10 * time.Millisecond
	// most is how many runs begin with one look at most.
	most = 64
)

// pace bounds how many runs begin in a time. A process that gets too little of a processor would otherwise
// have ever more runs go on at once, each of which takes longer, until targets seem not to answer that do.
// That a run waits for its target costs nothing, so that the number of runs that go on says little: it is how
// long a goroutine waits for its turn that does, which is what each run waits at each of its steps.
type pace struct {
	// starts is how many runs may begin with each look, and left how many of those have not.
	starts, left int
	// since is when there were starts last, by the steady clock.
	since time.Duration
}

// look gives new starts: fewer after a turn that took long, and otherwise more. One such turn does little, as
// it may be that the machine was busy with something else for a moment.
func (p *pace) look(now, turn time.Duration) {
	if now-p.since < together {
		return
	}
	if turn > crowd {
		p.starts = max(1, p.starts-max(1, p.starts/8))
	} else {
		p.starts = min(most, p.starts+1)
	}
	p.left, p.since = p.starts, now
}

// pause is for how long there will be no more starts.
func (p *pace) pause(now time.Duration) time.Duration { return max(0, p.since+together-now) }
