package network

import (
	"strings"
	"time"

	corev1 "k8s.io/api/core/v1"

	"github.com/maek-dev/maek/api/maek/v1alpha1"
	"github.com/maek-dev/maek/internal/finding"
	"github.com/maek-dev/maek/internal/rule"
	"github.com/maek-dev/maek/internal/snapshot"
)

var _ = Catalog.Add(rule.Rule{
	Code:  "CniConfigMissing",
	Title: finding.Text{EN: "a machine has no network plugin configuration", KO: "머신에 네트워크 플러그인 설정이 없습니다"},
	Doc: finding.Text{
		EN: "The container runtime finds no configuration of a network plugin in /etc/cni/net.d (files that end in .conf, .conflist or .json). The runtime then says that the network is not ready, the kubelet makes the node NotReady, and no pod but those on the " +
			"host's network starts; pods that run keep their network. Plugins that come as a DaemonSet write the file when they start, so the first minute is left alone, and so is a node that is ready: its runtime finds one elsewhere.",
		KO: "컨테이너 런타임이 /etc/cni/net.d에서 네트워크 플러그인 설정(.conf, .conflist, .json 파일)을 찾지 못합니다. 런타임이 네트워크가 준비되지 않았다고 알리고 kubelet이 노드를 NotReady로 만들며, hostNetwork Pod 외에는 시작되지 않습니다. 실행 중인 Pod의 네트워크는 유지됩니다. " +
			"DaemonSet으로 설치되는 플러그인은 시작할 때 파일을 기록하므로 처음 1분은 대상이 아닙니다. Ready인 노드는 런타임이 다른 곳에서 설정을 찾은 것이므로 대상이 아닙니다.",
	},
	Link: "https://kubernetes.io/docs/concepts/extend-kubernetes/compute-storage-net/network-plugins/", Severity: finding.Warning,
	Needs:   []rule.Need{rule.Optional[*corev1.Node]()},
	Machine: []snapshot.EvidenceKey{"cni/folder", "cni/configurations", "cluster/node/*/ready", "cluster/api", "cri/condition/NetworkReady/status", "kubelet/kubeconfig/path"}, For: time.Minute, Detect: cniConfigMissing,
})

func cniConfigMissing(p *rule.Pass) {
	for _, m := range p.Machines() {
		count, ok := m.Int("cni/configurations")
		if !ok || count > 0 || !m.Looked("cni") || readyNode(p, m) || m.True("cri/condition/NetworkReady/status") || !joined(p, m) {
			continue
		}
		folder := m.Value("cni/folder")
		p.Report(finding.Finding{
			Subject: m.Subject("File", folder), Mechanism: v1alpha1.MechanismMissing, Field: folder, Since: m.Since("cni/configurations"),
			Title: finding.Textf("node %s: there is no network plugin configuration in %s", "노드 %s: %s에 네트워크 플러그인 설정이 없습니다", m.Node(), folder),
			Why: finding.Text{
				EN: "The runtime takes the first file there that ends in .conf, .conflist or .json, and there is none. No pod but those on the host's network can start; pods that run keep their network.",
				KO: "런타임은 이 폴더에서 .conf, .conflist, .json으로 끝나는 첫 번째 파일을 사용하는데 파일이 없습니다. hostNetwork Pod 외에는 시작할 수 없고 실행 중인 Pod의 네트워크는 유지됩니다.",
			},
			Evidence: []finding.Evidence{m.Evidence("cni/configurations")},
			Explains: []finding.Subject{{Kind: "Node", Name: m.Node()}},
			Remedies: finding.Remedies{
				Now: []finding.Remedy{
					{Text: finding.Text{EN: "see whether the file was moved or renamed", KO: "파일이 옮겨졌거나 이름이 바뀌었는지 확인합니다"}, Command: "ls -la " + finding.ShellWord(folder) + " /etc/cni", Machine: m.Node()},
					{Text: finding.Text{EN: "have the network plugin write it again: start its pod or daemon on the machine anew", KO: "네트워크 플러그인의 Pod나 데몬을 이 머신에서 다시 시작하여 파일을 다시 기록하게 합니다"}, Command: "kubectl -n kube-system get pods -o wide --field-selector spec.nodeName=" + m.Node()},
				},
				Later: []finding.Remedy{{Text: finding.Text{EN: "put the file under the care of whatever installs machines, and let nothing else clean up /etc/cni", KO: "머신을 설치하는 도구가 이 파일을 관리하게 하고 다른 작업이 /etc/cni를 정리하지 않게 합니다"}}},
			},
		})
	}
}

// joined tells whether a machine is part of a cluster; an image on which all is installed is not yet.
func joined(p *rule.Pass, m snapshot.Machine) bool {
	_, known := snapshot.Get[*corev1.Node](p.Snapshot, "", m.Node())
	return known || m.Value("kubelet/kubeconfig/path") != "" || m.Value(snapshot.KeyOf("cluster", "node", m.Node(), "ready")) != ""
}

