package run

import (
	"sync"
	"time"
)

// burst is how many runs may begin at once before the pace holds.
const burst = 20

// pace hands out slots in which runs begin, evenly apart. Who was given one that lies ahead comes back
// then and finds it kept.
type pace struct {
	apart time.Duration

	mu   sync.Mutex
	next time.Time
	held map[key]time.Time
}

// slot returns when a check may begin its run: now, or later.
func (p *pace) slot(k key, now time.Time) time.Time {
	p.mu.Lock()
	defer p.mu.Unlock()
	at, ok := p.held[k]
	if !ok {
		// Slots that nobody used are not saved up beyond the burst.
		p.next = later(p.next, now.Add(-(burst-1)*p.apart))
		at = p.next
		p.next = p.next.Add(p.apart)
	}
	if at.After(now) {
		p.held[k] = at
		return at
	}
	delete(p.held, k)
	return now
}

// drop gives a slot up that is no longer wanted.
func (p *pace) drop(k key) {
	p.mu.Lock()
	defer p.mu.Unlock()
	delete(p.held, k)
}
