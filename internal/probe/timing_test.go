package probe_test

import (
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/maek-dev/maek/internal/probe"
)

const second = time.Second

func span(least, most time.Duration) probe.Span { return probe.Span{Least: least, Most: most} }

func TestTimingTakesTheDefaultsOfTheAPIServer(t *testing.T) {
	want := probe.Timing{Kind: probe.Liveness, Period: 10 * second, Timeout: second, FailureThreshold: 3, SuccessThreshold: 1}
	if diff := cmp.Diff(want, probe.TimingOf(probe.Liveness, &corev1.Probe{})); diff != "" {
		t.Errorf("-want +got:\n%s", diff)
	}
	want = probe.Timing{Kind: probe.Readiness, InitialDelay: 4 * second, Period: 5 * second, Timeout: 6 * second, FailureThreshold: 7, SuccessThreshold: 8}
	got := probe.TimingOf(probe.Readiness, &corev1.Probe{InitialDelaySeconds: 4, PeriodSeconds: 5, TimeoutSeconds: 6, FailureThreshold: 7, SuccessThreshold: 8})
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("-want +got:\n%s", diff)
	}
}

func TestSpansOfTiming(t *testing.T) {
	usual := probe.Timing{Kind: probe.Liveness, InitialDelay: 5 * second, Period: 10 * second, Timeout: second, FailureThreshold: 3, SuccessThreshold: 1}
	slow := usual
	slow.Timeout = 15 * second
	once := usual
	once.FailureThreshold = 1
	ready := probe.Timing{Kind: probe.Readiness, Period: 5 * second, Timeout: 2 * second, FailureThreshold: 3, SuccessThreshold: 4}
	tests := map[string]struct{ got, want probe.Span }{
		"the first attempt is at a tick after the delay":             {usual.FirstAttempt(), span(5*second, 15*second)},
		"a refused connection is detected by the third attempt":      {usual.Detection(0), span(20*second, 30*second)},
		"a hang is detected a timeout later":                         {usual.Detection(second), span(21*second, 31*second)},
		"an attempt takes no longer than its timeout":                {usual.Detection(time.Minute), span(21*second, 31*second)},
		"attempts that outlast the period follow each other at once": {slow.Detection(15 * second), span(45*second, 55*second)},
		"a threshold of one acts at the next tick":                   {once.Detection(0), span(0, 10*second)},
		"a slow starter is killed by the third attempt":              {usual.StartupBudget(0), span(25*second, 35*second)},
		"a slow starter that hangs has a timeout more":               {usual.StartupBudget(second), span(26*second, 36*second)},
		"one success is enough to be back":                           {usual.Recovery(0), span(0, 10*second)},
		"four successes take three periods more":                     {ready.Recovery(100 * time.Millisecond), span(15*second+100*time.Millisecond, 20*second+100*time.Millisecond)},
		"the first restart waits for nothing but the container":      {usual.Restart(0, 30*second, 0), span(20*second, 60*second)},
		"the third restart waits for the back-off too":               {usual.Restart(0, 30*second, 2), span(40*second, 80*second)},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			if diff := cmp.Diff(tc.want, tc.got); diff != "" {
				t.Errorf("-want +got:\n%s", diff)
			}
		})
	}
}

// TestDetectionHoldsForTheWorker asks the worker itself how long it takes, wherever in its period the
// target dies.
func TestDetectionHoldsForTheWorker(t *testing.T) {
	tests := map[string]struct {
		failing time.Duration
		change  func(*corev1.Probe)
	}{
		"refused":                     {},
		"hanging":                     {failing: second},
		"hanging longer than periods": {failing: 15 * second, change: func(p *corev1.Probe) { p.TimeoutSeconds = 15 }},
		"a single failure":            {failing: second, change: func(p *corev1.Probe) { p.FailureThreshold = 1 }},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			worker := asks(probe.Liveness)
			if tc.change != nil {
				tc.change(worker.Container.LivenessProbe)
			}
			want := probe.TimingOf(probe.Liveness, worker.Container.LivenessProbe).Detection(tc.failing)
			least, most := time.Hour, time.Duration(0)
			for dies := time.Millisecond; dies < 10*second; dies += 250 * time.Millisecond {
				took := killedAfter(t, worker, begin.Add(dies), tc.failing)
				least, most = min(least, took), max(most, took)
			}
			if least < want.Least || most > want.Most {
				t.Errorf("took %v to %v, outside of %v to %v", least, most, want.Least, want.Most)
			}
			if least > want.Least+second || most < want.Most-second {
				t.Errorf("took %v to %v: %v to %v is too wide", least, most, want.Least, want.Most)
			}
		})
	}
}

