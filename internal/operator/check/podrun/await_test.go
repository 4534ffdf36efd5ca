package podrun

import (
	"context"
	"log/slog"
	"testing"
	"testing/synctest"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/kubernetes/scheme"
	"k8s.io/utils/clock"
	"sigs.k8s.io/controller-runtime/pkg/cache"
	"sigs.k8s.io/controller-runtime/pkg/cache/informertest"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/client/fake"

	"github.com/maek-dev/maek/api/maek/v1alpha1"
)

// shown is a cache that shows what its reader does, and hears of nothing. A pod that is deleted has its grace period, as
// API servers have it (k8s.io/apiserver: pkg/registry/rest/delete.go).
type shown struct {
	cache.Cache
	client.Reader
}

func (s shown) Get(ctx context.Context, key client.ObjectKey, o client.Object, options ...client.GetOption) error {
	err := s.Reader.Get(ctx, key, o, options...)
	if pod, ok := o.(*corev1.Pod); ok && pod.DeletionTimestamp != nil {
		pod.DeletionTimestamp = new(metav1.NewTime(pod.DeletionTimestamp.Add(grace(pod))))
	}
	return err
}

func (s shown) List(ctx context.Context, list client.ObjectList, options ...client.ListOption) error {
	return s.Reader.List(ctx, list, options...)
}

// podOf is a pod of a check's slot, as whoever may make pods can make it. A finalizer keeps it when it is deleted, as
// its grace period would.
func podOf(check *v1alpha1.Check, slot time.Time, spec corev1.PodSpec) *corev1.Pod {
	return &corev1.Pod{
		ObjectMeta: metav1.ObjectMeta{
			Namespace: check.Namespace, Name: PodName(check, slot), UID: types.UID(slotLabel(slot)),
			CreationTimestamp: metav1.NewTime(slot), Finalizers: []string{"example.com/stays"},
			Labels:          map[string]string{v1alpha1.LabelRunOf: string(check.UID), LabelSlot: slotLabel(slot)},
			OwnerReferences: []metav1.OwnerReference{{APIVersion: v1alpha1.GroupVersion.String(), Kind: "Check", Name: check.Name, UID: check.UID, Controller: new(true)}},
		},
		Spec: spec, Status: corev1.PodStatus{Phase: corev1.PodRunning},
	}
}

// TestHowLongOtherPodsKeepARunWaiting holds that pods which look like the check's keep its worker no longer than its own.
func TestHowLongOtherPodsKeepARunWaiting(t *testing.T) {
	const timeout = time.Minute
	tests := map[string]struct {
		// specs are those of the pods, one for each.
		specs []corev1.PodSpec
		// as makes of a pod what somebody else makes.
		as   func(*corev1.Pod)
		want time.Duration
	}{
		"its whole time, and its grace period": {
			specs: []corev1.PodSpec{{TerminationGracePeriodSeconds: new(int64(5))}}, want: timeout + 5*time.Second + vanishGrace,
		},
		"a shorter time of its own": {
			specs: []corev1.PodSpec{{ActiveDeadlineSeconds: new(int64(20)), TerminationGracePeriodSeconds: new(int64(5))}}, want: 25*time.Second + vanishGrace,
		},
		"a week": {
			specs: []corev1.PodSpec{{ActiveDeadlineSeconds: new(int64(604800)), TerminationGracePeriodSeconds: new(int64(5))}}, want: timeout + 5*time.Second + vanishGrace,
		},
		"a week to end": {
			specs: []corev1.PodSpec{{TerminationGracePeriodSeconds: new(int64(604800))}}, want: 2*timeout + vanishGrace,
		},
		"many that end late": {
			specs: []corev1.PodSpec{
				{TerminationGracePeriodSeconds: new(int64(604800))}, {TerminationGracePeriodSeconds: new(int64(604800))}, {TerminationGracePeriodSeconds: new(int64(604800))},
			},
			want: 2*timeout + vanishGrace,
		},
		"one of another name": {
			specs: []corev1.PodSpec{{}}, as: func(pod *corev1.Pod) { pod.Name = "mine" },
		},
		"one of another check": {
			specs: []corev1.PodSpec{{}}, as: func(pod *corev1.Pod) { pod.OwnerReferences[0].UID = "other" },
		},
		"one without a slot": {
			specs: []corev1.PodSpec{{}}, as: func(pod *corev1.Pod) { delete(pod.Labels, LabelSlot) },
		},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				now := clock.RealClock{}.Now // the bubble's
				began, check := now(), named("open", "a")
				var pods []client.Object
				for i, spec := range tc.specs {
					pod := podOf(check, began.Add(time.Duration(i)), spec)
					if tc.as != nil {
						tc.as(pod)
					}
					pods = append(pods, pod)
				}
				api := fake.NewClientBuilder().WithScheme(scheme.Scheme).WithObjects(pods...).Build()
				r, err := New(Options{
					Client: api, Cache: shown{&informertest.FakeInformers{Scheme: scheme.Scheme, Synced: new(true)}, api},
					Clock: clock.RealClock{}, Log: slog.New(slog.DiscardHandler),
				})
				if err != nil {
					t.Fatal(err)
				}
				run := &slotRun{Runner: r, check: check, slot: began.Add(time.Hour), timeout: timeout}
				sub, leave := r.watcher.subscribe(check.UID)
				defer leave()
				run.sub = sub
				found, err := r.pods(t.Context(), check)
				if err != nil {
					t.Fatal(err)
				}
				if err := run.awaitOthers(t.Context(), found); err != nil {
					t.Fatal(err)
				}
				if took := now().Sub(began); took.Round(time.Second) != tc.want {
					t.Errorf("the run waited for %s, want %s", took, tc.want)
				}
			})
		})
	}
}
