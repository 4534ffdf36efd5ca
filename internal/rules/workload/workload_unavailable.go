package workload

import (
	"fmt"
	"slices"
	"time"

	appsv1 "k8s.io/api/apps/v1"
	coordinationv1 "k8s.io/api/coordination/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/maek-dev/maek/api/maek/v1alpha1"
	"github.com/maek-dev/maek/internal/finding"
	"github.com/maek-dev/maek/internal/rule"
	"github.com/maek-dev/maek/internal/snapshot"
)

var _ = Catalog.Add(rule.Rule{
	Code:  "WorkloadUnavailable",
	Title: finding.Text{EN: "fewer pods ready than wanted", KO: "Ready 상태인 Pod가 필요한 수보다 적습니다"},
	Doc: finding.Text{
		EN: "A Deployment, StatefulSet or DaemonSet, or a ReplicaSet or ReplicationController that nothing else controls, has fewer ready pods than it wants, beyond what a rolling update does without. " +
			"Critical when none is ready. Mostly the effect of something else; on its own it tells of pods that cannot be created (quota, " +
			"admission, a missing ServiceAccount), in the words of whoever refused them. Left alone: rollouts within their bounds and their " +
			"deadline (not where pods are refused), workloads scaled to zero, paused ones that have no pods yet, and pods that are still within what their probes allow " +
			"for a start, or that have time left by what PodNotReady allows them, as after a scale-up. When the controller manager is dead its counts are old, and the pods are counted instead.",
		KO: "Deployment, StatefulSet, DaemonSet(그리고 상위 controller가 없는 ReplicaSet, ReplicationController)의 Ready Pod 수가 rolling update에서 허용하는 범위를 넘어 부족합니다. Ready Pod가 하나도 없으면 critical입니다. " +
			"대개 다른 원인의 결과이며, 단독으로는 Pod를 생성할 수 없는 경우(quota, admission, ServiceAccount 없음)를 거부한 쪽의 메시지 그대로 알립니다. " +
			"허용 범위와 기한 안의 rollout(Pod 생성이 거부되는 경우는 포함합니다), replicas 0, Pod가 아직 없는 일시 중지 상태, probe가 허용하는 시작 시간 안의 Pod, scale-up 직후처럼 PodNotReady가 기다리는 시간 안의 Pod는 제외합니다. " +
			"controller manager가 멈춘 경우 status가 오래된 값이므로 Pod를 직접 셉니다.",
	},
	Link:     "https://kubernetes.io/docs/concepts/workloads/controllers/deployment/#deployment-status",
	Severity: finding.Warning, Gravest: finding.Critical,
	Needs: slices.Concat(replicasNeeds(), []rule.Need{
		rule.Any[*corev1.Pod](),
		rule.Optional[*corev1.Service](), rule.Optional[*corev1.Event](), rule.Optional[*corev1.Node](), rule.Optional[*coordinationv1.Lease](),
	}, rule.Owners()),
	For:     unreadyAfter,
	Symptom: true,
	Causes: []rule.Cause{
		{Code: "PodNotReady", Via: rule.HasPod, Holds: mayHold},
		{Code: "RolloutStuck", Via: rule.Itself},
		{Code: "ReadinessProbeFailing", Via: rule.Itself},
		{Code: "ImageNotFound", Via: rule.Itself},
		{Code: "ImageNameInvalid", Via: rule.Itself},
		{Code: "ImagePullDenied", Via: rule.Itself},
		{Code: "ContainerCrashLoop", Via: rule.Itself},
		{Code: "ContainerOOMKilled", Via: rule.Itself},
		{Code: "PodUnschedulable", Via: rule.Itself},
		{Code: "PodStuckCreating", Via: rule.Itself},
		{Code: "WorkloadNotReconciled", Via: rule.Itself},
		{Code: "ControllerManagerDown", Via: rule.Cluster, Holds: lacksPods},
	},
	Detect: workloadUnavailable,
})

// lacksPods holds a dead controller manager against a workload: it keeps nobody from being ready,
// only pods from being made.
func lacksPods(s *snapshot.Snapshot, effect, _ finding.Finding) bool {
	return len(alivePods(s.PodsOf(effect.Subject))) < wantedBy(s, effect.Subject)
}

