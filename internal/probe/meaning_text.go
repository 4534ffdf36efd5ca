package probe

import "github.com/maek-dev/maek/internal/finding"

// meaningTexts say what the kubelet's words about a probe come to.
var meaningTexts = map[Meaning]finding.Text{
	MeansRefused: {
		EN: "nothing listens on that port: not yet, not there, or on 127.0.0.1 alone", KO: "그 port에서 대기하는 프로세스가 없습니다(아직 준비되지 않음, 다른 port, 또는 127.0.0.1에서만 대기)",
	},
	MeansNoGRPC: {
		EN: "no gRPC connection: nothing listens there, another protocol is spoken, or TLS", KO: "gRPC 연결이 되지 않습니다(대기 중인 프로세스가 없거나 다른 프로토콜 또는 TLS)",
	},
	MeansUnreachable: {
		EN: "no connection comes about from its node: the network, a NetworkPolicy, or a program too busy to accept one", KO: "노드에서 Pod에 연결되지 않습니다(네트워크, NetworkPolicy, 또는 연결을 받지 못할 만큼 바쁜 프로그램)",
	},
	MeansSlow:      {EN: "it is slower than the timeout: busy, short of CPU, or hanging", KO: "제한 시간보다 느립니다(부하, CPU 부족, 또는 멈춤)"},
	MeansReset:     {EN: "the connection is cut before an answer: by the program, or by a proxy before it", KO: "응답 전에 연결이 끊깁니다(프로그램 또는 앞단의 proxy)"},
	MeansBody:      {EN: "the answer begins and does not end; the kubelet counts no such attempt", KO: "응답이 시작되고 끝나지 않습니다. kubelet은 이런 시도를 세지 않습니다"},
	MeansIll:       {EN: "the program itself says that it is not well", KO: "프로그램이 스스로 정상이 아니라고 응답합니다"},
	MeansThrottled: {EN: "it limits requests, the probe's too", KO: "요청 수를 제한하며 probe도 제한에 걸립니다"},

	MeansNoPort:       {EN: "the container has no such port, so that nothing is asked", KO: "컨테이너에 그런 port가 없어 확인하지 못합니다"},
	MeansNoRequest:    {EN: "no request can be made from what the probe says", KO: "probe 설정으로는 요청을 만들 수 없습니다"},
	MeansNoHost:       {EN: "the host that the probe names has no address", KO: "probe에 지정된 host의 주소를 찾을 수 없습니다"},
	MeansNoPath:       {EN: "it answers and does not know the path", KO: "응답하지만 그 경로가 없습니다"},
	MeansUnauthorized: {EN: "it wants credentials, which the probe does not bring", KO: "인증을 요구하지만 probe에는 인증 정보가 없습니다"},
	MeansBadRequest:   {EN: "it does not understand the request: plain HTTP to a TLS port, or a Host that it does not know", KO: "요청을 이해하지 못합니다(TLS port에 보낸 평문 HTTP, 또는 모르는 Host)"},
	MeansStatus:       {EN: "it answers, and with a status that is no success", KO: "응답하지만 성공을 뜻하는 상태 코드가 아닙니다"},
	MeansNotHTTP:      {EN: "what answers there does not speak HTTP", KO: "그 port에서 응답하는 것이 HTTP를 사용하지 않습니다"},
	MeansPlain:        {EN: "the probe speaks TLS, and the program does not", KO: "probe는 TLS를 사용하지만 프로그램은 사용하지 않습니다"},
	MeansTLS:          {EN: "the program speaks TLS, and the probe does not", KO: "프로그램은 TLS를 사용하지만 probe는 사용하지 않습니다"},
	MeansHandshake: {
		EN: "the program does not accept the kubelet's TLS: it wants a certificate, or another version", KO: "프로그램이 kubelet의 TLS 연결을 받지 않습니다(클라이언트 인증서나 다른 버전을 요구)",
	},
	MeansNoHealth:       {EN: "the gRPC server has no health service", KO: "gRPC 서버에 health 서비스가 없습니다"},
	MeansNoService:      {EN: "the gRPC server's health service does not know the service that is asked for", KO: "gRPC 서버의 health 서비스가 요청한 서비스를 모릅니다"},
	MeansNoCommand:      {EN: "the command is not in the image, or must not be run", KO: "명령이 이미지에 없거나 실행할 수 없습니다"},
	MeansNotRun:         {EN: "the container runtime could not run the command; the kubelet counts no such attempt", KO: "container runtime이 명령을 실행하지 못했습니다. kubelet은 이런 시도를 세지 않습니다"},
	MeansRedirectLost:   {EN: "it redirects in a circle, or to what cannot be asked", KO: "같은 곳을 맴돌거나 요청할 수 없는 주소로 리디렉션합니다"},
	MeansRedirectedAway: {EN: "it redirects to another host, which counts as a success whatever is there", KO: "다른 호스트로 리디렉션하며, 그 뒤의 상태와 관계없이 성공으로 셉니다"},
}

// Text says in a clause what it comes to; empty for MeansNothing, and for MeansCommandFailed, which the
// command itself explains.
func (m Meaning) Text() finding.Text { return meaningTexts[m] }
