package network

import (
	"net/netip"
	"slices"
	"strings"
	"time"

	corev1 "k8s.io/api/core/v1"

	"github.com/maek-dev/maek/api/maek/v1alpha1"
	"github.com/maek-dev/maek/internal/finding"
	"github.com/maek-dev/maek/internal/rule"
	"github.com/maek-dev/maek/internal/snapshot"
)

// containsText tells whether a text has said something already.
func containsText(text, part finding.Text) bool { return strings.Contains(text.EN, part.EN) }

var _ = Catalog.Add(rule.Rule{
	Code:  "FlannelLeaseExpiring",
	Title: finding.Text{EN: "a machine's flannel lease is not renewed", KO: "머신의 flannel lease가 갱신되지 않습니다"},
	Doc: finding.Text{
		EN: "Where flannel keeps subnets in etcd, each is leased for a day, and flanneld renews it an hour before its end (or as --subnet-lease-renew-margin says). A lease that has less left than that by ten minutes is not being renewed: flanneld does not run, or cannot write to etcd. " +
			"When it ends, the other machines take their entries for this one away and its pods cannot be reached. Reserved subnets never end and are left alone.",
		KO: "flannel이 subnet을 etcd에 보관하면 각 subnet은 하루 동안 임대되고 flanneld가 만료 1시간 전(또는 --subnet-lease-renew-margin)에 갱신합니다. 남은 시간이 이보다 10분 넘게 적으면 갱신되지 않고 있는 것입니다. flanneld가 실행되지 않거나 etcd에 쓸 수 없습니다. " +
			"만료되면 다른 머신이 이 머신에 대한 항목을 지워 Pod에 닿을 수 없게 됩니다. 예약된 subnet은 만료되지 않으므로 대상이 아닙니다.",
	},
	Link: "https://github.com/flannel-io/flannel/blob/master/Documentation/reservations.md", Severity: finding.Warning,
	Needs: flannelNeeds(), Machine: flannelEvidence, Detect: flannelLeaseExpiring, Causes: []rule.Cause{flannelStopped, {Code: "FlannelStoreUnreachable", Via: rule.OnMachine}},
})

// defaultMargin is how long before a lease's end flanneld renews it (flannel, main.go,
// subnet-lease-renew-margin), and lateBy how much later it must be to count: the store is read every five minutes.
const (
	defaultMargin = 60
	lateBy        = 10 * time.Minute
)

func flannelLeaseExpiring(p *rule.Pass) {
	v := readFlannel(p)
	said := map[netip.Prefix]bool{}
	// A machine's own word about its lease goes before that of others.
	for _, own := range []bool{true, false} {
		for _, m := range p.Machines() {
			if m.Value("flannel/store") != "etcd" {
				continue
			}
			margin := int64(defaultMargin)
			if n, ok := m.Int("flannel/setting/subnet-lease-renew-margin"); ok {
				margin = n
			}
			o := v.of(m)
			for _, h := range o.holders {
				key := snapshot.KeyOf("flannel", "lease", h.subnet.String(), "ttl")
				ttl, ok := m.Int(key)
				left := time.Duration(ttl) * time.Second
				if !ok || said[h.subnet] || own != (h.node == m.Node()) || left >= time.Duration(margin)*time.Minute-lateBy {
					continue
				}
				said[h.subnet] = true
				// Nobody renews what no node holds; that has a finding of its own.
				if h.node == "" {
					continue
				}
				p.Report(expiringFinding(m, h, key, left))
			}
		}
	}
}

