package etcd

import (
	"context"
	"fmt"
	"slices"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/maek-dev/maek/internal/finding"
	"github.com/maek-dev/maek/internal/rule"
	"github.com/maek-dev/maek/internal/snapshot"
)

// size answers the question for the API server's metrics with the size of the database.
type size int64

func (n size) Answer(_ context.Context, questions []snapshot.Question) map[snapshot.Question]snapshot.Answer {
	out := map[snapshot.Question]snapshot.Answer{}
	for _, q := range questions {
		if q.Kind == snapshot.APIServerMetrics {
			out[q] = snapshot.Answer{Outcome: snapshot.Answered, Text: fmt.Sprintf("apiserver_storage_size_bytes{storage_cluster_id=\"etcd-0\"} %d\n", n)}
		}
	}
	return out
}

// A fixture of twenty thousand objects would be read by nobody.
func TestDatabaseThatIsNearlyFullIsAWarning(t *testing.T) {
	tests := map[string]struct {
		size    size
		objects int
		want    int
	}{
		"nine tenths of the quota":                          {size: defaultQuota / 10 * 9, objects: crowd, want: 1},
		"half of the quota":                                 {size: defaultQuota / 2, objects: crowd},
		"few objects are not worth the question for a size": {size: defaultQuota / 10 * 9, objects: 10},
	}
	rules := slices.DeleteFunc(Catalog.Rules(), func(r rule.Rule) bool { return r.Code != "EtcdDatabaseFull" })
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			b := snapshot.NewBuilder(time.Date(2026, 3, 2, 2, 20, 0, 0, time.UTC), snapshot.Source{Name: "test"})
			b.SetAPI(snapshot.API{Asked: true, Checks: []snapshot.HealthCheck{{Name: "etcd", OK: true}}})
			for _, need := range rules[0].Needs {
				b.SetCoverage(need.Kind, snapshot.Coverage{State: snapshot.Complete})
			}
			b.Add(&corev1.Pod{ObjectMeta: metav1.ObjectMeta{
				Namespace: metav1.NamespaceSystem, Name: "etcd-cp", Labels: map[string]string{"component": "etcd", "tier": "control-plane"},
				Annotations: map[string]string{corev1.MirrorPodAnnotationKey: "x"},
			}, Spec: corev1.PodSpec{NodeName: "cp"}})
			for i := range tc.objects {
				b.Add(&corev1.ConfigMap{ObjectMeta: metav1.ObjectMeta{Namespace: "shop", Name: fmt.Sprint("c", i)}})
			}
			got := rule.Evaluate(t.Context(), b.Build(), rules, tc.size, rule.DefaultBudget)
			if len(got.Failures) > 0 {
				t.Fatal(got.Failures[0].Err)
			}
			if len(got.Findings) != tc.want {
				t.Fatalf("%d findings, want %d", len(got.Findings), tc.want)
			}
			for _, f := range got.Findings {
				if f.Code != "EtcdDatabaseFull" || f.Severity != finding.Warning {
					t.Errorf("%s is %s, want a warning of EtcdDatabaseFull", f.Code, f.Severity)
				}
			}
		})
	}
}
