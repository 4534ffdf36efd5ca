package machines

import (
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/maek-dev/maek/internal/snapshot"
)

// TestLostQuorumIsOneIncident looks at one fault with an API server that tells of it, with machines that
// do, and with both.
func TestLostQuorumIsOneIncident(t *testing.T) {
	at := time.Date(2026, 3, 2, 2, 20, 0, 0, time.UTC)
	api := snapshot.API{Asked: true, Server: "10.99.0.11:6443", Checks: []snapshot.HealthCheck{{Name: "etcd", Message: "reason withheld"}}}
	report := snapshot.MachineReport{
		Machine: "cp1", Node: "cp1", ObservedAt: metav1.NewTime(at),
		Evidence: []snapshot.MachineEvidence{
			{Key: "etcd/local/source", Value: "static pod"},
			{Key: "etcd/local/path", Value: "/etc/kubernetes/manifests/etcd.yaml"},
			{Key: "etcd/local/member", Value: "1d"},
			{Key: "etcd/local/answer", Value: "refused"},
			{Key: "etcd/local/process-state", Value: "none"},
			{Key: "etcd/cluster/id", Value: "c0"},
			{Key: "etcd/member/1d/name", Value: "cp1"},
			{Key: "etcd/member/1d/learner", Value: "false"},
			{Key: "etcd/member/1d/answer", Value: "refused"},
		},
	}
	for name, tc := range map[string]struct {
		build func(*snapshot.Builder)
		want  string
	}{
		"the API server alone": {build: func(b *snapshot.Builder) { b.SetAPI(api) }, want: "EtcdUnavailable"},
		"a machine alone":      {build: func(b *snapshot.Builder) { b.AddMachine(report) }, want: "EtcdQuorumLost"},
		"both":                 {build: func(b *snapshot.Builder) { b.SetAPI(api); b.AddMachine(report) }, want: "EtcdQuorumLost"},
	} {
		t.Run(name, func(t *testing.T) {
			b := snapshot.NewBuilder(at, snapshot.Source{Name: "test"})
			tc.build(b)
			if diff := cmp.Diff([]string{tc.want}, roots(diagnose(t, b.Build()))); diff != "" {
				t.Errorf("incidents (-want +got):\n%s", diff)
			}
		})
	}
}
