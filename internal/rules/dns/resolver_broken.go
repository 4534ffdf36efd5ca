package dns

import (
	"strconv"
	"strings"
	"time"

	"github.com/maek-dev/maek/api/maek/v1alpha1"
	"github.com/maek-dev/maek/internal/finding"
	"github.com/maek-dev/maek/internal/rule"
	"github.com/maek-dev/maek/internal/snapshot"
)

var _ = Catalog.Add(rule.Rule{
	Code:  "ResolverBroken",
	Title: finding.Text{EN: "machine's servers of names do not answer", KO: "머신의 DNS 서버가 응답하지 않습니다"},
	Doc: finding.Text{
		EN: "Servers that the machine's resolv.conf names, or the file that the kubelet gives to pods with dnsPolicy Default, give no answer to queries from the machine. Where none answers, images cannot be pulled by name, and cluster DNS on this machine looks up no outside name; " +
			"where some do not, each look-up may wait for them (a remark). A server that answers anything, even that it refuses or fails, is left alone: closed networks know no names of the world.",
		KO: "머신의 resolv.conf 또는 kubelet이 dnsPolicy Default인 Pod에 주는 파일에 적힌 DNS 서버가 이 머신의 질의에 응답하지 않습니다. 아무 서버도 응답하지 않으면 이름으로 이미지를 pull할 수 없고, 이 머신의 클러스터 DNS는 외부 이름을 조회하지 못합니다. " +
			"일부만 응답하지 않으면 조회할 때마다 기다릴 수 있습니다(참고). REFUSED나 SERVFAIL을 포함해 무엇이든 응답하는 서버는 대상이 아닙니다. 폐쇄망에서는 외부 이름을 알지 못하기 때문입니다.",
	},
	Link:     "https://kubernetes.io/docs/tasks/administer-cluster/dns-custom-nameservers/#inheriting-dns-from-the-node",
	Severity: finding.Warning,
	Machine:  resolverKeys,
	For:      30 * time.Second,
	Causes: []rule.Cause{
		{Code: "GatewayUnreachable", Via: rule.OnMachine},
		{Code: "DefaultRouteMissing", Via: rule.OnMachine},
		{Code: "InterfaceDown", Via: rule.OnMachine},
		{Code: "PacketFilterBlocksCluster", Via: rule.OnMachine, Holds: func(_ *snapshot.Snapshot, _, cause finding.Finding) bool {
			return cause.Field == "UDP 53"
		}},
		{Code: "MachineUnreachable", Via: rule.OnMachine},
	},
	Detect: resolverBroken,
})

func resolverBroken(p *rule.Pass) {
	for _, m := range p.Machines() {
		for _, file := range resolverFiles(m) {
			if silent := file.silent(); len(silent) > 0 {
				p.Report(silentServers(file, silent))
			}
		}
	}
}

func silentServers(file resolverFile, silent []string) finding.Finding {
	m := file.m
	all := len(silent) == len(file.servers())
	f := finding.Finding{
		Subject: m.Subject("File", file.name), Mechanism: v1alpha1.MechanismUnreachable, Field: "nameserver",
		Evidence: []finding.Evidence{m.Evidence(file.key("servers"))},
	}
	for _, server := range silent {
		f.Since = finding.Later(f.Since, m.Since(outcomeKey(server)))
		f.Evidence = append(f.Evidence, m.Evidence(outcomeKey(server)), m.Evidence(snapshot.KeyOf("resolver", "server", server, "error")))
	}
	if all {
		f.Title = finding.Format("machine %s: no server of names answers (%s: %s)", "머신 %s: 응답하는 DNS 서버가 없습니다(%s: %s)", finding.Verbatim(m.Node()), finding.Verbatim(file.name), finding.List(silent))
		f.Why = finding.Format("%s. %s", "%s. %s", outcomes(file, silent), suffers(file))
	} else {
		f.Severity = finding.Info
		f.Title = finding.Format("machine %s: %s of its %s servers of names do not answer (%s: %s)", "머신 %s: DNS 서버 %[3]s개 중 %[2]s개가 응답하지 않습니다(%[4]s: %[5]s)",
			finding.Verbatim(m.Node()), finding.Verbatim(strconv.Itoa(len(silent))), finding.Verbatim(strconv.Itoa(len(file.servers()))), finding.Verbatim(file.name), finding.List(silent))
		f.Why = finding.Format("%s. The others answer; look-ups that begin with these wait for them first.", "%s. 나머지는 응답하지만 이 서버부터 시작하는 조회는 먼저 기다리게 됩니다.", outcomes(file, silent))
	}
	f.Remedies = finding.Remedies{
		Now: []finding.Remedy{
			{Text: finding.Text{EN: "what the file says, who writes it, and the way to the server", KO: "파일의 내용과 작성하는 도구, 서버까지의 경로를 확인합니다"}, Command: "ls -l " + finding.ShellWord(file.name) + "; cat " + finding.ShellWord(file.name) + "; ip route get " + finding.ShellWord(silent[0]), Machine: m.Node()},
			{Text: finding.Text{EN: "name a server that answers, where the file is written: netplan, NetworkManager, systemd-resolved or DHCP", KO: "파일을 작성하는 도구(netplan, NetworkManager, systemd-resolved, DHCP)에서 응답하는 서버를 지정합니다"}},
		},
		Later: []finding.Remedy{{Text: finding.Text{EN: "name two servers on every machine, and let one tool write the file", KO: "모든 머신에 서버를 2개 이상 지정하고 한 도구로만 파일을 관리합니다"}}},
	}
	return f
}

// outcomes say how each server failed.
func outcomes(file resolverFile, silent []string) finding.Text {
	var out []finding.Text
	for _, server := range silent {
		word := file.m.Value(outcomeKey(server))
		switch {
		case word == "refused" && isLoopback(server):
			out = append(out, finding.Textf("%s is the machine itself, and nothing listens there", "%s는 머신 자신의 주소인데 실행 중인 DNS 서버가 없습니다", server))
		case word == "refused":
			out = append(out, finding.Textf("nothing listens at %s", "%s에 실행 중인 DNS 서버가 없습니다", server))
		case word == "no-route":
			out = append(out, finding.Textf("there is no route to %s", "%s로 가는 route가 없습니다", server))
		default:
			out = append(out, finding.Textf("nothing comes back from %s", "%s에서 응답이 오지 않습니다", server))
		}
	}
	return finding.Join("; ", out...)
}

// suffers says who depends on a file.
func suffers(file resolverFile) finding.Text {
	var en, ko []string
	if file.usedBy("machine") {
		en, ko = append(en, "Images cannot be pulled by name."), append(ko, "이름으로 이미지를 pull할 수 없습니다.")
	}
	if file.usedBy("pods") {
		en, ko = append(en, "Cluster DNS servers on this machine look up no name outside the cluster."), append(ko, "이 머신의 클러스터 DNS 서버는 클러스터 밖의 이름을 조회하지 못합니다.")
	}
	return finding.Text{EN: strings.Join(en, " "), KO: strings.Join(ko, " ")}
}
