package probes

import (
	"regexp"

	corev1 "k8s.io/api/core/v1"

	"github.com/maek-dev/maek/api/maek/v1alpha1"
	"github.com/maek-dev/maek/internal/finding"
	"github.com/maek-dev/maek/internal/rule"
)

var _ = Catalog.Add(rule.Rule{
	Code:  "ReadinessOnlyConnects",
	Title: finding.Textf("readiness probe only connects to a port that speaks HTTP or gRPC", "HTTP 또는 gRPC를 사용하는 port에 readiness probe가 연결만 확인합니다"),
	Doc: finding.Textf(
		"A readiness probe opens a connection (tcpSocket) to a port of which a Service says that HTTP or gRPC is spoken there. The kernel accepts connections for a program that hangs, until its queue is full, and a proxy accepts them for a "+
			"program that is gone: the pod stays ready, and clients wait. A request tells more. Left alone: ports of which no Service says what they speak (appProtocol, or the name of the port), other protocols, and probes that ask by a request.",
		"Service가 HTTP 또는 gRPC라고 알린 port에 readiness probe가 연결(tcpSocket)만 확인합니다. 프로그램이 멈춰도 대기열이 찰 때까지는 커널이 연결을 받고, 프로그램이 사라져도 proxy가 연결을 받으므로 Pod는 Ready로 남고 클라이언트는 기다리게 됩니다. "+
			"요청을 보내면 더 많은 것을 알 수 있습니다. 어떤 프로토콜인지 Service에 적혀 있지 않은 port(appProtocol이나 port 이름), 다른 프로토콜, 요청으로 확인하는 probe는 제외합니다."),
	Link:     probeConcepts + "#readiness-probe",
	Severity: finding.Info,
	Risk:     true,
	Needs:    baseNeeds(rule.Any[*corev1.Service]()),
	Detect: func(p *rule.Pass) {
		for f := range familiesOf(p.Snapshot).serving() {
			for _, svc := range p.ServicesSelecting(f.pods[0]) {
				if one, port, ok := onlyConnects(f, svc); ok {
					p.Report(onlyConnectsFinding(one, svc, port))
					break
				}
			}
		}
	},
})

// requested are the protocols in which a server answers requests, as appProtocol has them
// (https://kubernetes.io/docs/concepts/services-networking/service/#application-protocol) and as ports are called.
var (
	requested     = regexp.MustCompile(`(?i)^(?:https?|grpc|grpcs|kubernetes\.io/h2c|http2|h2c)$`)
	requestedName = regexp.MustCompile(`^(?:https?|grpc|h2c|http2)(?:-|$)`)
)

// onlyConnects finds a readiness probe that opens a connection to a port of which a Service says that requests are
// answered there.
func onlyConnects(f *family, svc *corev1.Service) (probe, corev1.ServicePort, bool) {
	for _, port := range svc.Spec.Ports {
		if port.AppProtocol != nil && !requested.MatchString(*port.AppProtocol) || port.AppProtocol == nil && !requestedName.MatchString(port.Name) {
			continue
		}
		at, ok := f.owner(targetPort(port))
		if !ok || at.container.ReadinessProbe == nil || at.container.ReadinessProbe.TCPSocket == nil {
			continue
		}
		one := probe{at, readiness, at.container.ReadinessProbe}
		if n := one.number(); n != 0 && n == at.portNumber(targetPort(port)) {
			return one, port, true
		}
	}
	return probe{}, corev1.ServicePort{}, false
}

func onlyConnectsFinding(one probe, svc *corev1.Service, port corev1.ServicePort) finding.Finding {
	service := finding.Named(finding.Subject{Kind: "Service", Namespace: svc.Namespace, Name: svc.Name})
	path, value := ".name", port.Name
	if port.AppProtocol != nil {
		path, value = ".appProtocol", *port.AppProtocol
	}
	return finding.Finding{
		Subject: one.of.workload, Mechanism: v1alpha1.MechanismMisconfigured, Field: one.field(".tcpSocket"), Explains: []finding.Subject{one.of.workload},
		Title: finding.Textf("%s: the readiness probe of container %s only connects to port %d, which speaks %s",
			"%s: %s 컨테이너의 readiness probe가 %[4]s를 사용하는 port %[3]d에 연결만 확인합니다", finding.Named(one.of.workload), one.container.Name, one.number(), finding.Quote(value)),
		Why: finding.Textf("the kernel takes connections for a program that hangs: the pod stays in %s, and clients wait", "프로그램이 멈춰도 커널이 연결을 받으므로 Pod가 %s에 남고 클라이언트는 기다리게 됩니다", service),
		Evidence: []finding.Evidence{
			{Source: service, Path: ".spec.ports[" + number(int(port.Port)).EN + "]" + path, Value: finding.Quote(value)},
			{Source: finding.Named(one.of.workload), Path: one.field(""), Value: one.asks()},
		},
		Remedies: finding.Remedies{Later: []finding.Remedy{one.edit("", finding.Textf(
			"ask by httpGet a path, or by grpc the health service, that says whether this replica can serve", "이 replica가 서비스할 수 있는지 알려 주는 경로를 httpGet으로, 또는 health service를 grpc로 확인하게 합니다"))}},
	}
}
