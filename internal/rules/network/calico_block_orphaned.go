package network

import (
	"regexp"
	"strings"
	"time"

	corev1 "k8s.io/api/core/v1"

	"github.com/maek-dev/maek/api/maek/v1alpha1"
	"github.com/maek-dev/maek/internal/finding"
	"github.com/maek-dev/maek/internal/rule"
	"github.com/maek-dev/maek/internal/snapshot"
)

var _ = Catalog.Add(rule.Rule{
	Code:  "CalicoBlockOrphaned",
	Title: finding.Text{EN: "Calico keeps addresses for nodes that are gone", KO: "Calico가 없어진 노드의 주소를 보유하고 있습니다"},
	Doc: finding.Text{
		EN: "Calico gives each node blocks of addresses and writes down whose each is (BlockAffinity). Blocks of a node that is gone stay taken where Calico's controllers did not clean up, and the pools run dry sooner than the nodes say. " +
			"Whose a block is, is read from the object's name. A cluster in which most such names are none of a Node's (Calico was given other names) and blocks younger than an hour are left alone.",
		KO: "Calico는 노드마다 주소 block을 할당하고 누구의 것인지 기록합니다(BlockAffinity). Calico controller가 정리하지 못하면 없어진 노드의 block이 남아 노드 수에 비해 일찍 주소가 부족해집니다. " +
			"block의 주인은 객체 이름에서 읽습니다. 이름 대부분이 Node 이름과 다른 클러스터(Calico에 다른 이름을 지정한 경우)와 만들어진 지 1시간이 안 된 block은 대상이 아닙니다.",
	},
	Link: "https://docs.tigera.io/calico/latest/reference/calicoctl/ipam/check", Severity: finding.Info,
	Needs: []rule.Need{rule.Whole[*corev1.Node]()}, CustomResources: true, Detect: calicoBlockOrphaned,
})

// calicoGroups are the API groups in which Calico keeps its objects.
var calicoGroups = map[string]bool{"crd.projectcalico.org": true, "projectcalico.org": true}

// blockName is the end of a BlockAffinity's name: the block, with dashes in the place of dots and the slash.
// What stands before it is the node's name (projectcalico/calico, libcalico-go/lib/backend/k8s/resources/blockaffinity.go).
var blockName = regexp.MustCompile(`-(\d+-\d+-\d+-\d+)-(\d+)$`)

// blockOf is the block that a BlockAffinity's name tells.
func blockOf(name string) string {
	m := blockName.FindStringSubmatch(name)
	return strings.ReplaceAll(m[1], "-", ".") + "/" + m[2]
}

func calicoBlockOrphaned(p *rule.Pass) {
	known := map[string]bool{}
	for _, n := range snapshot.List[*corev1.Node](p.Snapshot) {
		known[n.Name] = true
	}
	matched := 0
	var nodes []string
	orphans := map[string][]*snapshot.CustomResource{}
	total := 0
	for _, r := range p.CustomResources() {
		at := blockName.FindStringIndex(r.Name)
		if r.Kind.Kind != "BlockAffinity" || !calicoGroups[r.Kind.Group] || at == nil {
			continue
		}
		node := r.Name[:at[0]]
		switch {
		case known[node]:
			matched++
		case r.DeletionTimestamp == nil && p.Now().Sub(r.CreationTimestamp.Time) > leftoverBlock:
			total++
			if orphans[node] == nil {
				nodes = append(nodes, node)
			}
			orphans[node] = append(orphans[node], r)
		}
	}
	if total > matched {
		return
	}
	for _, node := range nodes {
		first := orphans[node][0]
		p.Report(finding.Finding{
			Subject: finding.Subject{Kind: "Node", Name: node}, Mechanism: v1alpha1.MechanismMissing,
			Title:    finding.Textf("node %s is gone, and Calico keeps %d blocks of addresses for it", "노드 %s: 없어졌지만 Calico가 주소 block %d개를 보유하고 있습니다", node, len(orphans[node])),
			Why:      finding.Textf("BlockAffinity %s and no Node %s exist. Other nodes get no addresses out of its blocks.", "BlockAffinity %s는 있지만 Node %s는 없습니다. 다른 노드는 이 block에서 주소를 받지 못합니다.", first.Name, node),
			Evidence: []finding.Evidence{{Source: "BlockAffinity " + first.Name, Path: ".metadata.name", Value: blockOf(first.Name)}},
			Remedies: finding.Remedies{
				Now: []finding.Remedy{
					{Text: finding.Text{EN: "see what Calico itself finds", KO: "Calico의 점검 결과를 확인합니다"}, Command: "calicoctl ipam check --show-problem-ips"},
					{Text: finding.Text{EN: "does Calico's controller, which cleans up, run", KO: "정리를 담당하는 Calico controller가 실행 중인지 확인합니다"}, Command: "kubectl get pods -A -l k8s-app=calico-kube-controllers"},
				},
				Later: []finding.Remedy{{Text: finding.Text{EN: "drain a node before it is removed, and keep calico-kube-controllers running", KO: "노드를 제거하기 전에 drain하고 calico-kube-controllers가 실행되게 합니다"}}},
			},
		})
	}
}

// leftoverBlock is how old a block of no known node must be: a node may be named before it has joined, and
// Calico's controller takes its time to clean up.
const leftoverBlock = time.Hour
