// Package scale diagnoses clusters in which thousands of things fail at once. What it says must be
// short, and what it costs must grow with the cluster and not with its square: a test that takes
// minutes here has found just that.
package scale

import (
	"fmt"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/maek-dev/maek/internal/diagnosis"
	"github.com/maek-dev/maek/internal/finding"
	"github.com/maek-dev/maek/internal/rule"
	"github.com/maek-dev/maek/internal/rules"
	"github.com/maek-dev/maek/internal/snapshot"
)

// TestPodsOfOneWorkload diagnoses a StatefulSet with so many failing pods that it would take minutes
// if each were held against all the others.
func TestPodsOfOneWorkload(t *testing.T) {
	const many = 4000
	tests := map[string]struct {
		reason    func(pod int) string
		wantRoots map[finding.Code]int
	}{
		"pods that fail alike are one incident of their workload": {
			reason:    func(int) string { return "CreateContainerError" },
			wantRoots: map[finding.Code]int{"ContainerStartFailing": 1},
		},
		"pods that wait alike for what may be held up elsewhere are one too": {
			reason:    func(int) string { return "CreateContainerConfigError" },
			wantRoots: map[finding.Code]int{"ContainerStartFailing": 1},
		},
		"one that fails in another way does not stand beside the others": {
			reason: func(pod int) string {
				if pod == 1 {
					return "RunContainerError"
				}
				return "CreateContainerError"
			},
			wantRoots: map[finding.Code]int{"ContainerStartFailing": 1},
		},
		"two ways to fail, each of many pods, are one incident": {
			reason:    func(pod int) string { return []string{"RunContainerError", "CreateContainerError"}[pod%2] },
			wantRoots: map[finding.Code]int{"ContainerStartFailing": 1},
		},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			all := rules.All()
			result := rule.Evaluate(t.Context(), failingSet(many, tc.reason), all, nil, rule.DefaultBudget)
			for _, f := range result.Failures {
				t.Error(f.Err)
			}
			got := map[finding.Code]int{}
			for _, incident := range diagnosis.Diagnose(result, all).Incidents {
				got[incident.Root.Code]++
			}
			if diff := cmp.Diff(tc.wantRoots, got); diff != "" {
				t.Errorf("incidents by the code of their root (-want +got):\n%s", diff)
			}
		})
	}
}

// failingSet is a cluster with a StatefulSet none of whose pods has got its container.
func failingSet(pods int, reason func(pod int) string) *snapshot.Snapshot {
	now := time.Date(2026, 3, 2, 2, 20, 0, 0, time.UTC)
	then := metav1.NewTime(now.Add(-20 * time.Minute))
	b := snapshot.NewBuilder(now, snapshot.Source{})
	for _, k := range rule.Kinds(rules.All()) {
		b.SetCoverage(k, snapshot.Coverage{State: snapshot.Complete})
	}
	b.Add(&appsv1.StatefulSet{
		ObjectMeta: metav1.ObjectMeta{Namespace: "shop", Name: "db", CreationTimestamp: then},
		Spec:       appsv1.StatefulSetSpec{Replicas: new(int32(pods))},
		Status:     appsv1.StatefulSetStatus{Replicas: int32(pods)},
	})
	for i := range pods {
		b.Add(&corev1.Pod{
			ObjectMeta: metav1.ObjectMeta{
				Namespace: "shop", Name: fmt.Sprintf("db-%d", i), CreationTimestamp: then,
				OwnerReferences: []metav1.OwnerReference{{APIVersion: "apps/v1", Kind: "StatefulSet", Name: "db", Controller: new(true)}},
			},
			Spec: corev1.PodSpec{NodeName: "w1", Containers: []corev1.Container{{Name: "app"}}},
			Status: corev1.PodStatus{
				Phase: corev1.PodPending, StartTime: &then,
				Conditions:        []corev1.PodCondition{{Type: corev1.PodReady, Status: corev1.ConditionFalse, LastTransitionTime: then}},
				ContainerStatuses: []corev1.ContainerStatus{{Name: "app", State: corev1.ContainerState{Waiting: &corev1.ContainerStateWaiting{Reason: reason(i)}}}},
			},
		})
	}
	return b.Build()
}
