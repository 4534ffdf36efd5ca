package controlplane

import (
	"net/netip"
	"strings"
	"time"

	"github.com/maek-dev/maek/api/maek/v1alpha1"
	"github.com/maek-dev/maek/internal/finding"
	"github.com/maek-dev/maek/internal/snapshot"
)

// stop is where a request to the API server stops, and what is to be said about it.
type stop struct {
	mechanism  finding.Mechanism
	confidence finding.Confidence
	since      time.Time
	title      finding.Text
	why        finding.Text
	ruledOut   []finding.Statement
	now        []finding.Remedy
	later      []finding.Remedy
}

// stopOf says where requests stop; false where the server does answer, if only to refuse.
func stopOf(s *snapshot.Snapshot) (stop, bool) {
	api := s.API()
	at := place{server: endpoint(api).Name, failure: *api.Failure, notAfter: api.CertificateNotAfter, now: s.Now()}
	at.host, at.port = hostPort(at.server)
	switch api.Failure.Layer {
	case snapshot.LayerName:
		return at.name(), true
	case snapshot.LayerConnect:
		return at.connect(), true
	case snapshot.LayerTLS:
		return at.tls(), true
	case snapshot.LayerRequest:
		return at.request(), api.Failure.Status == 0
	default:
		return stop{}, false
	}
}

// place is an API server that cannot be reached.
type place struct {
	server   string
	host     string
	port     string
	failure  snapshot.APIFailure
	notAfter time.Time
	now      time.Time
}

// message is what the failing layer said.
func (a place) message() string { return finding.Quote(a.failure.Message) }

func (a place) name() stop {
	var mechanism finding.Mechanism = v1alpha1.MechanismUnreachable
	if a.failure.Reason == snapshot.NameUnknown {
		mechanism = v1alpha1.MechanismMissing
	}
	return stop{
		mechanism:  mechanism,
		confidence: v1alpha1.ConfidenceMedium,
		title: finding.Textf("API server unreachable from here: the name %s cannot be resolved",
			"여기에서 API server에 연결할 수 없습니다: %s 이름을 해석하지 못합니다", a.host),
		why: finding.Join(" ", finding.Textf("No connection was tried, because looking up %s failed: %s.",
			"%s 조회가 실패하여 연결을 시도하지 못했습니다: %s.", a.host, a.message()), maybeWell),
		now: []finding.Remedy{
			{Text: finding.Text{EN: "look the name up by itself", KO: "이름 해석만 따로 확인합니다"}, Command: "getent hosts " + a.host},
			{
				Text:    finding.Text{EN: "see whether this is the server that is meant", KO: "대상 서버가 맞는지 확인합니다"},
				Command: "kubectl config view --minify -o jsonpath='{.clusters[0].cluster.server}'",
			},
		},
	}
}

func (a place) connect() stop {
	reason := a.failure.Reason
	if strings.HasPrefix(a.failure.Message, throughProxy) {
		reason = snapshot.OtherFailure // whoever refused or kept silent, it was not the server's machine
	}
	switch reason {
	case snapshot.ConnectionRefused:
		return a.refused()
	case snapshot.NoAnswer:
		return stop{
			mechanism:  v1alpha1.MechanismUnreachable,
			confidence: v1alpha1.ConfidenceMedium,
			title: finding.Textf("API server unreachable from here: nothing comes back from %s",
				"여기에서 API server에 연결할 수 없습니다: %s에서 응답이 없습니다", a.server),
			why: finding.Join(" ", finding.Textf("%s neither accepts a connection nor refuses it: its machine is off, or something on the way drops what is sent.",
				"%s 주소가 연결을 받지도 거부하지도 않습니다. 머신이 꺼져 있거나 경로 중간에서 패킷이 버려집니다.", a.server), onlyFromHere, whileAway),
			now: []finding.Remedy{
				{
					Text:    finding.Text{EN: "an answer means that the machine is up and the port is filtered; none means machine or network", KO: "응답이 있으면 머신은 켜져 있고 포트가 막힌 것이며, 없으면 머신 또는 네트워크 문제입니다"},
					Command: "ping -c 3 " + a.host,
				},
				{Text: finding.Text{EN: "ask from another machine, best from one beside the control plane", KO: "다른 머신, 되도록 control plane 옆의 머신에서도 확인합니다"}, Command: "curl -k https://" + a.server + "/livez"},
			},
			later: moreThanOne(),
		}
	default:
		return stop{
			mechanism:  v1alpha1.MechanismUnreachable,
			confidence: v1alpha1.ConfidenceLow,
			title: finding.Textf("API server unreachable from here: no connection to %s",
				"여기에서 API server에 연결할 수 없습니다: %s에 접속하지 못합니다", a.server),
			why: finding.Join(" ", finding.Textf("Opening a connection failed: %s.", "연결이 실패했습니다: %s.", a.message()), onlyFromHere),
			now: []finding.Remedy{{Text: finding.Text{EN: "see which way leads there from here", KO: "여기에서 가는 경로를 확인합니다"}, Command: "ip route get " + a.host}},
		}
	}
}

