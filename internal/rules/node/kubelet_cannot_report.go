package node

import (
	"crypto/x509"
	"encoding/pem"
	"fmt"
	"slices"
	"strings"
	"time"

	certificatesv1 "k8s.io/api/certificates/v1"

	"github.com/maek-dev/maek/api/maek/v1alpha1"
	"github.com/maek-dev/maek/internal/finding"
	"github.com/maek-dev/maek/internal/rule"
	"github.com/maek-dev/maek/internal/snapshot"
)

var _ = Catalog.Add(rule.Rule{
	Code: "KubeletCannotReport",
	Title: finding.Text{
		EN: "kubelet runs and cannot report",
		KO: "kubelet이 실행 중이지만 보고하지 못합니다",
	},
	Doc: finding.Text{
		EN: "The kubelet answers the API server's connection while its Lease has run out: the machine is up, the kubelet runs, the way from the API server to it works, and what the kubelet writes " +
			"does not arrive. Either its client certificate ran out or is not accepted, or its way to the API server (its address, a firewall, a load balancer) is cut in that one direction. " +
			"Certificate signing requests of the node, and Leases that programs on the machine still renew, tell the two apart where they can; the commands that decide are given. " +
			"Where the port refuses or nothing comes back it is KubeletStopped or NodeUnreachable.",
		KO: "kubelet이 API server의 연결에 응답하는데 Lease는 만료되었습니다. 머신은 켜져 있고 kubelet도 실행 중이며 API server에서 kubelet으로 가는 경로도 정상이지만 kubelet의 쓰기가 도착하지 않습니다. client 인증서가 만료되었거나 거부되거나, " +
			"API server로 가는 경로(주소, 방화벽, 로드 밸런서)가 그 방향만 끊긴 것입니다. 노드의 CertificateSigningRequest와 그 머신의 프로그램이 갱신하는 Lease로 가능한 만큼 구분하고, 확정할 수 있는 명령을 알립니다. " +
			"포트가 연결을 거부하면 KubeletStopped, 응답이 없으면 NodeUnreachable입니다.",
	},
	Link:     "https://kubernetes.io/docs/reference/access-authn-authz/kubelet-tls-bootstrapping/#certificate-rotation",
	Severity: finding.Warning,
	Needs:    append(lossNeeds(), rule.Optional[*certificatesv1.CertificateSigningRequest]()),
	For:      time.Minute,
	Causes: append(kubeletOnMachine(), []rule.Cause{
		{Code: "LeasesNotRenewed", Via: rule.Cluster},
		{Code: "NodesLostTogether", Via: rule.Claimed},
		{Code: "WebhookUnavailable", Via: rule.Claimed},
		{Code: "CertificateSigningRequestStuck", Via: rule.Claimed},
		{Code: "ApiServerOverloaded", Via: rule.Cluster, Holds: critical},
	}...),
	Detect: detectKubeletCannotReport,
})

func detectKubeletCannotReport(p *rule.Pass) {
	for i, l := range losses(p) {
		answer, ok := kubeletAnswer(p, i, l)
		if ok && answer.Outcome == snapshot.Answered {
			p.Report(cannotReport(p, l, answer))
		}
	}
}

