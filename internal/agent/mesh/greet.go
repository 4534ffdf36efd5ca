package mesh

import (
	"context"
	"errors"
	"net/netip"
	"strconv"
	"sync"
	"time"

	"github.com/maek-dev/maek/internal/agent/mesh/here"
	"github.com/maek-dev/maek/internal/agent/peer"
)

// How often peers are greeted.
const (
	// greetEvery is the time between two greetings of a peer with few peers; with many it is a second for each.
	greetEvery = 15 * time.Second
	// greetSoon is the least time between two greetings of a peer whose beacons go missing.
	greetSoon = 5 * time.Second
	// bulkEvery is the time between two large answers of a peer over a path; after one that took bulkSlow there is
	// one with every greeting.
	bulkEvery = time.Minute
	bulkSlow  = 300 * time.Millisecond
	// atOnce bounds how many are greeted at one moment.
	atOnce = 4
	// echoes is how many small answers are asked for to find the shortest.
	echoes = 2
)

// clockOffset is how far a peer's clock is ahead of this machine's.
type clockOffset struct {
	offset time.Duration
	// within is how far the estimate may be off: half of the time that request and answer were on their way.
	within time.Duration
	at     time.Time
}

// offsetOf estimates as NTP does (RFC 5905, section 8) from when a request was sent, received, answered, and the
// answer came back.
func offsetOf(sent, received, answered, returned time.Time) clockOffset {
	return clockOffset{
		offset: (received.Sub(sent) + answered.Sub(returned)) / 2,
		within: (returned.Sub(sent) - answered.Sub(received)) / 2,
		at:     returned,
	}
}

// greet greets peers when it is their time until the context ends.
func (m *Mesh) greet(ctx context.Context) {
	slots := make(chan struct{}, atOnce)
	var wg sync.WaitGroup
	for wait(ctx, m.tick) {
		for _, l := range m.due(m.o.Now()) {
			select {
			case slots <- struct{}{}:
			case <-ctx.Done():
			}
			if ctx.Err() != nil {
				break
			}
			wg.Go(func() {
				defer func() { <-slots }()
				m.contact(ctx, l)
			})
		}
	}
	wg.Wait()
}

// due are the links to greet now. Each is taken once until its greeting ends.
func (m *Mesh) due(now time.Time) []*link {
	m.mu.Lock()
	defer m.mu.Unlock()
	var out []*link
	active := m.active
	period := max(greetEvery, time.Duration(len(active))*time.Second)
	for _, l := range active {
		soon := l.loses(now) && now.Sub(l.tcp[host].asked) >= greetSoon
		if l.greeting || now.Before(l.greetAt) && !soon && l.greetAt.Sub(now) <= period {
			continue
		}
		l.greeting, l.greetAt = true, now.Add(period)
		out = append(out, l)
	}
	return out
}

// contact greets a peer over the machines' network, or else over the pod network, and asks for
// echoes over both.
func (m *Mesh) contact(ctx context.Context, l *link) {
	m.mu.Lock()
	to, own := l.peer, m.local
	at, ok := l.hostAddress()
	m.mu.Unlock()
	if ok {
		offset, err := m.exchange(ctx, to, at)
		m.told(l, host, offset, err)
		if err == nil {
			m.echo(ctx, l, to, host, at)
		}
	}
	m.mu.Lock()
	_, there, ok := l.podAddress(own)
	greeted := m.o.Now().Sub(l.greeted) < greetSoon
	m.mu.Unlock()
	if ok {
		var offset clockOffset
		var err error
		if greeted {
			_, err = m.request(ctx, to, there.Address, "GET", "echo?bytes=0", nil, 1)
		} else {
			offset, err = m.exchange(ctx, to, there.Address)
		}
		m.told(l, pod, offset, err)
		if err == nil {
			m.echo(ctx, l, to, pod, there.Address)
		}
	}
	m.mu.Lock()
	l.greeting = false
	m.mu.Unlock()
}

// told takes in what came of a greeting.
func (m *Mesh) told(l *link, path int, offset clockOffset, err error) {
	if errors.Is(err, context.Canceled) {
		return
	}
	now := m.o.Now()
	m.mu.Lock()
	defer m.mu.Unlock()
	l.tcp[path].say(now, here.Word(err), reason(err))
	if err != nil || offset.at.IsZero() {
		return
	}
	l.greeted = now
	// Of the estimates of the last minutes the one that was on its way the shortest is the best.
	if l.clock.at.IsZero() || offset.within <= l.clock.within || now.Sub(l.clock.at) > 2*time.Minute {
		l.clock = offset
	}
}

// echo measures a path: small answers, and now and then a large one.
func (m *Mesh) echo(ctx context.Context, l *link, to peer.Peer, path int, at netip.Addr) {
	shortest := time.Duration(-1)
	for range echoes {
		began := m.o.Now()
		if _, err := m.request(ctx, to, at, "GET", "echo?bytes=0", nil, 1); err != nil {
			break
		}
		if took := m.o.Now().Sub(began); shortest < 0 || took < shortest {
			shortest = took
		}
	}
	began := m.o.Now()
	m.mu.Lock()
	if shortest >= 0 {
		l.tcp[path].rtt = shortest
	}
	due := l.tcp[path].bulkDue(began)
	m.mu.Unlock()
	if !due {
		return
	}
	data, err := m.request(ctx, to, at, "GET", "echo?bytes="+strconv.Itoa(bulkSize), nil, bulkSize)
	took := m.o.Now().Sub(began)
	m.mu.Lock()
	defer m.mu.Unlock()
	if errors.Is(err, context.Canceled) {
		return
	}
	if err != nil || len(data) < bulkSize {
		took = gaveUp
	}
	l.tcp[path].took(took, began)
}

// reason is an error's text; empty for none.
func reason(err error) string {
	if err == nil {
		return ""
	}
	return err.Error()
}
