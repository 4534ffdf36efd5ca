package mesh

import (
	"context"
	"errors"
	"net/netip"
	"syscall"
	"time"

	"github.com/maek-dev/maek/internal/agent/mesh/beacon"
)

// How often beacons go out.
const (
	// tick is how exactly their moments are kept.
	tick = 250 * time.Millisecond
	// shortest and longest are the bounds of the time between two small beacons to a peer over a path.
	shortest = time.Second
	longest  = 5 * time.Second
	// packets a second that an agent sends at most, while longest allows.
	packets = 40
	// bigEvery tells which of the beacons to a peer fills the MTU.
	bigEvery = 3
	// lookEvery is how often peers and own addresses are looked at.
	lookEvery = 5 * time.Second
	// pause of this process's own after which what was missed meanwhile does not count.
	pause = 3 * time.Second
)

// intervalFor is the time between two small beacons to a peer over a path: shortest with few peers, and
// longer with many, so that an agent's packets stay few.
func intervalFor(peers int) time.Duration {
	perPeer := 2 * (bigEvery + 1) * time.Second / bigEvery / packets
	return min(max(time.Duration(peers)*perPeer, shortest), longest).Round(tick)
}

// beat sends beacons until the context ends.
func (m *Mesh) beat(ctx context.Context) {
	looked, last := m.o.Now(), m.o.Now()
	for wait(ctx, m.tick) {
		now := m.o.Now()
		if late := now.Sub(last); late > pause || late < -pause {
			m.restart(now)
		}
		last = now
		if now.Sub(looked) >= lookEvery || now.Before(looked) {
			looked = now
			m.look()
			m.saveLogged()
		}
		m.send(now)
	}
}

// restart forgets what was missed while this process stood still, or its clock was set.
func (m *Mesh) restart(now time.Time) {
	m.mu.Lock()
	defer m.mu.Unlock()
	for _, l := range m.links {
		l.next, l.since = now, now
		for s := range l.heard {
			l.heard[s].Restart(now)
		}
	}
}

// send sends the beacons that are due.
func (m *Mesh) send(now time.Time) {
	m.mu.Lock()
	defer m.mu.Unlock()
	active := m.active
	interval := intervalFor(len(active))
	for _, l := range active {
		if l.next.After(now.Add(longest)) {
			l.next = now
		}
		if now.Before(l.next) {
			continue
		}
		l.next = l.next.Add(interval)
		if l.next.Before(now) {
			l.next = now.Add(interval/2 + m.spread(l, interval/2))
		}
		m.beacons(l, now, interval, false)
	}
}

// beacons sends a peer one round of them.
func (m *Mesh) beacons(l *link, now time.Time, interval time.Duration, last bool) {
	if l.seal == nil || m.conn == nil {
		return
	}
	l.beats++
	big := l.beats%bigEvery == 0 || last
	if at, ok := l.hostAddress(); ok {
		m.beacon(l, beacon.HostSmall, at, beacon.Size, now, interval, last)
		if size := bigPacket(at, m.local.mtu, l.theirs.mtu); big && size > 0 {
			m.beacon(l, beacon.HostBig, at, size, now, bigEvery*interval, last)
		}
	}
	if here, there, ok := l.podAddress(m.local); ok {
		m.beacon(l, beacon.PodSmall, there.Address, beacon.Size, now, interval, last)
		if size := bigPacket(there.Address, here.MTU, there.MTU); big && size > 0 {
			m.beacon(l, beacon.PodBig, there.Address, size, now, bigEvery*interval, last)
		}
	}
}

func (m *Mesh) beacon(l *link, s beacon.Stream, to netip.Addr, size int, now time.Time, interval time.Duration, last bool) {
	l.number[s]++
	b := beacon.Beacon{
		From: beacon.IDOf(m.o.Source.Self().UID), Session: m.session, Number: l.number[s], Stream: s, Last: last, Interval: interval,
	}
	for h := range b.Heard {
		b.Heard[h] = m.percent(l, beacon.Stream(h), now)
	}
	packet := m.packet[:size]
	b.Seal(packet, l.seal)
	err := m.conn.Send(packet, netip.AddrPortFrom(to, uint16(m.o.Port))) //nolint:gosec // a port
	path := host
	if s.Pod() {
		path = pod
	}
	switch {
	case err == nil:
		m.counts.sent++
		if !s.Big() {
			l.failed[path] = ""
		}
	case errors.Is(err, syscall.ECONNREFUSED):
		// It tells of an earlier packet that nobody listened for, and sent nothing.
		m.counts.refused++
	default:
		m.counts.refused++
		l.failed[path] = reason(err)
	}
}

// percent is what a peer is told about its own stream.
func (m *Mesh) percent(l *link, s beacon.Stream, now time.Time) uint8 {
	loss, known := m.loss(l, s, now)
	if !known {
		return beacon.Unknown
	}
	return uint8(loss*100 + 0.5)
}

// unread is how long loss is not told after packets were left unread, or came with a seal of a key that
// is not known: what is missing may be among them.
const unread = 30 * time.Second

// never is how long after beacons of a peer could be expected their absence counts as loss.
const never = 15 * time.Second

// loss of what is expected from a peer in a stream, 0 to 1; false where nothing can be said: nothing is expected,
// too little came yet, or this machine left packets unread.
func (m *Mesh) loss(l *link, s beacon.Stream, now time.Time) (float64, bool) {
	if !l.expected || now.Sub(l.limited) < unread || now.Sub(m.counts.flooded) < unread || now.Sub(l.forged) < unread && l.heard[s].Last().Before(l.forged) {
		return 0, false
	}
	w := &l.heard[s]
	if _, ok := w.Age(now); !ok {
		// It never came. The peer sends only to whom it knows, and big ones only where it knows MTUs.
		if s.Big() || now.Sub(l.since) < never || l.greeted.IsZero() && l.seal == nil {
			return 0, false
		}
		return 1, true
	}
	loss, of := w.Loss(now, s.Span())
	return loss, of >= 3
}

// dismiss tells a peer that no more beacons come.
func (m *Mesh) dismiss(l *link) { m.beacons(l, m.o.Now(), 0, true) }

// leave tells all peers that this agent ends.
func (m *Mesh) leave() {
	m.mu.Lock()
	defer m.mu.Unlock()
	for _, l := range m.active {
		m.dismiss(l)
	}
}
