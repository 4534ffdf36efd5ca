package config

import (
	"cmp"
	"crypto/x509"
	"encoding/pem"
	"fmt"
	"maps"
	"slices"
	"time"

	admissionregistrationv1 "k8s.io/api/admissionregistration/v1"
	networkingv1 "k8s.io/api/networking/v1"
	apiextensionsv1 "k8s.io/apiextensions-apiserver/pkg/apis/apiextensions/v1"
	apiregistrationv1 "k8s.io/kube-aggregator/pkg/apis/apiregistration/v1"

	"github.com/maek-dev/maek/internal/finding"
	"github.com/maek-dev/maek/internal/rule"
	"github.com/maek-dev/maek/internal/snapshot"
)

// dated is an object that holds certificates, and when they end.
type dated struct {
	subject finding.Subject
	// field that holds them.
	field string
	// notBefore and notAfter bound their validity; name is what the decisive one is made out to.
	notBefore, notAfter time.Time
	name                string
	// serving marks certificates that are shown to users; others are certificate authorities by which the
	// API server judges whom it calls.
	serving bool
	// users are the objects that rely on them, public tells that a load balancer serves one of them.
	users  []finding.Subject
	public bool
}

// certificateNeeds are the kinds that certificatesOf reads.
func certificateNeeds() []rule.Need {
	return []rule.Need{
		rule.Any[*networkingv1.Ingress](), rule.Any[*admissionregistrationv1.ValidatingWebhookConfiguration](),
		rule.Any[*admissionregistrationv1.MutatingWebhookConfiguration](), rule.Any[*apiextensionsv1.CustomResourceDefinition](),
		rule.Any[*apiregistrationv1.APIService](),
	}
}

// certificatesOf returns all that bears certificates, one entry a subject, and the number of those that
// may not be read.
func certificatesOf(p *rule.Pass) (out []dated, denied int) {
	add := func(o snapshot.Object, field string, bundle []byte) {
		d, ok := authority(bundle)
		if !ok {
			return
		}
		d.subject, d.field = snapshot.SubjectOf(o), field
		// Of several webhooks of one configuration the one that ends first is told.
		if i := slices.IndexFunc(out, func(other dated) bool { return other.subject == d.subject }); i >= 0 {
			if d.notAfter.Before(out[i].notAfter) {
				out[i] = d
			}
			return
		}
		out = append(out, d)
	}
	for _, c := range snapshot.List[*admissionregistrationv1.ValidatingWebhookConfiguration](p.Snapshot) {
		for i := range c.Webhooks {
			add(c, ".webhooks["+c.Webhooks[i].Name+"].clientConfig.caBundle", c.Webhooks[i].ClientConfig.CABundle)
		}
	}
	for _, c := range snapshot.List[*admissionregistrationv1.MutatingWebhookConfiguration](p.Snapshot) {
		for i := range c.Webhooks {
			add(c, ".webhooks["+c.Webhooks[i].Name+"].clientConfig.caBundle", c.Webhooks[i].ClientConfig.CABundle)
		}
	}
	for _, c := range snapshot.List[*apiextensionsv1.CustomResourceDefinition](p.Snapshot) {
		if conversion := c.Spec.Conversion; conversion != nil && conversion.Webhook != nil && conversion.Webhook.ClientConfig != nil {
			add(c, ".spec.conversion.webhook.clientConfig.caBundle", conversion.Webhook.ClientConfig.CABundle)
		}
	}
	for _, a := range snapshot.List[*apiregistrationv1.APIService](p.Snapshot) {
		add(a, ".spec.caBundle", a.Spec.CABundle)
	}
	served, denied := ofIngresses(p)
	return append(out, served...), denied
}

// parse reads the certificates of a PEM text; what is none is passed over.
func parse(text []byte) []*x509.Certificate {
	var out []*x509.Certificate
	for {
		var block *pem.Block
		if block, text = pem.Decode(text); block == nil {
			return out
		}
		if c, err := x509.ParseCertificate(block.Bytes); err == nil && block.Type == "CERTIFICATE" {
			out = append(out, c)
		}
	}
}

// authority reads a bundle of certificate authorities. While one of them is valid what it signs is
// believed, so the one that ends last decides.
func authority(bundle []byte) (dated, bool) {
	all := parse(bundle)
	if len(all) == 0 {
		return dated{}, false
	}
	last := slices.MaxFunc(all, func(a, b *x509.Certificate) int { return a.NotAfter.Compare(b.NotAfter) })
	return dated{notBefore: last.NotBefore, notAfter: last.NotAfter, name: cmp.Or(last.Subject.CommonName, last.Subject.String())}, true
}

// chain reads what a server shows: its own certificate and those that lead from it to an authority. It
// is worth nothing once any of them has ended.
func chain(text string) (dated, bool) {
	all := parse([]byte(text))
	if len(all) == 0 {
		return dated{}, false
	}
	first := slices.MinFunc(all, func(a, b *x509.Certificate) int { return a.NotAfter.Compare(b.NotAfter) })
	name := first.Subject.CommonName
	if len(first.DNSNames) > 0 {
		name = first.DNSNames[0]
	}
	return dated{notBefore: first.NotBefore, notAfter: first.NotAfter, name: name, serving: true}, true
}

// certificatesAsked bounds how many Secrets of Ingresses are asked for their certificates: those of the
// most host names.
const certificatesAsked = 10

