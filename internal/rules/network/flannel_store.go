package network

import (
	"net/netip"
	"slices"
	"strings"

	"github.com/maek-dev/maek/api/maek/v1alpha1"
	"github.com/maek-dev/maek/internal/finding"
	"github.com/maek-dev/maek/internal/rule"
	"github.com/maek-dev/maek/internal/snapshot"
)

var _ = Catalog.Add(rule.Rule{
	Code:  "FlannelStoreUnreachable",
	Title: finding.Text{EN: "flannel's etcd does not answer", KO: "flannel의 etcd가 응답하지 않습니다"},
	Doc: finding.Text{
		EN: "Where flannel keeps subnets in etcd, flanneld must reach it to renew its lease within a day, to learn of nodes that join or go, and to start at all. Asked at the endpoints, and with the certificates, of flanneld's own settings, etcd gave no answer from this machine. " +
			"Traffic between nodes that are known goes on. Clusters that keep subnets in the API server are left alone.",
		KO: "flannel이 subnet을 etcd에 보관하면 flanneld는 하루 안에 lease를 갱신하고, 노드의 참여와 이탈을 알고, 시작하기 위해 etcd에 연결해야 합니다. flanneld 설정의 endpoint와 인증서로 이 머신에서 요청했지만 etcd가 응답하지 않았습니다. " +
			"이미 알려진 노드 사이의 트래픽은 계속됩니다. subnet을 API 서버에 보관하는 클러스터는 대상이 아닙니다.",
	},
	Link: "https://github.com/flannel-io/flannel/blob/master/Documentation/configuration.md", Severity: finding.Warning,
	Machine: []snapshot.EvidenceKey{"flannel/etcd/*", "flannel/setting/*"}, Detect: flannelStoreUnreachable,
})

func flannelStoreUnreachable(p *rule.Pass) {
	for _, m := range p.Machines() {
		if m.Value("flannel/etcd/answers") != "false" {
			continue
		}
		endpoints := m.Value("flannel/setting/etcd-endpoints")
		p.Report(finding.Finding{
			Subject: m.Subject("Endpoint", "etcd of flannel"), Mechanism: v1alpha1.MechanismUnreachable, Field: "etcd-endpoints",
			Title: finding.Textf("node %s: flannel's etcd at %s does not answer", "노드 %s: flannel의 etcd(%s)가 응답하지 않습니다", m.Node(), endpoints),
			Why: finding.Textf("Asked as flanneld would ask: %s. Traffic between known nodes goes on; a lease that is not renewed within a day ends, and flanneld does not start anew.",
				"flanneld와 같은 방식으로 요청한 결과: %s. 이미 알려진 노드 사이의 트래픽은 계속되지만, 하루 안에 갱신되지 않은 lease는 만료되고 flanneld는 다시 시작하지 못합니다.", finding.Quote(m.Value("flannel/etcd/failure"))),
			Evidence: []finding.Evidence{m.Evidence("flannel/setting/etcd-endpoints"), m.Evidence("flannel/etcd/failure")},
			Remedies: finding.Remedies{
				Now: []finding.Remedy{{
					Text: finding.Text{EN: "see whether etcd answers there, with flanneld's certificates where it has some", KO: "flanneld의 인증서가 있으면 그것으로 etcd가 응답하는지 확인합니다"}, Machine: m.Node(),
					Command: "etcdctl --endpoints=" + endpoints + certificateFlags(m) + " endpoint health; journalctl -u flanneld -n 20",
				}},
				Later: []finding.Remedy{{Text: finding.Text{EN: "name all members of etcd in --etcd-endpoints", KO: "--etcd-endpoints에 etcd의 모든 멤버를 적습니다"}}},
			},
		})
	}
}

// certificateFlags are etcdctl's flags for the certificates that flanneld uses.
func certificateFlags(m snapshot.Machine) string {
	var flags strings.Builder
	for _, f := range []struct{ setting, flag string }{{"etcd-cafile", "cacert"}, {"etcd-certfile", "cert"}, {"etcd-keyfile", "key"}} {
		if file := m.Value(snapshot.KeyOf("flannel", "setting", f.setting)); file != "" {
			flags.WriteString(" --" + f.flag + "=" + file)
		}
	}
	return flags.String()
}