// throughProxy begins the message of a connection that was not made to the server itself.
const throughProxy = "through the proxy "

func (a place) refused() stop {
	if ip, err := netip.ParseAddr(a.host); a.host == "localhost" || (err == nil && ip.IsLoopback()) {
		return a.refusedHere()
	}
	return stop{
		mechanism: v1alpha1.MechanismRefused,
		title: finding.Textf("API server unreachable from here: connection refused on %s",
			"여기에서 API server에 연결할 수 없습니다: %s 연결이 거부됩니다", a.server),
		why: finding.Join(" ", finding.Textf("Whoever is at %s answers, and nothing listens on port %s: kube-apiserver does not run there (or a load balancer before it has no server left). Why it does not run cannot be told from here.",
			"%s 주소는 응답하지만 %s 포트에서 연결을 받는 프로세스가 없습니다. kube-apiserver가 실행 중이 아니거나, 앞단의 로드 밸런서에 남은 서버가 없습니다. 그 원인은 여기에서 알 수 없습니다.", a.host, a.port), whileAway),
		ruledOut: []finding.Statement{
			{Text: finding.Textf("the machine %s is off: a machine that is off refuses nothing", "%s 머신 꺼짐: 꺼진 머신은 연결을 거부하지 못합니다", a.host)},
			{Text: finding.Text{EN: "certificates and credentials: the connection ends before them", KO: "인증서와 인증 정보: 그 전 단계에서 연결이 끝납니다"}},
		},
		now: []finding.Remedy{
			{
				Text:    finding.Text{EN: "is its container there, and what did it say last", KO: "컨테이너가 있는지, 마지막 로그가 무엇인지 확인합니다"},
				Command: "crictl ps -a --name kube-apiserver; crictl logs --tail 20 $(crictl ps -aq --name kube-apiserver | head -n 1)", Machine: a.host,
			},
			{
				Text:    finding.Text{EN: "is its manifest there, and who changed it last", KO: "manifest가 있는지, 언제 바뀌었는지 확인합니다"},
				Command: "ls -lt /etc/kubernetes/manifests; journalctl -u kubelet -n 50 --no-pager", Machine: a.host,
			},
			{
				Text:    finding.Text{EN: "without etcd it ends at every start", KO: "etcd가 없으면 시작할 때마다 종료됩니다"},
				Command: "crictl ps -a --name etcd", Machine: a.host,
			},
		},
		later: moreThanOne(),
	}
}

// refusedHere is a refusal by this very machine, where most often a tunnel should lead on.
func (a place) refusedHere() stop {
	return stop{
		mechanism:  v1alpha1.MechanismRefused,
		confidence: v1alpha1.ConfidenceMedium,
		title: finding.Textf("API server unreachable from here: connection refused on %s",
			"여기에서 API server에 연결할 수 없습니다: %s 연결이 거부됩니다", a.server),
		why: finding.Join(" ", finding.Textf("%s is this machine, and nothing listens on port %s: the tunnel or forwarder that leads to the API server does not run, or kube-apiserver itself where it runs here.",
			"%s 주소는 이 머신이며 %s 포트에서 연결을 받는 프로세스가 없습니다. API server로 이어 주는 터널이나 forwarder가 실행 중이 아니거나, API server가 이 머신에 있다면 kube-apiserver가 실행 중이 아닙니다.", a.host, a.port), maybeWell),
		now: []finding.Remedy{
			{Text: finding.Text{EN: "see who listens, if anybody", KO: "연결을 받는 프로세스가 있는지 확인합니다"}, Command: "ss -ltnp 'sport = :" + a.port + "'"},
			{
				Text:    finding.Text{EN: "if kube-apiserver should run here: is its container there", KO: "kube-apiserver가 이 머신에 있어야 한다면 컨테이너가 있는지 확인합니다"},
				Command: "sudo crictl ps -a --name kube-apiserver",
			},
		},
	}
}

