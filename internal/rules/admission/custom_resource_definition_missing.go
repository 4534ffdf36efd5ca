package admission

import (
	"cmp"
	"regexp"
	"slices"
	"strings"
	"time"

	corev1 "k8s.io/api/core/v1"
	apiextensionsv1 "k8s.io/apiextensions-apiserver/pkg/apis/apiextensions/v1"
	"k8s.io/apimachinery/pkg/api/meta"
	"k8s.io/apimachinery/pkg/runtime/schema"

	"github.com/maek-dev/maek/api/maek/v1alpha1"
	"github.com/maek-dev/maek/internal/finding"
	"github.com/maek-dev/maek/internal/rule"
	"github.com/maek-dev/maek/internal/snapshot"
)

var _ = Catalog.Add(rule.Rule{
	Code:  "CustomResourceDefinitionMissing",
	Title: finding.Text{EN: "kind that a controller needs is not defined", KO: "controller에 필요한 kind가 정의되어 있지 않습니다"},
	Doc: finding.Text{
		EN: "A container ends again and again, and its log says that the API server does not know a kind that it works with (no matches for kind …), and no CustomResourceDefinition defines that kind in that " +
			"version. It was deleted, with all objects of it, or never installed, or no longer serves the version. Restarting the program does not help. A kind that is defined is left alone, whatever an old " +
			"log says, and so are programs that run.",
		KO: "컨테이너가 반복해서 종료되고, 로그에 API server가 모르는 kind(no matches for kind …)가 나오며, 그 kind와 버전을 정의하는 CustomResourceDefinition이 없습니다. 정의가 객체와 함께 삭제되었거나, 설치되지 않았거나, " +
			"그 버전을 더는 제공하지 않는 것입니다. 프로그램을 다시 시작해도 해결되지 않습니다. 정의되어 있는 kind는 예전 로그가 무엇이든 제외하며, 실행 중인 프로그램도 제외합니다.",
	},
	Link:     "https://kubernetes.io/docs/concepts/extend-kubernetes/api-extension/custom-resources/",
	Severity: finding.Warning,
	Needs:    append(rule.Owners(), rule.Whole[*apiextensionsv1.CustomResourceDefinition](), rule.Any[*corev1.Pod]()),
	For:      time.Minute,
	Detect:   detectCustomResourceDefinitionMissing,
})

var (
	// noKind is what a REST mapper says of a kind that discovery does not list
	// (k8s.io/apimachinery/pkg/api/meta/errors.go, NoKindMatchError).
	noKind = regexp.MustCompile(`no matches for kind "([A-Za-z0-9]+)" in version "([^"/]+)/([^"]+)"`)
	// noResource is what a list of such a kind meets with
	// (k8s.io/apimachinery/pkg/api/errors, NewGenericServerResponse).
	noResource = regexp.MustCompile(`the server could not find the requested resource \([a-z]+ ([a-z0-9-]+)\.([a-z0-9.-]+)\)`)
)

// operatorsAsked bounds how many logs are asked for: a rule of its own kind of trouble is not to take
// all of the budget, and a few operators tell which kind is missing.
const operatorsAsked = 5

// absentKind is a kind that somebody asks for and nobody defines.
type absentKind struct {
	crd      finding.Subject
	version  string
	exists   bool // and does not serve the version
	since    time.Time
	evidence []finding.Evidence
	explains []finding.Subject
}

func detectCustomResourceDefinitionMissing(p *rule.Pass) {
	absent := map[finding.Subject]*absentKind{}
	for _, c := range crashing(p) {
		text := c.status.LastTerminationState.Terminated.Message
		if answer, ok := p.Ask(snapshot.Question{
			Kind: snapshot.ContainerLog, Namespace: c.pod.Namespace, Name: c.pod.Name, Container: c.status.Name, Previous: true,
		}); ok && answer.Outcome == snapshot.Answered {
			text = cmp.Or(answer.Text, text)
		}
		line, name, version, ok := asksFor(p.Snapshot, text)
		if !ok {
			continue
		}
		k := absent[name]
		if k == nil {
			k = &absentKind{crd: name, version: version}
			_, k.exists = snapshot.Get[*apiextensionsv1.CustomResourceDefinition](p.Snapshot, "", name.Name)
			absent[name] = k
		}
		end := c.status.LastTerminationState.Terminated
		k.since = finding.Earlier(k.since, snapshot.NotReadySince(c.pod))
		k.evidence = append(k.evidence, finding.Evidence{
			Source: finding.Named(snapshot.SubjectOf(c.pod)), Path: "log of " + c.status.Name, Value: finding.Quote(line), At: finding.Timestamp(end.FinishedAt.Time),
		})
		workload := p.Workload(c.pod)
		k.explains = append(k.explains, workload)
		for _, pod := range p.PodsOf(workload) {
			if !snapshot.PodReady(pod) && !snapshot.PodDone(pod) {
				k.explains = append(k.explains, snapshot.SubjectOf(pod))
			}
		}
	}
	names := make([]finding.Subject, 0, len(absent))
	for name := range absent {
		names = append(names, name)
	}
	slices.SortFunc(names, finding.CompareSubjects)
	for _, name := range names {
		p.Report(absent[name].finding())
	}
}

// crashed is a container that ends again and again.
type crashed struct {
	pod    *corev1.Pod
	status *corev1.ContainerStatus
}

