package kuberhealthy_test

import (
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/maek-dev/maek/internal/kuberhealthy"
)

func TestWhenTheNextRunIsDue(t *testing.T) {
	created := ten.Add(-time.Hour)
	ran := kuberhealthy.State{Run: kuberhealthy.Run{ID: "r", Started: ten}, Ended: true, EndedAt: ten.Add(time.Minute)}
	inherited := kuberhealthy.State{Ended: true, EndedAt: ten}
	old := kuberhealthy.State{Ended: true, EndedAt: created.Add(-time.Second)}
	tests := map[string]struct {
		once, done bool
		state      kuberhealthy.State
		want       time.Time
		wantNone   bool
	}{
		"what never ran is due since it is there":                {want: created},
		"what ran is due an interval after its start":            {state: ran, want: ten.Add(10 * time.Minute)},
		"what Kuberhealthy ran, an interval after that":          {state: inherited, want: ten.Add(10 * time.Minute)},
		"what an earlier object of the name left does not count": {state: old, want: created},
		"what runs once is due once":                             {once: true, want: created},
		"and not again":                                          {once: true, state: ran, wantNone: true},
		"nor after Kuberhealthy ran it":                          {once: true, state: inherited, wantNone: true},
		"an earlier job's result is not this one's":              {once: true, state: old, want: created},
		"a job that is done stays so without a state":            {once: true, done: true, wantNone: true},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			check := kuberhealthy.Check{CreatedAt: created, Interval: 10 * time.Minute, Once: tc.once, Done: tc.done}
			got, again := kuberhealthy.Next(check, tc.state)
			if !got.Equal(tc.want) || again == tc.wantNone {
				t.Errorf("got %s, %t; want %s, %t", got, again, tc.want, !tc.wantNone)
			}
		})
	}
}

func TestStartsAreAsPreciseAsTheyAreRecorded(t *testing.T) {
	const interval = 15 * time.Second
	tests := map[string]struct {
		api   kuberhealthy.API
		state kuberhealthy.State
		now   time.Time
		want  time.Time
	}{
		"version 2 keeps nanoseconds":           {api: kuberhealthy.V2, now: ten.Add(1), want: ten.Add(1)},
		"version 3 begins with the next second": {api: kuberhealthy.V3, now: ten.Add(1), want: ten.Add(time.Second)},
		"or with the second that begins now":    {api: kuberhealthy.V3, now: ten, want: ten},
		"a run on time loses nothing":           {api: kuberhealthy.V3, state: startedAt(ten.Add(-interval)), now: ten.Add(5 * time.Millisecond), want: ten},
		"one that is a second late is not":      {api: kuberhealthy.V3, state: startedAt(ten.Add(-interval - time.Second)), now: ten.Add(5 * time.Millisecond), want: ten.Add(time.Second)},
		"one out of turn is not on time":        {api: kuberhealthy.V3, state: startedAt(ten.Add(-time.Second)), now: ten.Add(5 * time.Millisecond), want: ten.Add(time.Second)},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			check := checkWith(tc.api, oneContainer)
			check.Interval = interval
			got := kuberhealthy.NewRun(check, tc.state, "id", tc.now)
			if diff := cmp.Diff(kuberhealthy.Run{ID: "id", Started: tc.want}, got); diff != "" {
				t.Errorf("run (-want +got):\n%s", diff)
			}
		})
	}
}

func startedAt(at time.Time) kuberhealthy.State {
	return kuberhealthy.State{Run: kuberhealthy.Run{Started: at}}
}

// A HealthCheck that is begun a little after it is due, again and again, keeps its interval, and is never
// given up before its time.
func TestVersion3DoesNotDrift(t *testing.T) {
	check := checkWith(kuberhealthy.V3, oneContainer)
	check.Interval, check.Timeout, check.CreatedAt = 15*time.Second, time.Second, ten
	state, now := kuberhealthy.State{}, ten.Add(300*time.Millisecond)
	var first time.Time
	for i := range 100 {
		run := kuberhealthy.NewRun(check, state, "id", now)
		if deadline := check.Deadline(run); deadline.Before(now.Add(check.Timeout)) {
			t.Fatalf("run %d began at %s and is given up at %s", i, now, deadline)
		}
		state = keepV3(t, state.Begun(run))
		state = keepV3(t, state.Reported(check, kuberhealthy.Report{OK: true}, kuberhealthy.End{At: now.Add(time.Second)}))
		if i == 0 {
			first = run.Started
		}
		due, _ := kuberhealthy.Next(check, state)
		now = due.Add(time.Duration(i%100) * 9 * time.Millisecond)
	}
	if took := state.Run.Started.Sub(first); took != 99*check.Interval {
		t.Errorf("99 intervals took %s", took)
	}
}

