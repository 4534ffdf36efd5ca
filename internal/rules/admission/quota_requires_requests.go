package admission

import (
	"fmt"
	"regexp"
	"slices"
	"strings"

	corev1 "k8s.io/api/core/v1"

	"github.com/maek-dev/maek/api/maek/v1alpha1"
	"github.com/maek-dev/maek/internal/finding"
	"github.com/maek-dev/maek/internal/rule"
	"github.com/maek-dev/maek/internal/snapshot"
)

var _ = Catalog.Add(rule.Rule{
	Code:  "QuotaRequiresRequests",
	Title: finding.Text{EN: "ResourceQuota demands requests that pods do not make", KO: "ResourceQuota가 요구하는 리소스 요청이 Pod에 없습니다"},
	Doc: finding.Text{
		EN: "A ResourceQuota counts cpu or memory, so the API server refuses every pod of the namespace whose containers do not say how much " +
			"they request or may use. Pods that run already go on and do not come back once they are gone. A LimitRange that gives a default " +
			"ends it at once. Left alone: quotas that refuse nothing, whatever running pods request.",
		KO: "ResourceQuota가 cpu나 memory를 세므로, 컨테이너에 request나 limit이 없는 Pod는 API server가 모두 거부합니다. " +
			"이미 실행 중인 Pod는 계속 동작하지만 사라지면 다시 만들어지지 않습니다. 기본값을 주는 LimitRange를 만들면 바로 해결됩니다. 아무것도 거부하지 않은 quota는 제외합니다.",
	},
	Link:     "https://kubernetes.io/docs/concepts/policy/resource-quotas/#requests-compared-to-limits",
	Severity: finding.Warning,
	Needs: slices.Concat([]rule.Need{
		rule.Optional[*corev1.ResourceQuota](), rule.Optional[*corev1.LimitRange](), rule.Optional[*corev1.Pod](),
	}, creations()),
	For:    refusedFor,
	Detect: quotaRequiresRequests,
})

// unrequested is how the quota plugin refuses a pod that does not say what it needs
// (k8s.io/apiserver/pkg/admission/plugin/resourcequota/controller.go, CheckRequest, and
// k8s.io/kubernetes/pkg/quota/v1/evaluator/core/pods.go, Constraints).
var unrequested = regexp.MustCompile(`failed quota: ([^:\s]+): must specify (.+)$`)

// demand is a resource that containers must name.
type demand struct{ resource, containers string }

// demandsOf reads "limits.memory for: app; requests.cpu for: app,sidecar".
func demandsOf(list string) []demand {
	var out []demand
	for part := range strings.SplitSeq(list, "; ") {
		if name, containers, ok := strings.Cut(strings.TrimSpace(part), " for: "); ok {
			out = append(out, demand{resource: name, containers: containers})
		}
	}
	return out
}

func quotaRequiresRequests(p *rule.Pass) {
	for _, r := range podRefusalsBy(failuresNow(p), func(f snapshot.CreateFailure) (finding.Subject, bool) {
		m := unrequested.FindStringSubmatch(f.Message)
		if m == nil {
			return finding.Subject{}, false
		}
		return finding.Subject{Kind: "ResourceQuota", Namespace: f.Owner.Namespace, Name: m[1]}, true
	}) {
		p.Report(demandingQuota(p, r))
	}
}

