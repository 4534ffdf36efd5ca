package network

import (
	"cmp"
	"maps"
	"slices"

	"github.com/maek-dev/maek/api/maek/v1alpha1"
	"github.com/maek-dev/maek/internal/finding"
	"github.com/maek-dev/maek/internal/rule"
	"github.com/maek-dev/maek/internal/snapshot"
)

// oddHolders tells of nodes that announce another backend or network identifier than most. They and the
// others do not understand each other.
func oddHolders(v *flannelView) map[string][]oddity {
	holders := v.nodes
	for _, m := range v.pass.Machines() {
		if len(holders) == 0 {
			holders = v.of(m).holders
		}
	}
	out := map[string][]oddity{}
	for _, trait := range []struct {
		of   func(holder) string
		says func(value, usual string) finding.Text
	}{
		{func(h holder) string { return h.backend }, func(value, usual string) finding.Text {
			return finding.Textf("It runs the backend %s; most run %s.", "backend가 %s인데 대부분은 %s입니다.", value, usual)
		}},
		{func(h holder) string { return h.backend + " " + itoa(h.vni) }, func(value, usual string) finding.Text {
			return finding.Textf("It announces the network %s; most announce %s.", "알린 네트워크가 %s인데 대부분은 %s입니다.", value, usual)
		}},
	} {
		usual := mostly(holders, trait.of)
		for _, h := range holders {
			if value := trait.of(h); usual != "" && value != usual && !h.changing && h.node != "" && len(out[h.node]) == 0 {
				others := slices.DeleteFunc(slices.Clone(holders), func(o holder) bool { return trait.of(o) != usual })
				out[h.node] = append(out[h.node], oddity{says: trait.says(value, usual), evidence: []finding.Evidence{h.said}, explains: append(waysOut(h.node, others), waysIn(h.node, others)...)})
			}
		}
	}
	return out
}

// oddMachines tells of machines whose flanneld reads another store than most.
func oddMachines(machines []snapshot.Machine) map[string][]oddity {
	var running []snapshot.Machine
	for _, m := range machines {
		if m.Value("flannel/store") != "" {
			running = append(running, m)
		}
	}
	out := map[string][]oddity{}
	for _, key := range []snapshot.EvidenceKey{"flannel/store", "flannel/setting/etcd-prefix"} {
		usual := mostly(running, func(m snapshot.Machine) string { return m.Value(key) })
		for _, m := range running {
			value := m.Value(key)
			if usual == "" || value == usual || value == "" || len(out[m.Node()]) > 0 {
				continue
			}
			o := oddity{
				says:     finding.Textf("Its flanneld reads subnets from %s; most read them from %s.", "flanneld가 subnet을 %s에서 읽는데 대부분은 %s에서 읽습니다.", value, usual),
				evidence: []finding.Evidence{m.Evidence(key)},
			}
			over := snapshot.EvidenceKey("flannel/setting-overridden/etcd-prefix")
			if earlier := m.Value(over); earlier != "" && key == "flannel/setting/etcd-prefix" {
				o.says = finding.Join(" ", o.says, finding.Textf("The flag is given twice, and the last one counts: %s came before.", "플래그를 두 번 주었고 마지막 값이 적용됩니다. 앞의 값은 %s입니다.", earlier))
				o.evidence = append(o.evidence, m.Evidence(over))
			}
			out[m.Node()] = append(out[m.Node()], o)
		}
	}
	return out
}

// mostly is the most frequent value; empty where all agree, or where two are equally frequent.
func mostly[T any](all []T, value func(T) string) string {
	counts := map[string]int{}
	for _, t := range all {
		counts[value(t)]++
	}
	if len(counts) < 2 {
		return ""
	}
	ranked := slices.SortedFunc(maps.Keys(counts), func(a, b string) int { return cmp.Or(cmp.Compare(counts[b], counts[a]), cmp.Compare(a, b)) })
	if counts[ranked[0]] == counts[ranked[1]] {
		return ""
	}
	return ranked[0]
}

func oddFinding(p *rule.Pass, node string, all []oddity) finding.Finding {
	f := finding.Finding{
		Subject: finding.Subject{Kind: "Node", Name: node}, Mechanism: v1alpha1.MechanismMisconfigured,
		Title: finding.Textf("node %s: its flannel does not fit the configuration or the other nodes", "노드 %s: flannel이 설정 또는 다른 노드와 맞지 않습니다", node),
		Remedies: finding.Remedies{
			Now: []finding.Remedy{
				{Text: finding.Text{EN: "compare how flanneld is started here and on the other machines", KO: "이 머신과 다른 머신의 flanneld 시작 설정을 비교합니다"}, Command: "ps -o args= -C flanneld; cat /etc/sysconfig/flanneld /etc/default/flanneld /run/flannel/subnet.env 2>/dev/null", Machine: node},
			},
			Later: []finding.Remedy{{Text: finding.Text{
				EN: "give all machines one configuration of flannel, from one place; with the API server as its store, flannel's network is to be the controller manager's --cluster-cidr",
				KO: "모든 머신이 한곳에서 같은 flannel 설정을 받게 합니다. API 서버를 저장소로 쓰면 flannel의 네트워크는 controller manager의 --cluster-cidr과 같아야 합니다",
			}}},
		},
	}
	for _, o := range all {
		f.Why = finding.Join(" ", f.Why, o.says)
		f.Evidence = append(f.Evidence, o.evidence...)
		f.Explains = append(f.Explains, o.explains...)
	}
	if m, ok := p.Machine(node); ok {
		f.Remedies.Now = append(f.Remedies.Now, restartFlannel(m))
	}
	return f
}
