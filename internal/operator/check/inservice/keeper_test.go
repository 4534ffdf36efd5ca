package inservice

import (
	"errors"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/maek-dev/maek/api/maek/v1alpha1"
	"github.com/maek-dev/maek/internal/operator/check/plan"
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

// brakeCase is one thing that is changed before pods fail.
type brakeCase struct {
	change func(t *testing.T, w *world, r *replica)
	broken []string
	want   string // reason that is told; "" for a dry run
}

// brakes are things for which none is taken out.
func brakes() map[string]brakeCase {
	return map[string]brakeCase{
		"no policy enforces it": {
			change: func(_ *testing.T, w *world, _ *replica) {
				w.policy.Spec.TakeOutOfService.Mode = v1alpha1.ModeDryRun
				w.update(w.policy)
			},
		},
		"there is no policy": {
			change: func(t *testing.T, w *world, _ *replica) {
				if err := w.api.Delete(t.Context(), w.policy); err != nil {
					t.Fatal(err)
				}
			},
		},
		"the policy is for other namespaces": {
			change: func(_ *testing.T, w *world, _ *replica) {
				w.policy.Spec.NamespaceSelector.MatchLabels = map[string]string{"team": "other"}
				w.update(w.policy)
			},
		},
		"the check asks for a dry run": {
			change: func(_ *testing.T, w *world, _ *replica) {
				w.check.Spec.TakeOutOfService.Mode = v1alpha1.ModeDryRun
				w.update(w.check)
			},
		},
		"the policy is paused": {
			change: func(_ *testing.T, w *world, _ *replica) {
				w.policy.Spec.TakeOutOfService.Paused = true
				w.update(w.policy)
			},
			want: reasonPaused,
		},
		"another policy for the namespace is paused": {
			change: func(_ *testing.T, w *world, _ *replica) {
				w.create(&v1alpha1.CheckPolicy{ObjectMeta: metav1.ObjectMeta{Name: "stop"}, Spec: v1alpha1.CheckPolicySpec{
					TakeOutOfService: &v1alpha1.TakeOutOfServicePolicy{Paused: true},
				}})
			},
			want: reasonPaused,
		},
		"the namespace is paused": {
			change: func(_ *testing.T, w *world, _ *replica) {
				w.update(&corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: "shop", Annotations: map[string]string{PauseAnnotation: PauseValue}}})
			},
			want: reasonPaused,
		},
		"the pods do not name the gate": {
			change: func(t *testing.T, w *world, _ *replica) {
				if err := w.api.Delete(t.Context(), w.pod("web-2")); err != nil {
					t.Fatal(err)
				}
				w.addPod(noon.Add(-time.Hour), false)
				w.broken["web-5"] = true
			},
			broken: []string{},
			want:   brakeNoGate,
		},
		"the replica has just started": {
			change: func(_ *testing.T, _ *world, r *replica) {
				r.since = r.clock.Now()
			},
			want: brakeSettling,
		},
		"the pod is not ready anyway": {
			change: func(_ *testing.T, w *world, _ *replica) { w.unready["web-2"] = true },
			want:   brakeNotReady,
		},
		"two of four fail together": {
			change: func(*testing.T, *world, *replica) {},
			broken: []string{"web-2", "web-3"},
			want:   brakeSharedCause,
		},
		"all fail, and as many may": {
			change: func(_ *testing.T, w *world, _ *replica) {
				w.policy.Spec.TakeOutOfService.MaxFailingPercent = 100
				w.update(w.policy)
			},
			broken: []string{"web-1", "web-2", "web-3", "web-4"},
			want:   brakeNoControl,
		},
		"a pod of the workload is new": {
			change: func(_ *testing.T, w *world, r *replica) {
				w.addPod(r.clock.Now().Add(25*time.Second), true)
			},
			want: brakeRollout,
		},
		"a pod of the workload is terminating": {
			change: func(t *testing.T, w *world, _ *replica) {
				p := w.pod("web-4")
				p.Finalizers = []string{"example.com/wait"}
				w.update(p)
				if err := w.api.Delete(t.Context(), p); err != nil {
					t.Fatal(err)
				}
			},
			want: brakeRollout,
		},
		"asked again from one place": {
			change: func(_ *testing.T, _ *world, r *replica) { r.places = []string{"node-a"} },
			want:   brakeNotConfirmed,
		},
		"asked again it answers well somewhere": {
			change: func(_ *testing.T, w *world, r *replica) {
				r.answers = func(from string, p plan.Pod) v1alpha1.CheckResult {
					if w.broken[p.Name] && from != "node-b" {
						return v1alpha1.ResultFailure
					}
					return v1alpha1.ResultSuccess
				}
			},
			want: brakeNotConfirmed,
		},
		"asked again nobody answers": {
			change: func(_ *testing.T, _ *world, r *replica) {
				r.answers = func(string, plan.Pod) v1alpha1.CheckResult { return v1alpha1.ResultFailure }
			},
			want: brakeNoControl,
		},
		"no Service selects it": {
			change: func(t *testing.T, w *world, _ *replica) {
				if err := w.api.Delete(t.Context(), &corev1.Service{ObjectMeta: metav1.ObjectMeta{Namespace: "shop", Name: "web"}}); err != nil {
					t.Fatal(err)
				}
				for _, p := range w.pods() {
					p.Labels["app"] = "else"
					w.update(&p)
				}
			},
			want: brakeNoService,
		},
		"too few endpoints would stay": {
			change: func(_ *testing.T, w *world, _ *replica) { w.unready["web-3"], w.unready["web-4"] = true, true },
			want:   brakeLastEndpoint,
		},
		"another Service has no other endpoint": {
			change: func(_ *testing.T, w *world, _ *replica) {
				p := w.pod("web-2")
				p.Labels["leader"] = "yes"
				w.update(p)
				w.create(&corev1.Service{ObjectMeta: metav1.ObjectMeta{Namespace: "shop", Name: "leader"}, Spec: corev1.ServiceSpec{Selector: map[string]string{"leader": "yes"}}})
			},
			want: brakeLastEndpoint,
		},
		"the namespace has bound no role": {
			change: func(_ *testing.T, w *world, _ *replica) {
				w.onPatch = func() error {
					return apierrors.NewForbidden(schema.GroupResource{Resource: "pods/status"}, "web-2", errors.New("no"))
				}
			},
			want: brakeForbidden,
		},
		"three of four checks of the cluster are red": {
			change: func(t *testing.T, w *world, _ *replica) {
				for _, name := range []string{"a", "b"} {
					c := &v1alpha1.Check{ObjectMeta: metav1.ObjectMeta{Namespace: "shop", Name: name, UID: "uid-check-" + "x"}}
					c.UID += "-"
					w.create(c)
					c.Status.Conditions = []metav1.Condition{{Type: v1alpha1.CheckHealthy, Status: metav1.ConditionFalse, Reason: "Failed", LastTransitionTime: metav1.NewTime(noon)}}
					if err := w.api.Status().Update(t.Context(), c); err != nil {
						t.Fatal(err)
					}
				}
			},
			want: brakeSharedCause,
		},
	}
}

