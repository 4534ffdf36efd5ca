package network

import (
	"cmp"
	"maps"
	"slices"
	"time"

	corev1 "k8s.io/api/core/v1"

	"github.com/maek-dev/maek/internal/finding"
	"github.com/maek-dev/maek/internal/rule"
	"github.com/maek-dev/maek/internal/snapshot"
)

// meshKeys is the evidence of which a matrix is made.
var meshKeys = []snapshot.EvidenceKey{
	"mesh/peer/*/expected", "mesh/peer/*/version", "mesh/peer/*/address", "mesh/peer/*/pod-address",
	"mesh/peer/*/host-in-age", "mesh/peer/*/host-in-loss", "mesh/peer/*/host-out-loss",
	"mesh/peer/*/host-big-in-loss", "mesh/peer/*/host-big-out-loss",
	"mesh/peer/*/pod-in-age", "mesh/peer/*/pod-in-loss", "mesh/peer/*/pod-out-loss",
	"mesh/peer/*/pod-big-in-loss", "mesh/peer/*/pod-big-out-loss",
	"mesh/peer/*/host-big-size", "mesh/peer/*/pod-big-size",
	"mesh/peer/*/host-tcp", "mesh/peer/*/host-tcp-age", "mesh/peer/*/pod-tcp", "mesh/peer/*/pod-tcp-age",
	"mesh/peer/*/host-out-error", "mesh/peer/*/pod-out-error",
	"mesh/peer/*/host-bulk", "mesh/peer/*/pod-bulk", "mesh/peer/*/host-rtt",
	"mesh/peer/*/clock-offset", "mesh/peer/*/clock-within",
	"cluster/node/*/unschedulable", "cluster/node/*/deleting",
}

// meshNeeds are what the rules on paths read of the API, where it is there.
func meshNeeds() []rule.Need { return []rule.Need{rule.Optional[*corev1.Node]()} }

// When beacons count.
const (
	// lostFrom and fineUpTo bound what part of beacons is missing on a path that is broken, and on one that is
	// not: of ten small beacons one may be lost anywhere, and half are no clear word.
	lostFrom = 0.9
	fineUpTo = 0.4
	// wavering is what part is missing on a path that may be about to be called broken: where another is, it is
	// taken for broken too, so that a fault that is seconds old is told of the machine that it is on.
	wavering = 0.5
	// pathLasts is how long a path must be broken to be told: by then all agents have seen it, and told so in a
	// report.
	pathLasts = 15 * time.Second
	// reportAge is how old a report may be: an older one is of a machine that is silent now.
	reportAge = 2 * time.Minute
	// justAsked is how fresh an answer must be to speak against beacons of which it is not known since when
	// they are missing: a peer whose beacons go missing is asked every 5 s.
	justAsked = 8 * time.Second
)

// Words of the mesh's answers (docs/machine.md).
const (
	answerOK          = "ok"
	answerRefused     = "refused"
	answerTimeout     = "timeout"
	answerUnreachable = "unreachable"
	answerUntrusted   = "untrusted"
	// answerFailing is the word for somebody who answers that he fails.
	answerFailing = "failing"
)

// network of which a path is part: that of the machines, or that of pods.
type pathNetwork string

const (
	hostNetwork pathNetwork = "host"
	podNetwork  pathNetwork = "pod"
)

// way is one direction between two machines.
type way struct{ from, to string }

func (w way) back() way { return way{w.to, w.from} }

func compareWays(a, b way) int {
	return cmp.Or(cmp.Compare(a.from, b.from), cmp.Compare(a.to, b.to))
}

// crossing is what is known of one direction over one network.
type crossing struct {
	// small and big are what part of the beacons is missing; negative where nothing is known.
	small, big float64
	// never tells that no beacon ever came.
	never bool
	// age of the last beacon, and since when they are missing.
	age      time.Duration
	since    time.Time
	bigSince time.Time
	// by is the machine that says so, under the keys.
	by               snapshot.Machine
	smallKey, bigKey snapshot.EvidenceKey
}

// matrix is what all reports together say about the paths between machines. It is made once for all
// rules on paths, which all read the same keys: no one writes to it.
type matrix struct {
	reports map[string]snapshot.Machine
	// by are the reports in the order of their nodes.
	by []snapshot.Machine
	// peers that each machine expects to hear.
	peers map[string][]string
	// leaving are the nodes that are drained or about to go.
	leaving map[string]bool
	// nodes that reported, or are expected by one that did, sorted.
	nodes []string
	// absent are nodes whose agent does not run while their machine answers.
	absent map[string]bool
	ways   map[pathNetwork]map[way]crossing
	// ordered are the directions of each network in order.
	ordered map[pathNetwork][]way
}

