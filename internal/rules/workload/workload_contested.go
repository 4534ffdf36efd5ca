package workload

import (
	"fmt"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"

	appsv1 "k8s.io/api/apps/v1"
	autoscalingv2 "k8s.io/api/autoscaling/v2"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/maek-dev/maek/api/maek/v1alpha1"
	"github.com/maek-dev/maek/internal/finding"
	"github.com/maek-dev/maek/internal/rule"
	"github.com/maek-dev/maek/internal/snapshot"
)

var _ = Catalog.Add(rule.Rule{
	Code:  "WorkloadContested",
	Title: finding.Text{EN: "two writers keep changing a workload", KO: "둘 이상의 주체가 워크로드를 번갈아 바꾸고 있습니다"},
	Doc: finding.Text{
		EN: "Two writers undo each other's changes of a Deployment: its autoscaler sets one size again and again, and its events tell of another in between, " +
			"or two versions replace each other in turn, as when a script edits what a delivery tool keeps as it is in git. Its pods are made and ended all " +
			"the time. Who wrote lately is told as far as managed fields say. Left alone: an autoscaler that follows its load, rollouts, and rollbacks that people do.",
		KO: "둘 이상의 주체가 Deployment에 대한 서로의 변경을 되돌리고 있습니다. autoscaler가 같은 크기를 반복해서 지정하는데 그 사이 다른 크기로 바뀌거나, 배포 도구가 git의 내용을 유지하는데 스크립트가 수정하는 경우처럼 " +
			"두 버전이 번갈아 교체됩니다. Pod가 계속 생성되고 종료됩니다. 최근 변경 주체는 managedFields로 알 수 있는 범위에서 알립니다. 부하에 따른 스케일, 일반 rollout, 사람이 하는 rollback은 제외합니다.",
	},
	Link:     "https://kubernetes.io/docs/reference/using-api/server-side-apply/#conflicts",
	Severity: finding.Warning,
	Needs: []rule.Need{
		rule.Any[*appsv1.Deployment](), rule.Whole[*appsv1.ReplicaSet](), rule.Any[*corev1.Event](), rule.Optional[*autoscalingv2.HorizontalPodAutoscaler](),
	},
	Detect: workloadContested,
})

const (
	// contestWindow is how far back writes count: the default time between two syncs of delivery tools is a
	// few minutes, so that a contest shows several times within it.
	contestWindow = 30 * time.Minute
	// contestTurns is how often each side must have had its way.
	contestTurns = 3
)

// scaledTo matches the events with which the Deployment controller tells that it scaled a ReplicaSet
// (k8s.io/kubernetes/pkg/controller/deployment, scaleReplicaSet).
var scaledTo = regexp.MustCompile(`^Scaled (?:up|down) replica set (\S+) from (\d+) to (\d+)$`)

// newSize matches the event with which an autoscaler tells that it scaled its target
// (k8s.io/kubernetes/pkg/controller/podautoscaler, reconcileAutoscaler).
var newSize = regexp.MustCompile(`^New size: (\d+); reason: (.*)$`)

func workloadContested(p *rule.Pass) {
	autoscalers := map[finding.Subject]*hpa{}
	for _, h := range snapshot.List[*autoscalingv2.HorizontalPodAutoscaler](p.Snapshot) {
		autoscalers[targetOf(h)] = h
	}
	for _, d := range snapshot.List[*appsv1.Deployment](p.Snapshot) {
		if d.DeletionTimestamp != nil {
			continue
		}
		events := lateEvents(p, snapshot.SubjectOf(d))
		if len(events) == 0 {
			continue
		}
		if h := autoscalers[snapshot.SubjectOf(d)]; h != nil {
			if f, ok := contestedSize(p, d, h, events); ok {
				p.Report(f)
				continue
			}
		}
		if f, ok := contestedTemplate(p, d, events); ok {
			p.Report(f)
		}
	}
}

// lateEvents are the events about a subject that were seen lately, oldest first.
func lateEvents(p *rule.Pass, subject finding.Subject) []*corev1.Event {
	var out []*corev1.Event
	for _, e := range p.EventsOf(subject) {
		if p.Now().Sub(snapshot.EventTime(e)) <= contestWindow {
			out = append(out, e)
		}
	}
	return out
}

// times is how often an event happened.
func times(e *corev1.Event) int {
	if e.Series != nil {
		return max(1, int(e.Series.Count))
	}
	return max(1, int(e.Count))
}

