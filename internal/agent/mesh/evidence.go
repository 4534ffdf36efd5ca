package mesh

import (
	"context"
	"fmt"
	"math"
	"net/netip"
	"strings"
	"time"

	"github.com/maek-dev/maek/internal/agent/mesh/beacon"
	"github.com/maek-dev/maek/internal/agent/mesh/here"
	"github.com/maek-dev/maek/internal/agent/peer"
	"github.com/maek-dev/maek/internal/monitor"
	"github.com/maek-dev/maek/internal/snapshot"
)

// MonitorName is the mesh's name among monitors.
const MonitorName = "mesh"

// Interval between two looks at what the mesh knows. A look costs no packet.
const Interval = 5 * time.Second

// words that an answer can be, for the reference.
const words = `"ok", "refused" (the machine is there, nobody listens), "timeout" (nothing came back), "unreachable" (no way there is known), ` +
	`"reset", "untrusted" (certificates do not fit), "failing" (it answers that it fails) or "error"`

// streamNames are how keys call the streams.
var streamNames = [beacon.Streams]string{"host", "host-big", "pod", "pod-big"}

// keys documents the evidence.
func keys() []monitor.Key {
	out := []monitor.Key{
		{Pattern: "mesh/self/peers", Doc: "peers that this machine watches now"},
		{Pattern: "mesh/self/interval", Doc: "seconds between two small beacons to a peer over a path"},
		{Pattern: "mesh/self/mtu", Doc: "MTU of the interface with the machine's own address, in bytes"},
		{Pattern: "mesh/self/pod-address", Doc: "own address in the pod network; absent where there is none"},
		{Pattern: "mesh/self/pod-mtu", Doc: "MTU of its interface, in bytes"},
		{Pattern: "mesh/self/pod-interface", Doc: "the interface itself"},
		{Pattern: "mesh/self/sent", Doc: "beacons sent since the agent started"},
		{Pattern: "mesh/self/received", Doc: "beacons received and believed since the agent started"},
		{Pattern: "mesh/self/dropped/*", Doc: `packets and greetings not believed since the agent started, by reason: "malformed", "unknown" (of no peer), "forged", "repeated", "limited" (too many in one name), "flood" (reading paused), "lie" (a greeting that contradicts its certificate)`},
		{Pattern: "mesh/peer/*/uid", Doc: "UID of the peer's node"},
		{Pattern: "mesh/peer/*/address", Doc: "address at which the peer's machine is watched"},
		{Pattern: "mesh/peer/*/pod-address", Doc: "address in the pod network at which it is watched; absent where it told none"},
		{Pattern: "mesh/peer/*/expected", Doc: "whether its agent is meant to be there: its pod runs, its node is not being deleted, and it did not say that it ends. At: since when. What is not expected is not missed"},
		{Pattern: "mesh/peer/*/greeted", Doc: "when a greeting last succeeded; absent where none did since the agent started"},
		{Pattern: "mesh/peer/*/version", Doc: "version of its greeting, where it differs from this agent's"},
		{Pattern: "mesh/peer/*/clock-offset", Doc: "seconds that its clock is ahead of this machine's"},
		{Pattern: "mesh/peer/*/clock-within", Doc: "seconds that the offset may be wrong by"},
	}
	for _, path := range []string{"host", "pod"} {
		over := "machines' own network"
		if path == "pod" {
			over = "pod network"
		}
		out = append(out,
			monitor.Key{Pattern: pattern("mesh/peer/*/%s-tcp", path), Doc: "what became of a request to it over the " + over + ": " + words + ". At: since when"},
			monitor.Key{Pattern: pattern("mesh/peer/*/%s-tcp-age", path), Doc: "seconds since that request"},
			monitor.Key{Pattern: pattern("mesh/peer/*/%s-tcp-error", path), Doc: "the error's text, where the answer is not \"ok\""},
			monitor.Key{Pattern: pattern("mesh/peer/*/%s-rtt", path), Doc: "seconds that a small request and its answer took over the " + over + ", the shorter of two"},
			monitor.Key{Pattern: pattern("mesh/peer/*/%s-bulk", path), Doc: "seconds that an answer of 64 KiB took over the " + over + ", the shorter of the last two; -1 where neither came whole within 3 s. Absent until a slow one is confirmed"},
			monitor.Key{Pattern: pattern("mesh/peer/*/%s-out-error", path), Doc: "why the last beacon to it over the " + over + " did not leave this machine"},
		)
	}
	for s, name := range streamNames {
		what := "small beacons"
		if beacon.Stream(s).Big() {
			what = "beacons that fill the MTU"
		}
		over := "machines' own network"
		if beacon.Stream(s).Pod() {
			over = "pod network"
		}
		out = append(out,
			monitor.Key{Pattern: pattern("mesh/peer/*/%s-in-age", name), Doc: "seconds since the last of its " + what + " came over the " + over + "; -1 where none ever did"},
			monitor.Key{Pattern: pattern("mesh/peer/*/%s-in-loss", name), Doc: "part of its latest " + what + " over the " + over + " that did not come, 0 to 1; absent where nothing can be said. At: when the last one came, where some are missing"},
			monitor.Key{Pattern: pattern("mesh/peer/*/%s-out-loss", name), Doc: "the same in the other direction, as the peer says in its beacons; absent where it has not for 10 s"},
		)
		if beacon.Stream(s).Big() {
			out = append(out, monitor.Key{Pattern: pattern("mesh/peer/*/%s-size", name), Doc: "bytes in a packet of them, IP header included"})
		}
	}
	for _, of := range []string{"dns/*", "service/kubernetes/*"} {
		server := "DNS server, by address and port"
		if strings.HasPrefix(of, "service") {
			server = "API server, by address and port"
		}
		out = append(out,
			monitor.Key{Pattern: pattern("%s/role", of), Doc: server + `: "service" where the address is a Service's, "server" where it is a server's own`},
			monitor.Key{Pattern: pattern("%s/node", of), Doc: "node that the server runs on, where it is known"},
			monitor.Key{Pattern: pattern("%s/answer", of), Doc: "what became of a request to it: " + words + ". DNS servers are asked for kubernetes.default.svc over UDP, API servers for /livez. At: since when"},
			monitor.Key{Pattern: pattern("%s/error", of), Doc: "the error's text, where the answer is not \"ok\""},
			monitor.Key{Pattern: pattern("%s/latency", of), Doc: "seconds that the request took"},
		)
	}
	return append(out,
		monitor.Key{Pattern: "dns/*/tcp-answer", Doc: "what became of the same request over TCP, in the same words. At: since when"},
		monitor.Key{Pattern: "dns/*/tcp-error", Doc: "the error's text, where the answer is not \"ok\""},
	)
}

