package schedule

import "time"

// hearing is the part of a wait that this process may stand still for without that counting: one in so many.
const hearing = 10

// Unheard tells that a process which stood still for so long while it waited for an answer may have missed it:
// that none came in time is no word about whoever was asked then. Stalled is by how much [Scheduler.Stalled] grew
// meanwhile.
func Unheard(stalled, waited time.Duration) bool { return stalled > waited/hearing }

// still is for how long a process must stand still at a time for that to count. A busy one waits for a few
// milliseconds all the time, which no target's answer is lost by; added up they would excuse every one that is.
const still = 50 * time.Millisecond

// overdue is how long the dispatcher should have woken ago, where that counts.
func (s *Scheduler) overdue(elapsed time.Duration) time.Duration {
	if late := elapsed - s.next; late > still && s.next > 0 {
		return late
	}
	return 0
}

// Stalled is for how long, in all, this process should have got on since it runs tasks and did not: because it was
// given no processor, or because too many of its own goroutines wanted it. Whoever makes a run reads it before
// and after, and judges by [Unheard] what did not come in time. Stalls of less than 50 ms do not count.
func (s *Scheduler) Stalled() time.Duration {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.stalled + s.overdue(s.clock.Since(s.began))
}
