package schedule

import (
	"container/heap"
	"context"
	"time"
)

const (
	// counted is how many missed slots of a task are counted one by one, as many as a CronJob's controller
	// looks at (pkg/controller/cronjob/utils.go, mostRecentScheduleTime).
	counted = 100
	// nowhere is the index of an entry that is in no queue.
	nowhere = -1
)

// entry is a task and how it stands: waiting for its time, in the queue of a class, running, or, when it
// is never due again, none of these.
type entry struct {
	key  string
	task Task
	// due is the slot that comes, waits for a worker, or is being run.
	due time.Time
	// in is the queue that it is in, and index its place there.
	in    *queue
	index int
	// home is the group of its task, and by the one whose run goes on; nil while it does not run.
	home, by *group
	cancel   context.CancelFunc
	// ran is the slot of its newest run.
	ran time.Time
	// skipped and overran count for the next run's slot.
	skipped, overran int
	// asked tells that RunNow asked for the run that is queued, or for one after that which goes on.
	asked bool
	// manual tells that RunNow had asked for the run that goes on.
	manual bool
	// replaced tells that the task is not the one whose run goes on.
	replaced bool
	// removed tells that only its run is left.
	removed bool
	// passedOver tells that its last slot was left out because the scheduler came too late for it.
	passedOver bool
}

func (e *entry) running() bool { return e.by != nil }

// queued tells whether it waits for a worker.
func (e *entry) queued() bool { return e.in != nil && e.in.group != nil }

// leave takes the entry out of its queue.
func (e *entry) leave() {
	in := e.in
	if in == nil {
		return
	}
	heap.Remove(in, e.index)
	if g := in.group; g != nil {
		g.pool.waiting--
		g.settle()
	}
}

// next is the first slot after a time but the one that was run last: that does not come again when the clock is put
// back.
func (e *entry) next(after time.Time) (time.Time, bool) {
	at, ok := e.following(after)
	if ok && at.Equal(e.ran) {
		return e.following(at)
	}
	return at, ok
}

// following is what the task says comes next, held to what it promises.
func (e *entry) following(after time.Time) (time.Time, bool) {
	at, ok := e.task.Next(after)
	if !ok {
		return time.Time{}, false
	}
	if at = at.Round(0); !at.After(after) {
		at = after.Add(time.Second)
	}
	return at, true
}

// slot is the one that a task which was set anew is to be run for: that which is due now if the task still
// has it, and its next one otherwise.
func (e *entry) slot(now time.Time) (time.Time, bool) {
	if e.asked {
		return e.due, true
	}
	if e.in != nil && !e.due.After(now) {
		if at, ok := e.next(e.due.Add(-1)); ok && at.Equal(e.due) {
			return at, true
		}
	}
	return e.next(now)
}

// passed counts the slots after one of them that are not after now. It returns the last of these, or the
// one it began with, and the first that is yet to come.
func (e *entry) passed(slot, now time.Time) (n int, last, next time.Time, ok bool) {
	last = slot
	next, ok = e.next(slot)
	for ok && !next.After(now) {
		n++
		from, gap := next, next.Sub(last)
		last = next
		if near := now.Add(-2 * gap); n == counted && near.After(from) {
			from = near // of hours in seconds only the end is looked at
		}
		next, ok = e.next(from)
	}
	return n, last, next, ok
}

// queue is a heap of entries, those first that are due first.
type queue struct {
	entries []*entry
	// group whose tasks wait for a worker; nil where they wait for their time.
	group *group
}

// Len implements [heap.Interface].
func (q *queue) Len() int { return len(q.entries) }

// Less implements [heap.Interface].
func (q *queue) Less(i, j int) bool { return q.entries[i].due.Before(q.entries[j].due) }

// Swap implements [heap.Interface].
func (q *queue) Swap(i, j int) {
	q.entries[i], q.entries[j] = q.entries[j], q.entries[i]
	q.entries[i].index, q.entries[j].index = i, j
}

// Push implements [heap.Interface].
func (q *queue) Push(x any) {
	e := x.(*entry)
	e.in, e.index = q, len(q.entries)
	q.entries = append(q.entries, e)
}

// Pop implements [heap.Interface].
func (q *queue) Pop() any {
	last := len(q.entries) - 1
	e := q.entries[last]
	q.entries[last] = nil
	q.entries = q.entries[:last]
	e.in, e.index = nil, nowhere
	return e
}

// first is the entry that is due first; nil where there is none.
func (q *queue) first() *entry {
	if len(q.entries) == 0 {
		return nil
	}
	return q.entries[0]
}
