package network

import (
	"net/netip"

	"github.com/maek-dev/maek/api/maek/v1alpha1"
	"github.com/maek-dev/maek/internal/finding"
	"github.com/maek-dev/maek/internal/rule"
	"github.com/maek-dev/maek/internal/snapshot"
)

var _ = Catalog.Add(rule.Rule{
	Code:  "FlannelSubnetFileMismatch",
	Title: finding.Text{EN: "flannel's subnet file does not fit the node", KO: "flannel subnet 파일이 노드와 맞지 않습니다"},
	Doc: finding.Text{
		EN: "flanneld writes the node's subnet, the whole network and the packet size to a file (/run/flannel/subnet.env), and network plugins take pods' addresses from there. Where it says another subnet than the node holds, " +
			"or another network than is configured, new pods get addresses that nobody sends to; where it is gone although flannel is in use, no pod with flannel's plugin starts. A flanneld that announced itself in the last minute and a half is left alone, " +
			"and so is a missing file where the first plugin configuration is not flannel's.",
		KO: "flanneld는 노드의 subnet, 전체 네트워크, 패킷 크기를 파일(/run/flannel/subnet.env)에 기록하고 네트워크 플러그인은 이를 보고 Pod 주소를 정합니다. 파일의 subnet이 노드가 가진 것과 다르거나 네트워크가 설정과 다르면 새 Pod가 아무도 보내지 않는 주소를 받습니다. " +
			"flannel을 쓰는데 파일이 없으면 flannel 플러그인으로 Pod가 시작되지 않습니다. 알린 지 1분 30초가 안 된 flanneld, 그리고 첫 번째 플러그인 설정이 flannel이 아닐 때의 파일 부재는 대상이 아닙니다.",
	},
	Link: "https://github.com/flannel-io/flannel/blob/master/Documentation/running.md", Severity: finding.Warning,
	Needs: flannelNeeds(), Machine: flannelEvidence, Detect: flannelSubnetFileMismatch, Causes: []rule.Cause{flannelStopped},
})

func flannelSubnetFileMismatch(p *rule.Pass) {
	v := readFlannel(p)
	for _, m := range p.Machines() {
		o := v.of(m)
		if o.own == nil || o.own.changing || !m.Looked("flannel") {
			continue
		}
		if f, ok := subnetFileFinding(m, *o.own); ok {
			p.Report(f)
		}
	}
}

func subnetFileFinding(m snapshot.Machine, own holder) (finding.Finding, bool) {
	f := finding.Finding{
		Subject: m.Subject("File", "/run/flannel/subnet.env"), Mechanism: v1alpha1.MechanismMisconfigured,
		Remedies: finding.Remedies{
			Now: []finding.Remedy{
				restartFlannel(m),
				{Text: finding.Text{EN: "then see what it wrote", KO: "다시 기록된 내용을 확인합니다"}, Command: "cat /run/flannel/subnet.env", Machine: m.Node()},
			},
			Later: []finding.Remedy{{Text: finding.Text{
				EN: "let nobody but flanneld write or restore the file: keep /run a tmpfs, and out of images and backups",
				KO: "flanneld만 이 파일을 기록하게 합니다. /run은 tmpfs로 두고 이미지나 백업에 포함하지 않습니다",
			}}},
		},
	}
	path := m.Value("flannel/subnet-file/path")
	if path == "" {
		if !firstPluginIs(m, "flannel") {
			return f, false
		}
		f.Mechanism = v1alpha1.MechanismMissing
		f.Title = finding.Textf("node %s: flannel's subnet file is gone, and no pod can start", "노드 %s: flannel subnet 파일이 없어 Pod를 시작할 수 없습니다", m.Node())
		f.Why = finding.Text{EN: "The network plugin takes the node's subnet from it. Pods that run are not concerned.", KO: "네트워크 플러그인이 이 파일에서 노드의 subnet을 읽습니다. 실행 중인 Pod에는 영향이 없습니다."}
		f.Evidence = []finding.Evidence{{Source: "machine " + m.Node(), Path: "flannel subnet-file", Value: "absent"}, own.said}
		return f, true
	}
	f.Subject.Name, f.Since = path, m.Since("flannel/subnet-file/path")
	var says []finding.Text
	subnet, err := netip.ParsePrefix(m.Value("flannel/subnet-file/subnet"))
	if err != nil || subnet.Masked() != own.subnet {
		says = append(says, finding.Textf("It says FLANNEL_SUBNET=%s, and the node holds %s.", "FLANNEL_SUBNET=%s인데 노드가 가진 subnet은 %s입니다.", m.Value("flannel/subnet-file/subnet"), own.subnet))
		f.Evidence = append(f.Evidence, m.Evidence("flannel/subnet-file/subnet"), own.said)
	}
	configured := m.Value("flannel/config/network")
	if network := m.Value("flannel/subnet-file/network"); configured != "" && network != "" && network != configured {
		says = append(says, finding.Textf("It says FLANNEL_NETWORK=%s, and %s is configured.", "FLANNEL_NETWORK=%s인데 설정된 값은 %s입니다.", network, configured))
		f.Evidence = append(f.Evidence, m.Evidence("flannel/subnet-file/network"), m.Evidence("flannel/config/network"))
	}
	if len(says) == 0 {
		return f, false
	}
	f.Title = finding.Textf("node %s: %s does not fit the node", "노드 %s: %s 파일이 노드와 맞지 않습니다", m.Node(), path)
	f.Why = finding.Join(" ", append(says, finding.Text{EN: "New pods get addresses after it, to which the other nodes do not send.", KO: "새 Pod가 이 파일에 따라 주소를 받지만 다른 노드는 그 주소로 보내지 않습니다."})...)
	return f, true
}

// firstPluginIs tells whether the configuration that the runtime takes calls a plugin.
func firstPluginIs(m snapshot.Machine, plugin string) bool {
	first := m.Value("cni/first")
	return first != "" && leads(m.Value(snapshot.KeyOf("cni", "configuration", first, "plugins")), plugin)
}
