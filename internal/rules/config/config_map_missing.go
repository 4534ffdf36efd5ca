package config

import (
	"fmt"
	"slices"
	"strings"
	"time"

	coordinationv1 "k8s.io/api/coordination/v1"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/types"

	"github.com/maek-dev/maek/api/maek/v1alpha1"
	"github.com/maek-dev/maek/internal/finding"
	"github.com/maek-dev/maek/internal/rule"
	"github.com/maek-dev/maek/internal/snapshot"
)

var _ = Catalog.Add(rule.Rule{
	Code:  "ConfigMapMissing",
	Title: finding.Text{EN: "ConfigMap does not exist", KO: "ConfigMap이 없습니다"},
	Doc: finding.Text{
		EN: "Pods need a ConfigMap that does not exist, so they cannot start: it was deleted, never created, misnamed, or is in another " +
			"namespace. Pods that run already go on, and fail at their next start; where only such pods need it, that is told as info. " +
			"Left alone: references marked optional, ConfigMaps that exist by now whatever old events say, and pods that ended.",
		KO: "Pod에 필요한 ConfigMap이 없어 시작하지 못합니다. 삭제되었거나, 만들어지지 않았거나, 이름이 다르거나, 다른 namespace에 있는 경우입니다. " +
			"이미 실행 중인 Pod는 계속 동작하지만 다음 시작 때 실패하며, 그런 Pod만 있으면 info로 알립니다. optional 참조, 오래된 이벤트와 달리 현재 존재하는 ConfigMap, 종료된 Pod는 제외합니다.",
	},
	Link:     "https://kubernetes.io/docs/concepts/configuration/configmap/#optional-configmaps",
	Severity: finding.Warning,
	Needs: slices.Concat([]rule.Need{
		rule.Any[*corev1.Pod](), rule.Optional[*corev1.ConfigMap](), rule.Optional[*corev1.Event](), rule.Optional[*coordinationv1.Lease](),
	}, rule.Owners()),
	CustomResources: true,
	For:             time.Minute,
	Causes:          []rule.Cause{{Code: "ControllerManagerDown", Via: rule.Cluster, Holds: publishedByControllerManager}},
	Detect:          configMapMissing,
})

// rootCA is the ConfigMap that the controller manager publishes into every namespace
// (k8s.io/kubernetes/pkg/controller/certificates/rootcacertpublisher, RootCACertConfigMapName).
const rootCA = "kube-root-ca.crt"

func publishedByControllerManager(_ *snapshot.Snapshot, effect, _ finding.Finding) bool {
	return effect.Subject.Name == rootCA
}

func configMapMissing(p *rule.Pass) {
	known := p.Coverage(snapshot.KindOf[*corev1.ConfigMap]()).Known()
	there := map[types.NamespacedName]bool{}
	for _, c := range snapshot.List[*corev1.ConfigMap](p.Snapshot) {
		there[types.NamespacedName{Namespace: c.Namespace, Name: c.Name}] = true
	}
	found := needs{}
	for _, pod := range snapshot.List[*corev1.Pod](p.Snapshot) {
		if snapshot.PodDone(pod) || pod.DeletionTimestamp != nil {
			continue
		}
		for ref := range references(&pod.Spec) {
			if ref.kind == kindConfigMap && !there[types.NamespacedName{Namespace: pod.Namespace, Name: ref.name}] {
				found.missing(p.Snapshot, pod, ref, known)
			}
		}
	}
	for _, object := range found.sorted() {
		p.Report(missingConfigMap(p, object, known))
	}
}

func missingConfigMap(p *rule.Pass, n *needed, known bool) finding.Finding {
	f := finding.Finding{
		Subject: n.subject, Mechanism: v1alpha1.MechanismMissing, Since: n.first(), Explains: n.pods(), Evidence: n.evidence(),
	}
	f.Field = field(p, slices.Concat(n.blocked, n.running)[0])
	if known {
		f.Evidence = append(f.Evidence, listed(p, n.subject))
	}
	needs := tell(workloads(p, slices.Concat(n.blocked, n.running)))
	if len(n.blocked) == 0 {
		f.Severity = finding.Info
		f.Title = finding.Join(", ", finding.Textf("%s does not exist", "%s 없음", finding.Named(n.subject)),
			finding.Format("%s will not start again without it", "실행 중인 %s가 다음에 시작하지 못합니다", finding.Pods(len(n.running))))
		f.Why = finding.Format("%s refers to it; what runs goes on until its next start", "%s에서 참조합니다. 실행 중인 컨테이너는 다음 시작 전까지 동작합니다", needs)
		f.Remedies.Now = restore(p, n)
		return f
	}
	f.Title = finding.Join(", ", finding.Textf("%s does not exist", "%s 없음", finding.Named(n.subject)),
		finding.Format("%s cannot start", "%s가 시작하지 못합니다", finding.Pods(len(n.pods()))))
	made := blameMakers(p, &f)
	f.Why = finding.Join("; ",
		finding.Format("%s needs it to start", "%s의 시작에 필요합니다", needs),
		finding.Textf("first missed at %s; nothing tells who removed it", "%s에 처음 확인되었습니다. 누가 삭제했는지는 기록되지 않습니다", finding.Clock(p.Now(), f.Since)),
		made, writers(p, n.subject), lastSeen(p, n), n.latent(), elsewhere(p, n.subject))
	f.Remedies.Now = append(f.Remedies.Now, restore(p, n)...)
	f.Remedies.Later = []finding.Remedy{{Text: finding.Text{
		EN: "apply a ConfigMap together with what uses it, and let one tool own both",
		KO: "ConfigMap과 이를 사용하는 워크로드를 같은 도구로 함께 배포합니다",
	}}}
	return f
}

