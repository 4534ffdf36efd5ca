package kuberhealthy_test

import (
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/maek-dev/maek/internal/kuberhealthy"
)

func TestWhoseReportsAreTaken(t *testing.T) {
	going := kuberhealthy.State{}.Begun(run)
	check2, check3 := checkWith(kuberhealthy.V2, oneContainer), checkWith(kuberhealthy.V3, oneContainer)
	failed2 := going.Failed(check2, "late", kuberhealthy.End{At: run.Started.Add(time.Minute)})
	reported2 := going.Reported(check2, kuberhealthy.Report{OK: true}, kuberhealthy.End{At: run.Started.Add(time.Second)})
	reported3 := going.Reported(check3, kuberhealthy.Report{OK: true}, kuberhealthy.End{At: run.Started.Add(time.Second)})
	tests := map[string]struct {
		check  kuberhealthy.Check
		state  kuberhealthy.State
		runID  string
		after  time.Duration
		status int
		want   string
	}{
		"version 2 while the run goes on":          {check: check2, state: going, runID: run.ID},
		"version 2 long after the run's time":      {check: check2, state: going, runID: run.ID, after: time.Hour},
		"version 2 after it was given up":          {check: check2, state: failed2, runID: run.ID, after: time.Hour},
		"version 2 twice":                          {check: check2, state: reported2, runID: run.ID, after: time.Second},
		"version 2 from an older run":              {check: check2, state: going, runID: "old", status: 400, want: "run uuid old is not that of the newest run of a check"},
		"version 2 before any run":                 {check: check2, runID: "old", status: 400, want: "run uuid old is not that of the newest run of a check"},
		"nobody's report, before any run":          {check: check2, status: 400, want: "no run is named: send the value of KH_RUN_UUID in the header kh-run-uuid"},
		"version 3 while the run goes on":          {check: check3, state: going, runID: run.ID},
		"version 3 at the last moment":             {check: check3, state: going, runID: run.ID, after: 61*time.Second - 1},
		"version 3 a moment later":                 {check: check3, state: going, runID: run.ID, after: 61 * time.Second, status: 410, want: "the run's time of 1m is over: its result is recorded as a failure"},
		"version 3 twice":                          {check: check3, state: reported3, runID: run.ID, after: time.Second, status: 400, want: "run uuid " + run.ID + " is invalid or expired"},
		"version 3 of a run that somebody stopped": {check: check3, state: kuberhealthy.State{Run: run}, runID: run.ID, status: 400, want: "run uuid " + run.ID + " is invalid or expired"},
		"version 3 from an older run":              {check: check3, state: going, runID: "old", status: 400, want: "run uuid old is invalid or expired"},
		"version 3 with a book for an ID":          {check: check3, state: going, runID: strings.Repeat("é", 1000), status: 400, want: "run uuid " + strings.Repeat("é", 32) + " is invalid or expired"},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			err := kuberhealthy.Accept(tc.check, tc.state, tc.runID, run.Started.Add(tc.after))
			if tc.status != 0 {
				wantRefusal(t, err, tc.status, tc.want)
			} else if err != nil {
				t.Error(err)
			}
		})
	}
}

// A late report of version 2 changes what was recorded when the run was given up.
func TestLateReportsOfVersion2Count(t *testing.T) {
	check := checkWith(kuberhealthy.V2, oneContainer)
	state := kuberhealthy.State{}.Begun(run).Failed(check, "late", kuberhealthy.End{At: run.Started.Add(time.Minute)})
	state = state.Reported(check, kuberhealthy.Report{OK: true}, kuberhealthy.End{At: run.Started.Add(2 * time.Minute)})
	want := kuberhealthy.State{Run: run, Ended: true, OK: true, EndedAt: run.Started.Add(2 * time.Minute), Duration: 2 * time.Minute}
	if diff := cmp.Diff(want, state); diff != "" {
		t.Errorf("state (-want +got):\n%s", diff)
	}
}

