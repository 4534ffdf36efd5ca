package snapshot

import (
	"testing"
	"time"

	coordinationv1 "k8s.io/api/coordination/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// identity is the Lease of a kube-apiserver.
func identity(name string, made, renewed time.Duration) *coordinationv1.Lease {
	return &coordinationv1.Lease{
		ObjectMeta: metav1.ObjectMeta{
			Namespace: "kube-system", Name: name, CreationTimestamp: metav1.NewTime(moment.Add(-made)),
			Labels: map[string]string{APIServerLeaseLabel: APIServerLeaseValue},
		},
		Spec: coordinationv1.LeaseSpec{HolderIdentity: &name, LeaseDurationSeconds: new(int32(3600)), RenewTime: new(metav1.NewMicroTime(moment.Add(-renewed)))},
	}
}

func TestALeaseThatNobodyCouldRenewTellsNothing(t *testing.T) {
	holder := "cp1_1"
	scheduler := &coordinationv1.Lease{
		ObjectMeta: metav1.ObjectMeta{Namespace: "kube-system", Name: "kube-scheduler"},
		Spec:       coordinationv1.LeaseSpec{HolderIdentity: &holder, LeaseDurationSeconds: new(int32(15)), RenewTime: new(metav1.NewMicroTime(moment.Add(-10 * time.Minute)))},
	}
	tests := map[string]struct {
		servers   []*coordinationv1.Lease
		wantSince time.Time
		want      Liveness
	}{
		"no API server tells of itself":                  {nil, time.Time{}, Dead},
		"the API server has served all the time":         {[]*coordinationv1.Lease{identity("a", time.Hour, 5*time.Second)}, moment.Add(-time.Hour), Dead},
		"the API server is back, and has been for a bit": {[]*coordinationv1.Lease{identity("a", time.Minute, 5*time.Second)}, moment.Add(-time.Minute), Dead},
		"the API server has just come back":              {[]*coordinationv1.Lease{identity("a", 20*time.Second, 5*time.Second)}, moment.Add(-20 * time.Second), LivenessUnknown},
		"one came back, and the other was never away": {
			[]*coordinationv1.Lease{identity("a", 20*time.Second, 5*time.Second), identity("b", time.Hour, 5*time.Second)}, moment.Add(-time.Hour), Dead,
		},
		"one came back, and the other has gone": {
			[]*coordinationv1.Lease{identity("a", 20*time.Second, 5*time.Second), identity("b", time.Hour, 10*time.Minute)}, moment.Add(-20 * time.Second), LivenessUnknown,
		},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			b := NewBuilder(moment, Source{})
			b.SetCoverage(KindOf[*coordinationv1.Lease](), Coverage{State: Complete})
			b.Add(scheduler)
			for _, l := range tc.servers {
				b.Add(l)
			}
			s := b.Build()
			if got := s.ServedSince(); !got.Equal(tc.wantSince) {
				t.Errorf("served since %s, want %s", got, tc.wantSince)
			}
			f := s.Writer(Scheduler)
			if f.State != tc.want || f.Awaited != (tc.want == LivenessUnknown) {
				t.Errorf("%+v, want %s", f, tc.want)
			}
		})
	}
}