// listed is the evidence of absence.
func listed(p *rule.Pass, subject finding.Subject) finding.Evidence {
	count := 0
	for _, c := range snapshot.List[*corev1.ConfigMap](p.Snapshot) {
		if c.Namespace == subject.Namespace {
			count++
		}
	}
	return finding.Evidence{
		Source: "ConfigMaps in namespace " + subject.Namespace, Path: ".metadata.name",
		Value: fmt.Sprintf("%d there, none named %s", count, subject.Name),
		At:    finding.Timestamp(p.Coverage(snapshot.KindOf[*corev1.ConfigMap]()).ReadAt),
	}
}

// writers names who writes the other ConfigMaps of the namespace: the tool that should have written this
// one, or that took it away.
func writers(p *rule.Pass, subject finding.Subject) finding.Text {
	var names []string
	for _, c := range snapshot.List[*corev1.ConfigMap](p.Snapshot) {
		if by, at := snapshot.LastManager(c); c.Namespace == subject.Namespace && c.Name != rootCA && subject.Name != rootCA && !at.IsZero() {
			names = append(names, fmt.Sprintf("%q", by))
		}
	}
	if len(names) == 0 {
		return finding.Text{}
	}
	return finding.Format("the other ConfigMaps there were last written by %s", "이 namespace의 다른 ConfigMap을 마지막으로 변경한 도구: %s", finding.List(names))
}

// lastSeen says when the object must have been there: a pod that runs started with it.
func lastSeen(p *rule.Pass, n *needed) finding.Text {
	var last time.Time
	var pod string
	for _, u := range n.running {
		if u.pod.Spec.NodeName != "" && u.since.After(last) {
			last, pod = u.since, u.pod.Name
		}
	}
	if last.IsZero() {
		return finding.Text{}
	}
	return finding.Textf("it was there at %s, when pod %s started", "%s에 Pod %s가 시작할 때는 있었습니다", finding.Clock(p.Now(), last), pod)
}

// elsewhere names ConfigMaps that may be the one that is meant: of the same name in another
// namespace, or, here, of a name that differs in its last part, as generated suffixes do.
func elsewhere(p *rule.Pass, subject finding.Subject) finding.Text {
	var near, far []string
	for _, c := range snapshot.List[*corev1.ConfigMap](p.Snapshot) {
		switch {
		case c.Namespace == subject.Namespace && alike(c.Name, subject.Name):
			near = append(near, c.Name)
		case c.Name == subject.Name && subject.Name != rootCA:
			far = append(far, c.Namespace)
		}
	}
	var texts []finding.Text
	if len(near) > 0 {
		list := strings.Join(near[:min(len(near), namesTold)], ", ")
		texts = append(texts, finding.Textf("names like it there: %s", "비슷한 이름: %s", list))
	}
	if len(far) > 0 {
		list := strings.Join(far[:min(len(far), namesTold)], ", ")
		texts = append(texts, finding.Textf("one of that name is in namespace %s", "같은 이름이 다른 namespace에 있습니다: %s", list))
	}
	return finding.Join("; ", texts...)
}

// alike tells whether two names share all but their last part.
func alike(a, b string) bool {
	stem := func(s string) string {
		if i := strings.LastIndex(s, "-"); i > 0 {
			return s[:i]
		}
		return s
	}
	return stem(a) == stem(b) || stem(a) == b || a == stem(b)
}

// restore says how to get the object back; a pod that runs may still have what was in it.
func restore(p *rule.Pass, n *needed) []finding.Remedy {
	if n.subject.Name == rootCA {
		return []finding.Remedy{{
			Text:    finding.Text{EN: "the controller manager publishes it: see whether that runs", KO: "controller manager가 배포하는 ConfigMap입니다. controller manager가 동작하는지 확인합니다"},
			Command: "kubectl -n kube-system get lease kube-controller-manager",
		}}
	}
	all := []finding.Remedy{{
		Text: finding.Textf("create %s again from where it is kept (manifests, chart, backup); pods that wait start by themselves",
			"원본(manifest, chart, 백업)으로 다시 만듭니다: %s. 대기 중인 Pod는 스스로 시작합니다", finding.Named(n.subject)),
		Command: fmt.Sprintf("kubectl -n %s get configmaps", n.subject.Namespace),
	}}
	for _, u := range n.running {
		if path, container := mounted(u); path != "" {
			all = append(all, finding.Remedy{
				Text:    finding.Textf("pod %s still has its contents", "Pod %s에 내용이 아직 남아 있습니다", u.pod.Name),
				Command: fmt.Sprintf("kubectl -n %s exec %s -c %s -- sh -c 'head -n 1000 %s/*'", u.pod.Namespace, u.pod.Name, container, path),
			})
			break
		}
	}
	return append(all, rollback(p, n)...)
}

// mounted is where a running container has the volume of a use mounted; empty where none has.
func mounted(u use) (path, container string) {
	if u.ref.volume == "" || u.pod.Status.Phase != corev1.PodRunning {
		return "", ""
	}
	for _, c := range u.pod.Spec.Containers {
		for _, m := range c.VolumeMounts {
			if m.Name == u.ref.volume && m.SubPath == "" && !strings.ContainsAny(m.MountPath, "' $`\\\n") {
				return m.MountPath, c.Name
			}
		}
	}
	return "", ""
}
