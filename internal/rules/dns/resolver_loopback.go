package dns

import (
	"slices"

	"github.com/maek-dev/maek/api/maek/v1alpha1"
	"github.com/maek-dev/maek/internal/finding"
	"github.com/maek-dev/maek/internal/rule"
)

var _ = Catalog.Add(rule.Rule{
	Code:  "ResolverLoopback",
	Title: finding.Text{EN: "kubelet gives pods the machine's loopback as server of names", KO: "kubelet이 Pod에 loopback 주소를 DNS 서버로 제공합니다"},
	Doc: finding.Text{
		EN: "The file that the kubelet gives to pods with dnsPolicy Default, cluster DNS among them, names 127.0.0.53 or another loopback address. In a pod that is the pod itself: CoreDNS forwards to itself and ends (loop), others look up nothing. The kubelet has to be given the file behind it (resolvConf). " +
			"Machines whose kubelet already uses another file are left alone, as kubeadm sets where systemd-resolved runs.",
		KO: "kubelet이 dnsPolicy Default인 Pod(클러스터 DNS 포함)에 주는 파일에 127.0.0.53 같은 loopback 주소가 적혀 있습니다. Pod에서는 그 주소가 Pod 자신이므로 CoreDNS는 자신에게 전달하다 종료되고(loop), 다른 Pod는 이름을 조회하지 못합니다. kubelet의 resolvConf가 실제 서버가 적힌 파일을 가리켜야 합니다. " +
			"systemd-resolved가 실행 중일 때 kubeadm이 설정하는 것처럼 kubelet이 이미 다른 파일을 쓰는 머신은 대상이 아닙니다.",
	},
	Link:     "https://kubernetes.io/docs/tasks/administer-cluster/dns-debugging-resolution/#known-issues",
	Severity: finding.Warning,
	Machine:  resolverKeys,
	Detect:   resolverLoopback,
})

// behindResolved is the file with the real servers where systemd-resolved runs (systemd-resolved.service(8)).
const behindResolved = "/run/systemd/resolve/resolv.conf"

func resolverLoopback(p *rule.Pass) {
	for _, m := range p.Machines() {
		for _, file := range resolverFiles(m) {
			at := slices.IndexFunc(file.servers(), isLoopback)
			if !file.usedBy("pods") || at < 0 {
				continue
			}
			p.Report(finding.Finding{
				Subject: m.Subject("File", file.name), Mechanism: v1alpha1.MechanismMisconfigured, Field: "resolvConf",
				Title: finding.Textf("machine %s: the kubelet gives pods the server %s, which there is the pod itself", "머신 %s: kubelet이 Pod에 DNS 서버로 %s를 제공하는데 Pod에서는 자기 자신입니다", m.Node(), file.servers()[at]),
				Why: finding.Textf("It takes the servers from %s. CoreDNS on this machine would forward to itself and end; other pods with dnsPolicy Default look up nothing.",
					"kubelet은 %s의 서버를 사용합니다. 이 머신의 CoreDNS는 자기 자신에게 전달하다 종료되고, dnsPolicy Default인 다른 Pod는 이름을 조회하지 못합니다.", file.name),
				Evidence: []finding.Evidence{m.Evidence(file.key("servers")), m.Evidence(file.key("used-by"))},
				Remedies: finding.Remedies{
					Now: []finding.Remedy{
						{Text: finding.Text{EN: "are the real servers there", KO: "실제 서버가 적혀 있는지 확인합니다"}, Command: "cat " + behindResolved, Machine: m.Node()},
						{Text: finding.Text{EN: "give the kubelet that file: resolvConf in its configuration, then start it anew", KO: "kubelet 설정의 resolvConf에 그 파일을 지정하고 다시 시작합니다"}, Command: "grep -n resolvConf /var/lib/kubelet/config.yaml; systemctl restart kubelet", Machine: m.Node()},
					},
					Later: []finding.Remedy{{Text: finding.Text{EN: "set resolvConf in the kubelet configuration of every machine", KO: "모든 머신의 kubelet 설정에 resolvConf를 지정합니다"}}},
				},
			})
		}
	}
}
