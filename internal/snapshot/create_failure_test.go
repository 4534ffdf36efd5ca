package snapshot

import (
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	appsv1 "k8s.io/api/apps/v1"
	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

func TestCreateFailures(t *testing.T) {
	now := time.Date(2026, 3, 2, 2, 20, 0, 0, time.UTC)
	meta := func(name string) metav1.ObjectMeta { return metav1.ObjectMeta{Namespace: "shop", Name: name} }
	event := func(kind, name, reason, message string, age time.Duration) *corev1.Event {
		return &corev1.Event{
			ObjectMeta:     meta(name + reason),
			InvolvedObject: corev1.ObjectReference{Kind: kind, Namespace: "shop", Name: name},
			Reason:         reason, Message: message, LastTimestamp: metav1.NewTime(now.Add(-age)),
		}
	}
	two := int32(2)
	set := &appsv1.StatefulSet{ObjectMeta: meta("db"), Spec: appsv1.StatefulSetSpec{Replicas: &two}}
	refused := event("StatefulSet", "db", "FailedCreate", "create Pod db-0 in StatefulSet db failed error: pods \"db-0\" is forbidden", time.Minute)
	job := &batchv1.Job{ObjectMeta: meta("load")}
	failed := job.DeepCopy()
	failed.Status.Conditions = []batchv1.JobCondition{{Type: batchv1.JobFailed, Status: corev1.ConditionTrue}}
	jobRefused := event("Job", "load", "FailedCreate", "Error creating: pods \"load-x\" is forbidden", time.Minute)
	tests := map[string]struct {
		objects []Object
		want    []string
	}{
		"a StatefulSet whose pod is refused":        {[]Object{set, refused}, []string{"pods \"db-0\" is forbidden"}},
		"one that made a pod since":                 {[]Object{set, refused, event("StatefulSet", "db", "SuccessfulCreate", "", 0)}, nil},
		"one whose refusal is long past":            {[]Object{set, event("StatefulSet", "db", "FailedCreate", "no", time.Hour)}, nil},
		"a Job whose pod is refused":                {[]Object{job, jobRefused}, []string{"pods \"load-x\" is forbidden"}},
		"a Job that failed tries no more":           {[]Object{failed, jobRefused}, nil},
		"a set that lacks nothing was refused once": {[]Object{&appsv1.StatefulSet{ObjectMeta: meta("db"), Spec: set.Spec, Status: appsv1.StatefulSetStatus{Replicas: 2}}, refused}, nil},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			b := NewBuilder(now, Source{})
			for _, o := range tc.objects {
				copied, ok := o.DeepCopyObject().(Object)
				if !ok || !b.Add(copied) {
					t.Fatalf("%T is not held", o)
				}
			}
			var got []string
			for _, f := range b.Build().CreateFailures() {
				got = append(got, f.Message)
			}
			if diff := cmp.Diff(tc.want, got); diff != "" {
				t.Errorf("(-want +got):\n%s", diff)
			}
		})
	}
}
