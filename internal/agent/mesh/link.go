package mesh

import (
	"cmp"
	"net/netip"
	"slices"
	"time"

	"github.com/maek-dev/maek/internal/agent/mesh/beacon"
	"github.com/maek-dev/maek/internal/agent/mesh/plan"
	"github.com/maek-dev/maek/internal/agent/peer"
)

// How long what is known of a peer counts.
const (
	// toldFor is how long what a peer says in its beacons about ours is believed.
	toldFor = 10 * time.Second
	// keepLost is how many peers stay watched, beyond the plan, since something is wrong with them: a
	// broken pair of a large cluster would otherwise be seen for a minute in an hour.
	keepLost = 16
)

// link is what an agent knows of the paths between its machine and one other. It is guarded by Mesh.mu.
type link struct {
	peer peer.Peer
	// planned tells that both sides watch each other now.
	planned bool
	// expected tells that beacons are expected from there, and since when.
	expected bool
	since    time.Time

	// accept opens what the peer sends; seal, where it is not nil, seals what is sent to it.
	accept beacon.Key
	seal   *beacon.Key
	theirs local
	boot   string

	heard   [beacon.Streams]beacon.Window
	heardBy [beacon.Streams]uint8
	saidAt  time.Time
	number  [beacon.Streams]uint32
	next    time.Time
	beats   uint64
	failed  [2]string // why the last beacon to its host, and its pod address, did not leave
	allowed bucket
	limited time.Time // when beacons of it were last left unread
	forged  time.Time // when a packet in its name last had a wrong seal

	greeting bool
	greetAt  time.Time
	greeted  time.Time // when a greeting last succeeded
	version  int
	tcp      [2]reach
	clock    clockOffset
}

// reach is what came of requests over one path: host, pod.
type reach struct {
	answer  string
	problem string
	since   time.Time
	asked   time.Time
	// rtt is the shortest time of a small request of the last greeting.
	rtt time.Duration
	// bulks are how long the last two large answers took, the latest first, and bulkAt when it was asked for. One
	// that did not come whole took gaveUp.
	bulks  []time.Duration
	bulkAt time.Time
}

// gaveUp stands for a large answer that did not come whole.
const gaveUp = time.Hour

// took takes in how long a large answer took.
func (r *reach) took(d time.Duration, at time.Time) {
	r.bulks = append([]time.Duration{d}, r.bulks[:min(len(r.bulks), 1)]...)
	r.bulkAt = at
}

// bulk is how long large answers take: the shorter of two, since one can have had bad luck. False where there was
// none, or a slow one alone.
func (r *reach) bulk() (time.Duration, bool) {
	switch {
	case len(r.bulks) == 0, len(r.bulks) == 1 && r.bulks[0] >= bulkSlow:
		return 0, false
	case slices.Min(r.bulks) == gaveUp:
		return -1, true
	default:
		return slices.Min(r.bulks), true
	}
}

// bulkDue tells whether it is time for a large answer: sooner where the last was slow.
func (r *reach) bulkDue(now time.Time) bool {
	slow := len(r.bulks) > 0 && r.bulks[0] >= bulkSlow
	return now.Sub(r.bulkAt) >= bulkEvery || slow
}

func (r *reach) say(now time.Time, answer, problem string) {
	if r.answer != answer || r.since.IsZero() {
		r.since = now
	}
	r.answer, r.problem, r.asked = answer, problem, now
}

// hostAddress is where a peer's machine is reached.
func (l *link) hostAddress() (netip.Addr, bool) {
	if len(l.peer.Addresses) == 0 {
		return netip.Addr{}, false
	}
	return l.peer.Addresses[0], true
}

// podAddress is where a peer is reached over the pod network: its first address of a family that this machine
// has in the pod network too.
func (l *link) podAddress(own local) (here, there PodAddress, ok bool) {
	for _, there := range l.theirs.pods {
		i := slices.IndexFunc(own.pods, func(p PodAddress) bool { return p.Address.Is4() == there.Address.Is4() })
		if i >= 0 {
			return own.pods[i], there, true
		}
	}
	return PodAddress{}, PodAddress{}, false
}