// wantedBy is how many pods a workload wants; 0 where it is not known.
func wantedBy(s *snapshot.Snapshot, subject finding.Subject) int {
	switch subject.Kind {
	case "Deployment":
		if d, ok := snapshot.Get[*appsv1.Deployment](s, subject.Namespace, subject.Name); ok {
			return snapshot.Replicas(d.Spec.Replicas)
		}
	case "StatefulSet":
		if set, ok := snapshot.Get[*appsv1.StatefulSet](s, subject.Namespace, subject.Name); ok {
			return snapshot.Replicas(set.Spec.Replicas)
		}
	case "DaemonSet":
		if set, ok := snapshot.Get[*appsv1.DaemonSet](s, subject.Namespace, subject.Name); ok {
			return int(set.Status.DesiredNumberScheduled)
		}
	case "ReplicaSet":
		if rs, ok := snapshot.Get[*appsv1.ReplicaSet](s, subject.Namespace, subject.Name); ok {
			return snapshot.Replicas(rs.Spec.Replicas)
		}
	case "ReplicationController":
		if rc, ok := snapshot.Get[*corev1.ReplicationController](s, subject.Namespace, subject.Name); ok {
			return snapshot.Replicas(rc.Spec.Replicas)
		}
	}
	return 0
}

func workloadUnavailable(p *rule.Pass) {
	manager := p.Writer(snapshot.ControllerManager)
	whole := p.Coverage(snapshot.KindOf[*corev1.Pod]()).Known()
	unexplained := 0
	for _, r := range replicasOf(p) {
		if r.desired == 0 || r.object.GetDeletionTimestamp() != nil {
			continue
		}
		if !whole && manager.State == snapshot.Dead {
			continue // Neither the status nor the pods can be counted; that Pods are not whole is a skip already.
		}
		c := countPods(p, r)
		ready := r.ready
		if manager.State == snapshot.Dead {
			ready, r.refusal, r.short = c.ready, nil, time.Time{}
		} else if r.refusal == nil && len(c.alive) < r.desired && toldByEvents(r.subject) {
			r.refusal = refusedCreation(p, r.subject)
		}
		short := r.desired - c.spare(p.Now(), r, manager) - ready - c.starting
		if short <= 0 || (r.paused && len(c.alive) == 0) {
			continue
		}
		f := unavailable(p, r, c, ready, manager)
		f.Settling = f.Settling || short <= c.settling
		p.Report(f)
		if whole && c.missing(r) > 0 && r.refusal == nil && toldByEvents(r.subject) && manager.State != snapshot.Dead {
			unexplained++
		}
	}
	tellUnexplained(p, unexplained)
}

// toldByEvents tells whether a controller tells only in events that it cannot create pods.
func toldByEvents(subject finding.Subject) bool {
	return subject.Kind == "StatefulSet" || subject.Kind == "DaemonSet"
}

// tellUnexplained reports as a gap the workloads without pods of which only Events, which could not
// be read, would tell why.
func tellUnexplained(p *rule.Pass, workloads int) {
	if workloads > 0 && !p.Coverage(snapshot.KindOf[*corev1.Event]()).Known() {
		p.Skip(finding.Textf("StatefulSets and DaemonSets whose pods are missing: %d; what keeps them from being created is told by Events, which could not be read whole",
			"Pod가 생성되지 않은 StatefulSet·DaemonSet이 %d개 있으나, 이유를 알려 주는 이벤트를 모두 읽지 못했습니다", workloads))
	}
}

