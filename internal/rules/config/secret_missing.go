package config

import (
	"fmt"
	"slices"
	"time"

	coordinationv1 "k8s.io/api/coordination/v1"
	corev1 "k8s.io/api/core/v1"

	"github.com/maek-dev/maek/api/maek/v1alpha1"
	"github.com/maek-dev/maek/internal/finding"
	"github.com/maek-dev/maek/internal/rule"
	"github.com/maek-dev/maek/internal/snapshot"
)

var _ = Catalog.Add(rule.Rule{
	Code:  "SecretMissing",
	Title: finding.Text{EN: "Secret does not exist", KO: "Secret이 없습니다"},
	Doc: finding.Text{
		EN: "Pods need a Secret that does not exist, so they cannot start. Secrets are never listed, so it is the kubelet's own word that is " +
			"taken, and only while the pod still waits. Left alone: references marked optional, pods that have started since, old events, and " +
			"pods on a Node whose kubelet is dead and says nothing any more.",
		KO: "Pod에 필요한 Secret이 없어 시작하지 못합니다. Secret 목록은 읽지 않으므로 Pod가 아직 대기 중일 때 kubelet이 알린 내용만 근거로 삼습니다. " +
			"optional 참조, 이미 시작한 Pod, 오래된 이벤트, kubelet이 멈춘 Node의 Pod는 제외합니다.",
	},
	Link:     "https://kubernetes.io/docs/concepts/configuration/secret/#restriction-secret-must-exist",
	Severity: finding.Warning,
	Needs: slices.Concat([]rule.Need{
		rule.Any[*corev1.Pod](), rule.Optional[*corev1.Event](), rule.Optional[*coordinationv1.Lease](),
	}, rule.Owners()),
	CustomResources: true,
	For:             time.Minute,
	Detect:          secretMissing,
})

func secretMissing(p *rule.Pass) {
	found := needs{}
	for _, pod := range snapshot.List[*corev1.Pod](p.Snapshot) {
		if !stuck(pod) {
			continue
		}
		for ref := range references(&pod.Spec) {
			if ref.kind == kindSecret {
				found.missing(p.Snapshot, pod, ref, false)
			}
		}
	}
	found.addRunning(p.Snapshot)
	for _, n := range found.sorted() {
		needs := tell(workloads(p, n.blocked))
		f := finding.Finding{
			Subject: n.subject, Mechanism: v1alpha1.MechanismMissing, Since: n.first(), Explains: n.pods(),
			Evidence: n.evidence(), Field: field(p, n.blocked[0]),
			Title: finding.Join(", ", finding.Textf("%s does not exist", "%s 없음", finding.Named(n.subject)),
				finding.Format("%s cannot start", "%s가 시작하지 못합니다", finding.Pods(len(n.pods())))),
			Why: finding.Join("; ",
				finding.Verbatim(fmt.Sprintf("kubelet: \"%s\"", finding.Quote(n.blocked[0].said.message))),
				finding.Format("%s needs it to start", "%s의 시작에 필요합니다", needs),
				finding.Textf("first missed at %s", "%s에 처음 확인되었습니다", finding.Clock(p.Now(), n.first()))),
		}
		f.Why = finding.Join("; ", f.Why, blameMakers(p, &f), n.latent())
		f.Remedies.Now = append(f.Remedies.Now, []finding.Remedy{
			{
				Text:    finding.Text{EN: "see which Secrets there are: it may have another name", KO: "Secret 목록을 확인합니다. 이름이 다를 수 있습니다"},
				Command: fmt.Sprintf("kubectl -n %s get secrets", n.subject.Namespace),
			},
			{Text: finding.Textf("create %s again from where it is kept (vault, sealed manifest, issuer); pods that wait start by themselves",
				"원본(vault, 암호화된 manifest, 발급 주체)으로 다시 만듭니다: %s. 대기 중인 Pod는 스스로 시작합니다", finding.Named(n.subject))},
		}...)
		f.Remedies.Now = append(f.Remedies.Now, rollback(p, n)...)
		p.Report(f)
	}
}