func pattern(format, name string) snapshot.EvidenceKey {
	return snapshot.EvidenceKey(fmt.Sprintf(format, name))
}

// Monitor reports what the mesh knows. It must run for that.
func (m *Mesh) Monitor() monitor.Monitor {
	return monitor.Monitor{
		Name: MonitorName,
		Doc: "Paths to the agents of other machines, over the machines' own network and the pod network, from one-way UDP beacons and requests; " +
			"cluster DNS and the API server as they answer this machine.",
		Keys:     keys(),
		Interval: Interval,
		Observe:  m.observe,
	}
}

func (m *Mesh) observe(context.Context) ([]snapshot.MachineEvidence, error) {
	now := m.o.Now()
	m.mu.Lock()
	defer m.mu.Unlock()
	out := answers(m.here, m.nodesByAddress())
	active := m.active
	out = append(out, m.self(len(active))...)
	for _, l := range active {
		out = append(out, m.peer(l, now)...)
	}
	switch {
	case m.closed != nil:
		return out, fmt.Errorf("beacons cannot be sent or received, so the paths to other machines are not known: %w", m.closed)
	case now.Sub(m.counts.flooded) < unread:
		return out, fmt.Errorf("more than %d packets a second arrive at UDP port %d: some are left unread, and lost beacons are not told meanwhile", budget, m.o.Port)
	}
	return out, nil
}