func moreThanOne() []finding.Remedy {
	return []finding.Remedy{{Text: finding.Text{
		EN: "run three control-plane machines behind a load balancer, so that one may fail",
		KO: "로드 밸런서 뒤에 control plane 머신을 3대 두어 한 대의 장애를 견디게 합니다",
	}}}
}

func (a place) tls() stop {
	if a.failure.Reason == snapshot.CertificateExpired {
		return a.expired()
	}
	out := stop{
		mechanism: v1alpha1.MechanismMisconfigured,
		now: []finding.Remedy{{
			Text:    finding.Text{EN: "see whose certificate is served there", KO: "그 주소가 제시하는 인증서를 확인합니다"},
			Command: "openssl s_client -connect " + a.server + " </dev/null 2>/dev/null | openssl x509 -noout -subject -issuer -dates -ext subjectAltName",
		}},
	}
	switch a.failure.Reason {
	case snapshot.CertificateUntrusted:
		out.confidence = v1alpha1.ConfidenceMedium
		out.title = finding.Textf("API server unreachable from here: the certificate of %s is not signed by the CA of this kubeconfig",
			"여기에서 API server에 연결할 수 없습니다: %s의 인증서가 이 kubeconfig의 CA로 서명되지 않았습니다", a.server)
		out.why = finding.Join(" ", finding.Textf("TLS ends with: %s. The kubeconfig is for another cluster or from before its CA was replaced, or something in between answers in the server's place.",
			"TLS 오류: %s. kubeconfig가 다른 클러스터의 것이거나 CA 교체 전의 것이거나, 중간에서 다른 서버가 대신 응답하는 경우입니다.", a.message()), maybeWell)
	case snapshot.CertificateOtherName:
		out.title = finding.Textf("API server unreachable from here: its certificate is not for %s",
			"여기에서 API server에 연결할 수 없습니다: 인증서에 %s 이름이 없습니다", a.host)
		out.why = finding.Join(" ", finding.Textf("TLS ends with: %s. The address of this kubeconfig is not among the certificate's names.",
			"TLS 오류: %s. 이 kubeconfig의 주소가 인증서의 이름 목록에 없습니다.", a.message()), maybeWell)
		out.later = []finding.Remedy{{Text: finding.Textf("add %s to apiServer.certSANs of the kubeadm configuration and renew the certificate, or use a name that it carries",
			"kubeadm 설정의 apiServer.certSANs에 %s 항목을 추가하고 인증서를 갱신하거나, 인증서에 있는 이름을 사용합니다", a.host)}}
	case snapshot.NotTLS:
		out.title = finding.Textf("API server unreachable from here: what answers on %s does not speak TLS",
			"여기에서 API server에 연결할 수 없습니다: %s의 응답이 TLS가 아닙니다", a.server)
		out.why = finding.Join(" ", finding.Textf("TLS ends with: %s. Another program or a plain HTTP proxy answers there.",
			"TLS 오류: %s. 다른 프로그램이나 HTTP proxy가 응답하고 있습니다.", a.message()), maybeWell)
		out.now = []finding.Remedy{{Text: finding.Text{EN: "see who answers", KO: "누가 응답하는지 확인합니다"}, Command: "curl -si http://" + a.server + "/"}}
	default:
		out.mechanism = v1alpha1.MechanismHung
		out.confidence = v1alpha1.ConfidenceMedium
		out.title = finding.Textf("API server unreachable from here: %s opens a connection and does not finish TLS",
			"여기에서 API server에 연결할 수 없습니다: %s 주소가 연결은 받지만 TLS를 끝내지 않습니다", a.server)
		out.why = finding.Join(" ", finding.Textf("The connection opens, then: %s. A load balancer without a server behind it does that, and so does a process that hangs.",
			"연결 후 오류: %s. 뒤에 서버가 없는 로드 밸런서이거나 멈춘 프로세스일 때 이렇게 됩니다.", a.message()), onlyFromHere, whileAway)
	}
	return out
}

