package config

import (
	"time"

	"github.com/maek-dev/maek/api/maek/v1alpha1"
	"github.com/maek-dev/maek/internal/finding"
	"github.com/maek-dev/maek/internal/rule"
)

var _ = Catalog.Add(rule.Rule{
	Code:  "CertificateExpiring",
	Title: finding.Text{EN: "certificate expires soon", KO: "인증서가 곧 만료됩니다"},
	Doc: finding.Text{
		EN: "A certificate that others rely on ends soon and was not renewed: a warning when less than a tenth of its life and less than a week is left, " +
			"info when less than a fifth and less than thirty days is. What renews certificates does so earlier, so it has failed by then. Left alone: short-lived " +
			"certificates that are young by their own measure, and bundles in which another authority lasts longer.",
		KO: "다른 구성 요소가 의존하는 인증서가 갱신되지 않은 채 곧 만료됩니다. 남은 기간이 전체의 1/10과 7일보다 짧으면 warning, 1/5과 30일보다 짧으면 info입니다. " +
			"자동 갱신은 그보다 일찍 이루어지므로 이미 실패한 상태입니다. 수명이 짧지만 아직 여유가 있는 인증서와 더 오래 유효한 CA가 있는 bundle은 제외합니다.",
	},
	Link:     "https://kubernetes.io/docs/concepts/services-networking/ingress/#tls",
	Severity: finding.Warning,
	Needs:    certificateNeeds(),
	Detect:   certificateExpiring,
})

const (
	// renewalWarned and renewalTold bound what is left of a certificate that is worth a word, however long
	// it lives; cert-manager renews at two thirds of a certificate's life
	// (https://cert-manager.io/docs/usage/certificate/#renewal).
	renewalWarned = 7 * 24 * time.Hour
	renewalTold   = 30 * 24 * time.Hour
)

func certificateExpiring(p *rule.Pass) {
	all, _ := certificatesOf(p)
	for _, d := range all {
		left, life := d.notAfter.Sub(p.Now()), d.notAfter.Sub(d.notBefore)
		if left <= 0 || left >= min(renewalTold, life/5) {
			continue
		}
		f := finding.Finding{
			Subject: d.subject, Mechanism: v1alpha1.MechanismExpired, Field: d.field, Evidence: []finding.Evidence{d.evidence()}, Remedies: d.renew(),
			Title: finding.Format("%s: %s expires in %s", "%s: %s, %s 뒤 만료", finding.Verbatim(finding.Named(d.subject)), d.what(), span(left)),
			Why:   finding.Join("; ", finding.Textf("it is valid until %s", "%s까지 유효합니다", finding.Clock(p.Now(), d.notAfter)), d.purpose()),
		}
		if left >= min(renewalWarned, life/10) {
			f.Severity = finding.Info
		}
		p.Report(f)
	}
}

// span tells a duration in days, or in hours where it is less than two days.
func span(d time.Duration) finding.Text {
	if d < 48*time.Hour {
		return finding.Textf("%d hours", "%d시간", int(d.Hours()))
	}
	return finding.Textf("%d days", "%d일", int(d.Hours()/24))
}