func TestRunsOfPods(t *testing.T) {
	for name, labels := range map[string]map[string]string{
		"x": {"kuberhealthy-run-id": "x"}, "y": {"kh-run-uuid": "y"}, "": {"app": "shop"},
	} {
		if got := kuberhealthy.RunIDOf(&metav1.ObjectMeta{Labels: labels}); got != name {
			t.Errorf("%v: got %q", labels, got)
		}
	}
}

// Alerts of users look for these texts.
func TestTextsOfFailures(t *testing.T) {
	job := checkWith(kuberhealthy.V2, oneContainer)
	job.Kind = kuberhealthy.KindJob
	v2, v3 := checkWith(kuberhealthy.V2, oneContainer), checkWith(kuberhealthy.V3, oneContainer)
	over := run.Started.Add(2 * time.Minute)
	tests := map[string]struct {
		check kuberhealthy.Check
		kind  kuberhealthy.Failure
		run   kuberhealthy.Run
		at    time.Time
		why   string
		want  string
	}{
		"no report": {
			v2, kuberhealthy.NotReported, run, over, "its image example.com/x:1 cannot be pulled",
			"Check execution error: shop/cart: timed out waiting for checker pod to report in: its image example.com/x:1 cannot be pulled",
		},
		"nobody knows why": {
			v2, kuberhealthy.NotReported, run, over, "",
			"Check execution error: shop/cart: timed out waiting for checker pod to report in",
		},
		"a job":        {job, kuberhealthy.NotRunning, run, over, "no node has room", "Job execution error: shop/cart: failed to see pod running within timeout: no node has room"},
		"not started":  {v2, kuberhealthy.NotStarted, run, over, "ErrImagePull", "Check execution error: shop/cart: error when waiting for pod to start: ErrImagePull"},
		"not created":  {v2, kuberhealthy.NotCreated, run, over, "quota", "Check execution error: shop/cart: failed to create pod for checker: quota"},
		"not cleared":  {v2, kuberhealthy.NotCleared, run, over, "", "Check execution error: shop/cart: failed to see pod cleanup within timeout"},
		"removed":      {v2, kuberhealthy.Removed, run, over, "", "Check execution error: pod deleted unexpectedly"},
		"a job's pod":  {job, kuberhealthy.Removed, run, over, "", "Job execution error: pod deleted unexpectedly"},
		"version 3":    {v3, kuberhealthy.NotReported, run, over, "why", "check run " + run.ID + " timed out after 1m0s (started at 2026-11-21T10:00:00Z): why"},
		"before time":  {v3, kuberhealthy.NotReported, run, run.Started.Add(2500 * time.Millisecond), "it exited with code 1", "check run " + run.ID + " ended without a report after 2s (started at 2026-11-21T10:00:00Z): it exited with code 1"},
		"clocks apart": {v3, kuberhealthy.NotStarted, run, run.Started.Add(-time.Minute), "", "check run " + run.ID + " ended without a report after 0s (started at 2026-11-21T10:00:00Z)"},
		"no start":     {v3, kuberhealthy.NotReported, kuberhealthy.Run{ID: "u"}, over, "", "check run u timed out after 1m0s (started at unknown)"},
		"refused":      {v3, kuberhealthy.NotCreated, run, over, "pods \"x\" is forbidden", "failed to create check pod: pods \"x\" is forbidden"},
		"gone":         {v3, kuberhealthy.Removed, run, over, "", "check run " + run.ID + " lost its pod (started at 2026-11-21T10:00:00Z)"},
		"a book": {
			v3, kuberhealthy.NotCreated, run, over, strings.Repeat("\x00", 5000),
			"failed to create check pod: " + strings.Repeat("\ufffd", 1365) + " ... (cut: 15000 bytes in all)",
		},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			if got := tc.check.Failure(tc.kind, tc.run, tc.at, tc.why); got != tc.want {
				t.Errorf("got\n%s\nwant\n%s", got, tc.want)
			}
		})
	}
}
