package judge

import (
	"fmt"
	"runtime"
	"testing"
	"time"

	"github.com/maek-dev/maek/bench/world"
	"github.com/maek-dev/maek/internal/diagnosis"
	"github.com/maek-dev/maek/internal/rule"
	"github.com/maek-dev/maek/internal/rules"
	"github.com/maek-dev/maek/internal/snapshot"
)

// withFlannel is up to how many machines the pod network is flannel, and each tells its entries for all
// others: with more they would be more than is taken in (internal/collect/agents).
const withFlannel = 500

// BenchmarkMachines adds the report of an agent on every machine, all well, with 20 pods each.
func BenchmarkMachines(b *testing.B) {
	all := rules.All()
	for _, nodes := range []int{50, 500, 5000} {
		size := world.Size{Nodes: nodes, Deployments: 2 * nodes, PodsPerDeployment: 10, Namespaces: 50, Flannel: nodes <= withFlannel}
		b.Run(fmt.Sprintf("machines=%d", nodes), func(b *testing.B) {
			b.ReportAllocs()
			var spent, without time.Duration
			runs := 0
			for b.Loop() {
				b.StopTimer()
				s := read(size)
				runtime.GC()
				began := processorTime(b)
				diagnosis.Diagnose(rule.Evaluate(b.Context(), s, all, nil, rule.Budget{}), all)
				without += processorTime(b) - began
				empty := live()
				s, values := withMachines(b, read(size), size)
				b.ReportMetric(float64(values)/float64(nodes), "values/machine")
				b.ReportMetric(float64(live()-empty)/float64(nodes), "held-B/machine")
				began = processorTime(b)
				b.StartTimer()
				d := diagnosis.Diagnose(rule.Evaluate(b.Context(), s, all, nil, rule.Budget{}), all)
				b.StopTimer()
				spent += processorTime(b) - began
				runs++
				b.StartTimer()
				for _, f := range d.Failures {
					b.Fatal(f.Err)
				}
				for _, f := range d.Findings[:min(len(d.Findings), 3)] {
					b.Errorf("a machine that is well: %s: %s", f.Code, f.Title.EN)
				}
				b.ReportMetric(float64(len(d.Incidents)), "incidents")
				b.ReportMetric(float64(len(d.Findings)), "findings")
			}
			b.ReportMetric(spent.Seconds()/float64(runs), "cpu-s/op")
			b.ReportMetric(without.Seconds()/float64(runs), "cpu-s-without/op")
		})
	}
}

// live is how many bytes are in use.
func live() uint64 {
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return m.HeapAlloc
}

// withMachines adds reports with what rules read of them, and tells how many values those are.
func withMachines(b *testing.B, s *snapshot.Snapshot, size world.Size) (*snapshot.Snapshot, int) {
	b.Helper()
	keys := rule.Keys(rules.All())
	var reports []snapshot.MachineReport
	values := 0
	err := world.New(size, s.Now()).Machines(func(r snapshot.MachineReport) {
		r.Trim(keys)
		values += len(r.Evidence)
		reports = append(reports, r)
	})
	if err != nil {
		b.Fatal(err)
	}
	return s.WithMachines(reports, nil), values
}
