package network

import (
	"cmp"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/util/intstr"

	"github.com/maek-dev/maek/api/maek/v1alpha1"
	"github.com/maek-dev/maek/internal/finding"
	"github.com/maek-dev/maek/internal/rule"
	"github.com/maek-dev/maek/internal/snapshot"
)

// young is how new a Service may be for its own age to count as the time since when it has no
// endpoint: as long as a finding has to last.
const young = 3 * time.Minute

// installing is how long after a Service was made nobody is taken to miss it while none of its pods has ever
// been ready: images are pulled, and programs set themselves up.
const installing = 10 * time.Minute

// endpointless begins the finding about a Service.
func endpointless(p *rule.Pass, b backends) finding.Finding {
	f := finding.Finding{
		Subject: snapshot.SubjectOf(b.svc), Mechanism: v1alpha1.MechanismDegraded, Since: b.since(p.Now(), young),
		Evidence: []finding.Evidence{b.evidence()},
	}
	if b.manager.State == snapshot.Dead {
		f.Evidence = append(f.Evidence, b.manager.Evidence...)
	}
	f.Remedies.Now = []finding.Remedy{{
		Text:    finding.Text{EN: "see its pods", KO: "Pod를 확인합니다"},
		Command: fmt.Sprintf("kubectl -n %s get pods -o wide -l '%s'", b.svc.Namespace, written(b.svc.Spec.Selector)),
	}}
	return f
}

// counted says how endpoints were counted while nobody keeps EndpointSlices.
func (b backends) counted(p *rule.Pass) finding.Text {
	if b.manager.State != snapshot.Dead {
		return finding.Text{}
	}
	return finding.Textf("judged by its pods, for the controller manager, which keeps EndpointSlices, is dead since %s",
		"EndpointSlice를 갱신하는 controller manager가 %s부터 멈춰 있어 Pod 상태로 판단했습니다", finding.Clock(p.Now(), b.manager.LastSeen))
}

// noneReady is the finding about a Service whose pods are there and not ready.
func noneReady(p *rule.Pass, b backends) finding.Finding {
	f := endpointless(p, b)
	f.Title = finding.Textf("%s: no endpoints, none of its %d pods is ready", "%s: endpoint가 없습니다. Pod %d개가 모두 Ready가 아닙니다", finding.Named(f.Subject), len(b.selected))
	if len(b.selected) == 1 {
		f.Title = finding.Textf("%s: no endpoints, its only pod is not ready", "%s: endpoint가 없습니다. 하나뿐인 Pod가 Ready가 아닙니다", finding.Named(f.Subject))
	}
	f.Settling = b.starting(p)
	if p.Now().Sub(b.svc.CreationTimestamp.Time) < installing && !slices.ContainsFunc(b.selected, snapshot.WasReady) {
		f.Severity = finding.Warning
	}
	f.Why = finding.Join("; ", finding.Textf("its selector matches %s", "selector와 일치하는 Pod: %s", podNames(b.selected)), b.counted(p))
	for _, pod := range b.selected[:min(len(b.selected), 2)] {
		f.Evidence = append(f.Evidence, readiness(pod))
	}
	f.RuledOut = []finding.Statement{{Text: finding.Textf("a wrong selector (%s matches)", "selector 오류(%s로 일치하는 Pod가 있습니다)", written(b.svc.Spec.Selector))}}
	return f
}

func readiness(pod *corev1.Pod) finding.Evidence {
	e := finding.Evidence{Source: "Pod " + pod.Namespace + "/" + pod.Name, Path: ".status.conditions[Ready].status", Value: "(none)"}
	if c := snapshot.PodCondition(pod, corev1.PodReady); c != nil {
		e.Value, e.At = strings.TrimSpace(string(c.Status)+" "+c.Reason), finding.Timestamp(c.LastTransitionTime.Time)
	}
	return e
}

// podNames lists a few pods.
func podNames(pods []*corev1.Pod) string {
	var names []string
	for _, pod := range pods[:min(len(pods), 3)] {
		names = append(names, pod.Name)
	}
	if more := len(pods) - 3; more > 0 {
		names = append(names, fmt.Sprintf("+%d", more))
	}
	return strings.Join(names, ", ")
}

// unlisted is the finding about a Service whose pods are ready and in no EndpointSlice.
func unlisted(p *rule.Pass, b backends) finding.Finding {
	f := endpointless(p, b)
	f.Mechanism = v1alpha1.MechanismHung
	f.Title = finding.Textf("%s: no endpoints, though pods that it selects are ready (%d)", "%s: Ready Pod가 %d개 있으나 endpoint에 없습니다", finding.Named(f.Subject), len(b.ready))
	var ready time.Time
	for _, pod := range b.ready {
		if c := snapshot.PodCondition(pod, corev1.PodReady); c != nil {
			ready = finding.Earlier(ready, c.LastTransitionTime.Time)
		}
	}
	f.Since = finding.Later(ready, finding.Later(snapshot.SpecWritten(b.svc), b.svc.CreationTimestamp.Time))
	why := finding.Textf("ready: %s; its EndpointSlices, which the controller manager writes, list none of them",
		"Ready Pod: %s. controller manager가 갱신하는 EndpointSlice에는 하나도 없습니다", podNames(b.ready))
	if b.manager.State == snapshot.Dead {
		why = finding.Join("; ", why, finding.Textf("the controller manager is dead since %s", "controller manager가 %s부터 멈춰 있습니다", finding.Clock(p.Now(), b.manager.LastSeen)))
	}
	f.Why = why
	f.Evidence = append(f.Evidence, readiness(b.ready[0]))
	f.Remedies.Now = append(f.Remedies.Now, finding.Remedy{
		Text:    finding.Text{EN: "see whether the controller manager renews its Lease", KO: "controller manager가 Lease를 갱신하는지 확인합니다"},
		Command: "kubectl -n kube-system get lease kube-controller-manager",
	})
	return f
}

