package mesh

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/maek-dev/maek/internal/agent/mesh/beacon"
)

// What packets may cost. An agent of a large cluster gets about a hundred a second.
const (
	// budget is how many packets are read in a second, and half of it in one go. What more comes, the
	// kernel drops.
	budget = 1000
	// rest is how long none are read then.
	rest = 100 * time.Millisecond
	// perSender bounds how many packets a second of one sender, or in its name, are opened, and burst
	// how many at once. A sender sends fewer than three.
	perSender = 20
	burst     = 40
)

// bucket is a limit of events in time: so many a second, and so many at once.
type bucket struct {
	left float64
	at   time.Time
}

// take tells whether one more event is within the limit.
func (b *bucket) take(now time.Time, rate, most float64) bool {
	if b.at.IsZero() {
		b.left = most
	} else {
		b.left = min(most, b.left+max(0, now.Sub(b.at).Seconds())*rate)
	}
	b.at = now
	if b.left < 1 {
		return false
	}
	b.left--
	return true
}

// receive reads beacons until the connection fails or is closed.
func (m *Mesh) receive(ctx context.Context, conn Conn) error {
	buffer := make([]byte, mostMTU)
	var all bucket
	for {
		n, _, err := conn.Receive(buffer)
		if err != nil {
			return fmt.Errorf("reading a packet: %w", err)
		}
		now := m.o.Now()
		m.take(buffer[:min(n, len(buffer))], now)
		if all.take(now, budget, budget/2) {
			continue
		}
		m.mu.Lock()
		m.counts.throttled++
		m.counts.flooded = now
		m.mu.Unlock()
		if !wait(ctx, rest) {
			return ctx.Err()
		}
	}
}

// take takes in a packet. What costs the least is checked first, and a seal only where its sender is
// known and has not sent too much.
func (m *Mesh) take(packet []byte, now time.Time) {
	id, err := beacon.Sender(packet)
	m.mu.Lock()
	defer m.mu.Unlock()
	l := m.byID[id]
	switch {
	case err != nil:
		m.counts.malformed++
		return
	case l == nil:
		m.counts.unknown++
		return
	case !l.allowed.take(now, perSender, burst):
		m.counts.limited++
		l.limited = now
		return
	}
	b, err := beacon.Open(packet, &l.accept)
	if err != nil {
		if errors.Is(err, beacon.ErrForged) {
			m.counts.forged++
			l.forged = now
		}
		return
	}
	if !l.heard[b.Stream].Take(b, now) {
		m.counts.repeated++
		return
	}
	m.counts.received++
	l.heardBy, l.saidAt = b.Heard, now
}
