package history

import (
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/maek-dev/maek/api/maek/v1alpha1"
)

var noon = time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)

// play turns a row of letters into runs, a minute apart: S, F and U.
func play(h *History, from time.Time, letters string, thresholds Thresholds) []Change {
	var changes []Change
	for i, letter := range letters {
		at := from.Add(time.Duration(i) * time.Minute)
		run := Run{Started: at, Ended: at.Add(time.Second), Latency: time.Second}
		switch letter {
		case 'S':
			run.Result = v1alpha1.ResultSuccess
		case 'F':
			run.Result, run.Reason, run.Message = v1alpha1.ResultFailure, "Refused", "nobody answers"
		case 'U':
			run.Result, run.Reason = v1alpha1.ResultUnknown, "NoProber"
		}
		changes = append(changes, h.Add(run, thresholds))
	}
	return changes
}

func TestVerdict(t *testing.T) {
	tests := map[string]struct {
		runs       string
		thresholds Thresholds
		want       metav1.ConditionStatus
		// wantSince is the run, counted from 0, that made the verdict.
		wantSince  int
		wantStreak int32
		wantFlips  int
	}{
		"the first success":                                {runs: "S", want: metav1.ConditionTrue, wantStreak: 1, wantFlips: 1},
		"a first failure waits for the threshold":          {runs: "FF", thresholds: Thresholds{Failure: 3}, wantStreak: 2},
		"a first success waits for none":                   {runs: "S", thresholds: Thresholds{Success: 3}, want: metav1.ConditionTrue, wantStreak: 1, wantFlips: 1},
		"one failure where one is enough":                  {runs: "SSF", want: metav1.ConditionFalse, wantSince: 2, wantStreak: 1, wantFlips: 2},
		"a failure below the threshold":                    {runs: "SSFF", thresholds: Thresholds{Failure: 3}, want: metav1.ConditionTrue, wantStreak: 2, wantFlips: 1},
		"failures at the threshold":                        {runs: "SFFF", thresholds: Thresholds{Failure: 3}, want: metav1.ConditionFalse, wantSince: 3, wantStreak: 3, wantFlips: 2},
		"successes below the threshold":                    {runs: "FS", thresholds: Thresholds{Success: 2}, want: metav1.ConditionFalse, wantStreak: 1, wantFlips: 1},
		"successes at the threshold":                       {runs: "FSS", thresholds: Thresholds{Success: 2}, want: metav1.ConditionTrue, wantSince: 2, wantStreak: 2, wantFlips: 2},
		"a run that could not ask changes no verdict":      {runs: "SU", want: metav1.ConditionTrue, wantStreak: 1, wantFlips: 1},
		"runs that could not ask make no verdict":          {runs: "UUU", wantStreak: 3},
		"a flapping check":                                 {runs: "SFSF", want: metav1.ConditionFalse, wantSince: 3, wantStreak: 1, wantFlips: 4},
		"a verdict that holds keeps the time it is from":   {runs: "SFFFF", want: metav1.ConditionFalse, wantSince: 1, wantStreak: 4, wantFlips: 2},
		"what could not ask breaks a row of failures":      {runs: "SFUF", thresholds: Thresholds{Failure: 2}, want: metav1.ConditionTrue, wantStreak: 1, wantFlips: 1},
		"a first verdict after runs that could not ask":    {runs: "UUFFF", thresholds: Thresholds{Failure: 3}, want: metav1.ConditionFalse, wantSince: 4, wantStreak: 3, wantFlips: 1},
		"more runs than are kept count on in their streak": {runs: strings.Repeat("S", 100), want: metav1.ConditionTrue, wantStreak: 100, wantFlips: 1},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			var h History
			flips := 0
			for _, change := range play(&h, noon, tc.runs, tc.thresholds) {
				if change.Verdict {
					flips++
				}
			}
			wantSince := time.Time{}
			if tc.want != "" {
				wantSince = noon.Add(time.Duration(tc.wantSince)*time.Minute + time.Second)
			}
			if h.Healthy != tc.want || h.Streak != tc.wantStreak || flips != tc.wantFlips || !h.Since.Equal(wantSince) {
				t.Errorf("healthy %q since %v, streak %d, %d flips; want %q since %v, streak %d, %d flips",
					h.Healthy, h.Since, h.Streak, flips, tc.want, wantSince, tc.wantStreak, tc.wantFlips)
			}
		})
	}
}