// contestedSize looks for an autoscaler that sets one size again and again, while the Deployment is also
// scaled to sizes that the autoscaler never set.
func contestedSize(p *rule.Pass, d *appsv1.Deployment, h *hpa, events []*corev1.Event) (finding.Finding, bool) {
	sizes, turns := map[int]bool{}, 0
	var set *corev1.Event
	for _, e := range lateEvents(p, snapshot.SubjectOf(h)) {
		if m := newSize.FindStringSubmatch(e.Message); m != nil {
			if n, err := strconv.Atoi(m[1]); err == nil {
				sizes[n] = true
				turns += times(e)
				set = e
			}
		}
	}
	if len(sizes) != 1 || turns < contestTurns {
		return finding.Finding{}, false
	}
	var undone *corev1.Event
	others, sets := 0, map[string]bool{}
	for _, e := range events {
		m := scaledTo.FindStringSubmatch(e.Message)
		if m == nil {
			continue
		}
		sets[m[1]] = true
		if n, err := strconv.Atoi(m[3]); err == nil && !sizes[n] {
			others += times(e)
			undone = e
		}
	}
	if others < contestTurns-1 || len(sets) > 1 { // Several ReplicaSets are a rollout.
		return finding.Finding{}, false
	}
	f := contested(p, d)
	f.Field = ".spec.replicas"
	f.Title = finding.Textf("%s: its autoscaler and somebody else keep changing its size", "%s: autoscaler와 다른 주체가 replicas를 번갈아 바꾸고 있습니다", finding.Named(f.Subject))
	f.Why = finding.Join("; ", finding.Textf("%s said %d times %q, and in between it was scaled otherwise %d times", "%s가 %d번 %q라고 했으나 그 사이 %d번 다른 크기로 바뀌었습니다",
		finding.Named(snapshot.SubjectOf(h)), turns, set.Message, others), f.Why)
	f.Evidence = append([]finding.Evidence{eventEvidence(set), eventEvidence(undone)}, f.Evidence...)
	f.Remedies.Now = append(f.Remedies.Now, finding.Remedy{
		Text: finding.Text{
			EN: "leave the size to the autoscaler: take replicas out of the manifest that is applied, or change the autoscaler's bounds",
			KO: "replicas는 autoscaler에 맡깁니다. 적용하는 manifest에서 replicas를 지우거나 autoscaler의 범위를 바꿉니다",
		},
		Command: fmt.Sprintf("kubectl -n %s edit horizontalpodautoscaler %s", h.Namespace, h.Name),
	})
	return f, true
}

// contestedTemplate looks for two ReplicaSets of a Deployment that are scaled up in turn, each of them
// taken up again several times.
func contestedTemplate(p *rule.Pass, d *appsv1.Deployment, events []*corev1.Event) (finding.Finding, bool) {
	ups := map[string]int{}
	for _, e := range events {
		if m := scaledTo.FindStringSubmatch(e.Message); m != nil && m[2] == "0" {
			ups[m[1]] += times(e)
		}
	}
	var turning []*appsv1.ReplicaSet
	for _, rs := range p.ReplicaSetsOf(d) {
		if ups[rs.Name] >= contestTurns && snapshot.TakenUpAgain(rs) {
			turning = append(turning, rs)
		}
	}
	if len(turning) < 2 {
		return finding.Finding{}, false
	}
	f := contested(p, d)
	f.Field = ".spec.template"
	f.Title = finding.Textf("%s: two versions keep replacing each other", "%s: 두 버전이 번갈아 교체되고 있습니다", finding.Named(f.Subject))
	changes := templateChanges(&turning[1].Spec.Template, &turning[0].Spec.Template)
	f.Why = finding.Join("; ", finding.Format("what goes to and fro: %s", "번갈아 바뀌는 값: %s", tellChanges(changes)),
		finding.Textf("each was rolled out %d times or more within half an hour", "30분 안에 각 버전이 %d번 이상 배포되었습니다", contestTurns), f.Why)
	for _, rs := range turning[:2] {
		f.Evidence = append(f.Evidence, finding.Evidence{
			Source: "Events about " + finding.Named(f.Subject), Path: "ScalingReplicaSet",
			Value: fmt.Sprintf("replica set %s from 0: %d times", rs.Name, ups[rs.Name]),
		})
	}
	return f, true
}

// contested begins a finding about a Deployment with who wrote it lately.
func contested(p *rule.Pass, d *appsv1.Deployment) finding.Finding {
	subject := snapshot.SubjectOf(d)
	f := finding.Finding{Subject: subject, Mechanism: v1alpha1.MechanismMisconfigured, Explains: []finding.Subject{subject}}
	var names []string
	for _, w := range lateWriters(p, d) {
		name := w.Manager
		path := ".metadata.managedFields[" + w.Manager + "].time"
		if w.Subresource != "" {
			name += "/" + w.Subresource
		}
		names = append(names, strconv.Quote(name))
		f.Evidence = append(f.Evidence, finding.Evidence{
			Source: finding.Named(subject), Path: path, Value: w.Time.UTC().Format(time.RFC3339), At: finding.Timestamp(w.Time.Time),
		})
	}
	if len(names) > 0 {
		f.Why = finding.Format("who wrote it within half an hour: %s", "30분 안에 변경한 주체: %s", finding.Verbatim(strings.Join(names, ", ")))
	} else {
		f.Why = finding.Text{EN: "its managed fields do not tell who", KO: "managedFields로는 변경 주체를 알 수 없습니다"}
	}
	f.Remedies.Now = []finding.Remedy{{
		Text:    finding.Text{EN: "see who writes which field", KO: "어느 필드를 누가 쓰는지 확인합니다"},
		Command: fmt.Sprintf("kubectl -n %s get %s -o yaml --show-managed-fields", d.Namespace, argument(subject)),
	}}
	f.Remedies.Later = []finding.Remedy{{Text: finding.Text{
		EN: "let one writer own each field, with server-side apply: a second one then gets a conflict instead of its way",
		KO: "server-side apply로 필드마다 소유자를 하나로 정하십시오. 다른 주체의 변경은 충돌로 거부됩니다",
	}}}
	return f
}

// lateWriters are the managers that wrote anything but the status lately, the last first.
func lateWriters(p *rule.Pass, o metav1.Object) []metav1.ManagedFieldsEntry {
	var out []metav1.ManagedFieldsEntry
	for _, f := range o.GetManagedFields() {
		if f.Subresource != "status" && f.Time != nil && p.Now().Sub(f.Time.Time) <= contestWindow {
			out = append(out, f)
		}
	}
	slices.SortStableFunc(out, func(a, b metav1.ManagedFieldsEntry) int { return b.Time.Compare(a.Time.Time) })
	return out
}
