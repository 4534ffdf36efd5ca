package inservice

import (
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"

	"github.com/maek-dev/maek/api/maek/v1alpha1"
	"github.com/maek-dev/maek/internal/operator/check/plan"
)

// write writes a pod's condition as somebody may who may patch the status of pods.
func (w *world) write(name string, c corev1.PodCondition) {
	w.t.Helper()
	p := w.pod(name)
	c.Type = v1alpha1.ReadinessGateInService
	for i := range p.Status.Conditions {
		if p.Status.Conditions[i].Type == c.Type {
			p.Status.Conditions[i] = c
		}
	}
	if err := w.api.Status().Update(w.t.Context(), p); err != nil {
		w.t.Fatal(err)
	}
}

// TestForgedConditionEnds has somebody write False, and write it anew as if a check went on to fail.
func TestForgedConditionEnds(t *testing.T) {
	cases := map[string]struct {
		condition func(now time.Time) corev1.PodCondition
		within    time.Duration
	}{
		"once": {func(time.Time) corev1.PodCondition {
			return corev1.PodCondition{Status: corev1.ConditionFalse, LastProbeTime: metav1.NewTime(noon), LastTransitionTime: metav1.NewTime(noon)}
		}, 92 * time.Second},
		"time and again": {func(now time.Time) corev1.PodCondition {
			return corev1.PodCondition{Status: corev1.ConditionFalse, LastProbeTime: metav1.NewTime(now), LastTransitionTime: metav1.NewTime(noon)}
		}, 602 * time.Second},
		"of a time to come": {func(now time.Time) corev1.PodCondition {
			return corev1.PodCondition{Status: corev1.ConditionFalse, LastProbeTime: metav1.NewTime(now.Add(time.Hour)), LastTransitionTime: metav1.NewTime(now.Add(time.Hour))}
		}, 602 * time.Second},
		"with another value": {func(now time.Time) corev1.PodCondition {
			return corev1.PodCondition{Status: "Maybe", LastProbeTime: metav1.NewTime(now)}
		}, 602 * time.Second},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			w, r := steady(t)
			w.step = 2 * time.Second
			again := name != "once"
			w.write("web-2", tc.condition(r.clock.Now()))
			for began := w.passed; ; {
				w.pass(w.step, true)
				if len(w.outs()) == 0 {
					break
				}
				if w.passed-began > tc.within {
					t.Fatalf("it is out after %s", w.passed-began)
				}
				if again {
					w.write("web-2", tc.condition(r.clock.Now()))
				}
			}
		})
	}
}

// TestForgedConditionTakesNobodyElseOut: who is out by somebody's hand spends no budget, and its Services keep
// what must stay.
func TestForgedConditionTakesNobodyElseOut(t *testing.T) {
	w, r := steady(t)
	for _, name := range []string{"web-1", "web-3"} {
		w.write(name, corev1.PodCondition{Status: corev1.ConditionFalse, LastProbeTime: metav1.NewTime(noon), LastTransitionTime: metav1.NewTime(r.clock.Now())})
	}
	w.kubelet()
	w.broken["web-2"] = true
	w.pass(35*time.Second, true)
	if diff := cmp.Diff([]string{"web-1", "web-3"}, w.outs()); diff != "" {
		t.Errorf("out (-want +got):\n%s", diff)
	}
	if diff := cmp.Diff([]string{brakeLastEndpoint}, r.reasons(v1alpha1.ActionWithheld)); diff != "" {
		t.Errorf("withheld for (-want +got):\n%s", diff)
	}
}

// TestForgedRecoveryLeavesTheBudget has somebody give a pod back as recovered, of a time to come, whenever it is
// taken out.
func TestForgedRecoveryLeavesTheBudget(t *testing.T) {
	w, r := steady(t)
	w.step = 5 * time.Second
	takes := 0
	w.onTake = func(string) { takes++ }
	w.broken["web-2"] = true
	for range 360 {
		w.pass(10*time.Second, true)
		if len(w.outs()) > 0 {
			w.write("web-2", corev1.PodCondition{Status: corev1.ConditionTrue, Reason: reasonRecovered, LastTransitionTime: metav1.NewTime(r.clock.Now().Add(-time.Hour))})
		}
	}
	if takes != 3 {
		t.Errorf("taken out %d times in an hour, want maxTimesADay: 3", takes)
	}
}

