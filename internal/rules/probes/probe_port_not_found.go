package probes

import (
	"strings"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/util/intstr"

	"github.com/maek-dev/maek/api/maek/v1alpha1"
	"github.com/maek-dev/maek/internal/finding"
	"github.com/maek-dev/maek/internal/rule"
	"github.com/maek-dev/maek/internal/snapshot"
)

var _ = Catalog.Add(rule.Rule{
	Code:  "ProbePortNotFound",
	Title: finding.Textf("probe asks a port by a name that its container does not have", "probe가 컨테이너에 없는 이름의 port를 가리킵니다"),
	Doc: finding.Textf(
		"A probe names its port, and no port of the same container has that name: names are looked up in the container's own list of ports and nowhere else, neither in another container's nor in a Service's. "+
			"The kubelet cannot ask, and throws each attempt away without counting it as a success or a failure. So a readiness or a startup probe keeps the pod from ever being ready, which is a warning; "+
			"a liveness probe does nothing at all, for ever, which is a remark. Left alone: names that are numbers, versions of a template that are being replaced, and pods that are ready in spite of it.",
		"probe가 port를 이름으로 가리키지만 같은 컨테이너의 port 목록에 그 이름이 없습니다. 이름은 해당 컨테이너의 port 목록에서만 찾으며 다른 컨테이너나 Service의 port는 보지 않습니다. "+
			"kubelet은 요청을 보내지 못하고 그 시도를 성공으로도 실패로도 세지 않습니다. 따라서 readiness·startup probe라면 Pod가 영원히 Ready가 되지 않고(warning), liveness probe라면 아무 일도 하지 않습니다(참고). "+
			"숫자로 적은 이름, 교체되고 있는 이전 버전의 Pod, 그럼에도 Ready인 Pod는 제외합니다."),
	Link:     probeTasks,
	Severity: finding.Warning,
	Needs:    baseNeeds(rule.Optional[*corev1.Event]()),
	For:      time.Minute,
	Detect: func(p *rule.Pass) {
		for f := range familiesOf(p.Snapshot).newest() {
			if missing := missingPorts(f); len(missing) > 0 {
				p.Report(portNotFound(p, missing))
			}
		}
	},
})

// missingPorts are the probes of a family that name a port which is not there, those of one container
// only: what keeps pods from being ready goes first.
func missingPorts(f *family) []probe {
	var found []probe
	for at := range f.places(f.pods[0]) {
		var missing []probe
		for _, one := range at.probes() {
			if port, _, ok := one.port(); ok && port.Type == intstr.String && one.number() == 0 {
				missing = append(missing, one)
			}
		}
		if len(missing) > 0 && (len(found) == 0 || found[0].kind == liveness && missing[0].kind != liveness) {
			found = missing
		}
	}
	return found
}

