package network

import (
	"net/netip"
	"slices"
	"strings"

	corev1 "k8s.io/api/core/v1"

	"github.com/maek-dev/maek/api/maek/v1alpha1"
	"github.com/maek-dev/maek/internal/finding"
	"github.com/maek-dev/maek/internal/rule"
	"github.com/maek-dev/maek/internal/snapshot"
)

var _ = Catalog.Add(rule.Rule{
	Code:  "PodBridgeOutsideSubnet",
	Title: finding.Text{EN: "a machine gives its pods addresses of another subnet", KO: "머신이 Pod에 다른 subnet의 주소를 할당합니다"},
	Doc: finding.Text{
		EN: "The other machines send to a node for the subnet that it holds. Where its pod bridge (cni0, or docker0 where Docker runs the containers), or the range in its first plugin configuration, is another one, pods there have addresses " +
			"that lead elsewhere: to another node, which may have the same range, or nowhere. It happens when a node gets a new subnet and the old bridge stays, and when a configuration was copied from another machine. " +
			"Bridges without an address, docker0 beside another network plugin, and networks other than flannel's are left alone.",
		KO: "다른 머신은 노드가 가진 subnet을 보고 트래픽을 보냅니다. Pod bridge(cni0, Docker로 컨테이너를 실행하면 docker0)나 첫 번째 플러그인 설정의 범위가 이와 다르면 Pod의 주소가 다른 노드를 가리키거나 아무 데도 닿지 않습니다. " +
			"노드가 새 subnet을 받았는데 예전 bridge가 남았거나, 다른 머신의 설정을 복사했을 때 생깁니다. 주소가 없는 bridge, 다른 네트워크 플러그인과 함께 있는 docker0, flannel이 아닌 네트워크는 대상이 아닙니다.",
	},
	Link: "https://github.com/flannel-io/flannel/blob/master/Documentation/troubleshooting.md", Severity: finding.Critical,
	Needs: append(flannelNeeds(), rule.Optional[*corev1.Pod]()), Machine: flannelEvidence, Detect: podBridgeOutsideSubnet,
})

func podBridgeOutsideSubnet(p *rule.Pass) {
	v := readFlannel(p)
	for _, m := range p.Machines() {
		o := v.of(m)
		if o.own == nil || o.own.changing {
			continue
		}
		f := finding.Finding{Subject: m.Subject("Machine", m.Node()), Mechanism: v1alpha1.MechanismMisconfigured}
		says, strange := bridgeFaults(m, *o.own, &f)
		if len(says) == 0 {
			continue
		}
		for _, h := range o.peers() {
			if slices.ContainsFunc(strange, h.subnet.Overlaps) {
				says = append(says, finding.Textf("These addresses are node %s's: traffic for such pods ends there.", "이 주소는 노드 %s의 것이므로 그런 Pod로 가는 트래픽이 그 노드로 갑니다.", h.name()))
				f.Evidence = append(f.Evidence, h.said)
			}
		}
		f.Evidence = append(f.Evidence, o.own.said)
		f.Title = finding.Textf("node %s: its pods get addresses outside its subnet %s", "노드 %s: Pod가 노드의 subnet %s 밖의 주소를 받습니다", m.Node(), o.own.subnet)
		f.Why = finding.Join(" ", append(says, finding.Textf("The other nodes send only %s there.", "다른 노드는 %s만 이 노드로 보냅니다.", o.own.subnet))...)
		f.Explains = podsOutside(p.Snapshot, m.Node(), o.own.subnet)
		f.Remedies = finding.Remedies{
			Now: []finding.Remedy{
				{Text: finding.Text{EN: "drain the node, so that no pod keeps such an address", KO: "노드를 drain하여 그런 주소를 가진 Pod를 없앱니다"}, Command: "kubectl drain " + m.Node() + " --ignore-daemonsets --delete-emptydir-data"},
				{Text: finding.Textf("put right what says another range: a plugin configuration is to name %s, and Docker is to be started with flannel's options", "다른 범위를 지정한 곳을 고칩니다. 플러그인 설정은 %s를 지정하고 Docker는 flannel 옵션으로 시작해야 합니다", o.own.subnet), Command: "grep -H subnet /etc/cni/net.d/* /run/flannel/subnet.env", Machine: m.Node()},
				{Text: finding.Text{EN: "take the bridge away; the next pod makes it anew, after the configuration", KO: "bridge를 지웁니다. 다음 Pod가 설정에 따라 다시 만듭니다"}, Command: "ip link del cni0; systemctl restart kubelet", Machine: m.Node()},
				{Text: finding.Text{EN: "let the node serve again", KO: "노드를 다시 사용합니다"}, Command: "kubectl uncordon " + m.Node()},
			},
			Later: []finding.Remedy{{Text: finding.Text{EN: "write plugin configurations from /run/flannel/subnet.env on each machine (flannel's plugin does), never copy them", KO: "플러그인 설정은 각 머신의 /run/flannel/subnet.env를 기준으로 만들고(flannel 플러그인이 그렇게 합니다) 다른 머신에서 복사하지 않습니다"}}},
		}
		p.Report(f)
	}
}

