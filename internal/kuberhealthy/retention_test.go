package kuberhealthy_test

import (
	"slices"
	"strconv"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/maek-dev/maek/internal/kuberhealthy"
)

// podThat was created some time before ten and ended after a minute; its name tells when.
func podThat(phase corev1.PodPhase, ago time.Duration) *corev1.Pod {
	created := ten.Add(-ago)
	pod := &corev1.Pod{
		ObjectMeta: metav1.ObjectMeta{Name: ago.String(), CreationTimestamp: metav1.NewTime(created)},
		Status:     corev1.PodStatus{Phase: phase},
	}
	if phase == corev1.PodSucceeded || phase == corev1.PodFailed {
		pod.Status.ContainerStatuses = []corev1.ContainerStatus{
			{State: corev1.ContainerState{Terminated: &corev1.ContainerStateTerminated{FinishedAt: metav1.NewTime(created.Add(time.Minute))}}},
			{State: corev1.ContainerState{Terminated: &corev1.ContainerStateTerminated{FinishedAt: metav1.NewTime(created)}}},
		}
	}
	return pod
}

func podsThat(phase corev1.PodPhase, ago ...time.Duration) []*corev1.Pod {
	var pods []*corev1.Pod
	for _, each := range ago {
		pods = append(pods, podThat(phase, each))
	}
	return pods
}

func TestWhichPodsGo(t *testing.T) {
	v2, v3 := kuberhealthy.DefaultRetentionV2(), kuberhealthy.DefaultRetentionV3()
	nothing := v2
	nothing.MaxCompleted, nothing.MaxFailed, nothing.MaxAge = 0, 0, 30*time.Second
	aged := v3
	aged.MaxAge = time.Hour
	const h = time.Hour
	evicted := podThat(corev1.PodFailed, 80*h)
	evicted.Status.ContainerStatuses = nil
	evicted.Status.Conditions = []corev1.PodCondition{{LastTransitionTime: metav1.NewTime(ten.Add(-75 * h))}}
	leaving := podThat(corev1.PodFailed, 80*h)
	leaving.DeletionTimestamp = new(metav1.NewTime(ten))
	tests := map[string]struct {
		retention kuberhealthy.Retention
		pods      []*corev1.Pod
		want      []string
		wantNext  time.Duration // after ten
	}{
		"version 2 keeps four good ones": {
			retention: v2, pods: podsThat(corev1.PodSucceeded, 1*h, 6*h, 3*h, 5*h, 2*h, 4*h),
			want: []string{"6h0m0s", "5h0m0s"}, wantNext: 68*h + time.Minute + 1,
		},
		"and four bad ones": {
			retention: v2,
			pods:      slices.Concat(podsThat(corev1.PodSucceeded, 1*h, 2*h, 3*h), podsThat(corev1.PodFailed, 1*h, 2*h, 3*h, 4*h, 5*h)),
			want:      []string{"5h0m0s"}, wantNext: 68*h + time.Minute + 1,
		},
		"for three days from their end": {
			retention: v2, pods: podsThat(corev1.PodSucceeded, 72*h+time.Minute, 72*h+time.Minute+1, 10*h),
			want: []string{"72h1m0.000000001s"}, wantNext: 1,
		},
		"none that ended less than half a minute ago": {
			retention: nothing, pods: podsThat(corev1.PodSucceeded, 89*time.Second, 90*time.Second, 91*time.Second),
			want: []string{"1m31s", "1m30s"}, wantNext: time.Second,
		},
		"young ones are not counted": {
			retention: v2, pods: podsThat(corev1.PodSucceeded, 80*time.Second, 85*time.Second, 1*h, 2*h, 3*h, 4*h),
			wantNext: 5 * time.Second,
		},
		"version 3 keeps one good and two bad": {
			retention: v3,
			pods:      slices.Concat(podsThat(corev1.PodSucceeded, 1*h, 2*h), podsThat(corev1.PodFailed, 3*h, 4*h, 5*h)),
			want:      []string{"5h0m0s", "2h0m0s"}, wantNext: 32*h + 1,
		},
		"bad ones for a day and a half": {retention: v3, pods: podsThat(corev1.PodFailed, 36*h, 36*h+1), want: []string{"36h0m0.000000001s"}, wantNext: 1},
		"or as long as is said":         {retention: aged, pods: podsThat(corev1.PodSucceeded, 59*time.Minute, 2*h), want: []string{"2h0m0s"}, wantNext: time.Minute + 1},
		"what has not ended stays": {
			retention: nothing,
			pods:      slices.Concat(podsThat(corev1.PodRunning, 100*h), podsThat(corev1.PodPending, 100*h), podsThat(corev1.PodUnknown, 100*h), podsThat("", 100*h)),
		},
		"what was evicted goes":           {retention: v2, pods: []*corev1.Pod{evicted}, want: []string{"80h0m0s"}},
		"what goes already is left alone": {retention: v2, pods: []*corev1.Pod{leaving}},
		"pods of one second go in order":  {retention: v3, pods: []*corev1.Pod{named("a", 1*h), named("c", 1*h), named("b", 1*h)}, want: []string{"a", "b"}},
		"no pods":                         {retention: v2},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			expired, next := kuberhealthy.Expired(tc.pods, tc.retention, ten)
			var got []string
			for _, pod := range expired {
				got = append(got, pod.Name)
			}
			if diff := cmp.Diff(tc.want, got); diff != "" {
				t.Errorf("expired (-want +got):\n%s", diff)
			}
			if want := ten.Add(tc.wantNext); tc.wantNext == 0 && !next.IsZero() || tc.wantNext != 0 && !next.Equal(want) {
				t.Errorf("next at %s, want %s", next, want)
			}
		})
	}
}

