package admission

import (
	"crypto/x509"
	"encoding/pem"
	"fmt"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"

	coordinationv1 "k8s.io/api/coordination/v1"
	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"

	"github.com/maek-dev/maek/api/maek/v1alpha1"
	"github.com/maek-dev/maek/internal/finding"
	"github.com/maek-dev/maek/internal/rule"
	"github.com/maek-dev/maek/internal/snapshot"
)

// backendNeeds are what is read to judge who answers the calls of a webhook.
func backendNeeds() []rule.Need {
	return append(rule.Owners(),
		rule.Optional[*corev1.Service](), rule.Optional[*discoveryv1.EndpointSlice](), rule.Optional[*corev1.Pod](), rule.Optional[*coordinationv1.Lease]())
}

// backend is where the API server sends the calls of a webhook.
type backend struct {
	// service that is called; the zero subject where an address is.
	service finding.Subject
	// port of the service.
	port int32
	// address is the host of the URL, where no service is named.
	address string
	// caBundle that its certificate is checked against, in PEM.
	caBundle []byte
}

// backendOf reads a client configuration, of which admission and conversion webhooks have the same
// fields. A service is called on port 443 where none is named
// (k8s.io/api/admissionregistration/v1, ServiceReference).
func backendOf(address *string, namespace, name string, port *int32, caBundle []byte) backend {
	b := backend{caBundle: caBundle}
	if address != nil {
		b.address = *address
		if u, err := url.Parse(*address); err == nil && u.Host != "" {
			b.address = u.Host
		}
		return b
	}
	b.service = finding.Subject{Kind: "Service", Namespace: namespace, Name: name}
	b.port = 443
	if port != nil {
		b.port = *port
	}
	return b
}

// key is the same for webhooks that call one place.
func (b backend) key() string {
	return fmt.Sprintf("%s/%s:%d %s", b.service.Namespace, b.service.Name, b.port, b.address)
}

// fault is what is wrong with a backend.
type fault struct {
	mechanism finding.Mechanism
	field     string
	// text says it in half a sentence that begins with what is wrong.
	text  finding.Text
	since time.Time
	// confidence in it; empty means high.
	confidence finding.Confidence
	evidence   []finding.Evidence
	// waitsFor names what the backend itself wants.
	waitsFor []finding.Subject
}

// judge tells what is wrong with a backend as far as objects show it; false where they show nothing.
func (b backend) judge(p *rule.Pass) (fault, bool) {
	if end, expired := caExpired(b.caBundle, p.Now()); expired {
		return fault{
			mechanism: v1alpha1.MechanismExpired, field: ".clientConfig.caBundle", since: end,
			text:     finding.Textf("every certificate in its caBundle has expired (%s)", "caBundle의 인증서가 모두 만료되었습니다(%s)", finding.Clock(p.Now(), end)),
			evidence: []finding.Evidence{{Source: "caBundle", Path: "notAfter", Value: end.UTC().Format(time.RFC3339), At: finding.Timestamp(end)}},
		}, true
	}
	if b.service.Name == "" {
		return fault{}, false
	}
	svc, ok := snapshot.Get[*corev1.Service](p.Snapshot, b.service.Namespace, b.service.Name)
	name := finding.Qualified(b.service)
	switch {
	case !ok && !p.Coverage(snapshot.KindOf[*corev1.Service]()).Known():
		return fault{}, false
	case !ok:
		return fault{
			mechanism: v1alpha1.MechanismMissing, field: ".clientConfig.service",
			text:     finding.Textf("Service %s does not exist", "Service(%s)가 없습니다", name),
			evidence: []finding.Evidence{{Source: finding.Named(b.service), Value: "not found"}},
			waitsFor: []finding.Subject{b.service, {Kind: "Namespace", Name: b.service.Namespace}},
		}, true
	case svc.Spec.Type == corev1.ServiceTypeExternalName:
		return fault{}, false
	case !slices.ContainsFunc(svc.Spec.Ports, func(sp corev1.ServicePort) bool { return sp.Port == b.port }):
		return fault{
			mechanism: v1alpha1.MechanismMisconfigured, field: ".clientConfig.service.port",
			text:     finding.Textf("Service %s has no port %d", "Service(%s)에 포트 %d번이 없습니다", name, b.port),
			evidence: []finding.Evidence{{Source: finding.Named(b.service), Path: ".spec.ports", Value: ports(svc)}},
			waitsFor: []finding.Subject{b.service},
		}, true
	}
	return b.endpointless(p, svc)
}