func TestSummaries(t *testing.T) {
	summary := func(start time.Time, successes, failures, unknowns, mean, highest int32) v1alpha1.OutcomeSummary {
		return v1alpha1.OutcomeSummary{
			Start: metav1.NewTime(start), Successes: successes, Failures: failures, Unknowns: unknowns,
			MeanLatencyMilliseconds: mean, MaxLatencyMilliseconds: highest,
		}
	}
	day := noon.Truncate(24 * time.Hour)
	tests := map[string]struct {
		play      func(h *History)
		wantHours []v1alpha1.OutcomeSummary
		wantDays  []v1alpha1.OutcomeSummary
	}{
		"all that began in one hour": {
			play:      func(h *History) { play(h, noon, "SSFU", Thresholds{}) },
			wantHours: []v1alpha1.OutcomeSummary{summary(noon, 2, 1, 1, 1000, 1000)},
			wantDays:  []v1alpha1.OutcomeSummary{summary(day, 2, 1, 1, 1000, 1000)},
		},
		"a run belongs to the hour that it began in": {
			play:      func(h *History) { play(h, noon.Add(-time.Minute), "SF", Thresholds{}) },
			wantHours: []v1alpha1.OutcomeSummary{summary(noon, 0, 1, 0, 0, 0), summary(noon.Add(-time.Hour), 1, 0, 0, 1000, 1000)},
			wantDays:  []v1alpha1.OutcomeSummary{summary(day, 1, 1, 0, 1000, 1000)},
		},
		"latencies of successes alone": {
			play: func(h *History) {
				h.Add(Run{Started: noon, Result: v1alpha1.ResultSuccess, Latency: 100 * time.Millisecond}, Thresholds{})
				h.Add(Run{Started: noon.Add(time.Minute), Result: v1alpha1.ResultFailure, Latency: time.Hour}, Thresholds{})
				h.Add(Run{Started: noon.Add(2 * time.Minute), Result: v1alpha1.ResultSuccess, Latency: 300 * time.Millisecond}, Thresholds{})
			},
			wantHours: []v1alpha1.OutcomeSummary{summary(noon, 2, 1, 0, 200, 300)},
			wantDays:  []v1alpha1.OutcomeSummary{summary(day, 2, 1, 0, 200, 300)},
		},
		"a clock that was set back counts to the hour that it tells": {
			play: func(h *History) {
				play(h, noon, "SS", Thresholds{})
				play(h, noon.Add(-2*time.Hour), "F", Thresholds{})
				play(h, noon.Add(2*time.Minute), "S", Thresholds{})
			},
			wantHours: []v1alpha1.OutcomeSummary{summary(noon, 3, 0, 0, 1000, 1000), summary(noon.Add(-2*time.Hour), 0, 1, 0, 0, 0)},
			wantDays:  []v1alpha1.OutcomeSummary{summary(day, 3, 1, 0, 1000, 1000)},
		},
		"another time zone counts by UTC": {
			play: func(h *History) {
				play(h, noon.In(time.FixedZone("KST", 9*60*60)), "S", Thresholds{})
			},
			wantHours: []v1alpha1.OutcomeSummary{summary(noon, 1, 0, 0, 1000, 1000)},
			wantDays:  []v1alpha1.OutcomeSummary{summary(day, 1, 0, 0, 1000, 1000)},
		},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			var h History
			tc.play(&h)
			if diff := cmp.Diff(tc.wantHours, h.Hours); diff != "" {
				t.Errorf("hours (-want +got):\n%s", diff)
			}
			if diff := cmp.Diff(tc.wantDays, h.Days); diff != "" {
				t.Errorf("days (-want +got):\n%s", diff)
			}
		})
	}
}

// TestBounds plays two months, with the clock set back by a year in between.
func TestBounds(t *testing.T) {
	var h History
	last := noon
	for day := range 60 {
		for hour := range 24 {
			at := noon.AddDate(0, 0, day).Add(time.Duration(hour) * time.Hour)
			if day == 40 {
				at = at.AddDate(-1, 0, 0)
			}
			last = at
			h.Add(Run{
				Started: at, Ended: at, Result: v1alpha1.ResultFailure, Reason: strings.Repeat("R", 100),
				Message: strings.Repeat("message ", 200), Target: strings.Repeat("t", 300), LogTail: strings.Repeat("log line\n", 5000),
			}, Thresholds{})
		}
	}
	if len(h.Outcomes) != v1alpha1.MaxOutcomes || len(h.Hours) != v1alpha1.MaxHours || len(h.Days) != v1alpha1.MaxDays {
		t.Errorf("%d outcomes, %d hours, %d days; want as many as are kept", len(h.Outcomes), len(h.Hours), len(h.Days))
	}
	if !h.Hours[0].Start.Time.Equal(last) || h.Days[len(h.Days)-1].Start.Year() != noon.Year() {
		t.Errorf("hours begin with %v and days end with %v, want the newest of each", h.Hours[0].Start, h.Days[len(h.Days)-1].Start)
	}
	f := h.LastFailure
	if len(f.Reason) > maxReason || len(f.Message) > maxMessage || len(f.Target) > maxTarget || len(f.LogTail) > v1alpha1.MaxLogTail {
		t.Errorf("lengths of the failure: reason %d, message %d, target %d, log %d", len(f.Reason), len(f.Message), len(f.Target), len(f.LogTail))
	}
	if !strings.HasPrefix(f.LogTail, "log line\n") {
		t.Errorf("the log begins with %q, want a whole line", f.LogTail[:10])
	}
}