// loses tells whether beacons of a peer go missing.
func (l *link) loses(now time.Time) bool {
	for s := range l.heard {
		if loss, of := l.heard[s].Loss(now, beacon.Stream(s).Span()); of > 3 && loss >= 0.3 && !l.heard[s].Ended() {
			return true
		}
	}
	return l.tcp[host].answer == TimedOut || l.tcp[pod].answer == TimedOut
}

// gone tells whether the peer said that it leaves.
func (l *link) gone() bool {
	return l.heard[beacon.HostSmall].Ended() || l.heard[beacon.PodSmall].Ended()
}

// The two paths, as indexes.
const (
	host = iota
	pod
)

// look takes in who the peers are and where this machine's own addresses are.
func (m *Mesh) look() {
	self, peers := m.o.Source.Self(), m.o.Source.Peers()
	all, err := m.o.Interfaces()
	now := m.o.Now()
	m.mu.Lock()
	defer m.mu.Unlock()
	if err == nil {
		m.local = localOf(self, all)
	}
	known := map[string]bool{}
	machines := []plan.Machine{machineOf(self)}
	for _, p := range peers {
		if p.UID == "" || p.Node == self.Node {
			continue
		}
		known[p.UID] = true
		machines = append(machines, machineOf(p))
		l, ok := m.links[p.UID]
		if !ok {
			l = m.newLink(p.UID)
		}
		l.peer = p
	}
	for uid, l := range m.links {
		if !known[uid] {
			delete(m.links, uid)
			delete(m.byID, beacon.IDOf(uid))
			delete(m.keys, uid)
			m.unsaved = m.unsaved || l.seal != nil
		}
	}
	m.watch(now, plan.Watched(self.Node, machines, plan.RoundAt(now)))
}

func machineOf(p peer.Peer) plan.Machine {
	return plan.Machine{Name: p.Node, Zone: p.Zone, ControlPlane: p.ControlPlane}
}

func (m *Mesh) newLink(uid string) *link {
	l := &link{accept: beacon.KeyFor(m.secret, uid)}
	for s := range l.heardBy {
		l.heardBy[s] = beacon.Unknown
	}
	if k, ok := m.keys[uid]; ok {
		l.seal, l.theirs = &k.Key, local{mtu: k.MTU, pods: k.Pods}
	}
	m.links[uid], m.byID[beacon.IDOf(uid)] = l, l
	return l
}

// watch turns to the peers of the plan, and stays with some that it loses.
func (m *Mesh) watch(now time.Time, planned []string) {
	lost := 0
	m.active = m.active[:0]
	for _, l := range m.ordered() {
		was := l.planned
		l.planned = slices.Contains(planned, l.peer.Node)
		if !l.planned && was && lost < keepLost && l.peer.Expected && l.loses(now) {
			l.planned = true
			lost++
		}
		if l.planned {
			m.active = append(m.active, l)
		}
		if was && !l.planned {
			m.dismiss(l)
		}
		if l.planned && !was {
			l.greetAt, l.next = now.Add(m.spread(l, 2*time.Second)), now
		}
		expected := l.planned && l.peer.Expected && !l.gone()
		if expected != l.expected {
			l.expected, l.since = expected, now
			if expected {
				for s := range l.heard {
					l.heard[s].Restart(now)
				}
			}
		}
	}
}

// ordered are all links by the names of their nodes.
func (m *Mesh) ordered() []*link {
	out := make([]*link, 0, len(m.links))
	for _, l := range m.links {
		out = append(out, l)
	}
	slices.SortFunc(out, func(a, b *link) int {
		return cmp.Or(cmp.Compare(a.peer.Node, b.peer.Node), cmp.Compare(a.peer.UID, b.peer.UID))
	})
	return out
}

// spread is a part of a time that is a peer's own, so that not all are served at one moment.
func (m *Mesh) spread(l *link, over time.Duration) time.Duration {
	id := beacon.IDOf(m.o.Source.Self().UID + l.peer.UID)
	return over * time.Duration(id[0]) / 256
}