// crashing returns one such container of each workload, the most often restarted, the first few
// workloads by name.
func crashing(p *rule.Pass) []crashed {
	worst := map[finding.Subject]crashed{}
	for _, pod := range snapshot.List[*corev1.Pod](p.Snapshot) {
		for i := range pod.Status.ContainerStatuses {
			c := &pod.Status.ContainerStatuses[i]
			if c.State.Waiting == nil || c.State.Waiting.Reason != "CrashLoopBackOff" || c.LastTerminationState.Terminated == nil ||
				c.LastTerminationState.Terminated.Reason == "OOMKilled" {
				continue
			}
			w := p.Workload(pod)
			if known, ok := worst[w]; !ok || c.RestartCount > known.status.RestartCount {
				worst[w] = crashed{pod, c}
			}
		}
	}
	names := make([]finding.Subject, 0, len(worst))
	for w := range worst {
		names = append(names, w)
	}
	slices.SortFunc(names, finding.CompareSubjects)
	var out []crashed
	for _, w := range names[:min(len(names), operatorsAsked)] {
		out = append(out, worst[w])
	}
	return out
}

// asksFor finds the line of a log that speaks of a kind which no CustomResourceDefinition serves. The
// kinds of Kubernetes' own groups are not defined so.
func asksFor(s *snapshot.Snapshot, log string) (line string, crd finding.Subject, version string, ok bool) {
	for l := range strings.Lines(log) {
		if m := noKind.FindStringSubmatch(l); m != nil && !snapshot.Scheme.IsGroupRegistered(m[2]) {
			gvk := schema.GroupVersionKind{Group: m[2], Version: m[3], Kind: m[1]}
			if name, served := definition(s, gvk); !served {
				return l, finding.Subject{Kind: "CustomResourceDefinition", Name: name}, m[3], true
			}
		}
		if m := noResource.FindStringSubmatch(l); m != nil && !snapshot.Scheme.IsGroupRegistered(m[2]) {
			name := m[1] + "." + m[2]
			if _, exists := snapshot.Get[*apiextensionsv1.CustomResourceDefinition](s, "", name); !exists {
				return l, finding.Subject{Kind: "CustomResourceDefinition", Name: name}, "", true
			}
		}
	}
	return "", finding.Subject{}, "", false
}

// definition names the CustomResourceDefinition of a kind, by guess where there is none, and tells
// whether it serves the version.
func definition(s *snapshot.Snapshot, gvk schema.GroupVersionKind) (name string, served bool) {
	for _, crd := range snapshot.List[*apiextensionsv1.CustomResourceDefinition](s) {
		if crd.Spec.Group == gvk.Group && crd.Spec.Names.Kind == gvk.Kind {
			return crd.Name, slices.ContainsFunc(crd.Spec.Versions, func(v apiextensionsv1.CustomResourceDefinitionVersion) bool {
				return v.Name == gvk.Version && v.Served
			})
		}
	}
	plural, _ := meta.UnsafeGuessKindToResource(gvk)
	return plural.GroupResource().String(), false
}

func (k *absentKind) finding() finding.Finding {
	slices.SortFunc(k.explains, finding.CompareSubjects)
	k.explains = slices.Compact(k.explains)
	_, group, _ := strings.Cut(k.crd.Name, ".")
	title := finding.Textf("CustomResourceDefinition %s does not exist, and its controller ends over it", "CustomResourceDefinition(%s)이 없어 controller가 종료됩니다", k.crd.Name)
	if k.exists {
		title = finding.Textf("CustomResourceDefinition %s does not serve version %s, and its controller ends over it",
			"CustomResourceDefinition(%s)이 %s 버전을 제공하지 않아 controller가 종료됩니다", k.crd.Name, k.version)
	}
	f := finding.Finding{
		Subject: k.crd, Mechanism: v1alpha1.MechanismMissing, Since: k.since, Explains: k.explains, Evidence: k.evidence,
		Title: title,
		Why: finding.Text{
			EN: "The log of the controller says that the API server does not know the kind, and no CustomResourceDefinition serves it. Whoever deletes a definition deletes all objects of its kind with it; restarting the controller does not bring them back.",
			KO: "controller의 로그에 API server가 이 kind를 모른다는 오류가 있고, 이를 제공하는 CustomResourceDefinition이 없습니다. 정의를 삭제하면 그 kind의 객체도 모두 삭제됩니다. controller를 다시 시작해도 복구되지 않습니다.",
		},
		Remedies: finding.Remedies{
			Now: []finding.Remedy{
				{Text: finding.Text{EN: "see which definitions of the group are left", KO: "같은 group에 남은 정의를 확인합니다"}, Command: "kubectl get crd | grep " + group},
				{Text: finding.Text{
					EN: "install the definition again in the version that the controller was built for, then restore its objects from a backup or from Git",
					KO: "controller와 맞는 버전의 정의를 다시 설치한 뒤, 백업이나 Git에서 객체를 복원합니다",
				}},
			},
			Later: []finding.Remedy{{Text: finding.Text{
				EN: "keep definitions apart from the charts that are uninstalled, and let few people delete CustomResourceDefinitions",
				KO: "정의를 제거 대상 chart와 분리하고 CustomResourceDefinition 삭제 권한을 제한합니다",
			}}},
		},
	}
	if k.version != "" {
		f.WaitsFor = []finding.Subject{{Kind: "APIService", Name: k.version + "." + group}}
	}
	return f
}
