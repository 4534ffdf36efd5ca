package controlplane

import (
	"time"

	coordinationv1 "k8s.io/api/coordination/v1"
	corev1 "k8s.io/api/core/v1"

	"github.com/maek-dev/maek/internal/finding"
	"github.com/maek-dev/maek/internal/rule"
	"github.com/maek-dev/maek/internal/snapshot"
)

var _ = Catalog.Add(rule.Rule{
	Code: "SchedulerDown",
	Title: finding.Text{
		EN: "kube-scheduler does not run",
		KO: "kube-scheduler가 실행되지 않습니다",
	},
	Doc: finding.Text{
		EN: "Nobody holds the Lease kube-system/kube-scheduler: it ran out, or was given up and not taken again. New pods stay Pending without a PodScheduled condition and " +
			"without any event, for the one who would say why is the one that does not run. A cluster without that Lease (k3s, managed control planes) is skipped, and so is one " +
			"whose Lease is old while the scheduler still says what it schedules: leader election is off there. Pods that wait for another scheduler or behind a scheduling gate " +
			"are not laid at its door.",
		KO: "Lease kube-system/kube-scheduler를 가진 프로세스가 없습니다. 만료되었거나, 반납된 뒤 이어받은 프로세스가 없는 상태입니다. 새 Pod는 PodScheduled condition도 event도 없이 Pending으로 남습니다. " +
			"이유를 기록할 프로세스가 멈췄기 때문입니다. 이 Lease가 없는 클러스터(k3s, 관리형 control plane)와, Lease는 오래되었지만 scheduler가 계속 배치하는 클러스터(leader election을 끈 경우)는 제외합니다. " +
			"다른 scheduler나 scheduling gate를 기다리는 Pod는 영향으로 보지 않습니다.",
	},
	Link:     "https://kubernetes.io/docs/concepts/scheduling-eviction/kube-scheduler/",
	Severity: finding.Critical,
	Needs: []rule.Need{
		rule.Whole[*coordinationv1.Lease](), rule.Optional[*corev1.Pod](), rule.Optional[*corev1.Node](), rule.Optional[*corev1.Event](),
	},
	For:    30 * time.Second,
	Causes: leaderCauses("kube-scheduler"),
	Detect: detectSchedulerDown,
})

func detectSchedulerDown(p *rule.Pass) {
	l := leader{component: "kube-scheduler", writer: snapshot.Scheduler, other: snapshot.ControllerManager}
	gone, ok := l.lapsed(p)
	if !ok {
		return
	}
	if e := scheduledAfter(p, gone.LastSeen.Add(takeover)); e != nil {
		p.Skip(finding.Textf("Lease %s/%s is old (%s), yet Pod %s/%s was scheduled at %s: leader election seems to be off",
			"%s/%s Lease는 오래되었지만(%s) 그 뒤에 배치된 Pod가 있습니다(%s/%s, %s). leader election을 끈 것으로 보입니다",
			l.writer.Namespace, l.writer.Name, finding.Clock(p.Now(), gone.LastSeen),
			e.InvolvedObject.Namespace, e.InvolvedObject.Name, finding.Clock(p.Now(), snapshot.EventTime(e))))
		return
	}
	waiting := neverLookedAt(p)
	effect := finding.Text{EN: "No pod waits for it yet.", KO: "아직 기다리는 Pod는 없습니다."}
	if len(waiting) > 0 {
		effect = finding.Format("Without a node and even a PodScheduled condition, so that nobody has looked at them: %s.",
			"노드도 PodScheduled condition도 없어 아무도 살펴보지 않은 상태: %s.", finding.Pods(len(waiting)))
	}
	p.Report(finding.Finding{
		Subject:   l.subject(),
		Mechanism: gone.mechanism(),
		Field:     gone.field(),
		Since:     gone.LastSeen,
		Settling:  gone.early,
		Title:     gone.title(),
		Why: finding.Join(" ", gone.how(p.Now()), effect, finding.Text{
			EN: "Until it is back no new pod gets a node, replacements of lost pods included. Running pods go on.",
			KO: "복구될 때까지 사라진 Pod를 대신하는 것을 포함하여 새 Pod가 노드에 배치되지 않습니다. 실행 중인 Pod는 계속 동작합니다.",
		}),
		Evidence: gone.evidence(),
		Explains: append(waiting, gone.explains()...),
		RuledOut: gone.ruledOut(p),
		Remedies: finding.Remedies{Now: gone.now(), Later: moreThanOne()},
	})
}

// scheduledAfter finds an Event with which the scheduler told of a pod it placed after a time
// (k8s.io/kubernetes/pkg/scheduler/schedule_one.go, finishBinding): proof that one runs.
func scheduledAfter(p *rule.Pass, t time.Time) *corev1.Event {
	for _, e := range snapshot.List[*corev1.Event](p.Snapshot) {
		reporter := e.ReportingController
		if reporter == "" {
			reporter = e.Source.Component
		}
		if e.Reason == "Scheduled" && reporter == corev1.DefaultSchedulerName && snapshot.EventTime(e).After(t) {
			return e
		}
	}
	return nil
}

// neverLookedAt returns the pods that wait for kube-scheduler and of which it has said nothing.
// One that it could not place carries PodScheduled=False, and one behind a gate does from the start.
func neverLookedAt(p *rule.Pass) []finding.Subject {
	var out []finding.Subject
	for _, pod := range snapshot.List[*corev1.Pod](p.Snapshot) {
		if pod.Spec.NodeName == "" && pod.DeletionTimestamp == nil && !snapshot.PodDone(pod) &&
			(pod.Spec.SchedulerName == "" || pod.Spec.SchedulerName == corev1.DefaultSchedulerName) &&
			snapshot.PodCondition(pod, corev1.PodScheduled) == nil {
			out = append(out, snapshot.SubjectOf(pod))
		}
	}
	return out
}
