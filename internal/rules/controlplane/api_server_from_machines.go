package controlplane

import (
	"net/url"
	"slices"

	"github.com/maek-dev/maek/api/maek/v1alpha1"
	"github.com/maek-dev/maek/internal/finding"
	"github.com/maek-dev/maek/internal/rule"
	"github.com/maek-dev/maek/internal/snapshot"
)

func apiServerOnMachineKeys() []snapshot.EvidenceKey {
	return []snapshot.EvidenceKey{
		"kubelet/api-server/url", "kubelet/api-server/outcome", "kubelet/api-server/error", "kubelet/api-server/status", "kubelet/api-server/body",
		"sandbox/*/pod", "sandbox/*/running",
	}
}

// reportUnreachedByKubelets judges the API server by the address under which kubelets report, as their
// machines see it.
func reportUnreachedByKubelets(p *rule.Pass) {
	from := map[string][]snapshot.Machine{}
	var order []string
	for _, m := range p.Machines() {
		u := m.Value("kubelet/api-server/url")
		if u == "" {
			continue
		}
		if _, ok := from[u]; !ok {
			order = append(order, u)
		}
		from[u] = append(from[u], m)
	}
	slices.Sort(order)
	for _, address := range order {
		machines := from[address]
		refused := false
		through := slices.ContainsFunc(machines, func(m snapshot.Machine) bool {
			refused = refused || m.Value("kubelet/api-server/outcome") == "refused"
			// An answer of whatever status is an answer, as is none of anybody yet.
			return slices.Contains([]string{"answered", ""}, m.Value("kubelet/api-server/outcome"))
		})
		if !through && (refused || len(machines) > 1) {
			p.Report(unreachedByKubelets(address, machines, refused))
		}
	}
}

func unreachedByKubelets(address string, machines []snapshot.Machine, refused bool) finding.Finding {
	host := hostIn(address)
	var names []string
	f := finding.Finding{Subject: finding.Subject{Kind: "Endpoint", Name: address}, Mechanism: v1alpha1.MechanismUnreachable}
	pods := 0
	for _, m := range machines {
		names = append(names, m.Node())
		f.Since = finding.Earlier(f.Since, m.Since("kubelet/api-server/outcome"))
		f.Evidence = append(f.Evidence, m.Evidence("kubelet/api-server/outcome"), m.Evidence("kubelet/api-server/error"))
		for _, e := range m.Select("sandbox/*/running") {
			if e.Value != "0" {
				pods++
			}
		}
	}
	said := finding.Quote(machines[0].Value("kubelet/api-server/error"))
	f.Title = finding.Format("API server %s does not answer, as seen from %s", "API server %s 주소가 응답하지 않습니다(%s에서 확인)", finding.Verbatim(address), finding.List(names))
	class := finding.Textf("Nothing comes back from %s: its machine is off, or the network to it is cut.", "%s에서 응답이 없습니다. 머신이 꺼졌거나 네트워크가 끊겼습니다.", host)
	if refused {
		f.Mechanism = v1alpha1.MechanismRefused
		f.Title = finding.Format("API server %s is stopped: its address refuses connections, as seen from %s", "API server %s 주소가 연결을 거부합니다: 프로세스가 중지되었습니다(%s에서 확인)", finding.Verbatim(address), finding.List(names))
		class = finding.Textf("%s is there and nothing listens at that port: the API server, or all behind a load balancer, are stopped.", "%s 머신은 살아 있지만 그 포트에서 받는 프로세스가 없습니다. API server가 중지되었거나 로드 밸런서 뒤의 API server가 모두 중지되었습니다.", host)
		f.RuledOut = []finding.Statement{{Text: finding.Textf("network to %s: the address answers with a refusal", "%s까지의 네트워크: 거부 응답이 돌아옵니다", host)}}
	}
	f.Why = finding.Join(" ", finding.Textf("The address under which kubelets report does not take connections: %s.", "kubelet이 보고하는 주소로 연결되지 않습니다: %s.", said), class, stillRunning(machines, pods), whileAway)
	f.Remedies = finding.Remedies{
		Now: []finding.Remedy{
			{
				Text:    finding.Text{EN: "on the machine behind that address: what its control plane says of itself", KO: "그 주소의 머신에서 control plane의 상태를 확인합니다"},
				Command: "kubectl-maek machine", Machine: host,
			},
			{
				Text:    finding.Text{EN: "see whether its container runs, and what it says", KO: "컨테이너의 상태와 로그를 확인합니다"},
				Command: "crictl ps -a --name kube-apiserver; crictl logs --tail 20 $(crictl ps -aq --name kube-apiserver | head -n 1); journalctl -u kubelet -n 50 --no-pager", Machine: host,
			},
		},
		Later: moreThanOne(),
	}
	f.Evidence = f.Evidence[:min(len(f.Evidence), 6)]
	return f
}

// stillRunning says what goes on meanwhile, where the container runtime was asked.
func stillRunning(machines []snapshot.Machine, pods int) finding.Text {
	if pods == 0 {
		return finding.Text{}
	}
	if len(machines) == 1 {
		return finding.Format("%s still run on this machine.", "이 머신에서는 %s가 계속 실행 중입니다.", finding.Pods(pods))
	}
	return finding.Format("%s still run on these machines.", "이 머신들에서는 %s가 계속 실행 중입니다.", finding.Pods(pods))
}

// lostOnTheWay is what agents know of the way to an API server that does not answer their machines.
var lostOnTheWay = []rule.Cause{
	{Code: "NetworkPartitioned", Via: rule.Cluster},
	{Code: "MachineUnreachable", Via: rule.Cluster, Holds: behindAddress},
}

// behindAddress tells whether the address of an API server is that of a machine that is lost.
func behindAddress(s *snapshot.Snapshot, effect, cause finding.Finding) bool {
	u, err := url.Parse(effect.Subject.Name)
	return err == nil && u.Hostname() != "" && slices.ContainsFunc(s.Machines(), func(m snapshot.Machine) bool {
		return m.Value(snapshot.KeyOf("cluster", "node", cause.Subject.Name, "internal-ip")) == u.Hostname()
	})
}