var _ = Catalog.Add(rule.Rule{
	Code:  "FlannelSubnetsExhausted",
	Title: finding.Text{EN: "flannel has hardly any subnet left for new nodes", KO: "새 노드에 할당할 flannel subnet이 거의 없습니다"},
	Doc: finding.Text{
		EN: "Each node takes one subnet out of flannel's network. When all are taken, a node that joins gets none: its flanneld does not start, and no pod on it has a network. From nine tenths it is a remark, when none is left a warning. " +
			"Networks of four subnets and less are only judged when full, and the range is read from flannel's configuration on a machine.",
		KO: "노드마다 flannel 네트워크에서 subnet을 하나씩 가져갑니다. 모두 할당되면 새로 참여하는 노드는 subnet을 받지 못해 flanneld가 시작하지 못하고 Pod에 네트워크가 없습니다. 90% 이상이면 참고로 알리고, 남은 것이 없으면 경고입니다. " +
			"subnet이 4개 이하인 네트워크는 가득 찼을 때만 판단하며, 범위는 머신에 있는 flannel 설정에서 읽습니다.",
	},
	Link: "https://github.com/flannel-io/flannel/blob/master/Documentation/configuration.md", Severity: finding.Info, Gravest: finding.Warning,
	Needs: flannelNeeds(), Machine: flannelEvidence, Detect: flannelSubnetsExhausted,
})

func flannelSubnetsExhausted(p *rule.Pass) {
	v := readFlannel(p)
	for _, m := range p.Machines() {
		network, err := netip.ParsePrefix(m.Value("flannel/config/network"))
		o := v.of(m)
		if err != nil || !network.Addr().Is4() || len(o.holders) == 0 {
			continue
		}
		used := slices.DeleteFunc(slices.Clone(o.holders), func(h holder) bool { return !network.Contains(h.subnet.Addr()) })
		if len(used) == 0 {
			continue
		}
		total := subnetsIn(network, used[0].subnet.Bits(), m.Value("flannel/store") == "etcd")
		left := total - len(used)
		if left > 0 && (total <= 4 || left*10 > total) {
			return
		}
		f := finding.Finding{
			Subject: finding.Subject{Kind: "FlannelNetwork", Name: network.String()}, Mechanism: v1alpha1.MechanismExhausted, Field: "Network", Severity: finding.Info,
			Title:    finding.Textf("flannel's network %s: %d of %d subnets for nodes are taken", "flannel 네트워크 %s: 노드용 subnet %[3]d개 중 %[2]d개가 할당되었습니다", network, len(used), total),
			Why:      finding.Textf("Each node takes one /%d. Left: %d. A node that joins when none is left gets no pod network.", "노드마다 /%d subnet을 하나씩 가져갑니다. 남은 수: %d. 남은 것이 없을 때 참여한 노드에는 Pod 네트워크가 없습니다.", used[0].subnet.Bits(), max(0, left)),
			Evidence: []finding.Evidence{m.Evidence("flannel/config/network"), used[len(used)-1].said},
			Remedies: finding.Remedies{Now: []finding.Remedy{{Text: finding.Text{
				EN: "take away Nodes or leases of machines that are gone; a larger network must be laid out anew, node by node, with flannel's configuration and the controller manager's --cluster-cidr changed together",
				KO: "없어진 머신의 Node나 lease를 지웁니다. 네트워크를 넓히려면 flannel 설정과 controller manager의 --cluster-cidr을 함께 바꾸고 노드별로 다시 구성해야 합니다",
			}}}},
		}
		if left <= 0 {
			f.Severity = finding.Warning
		}
		p.Report(f)
		return // It is one network for all.
	}
}

// subnetsIn is how many subnets of a length a network has. In etcd flannel leaves out the first one
// (flannel, pkg/subnet/config.go, SubnetMin).
func subnetsIn(network netip.Prefix, bits int, inEtcd bool) int {
	n := 1 << max(0, min(bits-network.Bits(), 20))
	if inEtcd {
		n--
	}
	return n
}
