package network

import (
	"cmp"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
	"time"

	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"
	"k8s.io/apimachinery/pkg/util/intstr"

	"github.com/maek-dev/maek/api/maek/v1alpha1"
	"github.com/maek-dev/maek/internal/finding"
	"github.com/maek-dev/maek/internal/rule"
	"github.com/maek-dev/maek/internal/snapshot"
)

var _ = Catalog.Add(rule.Rule{
	Code:  "ServiceTargetPortMismatch",
	Title: finding.Text{EN: "Service leads to a port on which nobody listens", KO: "Service가 아무도 수신하지 않는 포트로 연결됩니다"},
	Doc: finding.Text{
		EN: "A Service has ready endpoints, and its targetPort is a number (or a protocol) that no container behind it declares while they declare another that fits the Service's port by name or number. " +
			"Endpoints do not show it: every pod is ready. It is critical once a caller's log says that the Service refuses or does not answer, a warning where the Service was changed lately while its pods " +
			"had long been there, and else a remark, for a container may listen on what it does not declare. Left alone: pods of which a container declares no ports at all, and ports that resemble none that are declared.",
		KO: "Service에 Ready endpoint가 있으나 targetPort의 번호나 프로토콜을 선언한 컨테이너가 없고, 이름이나 번호가 Service 포트와 맞는 다른 포트를 선언한 경우입니다. Pod가 모두 Ready여서 endpoint만으로는 드러나지 않습니다. " +
			"호출하는 쪽의 로그에 거부나 무응답이 있으면 critical, 오래 실행 중이던 Pod를 두고 최근에 Service가 변경되었으면 warning, 그 밖에는 참고로 알립니다(선언하지 않은 포트에서도 수신할 수 있습니다). " +
			"포트를 전혀 선언하지 않은 컨테이너가 있는 Pod와, 선언된 포트와 닮은 점이 없는 포트는 제외합니다.",
	},
	Link:     "https://kubernetes.io/docs/tasks/debug/debug-application/debug-service/#is-the-service-defined-correctly",
	Severity: finding.Warning,
	Gravest:  finding.Critical,
	Needs: slices.Concat([]rule.Need{
		rule.Any[*corev1.Service](), rule.Any[*corev1.Pod](), rule.Any[*discoveryv1.EndpointSlice](),
	}, rule.Owners()),
	For:    time.Minute,
	Detect: serviceTargetPortMismatch,
})

// wrongPort is a port of a Service that leads where no container declares to listen.
type wrongPort struct {
	svc  *corev1.Service
	port corev1.ServicePort
	pod  *corev1.Pod
	// meant is the port that the containers declare and the Service most likely means.
	meant corev1.ContainerPort
	// callers are the workloads whose logs tell of it, with the lines.
	callers []candidate
	lines   []failedCall
}

// callersAsked is how many workloads of a namespace are asked for the sake of its wrong ports, and
// callersAskedInAll how many of all namespaces.
const (
	callersAsked      = 3
	callersAskedInAll = 6
)

func serviceTargetPortMismatch(p *rule.Pass) {
	wrong := map[string][]*wrongPort{}
	for _, svc := range snapshot.List[*corev1.Service](p.Snapshot) {
		if w := mistaken(p.Snapshot, svc); w != nil {
			wrong[svc.Namespace] = append(wrong[svc.Namespace], w)
		}
	}
	if len(wrong) == 0 {
		return
	}
	dir := newDirectory(p.Snapshot)
	callers := callersIn(p, wrong)
	for _, namespace := range slices.Sorted(maps.Keys(wrong)) {
		for _, c := range callers[namespace] {
			answer, ok := p.Ask(snapshot.Question{
				Kind: snapshot.ContainerLog, Namespace: c.pod.Namespace, Name: c.pod.Name, Container: c.container, Previous: c.previous,
			})
			if !ok || answer.Outcome != snapshot.Answered {
				continue
			}
			for _, call := range failedCalls(answer.Text) {
				for _, w := range wrong[namespace] {
					w.hear(dir, c, call)
				}
			}
		}
		for _, w := range wrong[namespace] {
			p.Report(w.finding(p))
		}
	}
}

