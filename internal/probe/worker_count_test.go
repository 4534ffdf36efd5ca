package probe_test

import (
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"

	"github.com/maek-dev/maek/internal/probe"
)

// verdicts by the letter that stands for them in tests.
var verdicts = map[rune]probe.Verdict{
	's': {Result: probe.Success},
	'w': {Result: probe.Warning, Message: "odd"},
	'f': {Result: probe.Failure, Message: "no"},
	'u': {Result: probe.Unknown},
	'd': {Result: probe.Failure, Message: "half", Discarded: true},
}

// play answers each attempt that a worker makes with the next verdict, a period apart, and gives its
// last state, how often it asked, and the actions that were more than asking.
func play(t *testing.T, worker probe.Worker, status *corev1.PodStatus, answers string) (state probe.State, asked int, told []probe.Action) {
	t.Helper()
	now := begin
	note := func(action probe.Action) {
		if action.Probe {
			asked++
		}
		action.Probe, action.Why = false, ""
		if action != (probe.Action{}) {
			told = append(told, action)
		}
	}
	for _, letter := range answers {
		var action probe.Action
		if !state.Asking() {
			state, action = worker.Step(state, probe.Input{At: now, Status: status})
			note(action)
		}
		if !state.Asking() {
			t.Fatalf("it does not ask at %v: %s", now.Sub(begin), action.Why)
		}
		verdict := verdicts[letter]
		state, action = worker.Step(state, probe.Input{At: now, Status: status, Verdict: &verdict})
		note(action)
		if !state.Asking() {
			now = state.NextTick
		}
	}
	return state, asked, told
}

func TestHowAWorkerCounts(t *testing.T) {
	unhealthy := func(kind probe.Kind) *probe.Event {
		return &probe.Event{Reason: "Unhealthy", Message: string(kind) + " probe failed: no"}
	}
	errored := &probe.Event{Reason: "Unhealthy", Message: "Liveness probe errored and resulted in failure state: half"}
	met := probe.Action{Changed: true}
	tests := map[string]struct {
		kind       probe.Kind
		answers    string
		want       []probe.Action
		wantCached probe.Result
		wantAsked  int
		wantHold   bool
	}{
		"two failures are not enough to kill": {
			kind: probe.Liveness, answers: "sff", wantAsked: 3, wantCached: probe.Success,
			want: []probe.Action{met, {Event: unhealthy(probe.Liveness)}, {Event: unhealthy(probe.Liveness)}},
		},
		"the third kills": {
			kind: probe.Liveness, answers: "fff", wantAsked: 3, wantCached: probe.Failure, wantHold: true,
			want: []probe.Action{met, {Event: unhealthy(probe.Liveness)}, {Event: unhealthy(probe.Liveness)}, {Event: unhealthy(probe.Liveness), Changed: true, Kill: true}},
		},
		"a success between begins the count anew": {
			kind: probe.Liveness, answers: "ffsff", wantAsked: 5, wantCached: probe.Success,
			want: []probe.Action{met, {Event: unhealthy(probe.Liveness)}, {Event: unhealthy(probe.Liveness)}, {Event: unhealthy(probe.Liveness)}, {Event: unhealthy(probe.Liveness)}},
		},
		"a warning is a success": {
			kind: probe.Liveness, answers: "ffwff", wantAsked: 5, wantCached: probe.Success,
			want: []probe.Action{
				met,
				{Event: unhealthy(probe.Liveness)},
				{Event: unhealthy(probe.Liveness)},
				{Event: &probe.Event{Reason: "ProbeWarning", Message: "Liveness probe warning: odd"}},
				{Event: unhealthy(probe.Liveness)},
				{Event: unhealthy(probe.Liveness)},
			},
		},
		"what is discarded is asked three times, told once and counts for nothing": {
			kind: probe.Liveness, answers: "ddddddddd", wantAsked: 9, wantCached: probe.Success,
			want: []probe.Action{met, {Event: errored}, {Event: errored}, {Event: errored}},
		},
		"what is discarded does not end a row of failures": {
			kind: probe.Liveness, answers: "ffdddf", wantAsked: 6, wantCached: probe.Failure, wantHold: true,
			want: []probe.Action{met, {Event: unhealthy(probe.Liveness)}, {Event: unhealthy(probe.Liveness)}, {Event: errored}, {Event: unhealthy(probe.Liveness), Changed: true, Kill: true}},
		},
		"an answer at the second attempt counts": {
			kind: probe.Liveness, answers: "dfdfdf", wantAsked: 6, wantCached: probe.Failure, wantHold: true,
			want: []probe.Action{met, {Event: unhealthy(probe.Liveness)}, {Event: unhealthy(probe.Liveness)}, {Event: unhealthy(probe.Liveness), Changed: true, Kill: true}},
		},
		"unknown without an error is a silent failure": {
			kind: probe.Liveness, answers: "uuu", wantAsked: 3, wantCached: probe.Failure, wantHold: true,
			want: []probe.Action{met, {Changed: true, Kill: true}},
		},
		"readiness takes two successes": {
			kind: probe.Readiness, answers: "sfss", wantAsked: 4, wantCached: probe.Success,
			want: []probe.Action{met, {Event: unhealthy(probe.Readiness)}, {Changed: true}},
		},
		"readiness goes by three failures, and goes on asking": {
			kind: probe.Readiness, answers: "ssffff", wantAsked: 6, wantCached: probe.Failure,
			want: []probe.Action{
				met,
				{Changed: true},
				{Event: unhealthy(probe.Readiness)},
				{Event: unhealthy(probe.Readiness)},
				{Event: unhealthy(probe.Readiness), Changed: true},
				{Event: unhealthy(probe.Readiness)},
			},
		},
		"startup is over by one success": {
			kind: probe.Startup, answers: "ffs", wantAsked: 3, wantCached: probe.Success, wantHold: true,
			want: []probe.Action{met, {Event: unhealthy(probe.Startup)}, {Event: unhealthy(probe.Startup)}, {Changed: true}},
		},
		"startup kills": {
			kind: probe.Startup, answers: "fff", wantAsked: 3, wantCached: probe.Failure, wantHold: true,
			want: []probe.Action{met, {Event: unhealthy(probe.Startup)}, {Event: unhealthy(probe.Startup)}, {Event: unhealthy(probe.Startup), Changed: true, Kill: true}},
		},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			status := pod(nil)
			if tc.kind == probe.Startup {
				status = pod(unstarted)
			}
			state, asked, told := play(t, asks(tc.kind), status, tc.answers)
			if diff := cmp.Diff(tc.want, told); diff != "" {
				t.Errorf("what it wanted (-want +got):\n%s", diff)
			}
			if state.Cached != tc.wantCached || asked != tc.wantAsked || state.OnHold != tc.wantHold {
				t.Errorf("believed %q after %d attempts, on hold %t; want %q after %d, %t", state.Cached, asked, state.OnHold, tc.wantCached, tc.wantAsked, tc.wantHold)
			}
		})
	}
}

