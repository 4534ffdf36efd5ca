package network

import (
	"maps"
	"net/netip"
	"slices"

	"github.com/maek-dev/maek/internal/finding"
	"github.com/maek-dev/maek/internal/rule"
	"github.com/maek-dev/maek/internal/snapshot"
)

var _ = Catalog.Add(rule.Rule{
	Code:  "FlannelConfigMismatch",
	Title: finding.Text{EN: "a node's flannel does not fit the others", KO: "노드의 flannel 설정이 다른 노드와 맞지 않습니다"},
	Doc: finding.Text{
		EN: "Machines understand each other only with one network, one backend, one network identifier and one store. Where a node's subnet lies outside the configured network, where one announces another backend or identifier than most, reads its subnets from another store or prefix " +
			"in etcd than most (a flag given twice: the last one counts), or where the store holds no configuration, that node's pods and the others' do not reach each other, or its flanneld does not start. A tie names nobody.",
		KO: "머신들은 네트워크, backend, VNI, 저장소가 같아야 서로 통신합니다. 노드의 subnet이 설정된 네트워크 밖에 있거나, 대부분과 다른 backend나 VNI를 알리거나, 대부분과 다른 저장소나 etcd prefix를 읽거나(플래그를 두 번 주면 마지막 값이 적용됨), 저장소에 설정이 없으면 " +
			"그 노드의 Pod와 다른 노드의 Pod가 서로 닿지 않거나 flanneld가 시작하지 못합니다. 수가 같으면 아무도 지목하지 않습니다.",
	},
	Link: "https://github.com/flannel-io/flannel/blob/master/Documentation/configuration.md", Severity: finding.Warning,
	Needs: flannelNeeds(), Machine: flannelEvidence, Detect: flannelConfigMismatch,
})

// oddity is something in which a node differs.
type oddity struct {
	says     finding.Text
	evidence []finding.Evidence
	explains []finding.Subject
}

func flannelConfigMismatch(p *rule.Pass) {
	v := readFlannel(p)
	found := map[string][]oddity{}
	for _, m := range p.Machines() {
		o := v.of(m)
		found[m.Node()] = append(found[m.Node()], outsideNetwork(m, o)...)
		if m.Value("flannel/etcd/config") == "false" && m.True("flannel/etcd/answers") {
			found[m.Node()] = append(found[m.Node()], oddity{
				says:     finding.Textf("flannel's etcd holds no configuration under %s/config, and flanneld waits for one.", "flannel etcd의 %s/config에 설정이 없어 flanneld가 기다립니다.", m.Value("flannel/setting/etcd-prefix")),
				evidence: []finding.Evidence{m.Evidence("flannel/setting/etcd-prefix"), m.Evidence("flannel/etcd/config")},
			})
		}
		if why := m.Value("flannel/etcd/config-broken"); why != "" {
			found[m.Node()] = append(found[m.Node()], oddity{
				says:     finding.Textf("flannel's configuration in etcd cannot be understood: %s.", "etcd의 flannel 설정을 해석할 수 없습니다: %s.", why),
				evidence: []finding.Evidence{m.Evidence("flannel/etcd/config-broken")},
			})
		}
	}
	for _, odd := range []map[string][]oddity{oddHolders(v), oddMachines(p.Machines())} {
		for node, all := range odd {
			found[node] = append(found[node], all...)
		}
	}
	for _, node := range slices.Sorted(maps.Keys(found)) {
		if len(found[node]) > 0 {
			p.Report(oddFinding(p, node, found[node]))
		}
	}
}

// outsideNetwork tells of a node whose subnet is no part of the configured network.
func outsideNetwork(m snapshot.Machine, o overlay) []oddity {
	key := snapshot.EvidenceKey("flannel/config/network")
	network, err := netip.ParsePrefix(m.Value(key))
	if err != nil || o.own == nil || network.Contains(o.own.subnet.Addr()) && o.own.subnet.Bits() >= network.Bits() {
		return nil
	}
	return []oddity{{
		says:     finding.Textf("Its subnet %s lies outside flannel's network %s.", "subnet %s가 flannel 네트워크 %s 밖에 있습니다.", o.own.subnet, network),
		evidence: []finding.Evidence{m.Evidence(key), o.own.said},
	}}
}
