package snapshot

import (
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestParseMetrics(t *testing.T) {
	const page = `# HELP apiserver_resource_objects [ALPHA] Number of stored objects
# TYPE apiserver_resource_objects gauge
apiserver_resource_objects{group="",resource="pods"} 40
apiserver_resource_objects{group="batch",resource="jobs"} 120000
apiserver_resource_objects{group="",resource="secrets"} -1
# TYPE apiserver_storage_size_bytes gauge
apiserver_storage_size_bytes{storage_cluster_id="etcd-0"} 3.3554432e+07
# TYPE apiserver_flowcontrol_rejected_requests_total counter
apiserver_flowcontrol_rejected_requests_total{flow_schema="service-accounts",priority_level="workload-low",reason="queue-full"} 12
`
	tests := map[string]struct {
		text       string
		wantCounts map[string]int
		wantSize   int64
		wantFails  bool
	}{
		"a whole page": {
			text: page, wantCounts: map[string]int{"pods": 40, "jobs.batch": 120000}, wantSize: 33554432,
		},
		"a page that was cut within a line": {
			text: page[:len(page)-20], wantCounts: map[string]int{"pods": 40, "jobs.batch": 120000}, wantSize: 33554432,
		},
		"a server that counts without groups": {
			text: "apiserver_storage_objects{resource=\"jobs.batch\"} 7\n", wantCounts: map[string]int{"jobs.batch": 7},
		},
		"what stands before nonsense is kept": {
			text: "apiserver_storage_objects{resource=\"pods\"} 7\n{{{\n", wantCounts: map[string]int{"pods": 7}, wantFails: true,
		},
		"nothing": {text: "", wantCounts: map[string]int{}},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			m, err := ParseMetrics(tc.text)
			if (err != nil) != tc.wantFails {
				t.Fatalf("ParseMetrics: %v", err)
			}
			if diff := cmp.Diff(tc.wantCounts, m.ObjectCounts()); diff != "" {
				t.Errorf("counts (-want +got):\n%s", diff)
			}
			if size, _ := m.StorageSize(); size != tc.wantSize {
				t.Errorf("size = %d, want %d", size, tc.wantSize)
			}
		})
	}
}

func TestLargest(t *testing.T) {
	counts := map[string]int{"pods": 3, "events": 9, "jobs.batch": 9}
	if diff := cmp.Diff([]string{"events", "jobs.batch"}, Largest(counts, 2)); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}