// readyNode tells whether the kubelet says that the node is ready: then the runtime has found a network
// plugin, in a folder that nobody else was told of.
func readyNode(p *rule.Pass, m snapshot.Machine) bool {
	n, ok := snapshot.Get[*corev1.Node](p.Snapshot, "", m.Node())
	if !ok {
		return m.Value("cluster/api") == "answers" && m.Value(snapshot.KeyOf("cluster", "node", m.Node(), "ready")) == "True"
	}
	c := snapshot.NodeCondition(n, corev1.NodeReady)
	return c != nil && c.Status == corev1.ConditionTrue
}

var _ = Catalog.Add(rule.Rule{
	Code:  "CniConfigInvalid",
	Title: finding.Text{EN: "a machine's network plugin configuration does not work", KO: "머신의 네트워크 플러그인 설정이 동작하지 않습니다"},
	Doc: finding.Text{
		EN: "The runtime takes the first configuration in /etc/cni/net.d by name, and that one is not valid JSON, names no plugin, or names a program that is in none of the plugin folders. No pod but those on the host's network starts on the machine. " +
			"Where a plugin's own file is there but comes later by name, that is said. Files that runtimes do not take (.bak, .tmp) are left alone.",
		KO: "런타임은 /etc/cni/net.d에서 이름순으로 첫 번째 설정을 사용하는데, 그 파일이 올바른 JSON이 아니거나, 플러그인이 없거나, 플러그인 폴더 어디에도 없는 프로그램을 가리킵니다. 이 머신에서 hostNetwork Pod 외에는 시작되지 않습니다. " +
			"다른 설정이 이름순으로 뒤에 있으면 함께 알립니다. 런타임이 사용하지 않는 파일(.bak, .tmp)은 대상이 아닙니다.",
	},
	Link: "https://www.cni.dev/docs/spec/#section-1-network-configuration-format", Severity: finding.Warning,
	Machine: []snapshot.EvidenceKey{"cni/folder", "cni/first", "cni/configuration/*/*", "cni/program-missing/*"}, For: time.Minute, Detect: cniConfigInvalid,
})

func cniConfigInvalid(p *rule.Pass) {
	for _, m := range p.Machines() {
		first := m.Value("cni/first")
		if first == "" {
			continue
		}
		file := m.Value("cni/folder") + "/" + first
		f := finding.Finding{
			Subject: m.Subject("File", file), Mechanism: v1alpha1.MechanismMisconfigured, Field: file, Since: m.Since("cni/first"),
			Explains: []finding.Subject{{Kind: "Node", Name: m.Node()}},
			Remedies: finding.Remedies{
				Now: []finding.Remedy{{Text: finding.Text{EN: "see the file, and which others there are", KO: "파일과 다른 설정 파일을 확인합니다"}, Command: "ls -l " + finding.ShellWord(m.Value("cni/folder")) + " /opt/cni/bin; cat " + finding.ShellWord(file), Machine: m.Node()}},
				Later: []finding.Remedy{{Text: finding.Text{
					EN: "write such files whole and then rename them, and remove a plugin's file when the plugin goes", KO: "파일을 완전히 쓴 뒤 이름을 바꾸는 방식으로 기록하고, 플러그인을 제거할 때 그 파일도 지웁니다",
				}}},
			},
		}
		missing := m.Names("cni/program-missing/*")
		broken := snapshot.KeyOf("cni", "configuration", first, "broken")
		switch {
		case m.Value(broken) != "":
			f.Title = finding.Textf("node %s: the network plugin configuration %s is not valid", "노드 %s: 네트워크 플러그인 설정(%s)이 올바르지 않습니다", m.Node(), file)
			f.Why = finding.Textf("The runtime takes this file, for it is the first by name, and cannot use it: %s.", "이름순으로 첫 번째이므로 런타임이 이 파일을 사용하는데 읽을 수 없습니다: %s.", m.Value(broken))
			f.Evidence = []finding.Evidence{m.Evidence(broken)}
		case len(missing) > 0:
			f.Mechanism = v1alpha1.MechanismMissing
			f.Since = time.Time{} // The file may be old; nobody knows since when the program is gone.
			f.Title = finding.Format("node %s: the network plugin %s is not installed", "노드 %s: 네트워크 플러그인이 설치되어 있지 않습니다: %s", finding.Verbatim(m.Node()), finding.List(missing))
			f.Why = finding.Textf("%s names it, and the program is in none of %s.", "%s가 가리키는 프로그램이 %s 어디에도 없습니다.", file, strings.ReplaceAll(m.Value(snapshot.KeyOf("cni", "program-missing", missing[0])), " ", ", "))
			f.Evidence = []finding.Evidence{m.Evidence(snapshot.KeyOf("cni", "program-missing", missing[0])), m.Evidence(snapshot.KeyOf("cni", "configuration", first, "plugins"))}
		default:
			continue
		}
		if others := otherConfigurations(m, first); len(others) > 0 {
			f.Why = finding.Join(" ", f.Why, finding.Format("Behind it by name: %s.", "이름순으로 그 뒤에 있는 설정: %s.", finding.List(others)))
		}
		p.Report(f)
	}
}