// ofIngresses asks for the certificates that Ingresses name.
func ofIngresses(p *rule.Pass) (out []dated, denied int) {
	type use struct {
		dated
		hosts int
	}
	bySecret := map[finding.Subject]*use{}
	for _, ingress := range snapshot.List[*networkingv1.Ingress](p.Snapshot) {
		for _, t := range ingress.Spec.TLS {
			if t.SecretName == "" {
				continue
			}
			secret := finding.Subject{Kind: kindSecret, Namespace: ingress.Namespace, Name: t.SecretName}
			if bySecret[secret] == nil {
				bySecret[secret] = &use{}
			}
			u := bySecret[secret]
			u.hosts += max(1, len(t.Hosts))
			u.users = append(u.users, snapshot.SubjectOf(ingress))
			u.public = u.public || len(ingress.Status.LoadBalancer.Ingress) > 0
		}
	}
	secrets := slices.SortedFunc(maps.Keys(bySecret), func(a, b finding.Subject) int {
		return cmp.Or(cmp.Compare(bySecret[b].hosts, bySecret[a].hosts), finding.CompareSubjects(a, b))
	})
	for _, secret := range secrets[:min(len(secrets), certificatesAsked)] {
		answer, ok := p.Ask(snapshot.Question{Kind: snapshot.CertificateOf, Namespace: secret.Namespace, Name: secret.Name})
		if ok && answer.Outcome == snapshot.Denied {
			denied++
		}
		if !ok || answer.Outcome != snapshot.Answered {
			continue
		}
		if d, ok := chain(answer.Text); ok {
			u := bySecret[secret]
			d.subject, d.field, d.users, d.public = secret, ".data[tls.crt]", u.users, u.public
			slices.SortFunc(d.users, finding.CompareSubjects)
			d.users = slices.Compact(d.users)
			out = append(out, d)
		}
	}
	return out, denied
}

// what names the certificate as people know it.
func (d dated) what() finding.Text {
	if d.serving {
		return finding.Textf("its certificate for %s", "%s 인증서", d.name)
	}
	return finding.Textf("the authority %s that it trusts", "신뢰하는 CA %s", d.name)
}

// evidence is what the certificate says of itself.
func (d dated) evidence() finding.Evidence {
	return finding.Evidence{
		Source: finding.Named(d.subject), Path: d.field,
		Value: fmt.Sprintf("%s: valid %s to %s", d.name, d.notBefore.UTC().Format(time.RFC3339), d.notAfter.UTC().Format(time.RFC3339)),
	}
}

// purpose says what stops working without the certificate.
func (d dated) purpose() finding.Text {
	switch {
	case d.serving:
		return finding.Format("%s shows it to its clients", "%s에서 클라이언트에 제시하는 인증서입니다", tell(d.users))
	case d.subject.Kind == "APIService":
		return finding.Text{EN: "by it the API server judges the server behind this API", KO: "API server가 이 API를 제공하는 서버를 검증하는 인증서입니다"}
	case d.subject.Kind == "CustomResourceDefinition":
		return finding.Text{EN: "by it the API server judges the conversion webhook of this kind", KO: "API server가 이 종류의 conversion webhook을 검증하는 인증서입니다"}
	default:
		return finding.Text{EN: "by it the API server judges the webhook that it calls", KO: "API server가 호출하는 webhook을 검증하는 인증서입니다"}
	}
}

// renew says how to get a new certificate.
func (d dated) renew() finding.Remedies {
	r := finding.Remedies{Later: []finding.Remedy{{Text: finding.Text{
		EN: "let a controller renew certificates (cert-manager), and alert two weeks before one ends",
		KO: "인증서 갱신을 controller(cert-manager)에 맡기고, 만료 2주 전에 알림을 보냅니다",
	}}}}
	if d.serving {
		ns, name := d.subject.Namespace, d.subject.Name
		r.Now = []finding.Remedy{
			{
				Text:    finding.Text{EN: "where cert-manager issues it, see why it does not renew it", KO: "cert-manager가 발급한 인증서라면 갱신되지 않는 이유를 확인합니다"},
				Command: fmt.Sprintf("kubectl -n %s get certificates.cert-manager.io,certificaterequests.cert-manager.io", ns),
			},
			{
				Text: finding.Text{EN: "or put a new certificate and its key in", KO: "또는 새 인증서와 key를 넣습니다"},
				Command: fmt.Sprintf("kubectl -n %s create secret tls %s --cert=tls.crt --key=tls.key --dry-run=client -o yaml | kubectl apply -f -",
					ns, name),
			},
		}
		return r
	}
	r.Now = []finding.Remedy{{
		Text: finding.Text{
			EN: "have whoever installed it issue a new authority and serving certificate, and write the authority here (the field is base64 of PEM)",
			KO: "설치한 도구로 새 CA와 서버 인증서를 발급하고 이 필드에 CA를 넣습니다(PEM을 base64로 인코딩한 값)",
		},
		Command: fmt.Sprintf("kubectl get %s %s -o yaml | grep -n -A1 caBundle", resourceNames[d.subject.Kind], d.subject.Name),
	}}
	return r
}

// resourceNames are what kubectl calls the kinds that hold authorities.
var resourceNames = map[string]string{
	"ValidatingWebhookConfiguration": "validatingwebhookconfigurations",
	"MutatingWebhookConfiguration":   "mutatingwebhookconfigurations",
	"CustomResourceDefinition":       "customresourcedefinitions",
	"APIService":                     "apiservices",
}
