package etcd

import (
	"strings"

	"github.com/maek-dev/maek/api/maek/v1alpha1"
	"github.com/maek-dev/maek/internal/finding"
	"github.com/maek-dev/maek/internal/rule"
	"github.com/maek-dev/maek/internal/snapshot"
)

var _ = Catalog.Add(rule.Rule{
	Code:  "EtcdUnprotected",
	Title: finding.Text{EN: "etcd can be used without a certificate", KO: "인증서 없이 etcd에 접근할 수 있습니다"},
	Doc: finding.Text{
		EN: "A member takes clients without TLS, or without asking for a certificate, at an address other than loopback, or talks to its peers so. Whoever reaches its port reads every Secret and may change every object. Nothing fails by it, " +
			"and a firewall may stand before it, so that it is only told. Loopback without TLS is left alone.",
		KO: "member가 loopback이 아닌 주소에서 TLS 없이, 또는 인증서를 요구하지 않고 클라이언트를 받거나 peer와 통신합니다. 포트에 접근할 수 있으면 누구나 모든 Secret을 읽고 모든 객체를 바꿀 수 있습니다. 동작에는 문제가 없고 방화벽이 있을 수 있으므로 정보로만 알립니다. " +
			"TLS가 없는 loopback은 제외합니다.",
	},
	Link:     "https://etcd.io/docs/v3.6/op-guide/security/",
	Severity: finding.Info,
	Needs:    optionalNodes,
	Machine:  machineKeys,
	Detect:   detectEtcdUnprotected,
})

func detectEtcdUnprotected(p *rule.Pass) {
	for _, c := range clusters(p) {
		for _, on := range c.from {
			if on.Value("etcd/local/plain-clients") == "" {
				continue // No etcd here.
			}
			var what []string
			f := finding.Finding{Subject: on.Subject("EtcdMember", on.Node()), Mechanism: v1alpha1.MechanismMisconfigured}
			note := func(flag string, k snapshot.EvidenceKey) {
				what = append(what, flag)
				f.Evidence = append(f.Evidence, on.Evidence(k))
			}
			switch {
			case on.True("etcd/local/plain-clients"):
				note("--listen-client-urls", "etcd/local/plain-clients")
			case !on.True("etcd/local/client-auth") && strings.HasPrefix(on.Value("etcd/local/client-url"), "https:"):
				note("--client-cert-auth", "etcd/local/client-auth")
			}
			if on.True("etcd/local/plain-peers") {
				note("--listen-peer-urls", "etcd/local/plain-peers")
			}
			if len(what) == 0 {
				continue
			}
			f.Field = strings.Join(what, ", ")
			f.Title = finding.Textf("etcd on %s can be used by whoever reaches its port (%s)", "%s의 etcd 포트에 접근할 수 있으면 누구나 사용할 수 있습니다(%s)", on.Node(), f.Field)
			f.Why = finding.Text{
				EN: "It asks for no certificate at an address that other machines reach. All Secrets of the cluster are in it.", KO: "다른 머신에서 접근할 수 있는 주소에서 인증서를 요구하지 않습니다. 클러스터의 모든 Secret이 여기에 있습니다.",
			}
			f.Remedies.Later = []finding.Remedy{{Text: finding.Text{
				EN: "let its ports in from control-plane machines only, and set --cert-file, --client-cert-auth, --peer-cert-file and --peer-client-cert-auth", KO: "control plane 머신에서만 포트에 접근하도록 제한하고 --cert-file, --client-cert-auth, --peer-cert-file, --peer-client-cert-auth를 설정합니다",
			}}}
			p.Report(f)
		}
	}
}
