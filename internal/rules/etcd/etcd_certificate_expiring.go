package etcd

import (
	"time"

	"github.com/maek-dev/maek/api/maek/v1alpha1"
	"github.com/maek-dev/maek/internal/finding"
	"github.com/maek-dev/maek/internal/rule"
	"github.com/maek-dev/maek/internal/snapshot"
)

var _ = Catalog.Add(rule.Rule{
	Code:  "EtcdCertificateExpiring",
	Title: finding.Text{EN: "certificate that an etcd member shows is about to expire", KO: "etcd member의 인증서가 곧 만료됩니다"},
	Doc: finding.Text{
		EN: "A member of etcd on a machine whose files nobody reads, as an external one, shows a certificate that expires within a week, or has expired: then kube-apiserver trusts it no more, and etcd is lost to it. Certificates on machines with " +
			"an agent are told of from their files.",
		KO: "파일을 읽을 수 없는 머신(예: 외부 etcd)의 member가 보여 주는 인증서가 일주일 안에 만료되거나 이미 만료되었습니다. 만료되면 kube-apiserver가 etcd를 신뢰하지 않아 사용할 수 없습니다. agent가 있는 머신의 인증서는 파일을 읽어 알립니다.",
	},
	Link:     "https://etcd.io/docs/v3.6/op-guide/security/",
	Severity: finding.Warning,
	Gravest:  finding.Critical,
	Needs:    optionalNodes,
	Machine:  machineKeys,
	Detect:   detectEtcdCertificateExpiring,
})

// renewBefore is how long before the end a certificate is told of.
const renewBefore = 7 * 24 * time.Hour

func detectEtcdCertificateExpiring(p *rule.Pass) {
	for _, c := range clusters(p) {
		for _, m := range c.members {
			if _, ok := p.Machine(m.node); ok {
				continue
			}
			for _, on := range c.from {
				k := c.key(on, m, "certificate-expires")
				end := on.Time(k)
				if end.IsZero() || end.Sub(on.ObservedAt()) > renewBefore {
					continue
				}
				p.Report(expiring(p, m, on, k, end))
				break
			}
		}
	}
}

func expiring(p *rule.Pass, m etcdMember, on snapshot.Machine, k snapshot.EvidenceKey, end time.Time) finding.Finding {
	f := finding.Finding{
		Subject: m.subject(), Mechanism: v1alpha1.MechanismExpired, Severity: finding.Warning, Evidence: []finding.Evidence{on.Evidence(k)},
		Title: finding.Textf("certificate of etcd member %s expires at %s", "etcd member %s의 인증서가 %s에 만료됩니다", m.label(), finding.Clock(p.Now(), end)),
		Why:   finding.Textf("It showed it to %s. Once it has expired, kube-apiserver trusts the member no more.", "%s에서 확인했습니다. 만료되면 kube-apiserver가 이 member를 신뢰하지 않습니다.", on.Node()),
		Remedies: finding.Remedies{Now: []finding.Remedy{{
			Text:    finding.Text{EN: "see when it ends, and renew it where etcd runs", KO: "만료 시각을 확인하고 etcd가 있는 머신에서 갱신합니다"},
			Command: "openssl s_client -connect " + finding.ShellWord(m.host+":2379") + " </dev/null 2>/dev/null | openssl x509 -noout -subject -enddate", Machine: on.Node(),
		}}},
	}
	if end.Before(on.ObservedAt()) {
		f.Severity, f.Since = finding.Critical, end
		f.Title = finding.Textf("certificate of etcd member %s expired at %s", "etcd member %s의 인증서가 %s에 만료되었습니다", m.label(), finding.Clock(p.Now(), end))
		f.Why = finding.Textf("It showed it to %s. kube-apiserver trusts the member no more.", "%s에서 확인했습니다. kube-apiserver가 이 member를 신뢰하지 않습니다.", on.Node())
	}
	return f
}
