package probes

import (
	"slices"

	"github.com/maek-dev/maek/api/maek/v1alpha1"
	"github.com/maek-dev/maek/internal/finding"
	"github.com/maek-dev/maek/internal/rule"
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