func TestBrakes(t *testing.T) {
	for name, tc := range brakes() {
		t.Run(name, func(t *testing.T) {
			w, r := steady(t)
			tc.change(t, w, r)
			w.kubelet()
			if tc.broken == nil {
				tc.broken = []string{"web-2"}
			}
			for _, p := range tc.broken {
				w.broken[p] = true
			}
			w.onTake = func(name string) { t.Errorf("pod %s was taken out", name) }
			w.pass(35*time.Second, true)
			got := r.reasons(v1alpha1.ActionWithheld)
			if tc.want == "" {
				if len(got) > 0 {
					t.Errorf("withheld for %v, want a dry run", got)
				}
				if len(r.told) != 1 || r.told[0].Action != v1alpha1.ActionTakenOut || !r.told[0].DryRun {
					t.Errorf("told %+v, want that it would have been taken out", r.told)
				}
				return
			}
			if !slices.Contains(got, tc.want) {
				t.Errorf("withheld for %v, want %s", got, tc.want)
			}
			for _, reason := range got {
				if n := len(slices.DeleteFunc(slices.Clone(got), func(g string) bool { return g != reason })); n > len(tc.broken) && n > 1 {
					t.Errorf("%s was told %d times", reason, n)
				}
			}
		})
	}
}

// TestGivenBack takes a pod out, changes one thing, and waits until it is back.
func TestGivenBack(t *testing.T) {
	cases := map[string]struct {
		change func(t *testing.T, w *world, r *replica)
		// within which it must be back, and not before sooner.
		sooner, within time.Duration
		silent         bool // the check does not run any more
		want           string
	}{
		"the policy pauses": {
			change: func(_ *testing.T, w *world, _ *replica) {
				w.policy.Spec.TakeOutOfService.Paused = true
				w.update(w.policy)
			},
			within: 2 * time.Second, want: reasonPaused,
		},
		"the namespace pauses": {
			change: func(_ *testing.T, w *world, _ *replica) {
				w.update(&corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: "shop", Annotations: map[string]string{PauseAnnotation: PauseValue}}})
			},
			within: 2 * time.Second, want: reasonPaused,
		},
		"the policy goes": {
			change: func(t *testing.T, w *world, _ *replica) {
				if err := w.api.Delete(t.Context(), w.policy); err != nil {
					t.Fatal(err)
				}
			},
			within: 2 * time.Second, want: reasonNotAllowed,
		},
		"the check is deleted": {
			change: func(t *testing.T, w *world, r *replica) {
				if err := w.api.Delete(t.Context(), w.check); err != nil {
					t.Fatal(err)
				}
				r.Forget(w.check.UID)
			},
			within: 2 * time.Second, want: reasonCheckGone,
		},
		"the check is made anew under its name": {
			change: func(t *testing.T, w *world, r *replica) {
				if err := w.api.Delete(t.Context(), w.check); err != nil {
					t.Fatal(err)
				}
				r.Forget(w.check.UID)
				again := w.check.DeepCopy()
				again.UID, again.ResourceVersion = "another", ""
				w.create(again)
			},
			within: 2 * time.Second, want: reasonCheckGone,
		},
		"the check is suspended": {
			change: func(_ *testing.T, w *world, _ *replica) {
				w.check.Spec.Suspend = true
				w.update(w.check)
			},
			within: 2 * time.Second, silent: true, want: reasonResting,
		},
		"the check goes into maintenance": {
			change: func(_ *testing.T, _ *world, r *replica) {
				r.o.Resting = func(*v1alpha1.Check, time.Time) bool { return true }
			},
			within: 2 * time.Second, silent: true, want: reasonResting,
		},
		"the check asks for it no more": {
			change: func(_ *testing.T, w *world, _ *replica) {
				w.check.Spec.TakeOutOfService = nil
				w.update(w.check)
			},
			within: 2 * time.Second, want: reasonNotAsked,
		},
		"the check is silent": {
			change: func(*testing.T, *world, *replica) {},
			sooner: 85 * time.Second, within: 92 * time.Second, silent: true, want: reasonStale,
		},
		"it goes on to fail": {
			change: func(*testing.T, *world, *replica) {},
			sooner: 590 * time.Second, within: 602 * time.Second, want: reasonTooLong,
		},
		"its owner is dead, another is there": {
			change: func(_ *testing.T, w *world, r *replica) {
				w.replicas = nil
				other := w.start(false, true)
				other.clock.SetTime(r.clock.Now())
			},
			sooner: 85 * time.Second, within: 91*time.Second + othersWait + 2*time.Second, silent: true, want: reasonStale,
		},
		"its owner died long ago": {
			change: func(_ *testing.T, w *world, r *replica) {
				now := r.clock.Now().Add(time.Hour)
				w.replicas = nil
				w.start(false, true).clock.SetTime(now)
			},
			within: othersWait + 4*time.Second, silent: true, want: reasonTooLong,
		},
		"the ledger was deleted": {
			change: func(t *testing.T, w *world, _ *replica) {
				lease, _, err := w.replicas[0].readLedger(t.Context(), false)
				if err != nil {
					t.Fatal(err)
				}
				if err := w.api.Delete(t.Context(), lease); err != nil {
					t.Fatal(err)
				}
			},
			within: 101 * time.Second, want: reasonStale,
		},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			w, r := steady(t)
			w.broken["web-2"] = true
			w.pass(30*time.Second, true)
			if diff := cmp.Diff([]string{"web-2"}, w.outs()); diff != "" {
				t.Fatalf("before, out (-want +got):\n%s", diff)
			}
			tc.change(t, w, r)
			began := w.passed
			for len(w.outs()) > 0 {
				if w.passed-began > tc.within {
					t.Fatalf("%v are out after %s", w.outs(), tc.within)
				}
				w.pass(time.Second, !tc.silent)
			}
			if took := w.passed - began; took < tc.sooner {
				t.Errorf("back after %s, want %s at least", took, tc.sooner)
			}
			if got := w.condition("web-2").Reason; got != tc.want {
				t.Errorf("given back for %s, want %s", got, tc.want)
			}
		})
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
	w.broken["web-2"], w.broken["web-3"], w.broken["web-4"] = true, true, true
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
	w.broken["web-2"], w.broken["web-3"], w.broken["web-4"] = true, true, true
	w.pass(4*time.Minute, true)
	if got := len(w.outs()); got != 2 {
		t.Errorf("%d are out, want 2", got)
	}
	if !slices.Contains(r.reasons(v1alpha1.ActionWithheld), brakeMaxOut) {
		t.Errorf("withheld for %v, want %s among them", r.reasons(v1alpha1.ActionWithheld), brakeMaxOut)
	}
}

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
	if reason, _ := x.refuse("uid-web-3", "else", bounds{maxOut: 1, maxTimesADay: 3}, r.clock.Now()); reason != brakeMaxOut {
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
	w := newWorld(t, 3)
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
