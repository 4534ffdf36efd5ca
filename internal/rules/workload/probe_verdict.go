package workload

import (
	"regexp"
	"strconv"
	"strings"

	corev1 "k8s.io/api/core/v1"

	"github.com/maek-dev/maek/api/maek/v1alpha1"
	"github.com/maek-dev/maek/internal/finding"
)

// probeVerdict is whether a probe that fails asks the wrong question, as far as its own words tell.
type probeVerdict struct {
	// wrong tells that the probe is wrong, and not the program.
	wrong bool
	// sure tells that nothing else is possible.
	sure bool
	// field of the probe that is wrong or decides, from the probe on; empty for the whole probe.
	field string
	says  finding.Text
}

// The words of probes that fail (k8s.io/kubernetes/pkg/probe: http, tcp, grpc, exec;
// pkg/kubelet/prober/prober.go).
var (
	statusCode   = regexp.MustCompile(`statuscode: (\d{3})`)
	slowProbe    = regexp.MustCompile(`context deadline exceeded|Client\.Timeout exceeded|i/o timeout|timed out after`)
	noSuchPort   = regexp.MustCompile(`couldn't find port|invalid port number|strconv\.Atoi: parsing`)
	noSuchScript = regexp.MustCompile(`executable file not found|no such file or directory|command not found|not found in \$PATH`)
)

// judgeProbe reads what a probe says against what the container declares. A port that nobody declares
// and that refuses connections, a path that does not exist, a command that is not in the image: there
// the probe is wrong. An error of the server's, a refusal at a declared port, slowness: there the
// program is ill, or slow to start. Heard is the port on which the program says that it listens.
func judgeProbe(spec *corev1.Container, probe *corev1.Probe, message, heard string) probeVerdict {
	port, portField, asksPort := probedPort(probe)
	switch {
	case asksPort && noSuchPort.MatchString(message):
		return probeVerdict{wrong: true, sure: true, field: portField, says: finding.Textf("the container has no port of the name %q", "컨테이너에 이름이 %q인 port가 없습니다", port)}
	case asksPort && strings.Contains(message, "connection refused"):
		return judgeRefusal(spec, port, portField, heard)
	case probe != nil && probe.Exec != nil && noSuchScript.MatchString(message):
		return probeVerdict{wrong: true, sure: true, field: ".exec.command", says: finding.Textf("the probe's command is not in the image", "probe의 명령이 이미지에 없습니다")}
	case strings.Contains(message, "server gave HTTP response to HTTPS client") || strings.Contains(message, "malformed HTTP response"):
		return otherScheme
	case slowProbe.MatchString(message):
		return probeVerdict{field: ".timeoutSeconds", says: finding.Textf("no answer came within %d s", "%d초 안에 응답하지 않습니다", timeoutOf(probe))}
	default:
		return judgeStatus(probe, message)
	}
}

// otherScheme is a probe that speaks HTTPS to a program that does not, or the other way round.
var otherScheme = probeVerdict{
	wrong: true, field: ".httpGet.scheme",
	says: finding.Textf("the program speaks HTTP where the probe speaks HTTPS, or the other way round", "probe와 프로그램 중 한쪽만 HTTPS를 사용합니다"),
}

// judgeRefusal looks for the port on which the program listens, where the probe's refuses.
func judgeRefusal(spec *corev1.Container, port, field, heard string) probeVerdict {
	declared := declaredPorts(spec)
	switch {
	case heard != "" && heard != port && !declares(spec, port):
		return probeVerdict{
			wrong: true, sure: true, field: field,
			says: finding.Textf("the probe asks port %s, and the program says that it listens on %s", "probe는 port %s에 요청하지만 프로그램은 port %s에서 기다린다고 로그에 남겼습니다", port, heard),
		}
	case len(declared) > 0 && !declares(spec, port):
		return probeVerdict{
			wrong: true, field: field,
			says: finding.Format("the probe asks port %s, the container declares %s", "probe는 port %s에 요청하지만 컨테이너가 선언한 port는 %s입니다", finding.Verbatim(port), finding.List(declared)),
		}
	default:
		return probeVerdict{says: finding.Textf("nothing listens on port %s: the program has not come so far, or listens elsewhere", "port %s에서 응답하는 프로세스가 없습니다. 프로그램이 아직 준비되지 않았거나 다른 port를 사용합니다", port)}
	}
}

// judgeStatus reads the status with which the program answered.
func judgeStatus(probe *corev1.Probe, message string) probeVerdict {
	m := statusCode.FindStringSubmatch(message)
	if m == nil {
		return probeVerdict{}
	}
	switch code := m[1]; {
	case code == "404" || code == "405":
		return probeVerdict{wrong: true, field: ".httpGet.path", says: finding.Textf("the program answers and does not know the path %s", "프로그램은 응답하지만 경로 %s가 없습니다", pathOf(probe))}
	case code == "401" || code == "403":
		return probeVerdict{wrong: true, field: ".httpGet", says: finding.Textf("the program answers and wants credentials, which the probe does not bring", "프로그램은 응답하지만 인증을 요구하며 probe에는 인증 정보가 없습니다")}
	case code == "400":
		return otherScheme
	case code >= "500":
		return probeVerdict{says: finding.Textf("the program answers that it is not well", "프로그램이 스스로 정상이 아니라고 응답합니다")}
	default:
		return probeVerdict{}
	}
}

// listening matches the words with which programs say where they listen.
var listening = regexp.MustCompile(`(?i)\b(?:listen(?:ing|s)?|serving|bound)\b[^\n]*?[:\s](\d{2,5})\b`)

// listensOn is the port on which a log first says that its program listens; empty where it says
// nothing of the kind.
func listensOn(log string) string {
	m := listening.FindStringSubmatch(log)
	if m == nil {
		return ""
	}
	return m[1]
}

// mechanism is the one of a container whose probe fails.
func (v probeVerdict) mechanism(otherwise finding.Mechanism) finding.Mechanism {
	if v.wrong {
		return v1alpha1.MechanismMisconfigured
	}
	return otherwise
}

func declaredPorts(spec *corev1.Container) []string {
	var out []string
	for _, p := range spec.Ports {
		out = append(out, strconv.Itoa(int(p.ContainerPort)))
	}
	return out
}

func declares(spec *corev1.Container, port string) bool {
	for _, p := range spec.Ports {
		if p.Name == port || strconv.Itoa(int(p.ContainerPort)) == port {
			return true
		}
	}
	return false
}

func pathOf(probe *corev1.Probe) string {
	if probe == nil || probe.HTTPGet == nil {
		return "/"
	}
	return probe.HTTPGet.Path
}

// timeoutOf is how long a probe waits; the API server's default is one second
// (k8s.io/kubernetes/pkg/apis/core/v1/defaults.go, SetDefaults_Probe).
func timeoutOf(probe *corev1.Probe) int32 {
	if probe == nil || probe.TimeoutSeconds == 0 {
		return 1
	}
	return probe.TimeoutSeconds
}

// probeText is what a probe's own definition says of whom it asks, besides its container: the words of
// its command, the host of its request.
func probeText(probe *corev1.Probe) string {
	switch {
	case probe == nil:
		return ""
	case probe.Exec != nil:
		return strings.Join(probe.Exec.Command, " ")
	case probe.HTTPGet != nil && probe.HTTPGet.Host != "":
		return "host " + probe.HTTPGet.Host
	case probe.TCPSocket != nil && probe.TCPSocket.Host != "":
		return "host " + probe.TCPSocket.Host
	default:
		return ""
	}
}