func expiringFinding(m snapshot.Machine, h holder, key snapshot.EvidenceKey, left time.Duration) finding.Finding {
	ends := m.Time("flannel/etcd/read-at").Add(left)
	f := finding.Finding{
		Subject: finding.Subject{Kind: "Node", Name: h.node}, Mechanism: v1alpha1.MechanismStopped,
		Title: finding.Textf("node %s: its flannel lease of %s is not renewed and ends at %s", "노드 %s: flannel lease %s가 갱신되지 않아 %s에 만료됩니다", h.node, h.subnet, finding.Clock(m.ObservedAt(), ends)),
		Why: finding.Textf("%d minutes are left of the day that a lease lasts, and flanneld renews it an hour before its end. When it ends, the other machines forget %s, and its pods cannot be reached.",
			"하루짜리 lease가 %d분 남았는데 flanneld는 만료 1시간 전에 갱신합니다. 만료되면 다른 머신이 %s를 지워 그 Pod에 닿을 수 없게 됩니다.", int(left.Minutes()), h.node),
		Evidence: []finding.Evidence{m.Evidence(key), h.said},
		Remedies: finding.Remedies{
			Now: []finding.Remedy{
				{Text: finding.Text{EN: "see what flanneld says about its lease", KO: "flanneld가 lease에 대해 남긴 로그를 확인합니다"}, Command: "journalctl -u flanneld --since -3h | grep -i lease", Machine: h.node},
				{Text: finding.Text{EN: "start it anew: it takes the same subnet again", KO: "다시 시작하면 같은 subnet을 다시 임대합니다"}, Command: "systemctl restart flanneld", Machine: h.node},
			},
			Later: []finding.Remedy{{Text: finding.Text{EN: "watch the line \"Lease renewed\" in flanneld's log: it comes once a day", KO: "flanneld 로그의 \"Lease renewed\"를 감시합니다. 하루에 한 번 나옵니다"}}},
		},
	}
	if h.node == m.Node() {
		state, evidence := daemonState(m)
		f.Why, f.Evidence = finding.Join(" ", f.Why, state), append(f.Evidence, evidence...)
	}
	return f
}

var _ = Catalog.Add(rule.Rule{
	Code:  "FlannelLeaseMissing",
	Title: finding.Text{EN: "a node holds no flannel lease", KO: "노드에 flannel lease가 없습니다"},
	Doc: finding.Text{
		EN: "Where flannel keeps subnets in etcd, a node without a lease is one that the other machines do not send to: its lease ended or was deleted, or its flanneld never got one. Pods there, if any run, cannot be reached from elsewhere. " +
			"Nodes younger than two minutes, nodes that are being removed, and machines without flannel or without an agent to say so are left alone, and so is all where not every lease could be read.",
		KO: "flannel이 subnet을 etcd에 보관할 때 lease가 없는 노드로는 다른 머신이 트래픽을 보내지 않습니다. lease가 만료되었거나 삭제되었거나, flanneld가 받은 적이 없는 경우입니다. 그 노드의 Pod는 다른 곳에서 닿을 수 없습니다. " +
			"2분이 안 된 노드, 제거 중인 노드, flannel이 없거나 이를 알려 줄 agent가 없는 머신, 그리고 모든 lease를 읽지 못한 경우는 대상이 아닙니다.",
	},
	Link: "https://github.com/flannel-io/flannel/blob/master/Documentation/running.md", Severity: finding.Critical,
	Needs: flannelNeeds(), Machine: flannelEvidence, Detect: flannelLeaseMissing, Causes: []rule.Cause{flannelStopped, {Code: "FlannelStoreUnreachable", Via: rule.OnMachine}},
})

func flannelLeaseMissing(p *rule.Pass) {
	v := readFlannel(p)
	for _, m := range p.Machines() {
		if m.Value("flannel/store") != "etcd" || !m.True("flannel/etcd/all-leases") {
			continue
		}
		o := v.of(m)
		for _, n := range v.withoutLease(m, o.holders) {
			f := finding.Finding{
				Subject: finding.Subject{Kind: "Node", Name: n}, Mechanism: v1alpha1.MechanismMissing,
				Title: finding.Textf("node %s holds no flannel lease", "노드 %s: flannel lease가 없습니다", n),
				Why: finding.Textf("None of the %d leases in flannel's etcd has an address of %s, so that the other machines do not send to its pods.",
					"flannel etcd의 lease %d개 중 %s의 주소를 가진 것이 없어 다른 머신이 그 Pod로 트래픽을 보내지 않습니다.", len(o.holders), n),
				Evidence: []finding.Evidence{m.Evidence("flannel/etcd/leases"), m.Evidence("flannel/setting/etcd-prefix")},
				Explains: waysIn(n, o.peers()),
				Remedies: finding.Remedies{Now: []finding.Remedy{
					{Text: finding.Text{EN: "see why flanneld has no lease, and start it anew", KO: "flanneld에 lease가 없는 이유를 확인하고 다시 시작합니다"}, Command: "systemctl status flanneld; journalctl -u flanneld -n 50; systemctl restart flanneld", Machine: n},
				}},
			}
			p.Report(f)
		}
		return // Every machine reads the same store.
	}
}

// withoutLease are the nodes that should hold one of a machine's leases and hold none. Only a node's own
// machine tells whether flannel runs there at all, and by which addresses flannel may know it.
func (v *flannelView) withoutLease(m snapshot.Machine, leases []holder) []string {
	has := map[string]bool{}
	for _, h := range leases {
		has[h.node] = true
	}
	return slices.DeleteFunc(v.expected(m), func(n string) bool {
		machine, reports := v.pass.Machine(n)
		return has[n] || !reports || machine.Value("flannel/store") != "etcd"
	})
}

