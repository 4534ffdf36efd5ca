package controlplane

import (
	"net/netip"
	"slices"
	"strings"

	"github.com/maek-dev/maek/api/maek/v1alpha1"
	"github.com/maek-dev/maek/internal/finding"
	"github.com/maek-dev/maek/internal/rule"
	"github.com/maek-dev/maek/internal/snapshot"
)

var _ = Catalog.Add(rule.Rule{
	Code: "ApiServerUnreachable",
	Title: finding.Text{
		EN: "API server unreachable from here",
		KO: "여기에서 API server에 연결할 수 없습니다",
	},
	Doc: finding.Text{
		EN: "A request to the API server gets no HTTP answer. The finding names the layer at which it stops (resolving the name, the TCP connection, " +
			"TLS, the answer itself), because each is mended elsewhere: in DNS, on the control-plane machine, in its certificates, in etcd. Pods that run go on " +
			"running; nothing can be started, stopped or changed. One of several addresses that does not answer while another of the same family does is a warning. " +
			"An API server that answers with an error is ApiServerRejectsRequests, and one that is not ready is ApiServerNotReady. An IPv6 address that this machine " +
			"has no route to is left alone. Where nobody asked it and machines were read, it is judged by the address under which their kubelets report: one that refuses, or that none of several machines reaches.",
		KO: "API server로 보낸 요청에 HTTP 응답이 없습니다. 이름 해석, TCP 연결, TLS, 응답 중 어느 단계에서 멈추는지에 따라 조치할 곳(DNS, control plane 머신, 인증서, etcd)이 다르므로 " +
			"그 단계를 알립니다. 실행 중인 Pod는 계속 동작하지만 아무것도 시작, 중지, 변경할 수 없습니다. 주소가 여러 개이고 같은 종류(IPv4, IPv6)의 주소 중 일부만 응답하지 않으면 warning입니다. " +
			"오류로 응답하면 ApiServerRejectsRequests, 준비되지 않았다고 응답하면 ApiServerNotReady입니다. 이 머신에서 경로가 없는 IPv6 주소는 문제로 보지 않습니다. " +
			"API server에 요청하지 않고 머신만 읽은 경우에는 kubelet이 보고하는 주소로 판단하며, 그 주소가 연결을 거부하거나 여러 머신 중 어느 것도 연결하지 못하면 보고합니다.",
	},
	Link:     "https://kubernetes.io/docs/tasks/debug/debug-cluster/",
	Severity: finding.Critical,
	Machine:  apiServerOnMachineKeys(),
	Causes:   slices.Concat(onMachine(), certificateOnMachine(), lostOnTheWay),
	Detect:   detectAPIServerUnreachable,
})

func detectAPIServerUnreachable(p *rule.Pass) {
	if !p.API().Asked && len(p.Machines()) > 0 {
		reportUnreachedByKubelets(p)
		return
	}
	if !asked(p) {
		return
	}
	api := p.API()
	if api.Failure == nil {
		reportSilentAddresses(p, api)
		return
	}
	stop, ok := stopOf(p.Snapshot)
	if !ok {
		return
	}
	p.Report(finding.Finding{
		Subject:    endpoint(api),
		Mechanism:  stop.mechanism,
		Since:      stop.since,
		Title:      finding.Join(" ", stop.title, ofAddresses(api.Addresses)),
		Why:        finding.Join(" ", stop.why, eachAddress(api)),
		Evidence:   append([]finding.Evidence{failureEvidence(api)}, addressEvidence(api)...),
		RuledOut:   stop.ruledOut,
		Remedies:   finding.Remedies{Now: stop.now, Later: stop.later},
		Confidence: stop.confidence,
	})
}

// reportSilentAddresses tells of addresses of a usable API server that do not answer: a client
// that happens to dial one of them fails. An address of another family than those that answer is
// left alone, for the fault may be this machine's lack of a route.
func reportSilentAddresses(p *rule.Pass, api snapshot.API) {
	open, shut := answering(api.Addresses)
	for _, a := range shut {
		if !strings.Contains(a.Error, "refused") && !strings.Contains(a.Error, "timeout") && !strings.Contains(a.Error, "deadline exceeded") {
			continue
		}
		if !sameFamily(a, open) {
			continue
		}
		var mechanism finding.Mechanism = v1alpha1.MechanismUnreachable
		if strings.Contains(a.Error, "refused") {
			mechanism = v1alpha1.MechanismRefused
		}
		host, _ := hostPort(a.Address)
		p.Report(finding.Finding{
			Severity:  finding.Warning,
			Subject:   finding.Subject{Kind: "Endpoint", Name: a.Address},
			Mechanism: mechanism,
			Title: finding.Textf("API server address %s does not answer from here, %d of %d do",
				"API server 주소(%s)가 여기에서 응답하지 않습니다(%[3]d개 중 %[2]d개 응답)", a.Address, len(open), len(api.Addresses)),
			Why: finding.Textf("%s stands for %d addresses. %s says: %s. Clients that dial it fail or wait, and the others carry its load.",
				"%s의 주소는 %d개입니다. %s의 응답: %s. 이 주소로 연결하는 클라이언트는 실패하거나 기다리게 되며 나머지 주소가 부하를 나누어 받습니다.",
				api.Server, len(api.Addresses), a.Address, finding.Quote(a.Error)),
			Evidence: addressEvidence(api),
			Remedies: finding.Remedies{
				Now: []finding.Remedy{{
					Text: finding.Text{
						EN: "see whether kube-apiserver runs on the machine behind this address",
						KO: "이 주소의 머신에서 kube-apiserver가 실행 중인지 확인합니다",
					},
					Command: "crictl ps -a --name kube-apiserver; journalctl -u kubelet -n 50 --no-pager", Machine: host,
				}},
				Later: []finding.Remedy{{Text: finding.Text{
					EN: "put a load balancer with a health check on /readyz before the API servers, or drop the address from DNS while it is out",
					KO: "API server 앞에 /readyz를 검사하는 로드 밸런서를 두거나, 복구될 때까지 그 주소를 DNS에서 제외합니다",
				}}},
			},
		})
	}
}

func sameFamily(a snapshot.Address, others []snapshot.Address) bool {
	is4, ok := isIPv4(a)
	if !ok {
		return false
	}
	for _, o := range others {
		if other4, ok := isIPv4(o); ok && other4 == is4 {
			return true
		}
	}
	return false
}

func isIPv4(a snapshot.Address) (is4, ok bool) {
	host, _ := hostPort(a.Address)
	ip, err := netip.ParseAddr(host)
	if err != nil {
		return false, false
	}
	return ip.Unmap().Is4(), true
}
