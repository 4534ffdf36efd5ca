package node

import (
	"fmt"
	"strings"
	"time"

	"github.com/maek-dev/maek/api/maek/v1alpha1"
	"github.com/maek-dev/maek/internal/finding"
	"github.com/maek-dev/maek/internal/rule"
	"github.com/maek-dev/maek/internal/snapshot"
)

var _ = Catalog.Add(rule.Rule{
	Code: "NodeUnreachable",
	Title: finding.Text{
		EN: "node does not report",
		KO: "노드가 보고하지 않습니다",
	},
	Doc: finding.Text{
		EN: "The kubelet's Lease ran out (where there is none: Ready is Unknown), and its port does not say why. Three faults look alike then: the kubelet stopped, the machine is off, " +
			"the network between it and the API server is cut; a kubelet that does answer and still does not report cannot write to the API server (its credentials ran out, its way " +
			"there is cut). The finding names the class and the command that separates them. A machine that refuses the port is KubeletStopped. A node that has just joined, one being " +
			"removed, a cordoned node that reports, and a Lease without a Node are left alone.",
		KO: "kubelet의 Lease가 만료되었고(Lease가 없으면 Ready가 Unknown), 포트를 확인해도 이유를 알 수 없습니다. kubelet 중지, 머신 꺼짐, API server와의 네트워크 단절은 이때 똑같이 보입니다. kubelet이 응답하는데도 보고하지 않으면 " +
			"API server에 쓰지 못하는 것입니다(인증서 만료, API server로 가는 경로 단절). 가능한 원인과 이를 구분할 명령을 알립니다. 머신이 포트 연결을 거부하면 KubeletStopped입니다. 방금 참여한 노드, 제거 중인 노드, 보고 중인 cordon된 노드, " +
			"노드 없이 남은 Lease는 대상이 아닙니다.",
	},
	Link:     "https://kubernetes.io/docs/concepts/architecture/nodes/#node-heartbeats",
	Severity: finding.Warning,
	Needs:    lossNeeds(),
	Machine:  lossKeys(),
	For:      time.Minute,
	Causes: append(kubeletOnMachine(), []rule.Cause{
		{Code: "LeasesNotRenewed", Via: rule.Cluster},
		{Code: "NodesLostTogether", Via: rule.Claimed},
		{Code: "KubeletCannotReport", Via: rule.Itself},
		{Code: "MachineUnreachable", Via: rule.OnMachine},
		{Code: "NetworkPartitioned", Via: rule.Claimed},
		{Code: "HostPathBroken", Via: rule.OnMachine},
		{Code: "ApiServerUnreachableFromMachine", Via: rule.Claimed},
		{Code: "WebhookUnavailable", Via: rule.Claimed},
		{Code: "CertificateSigningRequestStuck", Via: rule.Claimed},
		{Code: "ApiServerOverloaded", Via: rule.Cluster, Holds: critical},
	}...),
	Detect: detectNodeUnreachable,
})

func detectNodeUnreachable(p *rule.Pass) {
	all := losses(p)
	for i, l := range all {
		answer, ok := kubeletAnswer(p, i, l)
		if ok && answer.Outcome == snapshot.Refused {
			continue
		}
		p.Report(unreachable(p, l, all, answer))
	}
}

