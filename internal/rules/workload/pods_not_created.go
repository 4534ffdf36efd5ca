package workload

import (
	"fmt"
	"time"

	appsv1 "k8s.io/api/apps/v1"
	coordinationv1 "k8s.io/api/coordination/v1"

	"github.com/maek-dev/maek/internal/finding"
	"github.com/maek-dev/maek/internal/rule"
	"github.com/maek-dev/maek/internal/snapshot"
)

var _ = Catalog.Add(rule.Rule{
	Code:  "PodsNotCreated",
	Title: finding.Text{EN: "the API server refuses a workload's pods", KO: "API server가 워크로드의 Pod 생성을 거부합니다"},
	Doc: finding.Text{
		EN: "A controller lacks pods because the API server refuses to create them: a quota, Pod Security, an admission webhook or policy, a LimitRange, " +
			"a ServiceAccount or PriorityClass that does not exist. The refusal is told in the API server's own words. Pods that exist go on, so " +
			"the trouble may show only at the next rollout or restart. Left alone: refusals that were overcome, workloads that have all their " +
			"pods, finished and suspended Jobs, and events older than the longest wait between two attempts.",
		KO: "API server가 Pod 생성을 거부하여 controller가 필요한 Pod를 만들지 못합니다. quota, Pod Security, admission webhook이나 policy, LimitRange, 존재하지 않는 ServiceAccount나 " +
			"PriorityClass 등이 원인이며, 거부 메시지를 그대로 알립니다. 이미 있는 Pod는 계속 동작하므로 다음 rollout이나 재시작 때에야 드러나기도 합니다. " +
			"이미 해소된 거부, Pod가 모두 있는 워크로드, 종료되었거나 일시 중지된 Job, 재시도 간격보다 오래된 이벤트는 제외합니다.",
	},
	Link:     "https://kubernetes.io/docs/reference/access-authn-authz/admission-controllers/",
	Severity: finding.Warning,
	Needs:    append(rule.Creations(), rule.Optional[*appsv1.Deployment](), rule.Optional[*coordinationv1.Lease]()),
	For:      refusedAfter,
	Symptom:  true,
	Detect:   podsNotCreated,
})

// refusedAfter is how long pods must have been refused. A namespace that was just made lacks its
// default ServiceAccount for a moment, and its pods are refused until then. There is nothing else to
// wait for: whoever refuses does not change their mind.
const refusedAfter = time.Minute

func podsNotCreated(p *rule.Pass) {
	if p.Writer(snapshot.ControllerManager).State == snapshot.Dead {
		return // Nobody tries to create pods any more; what the conditions say is past.
	}
	groups := groupBy(p.CreateFailures(), func(f snapshot.CreateFailure) finding.Subject { return f.Workload })
	for _, g := range groups {
		if f, ok := refusedPods(p, g); ok {
			p.Report(f)
		}
	}
}

func refusedPods(p *rule.Pass, g group[snapshot.CreateFailure]) (finding.Finding, bool) {
	var owners []snapshot.CreateFailure
	for _, c := range g.Items {
		if !beingDeleted(p.Snapshot, c.Owner) {
			owners = append(owners, c)
		}
	}
	if len(owners) == 0 {
		return finding.Finding{}, false
	}
	// The newest words are those of the last attempt.
	latest := owners[0]
	f := finding.Finding{Subject: g.Subject}
	for _, c := range owners {
		f.Since = finding.Earlier(f.Since, c.Since)
		f.Evidence = append(f.Evidence, c.Evidence)
		if c.Owner != g.Subject {
			f.Explains = append(f.Explains, c.Owner)
		}
		if c.Since.After(latest.Since) {
			latest = c
		}
	}
	f.Explains = append(f.Explains, g.Subject)
	r := refusal{message: latest.Message}
	f.Mechanism = r.mechanism()
	f.Title = finding.Textf("%s: the API server refuses to create its pods", "%s: API server가 Pod 생성을 거부하고 있습니다", finding.Named(g.Subject))
	f.Why = finding.Join(": ", finding.Textf("%s says", "%s의 메시지", finding.Named(latest.Owner)), quoted(latest.Message))
	f.Remedies.Now = append(refusalRemedies(g.Subject.Namespace, r), finding.Remedy{
		Text:    finding.Text{EN: "see what its controller last tried", KO: "controller의 최근 시도를 확인합니다"},
		Command: fmt.Sprintf("kubectl -n %s describe %s", latest.Owner.Namespace, argument(latest.Owner)),
	})
	f.Remedies.Later = []finding.Remedy{{Text: finding.Text{
		EN: "try manifests against the namespace before they are rolled out: kubectl apply --dry-run=server shows quotas and webhooks for the workload, and Pod Security warnings for its pods",
		KO: "배포 전에 kubectl apply --dry-run=server로 확인합니다. 워크로드에 적용되는 quota와 webhook, Pod에 대한 Pod Security 경고를 미리 볼 수 있습니다",
	}}}
	return f, true
}

// beingDeleted tells whether an owner of pods is on its way out, and creates nothing any more.
func beingDeleted(s *snapshot.Snapshot, owner finding.Subject) bool {
	if owner.Kind != "ReplicaSet" {
		return false
	}
	rs, ok := snapshot.Get[*appsv1.ReplicaSet](s, owner.Namespace, owner.Name)
	return ok && rs.DeletionTimestamp != nil
}
