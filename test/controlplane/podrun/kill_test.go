package podrun

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/maek-dev/maek/api/maek/v1alpha1"
	"github.com/maek-dev/maek/internal/operator/check/podrun"
	"github.com/maek-dev/maek/internal/operator/checkerpod"
)

// TestAReplicaIsKilledAtAnyStep kills whoever runs a check at each of its requests, before it is sent and before it
// is answered, and sees that the next one doubles and leaks nothing.
func TestAReplicaIsKilledAtAnyStep(t *testing.T) {
	t.Parallel()
	// A run reads the check, makes its pod and, when its result is recorded, deletes it.
	const requests = 3
	for at := int32(1); at <= requests+1; at++ {
		for _, before := range []bool{true, false} {
			t.Run(fmt.Sprintf("request %d, before it is sent %t", at, before), func(t *testing.T) {
				t.Parallel()
				ns := namespace(t, nil)
				k := play(t, ns)
				check := podCheck(t, ns, "ok", nil)
				one := start(t, ns, "", at, before)
				first := ends(t, one.begin(check, slot, time.Minute))
				recorded := first.err == nil && first.result.Result == v1alpha1.ResultSuccess
				if recorded {
					_ = one.Clear(one.life, check)
				}
				if died := one.wire.cut.Load(); died == (at > requests) {
					t.Fatalf("it died at request %d: %t, of %d", at, died, one.wire.sent.Load())
				}
				one.stop()

				two := start(t, ns, "", 0, false)
				if !recorded {
					judged(t, ends(t, two.begin(check, slot, time.Minute)), v1alpha1.ResultSuccess, "", "")
				}
				if err := two.Clear(t.Context(), check); err != nil {
					t.Errorf("clearing up: %v", err)
				}
				eventually(t, "nothing is left", func() bool { return len(left(t, ns)) == 0 })
				if pods, doubled := k.made(); pods != 1 || doubled != 0 {
					t.Errorf("there were %d pods, %d of them double; want one", pods, doubled)
				}
			})
		}
	}
}

// TestAReplicaIsKilledWhileItWaits sees that the next one goes on with the pod, and waits with the run of another
// slot until it has ended.
func TestAReplicaIsKilledWhileItWaits(t *testing.T) {
	t.Parallel()
	ns := namespace(t, nil)
	k := play(t, ns)
	check := podCheck(t, ns, "slow", nil)
	one := start(t, ns, "", 0, false)
	first := one.begin(check, slot, time.Minute)
	eventually(t, "the pod is at work", func() bool { pods := left(t, ns); return len(pods) == 1 && pods[0].Status.Phase == corev1.PodRunning })
	one.stop()
	if got := ends(t, first); got.err == nil {
		t.Errorf("a run that was cut short ends with %+v", got.result)
	}

	two := start(t, ns, "", 0, false)
	runs, err := two.Leftovers(t.Context(), check)
	if err != nil || len(runs) != 1 || !runs[0].Slot.Equal(slot) || runs[0].Ended {
		t.Fatalf("the next replica finds %+v (%v)", runs, err)
	}
	same, next := two.begin(check, slot, time.Minute), two.begin(check, slot.Add(10*time.Minute), time.Minute)
	select {
	case got := <-next:
		t.Fatalf("a run of the next slot did not wait: %+v (%v)", got.result, got.err)
	case <-time.After(time.Second):
	}
	if pods, _ := k.made(); pods != 1 {
		t.Errorf("%d pods were made while one is at work", pods)
	}
	close(k.released)
	judged(t, ends(t, same), v1alpha1.ResultSuccess, "", "")
	judged(t, ends(t, next), v1alpha1.ResultSuccess, "", "")
	if pods, doubled := k.made(); pods != 2 || doubled != 0 || k.most != 1 {
		t.Errorf("there were %d pods, %d double, %d at once; want 2, none, 1", pods, doubled, k.most)
	}
}

func TestTwoReplicasRunTheSameSlot(t *testing.T) {
	t.Parallel()
	ns := namespace(t, nil)
	k := play(t, ns)
	check := podCheck(t, ns, "slow", nil)
	var runs []<-chan ran
	for range 3 {
		runs = append(runs, start(t, ns, "", 0, false).begin(check, slot, time.Minute))
	}
	eventually(t, "a pod is made", func() bool { pods, _ := k.made(); return pods > 0 })
	close(k.released)
	for _, run := range runs {
		judged(t, ends(t, run), v1alpha1.ResultSuccess, "", "")
	}
	if pods, _ := k.made(); pods != 1 {
		t.Errorf("%d pods were made, want one", pods)
	}
}