// TestForgedLedgerHoldsNobodyLonger has an entry that no policy allows.
func TestForgedLedgerHoldsNobodyLonger(t *testing.T) {
	w, r := steady(t)
	w.step = 5 * time.Second
	w.broken["web-2"] = true
	w.pass(35*time.Second, true)
	lease, l, err := r.readLedger(t.Context(), false)
	if err != nil || len(l.outs()) != 1 {
		t.Fatalf("the ledger has %+v, %v", l, err)
	}
	l.Entries[0].Longest, l.Entries[0].StaleAfter = 1000*time.Hour, 1000*time.Hour
	if err := r.writeLedger(t.Context(), lease, l); err != nil {
		t.Fatal(err)
	}
	w.pass(11*time.Minute, false)
	if outs := w.outs(); len(outs) != 0 {
		t.Errorf("%v are out beyond maxSeconds", outs)
	}
	if got := longestOf(bounds{}, l.Entries[0]); got != 30*time.Minute {
		t.Errorf("without policies, out for %s at most, want the default", got)
	}
}

// TestPodsThatBelongToNobodyAreBoundedByTheirNamespace has owners as whoever makes pods may write them: each pod is
// a workload of its own.
func TestPodsThatBelongToNobodyAreBoundedByTheirNamespace(t *testing.T) {
	w := newWorldOf(t, 20, 20)
	p := w.policy.Spec.TakeOutOfService
	p.SecondsApart, p.MaxOut, p.MaxFailingPercent = 1, 100, 100
	w.update(w.policy)
	r := w.start(true, true)
	var takes []time.Time
	w.onTake = func(string) { takes = append(takes, r.clock.Now()) }
	w.pass(3*time.Second, false)
	for i := range 6 {
		w.broken[fmt.Sprintf("web-%d", i+1)] = true
		w.pass(35*time.Second, true)
	}
	w.pass(3*time.Minute, true)
	if len(takes) < 4 {
		t.Fatalf("%d were taken out, want all that may", len(takes))
	}
	for i := namespaceSize; i < len(takes); i++ {
		if span := takes[i].Sub(takes[i-namespaceSize]); span < bucketSize*bucketEvery {
			t.Errorf("%d were taken out in %s", namespaceSize+1, span)
		}
	}
}

// TestPodsOfOneNodeGoOutApart has two pods on one node that look like two workloads.
func TestPodsOfOneNodeGoOutApart(t *testing.T) {
	w := newWorldOf(t, 6, 6)
	p := w.policy.Spec.TakeOutOfService
	p.SecondsApart, p.MaxFailingPercent = 300, 100
	w.update(w.policy)
	if err := w.api.Delete(t.Context(), w.pod("web-2")); err != nil {
		t.Fatal(err)
	}
	again := w.pod("web-3")
	again.Name, again.UID, again.ResourceVersion, again.Spec.NodeName = "web-2", "uid-again", "", "node-web-1"
	again.OwnerReferences[0].Name = "web-other"
	w.create(again)
	w.kubelet()
	w.start(true, true)
	w.pass(3*time.Second, false)
	w.broken["web-1"], w.broken["web-2"] = true, true
	w.pass(4*time.Minute, true)
	if n := len(w.outs()); n != 1 {
		t.Fatalf("%v are out, want one of the two on node-web-1", w.outs())
	}
	w.pass(2*time.Minute, true)
	if diff := cmp.Diff([]string{"web-1", "web-2"}, w.outs()); diff != "" {
		t.Errorf("five minutes later, out (-want +got):\n%s", diff)
	}
}

