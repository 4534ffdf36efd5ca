package controlplane

import (
	"strings"

	"github.com/maek-dev/maek/api/maek/v1alpha1"
	"github.com/maek-dev/maek/internal/finding"
	"github.com/maek-dev/maek/internal/rule"
	"github.com/maek-dev/maek/internal/snapshot"
)

var _ = Catalog.Add(rule.Rule{
	Code: "ApiServerRejectsRequests",
	Title: finding.Text{
		EN: "API server answers with an error",
		KO: "API server가 오류로 응답합니다",
	},
	Doc: finding.Text{
		EN: "The API server answers every request with an error. 401, or 403 to system:anonymous, means that it does not know these credentials: a matter of the " +
			"kubeconfig, a warning, for the cluster itself may be well. 429 means that it has more requests than it lets through. 5xx means that it cannot do its work, " +
			"most often because etcd does not answer it. A 403 to a user that it knows is a lack of rights, shown as what could not be read, and is not this.",
		KO: "API server가 모든 요청에 오류로 응답합니다. 401 또는 system:anonymous에 대한 403은 인증 정보를 알지 못한다는 뜻으로 kubeconfig의 문제이며, 클러스터 자체는 정상일 수 있으므로 warning입니다. " +
			"429는 처리할 수 있는 것보다 요청이 많다는 뜻이고, 5xx는 제 일을 하지 못한다는 뜻으로 대개 etcd가 응답하지 않는 경우입니다. 아는 사용자에 대한 403은 권한 부족이며 " +
			"이 규칙이 아니라 '확인하지 못한 것'으로 표시됩니다.",
	},
	Link:     "https://kubernetes.io/docs/reference/access-authn-authz/authentication/",
	Severity: finding.Critical,
	Causes:   []rule.Cause{{Code: "EtcdUnavailable", Via: rule.Cluster}},
	Detect:   detectAPIServerRejectsRequests,
})

// anonymous is the user as whom the API server treats a request without credentials that it knows
// (k8s.io/apiserver/pkg/authentication/user, Anonymous).
const anonymous = "system:anonymous"

// The HTTP statuses that are told apart (RFC 9110, RFC 6585).
const (
	statusUnauthorized        = 401
	statusForbidden           = 403
	statusTooManyRequests     = 429
	statusInternalServerError = 500
)

func detectAPIServerRejectsRequests(p *rule.Pass) {
	if !asked(p) {
		return
	}
	api := p.API()
	if api.Failure == nil {
		return
	}
	var f finding.Finding
	switch {
	case api.Failure.Layer == snapshot.LayerAuthentication && api.Failure.Status == 0:
		f = noCredentials(api)
	case api.Failure.Layer == snapshot.LayerAuthentication, unauthorizedStatus[api.Failure.Status]:
		f = unauthorized(api)
	case api.Failure.Layer != snapshot.LayerRequest || api.Failure.Status == 0:
		return
	case api.Failure.Status == statusTooManyRequests:
		f = overloaded(api)
	default:
		f = failing(api)
	}
	f.Subject = endpoint(api)
	f.Evidence = append([]finding.Evidence{failureEvidence(api)}, addressEvidence(api)...)
	if api.Failure.Status != 0 {
		f.RuledOut = []finding.Statement{{Text: finding.Text{
			EN: "network path and certificates: an HTTP answer came",
			KO: "네트워크 경로와 인증서: HTTP 응답을 받았습니다",
		}}}
	}
	p.Report(f)
}

// unauthorizedStatus are the answers to a request whose sender is not known, or not known to have
// any right: a client that is known for somebody gets 403 for single kinds only.
var unauthorizedStatus = map[int]bool{statusUnauthorized: true, statusForbidden: true}

// noCredentials is a kubeconfig whose credential plugin fails: no request was ever sent.
func noCredentials(api snapshot.API) finding.Finding {
	return finding.Finding{
		Severity:  finding.Warning,
		Mechanism: v1alpha1.MechanismUnauthorized,
		Title: finding.Textf("API server %s was not asked: there are no credentials to ask with",
			"API server(%s)에 요청하지 못했습니다: 사용할 인증 정보가 없습니다", endpoint(api).Name),
		Why: finding.Join(" ", finding.Textf("No request was sent: %s. Nothing could be looked at.",
			"요청을 보내지 못했습니다: %s. 클러스터는 확인하지 못했습니다.", finding.Quote(api.Failure.Message)), maybeWell),
		Remedies: finding.Remedies{Now: []finding.Remedy{{
			Text:    finding.Text{EN: "see which program gives the credentials, and run it by hand", KO: "인증 정보를 주는 프로그램을 확인하고 직접 실행해 봅니다"},
			Command: "kubectl config view --minify -o jsonpath='{.users[0].user.exec}'",
		}}},
	}
}