// bridgeFaults says which bridges and configurations give addresses outside a node's subnet, and which
// ranges those are.
func bridgeFaults(m snapshot.Machine, own holder, f *finding.Finding) (says []finding.Text, strange []netip.Prefix) {
	bridges := []string{"cni0"}
	if m.Value("flannel/docker/bip") != "" && m.Value("cni/first") == "" {
		bridges = append(bridges, "docker0")
	}
	for _, bridge := range bridges {
		key := deviceKey(bridge, "addresses")
		addresses := ipv4Prefixes(m.Value(key))
		if len(addresses) == 0 || slices.ContainsFunc(addresses, own.holds) {
			continue
		}
		says = append(says, finding.Textf("The bridge %s has %s.", "bridge %s의 주소는 %s입니다.", bridge, m.Value(key)))
		f.Field, f.Evidence, strange = bridge, append(f.Evidence, m.Evidence(key)), append(strange, addresses...)
	}
	if first := m.Value("cni/first"); first != "" {
		key := snapshot.KeyOf("cni", "configuration", first, "ranges")
		ranges := ipv4Prefixes(m.Value(key))
		if len(ranges) > 0 && m.Value(snapshot.KeyOf("cni", "configuration", first, "bridge")) != "" && !slices.ContainsFunc(ranges, own.holds) {
			says = append(says, finding.Textf("The plugin configuration %s gives addresses out of %s.", "플러그인 설정 %s가 %s에서 주소를 할당합니다.", first, m.Value(key)))
			f.Field, f.Evidence, strange = "/etc/cni/net.d/"+first, append(f.Evidence, m.Evidence(key)), append(strange, ranges...)
			f.Since = m.Since(key)
		}
	}
	return says, strange
}

// holds tells whether a prefix lies in a holder's subnet.
func (h holder) holds(p netip.Prefix) bool {
	return h.subnet.Contains(p.Addr()) && p.Bits() >= h.subnet.Bits()
}

func ipv4Prefixes(text string) []netip.Prefix {
	var out []netip.Prefix
	for word := range strings.FieldsSeq(text) {
		if p, err := netip.ParsePrefix(word); err == nil && p.Addr().Is4() {
			out = append(out, p)
		}
	}
	return out
}

// podsOutside are the pods on a node whose addresses lie outside its subnet.
func podsOutside(s *snapshot.Snapshot, node string, subnet netip.Prefix) []finding.Subject {
	var out []finding.Subject
	for _, pod := range s.PodsOn(node) {
		address, err := netip.ParseAddr(pod.Status.PodIP)
		if err == nil && address.Is4() && !pod.Spec.HostNetwork && !snapshot.PodDone(pod) && !subnet.Contains(address) {
			out = append(out, snapshot.SubjectOf(pod))
		}
	}
	return out
}