// readMatrix puts the reports together. Machines that are drained or about to go are left out.
func readMatrix(p *rule.Pass) *matrix {
	return snapshot.Derived(p.Snapshot, func() *matrix { return newMatrix(p) })
}

func newMatrix(p *rule.Pass) *matrix {
	m := &matrix{
		reports: map[string]snapshot.Machine{}, peers: map[string][]string{}, leaving: map[string]bool{}, absent: map[string]bool{},
		ways: map[pathNetwork]map[way]crossing{hostNetwork: {}, podNetwork: {}}, ordered: map[pathNetwork][]way{},
	}
	nodes := map[string]bool{}
	for _, machine := range p.Machines() {
		if age := p.Now().Sub(machine.ObservedAt()); age > reportAge || age < -reportAge || len(machine.Select("mesh/peer/*/expected")) == 0 {
			continue
		}
		m.reports[machine.Node()] = machine
		m.by = append(m.by, machine)
		m.peers[machine.Node()] = expectedBy(machine)
	}
	m.findLeaving(p)
	for _, by := range m.by {
		for _, peer := range m.peersOf(by) {
			if by.Value(snapshot.KeyOf("mesh", "peer", peer, "host-tcp")) == answerRefused {
				m.absent[peer] = true
			}
		}
	}
	for _, by := range m.by {
		if m.excused(by.Node()) {
			continue
		}
		nodes[by.Node()] = true
		for _, peer := range m.peersOf(by) {
			if m.excused(peer) || m.absent[peer] {
				continue
			}
			nodes[peer] = true
			for network, ways := range m.ways {
				ways[way{peer, by.Node()}] = read(by, peer, network, "in")
				if _, reports := m.reports[peer]; !reports {
					ways[way{by.Node(), peer}] = read(by, peer, network, "out")
				}
			}
		}
	}
	m.nodes = slices.Sorted(maps.Keys(nodes))
	for network, ways := range m.ways {
		m.ordered[network] = slices.SortedFunc(maps.Keys(ways), compareWays)
	}
	return m
}

// sources are the reports by node.
func (m *matrix) sources() []snapshot.Machine { return m.by }

// peersOf are the peers that a machine expects to hear.
func (m *matrix) peersOf(by snapshot.Machine) []string { return m.peers[by.Node()] }

func expectedBy(machine snapshot.Machine) []string {
	return slices.DeleteFunc(machine.Names("mesh/peer/*/expected"), func(peer string) bool {
		_, foreign := machine.Find(snapshot.KeyOf("mesh", "peer", peer, "version"))
		return foreign || !machine.True(snapshot.KeyOf("mesh", "peer", peer, "expected"))
	})
}

// excused tells whether nobody should wonder when a machine is gone: it is drained, or its node is
// about to go, or gone.
func (m *matrix) excused(node string) bool { return m.leaving[node] }

func (m *matrix) findLeaving(p *rule.Pass) {
	for _, n := range snapshot.List[*corev1.Node](p.Snapshot) {
		if n.Spec.Unschedulable || n.DeletionTimestamp != nil {
			m.leaving[n.Name] = true
		}
	}
	for _, by := range m.by {
		for _, pattern := range []snapshot.EvidenceKey{"cluster/node/*/unschedulable", "cluster/node/*/deleting"} {
			for _, e := range by.Select(pattern) {
				if e.Value == "true" {
					m.leaving[e.Key.Segments()[2]] = true
				}
			}
		}
	}
}

func read(by snapshot.Machine, peer string, network pathNetwork, direction string) crossing {
	key := func(name string) snapshot.EvidenceKey {
		return snapshot.KeyOf("mesh", "peer", peer, string(network)+"-"+name)
	}
	c := crossing{small: -1, big: -1, by: by, smallKey: key(direction + "-loss"), bigKey: key("big-" + direction + "-loss")}
	if loss, ok := by.Float(c.smallKey); ok {
		c.small, c.since = loss, by.Since(c.smallKey)
	}
	if loss, ok := by.Float(c.bigKey); ok {
		c.big, c.bigSince = loss, by.Since(c.bigKey)
	}
	if age, ok := by.Float(key("in-age")); ok && direction == "in" {
		c.never, c.age = age < 0, time.Duration(age*float64(time.Second))
	}
	return c
}

