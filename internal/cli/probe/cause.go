package probe

import (
	"regexp"

	"github.com/maek-dev/maek/internal/finding"
)

// causes are what the kubelet's words about a failed probe mean, in the order in which they are tried: the words
// of k8s.io/kubernetes/pkg/probe, and those of Go's net/http and crypto/tls, which it passes on.
var causes = []struct {
	words *regexp.Regexp
	means finding.Text
}{
	{regexp.MustCompile(`strconv\.Atoi|invalid port number`), finding.Text{
		EN: "the container has no such port, so that nothing is asked", KO: "컨테이너에 그런 port가 없어 확인하지 못합니다",
	}},
	{regexp.MustCompile(`while reading body|unexpected EOF|invalid byte in chunk`), finding.Text{
		EN: "the answer begins and does not end; the kubelet counts no such attempt", KO: "응답이 시작되고 끝나지 않습니다. kubelet은 이런 시도를 세지 않습니다",
	}},
	{regexp.MustCompile(`server gave HTTP response to HTTPS client|malformed HTTP (response|status|version)|first record does not look like`), finding.Text{
		EN: "the program and the probe do not speak the same scheme, HTTP or HTTPS", KO: "프로그램과 probe 가운데 한쪽만 HTTPS를 사용합니다",
	}},
	{regexp.MustCompile(`certificate required|handshake failure|protocol version not supported|bad certificate`), finding.Text{
		EN: "the program does not accept the kubelet's TLS: it wants a certificate, or another version", KO: "프로그램이 kubelet의 TLS 연결을 받지 않습니다(클라이언트 인증서나 다른 버전을 요구)",
	}},
	{regexp.MustCompile(`does not implement the grpc health|unknown service`), finding.Text{
		EN: "the gRPC server has no health service of that name", KO: "gRPC 서버에 그 이름의 health 서비스가 없습니다",
	}},
	{regexp.MustCompile(`failed to connect service`), finding.Text{
		EN: "no gRPC connection: nothing listens there, another protocol is spoken, or TLS", KO: "gRPC 연결이 되지 않습니다(대기 중인 프로세스가 없거나 다른 프로토콜 또는 TLS)",
	}},
	{regexp.MustCompile(`connection refused`), finding.Text{
		EN: "nothing listens on that port: not yet, not there, or on 127.0.0.1 alone", KO: "그 port에서 대기하는 프로세스가 없습니다(아직 준비되지 않음, 다른 port, 또는 127.0.0.1에서만 대기)",
	}},
	{regexp.MustCompile(`no route to host|dial tcp .*i/o timeout`), finding.Text{
		EN: "the pod cannot be reached from its node: the network, or a NetworkPolicy", KO: "노드에서 Pod에 연결되지 않습니다(네트워크 또는 NetworkPolicy)",
	}},
	{regexp.MustCompile(`executable file not found|exit(ed with)?( code| status)? 12[67]\b|no such file or directory: unknown`), finding.Text{
		EN: "the command is not in the image", KO: "명령이 이미지에 없습니다",
	}},
	{regexp.MustCompile(`awaiting headers|timed out after|did not complete within|context deadline exceeded|i/o timeout`), finding.Text{
		EN: "it is slower than the timeout: busy, short of CPU, or hanging", KO: "제한 시간보다 느립니다(부하, CPU 부족, 또는 멈춤)",
	}},
	{regexp.MustCompile(`statuscode: 40[13]\b`), finding.Text{
		EN: "it wants credentials, which the probe does not bring", KO: "인증을 요구하지만 probe에는 인증 정보가 없습니다",
	}},
	{regexp.MustCompile(`statuscode: 40[45]\b`), finding.Text{
		EN: "it answers and does not know the path", KO: "응답하지만 그 경로가 없습니다",
	}},
	{regexp.MustCompile(`statuscode: 429`), finding.Text{EN: "it limits requests, the probe's too", KO: "요청 수를 제한하며 probe도 제한에 걸립니다"}},
	{regexp.MustCompile(`statuscode: 5\d\d|service unhealthy`), finding.Text{
		EN: "the program itself says that it is not well", KO: "프로그램이 스스로 정상이 아니라고 응답합니다",
	}},
	{regexp.MustCompile(`Probe terminated redirects`), finding.Text{
		EN: "it redirects to another host, which counts as a success whatever is there", KO: "다른 호스트로 리디렉션하며, 그 뒤의 상태와 관계없이 성공으로 셉니다",
	}},
}

// causeOf is what the kubelet's words about a probe mean; empty where they tell nothing.
func causeOf(message string) finding.Text {
	for _, c := range causes {
		if c.words.MatchString(message) {
			return c.means
		}
	}
	return finding.Text{}
}