// mistaken finds the port of a Service that most likely leads to the wrong place.
func mistaken(s *snapshot.Snapshot, svc *corev1.Service) *wrongPort {
	if svc.Spec.Type == corev1.ServiceTypeExternalName || svc.DeletionTimestamp != nil {
		return nil
	}
	first := firstBehind(s, svc)
	if first == nil {
		return nil
	}
	for _, port := range svc.Spec.Ports {
		// One pod tells of nearly all Services that they are in order, however many pods they have.
		if _, ok := undeclared(first, svc, port); !ok {
			continue
		}
		if port.TargetPort.Type == intstr.String && port.TargetPort.StrVal != "" {
			continue // The EndpointSlices lack it; ServiceWithoutEndpoints tells.
		}
		var sample *corev1.Pod
		var meant corev1.ContainerPort
		for _, pod := range s.PodsSelected(svc.Namespace, svc.Spec.Selector) {
			if !snapshot.PodReady(pod) || pod.DeletionTimestamp != nil {
				continue
			}
			near, ok := undeclared(pod, svc, port)
			if !ok {
				sample = nil
				break
			}
			sample, meant = pod, near
		}
		if sample != nil {
			return &wrongPort{svc: svc, port: port, pod: sample, meant: meant}
		}
	}
	return nil
}

// misled tells whether a port of a Service leads to a number that is not the one its pods declare for it.
func misled(pod *corev1.Pod, svc *corev1.Service, port corev1.ServicePort) bool {
	if port.TargetPort.Type == intstr.String && port.TargetPort.StrVal != "" {
		return false
	}
	_, ok := undeclared(pod, svc, port)
	return ok
}

// undeclared tells whether a pod's containers declare ports and not the one to which a Service's port
// leads, and returns the declared one that the Service most likely means.
func undeclared(pod *corev1.Pod, svc *corev1.Service, port corev1.ServicePort) (meant corev1.ContainerPort, ok bool) {
	number := cmp.Or(port.TargetPort.IntVal, port.Port)
	for i := range pod.Spec.Containers {
		ports := pod.Spec.Containers[i].Ports
		if len(ports) == 0 {
			return meant, false
		}
		for _, declared := range ports {
			protocol := cmp.Or(declared.Protocol, corev1.ProtocolTCP)
			same := declared.ContainerPort == number
			switch {
			case same && protocol == protocolOf(port):
				return meant, false
			case same && leadsTo(svc, number, protocol):
				return meant, false // The port is that of another protocol too, and declared once.
			case same, protocol == protocolOf(port) && (declared.ContainerPort == port.Port || port.Name != "" && declared.Name == port.Name):
				meant, ok = declared, true
			}
		}
	}
	for i := range pod.Spec.InitContainers {
		for _, declared := range pod.Spec.InitContainers[i].Ports {
			if declared.ContainerPort == number {
				return meant, false // A sidecar's.
			}
		}
	}
	return meant, ok
}

// leadsTo tells whether a port of a Service leads to a number of a protocol.
func leadsTo(svc *corev1.Service, number int32, protocol corev1.Protocol) bool {
	return slices.ContainsFunc(svc.Spec.Ports, func(port corev1.ServicePort) bool {
		return protocolOf(port) == protocol && cmp.Or(port.TargetPort.IntVal, port.Port) == number
	})
}

// firstBehind is a ready pod that the EndpointSlices of a Service list; nil where there is none.
func firstBehind(s *snapshot.Snapshot, svc *corev1.Service) *corev1.Pod {
	for _, slice := range s.EndpointSlicesOf(svc) {
		for i := range slice.Endpoints {
			e := &slice.Endpoints[i]
			if !listedReady(*e) || e.TargetRef == nil || e.TargetRef.Kind != "Pod" {
				continue
			}
			if pod, ok := snapshot.Get[*corev1.Pod](s, svc.Namespace, e.TargetRef.Name); ok && snapshot.PodReady(pod) {
				return pod
			}
		}
	}
	return nil
}

