package node

import (
	"github.com/maek-dev/maek/api/maek/v1alpha1"
	"github.com/maek-dev/maek/internal/finding"
	"github.com/maek-dev/maek/internal/rule"
)

var _ = Catalog.Add(rule.Rule{
	Code: "KubeletUnauthorized",
	Title: finding.Text{
		EN: "API server does not accept the kubelet's certificate",
		KO: "API server가 kubelet의 인증서를 받아들이지 않습니다",
	},
	Doc: finding.Text{
		EN: "Asked with the kubelet's own certificate, which is within its dates, the API server answers 401: the certificate was signed by another CA than the one that the API server trusts, as after the CA was replaced or the node " +
			"was joined to another cluster before. One that is out of date is KubeletCertificateExpired.",
		KO: "유효 기간 안에 있는 kubelet 인증서로 요청했는데 API server가 401로 응답합니다. CA를 교체했거나 노드가 다른 클러스터에 속했던 경우처럼, API server가 신뢰하는 CA가 아닌 다른 CA가 서명한 인증서입니다. " +
			"만료된 인증서는 KubeletCertificateExpired입니다.",
	},
	Link:     "https://kubernetes.io/docs/reference/access-authn-authz/kubelet-tls-bootstrapping/",
	Severity: finding.Warning,
	Machine:  certificateKeys(),
	Detect:   detectKubeletUnauthorized,
})

func detectKubeletUnauthorized(p *rule.Pass) {
	for _, m := range p.Machines() {
		until := m.Time("kubelet/client-certificate/not-after")
		if m.Value("kubelet/api-server/status") != "401" || until.IsZero() || m.ObservedAt().After(until) || m.ObservedAt().Before(m.Time("kubelet/client-certificate/not-before")) {
			continue
		}
		path, url := m.Value("kubelet/client-certificate/path"), m.Value("kubelet/api-server/url")
		p.Report(finding.Finding{
			Subject: m.Subject("Certificate", path), Mechanism: v1alpha1.MechanismUnauthorized, Field: path,
			Title: finding.Textf("machine %s: the API server does not accept the kubelet's certificate", "머신 %s: API server가 kubelet의 인증서를 받아들이지 않습니다", m.Node()),
			Why: finding.Textf("%[1]s answers 401 to the certificate in %[2]s (%[3]s), which is good until %[4]s: another CA signed it than the one that the API server trusts. The kubelet runs, and nothing that it reports is taken.",
				"%[2]s 인증서(%[3]s, %[4]s까지 유효)로 요청하면 %[1]s 주소가 401로 응답합니다. API server가 신뢰하는 CA가 아닌 다른 CA가 서명했습니다. kubelet은 실행 중이지만 보고가 모두 거부됩니다.",
				url, path, m.Value("kubelet/client-certificate/subject"), finding.Clock(m.ObservedAt(), until)),
			Evidence: []finding.Evidence{m.Evidence("kubelet/api-server/status"), m.Evidence("kubelet/client-certificate/not-after")},
			Explains: nodeOnly(m),
			RuledOut: append([]finding.Statement{machineUp(m)}, pathOpen(m)...),
			Remedies: bootstrapAnew(m),
		})
	}
}