// otherConfigurations are the files that the runtime does not take because another comes first.
func otherConfigurations(m snapshot.Machine, first string) []string {
	var out []string
	for _, file := range m.Names("cni/configuration/*/name") {
		if file != first {
			out = append(out, file)
		}
	}
	return out
}

var _ = Catalog.Add(rule.Rule{
	Code:  "PodAddressesLeaked",
	Title: finding.Text{EN: "addresses are held for pods that are gone", KO: "없어진 Pod가 주소를 계속 차지하고 있습니다"},
	Doc: finding.Text{
		EN: "The host-local plugin keeps a file for each address that it gave out, and removes it when the pod's network is taken down. Where a machine stops hard, or the runtime loses its state, files stay, and their addresses are never given again. " +
			"It is a remark while there are addresses enough, and a warning when fewer than a tenth are left: then pods cannot start (\"no IP addresses available in range set\"). Addresses younger than ten minutes and those of running sandboxes are left alone; only containerd is looked at.",
		KO: "host-local 플러그인은 할당한 주소마다 파일을 두고 Pod의 네트워크를 해제할 때 지웁니다. 머신이 갑자기 멈추거나 런타임이 상태를 잃으면 파일이 남아 그 주소를 다시 쓸 수 없습니다. " +
			"주소가 충분하면 참고로 알리고, 남은 주소가 10% 미만이면 경고입니다. 이때 Pod를 시작할 수 없습니다(\"no IP addresses available in range set\"). 10분이 안 된 주소와 실행 중인 sandbox의 주소는 대상이 아니며 containerd만 확인합니다.",
	},
	Link: "https://www.cni.dev/plugins/current/ipam/host-local/", Severity: finding.Info, Gravest: finding.Warning,
	Machine: []snapshot.EvidenceKey{"cni/network/*/*"}, Detect: podAddressesLeaked,
})

// Shares of a range, in percent: from leakedShare leaked addresses are worth knowing, and when less than
// leftShare is left they matter.
const (
	leakedShare = 10
	leftShare   = 10
)

func podAddressesLeaked(p *rule.Pass) {
	for _, m := range p.Machines() {
		for _, network := range m.Names("cni/network/*/leaked") {
			key := func(word string) snapshot.EvidenceKey { return snapshot.KeyOf("cni", "network", network, word) }
			leaked, _ := m.Int(key("leaked"))
			given, _ := m.Int(key("given"))
			size, ok := m.Int(key("size"))
			if !ok || size <= 0 || leaked*100 < size*leakedShare {
				continue
			}
			f := finding.Finding{
				Subject: m.Subject("File", "/var/lib/cni/networks/"+network), Mechanism: v1alpha1.MechanismDegraded, Since: m.Since(key("leaked")),
				Title: finding.Textf("node %s: %d of %d pod addresses are held for pods that are gone", "노드 %s: Pod 주소 %[3]d개 중 %[2]d개를 없어진 Pod가 차지하고 있습니다", m.Node(), leaked, size),
				Why: finding.Textf("The host-local plugin has given out %d of %d addresses of the network %s; the sandboxes of %d do not run any more. Left: %d.",
					"host-local 플러그인이 네트워크 %[3]s의 주소 %[2]d개 중 %[1]d개를 할당했는데 그중 %[4]d개의 sandbox가 더 이상 실행되지 않습니다. 남은 주소: %[5]d개.", given, size, network, leaked, max(0, size-given)),
				Evidence: []finding.Evidence{m.Evidence(key("given")), m.Evidence(key("leaked")), m.Evidence(key("size"))},
				Remedies: finding.Remedies{
					Now: []finding.Remedy{{
						Text: finding.Text{EN: "give back the addresses of sandboxes that do not run", KO: "실행되지 않는 sandbox의 주소를 반환합니다"}, Machine: m.Node(),
						Command: "cd " + finding.ShellWord("/var/lib/cni/networks/"+network) + " && for f in *.*.*.*; do id=$(head -1 $f | tr -d '\\r'); [ -d /run/containerd/io.containerd.runtime.v2.task/k8s.io/$id ] || rm -v $f; done",
					}},
					Later: []finding.Remedy{{Text: finding.Text{EN: "drain machines before they are switched off, and give nodes a larger range where pods come and go often", KO: "머신을 끄기 전에 drain하고, Pod가 자주 바뀌면 노드의 주소 범위를 넓힙니다"}}},
				},
			}
			if (size-given)*100 < size*leftShare {
				f.Severity, f.Mechanism = finding.Warning, v1alpha1.MechanismExhausted
				f.Explains = []finding.Subject{{Kind: "Node", Name: m.Node()}}
			}
			p.Report(f)
		}
	}
}