func TestARowOfSuccessesOutlivesTheContainer(t *testing.T) {
	worker := asks(probe.Readiness)
	state, _, _ := play(t, worker, pod(nil), "ssss")
	next := pod(func(_ *corev1.PodStatus, c *corev1.ContainerStatus) { c.ContainerID = "containerd://2" })
	state, action := worker.Step(state, probe.Input{At: state.NextTick, Status: next})
	if state.Cached != probe.Failure || !action.Probe {
		t.Fatalf("a new container is believed %q, asked %t", state.Cached, action.Probe)
	}
	state, _ = worker.Step(state, probe.Input{At: state.NextTick.Add(-9 * time.Second), Status: next, Verdict: &probe.Verdict{Result: probe.Success}})
	if state.Cached != probe.Success {
		t.Errorf("after one success of the new container it is believed %q: the kubelet counts those of the one before", state.Cached)
	}
}

func TestEveryContainerHasAllItsFailures(t *testing.T) {
	worker := asks(probe.Liveness)
	state, _, _ := play(t, worker, pod(nil), "fff")
	if !state.OnHold {
		t.Fatal("three failures do not hold it")
	}
	next := pod(func(_ *corev1.PodStatus, c *corev1.ContainerStatus) { c.ContainerID = "containerd://2" })
	for failures := 1; failures <= 3; failures++ {
		now := state.NextTick
		state, _ = worker.Step(state, probe.Input{At: now, Status: next})
		var action probe.Action
		state, action = worker.Step(state, probe.Input{At: now, Status: next, Verdict: &probe.Verdict{Result: probe.Failure}})
		if want := failures == 3; action.Kill != want {
			t.Errorf("after %d failures of the second container it is killed: %t, want %t", failures, action.Kill, want)
		}
	}
}