// expected are the nodes that should hold a lease, as far as a machine or the API server knows.
func (v *flannelView) expected(m snapshot.Machine) []string {
	var out []string
	for _, n := range snapshot.List[*corev1.Node](v.pass.Snapshot) {
		if n.DeletionTimestamp == nil && v.pass.Now().Sub(n.CreationTimestamp.Time) > 2*time.Minute && n.Labels[corev1.LabelOSStable] != "windows" {
			out = append(out, n.Name)
		}
	}
	if len(out) > 0 {
		return out
	}
	return []string{m.Node()}
}

var _ = Catalog.Add(rule.Rule{
	Code:  "FlannelLeaseOrphaned",
	Title: finding.Text{EN: "a flannel lease belongs to no node", KO: "어느 노드에도 속하지 않는 flannel lease가 있습니다"},
	Doc: finding.Text{
		EN: "A lease in flannel's etcd has an address that no Node has: its machine was removed, or got another address. Until the lease ends (a day at most; never for a reservation) its subnet is not given to another machine, and the others keep sending to the old address. " +
			"Machines that take part in flannel without being nodes have such leases rightly, and keep them renewed; a lease that is renewed is left alone.",
		KO: "flannel etcd에 있는 lease의 주소를 가진 Node가 없습니다. 머신이 제거되었거나 주소가 바뀐 경우입니다. lease가 만료될 때까지(최대 하루, 예약이면 만료 없음) 그 subnet은 다른 머신에 할당되지 않고 다른 머신은 예전 주소로 계속 보냅니다. " +
			"노드가 아니면서 flannel에 참여하는 머신의 lease는 정상이며 계속 갱신됩니다. 갱신되고 있는 lease는 대상이 아닙니다.",
	},
	Link: "https://github.com/flannel-io/flannel/blob/master/Documentation/reservations.md", Severity: finding.Info,
	Needs: flannelNeeds(), Machine: flannelEvidence, Detect: flannelLeaseOrphaned,
})

func flannelLeaseOrphaned(p *rule.Pass) {
	v := readFlannel(p)
	if !v.whole || len(v.byIP) == 0 {
		return
	}
	said := map[netip.Prefix]bool{}
	for _, m := range p.Machines() {
		if m.Value("flannel/store") != "etcd" {
			continue
		}
		leases := v.leases(m)
		// A node without a lease may be this one's, under another address.
		if slices.ContainsFunc(v.expected(m), func(n string) bool {
			return !slices.ContainsFunc(leases, func(h holder) bool { return h.node == n })
		}) {
			continue
		}
		for _, h := range leases {
			word := func(w string) snapshot.EvidenceKey { return snapshot.KeyOf("flannel", "lease", h.subnet.String(), w) }
			ttl, known := m.Int(word("ttl"))
			reserved := m.True(word("reserved"))
			if h.node != "" || said[h.subnet] || !reserved && (!known || time.Duration(ttl)*time.Second >= defaultMargin*time.Minute-lateBy) {
				continue
			}
			said[h.subnet] = true
			p.Report(finding.Finding{
				Subject: finding.Subject{Kind: "FlannelLease", Name: h.subnet.String()}, Mechanism: v1alpha1.MechanismMissing,
				Title: finding.Textf("flannel lease %s belongs to no node: %s is nobody's address", "flannel lease %s: 주소 %s를 가진 노드가 없습니다", h.subnet, h.publicIP),
				Why: finding.Text{
					EN: "Nobody renews it. Until it ends its subnet is given to no machine, and the others keep entries that lead to the old address.",
					KO: "갱신하는 머신이 없습니다. 만료될 때까지 그 subnet은 할당되지 않고 다른 머신에는 예전 주소를 가리키는 항목이 남습니다.",
				},
				Evidence: []finding.Evidence{h.said, m.Evidence(word("reserved"))},
				Remedies: finding.Remedies{Now: []finding.Remedy{{
					Text:    finding.Text{EN: "take the lease away, once the machine is surely gone", KO: "머신이 확실히 없어졌으면 lease를 지웁니다"},
					Command: "etcdctl --endpoints=" + m.Value("flannel/setting/etcd-endpoints") + " del " + m.Value("flannel/setting/etcd-prefix") + "/subnets/" + strings.ReplaceAll(h.subnet.String(), "/", "-"), Machine: m.Node(),
				}}},
			})
		}
	}
}
