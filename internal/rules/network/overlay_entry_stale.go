package network

import (
	"maps"
	"net/netip"
	"strings"

	"github.com/maek-dev/maek/api/maek/v1alpha1"
	"github.com/maek-dev/maek/internal/finding"
	"github.com/maek-dev/maek/internal/rule"
	"github.com/maek-dev/maek/internal/snapshot"
)

var _ = Catalog.Add(rule.Rule{
	Code:  "OverlayEntryStale",
	Title: finding.Text{EN: "a machine sends pod traffic to a node that is no more", KO: "머신이 없어진 노드로 Pod 트래픽을 보냅니다"},
	Doc: finding.Text{
		EN: "flanneld takes a node's entries away when the node goes; one that does not run at that moment never learns of it, and the route stays. It does no harm until its addresses are given to another node, or to this one: " +
			"then it draws their traffic away, and the finding is a warning. Only routes through flannel's device are looked at, only where every holder of a subnet could be read, and none that holds a live node's whole subnet.",
		KO: "노드가 없어지면 flanneld가 그 노드의 항목을 지우지만, 그때 실행되고 있지 않던 flanneld는 이를 알 수 없어 route가 남습니다. 그 주소가 다른 노드나 이 노드에 할당되기 전까지는 해가 없으나, 할당되면 트래픽을 빼앗으며 이때는 경고가 됩니다. " +
			"flannel 장치를 거치는 route만, 모든 subnet 보유자를 읽을 수 있었을 때만 확인하며, 살아 있는 노드의 subnet 전체를 담은 route는 대상이 아닙니다.",
	},
	Link: "https://github.com/flannel-io/flannel/issues/2554", Severity: finding.Info, Gravest: finding.Warning,
	Needs: flannelNeeds(), Machine: flannelEvidence, Detect: overlayEntryStale,
})

// staleRoute is a route to a subnet that nobody holds.
type staleRoute struct {
	prefix netip.Prefix
	value  string
	// over is whose subnet it overlaps; nil where it is nobody's.
	over *holder
}

func overlayEntryStale(p *rule.Pass) {
	v := readFlannel(p)
	known := v.known()
	for _, m := range p.Machines() {
		o := v.of(m)
		if o.own == nil || !o.whole || o.own.backend != "vxlan" || !m.Looked("overlay") {
			continue
		}
		if stale := staleRoutes(m, o, known); len(stale) > 0 {
			p.Report(staleRoutesFinding(m, o, stale))
		}
	}
}

// known are the subnets of all Nodes, whether flannel has announced them or not.
func (v *flannelView) known() map[snapshot.EvidenceKey]bool {
	out := map[snapshot.EvidenceKey]bool{}
	for _, n := range podRanges(v.pass.Snapshot) {
		out[snapshot.KeyOf("overlay", "route", n.String())] = true
	}
	return out
}

// staleRoutes are a machine's routes through flannel's device to what is no known subnet.
func staleRoutes(m snapshot.Machine, o overlay, known map[snapshot.EvidenceKey]bool) []staleRoute {
	if m.Value("flannel/store") == "etcd" {
		known = maps.Clone(known)
		for _, h := range o.holders {
			known[h.route] = true
		}
	}
	var out []staleRoute
	for _, e := range m.Select(routePattern) {
		if known[e.Key] {
			continue
		}
		prefix, err := netip.ParsePrefix(e.Key.Segments()[2])
		if err != nil || !leads(e.Value, "dev "+o.own.device()) || !strings.Contains(e.Value, "via ") {
			continue
		}
		r := staleRoute{prefix: prefix, value: e.Value}
		for i, h := range o.holders {
			if h.subnet.Overlaps(prefix) {
				r.over = &o.holders[i]
				break
			}
		}
		out = append(out, r)
	}
	return out
}

func staleRoutesFinding(m snapshot.Machine, o overlay, stale []staleRoute) finding.Finding {
	f := finding.Finding{Subject: m.Subject("Machine", m.Node()), Mechanism: v1alpha1.MechanismDegraded}
	var prefixes []string
	var says []finding.Text
	var commands []string
	for _, r := range stale {
		prefixes = append(prefixes, r.prefix.String())
		if len(f.Evidence) < fewPeers {
			f.Evidence = append(f.Evidence, m.Evidence(snapshot.KeyOf("overlay", "route", r.prefix.String())))
			commands = append(commands, "ip route del "+r.prefix.String()+" dev "+o.own.device())
		}
		if r.over != nil {
			f.Severity = finding.Warning
			f.Explains = append(f.Explains, sendingWay(m.Node(), r.over.name()))
			says = append(says, finding.Textf("%s overlaps %s of node %s and draws away traffic for its pods.", "%s가 노드 %[3]s의 %[2]s와 겹쳐 그 Pod의 트래픽을 빼앗습니다.", r.prefix, r.over.subnet, r.over.name()))
		}
	}
	f.Title = finding.Format("node %s: flannel's routes lead to nodes that are no more (%s)", "노드 %s: flannel route가 없어진 노드를 가리킵니다(%s)", finding.Verbatim(m.Node()), finding.List(prefixes))
	f.Why = finding.Join(" ", append([]finding.Text{{
		EN: "No node holds these addresses any more; flanneld there did not run when their nodes went.",
		KO: "이 주소를 가진 노드가 더 이상 없습니다. 해당 노드가 없어질 때 이 머신의 flanneld가 실행되고 있지 않았습니다.",
	}}, says...)...)
	f.Remedies.Now = []finding.Remedy{{Text: finding.Text{EN: "take the routes away", KO: "route를 지웁니다"}, Command: strings.Join(commands, "; "), Machine: m.Node()}}
	f.Remedies.Later = []finding.Remedy{{Text: finding.Text{EN: "keep flanneld running while nodes are removed", KO: "노드를 제거하는 동안 flanneld가 실행되고 있게 합니다"}}}
	return f
}
