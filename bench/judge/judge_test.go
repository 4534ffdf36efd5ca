// Package judge measures what rules and diagnosis cost on generated snapshots, apart from reading
// them: on one core, healthy and with a third of all pods failing for 50 reasons.
//
//	go test -run '^$' -bench . -benchmem -cpu 1 ./bench/judge
package judge

import (
	"fmt"
	"runtime"
	"syscall"
	"testing"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/maek-dev/maek/bench/world"
	"github.com/maek-dev/maek/internal/diagnosis"
	"github.com/maek-dev/maek/internal/rule"
	"github.com/maek-dev/maek/internal/rules"
	"github.com/maek-dev/maek/internal/snapshot"
)

// sizes are those of the bars, and one between them that shows how cost grows.
var sizes = []world.Size{
	{Nodes: 1000, Deployments: 2000, PodsPerDeployment: 10, Namespaces: 50},
	{Nodes: 2500, Deployments: 5000, PodsPerDeployment: 10, Namespaces: 100},
	{Nodes: 5000, Deployments: 10000, PodsPerDeployment: 10, Namespaces: 200},
}

func BenchmarkJudge(b *testing.B) {
	all := rules.All()
	for _, sick := range []bool{false, true} {
		for _, size := range sizes {
			size.Sick = sick
			state := "healthy"
			if sick {
				state = "sick"
			}
			b.Run(fmt.Sprintf("%s/pods=%d", state, size.Deployments*size.PodsPerDeployment), func(b *testing.B) {
				b.ReportAllocs()
				var spent time.Duration
				runs := 0
				for b.Loop() {
					// Each run has a snapshot of its own: indexes are made on first use, and are a part of the cost.
					b.StopTimer()
					s := read(size)
					runtime.GC()
					before := processorTime(b)
					b.StartTimer()
					d := diagnosis.Diagnose(rule.Evaluate(b.Context(), s, all, nil, rule.Budget{}), all)
					b.StopTimer()
					spent += processorTime(b) - before
					runs++
					b.StartTimer()
					for _, f := range d.Failures {
						b.Fatal(f.Err)
					}
					b.ReportMetric(float64(len(d.Incidents)), "incidents")
					b.ReportMetric(float64(len(d.Findings)), "findings")
				}
				b.ReportMetric(spent.Seconds()/float64(runs), "cpu-s/op")
			})
		}
	}
}

// processorTime is what this process has used of processors so far, garbage collection included: unlike
// the time by the clock, it says the same on a machine that has other work.
func processorTime(b *testing.B) time.Duration {
	b.Helper()
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		b.Fatal(err)
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

// read makes the snapshot of a world, all kinds complete.
func read(size world.Size) *snapshot.Snapshot {
	now := time.Date(2026, 3, 2, 2, 20, 0, 0, time.UTC)
	b := snapshot.NewBuilder(now, snapshot.Source{Name: "generated"})
	for _, k := range rule.Kinds(rules.All()) {
		b.SetCoverage(k, snapshot.Coverage{State: snapshot.Complete, ReadAt: now})
	}
	sharer := snapshot.NewSharer()
	world.New(size, now).Each(func(o metav1.Object) {
		if obj, ok := o.(snapshot.Object); ok {
			// As it is done with what comes from an API server.
			snapshot.Trim(obj)
			sharer.Share(obj)
			b.Add(obj)
		}
	})
	return b.Build()
}
