package probe

import (
	"reflect"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/maek-dev/maek/internal/finding"
	"github.com/maek-dev/maek/internal/probe"
)

var moment = time.Date(2026, 3, 2, 2, 20, 0, 0, time.UTC)

func watchedPod(change func(*corev1.Pod)) *corev1.Pod {
	p := &corev1.Pod{
		ObjectMeta: metav1.ObjectMeta{Namespace: "shop", Name: "web", UID: "u1"},
		Spec: corev1.PodSpec{Containers: []corev1.Container{{
			Name: "app", StartupProbe: &corev1.Probe{}, ReadinessProbe: &corev1.Probe{PeriodSeconds: 5, FailureThreshold: 2},
		}}},
		Status: corev1.PodStatus{ContainerStatuses: []corev1.ContainerStatus{{Name: "app", Ready: true, Started: new(true)}}},
	}
	if change != nil {
		change(p)
	}
	return p
}

func failure(count int, after time.Duration) *corev1.Event {
	return &corev1.Event{
		ObjectMeta:     metav1.ObjectMeta{Namespace: "shop", Name: "e"},
		InvolvedObject: corev1.ObjectReference{Kind: "Pod", Namespace: "shop", Name: "web", UID: "u1", FieldPath: "spec.containers{app}"},
		Reason:         probe.ReasonUnhealthy, Message: "Readiness probe failed: HTTP probe failed with statuscode: 500",
		Count: int32(count), LastTimestamp: metav1.NewTime(moment.Add(after)),
	}
}

// TestRowsOfFailures holds that failures are counted up to their threshold and told more seldom beyond it, anew after a gap in which one must have
// succeeded, and anew for a new container.
func TestRowsOfFailures(t *testing.T) {
	l := timeline{runs: map[key]run{}}
	at := view{pods: map[string]*corev1.Pod{"web": watchedPod(nil)}}
	var got []string
	see := func(e *corev1.Event) {
		next := at
		next.events = map[string]*corev1.Event{"e": e}
		for _, one := range l.add(at, next, nil, moment) {
			got = append(got, one.text.EN)
		}
		at = next
	}
	see(failure(1, 0))
	see(failure(1, 0))
	see(failure(2, 5*time.Second))
	see(failure(4, 10*time.Second))
	see(failure(5, 15*time.Second)) // as the one before, and not twice as many
	see(failure(6, time.Minute))
	other := failure(7, 65*time.Second)
	other.InvolvedObject.UID = "earlier"
	see(other)
	see(failure(8, 2*time.Minute))
	see(failure(10, 125*time.Second)) // the second and the third of the row in one
	restarted := at
	restarted.pods = map[string]*corev1.Pod{"web": watchedPod(func(p *corev1.Pod) { p.Status.ContainerStatuses[0].RestartCount = 1 })}
	for _, one := range l.add(at, restarted, nil, moment) {
		got = append(got, one.text.EN)
	}
	at = restarted
	see(failure(11, 130*time.Second))
	want := []string{
		`readiness probe of app failed 1/2: "HTTP probe failed with statuscode: 500"`,
		`readiness probe of app failed 2/2: "HTTP probe failed with statuscode: 500"`,
		`readiness probe of app failed, 4 times in a row: "HTTP probe failed with statuscode: 500"`,
		`readiness probe of app failed 1/2: "HTTP probe failed with statuscode: 500"`,
		`readiness probe of app failed 1/2: "HTTP probe failed with statuscode: 500"`,
		`readiness probe of app failed 2/2: "HTTP probe failed with statuscode: 500"`,
		`container app was restarted (restart 1)`,
		`readiness probe of app failed 1/2: "HTTP probe failed with statuscode: 500"`,
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("told (-want +got):\n%s", diff)
	}
}

// TestARowThatBeganBefore holds that nobody is told a first failure that was none.
func TestARowThatBeganBefore(t *testing.T) {
	l := timeline{runs: map[key]run{}}
	at := view{pods: map[string]*corev1.Pod{"web": watchedPod(nil)}, events: map[string]*corev1.Event{"e": failure(7, 0)}}
	var got []string
	for i, after := range []time.Duration{5 * time.Second, 10 * time.Second, 15 * time.Second, time.Minute} {
		next := at
		next.events = map[string]*corev1.Event{"e": failure(8+i, after)}
		for _, one := range l.add(at, next, nil, moment) {
			got = append(got, one.text.EN)
		}
		at = next
	}
	want := []string{
		`readiness probe of app failed again, as before this watch began: "HTTP probe failed with statuscode: 500"`,
		`readiness probe of app failed again, as before this watch began: "HTTP probe failed with statuscode: 500"`,
		`readiness probe of app failed 1/2: "HTTP probe failed with statuscode: 500"`,
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("told (-want +got):\n%s", diff)
	}
}