func (m *Mesh) self(peers int) []snapshot.MachineEvidence {
	key := func(name string) snapshot.EvidenceKey { return snapshot.KeyOf("mesh", "self", name) }
	out := []snapshot.MachineEvidence{
		monitor.Int(key("peers"), peers),
		seconds(key("interval"), intervalFor(peers)),
		monitor.Int(key("sent"), m.counts.sent),
		monitor.Int(key("received"), m.counts.received),
	}
	if m.local.mtu > 0 {
		out = append(out, monitor.Int(key("mtu"), m.local.mtu))
	}
	if len(m.local.pods) > 0 {
		p := m.local.pods[0]
		out = append(out, monitor.Value(key("pod-address"), p.Address.String()), monitor.Int(key("pod-mtu"), p.MTU), monitor.Value(key("pod-interface"), p.Interface))
	}
	for reason, n := range map[string]uint64{
		"malformed": m.counts.malformed, "unknown": m.counts.unknown, "forged": m.counts.forged, "repeated": m.counts.repeated,
		"limited": m.counts.limited, "flood": m.counts.throttled, "lie": m.counts.lied,
	} {
		out = append(out, monitor.Int(snapshot.KeyOf("mesh", "self", "dropped", reason), n))
	}
	return out
}

func (m *Mesh) peer(l *link, now time.Time) []snapshot.MachineEvidence {
	key := func(name string) snapshot.EvidenceKey { return snapshot.KeyOf("mesh", "peer", l.peer.Node, name) }
	out := []snapshot.MachineEvidence{
		monitor.Value(key("uid"), l.peer.UID),
		monitor.Since(monitor.Bool(key("expected"), l.expected), l.since),
	}
	if at, ok := l.hostAddress(); ok {
		out = append(out, monitor.Value(key("address"), at.String()))
	}
	if _, there, ok := l.podAddress(m.local); ok {
		out = append(out, monitor.Value(key("pod-address"), there.Address.String()))
	}
	if !l.greeted.IsZero() {
		out = append(out, monitor.Moment(key("greeted"), l.greeted))
	}
	if l.version != 0 && l.version != Version {
		out = append(out, monitor.Int(key("version"), l.version))
	}
	if !l.clock.at.IsZero() {
		out = append(out, seconds(key("clock-offset"), l.clock.offset), seconds(key("clock-within"), l.clock.within))
	}
	for path, name := range []string{"host", "pod"} {
		r := l.tcp[path]
		if r.answer == "" {
			continue
		}
		out = append(out, monitor.Since(monitor.Value(key(name+"-tcp"), r.answer), r.since), seconds(key(name+"-tcp-age"), now.Sub(r.asked)))
		if r.problem != "" {
			out = append(out, monitor.Value(key(name+"-tcp-error"), r.problem))
		}
		if r.answer == here.OK && r.rtt > 0 {
			out = append(out, seconds(key(name+"-rtt"), r.rtt))
		}
		if took, ok := r.bulk(); ok {
			out = append(out, seconds(key(name+"-bulk"), took))
		}
	}
	for path, name := range []string{"host", "pod"} {
		if l.failed[path] != "" {
			out = append(out, monitor.Value(key(name+"-out-error"), l.failed[path]))
		}
	}
	for s := range beacon.Streams {
		out = append(out, m.stream(l, s, now, key)...)
	}
	return out
}

