package snapshot

import (
	"testing"
	"time"
)

// A kubelet's page, of which a collector keeps one container's lines.
const containerPage = `prober_probe_total{container="app",namespace="shop",pod="api-0",pod_uid="u",probe_type="Liveness",result="successful"} 1000
prober_probe_total{container="app",namespace="shop",pod="api-0",pod_uid="u",probe_type="Liveness",result="failed"} 70
prober_probe_total{container="app",namespace="shop",pod="api-0",pod_uid="u",probe_type="Readiness",result="successful"} 50
prober_probe_duration_seconds_bucket{container="app",namespace="shop",pod="api-0",probe_type="Liveness",le="1"} 1000
prober_probe_duration_seconds_bucket{container="app",namespace="shop",pod="api-0",probe_type="Liveness",le="0.25"} 700
prober_probe_duration_seconds_bucket{container="app",namespace="shop",pod="api-0",probe_type="Liveness",le="0.5"} 960
prober_probe_duration_seconds_bucket{container="app",namespace="shop",pod="api-0",probe_type="Liveness",le="+Inf"} 1000
container_cpu_cfs_periods_total{container="app",id="/kubepods/pod1",image="shop/api",name="x",namespace="shop",pod="api-0"} 2000 1700000000000
container_cpu_cfs_throttled_periods_total{container="app",id="/kubepods/pod1",image="shop/api",name="x",namespace="shop",pod="api-0"} 820 1700000000000
`

func TestWhatAKubeletCountedOfAContainer(t *testing.T) {
	m, err := ParseMetrics(containerPage)
	if err != nil {
		t.Fatal(err)
	}
	liveness, ok := m.ProbeCounts("Liveness")
	if !ok || liveness.Succeeded != 1000 || liveness.Failed != 70 {
		t.Errorf("liveness %+v, %t", liveness, ok)
	}
	for share, want := range map[float64]time.Duration{0.01: 500 * time.Millisecond, 0.05: 250 * time.Millisecond, 0.5: 0} {
		if got := liveness.Slower(share); got != want {
			t.Errorf("more than %v of the answers took longer than %v, want %v", share, got, want)
		}
	}
	if readiness, ok := m.ProbeCounts("Readiness"); !ok || readiness.Succeeded != 50 || readiness.Slower(0.01) != 0 {
		t.Errorf("readiness %+v, %t", readiness, ok)
	}
	if _, ok := m.ProbeCounts("Startup"); ok {
		t.Error("a probe of which nothing was counted has counts")
	}
	if share, ok := m.Throttled(); !ok || share != 0.41 {
		t.Errorf("throttled %v, %t", share, ok)
	}
	if _, ok := (Metrics{}).Throttled(); ok {
		t.Error("a container without a limit of CPU is throttled")
	}
}
