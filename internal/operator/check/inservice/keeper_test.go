package inservice

import (
	"errors"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/maek-dev/maek/api/maek/v1alpha1"
)

// steady is a world of four pods that are open, and one settled replica.
func steady(t *testing.T) (*world, *replica) {
	t.Helper()
	w := newWorld(t, 4)
	r := w.start(true, true)
	w.pass(3*time.Second, false)
	return w, r
}

func TestPodIsOpenedBeforeAnyCheckIsThere(t *testing.T) {
	w := newWorld(t, 2)
	if err := w.api.Delete(t.Context(), w.check); err != nil {
		t.Fatal(err)
	}
	r := w.start(true, false)
	r.care(t.Context())
	for _, p := range w.pods() {
		c := w.condition(p.Name)
		if c == nil || c.Status != corev1.ConditionTrue || c.Reason != reasonNoVerdict {
			t.Errorf("pod %s has the condition %+v, want True for %s", p.Name, c, reasonNoVerdict)
		}
	}
}

// TestWithoutChecksPodsAreOpenedAndGivenBack plays a cluster whose Checks and policies cannot be read, because
// their kinds are gone or the API server has not listed them yet: that must hold up no rollout, must not be taken
// for checks that were deleted, and must keep nobody out for ever.
func TestWithoutChecksPodsAreOpenedAndGivenBack(t *testing.T) {
	w, r := steady(t)
	w.broken["web-2"] = true
	w.pass(30*time.Second, true)
	if diff := cmp.Diff([]string{"web-2"}, w.outs()); diff != "" {
		t.Fatalf("out (-want +got):\n%s", diff)
	}
	r.blind = errors.New("not all Checks are known yet")
	name := w.addPod(r.clock.Now(), true)
	w.pass(2*time.Second, false)
	if got := w.gate(name); got != corev1.ConditionTrue {
		t.Errorf("a new pod has the condition %q, want True", got)
	}
	w.pass(time.Minute, false)
	if diff := cmp.Diff([]string{"web-2"}, w.outs()); diff != "" {
		t.Errorf("while nobody knows of its check, out (-want +got):\n%s", diff)
	}
	w.pass(time.Minute, false)
	if got := w.condition("web-2"); got.Status != corev1.ConditionTrue || got.Reason != reasonStale {
		t.Errorf("in the end its condition is %s for %s, want True for %s", got.Status, got.Reason, reasonStale)
	}
}

func TestPodOfADeadOwnerIsOpenedByAnother(t *testing.T) {
	w := newWorld(t, 1)
	w.start(false, false)
	w.pass(othersWait-time.Second, false)
	if got := w.gate("web-1"); got != "" {
		t.Fatalf("another's pod was opened before its owner had the time: %q", got)
	}
	w.pass(3*time.Second, false)
	if got := w.gate("web-1"); got != corev1.ConditionTrue {
		t.Errorf("the pod has the condition %q, want True", got)
	}
}

func TestPodThatFailsIsTakenOutAndGivenBackWhenItRecovers(t *testing.T) {
	w, r := steady(t)
	w.broken["web-2"] = true
	w.pass(20*time.Second, true)
	if outs := w.outs(); len(outs) != 0 {
		t.Fatalf("%v are out after two failures, and three are needed", outs)
	}
	w.pass(10*time.Second, true)
	if diff := cmp.Diff([]string{"web-2"}, w.outs()); diff != "" {
		t.Fatalf("out (-want +got):\n%s", diff)
	}
	c := w.condition("web-2")
	if c.Reason != reasonFailed || !strings.Contains(c.Message, "Check web: ConnectionRefused: nobody listens") {
		t.Errorf("the condition says %s: %s", c.Reason, c.Message)
	}
	w.pass(5*time.Minute, true)
	if diff := cmp.Diff([]string{"web-2"}, w.outs()); diff != "" {
		t.Fatalf("while it goes on to fail, out (-want +got):\n%s", diff)
	}
	delete(w.broken, "web-2")
	w.pass(11*time.Second, true)
	if outs := w.outs(); len(outs) != 0 {
		t.Errorf("%v are out, and none fails", outs)
	}
	want := []v1alpha1.Consequence{
		{Action: v1alpha1.ActionTakenOut, Pod: "web-2", Reason: reasonFailed},
		{Action: v1alpha1.ActionGivenBack, Pod: "web-2", Reason: reasonRecovered},
	}
	ignore := cmp.FilterPath(func(p cmp.Path) bool { return p.Last().String() == ".At" || p.Last().String() == ".Message" }, cmp.Ignore())
	if diff := cmp.Diff(want, r.told, ignore); diff != "" {
		t.Errorf("told (-want +got):\n%s", diff)
	}
	if n := len(r.events.Events); n != 4 {
		t.Errorf("%d Events were written, want two for each action: on the pod and on the check", n)
	}
}

