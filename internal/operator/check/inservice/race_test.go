package inservice

import (
	"errors"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/maek-dev/maek/api/maek/v1alpha1"
	"github.com/maek-dev/maek/internal/operator/check/plan"
)

func TestAReplicaThatDiesBetweenLedgerAndPatchHoldsTheFloor(t *testing.T) {
	w := newWorld(t, 4)
	r := w.start(true, true)
	w.pass(3*time.Second, false)
	w.policy.Spec.TakeOutOfService.MaxOut = 1
	w.update(w.policy)
	w.broken["web-2"] = true
	w.pass(20*time.Second, true)
	// Its patch is lost after it left, so that nobody can tell whether it arrived.
	lost := false
	w.onPatch = func() error {
		if lost {
			return nil
		}
		lost = true
		return errors.New("connection reset")
	}
	w.pass(11*time.Second, true)
	if !lost || len(w.outs()) != 0 {
		t.Fatalf("lost %t, out %v", lost, w.outs())
	}
	_, l, err := r.readLedger(t.Context(), false)
	if err != nil {
		t.Fatal(err)
	}
	outs := l.outs()
	if len(outs) != 1 || outs[0].Pod != "web-2" {
		t.Fatalf("the ledger has %+v out, want web-2", outs)
	}
	late := condition{UID: "uid-web-2", Version: outs[0].Version, Status: corev1.ConditionFalse, Reason: reasonFailed, Probe: noon, Turn: noon}
	// As long as the patch may arrive, the budget is spent.
	x := ledger{Entries: outs}
	if reason, _ := x.refuse(entry{UID: "uid-web-3", Workload: "else"}, bounds{maxOut: 1, maxTimesADay: 3}, r.clock.Now()); reason != brakeMaxOut {
		t.Errorf("another may be taken out (%q) while the patch may still arrive", reason)
	}
	// Whoever reserves next makes it impossible, and counts it no more after that.
	delete(w.broken, "web-2")
	w.pass(2*time.Minute, true)
	w.broken["web-3"] = true
	w.pass(3*time.Minute, true)
	if diff := cmp.Diff([]string{"web-3"}, w.outs()); diff != "" {
		t.Errorf("later, out (-want +got):\n%s", diff)
	}
	if err := r.patch(t.Context(), client.ObjectKey{Namespace: "shop", Name: "web-2"}, late); !changed(err) {
		t.Errorf("the late patch came to %v, want a conflict", err)
	}
}

func TestTwoReplicasThatRaceKeepTheFloor(t *testing.T) {
	// Of workloads of their own, so that nothing but the floor is in the way.
	w := newWorldOf(t, 3, 3)
	w.policy.Spec.TakeOutOfService.MaxFailingPercent, w.policy.Spec.TakeOutOfService.SecondsApart = 100, 1
	w.update(w.policy)
	w.check.Spec.TakeOutOfService.MinReadyPercent = 60 // two of three
	w.update(w.check)
	one, other := w.start(true, true), w.start(true, true)
	w.pass(3*time.Second, false)
	w.broken["web-1"] = true
	w.pass(20*time.Second, true)
	for range 10 {
		one.clock.Step(time.Second)
		other.clock.Step(time.Second)
	}
	w.run()
	// The other sees another pod fail, and is quicker while the first is about to write the ledger.
	elsewhere := map[string]bool{"web-2": true}
	pods := w.pods()
	for i := range 3 {
		var results []plan.Result
		for _, p := range pods {
			result := plan.Result{Pod: plan.Pod{NamespacedName: client.ObjectKeyFromObject(&p), UID: p.UID}, Result: v1alpha1.ResultSuccess}
			if elsewhere[p.Name] {
				result.Result = v1alpha1.ResultFailure
			}
			results = append(results, result)
		}
		other.Observe(w.check, other.clock.Now().Add(time.Duration(i-2)*10*time.Second+time.Millisecond*time.Duration(i+1)), results)
	}
	other.answers = func(_ string, p plan.Pod) v1alpha1.CheckResult {
		if elsewhere[p.Name] {
			return v1alpha1.ResultFailure
		}
		return v1alpha1.ResultSuccess
	}
	raced := false
	w.onLedger = func() {
		if raced {
			return
		}
		raced = true
		other.consider(t.Context())
	}
	w.watch()
	one.consider(t.Context())
	if !raced {
		t.Fatal("nobody wrote the ledger")
	}
	if diff := cmp.Diff([]string{"web-2"}, w.outs()); diff != "" {
		t.Errorf("out (-want +got):\n%s", diff)
	}
}