func cannotReport(p *rule.Pass, l loss, answer snapshot.Answer) finding.Finding {
	name := l.node.Name
	said := finding.Evidence{Source: "kubelet on " + name, Path: fmt.Sprintf("port %d", kubeletPort(l.node)), Value: "answers"}
	if answer.Error != "" {
		said.Value = finding.Quote(answer.Error)
	}
	f := finding.Finding{
		Subject: snapshot.SubjectOf(l.node), Mechanism: v1alpha1.MechanismUnreachable, Since: l.since, Confidence: v1alpha1.ConfidenceLow,
		Title: finding.Textf("node %s: the kubelet runs and its reports do not arrive: certificate, path to the API server, or the API server's address",
			"노드 %s: kubelet이 실행 중이지만 보고가 도착하지 않습니다(인증서, API server로 가는 경로, API server 주소 중 하나)", name),
		Evidence: append(slices.Clone(l.evidence), said),
		RuledOut: []finding.Statement{{
			Text: finding.Text{
				EN: "machine off, kubelet stopped, API server cut off from the node: the kubelet answers the API server",
				KO: "머신 꺼짐, kubelet 중지, API server에서 노드로 가는 경로 단절: kubelet이 API server의 연결에 응답합니다",
			},
			Evidence: []finding.Evidence{said},
		}},
		Remedies: finding.Remedies{
			Now: []finding.Remedy{
				{
					Text: finding.Text{
						EN: "its log decides: Unauthorized or x509 means the certificate, i/o timeout or refused means the path or the address",
						KO: "kubelet 로그로 확정합니다. Unauthorized나 x509이면 인증서, i/o timeout이나 refused이면 경로 또는 주소입니다",
					},
					Command: "journalctl -u kubelet -n 200 --no-pager | grep -iE 'unauthorized|x509|i/o timeout|refused|failed to update lease'", Machine: name,
				},
				{
					Text:    finding.Text{EN: "until when is its client certificate good", KO: "client 인증서의 만료 시각을 확인합니다"},
					Command: "openssl x509 -noout -subject -enddate -in /var/lib/kubelet/pki/kubelet-client-current.pem", Machine: name,
				},
				{
					Text:    finding.Text{EN: "does it get through to the address that it uses for the API server", KO: "kubelet이 쓰는 API server 주소로 연결되는지 확인합니다"},
					Command: "curl -sk -m 5 $(grep -m1 -o 'https://.*' /etc/kubernetes/kubelet.conf)/healthz; echo", Machine: name,
				},
			},
			Later: []finding.Remedy{{
				Text:    finding.Text{EN: "let kubelets renew their certificates themselves (rotateCertificates), and see that requests are approved", KO: "kubelet이 인증서를 스스로 갱신하게 하고(rotateCertificates) 요청이 승인되는지 확인합니다"},
				Command: "kubectl get certificatesigningrequests",
			}},
		},
	}
	why := finding.Text{
		EN: "Its client certificate ran out or is refused, or its own way to the API server is cut or leads to a wrong address: the API alone cannot tell which, the kubelet's log can.",
		KO: "client 인증서가 만료되었거나 거부되거나, API server로 가는 경로가 끊겼거나 주소가 틀렸습니다. API만으로는 구분할 수 없으며 kubelet 로그로 구분할 수 있습니다.",
	}
	if e, _, ok := stillRenewed(p, map[string]bool{name: true}, l.since); ok {
		f.Evidence = append(f.Evidence, e)
		f.Mechanism, f.Confidence = v1alpha1.MechanismUnauthorized, v1alpha1.ConfidenceMedium
		f.RuledOut = append(f.RuledOut, finding.Statement{
			Text:     finding.Text{EN: "the machine's network to the API server: a program on it still writes there", KO: "머신에서 API server로 가는 네트워크: 그 머신의 프로그램이 아직 API server에 쓰고 있습니다"},
			Evidence: []finding.Evidence{e},
		})
		why = finding.Text{
			EN: "A program on the same machine still writes to the API server, so it is rather the kubelet's own credentials or the address in its kubeconfig.",
			KO: "같은 머신의 프로그램은 아직 API server에 쓰고 있으므로 kubelet 자신의 인증 정보나 kubeconfig의 주소가 문제일 가능성이 높습니다.",
		}
	}
	if c, ok := certificateTrouble(p, name, l.since); ok {
		f.Mechanism, f.Confidence = c.mechanism, v1alpha1.ConfidenceMedium
		f.Evidence = append(f.Evidence, c.evidence)
		f.Title = finding.Format("node %s: the kubelet runs and cannot authenticate: %s", "노드 %s: kubelet이 실행 중이지만 인증하지 못합니다. %s", finding.Verbatim(name), c.says)
		why = finding.Format("It cannot authenticate: %s.", "인증하지 못합니다. %s.", c.says)
		f.Remedies.Now = append(c.remedies, f.Remedies.Now...)
	}
	f.Why = finding.Join(" ", l.how, finding.Textf("The API server gets through to its port %d all the same.", "그런데 API server에서 %d 포트로는 연결됩니다.", kubeletPort(l.node)), why, carries(p.Snapshot, l.node))
	return f
}

