package diagnosis

import (
	"cmp"
	"slices"
	"time"

	appsv1 "k8s.io/api/apps/v1"
	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/maek-dev/maek/api/maek/v1alpha1"
	"github.com/maek-dev/maek/internal/finding"
	"github.com/maek-dev/maek/internal/snapshot"
)

// Timeline merges the Events of the cluster, the onsets of incidents and the last writes to what
// incidents are about, oldest first, as far as they lie in the diagnosis's scope. An Event is what
// somebody saw once, never what is: a warning about something with which nothing is wrong now is
// marked as recovered.
func (d Diagnosis) Timeline(l finding.Language) []v1alpha1.Moment {
	s := d.Snapshot
	troubled := d.troubled()
	in := inside(s, d.Scope)
	var out []v1alpha1.Moment
	for _, e := range snapshot.List[*corev1.Event](s) {
		o := e.InvolvedObject
		subject := finding.Subject{Kind: o.Kind, Namespace: o.Namespace, Name: o.Name}
		at := snapshot.EventTime(e)
		if at.IsZero() || !in(subject) && !troubled[subject] {
			continue
		}
		m := v1alpha1.Moment{
			At: *finding.Timestamp(at), Happening: v1alpha1.HappeningEvent, Subject: subject, Reason: e.Reason, Text: e.Message,
			Warning: e.Type == corev1.EventTypeWarning, Count: max(e.Count, 1),
		}
		if e.Series != nil {
			m.Count = max(m.Count, e.Series.Count)
		}
		if first := snapshot.EventStart(e); !first.IsZero() && first.Before(at) {
			m.First = finding.Timestamp(first)
		}
		m.Recovered = m.Warning && !troubled[subject] && !troubled[above(s, subject)]
		out = append(out, m)
	}
	for _, i := range d.Incidents {
		if !i.Root.Since.IsZero() {
			out = append(out, v1alpha1.Moment{
				At: *finding.Timestamp(i.Root.Since), Happening: v1alpha1.HappeningIncident, Subject: i.Root.Subject,
				Reason: string(i.Root.Code), Text: i.Root.Title.In(l),
			})
		}
	}
	out = append(out, d.writes(l, troubled)...)
	slices.SortStableFunc(out, compareMoments)
	return out
}

// above is the Deployment over a ReplicaSet, or the CronJob over a Job: events name the lower one, and
// findings the higher.
func above(s *snapshot.Snapshot, subject finding.Subject) finding.Subject {
	var ref *metav1.OwnerReference
	switch subject.Kind {
	case "ReplicaSet":
		if rs, ok := snapshot.Get[*appsv1.ReplicaSet](s, subject.Namespace, subject.Name); ok {
			ref = metav1.GetControllerOf(rs)
		}
	case "Job":
		if job, ok := snapshot.Get[*batchv1.Job](s, subject.Namespace, subject.Name); ok {
			ref = metav1.GetControllerOf(job)
		}
	}
	if ref == nil {
		return subject
	}
	return finding.Subject{Kind: ref.Kind, Namespace: subject.Namespace, Name: ref.Name}
}

// writes are the last changes to the specs of what incidents are about or reach. Pods and Leases are
// left out: their last writes are the work of kubelets and say nothing.
func (d Diagnosis) writes(l finding.Language, troubled map[finding.Subject]bool) []v1alpha1.Moment {
	var out []v1alpha1.Moment
	for _, k := range d.Snapshot.Kinds() {
		if k.Kind == "Pod" || k.Kind == "Lease" || k.Kind == "Event" || k.Kind == "EndpointSlice" || k.Kind == "ReplicaSet" {
			continue
		}
		d.Snapshot.Each(k, func(o snapshot.Object) {
			subject := finding.Subject{Kind: k.Kind, Namespace: o.GetNamespace(), Name: o.GetName()}
			if !troubled[subject] {
				return
			}
			manager, at := snapshot.LastManager(o)
			if manager == "" || at.IsZero() {
				return
			}
			text := finding.Textf("last change of %s, by %s", "%s 마지막 변경(%s)", finding.Named(subject), manager)
			out = append(out, v1alpha1.Moment{
				At: *finding.Timestamp(at), Happening: v1alpha1.HappeningChange, Subject: subject, Reason: manager, Text: text.In(l),
			})
		})
	}
	return out
}

// troubled are the subjects of all findings, and those that findings claim.
func (d Diagnosis) troubled() map[finding.Subject]bool {
	out := map[finding.Subject]bool{}
	for _, f := range d.Findings {
		out[f.Subject] = true
		for _, s := range f.Explains {
			out[s] = true
		}
	}
	return out
}

func compareMoments(a, b v1alpha1.Moment) int {
	return cmp.Or(
		a.At.Truncate(time.Second).Compare(b.At.Truncate(time.Second)), cmp.Compare(a.Happening, b.Happening),
		finding.CompareSubjects(a.Subject, b.Subject), cmp.Compare(a.Reason, b.Reason), cmp.Compare(a.Text, b.Text),
	)
}
