package condition

import (
	"slices"
	"sync"
	"time"

	"golang.org/x/time/rate"
	corev1 "k8s.io/api/core/v1"
)

// Bounds of events.
const (
	// waiting events at most; beyond it the oldest are dropped.
	waiting = 64
	// eventEvery is the pace at which they are written, after eventsAtOnce.
	eventEvery   = 20 * time.Second
	eventsAtOnce = 10
)

// queue holds events until the API server takes them.
type queue struct {
	now   func() time.Time
	limit *rate.Limiter

	mu     sync.Mutex
	events []corev1.Event
	count  int
}

func newQueue(events []corev1.Event, now func() time.Time) *queue {
	return &queue{now: now, limit: rate.NewLimiter(rate.Every(eventEvery), eventsAtOnce), events: events}
}

func (q *queue) add(e corev1.Event) {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.events = append(q.events, e)
	q.count++
	if over := len(q.events) - waiting; over > 0 {
		q.events = slices.Delete(q.events, 0, over)
	}
}

// added is how many were added so far.
func (q *queue) added() int {
	q.mu.Lock()
	defer q.mu.Unlock()
	return q.count
}

// next takes the oldest event out, if it is time for one.
func (q *queue) next() (e corev1.Event, ok bool) {
	q.mu.Lock()
	defer q.mu.Unlock()
	if len(q.events) == 0 || !q.limit.AllowN(q.now(), 1) {
		return e, false
	}
	e = q.events[0]
	q.events = slices.Delete(q.events, 0, 1)
	return e, true
}

// putBack returns what could not be written to the front.
func (q *queue) putBack(e corev1.Event) {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.events = slices.Insert(q.events, 0, e)
}

func (q *queue) list() []corev1.Event {
	q.mu.Lock()
	defer q.mu.Unlock()
	return slices.Clone(q.events)
}