func TestSomebodyTakesThePodAway(t *testing.T) {
	t.Parallel()
	cases := map[string]struct {
		take        func(t *testing.T, pod *corev1.Pod, check *v1alpha1.Check)
		wantReason  checkerpod.Reason
		wantMessage string
	}{
		"somebody deletes it": {
			func(t *testing.T, pod *corev1.Pod, _ *v1alpha1.Check) {
				if err := cluster.Delete(t.Context(), pod); err != nil {
					t.Fatal(err)
				}
			},
			checkerpod.PodDeleted, "was deleted before it had reported",
		},
		"the check is deleted, and the garbage collector takes it along": {
			func(t *testing.T, pod *corev1.Pod, check *v1alpha1.Check) {
				for _, object := range []client.Object{check, pod} {
					if err := cluster.Delete(t.Context(), object); err != nil {
						t.Fatal(err)
					}
				}
			},
			checkerpod.PodDeleted, "was deleted before it had reported",
		},
		"its node is short of memory": {
			func(t *testing.T, pod *corev1.Pod, _ *v1alpha1.Check) {
				before := pod.DeepCopy()
				pod.Status.Phase, pod.Status.Reason, pod.Status.Message = corev1.PodFailed, "Evicted", "The node was low on resource: memory."
				if err := cluster.Status().Patch(t.Context(), pod, client.MergeFrom(before)); err != nil {
					t.Fatal(err)
				}
			},
			checkerpod.PodEvicted, "was evicted from node worker-1: The node was low on resource: memory",
		},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			ns := namespace(t, nil)
			play(t, ns)
			check := podCheck(t, ns, "hang", nil)
			done := start(t, ns, "", 0, false).begin(check, slot, time.Minute)
			eventually(t, "the pod is at work", func() bool { pods := left(t, ns); return len(pods) == 1 && pods[0].Status.Phase == corev1.PodRunning })
			pod := left(t, ns)[0]
			tc.take(t, &pod, check.DeepCopy())
			judged(t, ends(t, done), v1alpha1.ResultUnknown, tc.wantReason, tc.wantMessage)
		})
	}
}

// TestFailedPodsAreKeptForAWhile sees that the newest one stays, and that those before it go.
func TestFailedPodsAreKeptForAWhile(t *testing.T) {
	t.Parallel()
	ns := namespace(t, nil)
	play(t, ns)
	check := podCheck(t, ns, "fail", nil)
	self := start(t, ns, "", 0, false)
	last := slot
	for i := range 3 {
		last = slot.Add(time.Duration(i) * time.Minute)
		judged(t, ends(t, self.begin(check, last, time.Minute)), v1alpha1.ResultFailure, checkerpod.ReportedFailure, "exit code 3")
		if err := self.Clear(t.Context(), check); err != nil {
			t.Fatal(err)
		}
	}
	eventually(t, "only the newest is left", func() bool {
		pods := left(t, ns)
		return len(pods) == 1 && pods[0].Name == podrun.PodName(check, last)
	})
}

// TestTheAPIServerDoesNotAnswer sees that nothing is begun or called a failure meanwhile, and that what is left is
// cleared up afterwards.
func TestTheAPIServerDoesNotAnswer(t *testing.T) {
	t.Parallel()
	ns := namespace(t, nil)
	k := play(t, ns)
	check := podCheck(t, ns, "hang", nil)
	self := start(t, ns, "", 0, false)
	self.wire.die = nil
	if _, err := self.Leftovers(t.Context(), check); err != nil {
		t.Fatal(err)
	}
	self.wire.cut.Store(true)
	judged(t, ends(t, self.begin(check, slot, time.Minute)), v1alpha1.ResultUnknown, podrun.Unreachable, "could not be reached")
	if pods, _ := k.made(); pods != 0 {
		t.Errorf("%d pods were made", pods)
	}

	self.wire.cut.Store(false)
	done := self.begin(check, slot, 3*time.Second)
	eventually(t, "the pod is at work", func() bool { pods := left(t, ns); return len(pods) == 1 && pods[0].Status.Phase == corev1.PodRunning })
	self.wire.cut.Store(true)
	judged(t, ends(t, done), v1alpha1.ResultUnknown, podrun.Unreachable, "could not be reached")

	self.wire.cut.Store(false)
	judged(t, ends(t, self.begin(check, slot.Add(time.Minute), 3*time.Second)), v1alpha1.ResultFailure, checkerpod.Deadline, "still at work")
	eventually(t, "nothing is left", func() bool { return len(left(t, ns)) == 0 })
	if k.most != 1 {
		t.Errorf("%d pods were at work at once", k.most)
	}
}

