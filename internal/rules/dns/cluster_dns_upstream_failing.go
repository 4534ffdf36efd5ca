package dns

import (
	"fmt"
	"regexp"
	"slices"
	"strings"
	"time"

	corev1 "k8s.io/api/core/v1"

	"github.com/maek-dev/maek/api/maek/v1alpha1"
	"github.com/maek-dev/maek/internal/finding"
	"github.com/maek-dev/maek/internal/rule"
	"github.com/maek-dev/maek/internal/snapshot"
)

var _ = Catalog.Add(rule.Rule{
	Code:  "ClusterDNSUpstreamFailing",
	Title: finding.Text{EN: "the servers behind cluster DNS do not answer", KO: "클러스터 DNS의 upstream 서버가 응답하지 않습니다"},
	Doc: finding.Text{
		EN: "CoreDNS logs again and again that the server to which it forwards does not answer, and pods in trouble log that names outside the cluster fail. Names of Services go on to resolve and every server " +
			"of cluster DNS is ready. The addresses come from the resolv.conf of the servers' Nodes or from the Corefile. CoreDNS is asked only when a pod in trouble speaks of such names. Left alone: single " +
			"timeouts, and failures of names that the cluster itself knows.",
		KO: "CoreDNS가 질의를 전달하는 서버의 응답이 없다고 반복해서 기록하고, 문제가 생긴 Pod의 로그에도 외부 이름 조회 실패가 있습니다. Service 이름은 계속 조회되며 클러스터 DNS 서버는 모두 Ready입니다. " +
			"upstream 주소는 DNS 서버가 있는 Node의 resolv.conf나 Corefile에서 옵니다. 문제가 생긴 Pod가 외부 이름 실패를 기록한 경우에만 CoreDNS의 로그를 확인합니다. 일시적인 timeout과 클러스터 내부 이름의 실패는 제외합니다.",
	},
	Link:     "https://kubernetes.io/docs/tasks/administer-cluster/dns-debugging-resolution/",
	Severity: finding.Critical,
	Needs:    coreDNSKinds(),
	For:      time.Minute,
	Detect:   clusterDNSUpstreamFailing,
})

// upstreamError is what CoreDNS says of a question that it could not forward (coredns/plugin/errors,
// ServeDNS, with the words of Go's net): the name, and the server.
var upstreamError = regexp.MustCompile(`plugin/errors: \d+ (\S+) \S+: .*->(\S+): (i/o timeout|read: connection refused|.*no route to host|.*network is unreachable)|plugin/errors: \d+ (\S+) \S+: dial \S+ (\S+): (.*)`)

// manyErrors is how many such lines at the end of a server's log are more than an upstream that lost a
// packet.
const manyErrors = 5

func clusterDNSUpstreamFailing(p *rule.Pass) {
	c, ok := findCoreDNS(p.Snapshot)
	if !ok || !c.serves() {
		return
	}
	failures := slices.DeleteFunc(nameFailures(p), func(f nameFailure) bool { return !outside(f.name) })
	if len(failures) == 0 {
		return
	}
	server := c.pods[slices.IndexFunc(c.pods, snapshot.PodReady)]
	log := c.log(p, server, false)
	count := 0
	var upstreams, names []string
	var line string
	for l := range strings.SplitSeq(log, "\n") {
		m := upstreamError.FindStringSubmatch(l)
		if m == nil || !outside(m[1]+m[4]) {
			continue
		}
		count++
		line = strings.TrimSpace(l)
		if upstream := m[2] + m[5]; !slices.Contains(upstreams, upstream) {
			upstreams = append(upstreams, upstream)
		}
		names = append(names, m[1]+m[4])
	}
	if count < manyErrors {
		return
	}
	w := p.Workload(server)
	f := finding.Finding{
		Subject: w, Mechanism: v1alpha1.MechanismUnreachable, Explains: sufferers(p.Snapshot, failures),
		Title: finding.Format("%s: its upstream servers do not answer (%s), names outside the cluster fail", "%s: upstream 서버(%s)가 응답하지 않아 외부 이름을 조회할 수 없습니다", finding.Verbatim(finding.Named(w)), finding.List(upstreams)),
		Why: finding.Join("; ", finding.Format(fmt.Sprintf("%d questions at the end of its log got no answer: %%s", count), fmt.Sprintf("로그 끝부분에서 질의 %d건이 응답을 받지 못했습니다: %%s", count), finding.List(names)),
			finding.Textf("pods that suffer log: \"%s\"", "영향을 받은 Pod의 로그: \"%s\"", finding.Quote(failures[0].line))),
		Evidence: append([]finding.Evidence{c.logEvidence(server, line)}, evidence(failures)...),
		RuledOut: []finding.Statement{{Text: finding.Text{EN: "cluster DNS itself: it has a server that is ready", KO: "클러스터 DNS 자체의 장애(Ready인 서버가 있습니다)"}}},
		Remedies: finding.Remedies{
			Now: []finding.Remedy{
				{
					Text:    finding.Text{EN: "see which servers the machine names, and whether they answer", KO: "머신에 설정된 네임 서버와 응답 여부를 확인합니다"},
					Command: "cat /etc/resolv.conf; getent hosts kubernetes.io", Machine: server.Spec.NodeName,
				},
				c.edit(finding.Text{EN: "until they do, forward to servers that answer", KO: "복구될 때까지 응답하는 서버로 전달하도록 바꿉니다"}),
			},
			Later: []finding.Remedy{{Text: finding.Text{
				EN: "forward to two servers at least that do not fail together",
				KO: "함께 중단되지 않는 서버를 2개 이상 forward 대상으로 지정합니다",
			}}},
		},
	}
	f.Since = onset(failures)
	if text, ok := c.corefile(p); ok {
		f.Why = finding.Join("; ", f.Why, forwardsTo(text))
	}
	p.Report(f)
}

// onset is when the first of the pods that suffer ceased to be ready.
func onset(failures []nameFailure) time.Time {
	var pods []*corev1.Pod
	for _, f := range failures {
		pods = append(pods, f.pod)
	}
	return firstEnded(pods)
}