func TestWhatHappensToAPod(t *testing.T) {
	status := func(change func(*corev1.ContainerStatus)) *corev1.Pod {
		return watchedPod(func(p *corev1.Pod) { change(&p.Status.ContainerStatuses[0]) })
	}
	for name, tc := range map[string]struct {
		before, after *corev1.Pod
		want          []string
	}{
		"nothing":    {before: watchedPod(nil), after: watchedPod(nil)},
		"it appears": {after: watchedPod(nil), want: []string{"the pod appeared"}},
		"it is gone": {before: watchedPod(nil), want: []string{"the pod is gone"}},
		"it is being deleted": {
			before: watchedPod(nil), after: watchedPod(func(p *corev1.Pod) { p.DeletionTimestamp = new(metav1.NewTime(moment)) }),
			want: []string{"the pod is being deleted"},
		},
		"a container has started": {
			before: status(func(s *corev1.ContainerStatus) { s.Started, s.Ready = new(false), false }), after: watchedPod(nil),
			want: []string{"container app has started: its startup probe succeeded", "container app is ready"},
		},
		"a container ends and waits": {
			before: status(func(s *corev1.ContainerStatus) { s.State.Terminated = &corev1.ContainerStateTerminated{ExitCode: 137} }),
			after: status(func(s *corev1.ContainerStatus) {
				s.State.Waiting = &corev1.ContainerStateWaiting{Reason: reasonBackOff}
			}),
			want: []string{"container app waits before it is started again (CrashLoopBackOff)"},
		},
	} {
		t.Run(name, func(t *testing.T) {
			l := timeline{runs: map[key]run{}}
			var got []string
			for _, e := range l.podChanged(tc.before, tc.after, moment) {
				got = append(got, e.text.EN)
			}
			if diff := cmp.Diff(tc.want, got); diff != "" {
				t.Errorf("told (-want +got):\n%s", diff)
			}
		})
	}
}

// TestADualStackPodIsOneEndpoint holds that who is left in a Service is counted by pods and not by addresses.
func TestADualStackPodIsOneEndpoint(t *testing.T) {
	in := func(pod string, ready bool) discoveryv1.Endpoint {
		return discoveryv1.Endpoint{TargetRef: &corev1.ObjectReference{Kind: "Pod", Name: pod}, Conditions: discoveryv1.EndpointConditions{Ready: new(ready)}}
	}
	of := func(ready bool) view {
		v := view{pods: map[string]*corev1.Pod{"web": watchedPod(nil)}, slices: map[string]*discoveryv1.EndpointSlice{}}
		for _, name := range []string{"v4", "v6"} {
			v.slices[name] = &discoveryv1.EndpointSlice{
				ObjectMeta: metav1.ObjectMeta{Namespace: "shop", Name: name, Labels: map[string]string{discoveryv1.LabelServiceName: "web"}},
				Endpoints:  []discoveryv1.Endpoint{in("web", ready), in("other", true)},
			}
		}
		return v
	}
	l := timeline{runs: map[key]run{}}
	fresh := append(l.add(of(true), of(false), nil, moment), l.add(of(false), of(true), nil, moment)...)
	var got []string
	for _, e := range fresh {
		got = append(got, e.text.EN)
	}
	if diff := cmp.Diff([]string{"out of Service web; ready endpoints left: 1 (other)", "back in Service web"}, got); diff != "" {
		t.Errorf("told (-want +got):\n%s", diff)
	}
}

// A StatefulSet's pod comes back under its name: what its predecessor did is not its own.
func TestAnotherPodOfTheSameNameBeginsAnew(t *testing.T) {
	l := timeline{runs: map[key]run{}}
	was := view{pods: map[string]*corev1.Pod{"web": watchedPod(nil)}, events: map[string]*corev1.Event{"e": failure(1, 0)}}
	l.add(view{pods: was.pods}, was, nil, moment)
	is := was
	is.pods = map[string]*corev1.Pod{"web": watchedPod(func(p *corev1.Pod) {
		p.UID = "u2"
		p.Status.ContainerStatuses[0].Ready = false
	})}
	var got []string
	for _, e := range l.add(was, is, nil, moment) {
		got = append(got, e.text.EN)
	}
	if diff := cmp.Diff([]string{"the pod is another one of the same name"}, got); diff != "" {
		t.Errorf("-want +got:\n%s", diff)
	}
	if len(l.runs) != 0 {
		t.Errorf("failures of the one before are kept: %v", l.runs)
	}
}

func TestNothingIsKeptOfPodsThatAreGone(t *testing.T) {
	l := timeline{runs: map[key]run{}}
	v := view{pods: map[string]*corev1.Pod{"web": watchedPod(nil)}, events: map[string]*corev1.Event{"e": failure(1, 0)}}
	l.add(view{pods: v.pods}, v, nil, moment)
	if len(l.runs) != 1 {
		t.Fatalf("a failure is not counted: %v", l.runs)
	}
	l.add(v, view{}, nil, moment)
	if len(l.runs) != 0 {
		t.Errorf("kept: %v", l.runs)
	}
	for range 2 * entriesKept {
		l.add(view{}, v, nil, moment)
	}
	if len(l.entries) != entriesKept {
		t.Errorf("%d entries are kept", len(l.entries))
	}
}

// An object that was altered and had not been listed was there all the time.
func TestWhatWasNotListedIsNoNews(t *testing.T) {
	w := &watching{listed: map[reflect.Type]bool{}, refused: map[reflect.Type]finding.Text{}, interrupted: map[reflect.Type]finding.Text{}, timeline: timeline{runs: map[key]run{}}}
	list := &corev1.PodList{}
	before := w.take(w.view, change{list: list, kind: reflect.TypeOf(list)})
	before = w.take(before, change{object: watchedPod(nil), altered: true})
	if got := w.timeline.add(before, w.view, nil, moment); len(got) != 0 {
		t.Errorf("told: %v", got)
	}
	other := watchedPod(func(p *corev1.Pod) { p.Name = "db" })
	if got := w.timeline.add(w.take(w.view, change{object: other}), w.view, nil, moment); len(got) != 1 {
		t.Errorf("of a new pod is told: %v", got)
	}
}