func unauthorized(api snapshot.API) finding.Finding {
	how := finding.Textf("%d (%s)", "%d (%s)", api.Failure.Status, finding.Quote(api.Failure.Message))
	if strings.Contains(api.Failure.Message, anonymous) {
		how = finding.Textf("%d, taking the request for one of %s: no credentials came with it, or none that it knows",
			"%d, 요청을 %s 사용자로 취급합니다. 인증 정보가 없거나 알 수 없는 인증 정보입니다", api.Failure.Status, anonymous)
	}
	concerns := finding.Text{
		EN: "That concerns the client certificate or token of this kubeconfig alone: expired, revoked or for another cluster. Nothing could be looked at.",
		KO: "이 kubeconfig의 클라이언트 인증서 또는 token에 관한 문제입니다(만료, 폐기, 다른 클러스터의 것). 클러스터는 확인하지 못했습니다.",
	}
	if api.Failure.Status == statusForbidden && !strings.Contains(api.Failure.Message, anonymous) {
		concerns = finding.Text{
			EN: "It knows who asks and gives that user no right at all. Nothing could be looked at.",
			KO: "요청한 사용자를 알지만 아무 권한도 주지 않았습니다. 클러스터는 확인하지 못했습니다.",
		}
	}
	return finding.Finding{
		Severity:  finding.Warning,
		Mechanism: v1alpha1.MechanismUnauthorized,
		Title: finding.Textf("API server %s does not accept these credentials",
			"API server(%s)가 이 인증 정보를 받아들이지 않습니다", endpoint(api).Name),
		Why: finding.Join(" ",
			finding.Text{EN: "It answers " + how.EN + ".", KO: "응답: " + how.KO + "."},
			concerns, maybeWell),
		Remedies: finding.Remedies{Now: []finding.Remedy{
			{
				Text:    finding.Text{EN: "see whom the API server takes this client for", KO: "API server가 이 클라이언트를 누구로 보는지 확인합니다"},
				Command: "kubectl auth whoami",
			},
			{
				Text:    finding.Text{EN: "when does the client certificate expire (not there: a token or a login program is used)", KO: "클라이언트 인증서의 만료일을 확인합니다(없으면 token이나 로그인 프로그램을 사용하는 것입니다)"},
				Command: "kubectl config view --raw --minify -o jsonpath='{.users[0].user.client-certificate-data}' | base64 -d | openssl x509 -noout -subject -enddate",
			},
			{Text: finding.Text{
				EN: "get fresh credentials; on a kubeadm cluster `kubeadm certs renew admin.conf` on a control-plane machine renews the administrator's",
				KO: "새 인증 정보를 받습니다. kubeadm 클러스터에서는 control plane 머신에서 `kubeadm certs renew admin.conf`로 관리자 인증서를 갱신합니다",
			}},
		}},
	}
}

func overloaded(api snapshot.API) finding.Finding {
	return finding.Finding{
		Mechanism: v1alpha1.MechanismExhausted,
		Title: finding.Textf("API server %s turns requests away: too many (429)",
			"API server(%s)가 요청을 돌려보냅니다: 요청이 너무 많습니다(429)", endpoint(api).Name),
		Why: finding.Textf("It answers 429 (%s): more requests wait than its priority levels let through. Kubelets and controllers may be turned away too. Pods that run go on running.",
			"429로 응답합니다(%s). priority level이 허용하는 것보다 많은 요청이 대기 중입니다. kubelet과 controller의 요청도 거절될 수 있습니다. 실행 중인 Pod는 계속 동작합니다.", finding.Quote(api.Failure.Message)),
		Remedies: finding.Remedies{
			Now: []finding.Remedy{
				{
					Text:    finding.Text{EN: "which priority level is full, and whose requests fill it", KO: "어느 priority level이 찼는지, 누구의 요청인지 확인합니다"},
					Command: "kubectl get --raw /debug/api_priority_and_fairness/dump_requests",
				},
				{Text: finding.Text{
					EN: "scale the client that sends them down, or give it a FlowSchema with a smaller share",
					KO: "그 클라이언트를 줄이거나 더 작은 몫의 FlowSchema를 지정합니다",
				}},
			},
			Later: []finding.Remedy{{Text: finding.Text{
				EN: "let clients watch instead of listing in a loop",
				KO: "클라이언트가 반복 list 대신 watch를 사용하게 합니다",
			}}},
		},
	}
}

func failing(api snapshot.API) finding.Finding {
	title := finding.Textf("API server %s answers %d", "API server(%s)의 응답이 %d 오류입니다", endpoint(api).Name, api.Failure.Status)
	if api.Failure.Status < statusInternalServerError {
		return finding.Finding{
			Mechanism:  v1alpha1.MechanismMisconfigured,
			Confidence: v1alpha1.ConfidenceMedium,
			Title:      title,
			Why: finding.Join(" ", finding.Textf("It answers %d (%s), which no API server does to this request: something else answers at this address.",
				"응답은 %d(%s)입니다. API server라면 이 요청에 하지 않는 응답이므로 이 주소에서 다른 서버가 응답하는 것입니다.", api.Failure.Status, finding.Quote(api.Failure.Message)), maybeWell),
			Remedies: finding.Remedies{Now: []finding.Remedy{{
				Text:    finding.Text{EN: "see who answers", KO: "누가 응답하는지 확인합니다"},
				Command: "curl -ksi https://" + endpoint(api).Name + "/version",
			}}},
		}
	}
	return finding.Finding{
		Mechanism:  v1alpha1.MechanismFailing,
		Confidence: v1alpha1.ConfidenceMedium,
		Title:      title,
		Why: finding.Join(" ", finding.Textf("It answers %d (%s): it runs and cannot do its work, most often because etcd does not answer it; or a load balancer before it has no server left.",
			"응답은 %d(%s)입니다. 실행 중이지만 제 일을 하지 못합니다. 대개 etcd가 응답하지 않거나, 앞단의 로드 밸런서에 남은 서버가 없는 경우입니다.", api.Failure.Status, finding.Quote(api.Failure.Message)), whileAway),
		Remedies: finding.Remedies{
			Now: []finding.Remedy{
				{
					Text:    finding.Text{EN: "which of its own checks fail", KO: "자체 점검 중 실패한 항목을 확인합니다"},
					Command: "curl -k --max-time 10 'https://" + endpoint(api).Name + "/readyz?verbose'",
				},
				{Text: finding.Text{
					EN: "on a control-plane machine: `crictl ps -a --name etcd` and the logs of etcd and kube-apiserver",
					KO: "control plane 머신에서 `crictl ps -a --name etcd`와 etcd, kube-apiserver 로그를 확인합니다",
				}},
			},
			Later: moreThanOne(),
		},
	}
}
