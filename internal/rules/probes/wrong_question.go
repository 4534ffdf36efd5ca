package probes

import (
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/util/intstr"

	"github.com/maek-dev/maek/api/maek/v1alpha1"
	"github.com/maek-dev/maek/internal/finding"
	kubelet "github.com/maek-dev/maek/internal/probe"
)

// wrongQuestion is what is wrong with what a probe asks.
type wrongQuestion struct {
	// field of the probe that is wrong.
	field string
	// says it in a clause; because says how the answer shows it, where that is not plain.
	says, because finding.Text
	// change of the probe that mends it; nil where nobody but the owner can know.
	change fields
	// mend says what change does, or what to do.
	mend finding.Text
	// confidence is empty where the answer leaves no doubt.
	confidence finding.Confidence
}

// wrongQuestion tells what is wrong with the probe by what became of its question; false where the program may be
// the matter.
func (p probe) wrongQuestion(a kubelet.Meaning) (wrongQuestion, bool) {
	switch a {
	case kubelet.MeansNoPath:
		return wrongQuestion{
			field: ".httpGet.path", says: finding.Textf("the program answers and has no path %s", "프로그램은 응답하지만 경로 %s가 없습니다", p.path()),
			mend: finding.Textf("ask a path that the program serves", "프로그램이 제공하는 경로를 확인하게 합니다"),
		}, true
	case kubelet.MeansUnauthorized:
		return wrongQuestion{
			field: ".httpGet.path", says: finding.Textf("the program answers and wants credentials for %s", "프로그램은 응답하지만 %s 경로에 인증을 요구합니다", p.path()),
			mend: finding.Textf("ask a path that is open without credentials, and put none into the probe: everybody who may read pods would read them",
				"인증 없이 열려 있는 경로를 확인하게 하십시오. 인증 정보를 probe에 넣으면 Pod를 조회할 수 있는 누구나 볼 수 있습니다"),
		}, true
	case kubelet.MeansPlain:
		return wrongQuestion{
			field: ".httpGet.scheme", says: finding.Textf("it speaks HTTPS, and the program HTTP", "probe는 HTTPS로 묻고 프로그램은 HTTP로 답합니다"),
			change: fields{"httpGet": fields{"scheme": "HTTP"}}, mend: finding.Textf("speak HTTP", "HTTP로 확인하게 합니다"),
		}, true
	case kubelet.MeansTLS:
		return wrongQuestion{
			field: ".httpGet.scheme", says: finding.Textf("it speaks HTTP, and the program TLS", "probe는 HTTP로 묻고 프로그램은 TLS로 답합니다"),
			change: fields{"httpGet": fields{"scheme": "HTTPS"}}, mend: finding.Textf("speak HTTPS; the kubelet does not verify the certificate", "HTTPS로 확인하게 합니다. kubelet은 인증서를 검증하지 않습니다"),
		}, true
	case kubelet.MeansBadRequest:
		return p.badRequest()
	case kubelet.MeansHandshake:
		return wrongQuestion{
			field: ".httpGet", says: finding.Textf("the program wants a TLS that the kubelet does not offer, such as a client certificate", "프로그램이 kubelet이 제공하지 않는 TLS(클라이언트 인증서 등)를 요구합니다"),
			change: fields{"httpGet": nil, "tcpSocket": fields{"port": p.portValue()}},
			mend: finding.Textf("only connect to the port, or better ask a plain port that serves health alone: a kubelet shows no client certificate",
				"port 연결만 확인하게 하거나, 상태 확인 전용의 평문 port를 따로 두는 것이 좋습니다. kubelet은 클라이언트 인증서를 제시하지 않습니다"),
		}, true
	case kubelet.MeansNoHealth:
		return wrongQuestion{
			field: ".grpc", says: finding.Textf("the program speaks gRPC and has no health service", "프로그램이 gRPC로 응답하지만 health service가 없습니다"),
			change: fields{"grpc": nil, "tcpSocket": fields{"port": p.portValue()}},
			mend:   finding.Textf("only connect to the port until the program registers grpc.health.v1.Health", "프로그램이 grpc.health.v1.Health를 등록할 때까지 port 연결만 확인하게 합니다"),
		}, true
	case kubelet.MeansNoService:
		return wrongQuestion{
			field: ".grpc.service", says: finding.Textf("the health service knows no service %q", "health service가 service %q를 모릅니다", p.grpcService()),
			change: fields{"grpc": fields{"service": nil}}, mend: finding.Textf("ask for the server as a whole", "서버 전체의 상태를 확인하게 합니다"),
		}, true
	case kubelet.MeansNoCommand:
		return wrongQuestion{
			field: ".exec.command", says: finding.Textf("its command is not in the image", "probe의 명령이 이미지에 없습니다"),
			mend: finding.Textf("run a command that the image has, or ask the program over its port", "이미지에 있는 명령을 쓰거나 port로 확인하게 합니다"),
		}, true
	case kubelet.MeansReset:
		return p.meshed()
	case kubelet.MeansRefused, kubelet.MeansNoGRPC:
		return p.undeclared()
	default:
		return p.oddAnswer(a)
	}
}

