package node

import (
	"slices"

	"github.com/maek-dev/maek/api/maek/v1alpha1"
	"github.com/maek-dev/maek/internal/finding"
	"github.com/maek-dev/maek/internal/rule"
	"github.com/maek-dev/maek/internal/snapshot"
)

var _ = Catalog.Add(rule.Rule{
	Code: "KubeletConfigDiffers",
	Title: finding.Text{
		EN: "kubelet is configured otherwise than on the other nodes",
		KO: "kubelet 설정이 다른 노드와 다릅니다",
	},
	Doc: finding.Text{
		EN: "A setting that one cluster has once (the address of the cluster's DNS, its domain) or that goes with the container runtime (the cgroup driver) is another in this node's kubelet configuration than on all others, of which there are at " +
			"least two: pods here cannot resolve names, or are killed under memory pressure in odd ways. Settings that may well differ (maxPods, eviction thresholds), and clusters where many values are in use, are left alone.",
		KO: "클러스터에 하나만 있어야 하는 설정(클러스터 DNS 주소, 도메인)이나 컨테이너 런타임과 맞아야 하는 설정(cgroup driver)이 이 노드의 kubelet 설정에서만 두 대 이상의 나머지 노드와 다릅니다. 이 노드의 Pod는 이름을 해석하지 못하거나 " +
			"memory 부족 때 비정상적으로 종료될 수 있습니다. 달라도 되는 설정(maxPods, eviction 기준)과 여러 값을 쓰는 클러스터는 대상이 아닙니다.",
	},
	Link:     "https://kubernetes.io/docs/tasks/administer-cluster/kubelet-config-file/",
	Severity: finding.Warning,
	Machine:  []snapshot.EvidenceKey{"kubelet/setting/*", "kubelet/config/path", "kubelet/config/modified"},
	Detect:   detectKubeletConfigDiffers,
})

// sameEverywhere are the settings that all nodes of a cluster have in common.
var sameEverywhere = []string{"clusterDNS", "clusterDomain", "cgroupDriver"}

func detectKubeletConfigDiffers(p *rule.Pass) {
	machines := p.Machines()
	other := map[string]finding.Finding{}
	for _, setting := range sameEverywhere {
		key := snapshot.KeyOf("kubelet", "setting", setting)
		of := map[string][]snapshot.Machine{}
		for _, m := range machines {
			if v := m.Value(key); v != "" {
				of[v] = append(of[v], m)
			}
		}
		if len(of) != 2 {
			continue
		}
		var usual, odd string
		for v, ms := range of {
			if len(ms) == 1 {
				odd = v
			} else {
				usual = v
			}
		}
		if odd == "" || usual == "" {
			continue
		}
		m := of[odd][0]
		why := finding.Textf("%s is %s here and %s on %d other machines.", "%s 값이 여기에서는 %s이고 다른 머신 %[4]d대에서는 %[3]s입니다.", setting, odd, usual, len(of[usual]))
		f, more := other[m.Node()]
		if !more {
			f = configDiffers(m, setting)
		}
		f.Why = finding.Join(" ", f.Why, why)
		f.Evidence = append(f.Evidence, m.Evidence(key), of[usual][0].Evidence(key))
		other[m.Node()] = f
	}
	for _, m := range machines {
		if f, ok := other[m.Node()]; ok {
			p.Report(f)
		}
	}
}

func configDiffers(m snapshot.Machine, setting string) finding.Finding {
	path := m.Value("kubelet/config/path")
	f := finding.Finding{
		Subject: m.Subject("File", path), Mechanism: v1alpha1.MechanismMisconfigured, Field: setting,
		Title: finding.Textf("machine %s: its kubelet has another %s than all others", "머신 %s: kubelet의 %s 설정이 나머지와 다릅니다", m.Node(), setting),
		Remedies: finding.Remedies{Now: []finding.Remedy{
			{Text: finding.Text{EN: "set it as on the others", KO: "다른 머신과 같게 설정합니다"}, Command: "grep -nA2 '^" + setting + ":' " + path, Machine: m.Node()},
			{Text: finding.Text{EN: "then restart the kubelet; new pods get the new value, running ones keep the old", KO: "그런 다음 kubelet을 재시작합니다. 새 Pod부터 적용됩니다"}, Command: "systemctl restart kubelet", Machine: m.Node()},
		}},
	}
	if slices.Contains([]string{"clusterDNS", "clusterDomain"}, setting) {
		f.Why = finding.Text{EN: "Pods on this machine ask another DNS than the cluster's, so that names of Services may not resolve.", KO: "이 머신의 Pod는 클러스터와 다른 DNS 설정을 사용하므로 Service 이름이 해석되지 않을 수 있습니다."}
	}
	return f
}
