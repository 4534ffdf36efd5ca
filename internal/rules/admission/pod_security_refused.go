package admission

import (
	"cmp"
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
	Code:  "PodSecurityRefused",
	Title: finding.Text{EN: "Pod Security refuses the pods of a namespace", KO: "Pod Security가 namespace의 Pod를 거부합니다"},
	Doc: finding.Text{
		EN: "A namespace enforces a Pod Security level that the pods of its workloads do not meet, so the API server refuses to create them. Pods that run " +
			"already are not judged again: they go on, and do not come back once they are gone, which is why the trouble often shows long after the label " +
			"was set. Left alone: levels that are only warned about or audited, levels that refuse nothing, and refusals that were overcome.",
		KO: "namespace가 강제하는 Pod Security level을 workload의 Pod가 만족하지 못해 API server가 생성을 거부합니다. 이미 실행 중인 Pod는 다시 검사하지 않으므로 계속 동작하지만 " +
			"사라지면 다시 만들어지지 않습니다. 그래서 label을 바꾼 지 한참 뒤에야 드러나기도 합니다. warn과 audit만 설정된 level, 아무것도 거부하지 않은 level, 이미 해소된 거부는 제외합니다.",
	},
	Link:     "https://kubernetes.io/docs/concepts/security/pod-security-admission/",
	Severity: finding.Warning,
	Needs: slices.Concat([]rule.Need{
		rule.Optional[*corev1.Namespace](), rule.Optional[*corev1.Pod](),
	}, creations(), rule.Owners()),
	For:    refusedFor,
	Detect: podSecurityRefused,
})

// enforceLabel is the label of a namespace that names the level
// (k8s.io/pod-security-admission/api, EnforceLevelLabel).
const enforceLabel = "pod-security.kubernetes.io/enforce"

// violates is how the PodSecurity plugin refuses
// (k8s.io/pod-security-admission/admission/admission.go, EvaluatePod).
var violates = regexp.MustCompile(`violates PodSecurity \\?"([a-z]+):([^"\\]+)\\?": (.+)$`)

func podSecurityRefused(p *rule.Pass) {
	for _, r := range podRefusalsBy(failuresNow(p), func(f snapshot.CreateFailure) (finding.Subject, bool) {
		return finding.Subject{Kind: "Namespace", Name: f.Owner.Namespace}, violates.MatchString(f.Message)
	}) {
		p.Report(levelRefuses(p, r))
	}
}

func levelRefuses(p *rule.Pass, r podRefusal) finding.Finding {
	m := violates.FindStringSubmatch(r.failures[0].Message)
	level := m[1]
	f := finding.Finding{
		Subject: r.subject, Mechanism: v1alpha1.MechanismRefused, Since: r.since(), Explains: r.harmed(), Evidence: r.evidence(),
		Field: ".metadata.labels[" + enforceLabel + "]",
		Title: finding.Join(", ", finding.Textf("namespace %s enforces Pod Security level %s", "namespace %s: Pod Security level %s 강제", r.subject.Name, level),
			finding.Format("%s cannot create pods", "%s: Pod를 만들지 못합니다", r.workloads())),
	}
	var set finding.Text
	if ns, ok := snapshot.Get[*corev1.Namespace](p.Snapshot, "", r.subject.Name); ok {
		now, labelled := ns.Labels[enforceLabel]
		f.Evidence = append(f.Evidence, finding.Evidence{
			Source: finding.Named(r.subject), Path: f.Field, Value: cmp.Or(now, "(no such label)"),
		})
		switch {
		case now == level:
			set = lastWritten(p.Now(), ns)
		case !labelled:
			set = finding.Text{
				EN: "the namespace bears no such label: the level is the API server's default (its AdmissionConfiguration), or the label was taken away, and then the controllers try again within 17 minutes",
				KO: "namespace에 label이 없습니다. API server의 기본값(AdmissionConfiguration)이거나 label이 이미 제거된 경우이며, 제거되었다면 controller가 17분 안에 다시 시도합니다",
			}
		default:
			set = finding.Join("; ", finding.Textf("the namespace enforces %s by now", "namespace의 level은 지금 %s입니다", now), triedAgain, lastWritten(p.Now(), ns))
		}
	}
	f.Why = finding.Join("; ", finding.Textf("pods break it by %s", "위반 항목: %s", finding.Quote(m[3])), set, survivors(p, r))
	w := r.failures[0].Workload
	f.Remedies.Now = []finding.Remedy{
		{
			Text: finding.Textf("see what breaks the level in the whole namespace; nothing is changed",
				"namespace 전체에서 level을 위반하는 Pod를 확인합니다. 변경은 일어나지 않습니다"),
			Command: fmt.Sprintf("kubectl label --dry-run=server --overwrite namespace %s %s=%s", r.subject.Name, enforceLabel, level),
		},
		{
			Text:    finding.Format("bring the pod template of %s up to the level", "Pod template을 level에 맞게 고칩니다(%s)", r.workloads()),
			Command: fmt.Sprintf("kubectl -n %s edit %s %s", w.Namespace, strings.ToLower(w.Kind), w.Name),
		},
		{
			Text:    finding.Text{EN: "or, until then, only warn", KO: "또는 그때까지 경고만 하도록 낮춥니다"},
			Command: fmt.Sprintf("kubectl label --overwrite namespace %s %s=privileged pod-security.kubernetes.io/warn=%s", r.subject.Name, enforceLabel, level),
		},
	}
	f.Remedies.Later = []finding.Remedy{{Text: finding.Text{
		EN: "set warn and audit to a level first, and enforce it when nothing is reported any more",
		KO: "새 level은 먼저 warn과 audit으로 적용하고, 보고가 없어지면 enforce로 올립니다",
	}}}
	return f
}

// survivors counts the pods of the refused workloads that still run and would not be made again.
func survivors(p *rule.Pass, r podRefusal) finding.Text {
	var names []string
	for _, w := range r.harmed() {
		for _, pod := range p.PodsOf(w) {
			if pod.Status.Phase == corev1.PodRunning && pod.DeletionTimestamp == nil {
				names = append(names, pod.Name)
			}
		}
	}
	if len(names) == 0 {
		return finding.Text{}
	}
	return finding.Format("still running, and not replaced once gone: %s (%s)", "아직 실행 중이지만 사라지면 다시 만들어지지 않습니다: %s(%s)",
		finding.Pods(len(names)), finding.List(names))
}