func TestAPodThatDoesNotRecoverIsNotTakenOutAThirdTime(t *testing.T) {
	w, r := steady(t)
	w.step = 5 * time.Second
	w.policy.Spec.TakeOutOfService.MaxTimesADay = 100
	w.update(w.policy)
	w.broken["web-2"] = true
	w.pass(time.Hour, true)
	if got := len(r.reasons(v1alpha1.ActionTakenOut)); got != 2 {
		t.Errorf("taken out %d times, want 2", got)
	}
	if !slices.Contains(r.reasons(v1alpha1.ActionWithheld), brakeNoEffect) {
		t.Errorf("withheld for %v, want %s among them", r.reasons(v1alpha1.ActionWithheld), brakeNoEffect)
	}
}

func TestAPodThatComesAndGoesIsExhausted(t *testing.T) {
	w, r := steady(t)
	w.step = 5 * time.Second
	var takes []time.Time
	w.onTake = func(string) { takes = append(takes, r.clock.Now()) }
	for range 40 {
		w.broken["web-2"] = !w.broken["web-2"]
		w.pass(100*time.Second, true)
	}
	if len(takes) != 3 {
		t.Errorf("taken out %d times in a day, want 3", len(takes))
	}
	for i := 2; i < len(takes); i++ {
		if takes[i].Sub(takes[i-1]) < takes[i-1].Sub(takes[i-2]) {
			t.Errorf("taken out at %v: the pauses must grow", takes)
		}
	}
	if !slices.Contains(r.reasons(v1alpha1.ActionWithheld), brakeExhausted) {
		t.Errorf("withheld for %v, want %s among them", r.reasons(v1alpha1.ActionWithheld), brakeExhausted)
	}
}

func TestPodsOfOneWorkloadGoOutApart(t *testing.T) {
	w := newWorld(t, 10)
	w.policy.Spec.TakeOutOfService.SecondsApart = 120
	w.update(w.policy)
	r := w.start(true, true)
	var takes []time.Time
	w.onTake = func(string) { takes = append(takes, r.clock.Now()) }
	w.pass(3*time.Second, false)
	w.broken["web-2"], w.broken["web-3"] = true, true
	w.pass(5*time.Minute, true)
	if len(takes) < 2 {
		t.Fatalf("%d were taken out", len(takes))
	}
	for i := 1; i < len(takes); i++ {
		if apart := takes[i].Sub(takes[i-1]); apart < 2*time.Minute {
			t.Errorf("two were taken out within %s, want 2m at least", apart)
		}
	}
}

func TestNoMoreThanMaxOut(t *testing.T) {
	w := newWorld(t, 10)
	w.policy.Spec.TakeOutOfService.SecondsApart, w.policy.Spec.TakeOutOfService.MaxOut = 1, 2
	w.update(w.policy)
	r := w.start(true, true)
	w.pass(3*time.Second, false)
	w.broken["web-2"], w.broken["web-3"] = true, true
	w.pass(2*time.Minute, true)
	w.broken["web-4"] = true
	w.pass(2*time.Minute, true)
	if got := len(w.outs()); got != 2 {
		t.Errorf("%d are out, want 2", got)
	}
	if !slices.Contains(r.reasons(v1alpha1.ActionWithheld), brakeMaxOut) {
		t.Errorf("withheld for %v, want %s among them", r.reasons(v1alpha1.ActionWithheld), brakeMaxOut)
	}
}

