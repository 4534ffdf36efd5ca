package admission

import (
	"cmp"
	"encoding/json"
	"fmt"
	"maps"
	"regexp"
	"slices"
	"strings"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	apiresource "k8s.io/apimachinery/pkg/api/resource"
	"k8s.io/apimachinery/pkg/util/intstr"

	"github.com/maek-dev/maek/api/maek/v1alpha1"
	"github.com/maek-dev/maek/internal/finding"
	"github.com/maek-dev/maek/internal/rule"
	"github.com/maek-dev/maek/internal/snapshot"
)

var _ = Catalog.Add(rule.Rule{
	Code:  "QuotaExceeded",
	Title: finding.Text{EN: "ResourceQuota is used up", KO: "ResourceQuota가 소진되었습니다"},
	Doc: finding.Text{
		EN: "A ResourceQuota is used up, and the API server refuses pods for it: rollouts stop, and pods that are lost are not replaced. " +
			"Where a rollout only lacks the extra pod that its maxSurge asks for, that is said, for then it can go on without more quota. " +
			"A quota that is full and refuses nothing is told as info. Left alone: quotas of zero, which forbid a thing on purpose, and " +
			"refusals of controllers that have all their pods by now.",
		KO: "ResourceQuota가 소진되어 API server가 Pod 생성을 거부합니다. rollout이 멈추고, 사라진 Pod가 다시 만들어지지 않습니다. " +
			"maxSurge로 늘어나는 Pod만 거부된 rollout이라면 quota를 늘리지 않고도 진행할 수 있으므로 따로 알립니다. " +
			"가득 찼지만 아무것도 거부하지 않은 quota는 info로 알립니다. 일부러 0으로 둔 quota와 이미 모든 Pod를 갖춘 controller의 지난 거부는 제외합니다.",
	},
	Link:     "https://kubernetes.io/docs/concepts/policy/resource-quotas/",
	Severity: finding.Warning,
	Needs: slices.Concat([]rule.Need{
		rule.Optional[*corev1.ResourceQuota](), rule.Optional[*appsv1.Deployment](),
	}, creations()),
	For:    refusedFor,
	Detect: quotaExceeded,
})

// overQuota is how the quota plugin refuses
// (k8s.io/apiserver/pkg/admission/plugin/resourcequota/controller.go, CheckRequest).
var overQuota = regexp.MustCompile(`exceeded quota: ([^,\s]+), requested: (\S+), used: (\S+), limited: (\S+)`)

// excess is one refusal for a quota, in numbers.
type excess struct {
	quota                    string
	requested, used, limited map[string]apiresource.Quantity
}

// parseExcess reads a refusal; false where the message is none of a quota's.
func parseExcess(message string) (excess, bool) {
	m := overQuota.FindStringSubmatch(message)
	if m == nil {
		return excess{}, false
	}
	e := excess{quota: m[1], requested: amounts(m[2]), used: amounts(m[3]), limited: amounts(m[4])}
	return e, len(e.requested) > 0
}

// amounts reads "pods=1,requests.cpu=500m". What is no quantity is left out.
func amounts(list string) map[string]apiresource.Quantity {
	out := map[string]apiresource.Quantity{}
	for part := range strings.SplitSeq(list, ",") {
		name, value, _ := strings.Cut(part, "=")
		if q, err := apiresource.ParseQuantity(value); err == nil && name != "" {
			out[name] = q
		}
	}
	return out
}

// inWords tells the numbers of a refusal: "pods: 3 of 3 used, 1 more asked for".
func (e excess) inWords() finding.Text {
	var all []finding.Text
	for _, name := range slices.Sorted(maps.Keys(e.requested)) {
		used, limited, more := e.used[name], e.limited[name], e.requested[name]
		all = append(all, finding.Textf("%s: %s of %s used, %s more asked for", "%s: %[3]s 중 %[2]s 사용, 추가 요청 %[4]s",
			name, used.String(), limited.String(), more.String()))
	}
	return finding.Join(", ", all...)
}

func quotaExceeded(p *rule.Pass) {
	refused := map[finding.Subject]bool{}
	for _, r := range podRefusalsBy(failuresNow(p), func(f snapshot.CreateFailure) (finding.Subject, bool) {
		e, ok := parseExcess(f.Message)
		return finding.Subject{Kind: "ResourceQuota", Namespace: f.Owner.Namespace, Name: e.quota}, ok
	}) {
		refused[r.subject] = true
		p.Report(overQuotaFinding(p, r))
	}
	for _, q := range snapshot.List[*corev1.ResourceQuota](p.Snapshot) {
		if names := full(q); len(names) > 0 && !refused[snapshot.SubjectOf(q)] {
			p.Report(fullQuota(p, q, names))
		}
	}
}

