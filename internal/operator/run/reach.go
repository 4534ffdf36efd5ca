package run

import (
	"sync"
	"time"
)

// probeEvery is how often a request is tried while the API server does not answer.
const probeEvery = 2 * time.Second

// asideFor is when a check that was put aside looks again by itself: the one that tries may go, or change hands,
// before it is answered.
const asideFor = 20 * time.Second

// reach follows whether the API server answers this replica. While it does not, one check after the
// other tries, and all others are put aside: requests that nobody answers are no use to anybody, and a
// server that comes back is met by one.
type reach struct {
	outer func() (time.Time, bool)

	mu     sync.Mutex
	broken bool
	back   time.Time // when it last answered again
	tryAt  time.Time
	aside  map[key]struct{}
}

// since is since when the API server has answered without a break; now while it does not.
func (r *reach) since(now time.Time) time.Time {
	r.mu.Lock()
	defer r.mu.Unlock()
	since := r.back
	if r.broken {
		since = now
	}
	if r.outer != nil {
		at, ok := r.outer()
		if !ok {
			at = now
		}
		since = later(since, at)
	}
	return since
}

// admit tells whether a check may make requests now; it is put aside where it may not.
func (r *reach) admit(k key, now time.Time) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	if !r.broken {
		return true
	}
	if now.Before(r.tryAt) {
		r.aside[k] = struct{}{}
		return false
	}
	r.tryAt = now.Add(probeEvery)
	return true
}

// failed notes that a request was not answered, and tells whether that is new.
func (r *reach) failed(now time.Time) (fresh bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	fresh = !r.broken
	if fresh {
		r.broken, r.tryAt = true, now.Add(probeEvery)
	}
	return fresh
}

// answered notes that a request was answered. If none was before, it returns true and what was put
// aside.
func (r *reach) answered(now time.Time) (aside []key, fresh bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if !r.broken {
		return nil, false
	}
	r.broken, r.back = false, now
	for k := range r.aside {
		aside = append(aside, k)
	}
	clear(r.aside)
	return aside, true
}
