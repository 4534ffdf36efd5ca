package controlplane

import (
	"time"

	corev1 "k8s.io/api/core/v1"

	"github.com/maek-dev/maek/api/maek/v1alpha1"
	"github.com/maek-dev/maek/internal/finding"
	"github.com/maek-dev/maek/internal/rule"
)

var _ = Catalog.Add(rule.Rule{
	Code:  "ApiServerCertificateExpiring",
	Title: finding.Text{EN: "API server's certificate expires soon", KO: "API server 인증서가 곧 만료됩니다"},
	Doc: finding.Text{
		EN: "The certificate that the API server shows runs out within 30 days. kubeadm makes it for a year and renews it only with an upgrade or by hand, together with those of etcd, the controller manager and the scheduler, " +
			"which then run out on the same day: every client refuses the API server from then on. Where no static pod of kube-apiserver is known somebody else looks after certificates, which may live for a day only: there it is " +
			"told within three days. One that has run out is ApiServerUnreachable.",
		KO: "API server가 제시하는 인증서가 30일 안에 만료됩니다. kubeadm은 유효 기간 1년으로 만들고 업그레이드할 때나 직접 실행할 때만 갱신하며, etcd, controller manager, scheduler의 인증서도 같은 날 만료됩니다. 만료되면 모든 클라이언트가 " +
			"API server를 거부합니다. kube-apiserver의 static Pod가 없으면 다른 주체가 인증서를 관리하며 유효 기간이 하루인 경우도 있으므로 3일 이내일 때만 알립니다. 이미 만료된 인증서는 ApiServerUnreachable에서 다룹니다.",
	},
	Link:     "https://kubernetes.io/docs/tasks/administer-cluster/kubeadm/kubeadm-certs/",
	Severity: finding.Warning,
	Needs:    []rule.Need{rule.Optional[*corev1.Pod]()},
	Causes:   certificateOnMachine(),
	Detect:   detectApiServerCertificateExpiring,
})

const (
	// renewByHand is how long before its end a certificate is told of that people renew.
	renewByHand = 30 * 24 * time.Hour
	// renewBySelf is the same for one that something renews.
	renewBySelf = 3 * 24 * time.Hour
)

func detectApiServerCertificateExpiring(p *rule.Pass) {
	api := p.API()
	pods := p.ControlPlanePods("kube-apiserver")
	limit := renewBySelf
	if len(pods) > 0 {
		limit = renewByHand
	}
	left := api.CertificateNotAfter.Sub(p.Now())
	if !api.Asked || api.CertificateNotAfter.IsZero() || left > limit || left < 0 {
		return
	}
	const day = 24 * time.Hour
	end := api.CertificateNotAfter.UTC().Format(time.DateOnly)
	f := finding.Finding{
		Subject: endpoint(api), Mechanism: v1alpha1.MechanismExpired,
		Title: finding.Textf("API server %s: its certificate expires on %s, in %d days", "API server(%s)의 인증서가 %s(%d일 뒤)에 만료됩니다", endpoint(api).Name, end, int(left/day)),
		Why: finding.Text{
			EN: "From that moment every client refuses the API server, kubelets and controllers too. Nothing is lost yet. On a kubeadm cluster the other certificates of the control plane were made on the same day and run out with it.",
			KO: "만료되는 순간부터 kubelet과 controller를 포함한 모든 클라이언트가 API server를 거부합니다. 아직 잃은 것은 없습니다. kubeadm 클러스터에서는 control plane의 다른 인증서도 같은 날 만들어져 함께 만료됩니다.",
		},
		Evidence: []finding.Evidence{{Source: source(api), Path: "certificate notAfter", Value: api.CertificateNotAfter.UTC().Format(time.RFC3339)}},
		Remedies: finding.Remedies{Later: []finding.Remedy{{Text: finding.Text{
			EN: "upgrade at least once a year, which renews them, or renew them on a schedule",
			KO: "매년 한 번 이상 업그레이드하거나(이때 갱신됩니다) 정기적으로 갱신합니다",
		}}}},
	}
	if len(pods) == 0 {
		f.Remedies.Now = []finding.Remedy{{
			Text: finding.Text{
				EN: "see the certificate that is shown, and ask whoever runs this control plane why it was not renewed yet",
				KO: "제시되는 인증서를 확인하고, control plane을 운영하는 쪽에 갱신되지 않은 이유를 확인합니다",
			},
			Command: "openssl s_client -connect " + finding.ShellWord(endpoint(api).Name) + " </dev/null 2>/dev/null | openssl x509 -noout -subject -issuer -dates",
		}}
		f.Remedies.Later = nil
	}
	const readable = 3
	for _, pod := range pods[:min(len(pods), readable)] {
		f.Remedies.Now = append(f.Remedies.Now, finding.Remedy{
			Text: finding.Text{
				EN: "see what expires, renew all of it, then move the manifests out of /etc/kubernetes/manifests and back, one after another, so that the static pods start with the new certificates",
				KO: "만료되는 항목을 확인하고 모두 갱신한 뒤, /etc/kubernetes/manifests의 manifest를 하나씩 밖으로 옮겼다가 되돌려 static Pod가 새 인증서로 시작하게 합니다",
			},
			Command: "kubeadm certs check-expiration && kubeadm certs renew all", Machine: pod.Spec.NodeName,
		})
	}
	p.Report(f)
}
