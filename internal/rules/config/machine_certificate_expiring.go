package config

import (
	"time"

	"github.com/maek-dev/maek/api/maek/v1alpha1"
	"github.com/maek-dev/maek/internal/finding"
	"github.com/maek-dev/maek/internal/rule"
	"github.com/maek-dev/maek/internal/snapshot"
)

var _ = Catalog.Add(rule.Rule{
	Code:  "MachineCertificateExpiring",
	Title: finding.Text{EN: "certificate on a machine expires soon", KO: "머신의 인증서가 곧 만료됩니다"},
	Doc: finding.Text{
		EN: "A certificate file of the control plane, etcd or another program of Kubernetes' on a machine ends within thirty days: kubeadm's live for a year and are renewed by an upgrade or by hand only. Who uses it and how it is renewed is told. Left alone: " +
			"certificates that live for less than three months and have more than a tenth of it left, the kubelet's own, which it renews itself, and files of which nobody knows a user.",
		KO: "머신에 있는 control plane, etcd 등 Kubernetes 프로그램의 인증서 파일이 30일 안에 만료됩니다. kubeadm의 인증서는 1년 동안 유효하며 업그레이드하거나 직접 갱신해야 합니다. 누가 사용하고 어떻게 갱신하는지 알려 줍니다. 수명이 3개월보다 짧고 1/10 넘게 남은 인증서, " +
			"스스로 갱신하는 kubelet의 인증서, 사용하는 곳을 알 수 없는 파일은 대상이 아닙니다.",
	},
	Link:     "https://kubernetes.io/docs/tasks/administer-cluster/kubeadm/kubeadm-certs/",
	Severity: finding.Warning,
	Machine: []snapshot.EvidenceKey{
		"certificate/*/subject", "certificate/*/not-before", "certificate/*/not-after", "certificate/*/authority", "kubelet/client-certificate/path",
	},
	Detect: detectMachineCertificateExpiring,
})

func detectMachineCertificateExpiring(p *rule.Pass) {
	for _, m := range p.Machines() {
		var ending []machineCertificate
		var findings []finding.Finding
		for _, c := range machineCertificates(m) {
			left, life := c.notAfter.Sub(m.ObservedAt()), c.notAfter.Sub(c.notBefore)
			if left <= 0 || left > soon || life < shortLived && left > life/10 || c.use.severity == finding.Info {
				continue
			}
			ending = append(ending, c)
			findings = append(findings, finding.Finding{
				Subject: c.subject(), Severity: finding.Warning, Mechanism: v1alpha1.MechanismExpired, Field: c.file,
				Title: finding.Format("machine %s: the certificate %s expires in %s", "머신 %s: 인증서 %s 파일이 %s 뒤 만료됩니다", finding.Verbatim(m.Node()), finding.Verbatim(c.file), span(left)),
				Why: finding.Join("; ", c.use.who, finding.Textf("it is valid until %s", "%s까지 유효합니다", finding.Clock(m.ObservedAt(), c.notAfter)),
					finding.Text{EN: "nothing renews it by itself", KO: "자동으로 갱신되지 않습니다"}),
				Evidence: c.evidence(), Remedies: c.renew(),
			})
		}
		first := time.Duration(0)
		for _, c := range ending {
			if left := c.notAfter.Sub(m.ObservedAt()); first == 0 || left < first {
				first = left
			}
		}
		for _, f := range together(m, ending, findings, func(n int) finding.Text {
			return finding.Format("machine %s: %s certificates expire, the first in %s", "머신 %s: 인증서 %s개가 곧 만료됩니다(첫 번째는 %s 뒤)",
				finding.Verbatim(m.Node()), finding.Textf("%d", "%d", n), span(first))
		}) {
			p.Report(f)
		}
	}
}

const (
	// soon is when people are to be told of what they must renew themselves.
	soon = 30 * 24 * time.Hour
	// shortLived are certificates that something renews by itself; it does so well before their end.
	shortLived = 90 * 24 * time.Hour
)