func demandingQuota(p *rule.Pass, r podRefusal) finding.Finding {
	m := unrequested.FindStringSubmatch(r.failures[0].Message)
	demands := demandsOf(m[2])
	var names []string
	for _, d := range demands {
		names = append(names, d.resource)
	}
	f := finding.Finding{
		Subject: r.subject, Mechanism: v1alpha1.MechanismRefused, Field: hardField(names), Since: r.since(),
		Explains: r.harmed(), Evidence: r.evidence(),
		Title: finding.Join(", ",
			finding.Textf("%s refuses pods that do not state %s", "%s: %s 지정이 없는 Pod를 거부합니다", finding.Named(r.subject), strings.Join(names, ", ")),
			finding.Format("%s cannot create pods", "%s: Pod를 만들지 못합니다", r.workloads())),
	}
	var gone, changed finding.Text
	if q, ok := snapshot.Get[*corev1.ResourceQuota](p.Snapshot, r.subject.Namespace, r.subject.Name); ok {
		changed = lastWritten(p.Now(), q)
	} else if p.Coverage(snapshot.KindOf[*corev1.ResourceQuota]()).Known() {
		gone = finding.Join("; ", finding.Text{EN: "the quota does not exist any more", KO: "quota가 더 이상 존재하지 않습니다"}, triedAgain)
	}
	f.Why = finding.Join("; ",
		finding.Textf("the API server asks for %s", "API server가 요구하는 항목: %s", m[2]),
		gone, runningWithout(p.Snapshot, r.subject.Namespace, names), changed)
	f.Remedies.Now = []finding.Remedy{
		{
			Text:    finding.Text{EN: "give containers that say nothing a default, with values that fit them; it holds for every pod from then on", KO: "지정이 없는 컨테이너에 기본값을 줍니다. 워크로드에 맞는 값으로 바꾸어 적용하며, 이후 만들어지는 모든 Pod에 적용됩니다"},
			Command: defaults(r.subject.Namespace, names),
		},
		{
			Text: finding.Format("or state %s in the pod templates of %s", "또는 Pod template에 값을 지정합니다(%s, 대상 %s)",
				finding.Verbatim(strings.Join(names, ", ")), r.workloads()),
			Command: fmt.Sprintf("kubectl -n %s edit %s %s", r.failures[0].Workload.Namespace, strings.ToLower(r.failures[0].Workload.Kind), r.failures[0].Workload.Name),
		},
	}
	f.Remedies.Later = []finding.Remedy{{Text: finding.Text{
		EN: "create a quota on cpu or memory together with a LimitRange, never alone",
		KO: "cpu나 memory quota는 LimitRange와 함께 만듭니다",
	}}}
	return f
}

// runningWithout counts the pods that run without what the quota demands: they are not made again.
func runningWithout(s *snapshot.Snapshot, namespace string, names []string) finding.Text {
	n := 0
	for _, pod := range snapshot.List[*corev1.Pod](s) {
		if pod.Namespace == namespace && pod.Status.Phase == corev1.PodRunning && pod.Spec.Resources == nil && slices.ContainsFunc(pod.Spec.Containers, func(c corev1.Container) bool {
			return slices.ContainsFunc(names, func(name string) bool { return !states(c, name) })
		}) {
			n++
		}
	}
	if n == 0 {
		return finding.Text{}
	}
	return finding.Format("running without it, and not replaced once gone: %s", "값 없이 실행 중인 %s는 계속 동작하지만 사라지면 다시 만들어지지 않습니다", finding.Pods(n))
}

// states tells whether a container names a resource as a quota calls it: "cpu" is short for
// "requests.cpu".
func states(c corev1.Container, name string) bool {
	if limit, ok := strings.CutPrefix(name, "limits."); ok {
		_, has := c.Resources.Limits[corev1.ResourceName(limit)]
		return has
	}
	_, has := c.Resources.Requests[corev1.ResourceName(strings.TrimPrefix(name, "requests."))]
	return has
}

// defaults is the command that makes a LimitRange with small defaults for what is demanded.
func defaults(namespace string, names []string) string {
	small := map[string]string{"cpu": "100m", "memory": "128Mi"}
	var requests, limits []string
	for _, name := range names {
		what := strings.TrimPrefix(strings.TrimPrefix(name, "limits."), "requests.")
		entry := fmt.Sprintf("%s: %s", what, small[what])
		if strings.HasPrefix(name, "limits.") {
			limits = append(limits, entry)
		} else if !slices.Contains(requests, entry) { // "cpu" and "requests.cpu" are one.
			requests = append(requests, entry)
		}
	}
	item := "type: Container"
	if len(requests) > 0 {
		item += fmt.Sprintf(", defaultRequest: {%s}", strings.Join(requests, ", "))
	}
	if len(limits) > 0 {
		item += fmt.Sprintf(", default: {%s}", strings.Join(limits, ", "))
	}
	return fmt.Sprintf("echo '{apiVersion: v1, kind: LimitRange, metadata: {name: defaults, namespace: %s}, spec: {limits: [{%s}]}}' | kubectl apply -f -", namespace, item)
}