func overQuotaFinding(p *rule.Pass, r podRefusal) finding.Finding {
	e, _ := parseExcess(r.failures[0].Message)
	names := slices.Sorted(maps.Keys(e.requested))
	f := finding.Finding{
		Subject: r.subject, Mechanism: v1alpha1.MechanismExhausted, Field: hardField(names), Since: r.since(),
		Explains: r.harmed(), Evidence: r.evidence(),
		Title: finding.Join(", ", finding.Textf("%s is used up (%s)", "%s 소진(%s)", finding.Named(r.subject), strings.Join(names, ", ")),
			finding.Format("%s cannot create pods", "%s: Pod를 만들지 못합니다", r.workloads())),
	}
	q, there := snapshot.Get[*corev1.ResourceQuota](p.Snapshot, r.subject.Namespace, r.subject.Name)
	var now, changed finding.Text
	switch {
	case there:
		f.Evidence = append(f.Evidence, quotaEvidence(q, names))
		changed = lastWritten(p.Now(), q)
		if e.fits(q) {
			now = finding.Join("; ", finding.Text{EN: "the quota has room by now", KO: "지금은 quota에 여유가 있습니다"}, triedAgain)
		}
	case p.Coverage(snapshot.KindOf[*corev1.ResourceQuota]()).Known():
		now = finding.Join("; ", finding.Text{EN: "the quota does not exist any more", KO: "quota가 더 이상 존재하지 않습니다"}, triedAgain)
	}
	surging := surging(p.Snapshot, r)
	var only finding.Text
	if len(surging) == len(r.failures) {
		only = finding.Format("only the extra pod of a rollout is refused (maxSurge); the old version of %s goes on with all its pods",
			"rollout의 추가 Pod(maxSurge)만 거부되었습니다. 이전 버전은 모든 Pod로 계속 동작합니다(%s)", r.workloads())
	}
	f.Why = finding.Join("; ", e.inWords(), only, now, changed)
	for _, d := range surging {
		f.Remedies.Now = append(f.Remedies.Now, finding.Remedy{
			Text: finding.Textf("let the rollout of %s go on within the quota: take an old pod away before a new one comes",
				"quota 안에서 rollout을 진행합니다(%s). 이전 Pod를 먼저 줄이고 새 Pod를 만듭니다", d.Name),
			Command: fmt.Sprintf(`kubectl -n %s patch deployment %s -p '{"spec":{"strategy":{"rollingUpdate":{"maxSurge":0,"maxUnavailable":1}}}}'`, d.Namespace, d.Name),
		})
	}
	f.Remedies.Now = append(f.Remedies.Now,
		finding.Remedy{
			Text:    finding.Text{EN: "raise the quota, to this at least", KO: "quota를 최소한 다음 값까지 늘립니다"},
			Command: raise(p.Snapshot, r),
		},
		finding.Remedy{
			Text:    finding.Text{EN: "or see what uses it up", KO: "또는 무엇이 quota를 쓰는지 확인합니다"},
			Command: fmt.Sprintf("kubectl -n %s describe resourcequota %s; kubectl -n %[1]s get pods", r.subject.Namespace, r.subject.Name),
		})
	f.Remedies.Later = []finding.Remedy{{Text: finding.Text{
		EN: "leave room in the quota for one rollout and for pods that are being replaced, and alert at 90 % of it",
		KO: "rollout과 교체 중인 Pod가 들어갈 여유를 quota에 두고, 90%에 이르면 알림을 보냅니다",
	}}}
	return f
}

// fits tells whether what was refused would fit by now, as the quota's own status counts.
func (e excess) fits(q *corev1.ResourceQuota) bool {
	for name, want := range e.requested {
		hard, limited := q.Status.Hard[corev1.ResourceName(name)]
		if !limited {
			continue
		}
		sum := q.Status.Used[corev1.ResourceName(name)].DeepCopy()
		sum.Add(want)
		if sum.Cmp(hard) > 0 {
			return false
		}
	}
	return len(q.Status.Hard) > 0
}

// raise is the command that lets all in that is refused.
func raise(s *snapshot.Snapshot, r podRefusal) string {
	sums := map[string]apiresource.Quantity{}
	for _, f := range r.failures {
		e, _ := parseExcess(f.Message)
		for name, want := range e.requested {
			sum, counted := sums[name]
			if !counted {
				sum = e.used[name].DeepCopy()
			}
			for range lacking(s, f.Owner) {
				sum.Add(want)
			}
			sums[name] = sum
		}
	}
	hard := map[string]string{}
	for name, sum := range sums {
		hard[name] = sum.String()
	}
	patch, err := json.Marshal(map[string]any{"spec": map[string]any{"hard": hard}})
	if err != nil {
		return ""
	}
	return fmt.Sprintf("kubectl -n %s patch resourcequota %s --type=merge -p '%s'", r.subject.Namespace, r.subject.Name, patch)
}