// endpointless tells whether nobody stands behind a service. EndpointSlices are believed while the
// controller manager lives; else a pod counts that is ready.
func (b backend) endpointless(p *rule.Pass, svc *corev1.Service) (fault, bool) {
	if !p.Coverage(snapshot.KindOf[*discoveryv1.EndpointSlice]()).Known() {
		return fault{}, false
	}
	pods := slices.DeleteFunc(slices.Clone(p.PodsSelected(svc.Namespace, svc.Spec.Selector)), func(pod *corev1.Pod) bool {
		return snapshot.PodDone(pod) || pod.DeletionTimestamp != nil
	})
	believed := p.Writer(snapshot.ControllerManager).State != snapshot.Dead
	var written time.Time
	for _, slice := range p.EndpointSlicesOf(svc) {
		if believed && slices.ContainsFunc(slice.Endpoints, serves) {
			return fault{}, false
		}
		_, at := snapshot.LastManager(slice)
		written = finding.Later(written, at)
	}
	if !believed && (len(svc.Spec.Selector) == 0 || slices.ContainsFunc(pods, snapshot.PodReady)) {
		return fault{}, false
	}
	f := fault{
		mechanism: v1alpha1.MechanismStopped, since: written,
		text:     finding.Textf("Service %s has no ready endpoint", "Service(%s)에 준비된 endpoint가 없습니다", finding.Qualified(b.service)),
		evidence: []finding.Evidence{{Source: "EndpointSlices of " + finding.Qualified(b.service), Path: ".endpoints", Value: "0 ready", At: finding.Timestamp(written)}},
		waitsFor: []finding.Subject{b.service},
	}
	var lost time.Time // the last pod to cease being ready took the last endpoint with it
	for _, pod := range pods {
		lost = finding.Later(lost, snapshot.NotReadySince(pod))
		f.waitsFor = append(f.waitsFor, snapshot.SubjectOf(pod), p.Workload(pod))
	}
	f.since = finding.Earlier(lost, written)
	slices.SortFunc(f.waitsFor, finding.CompareSubjects)
	f.waitsFor = slices.Compact(f.waitsFor)
	return f, true
}

// serves tells whether an endpoint is listed as ready; one that does not say so is
// (k8s.io/api/discovery/v1, EndpointConditions).
func serves(e discoveryv1.Endpoint) bool { return e.Conditions.Ready == nil || *e.Conditions.Ready }

func ports(svc *corev1.Service) string {
	var out []string
	for _, sp := range svc.Spec.Ports {
		out = append(out, strconv.Itoa(int(sp.Port)))
	}
	return strings.Join(out, ", ")
}

// caExpired tells when the last certificate of a bundle expired, where none is left that is good.
func caExpired(bundle []byte, now time.Time) (time.Time, bool) {
	var last time.Time
	for {
		var block *pem.Block
		block, bundle = pem.Decode(bundle)
		if block == nil {
			return last, !last.IsZero() && last.Before(now)
		}
		cert, err := x509.ParseCertificate(block.Bytes)
		if err != nil {
			return time.Time{}, false
		}
		last = finding.Later(last, cert.NotAfter)
	}
}

// callFaults are what the API server says when it cannot call a webhook, in the order in which they
// are looked for (k8s.io/apiserver/pkg/util/proxy, ResolveCluster and ResolveEndpoint; Go's net,
// net/http and crypto/x509).
var callFaults = []struct {
	words     string
	mechanism finding.Mechanism
	field     string
	text      finding.Text
}{
	{"signed by unknown authority", v1alpha1.MechanismMisconfigured, ".clientConfig.caBundle", finding.Text{
		EN: "its certificate is not signed by the caBundle of the configuration (a stale caBundle, or a certificate that was made anew)",
		KO: "인증서가 설정의 caBundle로 서명되지 않았습니다(오래된 caBundle이거나 인증서가 새로 발급된 경우)",
	}},
	{"certificate has expired", v1alpha1.MechanismExpired, "", finding.Text{EN: "its certificate has expired", KO: "인증서가 만료되었습니다"}},
	{"certificate is valid for", v1alpha1.MechanismMisconfigured, "", finding.Text{EN: "its certificate is for another name", KO: "인증서가 다른 이름으로 발급되었습니다"}},
	{"no endpoints available for service", v1alpha1.MechanismStopped, "", finding.Text{EN: "its Service has no ready endpoint", KO: "Service에 준비된 endpoint가 없습니다"}},
	{"connection refused", v1alpha1.MechanismRefused, "", finding.Text{EN: "the connection is refused: nobody listens there", KO: "연결이 거부됩니다(요청을 받는 프로세스가 없음)"}},
	{"no such host", v1alpha1.MechanismMissing, ".clientConfig.url", finding.Text{EN: "its name cannot be resolved", KO: "이름을 해석하지 못합니다"}},
	{"not found", v1alpha1.MechanismMissing, ".clientConfig.service", finding.Text{EN: "its Service does not exist", KO: "Service가 없습니다"}},
	{"deadline exceeded", v1alpha1.MechanismUnreachable, "", finding.Text{EN: "it does not answer in time", KO: "제한 시간 안에 응답하지 않습니다"}},
	{"Client.Timeout", v1alpha1.MechanismUnreachable, "", finding.Text{EN: "it does not answer in time", KO: "제한 시간 안에 응답하지 않습니다"}},
	{"i/o timeout", v1alpha1.MechanismUnreachable, "", finding.Text{EN: "nothing comes back from it", KO: "응답이 돌아오지 않습니다"}},
	{"no route to host", v1alpha1.MechanismUnreachable, "", finding.Text{EN: "there is no route to it", KO: "연결할 경로가 없습니다"}},
}

// faultOf reads what is wrong from the API server's words about a call that failed.
func faultOf(message string) fault {
	for _, c := range callFaults {
		if strings.Contains(message, c.words) {
			return fault{mechanism: c.mechanism, field: c.field, text: c.text}
		}
	}
	return fault{
		mechanism: v1alpha1.MechanismFailing, confidence: v1alpha1.ConfidenceMedium,
		text: finding.Text{EN: "calling it fails", KO: "호출이 실패합니다"},
	}
}
