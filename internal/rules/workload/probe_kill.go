package workload

import (
	"slices"
	"strconv"
	"strings"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/util/intstr"

	"github.com/maek-dev/maek/api/maek/v1alpha1"
	"github.com/maek-dev/maek/internal/finding"
	"github.com/maek-dev/maek/internal/snapshot"
)

// killedByProbe is what is known of a container that a probe of its own has killed.
type killedByProbe struct {
	name      string // liveness or startup
	mechanism finding.Mechanism
	field     string
	why       finding.Text
	evidence  []finding.Evidence
	ruledOut  []finding.Statement
}

// title says which probe has the container restarted.
func (k killedByProbe) title(workload finding.Subject, c container) finding.Text {
	return finding.Format("%s: %s keeps being killed by its %s probe", "%s: %s %s probe 실패로 계속 재시작됩니다",
		finding.Verbatim(finding.Qualified(workload)), c.label(), finding.Verbatim(k.name))
}

// probeKill finds the probe for which the kubelet killed the container, as its events tell: it says
// that it kills (k8s.io/kubernetes/pkg/kubelet/kuberuntime/kuberuntime_manager.go, "failed liveness
// probe, will be restarted"), or only that the probe failed, where a signal ended the container.
func probeKill(s *snapshot.Snapshot, c container) (killedByProbe, bool) {
	end := c.ended()
	var kill, unhealthy *corev1.Event
	for _, e := range s.PodEvents(c.pod) {
		apart := snapshot.EventTime(e).Sub(end.FinishedAt.Time).Abs()
		if e.InvolvedObject.FieldPath != c.fieldPath() || apart > recently {
			continue
		}
		switch {
		case kill == nil && e.Reason == "Killing" && strings.Contains(e.Message, " probe, will be restarted"):
			kill = e
		case unhealthy == nil && e.Reason == "Unhealthy" && !strings.HasPrefix(e.Message, "Readiness"):
			unhealthy = e
		}
	}
	bySignal := end.ExitCode == firstSignal+9 || end.ExitCode == firstSignal+15
	if kill == nil && (unhealthy == nil || !bySignal) {
		return killedByProbe{}, false
	}
	k := killedByProbe{name: "liveness", mechanism: v1alpha1.MechanismKilled}
	probe := c.spec.LivenessProbe
	for _, e := range []*corev1.Event{kill, unhealthy} {
		if e == nil {
			continue
		}
		if strings.Contains(strings.ToLower(e.Message), "startup probe") {
			k.name, probe = "startup", c.spec.StartupProbe
		}
		k.evidence = append(k.evidence, finding.Evidence{
			Source: "Event " + finding.Qualified(snapshot.SubjectOf(c.pod)), Path: e.Reason + ".message",
			Value: finding.Quote(e.Message), At: finding.Timestamp(snapshot.EventTime(e)),
		})
	}
	k.field = "." + k.name + "Probe"
	k.why = finding.Textf("the kubelet kills it when its %s probe fails %d times in a row", "%s probe가 연속 %d번 실패하면 kubelet이 종료시킵니다", k.name, threshold(probe))
	if unhealthy != nil {
		k.why = finding.Format("%s: %s", "%s: %s", k.why, inQuotes(unhealthy.Message))
	}
	if !oomKilled(end) {
		k.ruledOut = []finding.Statement{{Text: finding.Textf("memory: the runtime records no OOM kill", "메모리 부족이 아닙니다. OOM 기록이 없습니다")}}
	}
	k.blamePort(c.spec, probe)
	return k, true
}

// blamePort looks whether the probe asks a port that the container does not declare.
func (k *killedByProbe) blamePort(spec *corev1.Container, probe *corev1.Probe) {
	port, field, ok := probedPort(probe)
	if !ok || len(spec.Ports) == 0 {
		return
	}
	var declared []string
	for _, p := range spec.Ports {
		if p.Name == port || strconv.Itoa(int(p.ContainerPort)) == port {
			return
		}
		declared = append(declared, strconv.Itoa(int(p.ContainerPort)))
	}
	k.mechanism = v1alpha1.MechanismMisconfigured
	k.field += field
	k.why = finding.Join("; ", k.why, finding.Format("the probe asks port %s, the container declares %s", "probe는 port %s에 요청하지만 컨테이너가 선언한 port는 %s입니다",
		finding.Verbatim(port), finding.List(slices.Clone(declared))))
}

// probedPort is the port that a probe asks, by number or name, and the field that says so.
func probedPort(probe *corev1.Probe) (port, field string, ok bool) {
	var at intstr.IntOrString
	switch {
	case probe == nil:
		return "", "", false
	case probe.HTTPGet != nil:
		at, field = probe.HTTPGet.Port, ".httpGet.port"
	case probe.TCPSocket != nil:
		at, field = probe.TCPSocket.Port, ".tcpSocket.port"
	case probe.GRPC != nil:
		at, field = intstr.FromInt32(probe.GRPC.Port), ".grpc.port"
	default:
		return "", "", false
	}
	return at.String(), field, true
}

// threshold is how many failures in a row a probe bears; the API server's default is 3
// (k8s.io/kubernetes/pkg/apis/core/v1/defaults.go, SetDefaults_Probe).
func threshold(probe *corev1.Probe) int32 {
	if probe == nil || probe.FailureThreshold == 0 {
		return 3
	}
	return probe.FailureThreshold
}
