package probes

import (
	"strconv"
	"strings"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/util/intstr"

	"github.com/maek-dev/maek/api/maek/v1alpha1"
	"github.com/maek-dev/maek/internal/finding"
	"github.com/maek-dev/maek/internal/rule"
	"github.com/maek-dev/maek/internal/snapshot"
)

var _ = Catalog.Add(rule.Rule{
	Code:  "ReadinessProbeMissing",
	Title: finding.Textf("container behind a Service has no readiness probe", "Service 뒤의 컨테이너에 readiness probe가 없습니다"),
	Doc: finding.Textf(
		"A Service sends connections to a container that has no readiness probe: the container counts as ready as soon as its process runs, so that with each rollout, restart and scale-up clients get refused connections until it listens, and a "+
			"process that hangs keeps its share of the traffic. It is the container that owns the Service's targetPort that is looked at: a probe of a sidecar says nothing about it. Left alone: containers with a startup probe, which "+
			"holds readiness back until it succeeds; Services that publish addresses that are not ready on purpose, or one of whose other ports leads to a container that is asked; ports of metrics, whose reader tries again; UDP ports; Jobs and static pods; and ports of which it is not clear whose they are.",
		"Service가 연결을 보내는 컨테이너에 readiness probe가 없습니다. 프로세스가 실행되는 즉시 Ready로 취급되므로 rollout, 재시작, scale-up마다 수신을 시작할 때까지 클라이언트의 연결이 거부되고, 멈춘 프로세스에도 트래픽이 계속 갑니다. "+
			"Service의 targetPort를 가진 컨테이너를 확인하며 sidecar의 probe는 상관없습니다. 성공할 때까지 Ready를 막아 주는 startup probe가 있는 컨테이너, Ready가 아닌 주소도 일부러 공개하는 Service, 다른 port가 이어지는 컨테이너에 probe가 있는 Service, 수집기가 다시 시도하는 metric port, UDP port, Job과 static Pod, 어느 컨테이너의 것인지 분명하지 않은 port는 제외합니다."),
	Link:     probeConcepts + "#readiness-probe",
	Severity: finding.Info,
	Risk:     true,
	Needs:    baseNeeds(rule.Any[*corev1.Service]()),
	Detect: func(p *rule.Pass) {
		for f := range familiesOf(p.Snapshot).serving() {
			for _, svc := range p.ServicesSelecting(f.pods[0]) {
				if at, port, ok := unprobed(f, svc); ok {
					p.Report(missingFinding(p.Snapshot, at, svc, port))
					break
				}
			}
		}
	},
})

// unprobed finds the container of a family that owns a port of a Service and has nothing that tells when it is
// ready.
func unprobed(f *family, svc *corev1.Service) (place, corev1.ServicePort, bool) {
	if svc.Spec.PublishNotReadyAddresses || svc.Spec.Type == corev1.ServiceTypeExternalName {
		return place{}, corev1.ServicePort{}, false
	}
	var first place
	var through corev1.ServicePort
	for _, port := range svc.Spec.Ports {
		if port.Protocol != "" && port.Protocol != corev1.ProtocolTCP {
			continue
		}
		at, ok := f.owner(targetPort(port))
		switch {
		case !ok || ofMetrics(port.Name) || ofMetrics(at.declaredName(targetPort(port))):
		case at.container.ReadinessProbe != nil || at.container.StartupProbe != nil:
			// Somebody decided what makes a pod of this Service ready: what else it brings, such as the
			// reloader beside Prometheus, is part of that.
			return place{}, corev1.ServicePort{}, false
		case first.container == nil:
			first, through = at, port
		}
	}
	return first, through, first.container != nil
}

// ofMetrics tells whether a port is one of metrics by its name, such as those of ServiceMonitors.
func ofMetrics(name string) bool {
	return strings.Contains(name, "metrics") || strings.Contains(name, "prometheus") || strings.Contains(name, "telemetry")
}

// declaredName is the name that the container gives to a port; empty where it gives none.
func (at place) declaredName(port intstr.IntOrString) string {
	for _, declared := range at.container.Ports {
		if port.Type == intstr.String && declared.Name == port.StrVal || port.Type == intstr.Int && declared.ContainerPort == port.IntVal {
			return declared.Name
		}
	}
	return ""
}

// targetPort of a Service's port, which is the port itself where it is not set.
func targetPort(port corev1.ServicePort) intstr.IntOrString {
	if port.TargetPort == (intstr.IntOrString{}) {
		return intstr.FromInt32(port.Port)
	}
	return port.TargetPort
}

// owner is the container that declares a port by its name or number; the only container of the pod owns a number
// that nobody declares.
func (f *family) owner(port intstr.IntOrString) (place, bool) {
	var only place
	n := 0
	for at := range f.places(f.pods[0]) {
		for _, declared := range at.container.Ports {
			if port.Type == intstr.String && declared.Name == port.StrVal || port.Type == intstr.Int && declared.ContainerPort == port.IntVal {
				return at, true
			}
		}
		only = at
		n++
	}
	return only, n == 1 && port.Type == intstr.Int
}

func missingFinding(s *snapshot.Snapshot, at place, svc *corev1.Service, port corev1.ServicePort) finding.Finding {
	f, target := at.of, targetPort(port)
	service := finding.Subject{Kind: "Service", Namespace: svc.Namespace, Name: svc.Name}
	var value any = target.IntVal
	if target.Type == intstr.String {
		value = target.StrVal
	}
	return finding.Finding{
		Subject: f.workload, Mechanism: v1alpha1.MechanismMisconfigured, Field: at.field(".readinessProbe"), Explains: []finding.Subject{f.workload, service},
		Title: finding.Textf("%s: container %s, which serves %s, has no readiness probe",
			"%s: %[3]s의 트래픽을 받는 %[2]s 컨테이너에 readiness probe가 없습니다", finding.Named(f.workload), at.container.Name, finding.Named(service)),
		Why: finding.Textf("port %d of the Service leads to port %s of this container, which counts as ready as soon as its process runs: clients get its connections before it listens, and while it hangs",
			"Service의 port %d이 이 컨테이너의 port %s로 이어지며, 프로세스가 실행되는 즉시 Ready로 취급되므로 수신을 시작하기 전이나 멈춘 동안에도 클라이언트의 연결이 전달됩니다", port.Port, target.String()),
		Evidence: []finding.Evidence{
			{Source: finding.Named(service), Path: ".spec.ports[" + strconv.Itoa(int(port.Port)) + "].targetPort", Value: target.String()},
			{Source: finding.Named(f.workload), Path: at.field(".readinessProbe"), Value: "(none)"},
		},
		Remedies: finding.Remedies{Later: []finding.Remedy{at.mend(s, fields{"readinessProbe": fields{"tcpSocket": fields{"port": value}, "periodSeconds": 5}}, finding.Textf(
			"the least: ready when it takes connections, out after 3 x 5 = 15 s without; better an HTTP path that says whether this replica can serve",
			"최소한 연결을 받을 때 Ready가 되고 3 x 5 = 15초 동안 받지 못하면 빠지게 합니다. 이 replica가 서비스할 수 있는지 알려 주는 HTTP 경로가 더 좋습니다"))}},
	}
}