func unavailable(p *rule.Pass, r replicas, c podCount, ready int, manager snapshot.Freshness) finding.Finding {
	f := finding.Finding{
		Subject: r.subject, Mechanism: v1alpha1.MechanismDegraded,
		Title: finding.Textf("%s: %d of %d ready", "%s: Pod %[3]d개 중 %[2]d개만 Ready입니다", finding.Named(r.subject), ready, r.desired),
		Evidence: []finding.Evidence{{
			Source: finding.Named(r.subject), Path: r.readyPath, Value: fmt.Sprintf("%d of %d", r.ready, r.desired),
		}},
	}
	if ready == 0 {
		f.Severity = finding.Critical
		f.Title.KO = fmt.Sprintf("%s: Pod %d개 중 Ready 상태가 하나도 없습니다", finding.Named(r.subject), r.desired)
	}
	f.Since = finding.Earlier(c.since, r.short)
	missing := 0
	if p.Coverage(snapshot.KindOf[*corev1.Pod]()).Known() {
		missing = c.missing(r)
	}
	if missing > 0 && r.refusal != nil {
		f.Title = finding.Join(", ", f.Title, finding.Text{EN: "its pods cannot be created", KO: "Pod를 생성하지 못하고 있습니다"})
		f.Since = finding.Earlier(f.Since, r.refusal.since)
		f.Mechanism = r.refusal.mechanism()
		f.Evidence = append(f.Evidence, r.refusal.evidence)
	}
	if f.Since.IsZero() && manager.State != snapshot.Dead {
		// Nothing says since when: the controller may be about to create what is missing, if
		// something changed just now.
		f.Settling = p.Now().Sub(c.changed) < unreadyAfter
	}
	f.Why = tellShortage(p, r, c, missing, manager)
	for _, pod := range c.failing[:min(len(c.failing), podsTold)] {
		u := unreadiness(pod)
		f.Evidence = append(f.Evidence, finding.Evidence{
			Source: finding.Named(snapshot.SubjectOf(pod)), Path: u.path, Value: u.value, At: finding.Timestamp(u.since),
		})
	}
	if manager.State == snapshot.Dead {
		f.Evidence = append(f.Evidence, manager.Evidence...)
	}
	f.Explains = alike(p.Snapshot, c.failing)
	if missing == r.desired {
		f.Explains = append(f.Explains, servicesOf(p, r)...)
	}
	f.Remedies.Now = shortageRemedies(r, missing)
	return f
}

// servicesOf names the Services that would send their traffic to a workload's pods, if it had any,
// and have no others.
func servicesOf(p *rule.Pass, r replicas) []finding.Subject {
	pod := &corev1.Pod{ObjectMeta: metav1.ObjectMeta{Namespace: r.subject.Namespace, Labels: r.template.Labels}}
	var out []finding.Subject
	for _, svc := range p.ServicesSelecting(pod) {
		if len(alivePods(p.PodsSelected(svc.Namespace, svc.Spec.Selector))) == 0 {
			out = append(out, snapshot.SubjectOf(svc))
		}
	}
	return out
}

func tellShortage(p *rule.Pass, r replicas, c podCount, missing int, manager snapshot.Freshness) finding.Text {
	var texts []finding.Text
	if manager.State == snapshot.Dead {
		texts = append(texts, finding.Textf(
			"counted from its pods, for the controller manager, which keeps its status, is dead since %s",
			"status를 갱신하는 controller manager가 %s부터 멈춰 있어 Pod를 직접 세었습니다", finding.Clock(p.Now(), manager.LastSeen)))
	}
	if len(c.failing) > 0 {
		texts = append(texts, finding.Format("not ready: %s", "Ready가 아닌 Pod: %s", tellPods(c.failing)))
	}
	if c.starting > 0 {
		texts = append(texts, finding.Format("starting: %s", "시작하는 중: %s", finding.Pods(c.starting)))
	}
	switch {
	case missing > 0 && r.refusal != nil:
		texts = append(texts, finding.Join(": ",
			finding.Format("cannot create %s", "%s를 생성하지 못합니다", finding.Pods(missing)), quoted(r.refusal.message)))
	case missing > 0:
		texts = append(texts, finding.Format("missing: %s", "존재하지 않음: %s", finding.Pods(missing)))
	}
	if len(texts) == 0 {
		texts = append(texts, finding.Textf("%s says so", "%s 값에 따릅니다", r.readyPath))
	}
	return finding.Join("; ", texts...)
}

// tellPods names pods with what holds each up.
func tellPods(pods []*corev1.Pod) finding.Text {
	var names []string
	for _, pod := range pods {
		name := pod.Name
		if word := unreadiness(pod).word(pod); word != "" {
			name += " (" + word + ")"
		}
		names = append(names, name)
	}
	return finding.List(names)
}

func shortageRemedies(r replicas, missing int) []finding.Remedy {
	ns := r.subject.Namespace
	all := []finding.Remedy{{
		Text: finding.Text{EN: "see its pods and where they run", KO: "Pod와 배치된 Node를 확인합니다"}, Command: podsCommand(r),
	}}
	if missing > 0 && r.refusal != nil {
		all = append(all, refusalRemedies(ns, *r.refusal)...)
	}
	return append(all, finding.Remedy{
		Text:    finding.Text{EN: "see what its controller last did", KO: "controller가 마지막으로 한 일을 확인합니다"},
		Command: fmt.Sprintf("kubectl -n %s describe %s", ns, argument(r.subject)),
	})
}
