package probe

import (
	"fmt"
	"strconv"
	"strings"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/util/intstr"

	"github.com/maek-dev/maek/internal/finding"
	"github.com/maek-dev/maek/internal/probe"
)

// one is one probe of one container of a pod.
type one struct {
	pod       *corev1.Pod
	container *corev1.Container
	// sidecar tells that the container is an init container that stays.
	sidecar bool
	kind    probe.Kind
	spec    *corev1.Probe
	// version of the kubelet as <major>.<minor>; "" where it is not known.
	version string
}

func (o one) timing() probe.Timing { return probe.TimingOf(o.kind, o.spec) }

func (o one) target() probe.Target {
	return probe.Resolve(o.spec, probe.Site{Pod: o.pod, Container: o.container, Version: o.version})
}

// status of the container; nil where its kubelet has said nothing of it.
func (o one) status() *corev1.ContainerStatus { return statusOf(o.pod, o.container.Name) }

func statusOf(pod *corev1.Pod, container string) *corev1.ContainerStatus {
	for _, all := range [][]corev1.ContainerStatus{pod.Status.ContainerStatuses, pod.Status.InitContainerStatuses} {
		for i := range all {
			if all[i].Name == container {
				return &all[i]
			}
		}
	}
	return nil
}

// unknownIP stands for the address of a pod that has none yet.
const unknownIP = "POD-IP"

// asks is what is asked, and which name the port has in the spec.
func (o one) asks() finding.Text {
	target := o.target()
	if impossible, ok := target.(probe.Impossible); ok {
		port, _ := portOf(o.spec)
		switch impossible.Why {
		case probe.PortUnresolved:
			return finding.Textf("port %q, which is none of the container's", "port %q, 이 컨테이너에 없는 port", port.String())
		case probe.NoHandler, probe.RequestInvalid:
			return finding.Verbatim(said(impossible.Err.Error()))
		default:
			return finding.Verbatim(said(target.String()))
		}
	}
	if o.pod.Status.PodIP == "" {
		at := *o.pod
		at.Status.PodIP = unknownIP
		o.pod = &at
		target = o.target()
	}
	text := said(target.String())
	if port, ok := portOf(o.spec); ok && port.Type == intstr.String {
		text += fmt.Sprintf(" (port %s)", port.StrVal)
	}
	return finding.Verbatim(text)
}

// portOf is the port that a probe names; false for a command.
func portOf(spec *corev1.Probe) (intstr.IntOrString, bool) {
	switch {
	case spec.HTTPGet != nil:
		return spec.HTTPGet.Port, true
	case spec.TCPSocket != nil:
		return spec.TCPSocket.Port, true
	case spec.GRPC != nil:
		return intstr.FromInt32(spec.GRPC.Port), true
	default:
		return intstr.IntOrString{}, false
	}
}

// means is what the spec says, in words and with its arithmetic.
func (o one) means() []finding.Text {
	t := o.timing()
	out := []finding.Text{o.pace(t), o.outcome(t)}
	if o.kind == probe.Liveness {
		out = append(out, o.comingUp(t))
	}
	if t.Timeout > t.Period {
		out = append(out, finding.Format("an answer may take longer than the period: slow attempts follow one another without a pause",
			"응답 제한 시간이 주기보다 길어, 느린 시도는 쉬지 않고 이어집니다"))
	}
	if impossible, ok := o.target().(probe.Impossible); ok {
		out = append(out, finding.Join(" ", impossible.Why.Text(o.kind), ports(o.container)))
	}
	return out
}

func (o one) pace(t probe.Timing) finding.Text {
	first := t.FirstAttempt()
	pace := finding.Format("asked every %s, and given %s to answer", "%s마다 확인하고 %s 안에 응답해야 합니다", length(t.Period), length(t.Timeout))
	if o.kind != probe.Startup && o.container.StartupProbe != nil {
		return sentence(pace, finding.Textf("not before the startup probe has succeeded", "startup probe가 성공하기 전에는 확인하지 않습니다"))
	}
	return sentence(pace, finding.Format("for the first time %s after the container's start", "첫 확인은 컨테이너 시작 %s 뒤입니다", span(first)))
}

