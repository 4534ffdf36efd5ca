package workload

import (
	"fmt"
	"strconv"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/maek-dev/maek/api/maek/v1alpha1"
	"github.com/maek-dev/maek/internal/finding"
	"github.com/maek-dev/maek/internal/rule"
	"github.com/maek-dev/maek/internal/snapshot"
)

// newestRevisions returns the newest ControllerRevision of every DaemonSet, by the DaemonSet, whose status
// does not name it as that of a StatefulSet does.
func newestRevisions(s *snapshot.Snapshot) map[finding.Subject]*appsv1.ControllerRevision {
	out := map[finding.Subject]*appsv1.ControllerRevision{}
	for _, r := range snapshot.List[*appsv1.ControllerRevision](s) {
		ref := metav1.GetControllerOfNoCopy(r)
		if ref == nil || ref.Kind != "DaemonSet" {
			continue
		}
		owner := finding.Subject{Kind: ref.Kind, Namespace: r.Namespace, Name: ref.Name}
		if known := out[owner]; known == nil || r.Revision > known.Revision {
			out[owner] = r
		}
	}
	return out
}

// revisionPath is where a ControllerRevision has its number.
const revisionPath = ".revision"

// isOfRevision tells whether a pod was made of a ControllerRevision: both carry one label.
func isOfRevision(pod *corev1.Pod, r *appsv1.ControllerRevision) bool {
	const hash = appsv1.ControllerRevisionHashLabelKey
	return r.Labels[hash] != "" && pod.Labels[hash] == r.Labels[hash]
}

// daemonSetStuck looks for pods of the newest revision that are not ready: the controller ends no more
// old ones than maxUnavailable bears, and those that are not ready count
// (https://kubernetes.io/docs/tasks/manage-daemon/update-daemon-set/#daemonset-rolling-update-is-stuck).
func daemonSetStuck(p *rule.Pass, d *appsv1.DaemonSet, newest *appsv1.ControllerRevision) (finding.Finding, bool) {
	if newest == nil {
		return finding.Finding{}, false
	}
	subject := snapshot.SubjectOf(d)
	all := p.PodsOf(subject)
	pods := sortNew(p, all, func(pod *corev1.Pod) bool { return isOfRevision(pod, newest) })
	if len(pods.failing) < ofDaemonSet(d).spare || len(pods.failing) == 0 || p.Now().Sub(pods.since) < stuckAfter || (pods.coming && p.Now().Sub(pods.since) < rolloutPatience) {
		return finding.Finding{}, false
	}
	var older *corev1.Pod
	serving := 0
	for _, pod := range alivePods(all) {
		if !isOfRevision(pod, newest) && snapshot.PodReady(pod) {
			serving++
			older = pod
		}
	}
	if older == nil {
		return finding.Finding{}, false // Nothing waits for the new pods.
	}
	f := finding.Finding{Subject: subject, Mechanism: v1alpha1.MechanismHung, Since: pods.since, Evidence: []finding.Evidence{
		{
			Source: finding.Named(subject), Path: ".status.updatedNumberScheduled",
			Value: fmt.Sprintf("%d of %d", d.Status.UpdatedNumberScheduled, d.Status.DesiredNumberScheduled),
		},
		{
			Source: finding.Named(snapshot.SubjectOf(newest)), Path: revisionPath, Value: strconv.FormatInt(newest.Revision, 10),
			At: finding.Timestamp(newest.CreationTimestamp.Time),
		},
	}}
	f.Explains = alike(p.Snapshot, failingPods(p, subject))
	changes := tellChanges(imageChanges(older, pods.failing[0]))
	if !changes.IsZero() {
		changes = finding.Join(" ", changes, finding.Textf("(revision %d)", "(revision %d)", newest.Revision))
	}
	tellStuck(&f, stuck{
		pods: pods, wanted: int(d.Status.DesiredNumberScheduled), previous: serving,
		changes: finding.Join("; ", changes, configChanged(p, &d.Spec.Template.Spec, d.Namespace, pods.since)),
	})
	f.Remedies.Now = append(f.Remedies.Now, finding.Remedy{
		Text:    finding.Text{EN: "go back to the version before", KO: "이전 버전으로 되돌립니다"},
		Command: fmt.Sprintf("kubectl -n %s rollout undo %s", d.Namespace, argument(subject)),
	})
	return f, true
}