func named(name string, ago time.Duration) *corev1.Pod {
	pod := podThat(corev1.PodSucceeded, ago)
	pod.Name = name
	return pod
}

// Whoever sleeps until the next expiry and deletes what has expired then is never woken for nothing.
func TestNextExpiryIsOne(t *testing.T) {
	for _, retention := range []kuberhealthy.Retention{kuberhealthy.DefaultRetentionV2(), kuberhealthy.DefaultRetentionV3()} {
		var pods []*corev1.Pod
		for i := range 12 {
			phase := []corev1.PodPhase{corev1.PodSucceeded, corev1.PodFailed}[i%2]
			pods = append(pods, podThat(phase, time.Duration(i)*7*time.Hour))
			pods[i].Name = strconv.Itoa(i)
		}
		now, woken := ten, 0
		for range 100 {
			expired, next := kuberhealthy.Expired(pods, retention, now)
			pods = slices.DeleteFunc(pods, func(pod *corev1.Pod) bool { return slices.Contains(expired, pod) })
			if next.IsZero() {
				break
			}
			if !next.After(now) {
				t.Fatalf("at %s the next expiry is %s", now, next)
			}
			now = next
			woken++
		}
		if woken > 12 {
			t.Errorf("woken %d times for 12 pods", woken)
		}
	}
}

func TestWhenJobsGo(t *testing.T) {
	tests := map[string]struct {
		change func(*kuberhealthy.Check)
		max    time.Duration
		ended  time.Duration
		want   time.Duration
	}{
		"a quarter of an hour after they were made": {max: 15 * time.Minute, ended: time.Minute, want: 15 * time.Minute},
		"never in less than five minutes":           {max: time.Second, want: 5 * time.Minute},
		"nor before anybody has seen the result":    {max: 15 * time.Minute, ended: 14 * time.Minute, want: 19 * time.Minute},
		"not before they are done":                  {max: time.Minute, change: func(c *kuberhealthy.Check) { c.Done = false }},
		"checks do not":                             {max: time.Minute, change: func(c *kuberhealthy.Check) { c.Kind = kuberhealthy.KindCheck }},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			job := kuberhealthy.Check{Kind: kuberhealthy.KindJob, Once: true, Done: true, CreatedAt: ten}
			if tc.change != nil {
				tc.change(&job)
			}
			state := kuberhealthy.State{Ended: tc.ended != 0, EndedAt: ten.Add(tc.ended)}
			got, due := kuberhealthy.Retention{MaxJobAge: tc.max}.JobExpiry(job, state)
			if due != (tc.want != 0) || due && !got.Equal(ten.Add(tc.want)) {
				t.Errorf("got %s, %t; want %s", got, due, ten.Add(tc.want))
			}
		})
	}
}
