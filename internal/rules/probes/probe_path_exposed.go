package probes

import (
	"regexp"
	"strings"

	corev1 "k8s.io/api/core/v1"
	networkingv1 "k8s.io/api/networking/v1"

	"github.com/maek-dev/maek/api/maek/v1alpha1"
	"github.com/maek-dev/maek/internal/finding"
	"github.com/maek-dev/maek/internal/rule"
	"github.com/maek-dev/maek/internal/snapshot"
)

var _ = Catalog.Add(rule.Rule{
	Code:  "ProbePathExposed",
	Title: finding.Textf("probe's path of the program's inside can be asked from outside", "프로그램 내부를 알려 주는 probe 경로를 외부에서 요청할 수 있습니다"),
	Doc: finding.Textf(
		"A probe asks a path under which a program shows its inside (/actuator, /metrics, /debug, /management), on a port to which an Ingress leads that path, or a Service of type NodePort or LoadBalancer every path: whoever can reach that may ask it too, and often its neighbours, such as environment and "+
			"heap dumps. Such paths belong on a port of their own that no Service has. Left alone: paths that answer no more than whether the program is well, ports that are reached only within the cluster, Ingresses whose paths do not cover it, Jobs, and static pods.",
		"probe가 프로그램 내부를 보여 주는 경로(/actuator, /metrics, /debug, /management)를 요청하는데, 그 경로로 이어지는 Ingress나 모든 경로를 여는 NodePort·LoadBalancer Service가 같은 port를 공개하고 있습니다. 접근할 수 있는 누구나 이 경로와, 환경 변수나 heap dump 같은 이웃 경로를 요청할 수 있습니다. "+
			"이런 경로는 Service에 없는 별도의 port에 두어야 합니다. 정상 여부만 답하는 경로, 클러스터 안에서만 접근하는 port, 그 경로를 포함하지 않는 Ingress, Job과 static Pod는 제외합니다."),
	Link:     "https://kubernetes.io/docs/concepts/security/application-security-checklist/",
	Severity: finding.Info,
	Risk:     true,
	Needs:    baseNeeds(rule.Any[*corev1.Service](), rule.Optional[*networkingv1.Ingress]()),
	Detect: func(p *rule.Pass) {
		doors := doorsOf(p.Snapshot)
		for f := range familiesOf(p.Snapshot).serving() {
			services := p.ServicesSelecting(f.pods[0])
			if len(services) == 0 {
				continue
			}
			var by finding.Subject
			one, ok := f.first(func(one probe) bool {
				var open bool
				by, open = one.exposedBy(services, doors)
				return open
			})
			if ok {
				p.Report(exposedFinding(one, by))
			}
		}
	},
})

// inside are the paths under which frameworks show the inside of a program: Spring Boot's actuator, Prometheus'
// metrics, Go's net/http/pprof and expvar, MicroProfile and Micronaut.
var inside = regexp.MustCompile(`^/(?:[\w-]+/)?(?:actuator|metrics|debug|management)(?:/|$)`)

// door is a path of an Ingress that leads to a Service.
type door struct {
	ingress finding.Subject
	path    networkingv1.HTTPIngressPath
}

// doorsOf are the paths of all Ingresses, by the Service to which they lead.
func doorsOf(s *snapshot.Snapshot) map[finding.Subject][]door {
	out := map[finding.Subject][]door{}
	for _, o := range snapshot.List[*networkingv1.Ingress](s) {
		for _, r := range o.Spec.Rules {
			if r.HTTP == nil {
				continue
			}
			for _, path := range r.HTTP.Paths {
				if path.Backend.Service != nil {
					to := finding.Subject{Kind: "Service", Namespace: o.Namespace, Name: path.Backend.Service.Name}
					out[to] = append(out[to], door{snapshot.SubjectOf(o), path})
				}
			}
		}
	}
	return out
}

// exposedBy is what lets others than the cluster ask the probe's path, if it shows the inside of the program.
func (p probe) exposedBy(services []*corev1.Service, doors map[finding.Subject][]door) (finding.Subject, bool) {
	if p.spec.HTTPGet == nil || !inside.MatchString(p.path()) {
		return finding.Subject{}, false
	}
	for _, svc := range services {
		for _, port := range svc.Spec.Ports {
			if n := p.number(); n == 0 || p.portNumber(targetPort(port)) != n {
				continue
			}
			subject := snapshot.SubjectOf(svc)
			if svc.Spec.Type == corev1.ServiceTypeNodePort || svc.Spec.Type == corev1.ServiceTypeLoadBalancer {
				return subject, true
			}
			for _, d := range doors[subject] {
				if to := d.path.Backend.Service.Port; (to.Number == port.Port || to.Name != "" && to.Name == port.Name) && d.covers(p.path()) {
					return d.ingress, true
				}
			}
		}
	}
	return finding.Subject{}, false
}

// covers tells whether a request for a path goes through the door.
func (d door) covers(path string) bool {
	if d.path.PathType != nil && *d.path.PathType == networkingv1.PathTypeExact {
		return d.path.Path == path
	}
	prefix := strings.TrimSuffix(d.path.Path, "/")
	return path == prefix || strings.HasPrefix(path, prefix+"/")
}

func exposedFinding(one probe, by finding.Subject) finding.Finding {
	return finding.Finding{
		Subject: one.of.workload, Mechanism: v1alpha1.MechanismMisconfigured, Field: one.field(".httpGet.port"), Explains: []finding.Subject{one.of.workload},
		Title: finding.Textf("%s: %s, which the %s probe of container %s asks, can be asked through %s too", "%s: %[4]s 컨테이너의 %[3]s probe가 요청하는 %[2]s를 %[5]s를 통해서도 요청할 수 있습니다",
			finding.Named(one.of.workload), one.path(), one.kind, one.container.Name, finding.Named(by)),
		Why: finding.Textf("it is on port %d, to which %s leads; what stands beside that path is most likely open as well", "이 경로는 %[2]s가 연결하는 port %[1]d에 있으며, 같은 위치의 다른 경로도 열려 있을 가능성이 큽니다", one.number(), finding.Named(by)),
		Evidence: []finding.Evidence{
			{Source: finding.Named(one.of.workload), Path: one.field(""), Value: one.asks()},
			{Source: finding.Named(by), Path: ".spec", Value: "leads to this port"},
		},
		Remedies: finding.Remedies{Later: []finding.Remedy{one.edit(".httpGet.port", finding.Textf(
			"show the inside of the program on a port of its own that no Service has, and ask that; until then, refuse the path at the Ingress",
			"프로그램 내부 경로는 Service에 없는 별도의 port에 두고 probe도 그 port를 확인하게 하십시오. 그때까지는 Ingress에서 그 경로를 막으십시오"))}},
	}
}
