package inservice

import (
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/maek-dev/maek/api/maek/v1alpha1"
)

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