func portNotFound(p *rule.Pass, missing []probe) finding.Finding {
	first := missing[0]
	f := first.of
	port, action, _ := first.port()
	var kinds []string
	for _, m := range missing {
		kinds = append(kinds, string(m.kind))
	}
	out := finding.Finding{
		Subject: f.workload, Mechanism: v1alpha1.MechanismMisconfigured, Field: first.field("." + action + ".port"),
		Title: finding.Textf("%s: %s probe of container %s asks port %q, which the container does not have",
			"%s: %[3]s 컨테이너의 %[2]s probe가 이 컨테이너에 없는 이름 %[4]q의 port를 가리킵니다", finding.Named(f.workload), strings.Join(kinds, "/"), first.container.Name, port.StrVal),
		Evidence: []finding.Evidence{{Source: finding.Named(f.workload), Path: first.field("." + action + ".port"), Value: finding.Quote(port.StrVal)}},
	}
	has := finding.Textf("the container declares no port", "컨테이너가 선언한 port가 없습니다")
	if names := portNames(first.container); len(names) > 0 {
		has = finding.Format("the container's ports are %s", "컨테이너의 port는 %s입니다", finding.List(names))
	}
	var effect finding.Text
	waiting := neverReady(f.pods)
	switch {
	case first.kind == liveness:
		out.Severity = finding.Info
		effect = finding.Textf("each attempt is thrown away, so the kubelet never restarts this container, however long it hangs",
			"모든 시도가 버려지므로 컨테이너가 멈춰 있어도 kubelet은 재시작하지 않습니다")
	case len(waiting) == 0:
		out.Severity = finding.Info
		effect = finding.Textf("each attempt is thrown away: a pod that is made anew will not become ready", "모든 시도가 버려지므로 새로 만들어지는 Pod는 Ready가 되지 않습니다")
	default:
		effect = finding.Format("each attempt is thrown away, so that %s cannot become ready", "모든 시도가 버려지므로 %s가 Ready가 될 수 없습니다", finding.Pods(len(waiting)))
		out.Explains, out.Since = f.claims(waiting), unreadySince(waiting)
	}
	seen := first.observe(p.Snapshot, f.pods, "Unhealthy", first.errored)
	out.Evidence = append(out.Evidence, seen.evidence()...)
	out.Why = finding.Join("; ", has, effect, unread(p.Snapshot))
	out.Remedies = mendPort(p.Snapshot, missing)
	return out
}

// mendPort points the probes of a container at the port that is most likely meant.
func mendPort(s *snapshot.Snapshot, missing []probe) finding.Remedies {
	at := missing[0].place
	port, _, _ := missing[0].port()
	meant, known := meantPort(at.container, port.StrVal)
	if !known {
		return finding.Remedies{Now: []finding.Remedy{{
			Text: finding.Textf("give the port its number, or declare a port of the name %q in the container's own ports", "port를 번호로 적거나 이 컨테이너의 ports에 이름이 %q인 port를 선언하십시오", port.StrVal),
		}}}
	}
	change := fields{}
	for _, m := range missing {
		if _, action, ok := m.port(); ok {
			change[m.name()] = fields{action: fields{"port": meant}}
		}
	}
	return finding.Remedies{Now: []finding.Remedy{at.mend(s, change, finding.Textf(
		"ask port %v of this container, if that is the one that is meant", "이 컨테이너의 port %v가 맞다면 그 port를 가리키게 합니다", meant))}}
}

// meantPort is the port of a container that a name which it does not have most likely means: one whose
// name resembles it, else the only one.
func meantPort(c *corev1.Container, name string) (any, bool) {
	var tcp []corev1.ContainerPort
	for _, p := range c.Ports {
		if p.Protocol == "" || p.Protocol == corev1.ProtocolTCP {
			tcp = append(tcp, p)
		}
	}
	for _, p := range tcp {
		if name != "" && p.Name != "" && (strings.Contains(p.Name, name) || strings.Contains(name, p.Name)) {
			return p.Name, true
		}
	}
	switch {
	case len(tcp) != 1:
		return nil, false
	case tcp[0].Name != "":
		return tcp[0].Name, true
	default:
		return tcp[0].ContainerPort, true
	}
}

func portNames(c *corev1.Container) []string {
	var out []string
	for _, p := range c.Ports {
		number := intstr.FromInt32(p.ContainerPort)
		if p.Name == "" {
			out = append(out, number.String())
		} else {
			out = append(out, p.Name+" ("+number.String()+")")
		}
	}
	return out
}

// neverReady are the pods that have a node and have not been ready.
func neverReady(pods []*corev1.Pod) []*corev1.Pod {
	var out []*corev1.Pod
	for _, pod := range pods {
		if pod.Spec.NodeName != "" && !snapshot.PodReady(pod) && !snapshot.WasReady(pod) {
			out = append(out, pod)
		}
	}
	return out
}

// unreadySince is when the first of the pods began to be not ready.
func unreadySince(pods []*corev1.Pod) time.Time {
	var first time.Time
	for _, pod := range pods {
		first = finding.Earlier(first, snapshot.NotReadySince(pod))
	}
	return first
}
