package network

import (
	"fmt"
	"slices"
	"strings"
	"time"

	networkingv1 "k8s.io/api/networking/v1"

	"github.com/maek-dev/maek/api/maek/v1alpha1"
	"github.com/maek-dev/maek/internal/finding"
	"github.com/maek-dev/maek/internal/rule"
	"github.com/maek-dev/maek/internal/snapshot"
)

var _ = Catalog.Add(rule.Rule{
	Code:  "IngressTLSSecretMissing",
	Title: finding.Text{EN: "TLS Secret of an Ingress does not exist", KO: "Ingress의 TLS Secret이 없습니다"},
	Doc: finding.Text{
		EN: "An Ingress names a Secret with the certificate of its hosts, and the Secret does not exist: controllers show a certificate of their own for them, or refuse. Secrets are never listed; a few are asked " +
			"for one by one, without their keys. Left alone: Ingresses that were changed a short while ago, whose certificate may be on its way, and Secrets that may not be asked for.",
		KO: "Ingress가 지정한 인증서 Secret이 없어, 컨트롤러가 해당 호스트에 자체 인증서를 제시하거나 연결을 거부합니다. Secret은 목록을 읽지 않고 일부만 하나씩 확인하며 키는 읽지 않습니다. " +
			"방금 변경되어 인증서를 발급하는 중일 수 있는 Ingress와 확인할 권한이 없는 Secret은 제외합니다.",
	},
	Link:     "https://kubernetes.io/docs/concepts/services-networking/ingress/#tls",
	Severity: finding.Warning,
	Needs:    []rule.Need{rule.Any[*networkingv1.Ingress]()},
	For:      5 * time.Minute,
	Detect:   ingressTLSSecretMissing,
})

// secretsAsked is how many Secrets are asked for, of all Ingresses together.
const secretsAsked = 6

func ingressTLSSecretMissing(p *rule.Pass) {
	asked := 0
	missing := map[finding.Subject]bool{}
	for _, in := range snapshot.List[*networkingv1.Ingress](p.Snapshot) {
		if in.DeletionTimestamp != nil {
			continue
		}
		var names, hosts []string
		for _, t := range in.Spec.TLS {
			if t.SecretName == "" {
				continue // The controller's own certificate is meant.
			}
			secret := finding.Subject{Kind: "Secret", Namespace: in.Namespace, Name: t.SecretName}
			gone, known := missing[secret]
			if !known {
				if asked == secretsAsked {
					continue
				}
				asked++
				answer, ok := p.Ask(snapshot.Question{Kind: snapshot.CertificateOf, Namespace: in.Namespace, Name: t.SecretName})
				gone = ok && answer.Outcome == snapshot.Absent
				missing[secret] = gone
			}
			if gone && !slices.Contains(names, t.SecretName) {
				names = append(names, t.SecretName)
				hosts = append(hosts, t.Hosts...)
			}
		}
		if len(names) == 0 {
			continue
		}
		subject := snapshot.SubjectOf(in)
		f := finding.Finding{
			Subject: subject, Mechanism: v1alpha1.MechanismMissing, Field: ".spec.tls[].secretName",
			Since: lately(p.Now(), finding.Later(in.CreationTimestamp.Time, snapshot.SpecWritten(in))),
			Title: finding.Format("%s: its TLS Secret does not exist: %s", "%s: TLS Secret이 없습니다: %s", finding.Verbatim(finding.Named(subject)), finding.List(names)),
			Why:   finding.Format("browsers get another certificate, or no connection, for %s", "다음 호스트의 접속에 다른 인증서가 제시되거나 연결되지 않습니다: %s", finding.List(hosts)),
			Remedies: finding.Remedies{Now: []finding.Remedy{
				{
					Text:    finding.Text{EN: "see whether cert-manager ought to issue it, and what it waits for", KO: "cert-manager가 발급해야 하는 것인지, 무엇을 기다리는지 확인합니다"},
					Command: fmt.Sprintf("kubectl -n %s get certificates,certificaterequests,orders,challenges", in.Namespace),
				},
				{
					Text:    finding.Text{EN: "or put it there from its files", KO: "또는 파일로 직접 만듭니다"},
					Command: fmt.Sprintf("kubectl -n %s create secret tls %s --cert=tls.crt --key=tls.key", in.Namespace, names[0]),
				},
			}},
		}
		for _, name := range names {
			f.Evidence = append(f.Evidence, finding.Evidence{Source: finding.Named(subject), Path: ".spec.tls[].secretName", Value: name + " (" + strings.Join(hosts, ", ") + ")"})
		}
		p.Report(f)
	}
}
