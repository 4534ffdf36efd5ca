package probes

import (
	"strconv"
	"time"

	corev1 "k8s.io/api/core/v1"

	"github.com/maek-dev/maek/api/maek/v1alpha1"
	"github.com/maek-dev/maek/internal/finding"
	"github.com/maek-dev/maek/internal/rule"
	"github.com/maek-dev/maek/internal/snapshot"
)

var _ = Catalog.Add(rule.Rule{
	Code:  "NoTimeToDrain",
	Title: finding.Textf("pods behind a Service are ended before clients know", "클라이언트가 알기 전에 Service 뒤의 Pod가 종료됩니다"),
	Doc: finding.Textf(
		"Pods behind a Service have less than five seconds to end (terminationGracePeriodSeconds) and no preStop hook that waits. A pod that is deleted gets SIGTERM at once, while the endpoints without it have still to reach kube-proxy, load balancers and "+
			"open connections on every node: until then clients are refused or cut off, with each rollout and each drain. Left alone: pods with a preStop hook or more time, headless Services, DaemonSets (agents of their nodes, which end with them), Jobs, and static pods.",
		"Service 뒤의 Pod가 종료에 쓸 수 있는 시간이 5초 미만(terminationGracePeriodSeconds)이고 기다려 주는 preStop hook도 없습니다. 삭제되는 Pod는 곧바로 SIGTERM을 받지만, 그 Pod가 빠진 endpoint가 모든 노드의 kube-proxy와 load balancer에 반영되기까지는 시간이 걸립니다. "+
			"그동안 rollout이나 drain마다 클라이언트의 연결이 거부되거나 끊깁니다. preStop hook이나 충분한 시간이 있는 Pod, headless Service, DaemonSet(노드와 함께 끝나는 에이전트), Job, static Pod는 제외합니다."),
	Link:     "https://kubernetes.io/docs/concepts/workloads/pods/pod-lifecycle/#pod-termination-flow",
	Severity: finding.Info,
	Risk:     true,
	Needs:    baseNeeds(rule.Any[*corev1.Service]()),
	Detect: func(p *rule.Pass) {
		for f := range familiesOf(p.Snapshot).serving() {
			grace := f.pods[0].Spec.TerminationGracePeriodSeconds
			if grace == nil || f.workload.Kind == "DaemonSet" || time.Duration(*grace)*time.Second >= leastGrace {
				continue
			}
			for _, svc := range p.ServicesSelecting(f.pods[0]) {
				if svc.Spec.ClusterIP == corev1.ClusterIPNone || svc.Spec.Type == corev1.ServiceTypeExternalName {
					continue
				}
				if at, _, ok := served(f, svc); ok {
					p.Report(graceFinding(p.Snapshot, at, svc, *grace))
					break
				}
			}
		}
	},
})

// leastGrace is the time in which a change of endpoints has mostly reached all nodes; drainGrace and drainSleep
// are what the remedy gives.
const (
	leastGrace = 5 * time.Second
	drainGrace = 30
	drainSleep = 5
)

// served is the container of a family that owns a TCP port of a Service and does not wait when it is to end.
func served(f *family, svc *corev1.Service) (place, corev1.ServicePort, bool) {
	for _, port := range svc.Spec.Ports {
		if at, ok := f.owner(targetPort(port)); ok && port.Protocol != corev1.ProtocolUDP && (at.container.Lifecycle == nil || at.container.Lifecycle.PreStop == nil) {
			return at, port, true
		}
	}
	return place{}, corev1.ServicePort{}, false
}

func graceFinding(s *snapshot.Snapshot, at place, svc *corev1.Service, grace int64) finding.Finding {
	f := at.of
	service := finding.Subject{Kind: "Service", Namespace: svc.Namespace, Name: svc.Name}
	change := fields{"terminationGracePeriodSeconds": drainGrace, at.list(): []any{fields{"name": at.container.Name, "lifecycle": fields{"preStop": fields{"sleep": fields{"seconds": drainSleep}}}}}}
	return finding.Finding{
		Subject: f.workload, Mechanism: v1alpha1.MechanismMisconfigured, Field: f.podField(".terminationGracePeriodSeconds"), Explains: []finding.Subject{f.workload, service},
		Title: finding.Textf("%s: its pods have %d s to end, too few for clients of %s to go elsewhere", "%s: Pod가 %d초 만에 종료되어 %s의 클라이언트가 다른 Pod로 옮겨 갈 시간이 부족합니다", finding.Named(f.workload), grace, finding.Named(service)),
		Why: finding.Textf("a pod that is deleted gets SIGTERM at once and SIGKILL after %d s, and the endpoints without it reach kube-proxy and load balancers meanwhile; container %s has no preStop hook that waits",
			"삭제되는 Pod는 곧바로 SIGTERM을, %d초 뒤에 SIGKILL을 받으며 그동안 endpoint 변경이 kube-proxy와 load balancer에 반영됩니다; %s 컨테이너에는 기다려 주는 preStop hook이 없습니다", grace, at.container.Name),
		Evidence: []finding.Evidence{{Source: finding.Named(f.workload), Path: f.podField(".terminationGracePeriodSeconds"), Value: strconv.FormatInt(grace, 10)}},
		Remedies: finding.Remedies{Later: []finding.Remedy{f.mend(s, change, finding.Textf("wait %d s before SIGTERM, of %d s in all (preStop sleep needs Kubernetes 1.30)",
			"SIGTERM 전에 %d초를 기다리고 전체 %d초를 줍니다(preStop sleep은 Kubernetes 1.30부터)", drainSleep, drainGrace))}},
	}
}