// stream tells of one stream in both directions.
func (m *Mesh) stream(l *link, s beacon.Stream, now time.Time, key func(string) snapshot.EvidenceKey) []snapshot.MachineEvidence {
	name := streamNames[s]
	var out []snapshot.MachineEvidence
	age, ok := l.heard[s].Age(now)
	switch {
	case ok:
		out = append(out, seconds(key(name+"-in-age"), age))
	case l.expected && !s.Big():
		out = append(out, monitor.Int(key(name+"-in-age"), -1))
	}
	_, there, pods := l.podAddress(m.local)
	if loss, known := m.loss(l, s, now); known && (pods || !s.Pod()) {
		e := monitor.Float(key(name+"-in-loss"), round(loss))
		if loss > 0 {
			e = monitor.Since(e, l.heard[s].Last())
		}
		out = append(out, e)
	}
	if said := l.heardBy[s]; said != beacon.Unknown && now.Sub(l.saidAt) < toldFor {
		out = append(out, monitor.Float(key(name+"-out-loss"), float64(min(said, 100))/100))
	}
	if !s.Big() {
		return out
	}
	at, ok := l.hostAddress()
	size := 0
	if s.Pod() && pods {
		size = min(m.local.pods[0].MTU, there.MTU)
	} else if ok && !s.Pod() && bigPacket(at, m.local.mtu, l.theirs.mtu) > 0 {
		size = min(m.local.mtu, l.theirs.mtu, mostMTU)
	}
	if size > 0 {
		out = append(out, monitor.Int(key(name+"-size"), size))
	}
	return out
}

// answers is what servers answer this machine.
func answers(w *here.Watch, nodes map[netip.Addr]string) []snapshot.MachineEvidence {
	var out []snapshot.MachineEvidence
	for _, s := range w.DNS() {
		key := func(name string) snapshot.EvidenceKey { return snapshot.KeyOf("dns", s.Address.String(), name) }
		out = append(out, target(s.Target, key)...)
		out = append(out, outcome(s.UDP, "", key)...)
		out = append(out, outcome(s.TCP, "tcp-", key)...)
	}
	for _, s := range w.API() {
		key := func(name string) snapshot.EvidenceKey {
			return snapshot.KeyOf("service", "kubernetes", s.Address.String(), name)
		}
		// The endpoints of the Service "kubernetes" are addresses of machines and name no node.
		if s.Node == "" && !s.Service {
			s.Node = nodes[s.Address.Addr()]
		}
		out = append(out, target(s.Target, key)...)
		out = append(out, outcome(s.TCP, "", key)...)
	}
	return out
}

// nodesByAddress are the nodes of all machines by their addresses.
func (m *Mesh) nodesByAddress() map[netip.Addr]string {
	out := map[netip.Addr]string{}
	add := func(p peer.Peer) {
		for _, a := range p.Addresses {
			out[a] = p.Node
		}
	}
	add(m.o.Source.Self())
	for _, l := range m.links {
		add(l.peer)
	}
	return out
}

func target(t Target, key func(string) snapshot.EvidenceKey) []snapshot.MachineEvidence {
	role := "server"
	if t.Service {
		role = "service"
	}
	out := []snapshot.MachineEvidence{monitor.Value(key("role"), role)}
	if t.Node != "" {
		out = append(out, monitor.Value(key("node"), t.Node))
	}
	return out
}

func outcome(o here.Outcome, prefix string, key func(string) snapshot.EvidenceKey) []snapshot.MachineEvidence {
	if o.Answer == "" {
		return nil
	}
	out := []snapshot.MachineEvidence{monitor.Since(monitor.Value(key(prefix+"answer"), o.Answer), o.Since)}
	if o.Problem != "" {
		out = append(out, monitor.Value(key(prefix+"error"), o.Problem))
	}
	if prefix == "" {
		out = append(out, seconds(key("latency"), o.Took))
	}
	return out
}

// seconds makes evidence of a duration, to the microsecond; a negative one of whole nanoseconds, which
// stands for never, is -1.
func seconds(key snapshot.EvidenceKey, d time.Duration) snapshot.MachineEvidence {
	if d == -1 {
		return monitor.Int(key, -1)
	}
	return monitor.Float(key, math.Round(d.Seconds()*1e6)/1e6)
}

func round(f float64) float64 { return math.Round(f*100) / 100 }