func TestRepeatedRunChangesNothing(t *testing.T) {
	var h History
	play(&h, noon, "SF", Thresholds{})
	var record v1alpha1.CheckRecord
	h.Into(&record)
	// What the API server gives back has seconds only.
	for i := range record.Outcomes {
		record.Outcomes[i].At = metav1.NewTime(record.Outcomes[i].At.Truncate(time.Second))
	}
	taken := From(&record)
	run := Run{Started: noon.Add(time.Minute + 300*time.Millisecond), Ended: noon.Add(time.Minute + time.Second), Result: v1alpha1.ResultFailure}
	if change := taken.Add(run, Thresholds{}); change != (Change{Repeated: true}) {
		t.Errorf("change = %+v, want a repetition", change)
	}
	if diff := cmp.Diff(h.Outcomes, taken.Outcomes); diff != "" {
		t.Errorf("outcomes (-before +after):\n%s", diff)
	}
	// The clock was set back by a minute: the same second is another run.
	play(taken, noon, "S", Thresholds{})
	if len(taken.Outcomes) != 3 || taken.Streak != 1 {
		t.Errorf("%d outcomes, streak %d; want a third run", len(taken.Outcomes), taken.Streak)
	}
}

func TestFailureThatDiffers(t *testing.T) {
	var h History
	fail := func(minute int, reason, message string) Change {
		at := noon.Add(time.Duration(minute) * time.Minute)
		return h.Add(Run{Started: at, Ended: at, Result: v1alpha1.ResultFailure, Reason: reason, Message: message}, Thresholds{})
	}
	for i, tc := range []struct {
		reason, message string
		want            bool
	}{
		{"Crashed", "exit code 1", true},
		{"Crashed", "exit code 1", false},
		{"Crashed", "exit code 2", true},
		{"OOMKilled", "exit code 2", true},
		{"OOMKilled", "exit code 2", false},
	} {
		if got := fail(i, tc.reason, tc.message); got.Failure != tc.want {
			t.Errorf("failure %d (%s, %s) differs = %v, want %v", i, tc.reason, tc.message, got.Failure, tc.want)
		}
	}
}

func TestRecordKeepsAll(t *testing.T) {
	var h History
	play(&h, noon.Add(-3*time.Hour), "SSFSF", Thresholds{})
	play(&h, noon, "FFFS", Thresholds{})
	var record v1alpha1.CheckRecord
	h.Into(&record)
	if diff := cmp.Diff(&h, From(&record), cmpopts.EquateEmpty()); diff != "" {
		t.Errorf("read back (-want +got):\n%s", diff)
	}
	record.Outcomes[0].Reason = "another"
	if h.Outcomes[0].Reason == "another" {
		t.Error("the record shares its outcomes with the history")
	}
}

func TestRecordOfNoRuns(t *testing.T) {
	var record v1alpha1.CheckRecord
	(&History{}).Into(&record)
	if record.Healthy != metav1.ConditionUnknown || record.Since != nil {
		t.Errorf("healthy %q since %v, want Unknown since never", record.Healthy, record.Since)
	}
	if h := From(&record); h.Healthy != "" {
		t.Errorf("healthy read back = %q, want none", h.Healthy)
	}
}

// TestRecordOfSomebodyElse reads what no writer of ours wrote.
func TestRecordOfSomebodyElse(t *testing.T) {
	record := &v1alpha1.CheckRecord{Streak: -3}
	for i := range 100 {
		record.Outcomes = append(record.Outcomes, v1alpha1.Outcome{At: metav1.NewTime(noon)})
		start := metav1.NewTime(noon.Add(time.Duration(i/2) * time.Hour))
		record.Hours = append(record.Hours, v1alpha1.OutcomeSummary{Start: start})
		record.Days = append(record.Days, v1alpha1.OutcomeSummary{Start: start})
	}
	h := From(record)
	play(h, noon.Add(49*time.Hour), "S", Thresholds{})
	if len(h.Outcomes) != v1alpha1.MaxOutcomes || len(h.Hours) != v1alpha1.MaxHours || h.Streak != 1 {
		t.Errorf("%d outcomes, %d hours, streak %d", len(h.Outcomes), len(h.Hours), h.Streak)
	}
	if h.Hours[0].Successes != 1 || !h.Hours[0].Start.Equal(new(metav1.NewTime(noon.Add(49*time.Hour)))) {
		t.Errorf("newest hour = %+v, want the run in the hour that it began in", h.Hours[0])
	}
}

func TestTextsStayWhole(t *testing.T) {
	for _, text := range []string{"", "short", strings.Repeat("가", 400), "a\xff\xfe" + strings.Repeat("나", 300), strings.Repeat("x", 10000)} {
		for name, got := range map[string]string{"cut": Cut(text, maxMessage), "tail": Tail(text, maxMessage)} {
			if !utf8.ValidString(got) || len(got) > maxMessage {
				t.Errorf("%s of %.20q... is %d bytes, valid: %v", name, text, len(got), utf8.ValidString(got))
			}
		}
	}
	lines := strings.Repeat("x", maxMessage) + "\nlast line"
	if got := Tail(lines, maxMessage); got != "last line" {
		t.Errorf("tail = %q, want the last line", got)
	}
}
