package inservice

import (
	"errors"
	"slices"
	"strings"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"

	"github.com/maek-dev/maek/api/maek/v1alpha1"
	"github.com/maek-dev/maek/internal/operator/check/plan"
)

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
		"both pods fail, and as many may": {
			change: func(t *testing.T, w *world, _ *replica) {
				for _, name := range []string{"web-3", "web-4"} {
					if err := w.api.Delete(t.Context(), w.pod(name)); err != nil {
						t.Fatal(err)
					}
				}
				w.policy.Spec.TakeOutOfService.MaxFailingPercent = 100
				w.update(w.policy)
			},
			broken: []string{"web-1", "web-2"},
			want:   brakeNoControl,
		},
		"three begin to fail together, and all may": {
			change: func(_ *testing.T, w *world, _ *replica) {
				w.policy.Spec.TakeOutOfService.MaxFailingPercent = 100
				w.update(w.policy)
			},
			broken: []string{"web-1", "web-2", "web-3"},
			want:   brakeSharedCause,
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
		"the policy pauses while it is asked again": {
			change: func(_ *testing.T, w *world, r *replica) {
				r.answers = func(_ string, p plan.Pod) v1alpha1.CheckResult {
					w.policy.Spec.TakeOutOfService.Paused = true
					w.update(w.policy)
					return w.answer(p)
				}
			},
			want: reasonPaused,
		},
		"a run finds it healthy while it is asked again": {
			change: func(_ *testing.T, w *world, r *replica) {
				r.answers = func(_ string, p plan.Pod) v1alpha1.CheckResult {
					asked := w.answer(p)
					was := w.broken
					w.broken = nil
					w.run()
					w.broken = was
					return asked
				}
			},
			want: brakeNotConfirmed,
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

func TestForbiddenNamesTheCommandForTheOperatorsOwnAccount(t *testing.T) {
	w, r := steady(t)
	w.onPatch = func() error {
		return apierrors.NewForbidden(schema.GroupResource{Resource: "pods/status"}, "web-2", errors.New("no"))
	}
	w.broken["web-2"] = true
	w.pass(35*time.Second, true)
	const want = "kubectl create rolebinding maek-check-in-service --clusterrole=maek-check-in-service --serviceaccount=maek-east:robot -n shop"
	if !slices.ContainsFunc(r.told, func(c v1alpha1.Consequence) bool {
		return c.Reason == brakeForbidden && strings.Contains(c.Message, want)
	}) {
		t.Errorf("told %+v, want %s", r.told, want)
	}
}
