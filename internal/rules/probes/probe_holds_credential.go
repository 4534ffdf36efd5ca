package probes

import (
	"regexp"

	"github.com/maek-dev/maek/api/maek/v1alpha1"
	"github.com/maek-dev/maek/internal/finding"
	"github.com/maek-dev/maek/internal/rule"
)

var _ = Catalog.Add(rule.Rule{
	Code:  "ProbeHoldsCredential",
	Title: finding.Textf("probe carries a credential in a header", "probe의 header에 인증 정보가 들어 있습니다"),
	Doc: finding.Textf(
		"A header of an HTTP probe is one that carries credentials (Authorization, Cookie and others of such names), with a value: headers of probes are plain text, so everybody who may read pods or their templates reads it, and so do backups and "+
			"the tools that copy manifests. The value is not shown here, nor kept. Left alone: headers without a value, and static pods.",
		"HTTP probe의 header 가운데 인증 정보를 담는 것(Authorization, Cookie 등)에 값이 있습니다. probe의 header는 평문이므로 Pod나 template을 읽을 수 있는 누구나 볼 수 있고 백업이나 manifest를 복사하는 도구에도 남습니다. "+
			"값은 표시하지도 저장하지도 않습니다. 값이 없는 header와 static Pod는 제외합니다."),
	Link:     "https://kubernetes.io/docs/concepts/security/secrets-good-practices/",
	Severity: finding.Info,
	Risk:     true,
	Needs:    baseNeeds(),
	Detect: func(p *rule.Pass) {
		for one := range eachFirst(p.Snapshot, func(one probe) bool { return len(one.credentials()) > 0 }) {
			names := one.credentials()
			p.Report(finding.Finding{
				Subject: one.of.workload, Mechanism: v1alpha1.MechanismMisconfigured, Field: one.field(".httpGet.httpHeaders"), Explains: []finding.Subject{one.of.workload},
				Title: finding.Format("%s: %s probe of container %s carries a credential in the header %s", "%[1]s: %[3]s 컨테이너의 %[2]s probe가 header %[4]s에 인증 정보를 담고 있습니다",
					finding.Verbatim(finding.Named(one.of.workload)), finding.Verbatim(string(one.kind)), finding.Verbatim(one.container.Name), finding.List(names)),
				Why:      finding.Textf("whoever may read pods reads it; its value is not shown here", "Pod를 읽을 수 있는 누구나 볼 수 있습니다. 값은 여기에 표시하지 않습니다"),
				Evidence: []finding.Evidence{{Source: finding.Named(one.of.workload), Path: one.field(".httpGet.httpHeaders[" + names[0] + "]"), Value: "(not shown)"}},
				Remedies: finding.Remedies{Later: []finding.Remedy{one.edit(".httpGet.httpHeaders", finding.Textf(
					"ask a path that is open to the node without credentials, and replace the credential: it is known to others", "노드에서 인증 없이 접근할 수 있는 경로를 확인하게 하고, 이미 노출된 인증 정보는 교체하십시오"))}},
			})
		}
	},
})

// credential are the names of headers that carry credentials.
var credential = regexp.MustCompile(`(?i)^(?:(?:proxy-)?authorization|cookie|.*(?:token|api-?key|secret|password|passwd|credential).*)$`)

// credentials are the names of the probe's headers that carry one.
func (p probe) credentials() []string {
	if p.spec.HTTPGet == nil {
		return nil
	}
	var out []string
	for _, h := range p.spec.HTTPGet.HTTPHeaders {
		if h.Value != "" && credential.MatchString(h.Name) {
			out = append(out, h.Name)
		}
	}
	return out
}