// answered tells whether a request was answered between two machines over a network after beacons began to be
// missing in a direction: then both directions work.
func (m *matrix) answered(w way, network pathNetwork) bool {
	asks := func(from, to string) bool {
		by, ok := m.reports[from]
		if !ok {
			return false
		}
		key := snapshot.KeyOf("mesh", "peer", to, string(network)+"-tcp")
		// Whoever refuses the request, or whose certificate does not fit, has been reached.
		switch by.Value(key) {
		case answerOK, answerFailing, answerUntrusted:
		default:
			return false
		}
		asked, ok := by.Float(key + "-age")
		at := by.ObservedAt().Add(-time.Duration(asked * float64(time.Second)))
		c := m.ways[network][w]
		if c.small >= lostFrom && c.since.IsZero() {
			return ok && asked <= justAsked.Seconds()
		}
		return ok && (c.small < lostFrom || at.After(c.since.Add(time.Second)))
	}
	return asks(w.from, w.to) || asks(w.to, w.from)
}

// unanswered tells whether a request between two machines over a network got no answer.
func (m *matrix) unanswered(w way, network pathNetwork) bool {
	asks := func(from, to string) bool {
		by, ok := m.reports[from]
		if !ok {
			return false
		}
		word := by.Value(snapshot.KeyOf("mesh", "peer", to, string(network)+"-tcp"))
		return word == answerTimeout || word == answerUnreachable
	}
	return asks(w.from, w.to) || asks(w.to, w.from)
}

// verdict on one direction.
type verdict int

const (
	unknown verdict = iota
	fine
	broken
	// blocked: beacons are missing, and yet requests are answered.
	blocked
)

// judge tells whether small packets come through in a direction.
func (m *matrix) judge(w way, network pathNetwork) verdict {
	c, ok := m.ways[network][w]
	switch {
	case !ok || c.small < 0:
		return unknown
	case c.small <= fineUpTo:
		return fine
	case c.small < lostFrom:
		return unknown
	case m.answered(w, network):
		return blocked
	case c.never && !m.unanswered(w, network):
		return unknown
	default:
		return broken
	}
}

// sort parts directions into those that work and those that are broken, leaving out those that are not asked
// for. Once one is broken, those that waver count as broken too.
func (m *matrix) sort(network pathNetwork, asked func(way) bool) (good, bad []way) {
	var wavers []way
	for _, w := range m.directions(network) {
		if !asked(w) {
			continue
		}
		switch m.judge(w, network) {
		case fine, blocked:
			good = append(good, w)
		case broken:
			bad = append(bad, w)
		case unknown:
			if c := m.ways[network][w]; c.small >= wavering && c.small < lostFrom && !m.answered(w, network) {
				wavers = append(wavers, w)
			}
		}
	}
	if len(bad) > 0 {
		bad = append(bad, wavers...)
		slices.SortFunc(bad, compareWays)
	}
	return good, bad
}

// directions are all ways of which a verdict is known, in order.
func (m *matrix) directions(network pathNetwork) []way { return m.ordered[network] }

// evidence of directions, small or big, at most three.
func (m *matrix) evidence(network pathNetwork, ways []way, big bool) []finding.Evidence {
	var out []finding.Evidence
	for _, w := range ways[:min(len(ways), 3)] {
		c := m.ways[network][w]
		key := c.smallKey
		if big {
			key = c.bigKey
		}
		out = append(out, c.by.Evidence(key))
	}
	return out
}

// since is when the last of the directions broke.
func (m *matrix) since(network pathNetwork, ways []way, big bool) time.Time {
	var at time.Time
	for _, w := range ways {
		c := m.ways[network][w]
		if big {
			at = finding.Later(at, c.bigSince)
		} else {
			at = finding.Later(at, c.since)
		}
	}
	return at
}

// seenBy are the machines whose reports say so.
func (m *matrix) seenBy(network pathNetwork, ways []way) []string {
	var out []string
	for _, w := range ways {
		out = append(out, m.ways[network][w].by.Node())
	}
	slices.Sort(out)
	return slices.Compact(out)
}

// machineSubject is a machine as a whole.
func machineSubject(node string) finding.Subject {
	return finding.Subject{Kind: "Machine", Name: node, Machine: node}
}

// pathSubject is the direction between two machines; what is to be mended is looked for first on the one that
// sends.
func pathSubject(w way) finding.Subject {
	return finding.Subject{Kind: "Path", Name: w.from + " -> " + w.to, Machine: w.from}
}

// addressOf is where a machine is watched in the machines' network; its name where nobody says.
func (m *matrix) addressOf(node string) string {
	for _, by := range m.sources() {
		if a := by.Value(snapshot.KeyOf("mesh", "peer", node, "address")); a != "" {
			return a
		}
	}
	return node
}

// podAddressOf is where a machine is watched in the pod network; empty where nobody says.
func (m *matrix) podAddressOf(node string) string {
	for _, by := range m.sources() {
		if a := by.Value(snapshot.KeyOf("mesh", "peer", node, "pod-address")); a != "" {
			return a
		}
	}
	return ""
}