func TestDeadlines(t *testing.T) {
	for api, want := range map[kuberhealthy.API]time.Duration{kuberhealthy.V2: time.Minute, kuberhealthy.V3: 61 * time.Second} {
		if got := checkWith(api, oneContainer).Deadline(run).Sub(run.Started); got != want {
			t.Errorf("%s: got %s, want %s", api, got, want)
		}
	}
}

// A clock that was wrong for a while must neither stop a check nor keep its verdict fresh.
func TestStatesFromTheFuture(t *testing.T) {
	future := ten.Add(10 * 365 * 24 * time.Hour)
	check := checkWith(kuberhealthy.V2, oneContainer)
	check.CreatedAt = ten.Add(-time.Hour)
	state := kuberhealthy.State{Run: kuberhealthy.Run{ID: "r", Started: future}, Ended: true, OK: true, EndedAt: future}
	credible := state.Credible(ten)
	if due, again := kuberhealthy.Next(check, credible); !again || due.After(ten) {
		t.Errorf("due %s, %t", due, again)
	}
	if _, stale := (kuberhealthy.Entry{Check: check, State: state}).Stale(ten); !stale {
		t.Error("its verdict is fresh")
	}
	if check.Deadline(credible.Run).After(ten) {
		t.Error("its run goes on for ever")
	}
	skewed := kuberhealthy.State{Run: kuberhealthy.Run{ID: "r", Started: ten.Add(30 * time.Second)}}
	if diff := cmp.Diff(skewed, skewed.Credible(ten)); diff != "" {
		t.Errorf("a clock that is half a minute ahead (-want +got):\n%s", diff)
	}
}

func TestVerdicts(t *testing.T) {
	check := kuberhealthy.Check{Interval: 10 * time.Minute, Timeout: 5 * time.Minute}
	check.Namespace, check.Name = "shop", "cart"
	ended := kuberhealthy.State{Run: run, Ended: true, EndedAt: ten, OK: true}
	failed := ended
	failed.OK = false
	running := failed.Begun(run)
	tests := map[string]struct {
		state kuberhealthy.State
		once  bool
		after time.Duration
		want  kuberhealthy.Verdict
	}{
		"nothing has run":                  {want: kuberhealthy.Verdict{Status: "Unknown", Reason: "NeverRun"}},
		"the first run goes on":            {state: kuberhealthy.State{}.Begun(run), want: kuberhealthy.Verdict{Status: "Unknown", Reason: "FirstRun"}},
		"the last run was good":            {state: ended, want: kuberhealthy.Verdict{Status: "True", Reason: "Succeeded"}},
		"the last run was bad":             {state: failed, want: kuberhealthy.Verdict{Status: "False", Reason: "Failed"}},
		"the next goes on after a bad one": {state: running, want: kuberhealthy.Verdict{Status: "False", Reason: "Failed"}},
		"two intervals and a timeout":      {state: ended, after: 25 * time.Minute, want: kuberhealthy.Verdict{Status: "True", Reason: "Succeeded"}},
		"a moment more":                    {state: ended, after: 25*time.Minute + 1, want: kuberhealthy.Verdict{Status: "Unknown", Reason: "Stale", Since: ten.Add(25 * time.Minute)}},
		"what runs once never gets old":    {state: ended, once: true, after: 1000 * time.Hour, want: kuberhealthy.Verdict{Status: "True", Reason: "Succeeded"}},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			entry := kuberhealthy.Entry{Check: check, State: tc.state}
			entry.Check.Once = tc.once
			if diff := cmp.Diff(tc.want, entry.Verdict(ten.Add(tc.after))); diff != "" {
				t.Errorf("verdict (-want +got):\n%s", diff)
			}
		})
	}
	want := "no result since 2026-11-21T10:00:00Z, although shop/cart should run every 10m"
	if got := (kuberhealthy.Entry{Check: check, State: ended}).StaleText(); got != want {
		t.Errorf("got %q, want %q", got, want)
	}
}