// changedLately tells whether the Service was changed, not just made, a short while ago and while the
// pod had been there.
func (w *wrongPort) changedLately(now time.Time) bool {
	at := snapshot.SpecWritten(w.svc)
	return now.Sub(at) < recent && at.Sub(w.svc.CreationTimestamp.Time) > settled && at.Sub(w.pod.CreationTimestamp.Time) > settled
}

// callersIn are the pods to ask in namespaces with a wrong port: those in trouble, and where the Service
// was changed lately also those that seem well.
func callersIn(p *rule.Pass, wrong map[string][]*wrongPort) map[string][]candidate {
	out := map[string][]candidate{}
	seen := map[finding.Subject]bool{}
	for _, sick := range []bool{true, false} {
		for _, pod := range snapshot.List[*corev1.Pod](p.Snapshot) {
			suspects := wrong[pod.Namespace]
			if len(suspects) == 0 || len(out[pod.Namespace]) >= callersAsked || len(seen) >= callersAskedInAll || snapshot.PodDone(pod) || len(pod.Spec.Containers) == 0 {
				continue
			}
			c := candidate{pod: pod}
			c.container, c.previous, c.sick = trouble(p.Snapshot, pod)
			lately := slices.ContainsFunc(suspects, func(w *wrongPort) bool {
				return w.changedLately(p.Now()) && !snapshot.Selects(w.svc.Spec.Selector, pod.Labels)
			})
			if c.sick != sick || !sick && !lately {
				continue
			}
			if c.workload = p.Workload(pod); seen[c.workload] {
				continue
			}
			seen[c.workload] = true
			c.container = cmp.Or(c.container, pod.Spec.Containers[0].Name)
			out[pod.Namespace] = append(out[pod.Namespace], c)
		}
	}
	return out
}

// hear takes in a failed call if it is one of the wrong port, and no older than the Service's last change.
func (w *wrongPort) hear(dir *directory, c candidate, call failedCall) {
	if call.names || !call.at.IsZero() && call.at.Before(snapshot.SpecWritten(w.svc).Add(-time.Minute)) ||
		slices.ContainsFunc(w.callers, func(other candidate) bool { return other.workload == c.workload }) {
		return
	}
	for _, t := range call.targets {
		svc, ok := dir.service(c.pod.Namespace, t.host)
		if !ok || svc != w.svc {
			continue
		}
		if port, ok := servicePort(svc, t.port); ok && port == w.port {
			w.callers, w.lines = append(w.callers, c), append(w.lines, call)
			return
		}
	}
}

