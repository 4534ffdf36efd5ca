package node

import (
	"time"

	"github.com/maek-dev/maek/api/maek/v1alpha1"
	"github.com/maek-dev/maek/internal/finding"
	"github.com/maek-dev/maek/internal/rule"
	"github.com/maek-dev/maek/internal/snapshot"
)

var _ = Catalog.Add(rule.Rule{
	Code: "KubeletCertificateExpired",
	Title: finding.Text{
		EN: "kubelet's client certificate has expired",
		KO: "kubelet의 client 인증서가 만료되었습니다",
	},
	Doc: finding.Text{
		EN: "The certificate with which the kubelet presents itself to the API server is past its end, or not yet good by the machine's clock. The kubelet runs and every request of it is refused, so that the node looks as if it " +
			"were lost. A kubelet renews its certificate by itself from 70 % of its life on; it cannot once the old one has run out. A certificate that only nears its end is not this rule's.",
		KO: "kubelet이 API server에 제시하는 인증서가 만료되었거나, 머신의 시각으로 아직 유효 기간이 시작되지 않았습니다. kubelet은 실행 중이지만 모든 요청이 거부되어 노드가 끊긴 것처럼 보입니다. " +
			"kubelet은 수명의 70% 이후 인증서를 스스로 갱신하지만 이미 만료된 뒤에는 갱신하지 못합니다. 만료가 다가오기만 한 인증서는 이 규칙의 대상이 아닙니다.",
	},
	Link:     "https://kubernetes.io/docs/reference/access-authn-authz/kubelet-tls-bootstrapping/#certificate-rotation",
	Severity: finding.Warning,
	Machine:  certificateKeys(),
	Detect:   detectKubeletCertificateExpired,
})

func certificateKeys() []snapshot.EvidenceKey {
	return []snapshot.EvidenceKey{
		"kubelet/client-certificate/path", "kubelet/client-certificate/subject", "kubelet/client-certificate/not-before", "kubelet/client-certificate/not-after",
		"kubelet/api-server/url", "kubelet/api-server/outcome", "kubelet/api-server/status", "kubelet/api-server/body",
	}
}

func detectKubeletCertificateExpired(p *rule.Pass) {
	for _, m := range p.Machines() {
		from, until, now := m.Time("kubelet/client-certificate/not-before"), m.Time("kubelet/client-certificate/not-after"), m.ObservedAt()
		switch {
		case until.IsZero():
		case now.After(until):
			p.Report(certificateExpired(m, until))
		case now.Add(time.Minute).Before(from):
			f := certificateExpired(m, time.Time{})
			f.Title = finding.Textf("machine %s: the kubelet's client certificate is not good yet by the machine's clock", "머신 %s: 머신의 시각으로 kubelet의 client 인증서가 아직 유효하지 않습니다", m.Node())
			f.Why = finding.Textf("%s is good from %s on, and the machine's clock says %s: the clock is wrong.", "%s 파일은 %s부터 유효하지만 머신의 시각은 %s입니다. 시계가 틀립니다.",
				m.Value("kubelet/client-certificate/path"), finding.Clock(time.Time{}, from), finding.Clock(time.Time{}, now))
			f.Evidence = append(f.Evidence, m.Evidence("kubelet/client-certificate/not-before"))
			f.Remedies = finding.Remedies{Now: []finding.Remedy{{Text: finding.Text{EN: "set the clock right", KO: "시계를 맞춥니다"}, Command: "date -u; timedatectl; chronyc tracking", Machine: m.Node()}}}
			p.Report(f)
		}
	}
}

func certificateExpired(m snapshot.Machine, until time.Time) finding.Finding {
	path := m.Value("kubelet/client-certificate/path")
	return finding.Finding{
		Subject: m.Subject("Certificate", path), Mechanism: v1alpha1.MechanismExpired, Field: path, Since: until,
		Title: finding.Textf("machine %s: the kubelet's client certificate has expired", "머신 %s: kubelet의 client 인증서가 만료되었습니다", m.Node()),
		Why: finding.Textf("%[1]s (%[2]s) was good until %[3]s. The API server refuses whatever the kubelet sends, so the node stops reporting while the kubelet and its containers run. It cannot renew the certificate by itself any more.",
			"%[1]s(%[2]s) 인증서는 %[3]s에 만료되었습니다. API server가 kubelet의 모든 요청을 거부하므로 kubelet과 컨테이너는 실행 중인데 노드 보고가 끊깁니다. 만료된 뒤에는 kubelet이 스스로 갱신하지 못합니다.",
			path, m.Value("kubelet/client-certificate/subject"), finding.Clock(m.ObservedAt(), until)),
		Evidence: []finding.Evidence{m.Evidence("kubelet/client-certificate/not-after"), m.Evidence("kubelet/client-certificate/subject")},
		Explains: nodeOnly(m),
		RuledOut: append([]finding.Statement{machineUp(m)}, pathOpen(m)...),
		Remedies: bootstrapAnew(m),
	}
}

// bootstrapAnew is how a kubelet is given a new certificate where its own is of no use
// (https://kubernetes.io/docs/setup/production-environment/tools/kubeadm/troubleshooting-kubeadm/#kubelet-client-cert).
func bootstrapAnew(m snapshot.Machine) finding.Remedies {
	return finding.Remedies{
		Now: []finding.Remedy{
			{
				Text: finding.Text{
					EN: "on a control-plane machine: make the node a new kubeconfig, then copy kubelet.conf over the node's /etc/kubernetes/kubelet.conf",
					KO: "control plane 머신에서 노드의 kubeconfig를 새로 만든 뒤 kubelet.conf를 노드의 /etc/kubernetes/kubelet.conf에 복사합니다",
				},
				Command: "kubeadm kubeconfig user --org system:nodes --client-name system:node:" + m.Node() + " > kubelet.conf",
			},
			{
				Text:    finding.Text{EN: "have the kubelet take it up; once it reports it renews its certificate by itself", KO: "kubelet이 새 파일을 사용하게 합니다. 보고가 재개되면 인증서를 스스로 갱신합니다"},
				Command: "rm -f /var/lib/kubelet/pki/kubelet-client-current.pem && systemctl restart kubelet", Machine: m.Node(),
			},
		},
		Later: []finding.Remedy{{Text: finding.Text{
			EN: "keep rotateCertificates: true, and do not leave nodes turned off for longer than their certificates last",
			KO: "rotateCertificates: true를 유지하고, 인증서 수명보다 오래 노드를 꺼 두지 않습니다",
		}}},
	}
}
