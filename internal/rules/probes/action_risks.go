package probes

import (
	"regexp"
	"slices"

	"github.com/maek-dev/maek/api/maek/v1alpha1"
	"github.com/maek-dev/maek/internal/finding"
	"github.com/maek-dev/maek/internal/rule"
	"github.com/maek-dev/maek/internal/snapshot"
)

var _ = Catalog.Add(rule.Rule{
	Code:  "ProbeAsksOtherHost",
	Title: finding.Textf("probe asks another host than its pod", "probe가 Pod가 아닌 다른 host에 요청합니다"),
	Doc: finding.Textf(
		"A probe names a host. The kubelet then asks that host, from the node's network, and not the pod: the container is judged by what somebody else answers. Pod Security's baseline refuses such pods since Kubernetes 1.34, so that "+
			"they cannot be made anew where it is enforced. A Host header is what is mostly meant, and is a header. Left alone: the node's own addresses in pods of the host's network, and static pods.",
		"probe에 host가 지정되어 있습니다. kubelet은 Pod가 아니라 노드의 네트워크에서 그 host에 요청하므로 컨테이너의 상태가 다른 곳의 응답으로 정해집니다. Kubernetes 1.34부터 Pod Security baseline이 이런 Pod를 거부하므로 적용된 namespace에서는 "+
			"Pod를 다시 만들 수 없습니다. 대개 의도한 것은 Host header이며 이는 httpHeaders에 적습니다. host network를 쓰는 Pod가 노드 자신의 주소를 지정한 경우와 static Pod는 제외합니다."),
	Link:     "https://kubernetes.io/docs/concepts/security/pod-security-standards/#baseline",
	Severity: finding.Info,
	Risk:     true,
	Needs:    baseNeeds(),
	Detect: func(p *rule.Pass) {
		for one := range eachFirst(p.Snapshot, asksOtherHost) {
			host, action := one.host()
			p.Report(finding.Finding{
				Subject: one.of.workload, Mechanism: v1alpha1.MechanismMisconfigured, Field: one.field("." + action + ".host"), Explains: []finding.Subject{one.of.workload},
				Title: finding.Textf("%s: %s probe of container %s asks the host %s instead of its pod", "%s: %[3]s 컨테이너의 %[2]s probe가 Pod가 아니라 host %[4]s에 요청합니다",
					finding.Named(one.of.workload), one.kind, one.container.Name, finding.Quote(host)),
				Why: finding.Textf("the kubelet asks that host from the node's network; what it answers decides about this container, and Pod Security's baseline refuses the field since 1.34",
					"kubelet이 노드의 네트워크에서 그 host에 요청하고 그 응답이 이 컨테이너의 상태를 정합니다. Pod Security baseline은 1.34부터 이 필드를 거부합니다"),
				Evidence: []finding.Evidence{{Source: finding.Named(one.of.workload), Path: one.field("." + action + ".host"), Value: finding.Quote(host)}},
				Remedies: finding.Remedies{Later: []finding.Remedy{one.mend(p.Snapshot, fields{one.name(): fields{action: fields{"host": nil}}},
					finding.Textf("ask the pod itself; a name that the program wants to hear is a Host header", "Pod 자신에게 요청하게 합니다. 프로그램이 기대하는 이름은 Host header로 보냅니다"))}},
			})
		}
	},
})

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

// eachFirst yields of each workload the first probe for which a test holds.
func eachFirst(s *snapshot.Snapshot, test func(probe) bool) func(func(probe) bool) {
	return func(yield func(probe) bool) {
		for f := range familiesOf(s).serving() {
			if one, ok := f.first(test); ok && !yield(one) {
				return
			}
		}
	}
}

// first probe of a family for which a test holds.
func (f *family) first(test func(probe) bool) (probe, bool) {
	for at := range f.places(f.pods[0]) {
		for _, one := range at.probes() {
			if test(one) {
				return one, true
			}
		}
	}
	return probe{}, false
}

// host that a probe names instead of its pod, and the field of its action.
func (p probe) host() (host, action string) {
	switch h := p.spec.ProbeHandler; {
	case h.HTTPGet != nil:
		return h.HTTPGet.Host, "httpGet"
	case h.TCPSocket != nil:
		return h.TCPSocket.Host, "tcpSocket"
	default:
		return "", ""
	}
}

// itself are the names by which a program in the host's network is asked where it listens for the machine only.
var itself = []string{"127.0.0.1", "::1", "localhost"}

func asksOtherHost(p probe) bool {
	host, _ := p.host()
	return host != "" && (!p.pod.Spec.HostNetwork || !slices.Contains(itself, host))
}

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
