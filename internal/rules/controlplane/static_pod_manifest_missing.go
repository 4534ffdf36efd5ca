package controlplane

import (
	"slices"

	"github.com/maek-dev/maek/api/maek/v1alpha1"
	"github.com/maek-dev/maek/internal/finding"
	"github.com/maek-dev/maek/internal/rule"
	"github.com/maek-dev/maek/internal/snapshot"
)

var _ = Catalog.Add(rule.Rule{
	Code:  "StaticPodManifestMissing",
	Title: finding.Text{EN: "manifest of a control-plane component is gone", KO: "control plane 컴포넌트의 manifest가 없습니다"},
	Doc: finding.Text{
		EN: "A control-plane machine has manifests of some control-plane components and none of another, which no unit runs there either: the file was moved away or deleted. A machine that runs only etcd, one that has no etcd because " +
			"the cluster's is elsewhere, and machines without any such manifest are left alone.",
		KO: "control plane 머신에 일부 컴포넌트의 manifest는 있는데 다른 컴포넌트의 manifest가 없고, 이를 실행하는 유닛도 없습니다. 파일이 옮겨졌거나 삭제되었습니다. etcd만 실행하는 머신, etcd가 외부에 있어 없는 머신, " +
			"manifest가 하나도 없는 머신은 대상이 아닙니다.",
	},
	Link:     "https://kubernetes.io/docs/reference/setup-tools/kubeadm/implementation-details/#generate-static-pod-manifests-for-control-plane-components",
	Severity: finding.Critical,
	Machine:  append(append(manifestKeys(), addressKeys()...), "component/*/processes"),
	Detect:   detectStaticPodManifestMissing,
})

// trio are the components that every machine of a control plane runs.
var trio = []string{apiServerComponent, "kube-controller-manager", "kube-scheduler"}

func controlPlaneComponent(name string) bool { return name == "etcd" || slices.Contains(trio, name) }

func detectStaticPodManifestMissing(p *rule.Pass) {
	has := map[string]map[string]bool{}
	withEtcd, full := 0, 0
	for _, m := range p.Machines() {
		if !m.Looked("staticpods") || !m.Looked("components") {
			continue
		}
		defined := definedOn(m)
		count := 0
		for _, c := range trio {
			// As a unit or another program's part it needs no manifest.
			if m.Value(snapshot.KeyOf("component", c, "from")) != "" {
				defined[c] = true
			}
			if defined[c] {
				count++
			}
		}
		if count < 2 {
			continue // A worker, or a machine with a part of its own.
		}
		has[m.Node()] = defined
		if defined["etcd"] || m.Value("component/etcd/from") != "" {
			withEtcd++
		}
		full++
	}
	for _, m := range p.Machines() {
		defined := has[m.Node()]
		if defined == nil {
			continue
		}
		for _, c := range trio {
			if !defined[c] {
				p.Report(missingManifest(p, m, c))
			}
		}
		if !defined["etcd"] && m.Value("component/etcd/from") == "" && withEtcd >= 2 && withEtcd == full-1 {
			p.Report(missingManifest(p, m, "etcd"))
		}
	}
}

// definedOn are the pods that a machine's manifests define as kubeadm would. One that cannot be read is there:
// another rule tells of it. Other installers have other names for some of their pods, and namespaces of their own
// (OpenShift).
func definedOn(m snapshot.Machine) map[string]bool {
	out := map[string]bool{}
	for _, file := range manifestsOn(m) {
		if file.value("error") != "" || file.value("namespace") == "kube-system" {
			out[file.pod()] = true
		}
	}
	return out
}

func missingManifest(p *rule.Pass, m snapshot.Machine, component string) finding.Finding {
	folder := m.Value("static-pod-folder/path")
	file := folder + "/" + component + ".yaml"
	severity, effect := suffers(p, m, component)
	f := finding.Finding{
		Severity: severity, Subject: m.Subject("File", file), Mechanism: v1alpha1.MechanismMissing, Field: file,
		Title: finding.Textf("machine %s: the manifest of %s is gone", "머신 %s: %s manifest가 없습니다", m.Node(), component),
		Why: finding.Join(" ", finding.Textf("%[1]s holds the manifests of other control-plane components, and none of %[2]s: it was moved away or deleted, and the kubelet ended its pod.",
			"%[1]s 폴더에 다른 control plane 컴포넌트의 manifest는 있지만 %[2]s manifest가 없습니다. 옮겨졌거나 삭제되어 kubelet이 Pod를 종료했습니다.", folder, component), effect),
		Evidence: []finding.Evidence{{Source: "machine " + m.Node(), Path: folder, Value: "no manifest of " + component, At: finding.Timestamp(m.ObservedAt())}},
		Explains: harmed(p, m, component, file),
		Remedies: finding.Remedies{
			Now: []finding.Remedy{
				{
					Text:    finding.Text{EN: "look whether it was moved aside, and move it back", KO: "다른 곳으로 옮겨졌는지 찾아 되돌립니다"},
					Command: "find / -xdev -name '" + component + ".yaml*' -not -path '/proc/*' 2>/dev/null", Machine: m.Node(),
				},
			},
			Later: []finding.Remedy{{Text: finding.Text{EN: "keep manifests in version control, and change them with kubeadm rather than by hand", KO: "manifest를 버전 관리하고 직접 수정하는 대신 kubeadm으로 변경합니다"}}},
		},
	}
	// An etcd member's manifest holds its place in the cluster; kubeadm would write that of a new one.
	if component != "etcd" {
		f.Remedies.Now = append(f.Remedies.Now, finding.Remedy{
			Text:    finding.Text{EN: "else have kubeadm write it anew (with --config where the cluster was made with one)", KO: "없으면 kubeadm으로 다시 만듭니다(클러스터를 만들 때 쓴 설정이 있으면 --config로 지정합니다)"},
			Command: rewrite(component), Machine: m.Node(),
		})
	}
	return f
}

// rewrite is kubeadm's command for one manifest
// (https://kubernetes.io/docs/reference/setup-tools/kubeadm/kubeadm-init-phase/).
func rewrite(component string) string {
	switch component {
	case apiServerComponent:
		return "kubeadm init phase control-plane apiserver"
	case "kube-controller-manager":
		return "kubeadm init phase control-plane controller-manager"
	default:
		return "kubeadm init phase control-plane scheduler"
	}
}
