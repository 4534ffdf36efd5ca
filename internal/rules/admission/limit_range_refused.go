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
	Code:  "LimitRangeRefused",
	Title: finding.Text{EN: "LimitRange refuses pods", KO: "LimitRange가 Pod를 거부합니다"},
	Doc: finding.Text{
		EN: "A LimitRange of the namespace bounds what a container or pod may request or use, and the API server refuses pods beyond it. Pods that " +
			"run already are not measured again and do not come back once they are gone. Left alone: LimitRanges that refuse nothing, and refusals " +
			"of controllers that have all their pods by now.",
		KO: "namespace의 LimitRange가 컨테이너나 Pod의 request와 limit 범위를 정하며, 이를 벗어난 Pod는 API server가 거부합니다. 이미 실행 중인 Pod는 다시 검사하지 않지만 " +
			"사라지면 다시 만들어지지 않습니다. 아무것도 거부하지 않은 LimitRange와 이미 모든 Pod를 갖춘 controller의 지난 거부는 제외합니다.",
	},
	Link:     "https://kubernetes.io/docs/concepts/policy/limit-range/",
	Severity: finding.Warning,
	Needs:    slices.Concat([]rule.Need{rule.Optional[*corev1.LimitRange]()}, creations()),
	For:      refusedFor,
	Detect:   limitRangeRefused,
})

var (
	// outOfRange is how the LimitRanger plugin refuses
	// (k8s.io/kubernetes/plugin/pkg/admission/limitranger/admission.go, minConstraint, maxConstraint,
	// maxRequestConstraint).
	outOfRange = regexp.MustCompile(`(minimum|maximum) (\S+) usage per (\S+) is ([^,\s]+?)(?:\.  No (?:request|limit) is specified|, but (?:request|limit) is [^,\s\]]+)`)
	// outOfRatio is the same for limitRequestRatioConstraint.
	outOfRatio = regexp.MustCompile(`(\S+) max limit to request ratio per (\S+) is ([^,\s]+), but (?:no (?:request|limit) is specified or (?:request|limit) is 0|provided ratio is [\d.]+)`)
)

// bound is one limit of a LimitRange that something breaks.
type bound struct {
	// words of the API server.
	words string
	// list is "min", "max" or "maxLimitRequestRatio".
	list, resource, perType string
}

// field is where the bound stands.
func (b bound) field() string {
	return fmt.Sprintf(".spec.limits[%s].%s[%s]", b.perType, b.list, b.resource)
}

// boundsIn reads the limits that a message says were broken.
func boundsIn(message string) []bound {
	var out []bound
	for _, m := range outOfRange.FindAllStringSubmatch(message, -1) {
		list := "max"
		if m[1] == "minimum" {
			list = "min"
		}
		out = append(out, bound{words: strings.ReplaceAll(m[0], ".  ", "; "), list: list, resource: m[2], perType: m[3]})
	}
	for _, m := range outOfRatio.FindAllStringSubmatch(message, -1) {
		out = append(out, bound{words: m[0], list: "maxLimitRequestRatio", resource: m[1], perType: m[2]})
	}
	return out
}

// has tells whether a LimitRange sets the bound.
func (b bound) has(l *corev1.LimitRange) bool {
	return slices.ContainsFunc(l.Spec.Limits, func(i corev1.LimitRangeItem) bool {
		list := map[string]corev1.ResourceList{"min": i.Min, "max": i.Max, "maxLimitRequestRatio": i.MaxLimitRequestRatio}[b.list]
		_, set := list[corev1.ResourceName(b.resource)]
		return string(i.Type) == b.perType && set
	})
}

func limitRangeRefused(p *rule.Pass) {
	ranges := map[string][]*corev1.LimitRange{}
	for _, l := range snapshot.List[*corev1.LimitRange](p.Snapshot) {
		ranges[l.Namespace] = append(ranges[l.Namespace], l)
	}
	for _, r := range podRefusalsBy(failuresNow(p), func(f snapshot.CreateFailure) (finding.Subject, bool) {
		bounds := boundsIn(f.Message)
		if len(bounds) == 0 {
			return finding.Subject{}, false
		}
		// The message does not name the LimitRange: it is the one that sets the bound.
		for _, l := range ranges[f.Owner.Namespace] {
			if bounds[0].has(l) {
				return snapshot.SubjectOf(l), true
			}
		}
		return finding.Subject{Kind: "Namespace", Name: f.Owner.Namespace}, true
	}) {
		p.Report(rangeRefuses(p, r))
	}
}

func rangeRefuses(p *rule.Pass, r podRefusal) finding.Finding {
	bounds := boundsIn(r.failures[0].Message)
	var words []string
	for _, b := range bounds {
		words = append(words, b.words)
	}
	slices.Sort(words)
	words = slices.Compact(words)
	namespace := r.failures[0].Owner.Namespace
	f := finding.Finding{
		Subject: r.subject, Mechanism: v1alpha1.MechanismRefused, Since: r.since(), Explains: r.harmed(), Evidence: r.evidence(),
	}
	see := fmt.Sprintf("kubectl -n %s get limitrange -o yaml", namespace)
	var changed finding.Text
	if r.subject.Kind == "LimitRange" {
		f.Field = bounds[0].field()
		see = fmt.Sprintf("kubectl -n %s edit limitrange %s", namespace, r.subject.Name)
		if l, ok := snapshot.Get[*corev1.LimitRange](p.Snapshot, namespace, r.subject.Name); ok {
			changed = lastWritten(p.Now(), l)
		}
	} else if p.Coverage(snapshot.KindOf[*corev1.LimitRange]()).Known() {
		changed = finding.Join("; ", finding.Text{EN: "no LimitRange of the namespace sets this any more", KO: "이 제한을 정한 LimitRange가 더 이상 없습니다"}, triedAgain)
	}
	f.Title = finding.Join(", ", finding.Textf("%s refuses pods", "%s: Pod를 거부합니다", finding.Named(r.subject)),
		finding.Format("%s cannot create pods", "%s: Pod를 만들지 못합니다", r.workloads()))
	f.Why = finding.Join("; ", finding.Textf("the API server says \"%s\"", "API server 응답: \"%s\"", finding.Quote(strings.Join(words, "; "))), changed)
	w := r.failures[0].Workload
	f.Remedies.Now = []finding.Remedy{
		{
			Text:    finding.Format("bring the pod template of %s within the range", "Pod template을 범위 안으로 맞춥니다(%s)", r.workloads()),
			Command: fmt.Sprintf("kubectl -n %s edit %s %s", w.Namespace, strings.ToLower(w.Kind), w.Name),
		},
		{Text: finding.Text{EN: "or widen the range", KO: "또는 범위를 넓힙니다"}, Command: see},
	}
	f.Remedies.Later = []finding.Remedy{{Text: finding.Text{
		EN: "check manifests against the namespace's LimitRange before they are applied: kubectl apply --dry-run=server on a Pod",
		KO: "적용하기 전에 Pod를 kubectl apply --dry-run=server로 확인하여 LimitRange에 맞는지 검사합니다",
	}}}
	return f
}
