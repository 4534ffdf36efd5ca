package checks

import (
	"fmt"
	"maps"
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
	Code:  "ReadinessTooShallow",
	Title: finding.Text{EN: "pods are ready while a check of them fails", KO: "check가 실패하는데 Pod는 Ready입니다"},
	Doc: finding.Text{
		EN: "A Check of a Service or of pods has failed for ten minutes with an answer that is wrong, and every pod that it asks is ready by a readiness probe of its own: the probe asks less than the check, and clients are sent to pods that give them the wrong answer. " +
			"It is a remark: where the check asks for something that all replicas share, readiness had better not ask for it, for it would take all of them out at once (ProbeCascade). Left alone: checks that got no answer, " +
			"which may be for the way from the operator to the pods, Services some of whose pods are not ready, pods without a readiness probe (ReadinessProbeMissing), and checks of URLs and Ingresses, between which and the pods there is more.",
		KO: "Service나 Pod를 점검하는 Check가 10분 넘게 잘못된 응답으로 실패하는데, 점검 대상 Pod는 모두 자신의 readiness probe로 Ready입니다. probe가 check보다 적게 확인하므로 클라이언트가 잘못된 응답을 주는 Pod로 연결됩니다. " +
			"참고로 알립니다. check가 모든 replica가 함께 쓰는 것을 확인한다면 readiness는 확인하지 않는 편이 낫습니다. 한꺼번에 모두 빠지기 때문입니다(ProbeCascade). 응답을 받지 못한 check(operator에서 Pod까지의 경로 문제일 수 있음), " +
			"일부 Pod가 Ready가 아닌 Service, readiness probe가 없는 Pod(ReadinessProbeMissing), 사이에 다른 것이 있는 URL과 Ingress의 check는 제외합니다.",
	},
	Link:     "https://kubernetes.io/docs/concepts/workloads/pods/probes/#readiness-probe",
	Severity: finding.Info,
	Needs:    checkNeeds(targetNeeds()...),
	Detect:   detectReadinessTooShallow,
})

// shallowFor is how long a check must have failed: readiness takes a while to notice, too.
const shallowFor = 10 * time.Minute

// wrongAnswers are why checks fail that got an answer.
var wrongAnswers = []reason{
	v1alpha1.ReasonUnexpectedStatus, v1alpha1.ReasonUnexpectedBody, v1alpha1.ReasonUnexpectedHeader, v1alpha1.ReasonUnexpectedJSON, v1alpha1.ReasonUnexpectedOutput,
	v1alpha1.ReasonTooSlow, v1alpha1.ReasonNotServing, v1alpha1.ReasonCommandFailed,
}

func detectReadinessTooShallow(p *rule.Pass) {
	all := targetsOf(p.Snapshot)
	for _, c := range checksOf(p.Snapshot).all {
		t, failing := all[c]
		if !failing || p.Now().Sub(c.since) < shallowFor || c.recovering || !c.answered() {
			continue
		}
		if f, ok := tooShallow(p, c, t.pods); ok {
			p.Report(f)
		}
	}
}

// answered tells whether a check of a Service or of pods got an answer, and a wrong one.
func (c *check) answered() bool {
	to := c.spec.Target
	return to != nil && (to.Service != nil || to.Pods != nil) && slices.Contains(wrongAnswers, c.reason)
}

// tooShallow tells of pods that are all ready by probes of their own, though a check of them fails.
func tooShallow(p *rule.Pass, c *check, pods []*corev1.Pod) (finding.Finding, bool) {
	probes := map[string]bool{}
	for _, pod := range pods {
		asked := readinessOf(pod)
		if !snapshot.PodReady(pod) || asked == "" {
			return finding.Finding{}, false
		}
		probes[asked] = true
	}
	if len(pods) == 0 {
		return finding.Finding{}, false
	}
	workload, name := p.Workload(pods[0]), finding.Named(c.subject)
	asks := slices.Sorted(maps.Keys(probes))
	f := finding.Finding{
		Subject: workload, Mechanism: v1alpha1.MechanismMisconfigured, Since: c.since,
		Title: finding.Format("%s: %s in service although %s fails since %s", "%s: %s가 Ready인데 %s가 %s부터 실패하고 있습니다",
			finding.Verbatim(finding.Named(workload)), finding.Pods(len(pods)), finding.Verbatim(name), finding.Verbatim(finding.Clock(p.Now(), c.since))),
		Why: finding.Format("readiness asks %s, which succeeds; the check said: %s", "readiness는 %s를 확인하며 성공합니다; check가 알린 내용: %s", finding.List(asks), said(c)),
		Evidence: append(c.evidence(), finding.Evidence{
			Source: finding.Named(snapshot.SubjectOf(pods[0])), Path: ".spec.containers[*].readinessProbe", Value: finding.Quote(asks[0]),
		}),
		Remedies: finding.Remedies{Later: []finding.Remedy{{
			Text: finding.Textf("let readiness ask what the check asks, if that lies within the replica; where all replicas share it, leave readiness, and answer requests with an error of their own",
				"check가 확인하는 것이 replica 안에 있다면 readiness도 그것을 확인하게 하십시오. 모든 replica가 함께 쓰는 것이라면 readiness는 그대로 두고 요청에 그에 맞는 오류로 답하게 하십시오"),
			Command: fmt.Sprintf("kubectl maek probe %s/%s -n %s", strings.ToLower(workload.Kind), workload.Name, workload.Namespace),
		}}},
	}
	return f, true
}

// readinessOf is what the readiness probes of a pod ask in a few words; empty where it has none.
func readinessOf(pod *corev1.Pod) string {
	var out []string
	for _, c := range pod.Spec.Containers {
		probe := c.ReadinessProbe
		switch {
		case probe == nil:
		case probe.HTTPGet != nil:
			path, _, _ := strings.Cut(probe.HTTPGet.Path, "?")
			out = append(out, fmt.Sprintf("httpGet :%s/%s", probe.HTTPGet.Port.String(), strings.TrimPrefix(path, "/")))
		case probe.TCPSocket != nil:
			out = append(out, "tcpSocket :"+probe.TCPSocket.Port.String())
		case probe.GRPC != nil:
			out = append(out, fmt.Sprintf("grpc :%d", probe.GRPC.Port))
		default:
			out = append(out, "exec")
		}
	}
	return strings.Join(out, ", ")
}
