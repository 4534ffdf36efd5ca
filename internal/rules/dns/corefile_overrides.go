package dns

import (
	"fmt"
	"time"

	"github.com/maek-dev/maek/api/maek/v1alpha1"
	"github.com/maek-dev/maek/internal/finding"
	"github.com/maek-dev/maek/internal/rule"
)

var _ = Catalog.Add(rule.Rule{
	Code:  "CorefileOverridesClusterDomain",
	Title: finding.Text{EN: "CoreDNS does not resolve names of Services", KO: "CoreDNS가 Service 이름을 조회하지 못합니다"},
	Doc: finding.Text{
		EN: "By its Corefile CoreDNS answers names of Services itself, wrongly, or does not know them: a template, a hosts plugin without fallthrough or a rewrite comes before the " +
			"kubernetes plugin, or the server block that answers for the cluster's domain has none. Every pod is ready and names outside the cluster resolve, but no program finds a Service. " +
			"The name kubernetes.default.svc is followed through the plugins in the order in which CoreDNS asks them, which is not that of the file. Where the servers were started before the " +
			"Corefile was changed and do not reload, it is a warning for their next restart. Left alone: templates for IPv6 addresses or other domains, and Corefiles that import files or use plugins that are not the project's own.",
		KO: "Corefile 설정 때문에 CoreDNS가 Service 이름에 잘못 응답하거나 이름을 알지 못합니다. template, fallthrough 없는 hosts, rewrite가 kubernetes 플러그인보다 먼저 처리하거나, 클러스터 도메인을 맡은 server block에 kubernetes 플러그인이 없는 경우입니다. " +
			"Pod는 모두 Ready이고 외부 이름도 조회되지만 Service를 찾을 수 없습니다. kubernetes.default.svc라는 이름을 CoreDNS의 실제 플러그인 처리 순서(파일의 순서가 아님)대로 따라가 판단합니다. " +
			"변경 전에 시작한 서버가 reload하지 않으면 다음 재시작 때 발생할 warning으로 알립니다. IPv6 주소나 다른 도메인의 template, 파일을 import하거나 공식 플러그인이 아닌 것을 쓰는 Corefile은 제외합니다.",
	},
	Link:     "https://kubernetes.io/docs/tasks/administer-cluster/dns-custom-nameservers/",
	Severity: finding.Critical,
	Needs:    coreDNSKinds(),
	For:      time.Minute,
	Detect:   corefileOverrides,
})

func corefileOverrides(p *rule.Pass) {
	c, ok := findCoreDNS(p.Snapshot)
	if !ok {
		return
	}
	text, ok := c.corefile(p)
	if !ok {
		return
	}
	blocks, err := parseCorefile(text)
	if err != nil {
		return // CorefileInvalid tells.
	}
	o, found := overrides(blocks, c.port())
	if !found {
		return
	}
	subject := c.subject()
	f := finding.Finding{
		Subject: subject, Mechanism: v1alpha1.MechanismMisconfigured, Field: ".data.Corefile", Since: c.written,
		Title: finding.Textf("%s: by its Corefile CoreDNS resolves no name of a Service", "%s: Corefile 설정으로 CoreDNS가 Service 이름을 조회하지 못합니다", finding.Named(subject)),
		Why:   finding.Join("; ", finding.Format("%s: %s", "%s: %s", finding.Verbatim(o.name), o.what), c.changed(p.Now())),
		RuledOut: []finding.Statement{{Text: finding.Text{
			EN: "servers that are down: the answer is wrong by configuration",
			KO: "DNS 서버 중단: 설정에 따라 잘못 응답하는 것입니다",
		}}},
		Remedies: finding.Remedies{
			Now: []finding.Remedy{
				c.edit(finding.Text{EN: "take it out, or put back the version before", KO: "해당 설정을 제거하거나 이전 내용으로 되돌립니다"}),
				c.restart(p.Snapshot),
				{
					Text:    finding.Text{EN: "then try a name from a pod", KO: "이후 Pod에서 이름을 조회해 봅니다"},
					Command: "kubectl run dns-check --rm -i --restart=Never --image=busybox -- nslookup " + o.name,
				},
			},
			Later: []finding.Remedy{{Text: finding.Text{
				EN: "keep the Corefile under review; look up kubernetes.default.svc from a pod as a check after each change",
				KO: "Corefile을 검토 절차 아래 두고, 변경할 때마다 Pod에서 kubernetes.default.svc를 조회해 확인합니다",
			}}},
		},
	}
	e := finding.Evidence{Source: finding.Named(subject), Path: ".data.Corefile", Value: "no kubernetes plugin for " + o.name, At: finding.Timestamp(c.written)}
	if o.directive.name != "" {
		f.Field = fmt.Sprintf(".data.Corefile line %d", o.directive.line)
		e.Path, e.Value = f.Field, finding.Quote(o.directive.String())
	}
	f.Evidence = []finding.Evidence{e}
	if !inForce(c, blocks) {
		f.Severity = finding.Warning
		f.Title = finding.Textf("%s: with its Corefile CoreDNS will resolve no name of a Service once it restarts", "%s: CoreDNS가 재시작하면 이 Corefile로는 Service 이름을 조회하지 못합니다", finding.Named(subject))
		f.Why = finding.Join("; ", f.Why, finding.Text{EN: "the servers were started before and do not reload", KO: "서버는 변경 전에 시작했고 reload하지 않습니다"})
	}
	p.Report(f)
}

// inForce tells whether a server runs with the Corefile as it is: it reloads, or was started after.
func inForce(c coreDNS, blocks []serverBlock) bool {
	if has(blocks, "reload") || c.written.IsZero() {
		return true
	}
	for _, pod := range c.pods {
		for i := range pod.Status.ContainerStatuses {
			s := &pod.Status.ContainerStatuses[i]
			if s.Name == c.container && s.State.Running != nil && s.State.Running.StartedAt.After(c.written) {
				return true
			}
		}
	}
	return false
}
