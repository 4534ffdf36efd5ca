package workload

import (
	"strconv"
	"time"

	appsv1 "k8s.io/api/apps/v1"
	coordinationv1 "k8s.io/api/coordination/v1"
	corev1 "k8s.io/api/core/v1"

	"github.com/maek-dev/maek/api/maek/v1alpha1"
	"github.com/maek-dev/maek/internal/finding"
	"github.com/maek-dev/maek/internal/rule"
	"github.com/maek-dev/maek/internal/snapshot"
)

var _ = Catalog.Add(rule.Rule{
	Code:  "WorkloadNotReconciled",
	Title: finding.Text{EN: "change not taken up by its controller", KO: "변경이 controller에 반영되지 않았습니다"},
	Doc: finding.Text{
		EN: "The spec of a Deployment, ReplicaSet, ReplicationController, StatefulSet or DaemonSet was changed, and its controller has not looked at the change: " +
			"metadata.generation is ahead of status.observedGeneration for more than a minute. What people asked for does not happen, and " +
			"every other status field is as old. Left alone: changes of the last minute, and objects being deleted. An object whose fields do " +
			"not say when it was changed is judged only when the controller manager is known to be dead.",
		KO: "Deployment, ReplicaSet, ReplicationController, StatefulSet, DaemonSet의 spec이 바뀌었으나 controller가 1분 넘게 처리하지 않았습니다(metadata.generation이 status.observedGeneration보다 큽니다). " +
			"요청한 변경이 적용되지 않으며 다른 status 값도 그만큼 오래된 것입니다. 최근 1분 안의 변경과 삭제 중인 객체는 제외합니다. 변경 시각을 알 수 없는 객체는 controller manager가 멈춘 것이 확인된 경우에만 알립니다.",
	},
	Link:     "https://kubernetes.io/docs/concepts/overview/working-with-objects/#object-spec-and-status",
	Severity: finding.Warning,
	Needs: []rule.Need{
		rule.Any[*appsv1.Deployment](), rule.Any[*appsv1.ReplicaSet](), rule.Any[*appsv1.StatefulSet](), rule.Any[*appsv1.DaemonSet](),
		rule.Optional[*corev1.ReplicationController](), rule.Optional[*coordinationv1.Lease](),
	},
	For:    time.Minute,
	Causes: []rule.Cause{{Code: "ControllerManagerDown", Via: rule.Cluster}},
	Detect: workloadNotReconciled,
})

func workloadNotReconciled(p *rule.Pass) {
	j := reconciliation{pass: p, manager: p.Writer(snapshot.ControllerManager)}
	for _, d := range snapshot.List[*appsv1.Deployment](p.Snapshot) {
		j.judge(d, d.Status.ObservedGeneration)
	}
	for _, r := range snapshot.List[*appsv1.ReplicaSet](p.Snapshot) {
		j.judge(r, r.Status.ObservedGeneration)
	}
	for _, r := range snapshot.List[*corev1.ReplicationController](p.Snapshot) {
		j.judge(r, r.Status.ObservedGeneration)
	}
	for _, s := range snapshot.List[*appsv1.StatefulSet](p.Snapshot) {
		j.judge(s, s.Status.ObservedGeneration)
	}
	for _, d := range snapshot.List[*appsv1.DaemonSet](p.Snapshot) {
		j.judge(d, d.Status.ObservedGeneration)
	}
	if j.undated > 0 {
		p.Skip(finding.Textf("workloads with a change that their controller has not taken up: %d; nothing says for how long (no managed fields)",
			"워크로드 %d개의 변경을 controller가 아직 처리하지 않았으나 얼마나 지났는지 알 수 없습니다(managedFields 없음)", j.undated))
	}
}

// reconciliation judges one object after another.
type reconciliation struct {
	pass    *rule.Pass
	manager snapshot.Freshness
	// undated counts objects that lag for an unknown time.
	undated int
}

func (j *reconciliation) judge(o snapshot.Object, observed int64) {
	if observed >= o.GetGeneration() || o.GetDeletionTimestamp() != nil {
		return
	}
	p, since := j.pass, snapshot.SpecWritten(o)
	if since.IsZero() && j.manager.State != snapshot.Dead {
		j.undated++
		return
	}
	subject := snapshot.SubjectOf(o)
	f := finding.Finding{
		Subject: subject, Mechanism: v1alpha1.MechanismHung, Since: since,
		Title: finding.Textf("%s: its last change is not taken up by its controller", "%s: 마지막 변경이 controller에 반영되지 않았습니다", finding.Named(subject)),
		Why: finding.Textf("metadata.generation is %d, and its controller has seen %d",
			"metadata.generation은 %d이나 controller가 처리한 값은 %d입니다", o.GetGeneration(), observed),
		Evidence: []finding.Evidence{
			{Source: finding.Named(subject), Path: ".metadata.generation", Value: strconv.FormatInt(o.GetGeneration(), 10), At: finding.Timestamp(since)},
			{Source: finding.Named(subject), Path: ".status.observedGeneration", Value: strconv.FormatInt(observed, 10)},
		},
		Remedies: finding.Remedies{Now: []finding.Remedy{
			{
				Text:    finding.Text{EN: "see whether the controller manager renews its Lease", KO: "controller manager가 Lease를 갱신하는지 확인합니다"},
				Command: "kubectl -n kube-system get lease kube-controller-manager",
			},
			{
				Text:    finding.Text{EN: "see what it says", KO: "controller manager의 로그를 확인합니다"},
				Command: "kubectl -n kube-system logs -l component=kube-controller-manager --tail=50",
			},
		}},
	}
	if manager, at := snapshot.LastManager(o); !at.IsZero() && at.Equal(since) {
		f.Why = finding.Join("; ", f.Why, finding.Textf("changed at %s by %q", "마지막 변경 %s, 변경 주체 %q", finding.Clock(p.Now(), at), manager))
	}
	if j.manager.State == snapshot.Dead {
		f.Evidence = append(f.Evidence, j.manager.Evidence...)
	} else if j.manager.State == snapshot.Alive {
		f.RuledOut = append(f.RuledOut, finding.Statement{
			Text:     finding.Text{EN: "controller manager dead (it renews its Lease)", KO: "controller manager 중지(Lease를 갱신하고 있습니다)"},
			Evidence: j.manager.Evidence,
		})
	}
	p.Report(f)
}
