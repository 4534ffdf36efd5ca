package network

import (
	"slices"
	"strings"

	"github.com/maek-dev/maek/api/maek/v1alpha1"
	"github.com/maek-dev/maek/internal/finding"
	"github.com/maek-dev/maek/internal/rule"
	"github.com/maek-dev/maek/internal/snapshot"
)

// entryKind is one of the three entries without which a machine cannot send to another one's pods
// (github.com/flannel-io/flannel, pkg/backend/vxlan/vxlan_network.go, handleSubnetEvents).
type entryKind struct {
	// what it is, for people; in Korean as the subject of a sentence.
	what finding.Text
	// table is the pattern of all such entries.
	table snapshot.EvidenceKey
	// key under which a machine tells of it, and what a peer's should be.
	key    func(own, peer holder) snapshot.EvidenceKey
	should func(own, peer holder) string
	// right tells whether a value is as it should be.
	right func(own, peer holder, value string) bool
	// mend writes the entry again.
	mend func(own, peer holder) string
	// show prints all entries of the kind.
	show func(own holder) string
}

// wrongEntry is a peer to which a machine cannot send.
type wrongEntry struct {
	peer  holder
	key   snapshot.EvidenceKey
	value string
}

// wrongEntries are the peers whose entries of one kind a machine lacks or has wrong.
func wrongEntries(m snapshot.Machine, o overlay, kind entryKind) []wrongEntry {
	var out []wrongEntry
	routes := valuesOf(m, routePattern)
	entries := routes
	if kind.table != routePattern {
		entries = valuesOf(m, kind.table)
	}
	for _, peer := range o.holders {
		if peer.subnet == o.own.subnet || peer.changing || peer.backend != o.own.backend || peer.backend != "vxlan" && peer.backend != "host-gw" {
			continue
		}
		key := kind.key(*o.own, peer)
		if key == "" {
			continue
		}
		value := entries[key]
		// Between machines of one network vxlan may go around the overlay (DirectRouting), as host-gw always does.
		if kind.right(*o.own, peer, value) || leads(routes[peer.route], "via "+peer.publicIP) {
			continue
		}
		out = append(out, wrongEntry{peer, key, value})
	}
	return out
}

// routePattern fits the keys of all routes to pods.
const routePattern snapshot.EvidenceKey = "overlay/route/*"

// valuesOf are a machine's values whose keys fit a pattern.
func valuesOf(m snapshot.Machine, pattern snapshot.EvidenceKey) map[snapshot.EvidenceKey]string {
	found := m.Select(pattern)
	out := make(map[snapshot.EvidenceKey]string, len(found))
	for _, e := range found {
		out[e.Key] = e.Value
	}
	return out
}

// routeKind is the route to a peer's pods.
var routeKind = entryKind{
	what:  finding.Text{EN: "route", KO: "route가"},
	table: routePattern,
	key:   func(_, peer holder) snapshot.EvidenceKey { return peer.route },
	should: func(own, peer holder) string {
		if own.backend == "host-gw" {
			return "via " + peer.publicIP
		}
		return "via " + peer.subnet.Addr().String() + " dev " + own.device() + " onlink"
	},
	right: func(own, peer holder, value string) bool {
		return own.backend == "vxlan" && leads(value, "via "+peer.gateway, "dev "+own.device())
	},
	mend: func(own, peer holder) string {
		if own.backend == "host-gw" {
			return "ip route replace " + peer.subnet.String() + " via " + peer.publicIP
		}
		return "ip route replace " + peer.subnet.String() + " via " + peer.subnet.Addr().String() + " dev " + own.device() + " onlink"
	},
	show: func(own holder) string { return "ip route show dev " + own.device() },
}

// neighbourKind is the hardware address of a peer's VXLAN device.
var neighbourKind = entryKind{
	table: "overlay/neighbour/*/*",
	what:  finding.Text{EN: "neighbour entry", KO: "neighbour 항목이"},
	key: func(own, peer holder) snapshot.EvidenceKey {
		if own.backend != "vxlan" {
			return ""
		}
		return snapshot.KeyOf("overlay", "neighbour", own.device(), peer.gateway)
	},
	should: func(_, peer holder) string { return peer.mac + " permanent" },
	right: func(_, peer holder, value string) bool {
		mac, _, _ := strings.Cut(value, " ")
		return strings.EqualFold(mac, peer.mac)
	},
	mend: func(own, peer holder) string {
		return "ip neigh replace " + peer.subnet.Addr().String() + " lladdr " + peer.mac + " dev " + own.device() + " nud permanent"
	},
	show: func(own holder) string { return "ip neigh show dev " + own.device() },
}

