package dns

import (
	"fmt"
	"regexp"
	"slices"
	"strings"
	"time"

	"github.com/maek-dev/maek/api/maek/v1alpha1"
	"github.com/maek-dev/maek/internal/finding"
	"github.com/maek-dev/maek/internal/rule"
)

var _ = Catalog.Add(rule.Rule{
	Code:  "DNSForwardLoop",
	Title: finding.Text{EN: "cluster DNS forwards questions to itself", KO: "클러스터 DNS가 질의를 자기 자신에게 전달합니다"},
	Doc: finding.Text{
		EN: "CoreDNS found that the questions which it forwards come back to it, and ends so that they do not go round for ever. It forwards to what the resolv.conf of its Node names " +
			"(forward . /etc/resolv.conf), and there that is the machine itself, as systemd-resolved's 127.0.0.53 is: the kubelet has to give pods the file behind it (resolvConf). Or the Corefile " +
			"names an address of cluster DNS. The words of the loop plugin say so; servers that end for another reason are left alone.",
		KO: "CoreDNS가 전달한 질의가 자신에게 되돌아오는 것을 발견하고 무한 반복을 막기 위해 종료됩니다. CoreDNS는 Node의 resolv.conf에 적힌 곳으로 전달하는데(forward . /etc/resolv.conf) 그것이 systemd-resolved의 127.0.0.53처럼 머신 자신인 경우입니다. " +
			"kubelet의 resolvConf가 실제 upstream을 담은 파일을 가리켜야 합니다. Corefile이 클러스터 DNS 자신의 주소를 지정한 경우도 있습니다. loop 플러그인의 로그를 근거로 하며, 다른 이유로 종료되는 서버는 제외합니다.",
	},
	Link:     "https://coredns.io/plugins/loop/#troubleshooting",
	Severity: finding.Warning,
	Gravest:  finding.Critical,
	Needs:    coreDNSKinds(),
	For:      time.Minute,
	Detect:   dnsForwardLoop,
})

// loopFound is what the loop plugin says before it ends the server (coredns/plugin/loop, ServeDNS).
var loopFound = regexp.MustCompile(`(Loop \(\S+ -> \S*\) detected for zone "[^"]*")`)

func dnsForwardLoop(p *rule.Pass) {
	c, ok := findCoreDNS(p.Snapshot)
	if !ok {
		return
	}
	pods, log := c.failed(p)
	line, words := lastLine(log, loopFound)
	if line == "" {
		return
	}
	f := finding.Finding{
		Subject: p.Workload(pods[0]), Mechanism: v1alpha1.MechanismMisconfigured, Since: firstEnded(pods),
		Explains: c.harmed(p.Snapshot, pods),
		Evidence: []finding.Evidence{c.logEvidence(pods[0], line)},
		RuledOut: []finding.Statement{{Text: finding.Text{
			EN: "a broken image or program: CoreDNS ends on purpose",
			KO: "이미지나 프로그램의 결함: CoreDNS가 의도적으로 종료했습니다",
		}}},
		Remedies: finding.Remedies{Later: []finding.Remedy{{Text: finding.Text{
			EN: "set resolvConf in the kubelet configuration of every Node, new ones too",
			KO: "새로 추가될 Node를 포함해 모든 Node의 kubelet 설정에 resolvConf를 지정합니다",
		}}}},
	}
	if !c.serves() {
		f.Severity = finding.Critical
	}
	f.Title = finding.Textf("%s: forwards questions to itself, %d of %d servers end", "%s: 질의를 자기 자신에게 전달하여 서버 %[3]d개 중 %[2]d개가 종료됩니다", finding.Named(f.Subject), len(pods), len(c.pods))
	f.Why = finding.Textf("the log of %s: %q", "%s의 로그: %q", pods[0].Name, words)
	if text, ok := c.corefile(p); ok {
		f.Why = finding.Join("; ", f.Why, forwardsTo(text))
	}
	var nodes []string
	for _, pod := range pods {
		if !slices.Contains(nodes, pod.Spec.NodeName) && pod.Spec.NodeName != "" {
			nodes = append(nodes, pod.Spec.NodeName)
		}
	}
	for _, node := range nodes[:min(len(nodes), 2)] {
		f.Remedies.Now = append(f.Remedies.Now, finding.Remedy{
			Text:    finding.Text{EN: "see whether the machine's servers of names are the machine itself (127.0.0.1, 127.0.0.53)", KO: "머신의 네임 서버가 자기 자신(127.0.0.1, 127.0.0.53)인지 확인합니다"},
			Command: "grep nameserver /etc/resolv.conf", Machine: node,
		})
	}
	f.Remedies.Now = append(f.Remedies.Now,
		finding.Remedy{Text: finding.Text{
			EN: "let the kubelet give pods the file with the real servers: in /var/lib/kubelet/config.yaml resolvConf: /run/systemd/resolve/resolv.conf, then systemctl restart kubelet",
			KO: "kubelet이 실제 네임 서버가 적힌 파일을 Pod에 주도록 /var/lib/kubelet/config.yaml에 resolvConf: /run/systemd/resolve/resolv.conf를 지정하고 systemctl restart kubelet을 실행합니다",
		}},
		c.edit(finding.Text{EN: "or let the Corefile forward to the real servers by address", KO: "또는 Corefile의 forward에 실제 네임 서버 주소를 지정합니다"}),
		finding.Remedy{
			Text:    finding.Text{EN: "then make the servers anew", KO: "이후 DNS 서버를 다시 만듭니다"},
			Command: fmt.Sprintf("kubectl -n %s delete pod %s", pods[0].Namespace, podList(pods)),
		})
	p.Report(f)
}

// forwardsTo tells where a Corefile forwards what it does not know.
func forwardsTo(text string) finding.Text {
	blocks, err := parseCorefile(text)
	if err != nil {
		return finding.Text{}
	}
	for _, b := range blocks {
		for _, d := range b.find("forward") {
			if len(d.args) > 1 && d.args[0] == "." {
				return finding.Textf("it forwards to %s", "전달 대상은 %s입니다", strings.Join(d.args[1:], ", "))
			}
		}
	}
	return finding.Text{}
}