// oddAnswer is an answer that no probe of this kind can take for a good one.
func (p probe) oddAnswer(a kubelet.Meaning) (wrongQuestion, bool) {
	_, action, _ := p.port()
	switch a {
	case kubelet.MeansNotHTTP:
		return wrongQuestion{
			field: ".httpGet", says: finding.Textf("what answers there does not speak HTTP", "그 port에서 응답하는 것이 HTTP를 사용하지 않습니다"),
			change: fields{"httpGet": nil, "tcpSocket": fields{"port": p.portValue()}}, confidence: v1alpha1.ConfidenceMedium,
			mend: finding.Textf("only connect to the port, or ask the port on which the program speaks HTTP", "port 연결만 확인하게 하거나, 프로그램이 HTTP를 사용하는 port를 확인하게 합니다"),
		}, true
	case kubelet.MeansNoHost:
		return wrongQuestion{
			field: "." + action + ".host", says: finding.Textf("the host that it names has no address on the node", "probe에 지정된 host의 주소를 노드에서 찾을 수 없습니다"),
			change: fields{action: fields{"host": nil}},
			mend:   finding.Textf("ask the pod itself: the kubelet resolves names as its node does, not as pods do", "Pod 자체를 확인하게 합니다. kubelet은 Pod가 아니라 노드의 설정으로 이름을 조회합니다"),
		}, true
	case kubelet.MeansNoRequest:
		return wrongQuestion{
			field: ".httpGet", says: finding.Textf("no request can be made from its path and headers", "경로와 header로 요청을 만들 수 없습니다"),
			mend: finding.Textf("write a path and headers that HTTP allows", "HTTP에서 허용하는 경로와 header를 쓰십시오"),
		}, true
	case kubelet.MeansRedirectLost:
		return wrongQuestion{
			field: ".httpGet.path", says: finding.Textf("the program redirects %s in a circle, or to what cannot be asked", "프로그램이 %s 경로를 같은 곳이나 요청할 수 없는 주소로 리디렉션합니다", p.path()),
			mend: finding.Textf("ask the path to which it leads in the end", "리디렉션이 끝나는 경로를 직접 확인하게 합니다"),
		}, true
	case kubelet.MeansStatus:
		return wrongQuestion{
			field: ".httpGet.path", says: finding.Textf("the program answers %s, with a status that is neither 2xx nor 3xx", "프로그램이 %s에 응답하지만 상태 코드가 2xx나 3xx가 아닙니다", p.path()),
			confidence: v1alpha1.ConfidenceMedium, mend: finding.Textf("ask a path that answers with 200 when all is well", "정상일 때 200으로 응답하는 경로를 확인하게 합니다"),
		}, true
	default:
		return wrongQuestion{}, false
	}
}

// badRequest is an answer that Go's and nginx's TLS servers give to plain HTTP, and others to a Host that
// they do not know.
func (p probe) badRequest() (wrongQuestion, bool) {
	w := wrongQuestion{
		field: ".httpGet.scheme", says: finding.Textf("the program does not understand the request (400)", "프로그램이 요청을 이해하지 못합니다(400)"), confidence: v1alpha1.ConfidenceMedium,
		because: finding.Textf("servers answer 400 where plain HTTP comes to a TLS port, and some where the Host header is none of theirs", "TLS port에 평문 HTTP로 요청하면 400으로 답하는 서버가 많고, Host header가 다를 때 그렇게 답하는 서버도 있습니다"),
		mend:    finding.Textf("speak HTTPS if the port does, or send the Host header that the program expects", "port가 TLS를 쓰면 HTTPS로, 아니면 프로그램이 기대하는 Host header로 확인하게 합니다"),
	}
	at, _, _ := p.port()
	if p.spec.HTTPGet != nil && scheme(p.spec.HTTPGet) == corev1.URISchemeHTTP && (strings.Contains(at.String(), "https") || slices.Contains([]int{443, 8443, 9443, 6443}, p.number())) {
		w.change, w.mend = fields{"httpGet": fields{"scheme": "HTTPS"}}, finding.Textf("speak HTTPS; the kubelet does not verify the certificate", "HTTPS로 확인하게 합니다. kubelet은 인증서를 검증하지 않습니다")
	}
	return w, true
}

