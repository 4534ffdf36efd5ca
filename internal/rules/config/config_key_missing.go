package config

import (
	"fmt"
	"slices"
	"strings"
	"time"

	coordinationv1 "k8s.io/api/coordination/v1"
	corev1 "k8s.io/api/core/v1"

	"github.com/maek-dev/maek/api/maek/v1alpha1"
	"github.com/maek-dev/maek/internal/finding"
	"github.com/maek-dev/maek/internal/rule"
	"github.com/maek-dev/maek/internal/snapshot"
)

var _ = Catalog.Add(rule.Rule{
	Code:  "ConfigKeyMissing",
	Title: finding.Text{EN: "ConfigMap or Secret lacks a key", KO: "ConfigMap 또는 Secret에 필요한 key가 없습니다"},
	Doc: finding.Text{
		EN: "A ConfigMap or Secret exists and lacks a key that pods name, so they cannot start: the key was removed or renamed, or the " +
			"reference is misspelt. Left alone: references marked optional, pods that have started since, old events, and pods on a Node " +
			"whose kubelet is dead. Values are never read, so it is the kubelet's word that is taken.",
		KO: "ConfigMap이나 Secret은 있으나 Pod가 지정한 key가 없어 시작하지 못합니다. key가 삭제되거나 이름이 바뀌었거나 참조에 오타가 있는 경우입니다. " +
			"optional 참조, 이미 시작한 Pod, 오래된 이벤트, kubelet이 멈춘 Node의 Pod는 제외합니다. 값은 읽지 않으며 kubelet이 알린 내용을 근거로 삼습니다.",
	},
	Link:     "https://kubernetes.io/docs/tasks/configure-pod-container/configure-pod-configmap/#define-container-environment-variables-using-configmap-data",
	Severity: finding.Warning,
	Needs: slices.Concat([]rule.Need{
		rule.Any[*corev1.Pod](), rule.Optional[*corev1.ConfigMap](), rule.Optional[*corev1.Event](), rule.Optional[*coordinationv1.Lease](),
	}, rule.Owners()),
	For:    time.Minute,
	Detect: configKeyMissing,
})

func configKeyMissing(p *rule.Pass) {
	found := needs{}
	for _, pod := range snapshot.List[*corev1.Pod](p.Snapshot) {
		if !stuck(pod) {
			continue
		}
		words := waits(p.Snapshot, pod)
		for ref := range references(&pod.Spec) {
			for _, w := range words {
				if key := w.missedKey(pod.Namespace, ref); key != "" {
					object := found.of(pod.Namespace, ref)
					object.blocked = addOnce(object.blocked, use{pod: pod, ref: ref, key: key, said: &w, since: w.first})
				}
			}
		}
	}
	for _, n := range found.sorted() {
		p.Report(lacksKeys(p, n))
	}
}

func lacksKeys(p *rule.Pass, n *needed) finding.Finding {
	var keys []string
	for _, u := range n.blocked {
		keys = append(keys, u.key)
	}
	slices.Sort(keys)
	keys = slices.Compact(keys)
	list := strings.Join(keys, ", ")
	what := finding.Textf("%s has no key %s", "%s에 key %s 없음", finding.Named(n.subject), list)
	if len(keys) > 1 {
		what = finding.Textf("%s has none of the keys %s", "%s에 key %s 없음", finding.Named(n.subject), list)
	}
	f := finding.Finding{
		Subject: n.subject, Mechanism: v1alpha1.MechanismMissing, Field: ".data[" + list + "]", Since: n.first(),
		Explains: n.pods(), Evidence: n.evidence(),
		Title: finding.Join(", ", what,
			finding.Format("%s cannot start", "%s가 시작하지 못합니다", finding.Pods(len(n.pods())))),
		Why: finding.Join("; ",
			finding.Verbatim(fmt.Sprintf("kubelet: \"%s\"", finding.Quote(n.blocked[0].said.message))),
			finding.Textf("asked for in %s", "참조 위치: %s", field(p, n.blocked[0])),
			lastWrite(p, n.subject)),
	}
	resource := strings.ToLower(n.subject.Kind)
	see := fmt.Sprintf("kubectl -n %s describe %s %s", n.subject.Namespace, resource, n.subject.Name)
	f.Remedies.Now = []finding.Remedy{
		{Text: finding.Text{EN: "see which keys it has", KO: "어떤 key가 있는지 확인합니다"}, Command: see},
		{
			Text:    finding.Textf("put %s back; pods that wait start by themselves", "key를 다시 추가합니다: %s. 대기 중인 Pod는 스스로 시작합니다", list),
			Command: fmt.Sprintf("kubectl -n %s edit %s %s", n.subject.Namespace, resource, n.subject.Name),
		},
	}
	f.Remedies.Now = append(f.Remedies.Now, rollback(p, n)...)
	return f
}

// lastWrite says who wrote a ConfigMap last: the one who may have taken the key out.
func lastWrite(p *rule.Pass, subject finding.Subject) finding.Text {
	if subject.Kind != kindConfigMap {
		return finding.Text{}
	}
	c, ok := snapshot.Get[*corev1.ConfigMap](p.Snapshot, subject.Namespace, subject.Name)
	if !ok {
		return finding.Text{}
	}
	by, at := snapshot.LastManager(c)
	if at.IsZero() {
		return finding.Text{}
	}
	return finding.Textf("the ConfigMap was last written at %s by %q", "ConfigMap은 %s에 마지막으로 변경되었습니다(%q)", finding.Clock(p.Now(), at), by)
}