func (a place) expired() stop {
	out := stop{
		mechanism: v1alpha1.MechanismExpired,
		title: finding.Textf("API server unreachable from here: the certificate of %s has expired",
			"여기에서 API server에 연결할 수 없습니다: %s의 인증서가 만료되었습니다", a.server),
		now: []finding.Remedy{
			{
				Text:    finding.Text{EN: "see which certificates have run out", KO: "만료된 인증서를 확인합니다"},
				Command: "kubeadm certs check-expiration", Machine: a.host,
			},
			{
				Text: finding.Text{
					EN: "renew them, then restart the control plane's static pods by moving their manifests out of /etc/kubernetes/manifests and back",
					KO: "갱신한 뒤 /etc/kubernetes/manifests의 manifest를 밖으로 옮겼다가 되돌려 control plane static pod를 다시 시작합니다",
				},
				Command: "kubeadm certs renew all", Machine: a.host,
			},
		},
		later: []finding.Remedy{{Text: finding.Text{
			EN: "kubeadm renews certificates at every upgrade and they are good for a year: upgrade at least once a year, or renew them on a schedule",
			KO: "kubeadm 인증서의 유효 기간은 1년이며 업그레이드할 때 갱신됩니다. 매년 한 번 이상 업그레이드하거나 정기적으로 갱신합니다",
		}}},
	}
	switch {
	case a.notAfter.IsZero():
		out.why = finding.Textf("TLS ends with: %s. The process runs, and every client refuses it.",
			"TLS 오류: %s. 프로세스는 실행 중이지만 모든 클라이언트가 연결을 거부합니다.", a.message())
	case a.notAfter.After(a.now):
		out.confidence = v1alpha1.ConfidenceMedium
		out.title = finding.Textf("API server unreachable from here: the certificate of %s is not valid at the time of this machine's clock",
			"여기에서 API server에 연결할 수 없습니다: 이 머신의 시각으로는 %s의 인증서가 유효하지 않습니다", a.server)
		out.why = finding.Textf("TLS ends with: %s. Yet the certificate is good until %s: it is not valid yet, or the clock here is wrong.",
			"TLS 오류: %s. 그런데 인증서는 %s까지 유효합니다. 아직 유효 기간이 시작되지 않았거나 여기의 시계가 틀립니다.", a.message(), finding.Clock(a.now, a.notAfter))
		out.now = append([]finding.Remedy{{Text: finding.Text{EN: "compare the clocks", KO: "시계를 비교합니다"}, Command: "date -u; timedatectl"}}, out.now...)
	default:
		out.since = a.notAfter
		out.why = finding.Join(" ", finding.Textf("It was good until %s. The process runs, and every client refuses it: kubelets and controllers too.",
			"인증서는 %s에 만료되었습니다. 프로세스는 실행 중이지만 kubelet과 controller를 포함한 모든 클라이언트가 연결을 거부합니다.", finding.Clock(a.now, a.notAfter)), whileAway)
	}
	return out
}

func (a place) request() stop {
	out := stop{
		mechanism:  v1alpha1.MechanismHung,
		confidence: v1alpha1.ConfidenceMedium,
		title: finding.Textf("API server unreachable from here: %s takes requests and does not answer",
			"여기에서 API server에 연결할 수 없습니다: %s 주소가 요청을 받고 응답하지 않습니다", a.server),
		why: finding.Join(" ", finding.Textf("Connection and TLS are fine and no HTTP answer comes: %s. It waits for something, most often for etcd, or has more to do than it can.",
			"연결과 TLS는 정상이지만 HTTP 응답이 없습니다: %s. 대개 etcd를 기다리거나 부하가 처리 능력을 넘은 상태입니다.", a.message()), whileAway),
		ruledOut: []finding.Statement{{Text: finding.Text{EN: "network path and certificates: TLS was agreed on", KO: "네트워크 경로와 인증서: TLS 연결이 성립했습니다"}}},
		now: []finding.Remedy{
			{Text: finding.Text{EN: "ask for what it waits", KO: "무엇을 기다리는지 확인합니다"}, Command: "curl -k --max-time 10 'https://" + a.server + "/readyz?verbose'"},
		},
		later: moreThanOne(),
	}
	if isAddress(a.host) {
		out.now = append(out.now, finding.Remedy{
			Text:    finding.Text{EN: "look at its log and at etcd's", KO: "kube-apiserver와 etcd의 로그를 확인합니다"},
			Command: "crictl logs --tail 20 $(crictl ps -q --name kube-apiserver | head -n 1); crictl ps -a --name etcd", Machine: a.host,
		})
	}
	return out
}

func isAddress(host string) bool {
	_, err := netip.ParseAddr(host)
	return err == nil
}