// podless is the finding about a Service whose workload wants pods and has none.
func podless(p *rule.Pass, b backends, t template) finding.Finding {
	f := endpointless(p, b)
	f.Mechanism = v1alpha1.MechanismMissing
	f.Title = finding.Textf("%s: no endpoints, %s has no pod", "%s: endpoint가 없습니다. %s의 Pod가 하나도 없습니다", finding.Named(f.Subject), finding.Named(t.workload))
	f.Why = finding.Join("; ", finding.Format("%s wants %s with %s, and there is none",
		"%s에는 %s(%s)가 필요하나 하나도 없습니다", finding.Verbatim(finding.Named(t.workload)), finding.Pods(t.wanted), finding.Verbatim(written(b.svc.Spec.Selector))), b.counted(p))
	f.Settling = f.Since.IsZero() && b.manager.State != snapshot.Dead
	f.Remedies.Now = append(f.Remedies.Now, finding.Remedy{
		Text:    finding.Text{EN: "see why its pods are not created", KO: "Pod가 생성되지 않는 이유를 확인합니다"},
		Command: fmt.Sprintf("kubectl -n %s describe %s %s", t.workload.Namespace, strings.ToLower(t.workload.Kind), t.workload.Name),
	})
	return f
}

// portUnserved is the finding about a port that no endpoint serves while the Service has ready ones:
// it names a port that no container declares
// (k8s.io/endpointslice, FindPort, which leaves such a port out).
func portUnserved(p *rule.Pass, b backends) (finding.Finding, bool) {
	i := slices.IndexFunc(b.unserved, func(port corev1.ServicePort) bool { return port.TargetPort.Type == intstr.String })
	if i < 0 || len(b.ready) == 0 {
		return finding.Finding{}, false
	}
	port := b.unserved[i]
	declared := declaredPorts(b.ready)
	if slices.Contains(declared, port.TargetPort.StrVal) {
		return finding.Finding{}, false // The EndpointSlices are about to follow.
	}
	f := endpointless(p, b)
	f.Mechanism, f.Field = v1alpha1.MechanismMisconfigured, fmt.Sprintf(".spec.ports[%s].targetPort", cmp.Or(port.Name, strconv.Itoa(int(port.Port))))
	f.Title = finding.Textf("%s: port %d has no endpoints, no container declares its targetPort %q",
		"%s: 포트 %d의 endpoint가 없습니다. targetPort(%q)를 선언한 컨테이너가 없습니다", finding.Named(f.Subject), port.Port, port.TargetPort.StrVal)
	f.Why = finding.Textf("its pods are ready (%s), and the ports that they name are: %s",
		"Pod는 Ready이며(%s) 컨테이너가 선언한 포트 이름은 다음과 같습니다: %s", podNames(b.ready), cmp.Or(strings.Join(declared, ", "), "(none)"))
	f.Since = finding.Later(b.written, snapshot.SpecWritten(b.svc))
	f.Evidence = append(f.Evidence,
		finding.Evidence{Source: finding.Named(f.Subject), Path: f.Field, Value: port.TargetPort.StrVal, At: finding.Timestamp(snapshot.SpecWritten(b.svc))},
		finding.Evidence{Source: "Pod " + b.ready[0].Namespace + "/" + b.ready[0].Name, Path: ".spec.containers[].ports[].name", Value: cmp.Or(strings.Join(declared, ", "), "(none)")})
	if b.serving > 0 && p.Now().Sub(finding.Later(b.svc.CreationTimestamp.Time, f.Since)) >= leftoverAfter {
		f.Severity = finding.Info
		f.Why = finding.Join("; ", f.Why, finding.Text{
			EN: "it has been so for more than a day, and its other ports are served: most likely nobody calls this one",
			KO: "하루 넘게 이 상태였고 다른 포트에는 endpoint가 있어, 이 포트를 호출하는 곳은 없는 것으로 보입니다",
		})
	}
	f.RuledOut = []finding.Statement{{Text: finding.Text{EN: "pods that are not ready", KO: "Pod가 Ready가 아닌 경우"}, Evidence: []finding.Evidence{readiness(b.ready[0])}}}
	f.Remedies.Now = []finding.Remedy{{
		Text:    finding.Text{EN: "name a port that the containers declare, or its number", KO: "컨테이너가 선언한 포트 이름이나 번호로 바로잡습니다"},
		Command: fmt.Sprintf("kubectl -n %s edit service %s", b.svc.Namespace, b.svc.Name),
	}}
	return f, true
}

// declaredPorts names the ports that the containers of pods declare by name, sorted.
func declaredPorts(pods []*corev1.Pod) []string {
	var names []string
	for _, pod := range pods {
		for _, c := range slices.Concat(pod.Spec.InitContainers, pod.Spec.Containers) {
			for _, port := range c.Ports {
				if port.Name != "" {
					names = append(names, port.Name)
				}
			}
		}
	}
	slices.Sort(names)
	return slices.Compact(names)
}