// forwardingKind is the machine behind the hardware address of a peer's VXLAN device.
var forwardingKind = entryKind{
	table: "overlay/forwarding/*/*",
	what:  finding.Text{EN: "forwarding entry", KO: "forwarding 항목이"},
	key: func(own, peer holder) snapshot.EvidenceKey {
		if own.backend != "vxlan" {
			return ""
		}
		return snapshot.KeyOf("overlay", "forwarding", own.device(), peer.mac)
	},
	should: func(_, peer holder) string { return peer.publicIP },
	right: func(_, peer holder, value string) bool {
		return value == peer.publicIP || slices.Contains(strings.Fields(value), peer.publicIP)
	},
	mend: func(own, peer holder) string {
		return "bridge fdb replace " + peer.mac + " dev " + own.device() + " dst " + peer.publicIP + " self permanent"
	},
	show: func(own holder) string { return "bridge fdb show dev " + own.device() },
}

// fewPeers are so many that each is told of in a finding of its own.
const fewPeers = 3

// detectEntries makes the detection of one kind of entry.
func detectEntries(kind entryKind) func(*rule.Pass) {
	return func(p *rule.Pass) {
		v := readFlannel(p)
		for _, m := range p.Machines() {
			o := v.of(m)
			// A device that is gone or off takes its entries along, and has a finding of its own.
			if o.own == nil || o.own.changing || !m.Looked("overlay") || o.own.backend == "vxlan" && !m.True(deviceKey(o.own.device(), "up")) {
				continue
			}
			wrong := wrongEntries(m, o, kind)
			if len(wrong) > fewPeers || len(wrong) > 1 && len(wrong) == len(o.peers()) {
				p.Report(manyEntries(m, o, kind, wrong))
				continue
			}
			for _, w := range wrong {
				f := oneEntry(m, *o.own, kind, w)
				f.RuledOut = v.otherSide(m, w.peer)
				p.Report(f)
			}
		}
	}
}

// oneEntry is a machine that cannot send to one other.
func oneEntry(m snapshot.Machine, own holder, kind entryKind, w wrongEntry) finding.Finding {
	from, to := m.Node(), w.peer.name()
	f := finding.Finding{
		Subject: sendingWay(from, to), Mechanism: v1alpha1.MechanismMissing,
		Title: finding.Format("node %s cannot send to the pods of node %s: it has no %s", "노드 %s: 노드 %s의 Pod로 보낼 수 없습니다. %s 없습니다", finding.Verbatim(from), finding.Verbatim(to), kind.what),
		Why: finding.Format("flannel on %[1]s should hold \"%[2]s\" for %[3]s and holds none. What %[1]s sends to pods of %[4]s is lost, also its answers to requests from there; the other direction is not concerned.",
			"%[1]s의 flannel에는 %[3]s에 대해 \"%[2]s\"가 있어야 하지만 없습니다. %[1]s에서 %[4]s의 Pod로 보내는 트래픽과 그쪽 요청에 대한 응답이 유실됩니다. 반대 방향에는 이상이 없습니다.",
			finding.Verbatim(from), finding.Verbatim(kind.should(own, w.peer)), finding.Verbatim(w.peer.subnet.String()), finding.Verbatim(to)),
		Evidence: []finding.Evidence{absentOr(m, w), w.peer.said},
		Explains: []finding.Subject{sendingWay(from, to)},
		Remedies: finding.Remedies{
			Now: []finding.Remedy{
				{Text: finding.Text{EN: "write the entry again", KO: "항목을 다시 기록합니다"}, Command: kind.mend(own, w.peer), Machine: from},
				restartFlannel(m),
			},
			Later: []finding.Remedy{watchEntries},
		},
	}
	if w.value != "" {
		f.Mechanism = v1alpha1.MechanismMisconfigured
		f.Title = finding.Format("node %s cannot send to the pods of node %s: its %s is wrong", "노드 %s: 노드 %s의 Pod로 보낼 수 없습니다. %s 잘못되었습니다", finding.Verbatim(from), finding.Verbatim(to), kind.what)
		f.Why = finding.Format("flannel on %[1]s should hold \"%[2]s\" for %[3]s and holds \"%[5]s\". What %[1]s sends to pods of %[4]s ends elsewhere, also its answers to requests from there; the other direction is not concerned.",
			"%[1]s의 flannel에는 %[3]s에 대해 \"%[2]s\"가 있어야 하지만 \"%[5]s\"입니다. %[1]s에서 %[4]s의 Pod로 보내는 트래픽과 그쪽 요청에 대한 응답이 다른 곳으로 갑니다. 반대 방향에는 이상이 없습니다.",
			finding.Verbatim(from), finding.Verbatim(kind.should(own, w.peer)), finding.Verbatim(w.peer.subnet.String()), finding.Verbatim(to), finding.Verbatim(w.value))
	}
	state, evidence := daemonState(m)
	f.Why, f.Evidence = finding.Join(" ", f.Why, state), append(f.Evidence, evidence...)
	return f
}