// TestNoClockMakesAPauseShorter has a replica's clock set on, and one that is behind, by more than the pause between
// two pods of a workload.
func TestNoClockMakesAPauseShorter(t *testing.T) {
	const pause = 10 * time.Minute
	begin := func(t *testing.T) *world {
		t.Helper()
		w := newWorld(t, 10)
		w.step = 5 * time.Second
		w.policy.Spec.TakeOutOfService.SecondsApart, w.policy.Spec.TakeOutOfService.MaxSeconds = int32(pause/time.Second), 7200
		w.update(w.policy)
		return w
	}
	// apart has one pod taken out, something happen to the clocks, and another taken out.
	apart := func(t *testing.T, w *world, during func()) {
		t.Helper()
		var takes []time.Duration
		var who []string
		w.onTake = func(name string) {
			takes, who = append(takes, w.passed), append(who, name)
		}
		w.broken["web-2"] = true
		for len(takes) == 0 && w.passed < time.Hour {
			w.pass(w.step, true)
		}
		during()
		delete(w.broken, "web-2")
		w.broken["web-3"] = true
		for len(takes) < 2 && w.passed < 2*time.Hour {
			w.pass(w.step, true)
		}
		if diff := cmp.Diff([]string{"web-2", "web-3"}, who); diff != "" {
			t.Fatalf("taken out (-want +got):\n%s", diff)
		}
		if got := takes[1] - takes[0]; got < pause || got > pause+time.Minute {
			t.Errorf("the next was taken out after %s, want %s and a little", got, pause)
		}
	}
	t.Run("set on", func(t *testing.T) {
		w := begin(t)
		r := w.start(true, true)
		w.pass(5*time.Second, true)
		apart(t, w, func() {
			r.clock.SetTime(r.clock.Now().Add(pause))
			r.since = r.clock.Now().Add(-time.Hour)
		})
	})
	t.Run("behind", func(t *testing.T) {
		w := begin(t)
		r, other := w.start(false, true), w.start(true, true)
		other.clock.SetTime(r.clock.Now().Add(-pause))
		other.since = other.clock.Now().Add(-time.Hour)
		r.owner = true
		w.pass(15*time.Second, true)
		r.owner = false
		apart(t, w, func() { r.owner, other.owner = true, false })
	})
}

// TestClockThatWasAheadHoldsTheBucketNoLongerThanItself has a ledger that was written by a clock a year ahead.
func TestClockThatWasAheadHoldsTheBucketNoLongerThanItself(t *testing.T) {
	w := newWorld(t, 10)
	r := w.start(true, true)
	w.pass(3*time.Second, false)
	lease, l, err := r.readLedger(t.Context(), true)
	if err != nil {
		t.Fatal(err)
	}
	for range bucketSize {
		l.Takes = append(l.Takes, noon.Add(365*24*time.Hour))
	}
	if err := r.writeLedger(t.Context(), lease, l); err != nil {
		t.Fatal(err)
	}
	w.broken["web-2"] = true
	w.pass(60*time.Second, true)
	if outs := w.outs(); len(outs) != 0 || !slices.Contains(r.reasons(v1alpha1.ActionWithheld), brakeTooSoon) {
		t.Errorf("%v are out, withheld for %v, want %s", outs, r.reasons(v1alpha1.ActionWithheld), brakeTooSoon)
	}
	w.pass(70*time.Second, true)
	if diff := cmp.Diff([]string{"web-2"}, w.outs()); diff != "" {
		t.Errorf("when the bucket has filled again, out (-want +got):\n%s", diff)
	}
}

// TestPodThatIsKeptInForLongKeepsNoOtherIn has the worst pod of a check be one that cannot be taken out.
func TestPodThatIsKeptInForLongKeepsNoOtherIn(t *testing.T) {
	w := newWorld(t, 10)
	r := w.start(true, true)
	w.pass(3*time.Second, false)
	w.node("web-2", cordon)
	w.broken["web-2"] = true
	w.pass(35*time.Second, true)
	w.broken["web-3"] = true
	w.pass(35*time.Second, true)
	if diff := cmp.Diff([]string{"web-3"}, w.outs()); diff != "" {
		t.Errorf("withheld for %v, out (-want +got):\n%s", r.reasons(v1alpha1.ActionWithheld), diff)
	}
}

// TestCheckThatNamesAPodOfAnotherNamespace has results about a pod that is not the check's to judge.
func TestCheckThatNamesAPodOfAnotherNamespace(t *testing.T) {
	w, r := steady(t)
	foreign := w.check.DeepCopy()
	foreign.Namespace, foreign.UID, foreign.ResourceVersion = "bank", "check-bank", ""
	w.create(&corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: "bank"}})
	w.create(foreign)
	w.onTake = func(name string) { t.Errorf("pod %s was taken out", name) }
	pods := []plan.Pod{}
	for _, p := range w.pods() {
		pods = append(pods, plan.Pod{NamespacedName: types.NamespacedName{Namespace: p.Namespace, Name: p.Name}, UID: p.UID})
	}
	w.broken["web-2"] = true
	for range 4 {
		r.Observe(foreign, r.clock.Now(), w.results(foreign, pods, []string{""}, nil))
		w.pass(10*time.Second, false)
	}
	if len(r.told) != 0 {
		t.Errorf("told %+v of a pod of another namespace", r.told)
	}
}