func TestASyncMakesAReadyWorkerLookAtANewContainer(t *testing.T) {
	worker := asks(probe.Readiness)
	state, _, _ := play(t, worker, pod(nil), "ss")
	next := pod(func(_ *corev1.PodStatus, c *corev1.ContainerStatus) { c.ContainerID = "containerd://2" })
	state, action := worker.Step(state, probe.Input{At: state.NextTick.Add(-time.Second), Status: next, Synced: true})
	if !action.Probe || state.Cached != probe.Failure {
		t.Errorf("it asks: %t, and believes %q", action.Probe, state.Cached)
	}
}

func TestWhenAWorkerLooks(t *testing.T) {
	success := &probe.Verdict{Result: probe.Success}
	failure := &probe.Verdict{Result: probe.Failure}
	// told is what happens at a second after the begin; at each, the worker asks or does not.
	type told struct {
		at   float64
		in   probe.Input
		asks bool
	}
	tests := map[string]struct {
		kind probe.Kind
		told []told
	}{
		"at its ticks": {probe.Liveness, []told{{0, probe.Input{}, true}, {1, probe.Input{Verdict: success}, false}, {9.9, probe.Input{}, false}, {10, probe.Input{}, true}}},
		"at once after an attempt that took longer than the period, and then at its ticks": {probe.Liveness, []told{
			{0, probe.Input{}, true}, {25, probe.Input{Verdict: success}, true}, {26, probe.Input{Verdict: success}, false}, {29.9, probe.Input{}, false}, {30, probe.Input{}, true},
		}},
		"liveness not at a sync": {probe.Liveness, []told{{0, probe.Input{}, true}, {1, probe.Input{Verdict: failure}, false}, {2, probe.Input{Synced: true}, false}}},
		"readiness at a sync while it is not ready, and a period after that": {probe.Readiness, []told{
			{0, probe.Input{}, true},
			{1, probe.Input{Verdict: failure}, false},
			{2, probe.Input{Synced: true}, true},
			{3, probe.Input{Verdict: failure}, false},
			{10, probe.Input{}, false},
			{12, probe.Input{}, true},
		}},
		"readiness after the attempt during which there was a sync": {probe.Readiness, []told{
			{0, probe.Input{}, true}, {1, probe.Input{Synced: true}, false}, {2, probe.Input{Verdict: failure}, true}, {3, probe.Input{Verdict: failure}, false}, {12, probe.Input{}, true},
		}},
		"readiness once, where a sync and a tick wait for the end of an attempt": {probe.Readiness, []told{
			{0, probe.Input{}, true},
			{1, probe.Input{Synced: true}, false},
			{12, probe.Input{Verdict: failure}, true},
			{13, probe.Input{Verdict: failure}, false},
			{20, probe.Input{}, false},
			{22, probe.Input{}, true},
		}},
		"readiness not at a sync once it is ready": {probe.Readiness, []told{
			{0, probe.Input{}, true}, {1, probe.Input{Verdict: success}, false}, {10, probe.Input{}, true}, {11, probe.Input{Verdict: success}, false}, {12, probe.Input{Synced: true}, false},
		}},
		"no more once it is stopped, not even for what was missed": {probe.Liveness, []told{
			{0, probe.Input{}, true}, {11, probe.Input{Stop: true}, false}, {12, probe.Input{Verdict: failure}, false}, {20, probe.Input{}, false},
		}},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			worker := asks(tc.kind)
			var state probe.State
			for _, told := range tc.told {
				told.in.At = begin.Add(time.Duration(told.at * float64(time.Second)))
				told.in.Status = pod(nil)
				var action probe.Action
				state, action = worker.Step(state, told.in)
				if action.Probe != told.asks {
					t.Fatalf("at %v s it asks: %t, want %t", told.at, action.Probe, told.asks)
				}
			}
		})
	}
}

func TestJitterOnlySoonAfterTheKubeletsStart(t *testing.T) {
	tests := map[string]struct {
		up   time.Duration
		want time.Duration
	}{
		"the kubelet has just started":         {0, 2500 * time.Millisecond},
		"it started less than a period ago":    {9 * time.Second, 2500 * time.Millisecond},
		"it started a period ago":              {10 * time.Second, 0},
		"it has been running for a long while": {time.Hour, 0},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			worker := asks(probe.Liveness)
			worker.KubeletStart = begin.Add(-tc.up)
			if got := worker.Start(begin, 0.25).NextTick; !got.Equal(begin.Add(tc.want)) {
				t.Errorf("looks first after %v, want %v", got.Sub(begin), tc.want)
			}
		})
	}
}