func (w *wrongPort) finding(p *rule.Pass) finding.Finding {
	subject := snapshot.SubjectOf(w.svc)
	target := cmp.Or(w.port.TargetPort.IntVal, w.port.Port)
	field := fmt.Sprintf(".spec.ports[%s].targetPort", cmp.Or(w.port.Name, strconv.Itoa(int(w.port.Port))))
	wanted := strconv.Itoa(int(w.meant.ContainerPort))
	value := wanted
	if w.meant.Name != "" {
		value = strconv.Quote(w.meant.Name)
	}
	f := finding.Finding{
		Subject: subject, Mechanism: v1alpha1.MechanismMisconfigured, Field: field, Severity: finding.Info, Confidence: v1alpha1.ConfidenceLow,
		Title: finding.Textf("%s: port %d leads to %s %d, which no container declares", "%s: 포트 %d의 대상 포트(%s %d)를 선언한 컨테이너가 없습니다", finding.Named(subject), w.port.Port, protocolOf(w.port), target),
		Evidence: []finding.Evidence{
			{Source: finding.Named(subject), Path: field, Value: fmt.Sprintf("%d %s", target, protocolOf(w.port)), At: finding.Timestamp(snapshot.SpecWritten(w.svc))},
			{Source: finding.Named(snapshot.SubjectOf(w.pod)), Path: ".spec.containers[].ports", Value: declaredNumbers(w.pod)},
		},
		RuledOut: []finding.Statement{{Text: finding.Text{EN: "pods that are not ready", KO: "Pod가 Ready가 아닌 경우"}, Evidence: []finding.Evidence{readiness(w.pod)}}},
	}
	if cmp.Or(w.meant.Protocol, corev1.ProtocolTCP) != protocolOf(w.port) {
		wanted += "/" + string(w.meant.Protocol)
	}
	f.Why = finding.Textf("the containers behind it declare %s; %s fits the Service's port", "컨테이너가 선언한 포트는 %s이며, 이 중 Service 포트와 맞는 것은 %s입니다", declaredNumbers(w.pod), cmp.Or(w.meant.Name, wanted))
	if w.changedLately(p.Now()) {
		f.Severity, f.Confidence, f.Since = finding.Warning, v1alpha1.ConfidenceMedium, snapshot.SpecWritten(w.svc)
	}
	if by, at := snapshot.LastManager(w.svc); !at.IsZero() {
		f.Why = finding.Join("; ", f.Why, finding.Textf("the Service was last changed at %s by %q", "Service는 %s에 마지막으로 변경되었습니다(%q)", finding.Clock(p.Now(), at), by))
	}
	if len(w.lines) > 0 {
		f.Severity, f.Confidence, f.Since = finding.Critical, "", snapshot.SpecWritten(w.svc)
		f.Why = finding.Join("; ", f.Why, finding.Textf("the log of %s says: \"%s\"", "%s의 로그: \"%s\"", finding.Named(w.callers[0].workload), finding.Quote(w.lines[0].line)))
		for i, c := range w.callers {
			f.Evidence = append(f.Evidence, finding.Evidence{
				Source: finding.Named(snapshot.SubjectOf(c.pod)), Path: "log of " + c.container, Value: finding.Quote(w.lines[i].line), At: finding.Timestamp(w.lines[i].at),
			})
			f.Explains = append(f.Explains, cutOff(p.Snapshot, c.workload)...)
		}
		slices.SortFunc(f.Explains, finding.CompareSubjects)
		f.Explains = slices.Compact(f.Explains)
	}
	i := slices.Index(w.svc.Spec.Ports, w.port)
	f.Remedies.Now = []finding.Remedy{
		{
			Text:    finding.Textf("lead it to %s", "targetPort를 다음으로 바꿉니다: %s", cmp.Or(w.meant.Name, wanted)),
			Command: fmt.Sprintf(`kubectl -n %s patch service %s --type=json -p '[{"op":"replace","path":"/spec/ports/%d/targetPort","value":%s}]'`, w.svc.Namespace, w.svc.Name, i, value),
		},
		{
			Text:    finding.Text{EN: "or see for yourself whether anybody listens there", KO: "또는 해당 포트에서 실제로 수신하는지 확인합니다"},
			Command: fmt.Sprintf("kubectl -n %s port-forward pod/%s %d:%d", w.pod.Namespace, w.pod.Name, target, target),
		},
	}
	if strings.Contains(wanted, "/") {
		f.Remedies.Now[0].Command = fmt.Sprintf("kubectl -n %s edit service %s", w.svc.Namespace, w.svc.Name)
	}
	f.Remedies.Later = []finding.Remedy{{Text: finding.Text{
		EN: "name the ports of containers and let targetPort use the names: a name that does not exist shows in the endpoints",
		KO: "컨테이너 포트에 이름을 붙이고 targetPort에 이름을 사용합니다. 없는 이름은 endpoint에서 바로 드러납니다",
	}}}
	return f
}

// declaredNumbers lists the ports that the containers of a pod declare.
func declaredNumbers(pod *corev1.Pod) string {
	var out []string
	for i := range pod.Spec.Containers {
		for _, port := range pod.Spec.Containers[i].Ports {
			text := strconv.Itoa(int(port.ContainerPort)) + "/" + string(cmp.Or(port.Protocol, corev1.ProtocolTCP))
			if port.Name != "" {
				text = port.Name + " " + text
			}
			out = append(out, text)
		}
	}
	return strings.Join(out, ", ")
}
