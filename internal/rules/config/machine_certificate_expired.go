package config

import (
	"time"

	"github.com/maek-dev/maek/api/maek/v1alpha1"
	"github.com/maek-dev/maek/internal/finding"
	"github.com/maek-dev/maek/internal/rule"
	"github.com/maek-dev/maek/internal/snapshot"
)

var _ = Catalog.Add(rule.Rule{
	Code:  "MachineCertificateExpired",
	Title: finding.Text{EN: "certificate on a machine has expired", KO: "머신의 인증서가 만료되었습니다"},
	Doc: finding.Text{
		EN: "A certificate file of the control plane, etcd or another program of Kubernetes' on a machine has expired, or is not yet valid by the machine's clock: who presents it is refused, who relies on it refuses others. It is critical where the " +
			"control plane works by it. Who uses the file and how it is renewed is told. The kubelet's own client certificate has a finding of its own; files of which nobody knows a user, and the kubelet's self-signed " +
			"serving certificate, are only noted.",
		KO: "머신에 있는 control plane, etcd 등 Kubernetes 프로그램의 인증서 파일이 만료되었거나 머신의 시계로 아직 유효하지 않습니다. 제시하면 거부당하고, 이것으로 검증하면 상대를 거부하게 됩니다. control plane이 의존하면 critical입니다. 누가 사용하고 어떻게 갱신하는지 알려 줍니다. " +
			"kubelet의 클라이언트 인증서는 따로 다루며, 사용하는 곳을 알 수 없는 파일과 kubelet의 자체 서명 서버 인증서는 참고로만 표시합니다.",
	},
	Link:     "https://kubernetes.io/docs/tasks/administer-cluster/kubeadm/kubeadm-certs/",
	Severity: finding.Warning, Gravest: finding.Critical,
	Machine: []snapshot.EvidenceKey{
		"certificate/*/subject", "certificate/*/not-before", "certificate/*/not-after", "certificate/*/authority", "kubelet/client-certificate/path",
	},
	Causes: []rule.Cause{{Code: "KubeletCertificateExpired", Via: rule.Itself}},
	Detect: detectMachineCertificateExpired,
})

func detectMachineCertificateExpired(p *rule.Pass) {
	for _, m := range p.Machines() {
		now := m.ObservedAt()
		var over []machineCertificate
		var findings []finding.Finding
		for _, c := range machineCertificates(m) {
			switch {
			case now.After(c.notAfter):
				findings = append(findings, c.over(
					finding.Textf("machine %s: the certificate %s has expired", "머신 %s: 인증서 %s 파일이 만료되었습니다", m.Node(), c.file),
					finding.Textf("it was valid until %s", "%s까지 유효했습니다", finding.Clock(now, c.notAfter)), c.notAfter))
			case now.Add(clocksApart).Before(c.notBefore):
				findings = append(findings, c.over(
					finding.Textf("machine %s: the certificate %s is not yet valid", "머신 %s: 인증서 %s 파일이 아직 유효하지 않습니다", m.Node(), c.file),
					finding.Textf("it is valid from %s, and the machine's clock says %s: one of the clocks is wrong, this machine's or that of whoever made it",
						"%s부터 유효한데 머신의 시계는 %s입니다. 머신 또는 발급한 쪽의 시계가 틀렸습니다", finding.Clock(now, c.notBefore), finding.Clock(now, now)), time.Time{}))
			default:
				continue
			}
			over = append(over, c)
		}
		for _, f := range together(m, over, findings, func(n int) finding.Text {
			return finding.Textf("machine %s: %d certificates are not valid", "머신 %s: 인증서 %d개가 유효하지 않습니다", m.Node(), n)
		}) {
			p.Report(f)
		}
	}
}

// clocksApart is by how much clocks may differ before a certificate from the future is told.
const clocksApart = 5 * time.Minute

// over is the finding that a certificate is not valid now.
func (c machineCertificate) over(title, why finding.Text, since time.Time) finding.Finding {
	return finding.Finding{
		Subject: c.subject(), Severity: c.use.severity, Mechanism: v1alpha1.MechanismExpired, Field: c.file, Since: since,
		Title: title, Why: finding.Join("; ", c.use.who, why), Evidence: c.evidence(), Remedies: c.renew(),
	}
}
