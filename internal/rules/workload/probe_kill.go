package workload

import (
	"strings"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/util/intstr"

	"github.com/maek-dev/maek/internal/finding"
	"github.com/maek-dev/maek/internal/snapshot"
)

// The names of the probes for which a kubelet kills a container, as fields and events have them.
const (
	livenessProbe = "liveness"
	startupProbe  = "startup"
)

// killedByProbe is what is known of a container that a probe of its own has killed.
type killedByProbe struct {
	name     string // liveness or startup
	probe    *corev1.Probe
	message  string // of the probe; empty where no event has it
	evidence []finding.Evidence
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
	k := killedByProbe{name: livenessProbe, probe: c.spec.LivenessProbe}
	for _, e := range []*corev1.Event{kill, unhealthy} {
		if e == nil {
			continue
		}
		if strings.Contains(strings.ToLower(e.Message), "startup probe") {
			k.name, k.probe = startupProbe, c.spec.StartupProbe
		}
		k.evidence = append(k.evidence, finding.Evidence{
			Source: "Event " + finding.Qualified(snapshot.SubjectOf(c.pod)), Path: e.Reason + ".message",
			Value: told(e), At: finding.Timestamp(snapshot.EventTime(e)),
		})
	}
	if unhealthy != nil {
		k.message = unhealthy.Message
	}
	return k, true
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