// most is up to how many pods a controller is reckoned to lack: nobody raises a quota further without a look.
const most = 100

// lacking is how many pods a controller lacks, at least the one that was refused.
func lacking(s *snapshot.Snapshot, owner finding.Subject) int {
	n := 1
	switch owner.Kind {
	case "ReplicaSet":
		if set, ok := snapshot.Get[*appsv1.ReplicaSet](s, owner.Namespace, owner.Name); ok {
			n = snapshot.Replicas(set.Spec.Replicas) - int(set.Status.Replicas)
		}
	case "StatefulSet":
		if set, ok := snapshot.Get[*appsv1.StatefulSet](s, owner.Namespace, owner.Name); ok {
			n = snapshot.Replicas(set.Spec.Replicas) - int(set.Status.Replicas)
		}
	}
	return min(max(n, 1), most)
}

// surging returns the Deployments that have all the pods they want and lack only what their rollout
// adds on top.
func surging(s *snapshot.Snapshot, r podRefusal) []*appsv1.Deployment {
	var out []*appsv1.Deployment
	for _, f := range r.failures {
		d, ok := snapshot.Get[*appsv1.Deployment](s, f.Workload.Namespace, f.Workload.Name)
		if !ok || f.Workload.Kind != "Deployment" || d.Status.ObservedGeneration < d.Generation ||
			int(d.Status.AvailableReplicas) < snapshot.Replicas(d.Spec.Replicas) || !surges(d) {
			continue
		}
		sets := s.ReplicaSetsOf(d)
		if len(sets) > 1 && sets[0].Name == f.Owner.Name {
			out = append(out, d)
		}
	}
	return out
}

// surges tells whether a Deployment adds pods before it takes old ones away: 25 % by default
// (k8s.io/kubernetes/pkg/apis/apps/v1, SetDefaults_Deployment).
func surges(d *appsv1.Deployment) bool {
	if d.Spec.Strategy.Type == appsv1.RecreateDeploymentStrategyType {
		return false
	}
	r := d.Spec.Strategy.RollingUpdate
	if r == nil || r.MaxSurge == nil {
		return true
	}
	return *r.MaxSurge != intstr.FromInt32(0) && *r.MaxSurge != intstr.FromString("0%")
}

// full names the resources of which a quota leaves none, unless it allows none at all.
func full(q *corev1.ResourceQuota) []string {
	var out []string
	for name, hard := range q.Status.Hard {
		used, counted := q.Status.Used[name]
		if counted && !hard.IsZero() && used.Cmp(hard) >= 0 {
			out = append(out, string(name))
		}
	}
	slices.Sort(out)
	return out
}

func fullQuota(p *rule.Pass, q *corev1.ResourceQuota, names []string) finding.Finding {
	return finding.Finding{
		Severity: finding.Info, Subject: snapshot.SubjectOf(q), Mechanism: v1alpha1.MechanismExhausted, Field: hardField(names),
		Title: finding.Textf("%s is full (%s)", "%s 가득 참(%s)", finding.Named(snapshot.SubjectOf(q)), strings.Join(names, ", ")),
		Why: finding.Join("; ", finding.Text{
			EN: "it refuses nothing now; a rollout that needs an extra pod would be refused",
			KO: "지금 거부된 것은 없지만 추가 Pod가 필요한 rollout은 거부됩니다",
		}, lastWritten(p.Now(), q)),
		Evidence: []finding.Evidence{quotaEvidence(q, names)},
		Remedies: finding.Remedies{Now: []finding.Remedy{{
			Text:    finding.Text{EN: "see what uses it", KO: "무엇이 quota를 쓰는지 확인합니다"},
			Command: fmt.Sprintf("kubectl -n %s describe resourcequota %s", q.Namespace, q.Name),
		}}},
	}
}

// quotaEvidence is what the quota itself counts.
func quotaEvidence(q *corev1.ResourceQuota, names []string) finding.Evidence {
	var counts []string
	for _, name := range names {
		used, hard := q.Status.Used[corev1.ResourceName(name)], q.Status.Hard[corev1.ResourceName(name)]
		counts = append(counts, fmt.Sprintf("%s: %s of %s", name, used.String(), hard.String()))
	}
	return finding.Evidence{
		Source: finding.Named(snapshot.SubjectOf(q)), Path: ".status.used", Value: cmp.Or(strings.Join(counts, ", "), "(nothing counted)"),
	}
}

// hardField is where the limits stand.
func hardField(names []string) string { return ".spec.hard[" + strings.Join(names, ", ") + "]" }