// outcome is what a probe does when it fails, and when it succeeds again.
func (o one) outcome(t probe.Timing) finding.Text {
	failures := finding.Textf("%d failures in a row", "연속 %d회 실패", t.FailureThreshold)
	if t.FailureThreshold == 1 {
		failures = finding.Textf("a single failure", "한 번 실패")
	}
	refusing, hanging := t.Detection(0), t.Detection(t.Timeout)
	when := finding.Format("%s after it stops answering (at most %s where it hangs)", "응답이 멈춘 지 %s 뒤(응답 없이 멈춘 경우 최대 %s)", span(refusing), length(hanging.Most))
	grace := length(probe.Grace(o.kind, o.spec, &o.pod.Spec))
	switch o.kind {
	case probe.Readiness:
		back := finding.Textf("back after %d successes in a row", "연속 %d회 성공하면 돌아옵니다", t.SuccessThreshold)
		if t.SuccessThreshold == 1 {
			back = finding.Textf("back after one success", "한 번 성공하면 돌아옵니다")
		}
		return sentence(finding.Format("out of its Services after %s: %s", "%s하면 Service에서 빠집니다: %s", failures, when), back,
			finding.Textf("while it is not ready, it is asked more often than that", "Ready가 아닌 동안에는 이 주기보다 자주 확인합니다"))
	case probe.Startup:
		budget := t.StartupBudget(0)
		return sentence(
			finding.Format("a container gets %s to come up, and is then %s", "컨테이너가 시작하는 데 %s까지 주어지고, 그 뒤에는 %s", span(budget), o.ended()),
			finding.Textf("until it succeeds, liveness and readiness are not asked", "성공하기 전에는 liveness와 readiness를 확인하지 않습니다"),
			finding.Format("%s to end", "종료에 주어지는 시간은 %s입니다", grace))
	case probe.Liveness:
	}
	return sentence(finding.Format("%s after %s: %s", "%[2]s하면 %[1]s: %[3]s", o.ended(), failures, when),
		finding.Format("%s to end", "종료에 주어지는 시간은 %s입니다", grace))
}

// ended is what becomes of a container that its kubelet ends for a probe.
func (o one) ended() finding.Text {
	if o.startsAgain() {
		return finding.Text{EN: "restarted", KO: "재시작합니다"}
	}
	return finding.Text{EN: "killed for good", KO: "종료하고 다시 시작하지 않습니다"}
}

// startsAgain tells whether the kubelet starts a container again that it killed for a probe. Rules about exit
// codes are not consulted then (k8s.io/kubernetes/pkg/kubelet/kuberuntime, computePodActions).
func (o one) startsAgain() bool {
	if o.container.RestartPolicy != nil {
		return *o.container.RestartPolicy != corev1.ContainerRestartPolicyNever
	}
	return o.pod.Spec.RestartPolicy != corev1.RestartPolicyNever
}

// comingUp is the time that a liveness probe leaves a container that was just started.
func (o one) comingUp(t probe.Timing) finding.Text {
	if startup := o.container.StartupProbe; startup != nil {
		budget := probe.TimingOf(probe.Startup, startup).StartupBudget(0)
		return finding.Format("a started container gets %s to come up: that is the startup probe's", "시작한 컨테이너가 준비하는 데 %s까지 주어집니다(startup probe 기준)", span(budget))
	}
	return finding.Format("a started container gets %s to come up; there is no startup probe that gives it more", "시작한 컨테이너가 준비하는 데 %s까지 주어집니다. 시간을 더 주는 startup probe는 없습니다", span(t.StartupBudget(0)))
}

// ports are what a container declares.
func ports(c *corev1.Container) finding.Text {
	var names []string
	for _, p := range c.Ports {
		name := strconv.Itoa(int(p.ContainerPort))
		if p.Name != "" {
			name = p.Name + " (" + name + ")"
		}
		names = append(names, name)
	}
	if len(names) == 0 {
		return finding.Textf("It declares no port.", "선언한 port가 없습니다.")
	}
	return finding.Format("It declares %s.", "선언한 port는 %s입니다.", finding.List(names))
}

// length is a time of a probe's arithmetic: in seconds as specs have it, and in minutes from three on.
func length(d time.Duration) finding.Text {
	minutes, seconds := int(d/time.Minute), int(d%time.Minute/time.Second)
	switch {
	case d >= 3*time.Minute && seconds == 0:
		return finding.Textf("%d min", "%d분", minutes)
	case d >= 3*time.Minute:
		return finding.Textf("%d min %d s", "%d분 %d초", minutes, seconds)
	}
	return finding.Textf("%d s", "%d초", int(d.Round(time.Second)/time.Second))
}

// span is from the shortest to the longest time.
func span(s probe.Span) finding.Text {
	if s.Least == s.Most {
		return length(s.Least)
	}
	least, most := length(s.Least), length(s.Most)
	unit := func(t string) string { return t[strings.LastIndexAny(t, "0123456789")+1:] }
	if unit(least.EN) == unit(most.EN) && s.Most < 3*time.Minute {
		least = finding.Text{EN: strings.TrimSuffix(least.EN, unit(least.EN)), KO: strings.TrimSuffix(least.KO, unit(least.KO))}
	}
	return finding.Format("%s to %s", "%s~%s", least, most)
}