// otherSide rules out the machine at the other end, where it reports and is as it should be.
func (v *flannelView) otherSide(m snapshot.Machine, peer holder) []finding.Statement {
	other, ok := v.pass.Machine(peer.node)
	if !ok || !other.Looked("overlay") {
		return nil
	}
	o := v.of(other)
	if o.own == nil || o.own.backend != "vxlan" || len(deviceFaults(other, *o.own, nil)) > 0 {
		return nil
	}
	for _, kind := range []entryKind{routeKind, neighbourKind, forwardingKind} {
		if slices.ContainsFunc(wrongEntries(other, o, kind), func(w wrongEntry) bool { return w.peer.node == m.Node() }) {
			return nil
		}
	}
	return []finding.Statement{{
		Text:     finding.Textf("node %s: its flannel device is as announced, and its entries for %s are right", "노드 %s: flannel 장치가 알려진 대로이고 %s에 대한 항목도 올바릅니다", peer.node, m.Node()),
		Evidence: []finding.Evidence{other.Evidence(deviceKey(o.own.device(), "mac"))},
	}}
}

// manyEntries is a machine that cannot send to several others.
func manyEntries(m snapshot.Machine, o overlay, kind entryKind, wrong []wrongEntry) finding.Finding {
	from := m.Node()
	f := finding.Finding{
		Subject: m.Subject("Machine", from), Mechanism: v1alpha1.MechanismMissing,
		Remedies: finding.Remedies{
			Now: []finding.Remedy{
				restartFlannel(m),
				{Text: finding.Text{EN: "see which entries are there", KO: "현재 항목을 확인합니다"}, Command: kind.show(*o.own), Machine: from},
			},
			Later: []finding.Remedy{watchEntries, leaveAlone},
		},
	}
	var names []string
	for _, w := range wrong {
		names = append(names, w.peer.name())
		f.Explains = append(f.Explains, sendingWay(from, w.peer.name()))
		if len(f.Evidence) < fewPeers {
			f.Evidence = append(f.Evidence, absentOr(m, w))
		}
	}
	of := finding.Textf("%d of %d", "%[2]d개 중 %[1]d개", len(wrong), len(o.peers()))
	f.Title = finding.Format("node %s cannot send to the pods of %s other nodes: a %s lacks or is wrong for each", "노드 %s: 다른 노드 %s의 Pod로 보낼 수 없습니다. 각각 %s 없거나 잘못되었습니다", finding.Verbatim(from), of, kind.what)
	f.Why = finding.Format("Nodes concerned: %s. What it sends to their pods is lost, also its answers to requests from there. A flannel device that was switched off and on loses all at once.",
		"대상 노드: %s. 그 노드의 Pod로 보내는 트래픽과 그쪽 요청에 대한 응답이 유실됩니다. flannel 장치를 껐다 켜면 모든 항목이 한꺼번에 사라집니다.", finding.List(names))
	state, evidence := daemonState(m)
	f.Why, f.Evidence = finding.Join(" ", f.Why, state), append(f.Evidence, evidence...)
	return f
}

// absentOr is a value as evidence, or that there is none.
func absentOr(m snapshot.Machine, w wrongEntry) finding.Evidence {
	e := m.Evidence(w.key)
	if w.value == "" {
		e.Value = "absent"
	}
	return e
}