// killedAfter is how long after its death a target's container is killed.
func killedAfter(t *testing.T, worker probe.Worker, dead time.Time, failing time.Duration) time.Duration {
	t.Helper()
	var state probe.State
	now := begin
	for range 100 {
		in := probe.Input{At: now, Status: pod(nil)}
		if state.Asking() {
			in.Verdict = &probe.Verdict{Result: probe.Success}
			if now.Add(-failing).After(dead) {
				in.Verdict.Result = probe.Failure
			}
		}
		var action probe.Action
		state, action = worker.Step(state, in)
		switch {
		case action.Kill:
			return now.Sub(dead)
		case action.Probe && now.After(dead):
			now = now.Add(failing)
		case !action.Probe:
			now = state.NextTick
		}
	}
	t.Fatal("the container is not killed")
	return 0
}

// TestStartupBudgetHoldsForTheWorker does the same for a container that never answers, whenever it
// starts between two ticks.
func TestStartupBudgetHoldsForTheWorker(t *testing.T) {
	for _, failing := range []time.Duration{0, second} {
		worker := asks(probe.Startup)
		want := probe.TimingOf(probe.Startup, worker.Container.StartupProbe).StartupBudget(failing)
		least, most := time.Hour, time.Duration(0)
		for starts := time.Duration(0); starts < 10*second; starts += 250 * time.Millisecond {
			started := begin.Add(starts)
			status := pod(func(_ *corev1.PodStatus, c *corev1.ContainerStatus) {
				c.Started = new(false)
				c.State.Running.StartedAt = metav1.NewTime(started)
			})
			// The worker begins while there is no container yet.
			state, action := worker.Step(probe.State{}, probe.Input{At: begin})
			for !action.Kill {
				at := state.NextTick
				if state, action = worker.Step(state, probe.Input{At: at, Status: status}); action.Probe {
					at = at.Add(failing)
					state, action = worker.Step(state, probe.Input{At: at, Status: status, Verdict: &probe.Verdict{Result: probe.Failure}})
				}
				if action.Kill {
					took := at.Sub(started)
					least, most = min(least, took), max(most, took)
				}
			}
		}
		if least < want.Least || most > want.Most || least > want.Least+second || most < want.Most-second {
			t.Errorf("failing in %v took %v to %v, the budget says %v to %v", failing, least, most, want.Least, want.Most)
		}
	}
}

func TestSmallestThresholdForAStart(t *testing.T) {
	timing := probe.Timing{Kind: probe.Startup, InitialDelay: 5 * second, Period: 10 * second, Timeout: second, FailureThreshold: 1, SuccessThreshold: 1}
	for start := time.Duration(0); start < 200*second; start += 500 * time.Millisecond {
		timing.FailureThreshold = timing.FailureThresholdFor(start, 0)
		if got := timing.StartupBudget(0).Least; got < start {
			t.Errorf("a start of %v: a threshold of %d allows only %v", start, timing.FailureThreshold, got)
		}
		timing.FailureThreshold--
		if timing.FailureThreshold > 0 && timing.StartupBudget(0).Least >= start {
			t.Errorf("a start of %v: a threshold of %d is enough", start, timing.FailureThreshold)
		}
	}
}

func TestGrace(t *testing.T) {
	tests := map[string]struct {
		kind       probe.Kind
		probe, pod *int64
		want       time.Duration
	}{
		"neither says anything":     {probe.Liveness, nil, nil, 30 * second},
		"the pod says":              {probe.Liveness, nil, new(int64(60)), 60 * second},
		"the probe says":            {probe.Liveness, new(int64(10)), new(int64(60)), 10 * second},
		"the probe says more":       {probe.Startup, new(int64(90)), new(int64(60)), 90 * second},
		"readiness kills nobody":    {probe.Readiness, new(int64(10)), new(int64(60)), 60 * second},
		"two seconds at the least":  {probe.Liveness, nil, new(int64(0)), 2 * second},
		"and for the probe as well": {probe.Liveness, new(int64(1)), nil, 2 * second},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			got := probe.Grace(tc.kind, &corev1.Probe{TerminationGracePeriodSeconds: tc.probe}, &corev1.PodSpec{TerminationGracePeriodSeconds: tc.pod})
			if got != tc.want {
				t.Errorf("%v, want %v", got, tc.want)
			}
		})
	}
}

func TestBackOffDoublesUpToFiveMinutes(t *testing.T) {
	want := []time.Duration{0, 10 * second, 20 * second, 40 * second, 80 * second, 160 * second, 300 * second, 300 * second}
	for restarts, pause := range want {
		if got := probe.BackOff(restarts); got != pause {
			t.Errorf("after %d restarts: %v, want %v", restarts, got, pause)
		}
	}
	if got := probe.BackOff(1000); got != 300*second {
		t.Errorf("after 1000 restarts: %v", got)
	}
}