// certificateFault is what certificate signing requests tell of a kubelet's credentials.
type certificateFault struct {
	mechanism finding.Mechanism
	// says is a clause, without its full stop.
	says     finding.Text
	evidence finding.Evidence
	remedies []finding.Remedy
}

// certificateTrouble finds a certificate of a kubelet that ran out about when it fell silent, or a
// request for the next one that nobody granted. Requests are kept for an hour after they are approved
// and a day while they wait (k8s.io/kubernetes/pkg/controller/certificates/cleaner).
func certificateTrouble(p *rule.Pass, node string, since time.Time) (certificateFault, bool) {
	for _, r := range snapshot.List[*certificatesv1.CertificateSigningRequest](p.Snapshot) {
		if r.Spec.SignerName != certificatesv1.KubeAPIServerClientKubeletSignerName || requestorNode(r) != node {
			continue
		}
		source := "CertificateSigningRequest " + r.Name
		if end, ok := certificateEnd(r.Status.Certificate); ok {
			if end.Before(p.Now()) && !end.After(since.Add(together)) && r.CreationTimestamp.Time.Before(since) {
				return certificateFault{
					mechanism: v1alpha1.MechanismExpired,
					says:      finding.Textf("its client certificate ran out at %s", "client 인증서가 %s에 만료되었습니다", finding.Clock(p.Now(), end)),
					evidence:  finding.Evidence{Source: source, Path: ".status.certificate", Value: "notAfter " + end.UTC().Format(time.RFC3339), At: finding.Timestamp(end)},
				}, true
			}
			continue
		}
		state := finding.Text{EN: "it waits for approval", KO: "승인 대기 중"}
		for _, c := range r.Status.Conditions {
			if c.Type == certificatesv1.CertificateDenied || c.Type == certificatesv1.CertificateFailed {
				state = finding.Verbatim(string(c.Type))
			}
		}
		return certificateFault{
			mechanism: v1alpha1.MechanismUnauthorized,
			says: finding.Format("its request for a new client certificate, CertificateSigningRequest %s, was not granted (%s)",
				"새 client 인증서 요청(CertificateSigningRequest %s)이 처리되지 않았습니다(%s)", finding.Verbatim(r.Name), state),
			evidence: finding.Evidence{Source: source, Path: ".status", Value: state.EN, At: finding.Timestamp(r.CreationTimestamp.Time)},
			remedies: []finding.Remedy{{
				Text:    finding.Text{EN: "see who asked for what, and approve it if it is the node's own", KO: "요청한 주체와 내용을 확인하고 그 노드의 요청이 맞으면 승인합니다"},
				Command: fmt.Sprintf("kubectl describe certificatesigningrequest %[1]s; kubectl certificate approve %[1]s", r.Name),
			}},
		}, true
	}
	return certificateFault{}, false
}

// nodeUser begins the user name of a kubelet (k8s.io/kubernetes/pkg/auth/nodeidentifier/default.go).
const nodeUser = "system:node:"

// requestorNode is the node for which a certificate is asked: by the kubelet itself, or, when it joins,
// by a bootstrap token with the node's name in the request. Empty where it is about no node.
func requestorNode(r *certificatesv1.CertificateSigningRequest) string {
	if name, ok := strings.CutPrefix(r.Spec.Username, nodeUser); ok {
		return name
	}
	block, _ := pem.Decode(r.Spec.Request)
	if block == nil {
		return ""
	}
	request, err := x509.ParseCertificateRequest(block.Bytes)
	if err != nil {
		return ""
	}
	name, _ := strings.CutPrefix(request.Subject.CommonName, nodeUser)
	if name == request.Subject.CommonName {
		return ""
	}
	return name
}

// certificateEnd is the end of the first certificate in PEM data.
func certificateEnd(data []byte) (time.Time, bool) {
	block, _ := pem.Decode(data)
	if block == nil {
		return time.Time{}, false
	}
	c, err := x509.ParseCertificate(block.Bytes)
	if err != nil {
		return time.Time{}, false
	}
	return c.NotAfter, true
}