// proxies are the containers of service meshes that take in a pod's connections.
var proxies = []string{"istio-proxy", "linkerd-proxy", "kuma-sidecar", "consul-dataplane"}

// meshed is a connection that is cut in a pod of a service mesh: a proxy that accepts only its own mesh's TLS
// cuts off the kubelet, which is not of the mesh.
func (p probe) meshed() (wrongQuestion, bool) {
	name, ok := p.proxy()
	if !ok {
		return wrongQuestion{}, false
	}
	return wrongQuestion{
		says:       finding.Textf("the connection is cut, and %s of a service mesh takes it in", "연결이 끊깁니다. service mesh의 %s 컨테이너가 연결을 받습니다", name),
		because:    finding.Textf("kubelets are not of the mesh, so a proxy that accepts only the mesh's TLS refuses their probes", "kubelet은 mesh에 속하지 않으므로 mesh의 TLS만 받는 proxy가 probe를 거부합니다"),
		mend:       finding.Textf("let the mesh rewrite the probes of its pods, or except the probe's port from its TLS", "mesh가 probe를 바꿔 쓰게 하거나 probe의 port를 mesh TLS에서 제외합니다"),
		confidence: v1alpha1.ConfidenceMedium,
	}, true
}

// proxy is the container of a service mesh that takes in the pod's connections.
func (p probe) proxy() (string, bool) {
	for at := range p.of.places(p.pod) {
		if slices.Contains(proxies, at.container.Name) {
			return at.container.Name, true
		}
	}
	return "", false
}

// undeclared is a port that refuses, and that the container does not declare while it declares another.
func (p probe) undeclared() (wrongQuestion, bool) {
	number := p.number()
	// A mesh that rewrites probes asks at its own proxy's port, which the container does not declare.
	if _, meshed := p.proxy(); meshed || number == 0 || len(p.container.Ports) == 0 || slices.ContainsFunc(p.container.Ports, func(c corev1.ContainerPort) bool { return int(c.ContainerPort) == number }) {
		return wrongQuestion{}, false
	}
	_, action, _ := p.port()
	w := wrongQuestion{
		field:      "." + action + ".port",
		says:       finding.Format("nothing listens on port %s, and the container declares %s", "port %s에서 응답이 없고 컨테이너가 선언한 port는 %s입니다", finding.Verbatim(strconv.Itoa(number)), finding.List(portNames(p.container))),
		mend:       finding.Textf("ask a port on which the program listens", "프로그램이 수신하는 port를 확인하게 합니다"),
		confidence: v1alpha1.ConfidenceMedium,
	}
	if meant, ok := meantPort(p.container, ""); ok && action != "grpc" && len(p.container.Ports) == 1 {
		w.change, w.mend = fields{action: fields{"port": meant}}, finding.Textf("ask port %v, the only one that the container declares", "컨테이너가 선언한 유일한 port %v를 확인하게 합니다", meant)
	}
	return w, true
}

func (p probe) grpcService() string {
	if p.spec.GRPC == nil {
		return ""
	}
	return text(p.spec.GRPC.Service)
}

// portValue is the port as the probe has it, for another action.
func (p probe) portValue() any {
	at, _, _ := p.port()
	if at.Type == intstr.String {
		return at.StrVal
	}
	return at.IntVal
}

// replaceHandler takes another handler in place of the probe's own, and away what only that one sets: a patch
// merges fields.
func (p probe) replaceHandler(with fields) fields {
	out := maps.Clone(with)
	for key, value := range p.handler() {
		other, same := with[key].(map[string]any)
		own, isObject := value.(map[string]any)
		if !same || !isObject {
			out[key] = nil
			continue
		}
		merged := maps.Clone(other)
		for field := range own {
			if _, set := other[field]; !set {
				merged[field] = nil
			}
		}
		out[key] = merged
	}
	return out
}

// edit opens the workload where nobody but its owner can know what is right.
func (p probe) edit(field string, text finding.Text) finding.Remedy {
	f := p.of
	if _, ok := templatePaths[f.workload.Kind]; !ok || f.workload.Kind == "Job" {
		return finding.Remedy{Text: text}
	}
	return finding.Remedy{
		Text:    finding.Format("%s: %s", "%s: %s", text, finding.Verbatim(p.field(field))),
		Command: fmt.Sprintf("kubectl -n %s edit %s", f.workload.Namespace, argument(f.workload)),
	}
}