// TestAPodThatLosesItsLabel sees that a pod which the cache does not show any more is not taken for deleted.
func TestAPodThatLosesItsLabel(t *testing.T) {
	t.Parallel()
	ns := namespace(t, nil)
	play(t, ns)
	check := podCheck(t, ns, "hang", nil)
	done := start(t, ns, "", 0, false).begin(check, slot, 5*time.Second)
	eventually(t, "the pod is at work", func() bool { pods := left(t, ns); return len(pods) == 1 && pods[0].Status.Phase == corev1.PodRunning })
	pod := left(t, ns)[0]
	before := pod.DeepCopy()
	delete(pod.Labels, v1alpha1.LabelRunOf)
	if err := cluster.Patch(t.Context(), &pod, client.MergeFrom(before)); err != nil {
		t.Fatal(err)
	}
	judged(t, ends(t, done), v1alpha1.ResultFailure, checkerpod.Deadline, "still at work")
	eventually(t, "nothing is left", func() bool { return len(left(t, ns)) == 0 })
}

// TestWhatARunCosts counts the requests of a run that ends well, beside the watch that all share.
func TestWhatARunCosts(t *testing.T) {
	t.Parallel()
	cases := map[string]struct {
		check func(t *testing.T, ns string) *v1alpha1.Check
		want  int32
	}{
		"podTemplate": {func(t *testing.T, ns string) *v1alpha1.Check { return podCheck(t, ns, "ok", nil) }, 3},
		"synthetic": {func(t *testing.T, ns string) *v1alpha1.Check {
			return scenario(t, ns, v1alpha1.SyntheticAction{Scenario: "dns"})
		}, 2},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			ns := namespace(t, nil)
			play(t, ns)
			check := tc.check(t, ns)
			self := start(t, ns, "checker:ok", 0, false)
			const runs = 5
			for i := range runs {
				judged(t, ends(t, self.begin(check, slot.Add(time.Duration(i)*time.Minute), time.Minute)), v1alpha1.ResultSuccess, "", "")
				if err := self.Clear(t.Context(), check); err != nil {
					t.Fatal(err)
				}
				eventually(t, "the cache has heard of it", func() bool {
					runs, err := self.Leftovers(t.Context(), check)
					return err == nil && len(runs) == 0
				})
			}
			if got := self.wire.sent.Load(); got != runs*tc.want {
				t.Errorf("%d requests for %d runs, want %d for each", got, runs, tc.want)
			}
		})
	}
}

// TestPodsThatOnlyLookLikeARunsOwn sees that what somebody labels so is neither waited for nor deleted.
func TestPodsThatOnlyLookLikeARunsOwn(t *testing.T) {
	t.Parallel()
	ns := namespace(t, nil)
	play(t, ns)
	check := podCheck(t, ns, "ok", nil)
	for _, image := range []string{"ok", "hang"} {
		create(t, &corev1.Pod{
			ObjectMeta: metav1.ObjectMeta{Namespace: ns, Name: "forged-" + image, Labels: map[string]string{v1alpha1.LabelRunOf: string(check.UID)}},
			Spec:       corev1.PodSpec{Containers: []corev1.Container{{Name: "main", Image: image}}},
		})
	}
	eventually(t, "they are there", func() bool {
		return slices.ContainsFunc(left(t, ns), func(pod corev1.Pod) bool { return pod.Status.Phase == corev1.PodSucceeded })
	})
	self := start(t, ns, "", 0, false)
	judged(t, ends(t, self.begin(check, slot, time.Minute)), v1alpha1.ResultSuccess, "", "")
	if err := self.Clear(t.Context(), check); err != nil {
		t.Fatal(err)
	}
	eventually(t, "they alone are left", func() bool {
		pods := left(t, ns)
		return len(pods) == 2 && !slices.ContainsFunc(pods, func(pod corev1.Pod) bool {
			return !strings.HasPrefix(pod.Name, "forged-") || pod.DeletionTimestamp != nil
		})
	})
}
