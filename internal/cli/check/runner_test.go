package check

import (
	"strconv"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	corev1 "k8s.io/api/core/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"sigs.k8s.io/controller-runtime/pkg/client/fake"

	"github.com/maek-dev/maek/internal/synthetic"
)

func TestPodsThatNeverEndAreLeftInTime(t *testing.T) {
	pulling := corev1.PodStatus{Phase: corev1.PodPending, ContainerStatuses: []corev1.ContainerStatus{{
		Name: "checker", State: corev1.ContainerState{Waiting: &corev1.ContainerStateWaiting{Reason: "ImagePullBackOff", Message: "not found"}},
	}}}
	for name, tc := range map[string]struct {
		status  corev1.PodStatus
		timeout time.Duration
		within  time.Duration
		want    string
	}{
		"an image that cannot be pulled":    {status: pulling, within: 2 * time.Minute, want: "its pod did not start within 2m0s: it "},
		"a check that hangs":                {status: corev1.PodStatus{Phase: corev1.PodRunning}, within: 12 * time.Minute, want: "its pod did not end in time: it "},
		"a check that hangs, and --timeout": {status: corev1.PodStatus{Phase: corev1.PodRunning}, timeout: time.Minute, within: 3 * time.Minute, want: "its pod did not end in time: it "},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				scheme := runtime.NewScheme()
				for _, add := range []func(*runtime.Scheme) error{corev1.AddToScheme, rbacv1.AddToScheme} {
					if err := add(scheme); err != nil {
						t.Fatal(err)
					}
				}
				pod := &corev1.Pod{ObjectMeta: metav1.ObjectMeta{Namespace: "maek-check-1", Name: "x-0"}, Spec: corev1.PodSpec{NodeName: "w1"}, Status: tc.status}
				r := &runner{
					client: fake.NewClientBuilder().WithScheme(scheme).WithObjects(pod).Build(), timeout: tc.timeout,
					namespace: &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: "maek-check-1"}},
				}
				begun := time.Now() //nolint:forbidigo // the bubble's
				got := r.watch(t.Context(), pod, task{scenario: synthetic.Scenario{Name: "x", Time: 10 * time.Minute}}, result{Name: "x", Result: unknown})
				took := time.Since(begun) //nolint:forbidigo // the bubble's
				if got.Result != unknown || !strings.HasPrefix(got.Reason, tc.want) {
					t.Errorf("result %+v, want unknown for %q", got, tc.want)
				}
				if took < tc.within || took > tc.within+5*time.Second {
					t.Errorf("left after %v, want %v", took, tc.within)
				}
			})
		})
	}
}

// TestALifeIsLongEnough holds that no namespace is taken for a killed run's while its checks go on, however
// few run at once and in whatever order they end.
func TestALifeIsLongEnough(t *testing.T) {
	times := []time.Duration{time.Minute, 15 * time.Minute, 2 * time.Minute, 25 * time.Minute, 5 * time.Minute}
	var tasks []task
	for i, d := range times {
		tasks = append(tasks, task{title: strconv.Itoa(i), scenario: synthetic.Scenario{Time: d}})
	}
	r := &runner{}
	for parallel := 1; parallel <= 8; parallel++ {
		// Each takes all the time that it may; whichever worker is free first takes the next.
		free := make([]time.Duration, parallel)
		var end time.Duration
		for _, each := range tasks {
			first := 0
			for i := range free {
				if free[i] < free[first] {
					first = i
				}
			}
			free[first] += startTime + r.most(each)
			end = max(end, free[first])
		}
		if life := r.life(tasks, parallel); life < end+cleanTime || life > 3*(end+cleanTime) {
			t.Errorf("%d at once: a life of %v for %v of checks", parallel, life, end)
		}
	}
}