func TestClockThatIsSetTakesNobodyOut(t *testing.T) {
	for name, jump := range map[string]time.Duration{"on": 6 * time.Hour, "back": -30 * time.Minute} {
		t.Run(name, func(t *testing.T) {
			w, r := steady(t)
			w.broken["web-2"] = true
			w.pass(20*time.Second, true)
			r.clock.SetTime(r.clock.Now().Add(jump))
			r.since = r.clock.Now().Add(-time.Hour)
			// Of a minute, which is the check's window, nothing is known before it has passed.
			w.pass(55*time.Second, true)
			if outs := w.outs(); len(outs) > 0 {
				t.Errorf("%v are out within a minute after the clock was set", outs)
			}
			w.pass(30*time.Second, true)
			if diff := cmp.Diff([]string{"web-2"}, w.outs()); diff != "" {
				t.Errorf("afterwards, out (-want +got):\n%s", diff)
			}
		})
	}
}

func TestChecksThatFailTogetherAreNoGuideForAWhile(t *testing.T) {
	w, r := steady(t)
	var others []*v1alpha1.Check
	heal := func(status metav1.ConditionStatus) {
		for _, c := range others {
			c.Status.Conditions = []metav1.Condition{{Type: v1alpha1.CheckHealthy, Status: status, Reason: "Run", LastTransitionTime: metav1.NewTime(noon)}}
			if err := w.api.Status().Update(t.Context(), c); err != nil {
				t.Fatal(err)
			}
		}
	}
	for _, name := range []string{"a", "b"} {
		c := &v1alpha1.Check{ObjectMeta: metav1.ObjectMeta{Namespace: "shop", Name: name}}
		w.create(c)
		others = append(others, c)
	}
	heal(metav1.ConditionFalse)
	w.broken["web-2"] = true
	w.pass(40*time.Second, true)
	heal(metav1.ConditionTrue)
	w.pass(stormLasts-15*time.Second, true)
	if outs := w.outs(); len(outs) > 0 {
		t.Errorf("%v are out sooner than %s after the storm", outs, stormLasts)
	}
	w.pass(30*time.Second, true)
	if diff := cmp.Diff([]string{"web-2"}, w.outs()); diff != "" {
		t.Errorf("afterwards, out (-want +got):\n%s", diff)
	}
	if !slices.Contains(r.reasons(v1alpha1.ActionWithheld), brakeSharedCause) {
		t.Errorf("withheld for %v", r.reasons(v1alpha1.ActionWithheld))
	}
}

func TestDryRunTellsAsIfItActed(t *testing.T) {
	w, r := steady(t)
	w.check.Spec.TakeOutOfService.Mode = v1alpha1.ModeDryRun
	w.update(w.check)
	before := w.pod("web-2").ResourceVersion
	w.broken["web-2"] = true
	w.pass(2*time.Minute, true)
	delete(w.broken, "web-2")
	w.pass(15*time.Second, true)
	want := []v1alpha1.Consequence{
		{Action: v1alpha1.ActionTakenOut, DryRun: true, Pod: "web-2", Reason: reasonFailed},
		{Action: v1alpha1.ActionGivenBack, DryRun: true, Pod: "web-2", Reason: reasonRecovered},
	}
	ignore := cmp.FilterPath(func(p cmp.Path) bool { return p.Last().String() == ".At" || p.Last().String() == ".Message" }, cmp.Ignore())
	if diff := cmp.Diff(want, r.told, ignore); diff != "" {
		t.Errorf("told (-want +got):\n%s", diff)
	}
	if after := w.pod("web-2").ResourceVersion; after != before {
		t.Errorf("the pod was written: version %s became %s", before, after)
	}
	if lease, _, err := r.readLedger(t.Context(), false); lease != nil || err != nil {
		t.Errorf("the ledger was written: %v, %v", lease, err)
	}
}

func TestTerminatingPodIsLeftAlone(t *testing.T) {
	w, r := steady(t)
	w.broken["web-2"] = true
	w.pass(30*time.Second, true)
	p := w.pod("web-2")
	p.Finalizers = []string{"example.com/wait"}
	w.update(p)
	if err := w.api.Delete(t.Context(), p); err != nil {
		t.Fatal(err)
	}
	version := w.pod("web-2").ResourceVersion
	delete(w.broken, "web-2")
	w.readiness()
	w.pass(5*time.Minute, true)
	if got := w.pod("web-2").ResourceVersion; got != version || len(r.reasons(v1alpha1.ActionGivenBack)) > 0 {
		t.Errorf("a pod that terminates was written: version %s became %s", version, got)
	}
}