func unreachable(p *rule.Pass, l loss, all []loss, answer snapshot.Answer) finding.Finding {
	name := l.node.Name
	f := finding.Finding{
		Subject:    snapshot.SubjectOf(l.node),
		Mechanism:  v1alpha1.MechanismUnreachable,
		Since:      l.since,
		Confidence: v1alpha1.ConfidenceMedium,
		Evidence:   l.evidence,
	}
	if answer.Outcome != "" {
		value := finding.Quote(answer.Error)
		if value == "" {
			value = string(answer.Outcome)
		}
		f.Evidence = append(f.Evidence, finding.Evidence{
			Source: "kubelet on " + name, Path: fmt.Sprintf("port %d", kubeletPort(l.node)), Value: value,
		})
	}
	var class finding.Text
	switch {
	case answer.Outcome == snapshot.Answered:
		f.Title = finding.Textf("node %s does not report, though its kubelet answers", "노드 %s: kubelet은 응답하지만 보고하지 않습니다", name)
		class = finding.Text{
			EN: "The API server gets through to the kubelet and hears nothing from it: the kubelet cannot write to the API server. Its credentials ran out, its way to the API server is cut, or its writes are refused.",
			KO: "API server에서 kubelet으로는 연결되지만 kubelet의 보고가 오지 않습니다. kubelet이 API server에 쓰지 못하는 상태입니다. 인증서 만료, API server로 가는 경로 단절, 쓰기 거부 중 하나입니다.",
		}
		f.RuledOut = []finding.Statement{{Text: finding.Text{
			EN: "machine off, kubelet stopped: the kubelet answers",
			KO: "머신 꺼짐, kubelet 중지: kubelet이 응답합니다",
		}}}
		f.Remedies.Now = []finding.Remedy{{
			Text:    finding.Text{EN: "the kubelet says what its requests meet with", KO: "kubelet 로그에 요청이 실패한 이유가 남습니다"},
			Command: "journalctl -u kubelet -n 200 --no-pager | grep -iE 'unauthorized|x509|timeout|refused|failed to update lease'", Machine: name,
		}}
	case answer.Outcome == snapshot.TimedOut, strings.Contains(answer.Error, "no route to host"):
		f.Title = finding.Textf("node %s: nothing comes back from the machine", "노드 %s: 머신에서 응답이 없습니다", name)
		class = finding.Textf("Port %d of the machine neither accepts nor refuses: the machine is off, or the network to it is cut. Which of them cannot be told from here.",
			"머신의 %d 포트가 연결을 받지도 거부하지도 않습니다. 머신이 꺼졌거나 네트워크가 끊겼습니다. 둘 중 어느 쪽인지는 여기에서 알 수 없습니다.", kubeletPort(l.node))
		f.RuledOut = []finding.Statement{{Text: finding.Text{
			EN: "the kubelet alone: its machine would refuse the connection",
			KO: "kubelet만 중지됨: 그렇다면 머신이 연결을 거부합니다",
		}}}
	case l.never:
		f.Mechanism = v1alpha1.MechanismMissing
		f.Title = finding.Textf("node %s: no kubelet has ever reported for it", "노드 %s: kubelet이 한 번도 보고하지 않았습니다", name)
		class = finding.Text{
			EN: "The Node was made by hand or by a cloud provider, and no kubelet took it up: it does not run, was not let in, or goes by another name.",
			KO: "Node 객체는 수동으로 또는 cloud provider가 만들었지만 이를 맡은 kubelet이 없습니다. kubelet이 실행되지 않거나, 인증에 실패했거나, 다른 이름을 사용하는 경우입니다.",
		}
	default:
		f.Confidence = v1alpha1.ConfidenceLow
		f.Title = finding.Textf("node %s does not report", "노드 %s: 보고가 끊겼습니다", name)
		class = finding.Text{
			EN: "The kubelet stopped, the machine is off, or the network to it is cut: the API alone cannot tell which, and the kubelet's port could not be asked.",
			KO: "kubelet 중지, 머신 꺼짐, 네트워크 단절 중 하나입니다. kubelet 포트를 확인하지 못하여 API만으로는 구분할 수 없습니다.",
		}
	}
	if m, ok := reported(p, l); ok {
		class = asSeenThere(m)
		f.Confidence = v1alpha1.ConfidenceMedium
		f.Title = finding.Textf("node %s does not report, and its machine is up", "노드 %s: 머신은 켜져 있으나 보고가 끊겼습니다", name)
		f.RuledOut = append([]finding.Statement{machineUp(m)}, pathOpen(m)...)
		f.Remedies.Now = []finding.Remedy{{
			Text:    finding.Text{EN: "the kubelet's own state and words", KO: "kubelet의 상태와 로그를 확인합니다"},
			Command: "systemctl status kubelet --no-pager; journalctl -u kubelet -n 50 --no-pager", Machine: name,
		}}
	}
	f.Why = finding.Join(" ", l.how, class, companions(l, all), carries(p.Snapshot, l.node))
	if len(f.Remedies.Now) == 0 {
		f.Remedies.Now = []finding.Remedy{
			{
				Text: finding.Text{
					EN: "from another node: an answer means that the machine is up, so look at its kubelet; none means power or network",
					KO: "다른 노드에서 실행합니다. 응답이 있으면 머신은 켜져 있으므로 kubelet을, 없으면 전원과 네트워크를 확인합니다",
				},
				Command: "ping -c 3 " + addressOf(l.node),
			},
			{Text: finding.Text{EN: "is the kubelet up", KO: "kubelet이 실행 중인지 확인합니다"}, Command: "systemctl status kubelet; journalctl -u kubelet -n 50 --no-pager", Machine: name},
		}
	}
	f.Remedies.Later = []finding.Remedy{{Text: finding.Text{
		EN: "let no workload depend on one node: two replicas or more, spread by topologySpreadConstraints",
		KO: "워크로드가 한 노드에 의존하지 않도록 replica를 2개 이상 두고 topologySpreadConstraints로 분산합니다",
	}}}
	return f
}
