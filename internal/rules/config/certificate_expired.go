package config

import (
	"github.com/maek-dev/maek/api/maek/v1alpha1"
	"github.com/maek-dev/maek/internal/finding"
	"github.com/maek-dev/maek/internal/rule"
)

var _ = Catalog.Add(rule.Rule{
	Code:  "CertificateExpired",
	Title: finding.Text{EN: "certificate has expired", KO: "인증서가 만료되었습니다"},
	Doc: finding.Text{
		EN: "A certificate has ended that others rely on: one that an Ingress shows to its users, or the authority by which the API server judges an " +
			"admission webhook, a conversion webhook or an aggregated API. Authorities are read from the objects themselves; the certificates of Ingresses " +
			"are asked for, those of the most host names first. Left alone: bundles in which one authority is still valid, and Secrets that nothing names.",
		KO: "다른 구성 요소가 의존하는 인증서가 만료되었습니다. Ingress가 사용자에게 제시하는 인증서이거나, API server가 admission webhook, conversion webhook, aggregated API를 검증하는 CA입니다. " +
			"CA는 해당 object에서 직접 읽고, Ingress의 인증서는 host가 많은 것부터 조회합니다. 유효한 CA가 하나라도 남은 bundle과 아무도 참조하지 않는 Secret은 제외합니다.",
	},
	Link:     "https://kubernetes.io/docs/concepts/services-networking/ingress/#tls",
	Severity: finding.Warning,
	Gravest:  finding.Critical,
	Needs:    certificateNeeds(),
	Detect:   certificateExpired,
})

func certificateExpired(p *rule.Pass) {
	all, denied := certificatesOf(p)
	if denied > 0 {
		p.Skip(finding.Textf("certificates of Secrets that Ingresses name may not be read: %d", "Ingress가 참조하는 Secret의 인증서를 읽을 권한이 없습니다: %d개", denied))
	}
	for _, d := range all {
		if p.Now().Before(d.notAfter) {
			continue
		}
		f := finding.Finding{
			Subject: d.subject, Mechanism: v1alpha1.MechanismExpired, Field: d.field, Since: d.notAfter, Explains: d.users,
			Evidence: []finding.Evidence{d.evidence()}, Remedies: d.renew(),
			Title: finding.Format("%s: %s has expired", "%s: %s 만료", finding.Verbatim(finding.Named(d.subject)), d.what()),
			Why:   finding.Join("; ", finding.Textf("it was valid until %s", "%s까지 유효했습니다", finding.Clock(p.Now(), d.notAfter)), d.purpose()),
		}
		if d.public {
			f.Severity = finding.Critical
			f.Why = finding.Join("; ", f.Why, finding.Text{EN: "a load balancer serves it, so clients that verify certificates are turned away", KO: "load balancer로 공개되어 있어, 인증서를 검증하는 클라이언트는 접속하지 못합니다"})
		}
		p.Report(f)
	}
}