var _ = Catalog.Add(rule.Rule{
	Code:  "OverlayRouteMissing",
	Title: finding.Text{EN: "a machine has no route to another node's pods", KO: "머신에 다른 노드의 Pod로 가는 route가 없습니다"},
	Doc: finding.Text{
		EN: "flanneld writes on every machine a route to every other node's pod addresses, when that node joins or changes, and does not look again. One that is deleted since, or that leads elsewhere, stays so: what " +
			"this machine sends to those pods goes out by the default route and is lost, and every request fails in both directions, though only one side is at fault. A node that joined in the last minute and a half, " +
			"routes straight to the machine (DirectRouting, host-gw), and a missing flannel device (told on its own) are left alone.",
		KO: "flanneld는 노드가 참여하거나 바뀔 때 모든 머신에 그 노드의 Pod 주소로 가는 route를 기록하고 다시 확인하지 않습니다. 이후 삭제되거나 다른 곳을 가리키면 그대로 남습니다. 이 머신에서 그 Pod로 보내는 트래픽은 기본 경로로 나가 유실되며, " +
			"한쪽만 잘못되어도 모든 요청이 양방향으로 실패합니다. 참여한 지 1분 30초가 안 된 노드, 머신으로 직접 가는 route(DirectRouting, host-gw), 따로 알리는 flannel 장치 부재는 대상이 아닙니다.",
	},
	Link: "https://github.com/flannel-io/flannel/blob/master/Documentation/backends.md", Severity: finding.Critical,
	Needs: flannelNeeds(), Machine: flannelEvidence, Detect: detectEntries(routeKind),
	Causes: []rule.Cause{flannelStopped},
})

var _ = Catalog.Add(rule.Rule{
	Code:  "OverlayNeighbourMissing",
	Title: finding.Text{EN: "a machine does not know the overlay address of another node", KO: "머신이 다른 노드의 오버레이 주소를 모릅니다"},
	Doc: finding.Text{
		EN: "For every other node flanneld writes a permanent neighbour entry: the hardware address of that node's flannel device, as the node announces it. Without it, or with an old one, what this machine sends to that node's pods " +
			"is dropped without a word: no error, no counter. Requests fail in both directions, though only one side is at fault. A node that announced itself in the last minute and a half is left alone, for the others may not have heard yet.",
		KO: "flanneld는 다른 노드마다 영구 neighbour 항목을 기록합니다. 그 노드가 알린 flannel 장치의 MAC 주소입니다. 이 항목이 없거나 예전 주소이면 이 머신에서 그 노드의 Pod로 보내는 트래픽이 오류나 카운터 증가 없이 버려집니다. " +
			"한쪽만 잘못되어도 요청은 양방향으로 실패합니다. 알린 지 1분 30초가 안 된 노드는 다른 노드가 아직 모를 수 있으므로 대상이 아닙니다.",
	},
	Link: "https://github.com/flannel-io/flannel/blob/master/Documentation/backends.md", Severity: finding.Critical,
	Needs: flannelNeeds(), Machine: flannelEvidence, Detect: detectEntries(neighbourKind),
	// A device that gets another hardware address, or is switched off, loses its neighbours (Linux, net/core/neighbour.c).
	Causes: []rule.Cause{flannelStopped, {Code: "OverlayRouteMissing", Via: rule.Itself}, {Code: "FlannelDeviceMisconfigured", Via: rule.OnMachine}},
})

var _ = Catalog.Add(rule.Rule{
	Code:  "OverlayForwardingEntryMissing",
	Title: finding.Text{EN: "a machine does not know behind which machine another node's pods are", KO: "머신이 다른 노드의 Pod가 어느 머신에 있는지 모릅니다"},
	Doc: finding.Text{
		EN: "For every other node flanneld writes a forwarding entry (FDB): which machine stands behind the hardware address of that node's flannel device. Without it, or with another machine's address, what this machine sends to that node's " +
			"pods is lost without any local error. Requests fail in both directions, though only one side is at fault. A node that announced itself in the last minute and a half, and traffic that goes around the overlay (DirectRouting, host-gw), are left alone.",
		KO: "flanneld는 다른 노드마다 forwarding 항목(FDB)을 기록합니다. 그 노드의 flannel 장치 MAC 주소가 어느 머신에 있는지를 나타냅니다. 이 항목이 없거나 다른 머신의 주소이면 이 머신에서 그 노드의 Pod로 보내는 트래픽이 로컬 오류 없이 유실됩니다. " +
			"한쪽만 잘못되어도 요청은 양방향으로 실패합니다. 알린 지 1분 30초가 안 된 노드와 오버레이를 거치지 않는 트래픽(DirectRouting, host-gw)은 대상이 아닙니다.",
	},
	Link: "https://github.com/flannel-io/flannel/blob/master/Documentation/backends.md", Severity: finding.Critical,
	Needs: flannelNeeds(), Machine: flannelEvidence, Detect: detectEntries(forwardingKind),
	Causes: []rule.Cause{flannelStopped, {Code: "OverlayRouteMissing", Via: rule.Itself}, {Code: "OverlayNeighbourMissing", Via: rule.Itself}},
})
