package check

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/maek-dev/maek/api/maek/v1alpha1"
	"github.com/maek-dev/maek/internal/operator/check/plan"
)

var began = time.Date(2026, 3, 2, 10, 0, 0, 0, time.UTC)

// life is a check whose runs are played.
type life struct {
	check *v1alpha1.Check
	*state
	now time.Time
}

func newLife(failureThreshold, successThreshold int32) *life {
	l := &life{now: began, check: &v1alpha1.Check{
		ObjectMeta: metav1.ObjectMeta{Namespace: "shop", Name: "web", UID: "1", Generation: 1},
		Spec:       v1alpha1.CheckSpec{PeriodSeconds: 10, FailureThreshold: failureThreshold, SuccessThreshold: successThreshold},
	}}
	l.state, _, _ = adopt(l.check, l.now)
	return l
}

// play plays runs: S succeeds, F fails, U is unknown, R is refused; > changes the spec, + suspends and -
// resumes, ! lets so much time pass that nothing is believed, and | hands the check over.
func (l *life) play(letters string) {
	for _, letter := range letters {
		l.now = l.now.Add(10 * time.Second)
		switch letter {
		case 'S', 'F', 'U':
			result := plan.Result{Target: "web-1", At: l.now, Result: v1alpha1.ResultSuccess}
			if letter == 'F' {
				result.Result, result.Reason, result.Message = v1alpha1.ResultFailure, "Refused", "nobody answers"
			} else if letter == 'U' {
				result.Result, result.Reason, result.Message = v1alpha1.ResultUnknown, "NoPods", "no pod fits"
			}
			l.end(aggregate(l.now, l.now, []plan.Result{result}))
		case 'R':
			l.refuse(plan.Refuse("SecretMissing", "there is no Secret"), l.now)
		case '>':
			l.check.Generation++
			l.follow(l.check, l.now)
		case '+':
			l.enter(suspended, l.now)
		case '-':
			l.enter(running, l.now)
		case '!':
			l.look(l.now, l.now.Add(-time.Second), l.now.Add(-time.Second))
		case '|':
			streak := l.history.Streak
			l.check.Status = *l.render(&l.check.Status, "a", 600)
			var matters bool
			if l.state, _, matters = adopt(l.check, l.now); matters {
				l.adoptStreak(streak)
			}
		}
	}
}

// says are the conditions as Status/Reason: Ready, Healthy, Stalled.
func (l *life) says() string {
	text := func(c condition) string { return fmt.Sprintf("%s/%s", c.status, c.reason) }
	return strings.Join([]string{text(l.ready()), text(l.shown), text(l.stalled())}, " ")
}

func TestConditions(t *testing.T) {
	const (
		green      = "True/Running True/Succeeded False/Accepted"
		retrying   = "True/Running True/Retrying False/Accepted"
		red        = "True/Running False/Refused False/Accepted"
		undecided  = "True/Running Unknown/Refused False/Accepted"
		recovering = "True/Running False/Recovering False/Accepted"
		pending    = "Unknown/Pending Unknown/Pending Unknown/Pending"
		nobody     = "True/Running Unknown/NoPods False/Accepted"
	)
	for name, tc := range map[string]struct {
		plays, want string
	}{
		"all are there before the first run":                      {"", pending},
		"the first run decides":                                   {"S", green},
		"a first failure does not decide":                         {"F", undecided},
		"as many as the threshold do":                             {"FFF", red},
		"one failure of three is retried":                         {"SF", retrying},
		"two failures of three are":                               {"SFF", retrying},
		"three are red":                                           {"SFFF", red},
		"a success in between begins anew":                        {"SFFSFF", retrying},
		"one success of two recovers":                             {"SFFFS", recovering},
		"two are green":                                           {"SFFFSS", green},
		"a failure in between stays red":                          {"SFFFSF", red},
		"nobody to ask at first":                                  {"U", nobody},
		"nobody to ask for a while changes nothing":               {"SUU", green},
		"nobody to ask for three runs":                            {"SUUU", nobody},
		"nobody to ask, then a failure":                           {"SUUUF", undecided},
		"nobody to ask, then a success":                           {"SFFFUUUS", green},
		"a refusal":                                               {"R", "False/Stalled Unknown/Stalled True/SecretMissing"},
		"a refusal of what was green":                             {"SR", "False/Stalled Unknown/Stalled True/SecretMissing"},
		"a refusal that is over":                                  {"SRF", undecided},
		"a new spec keeps the verdict until it is run":            {"S>", "Unknown/Pending True/Succeeded Unknown/Pending"},
		"the first failure of a new spec does not decide":         {"S>F", undecided},
		"and as well for the better":                              {"FFF>S", green},
		"a refusal is over with a new spec":                       {"R>", "Unknown/Pending Unknown/Stalled Unknown/Pending"},
		"suspended":                                               {"S+", "False/Suspended Unknown/Suspended False/Accepted"},
		"resumed, nothing is known":                               {"S+-", "Unknown/Pending Unknown/Suspended False/Accepted"},
		"resumed, the first failure does not decide":              {"S+-F", undecided},
		"no runs for long":                                        {"S!", "False/Overdue Unknown/Stale False/Accepted"},
		"a failure after long does not decide":                    {"S!F", undecided},
		"a failed check that changes hands is failed":             {"SFFF|", red},
		"and does not recover sooner":                             {"SFFF|S", recovering},
		"nor when it was recovering":                              {"SFFFS|", recovering},
		"and recovers as soon as without":                         {"SFFFS|S", green},
		"a retried check that changes hands is retried":           {"SFF|", retrying},
		"and fails as soon as without":                            {"SFF|F", red},
		"a healthy check that changes hands is healthy":           {"S|", green},
		"and fails no sooner":                                     {"S|FF", retrying},
		"a refused check that changes hands is refused":           {"SR|", "False/Stalled Unknown/Stalled True/SecretMissing"},
		"a check nobody could ask for, that changes hands":        {"SUUU|", "Unknown/Pending Unknown/NoPods False/Accepted"},
		"a new spec, and the check changes hands before it ran":   {"S>|", "Unknown/Pending True/Succeeded Unknown/Pending"},
		"a new spec, hands change, and its first run fails":       {"S>|F", undecided},
		"a check that changes hands before anything is known":     {"|", pending},
		"a check that changes hands twice, and fails in between":  {"SF|F|F", red},
		"a check that changes hands twice, and succeeds later on": {"SFFF|S|S", green},
	} {
		t.Run(name, func(t *testing.T) {
			l := newLife(3, 2)
			l.play(tc.plays)
			if got := l.says(); got != tc.want {
				t.Errorf("%q:\ngot  %s\nwant %s", tc.plays, got, tc.want)
			}
		})
	}
}

func TestTransitions(t *testing.T) {
	for name, tc := range map[string]struct {
		plays string
		want  []string // the newest first
	}{
		"retries are none":                   {"SFFS", []string{"True"}},
		"there and back":                     {"SFFFSS", []string{"True", "False", "True"}},
		"none is lost or doubled":            {"SFFF|S|S|", []string{"True", "False", "True"}},
		"a new spec of the same verdict":     {"S>S>S", []string{"True"}},
		"rests are":                          {"S+-S", []string{"True", "Unknown", "True"}},
		"of many the newest ten are kept":    {"SFFFSSFFFSSFFFSSFFFSSFFFSSFFFSS", []string{"True", "False", "True", "False", "True", "False", "True", "False", "True", "False"}},
		"a refusal is, and its end":          {"SRS", []string{"True", "Unknown", "True"}},
		"silence is, and that it was broken": {"S!S", []string{"True", "Unknown", "True"}},
	} {
		t.Run(name, func(t *testing.T) {
			l := newLife(3, 2)
			l.play(tc.plays)
			status := l.render(&l.check.Status, "a", 600)
			var got []string
			for _, transition := range status.Transitions {
				got = append(got, string(transition.Healthy))
			}
			if diff := cmp.Diff(tc.want, got); diff != "" {
				t.Errorf("%q (-want +got):\n%s", tc.plays, diff)
			}
		})
	}
}

// TestSteadyRunsSayNothingNew plays runs that end as those before: nothing of them is worth a write.
func TestSteadyRunsSayNothingNew(t *testing.T) {
	for _, plays := range []string{"S", "SFFF", "SUUU", "SR", "SFF"} {
		l := newLife(100, 2)
		if plays == "SFFF" {
			l = newLife(3, 2)
		}
		l.play(plays)
		before := l.essence()
		for range 20 {
			l.play(plays[len(plays)-1:])
		}
		want := notAtAll
		if plays == "SUUU" { // below the threshold at first
			continue
		}
		if got := l.essence().urgency(before); got != want {
			t.Errorf("after %q, more of the same is of urgency %d: %+v, was %+v", plays, got, l.essence(), before)
		}
	}
}

func TestUrgency(t *testing.T) {
	for name, tc := range map[string]struct {
		before, then string
		want         urgency
	}{
		"the same":                {"S", "S", notAtAll},
		"a first good verdict":    {"", "S", turn},
		"a bad verdict":           {"SFF", "F", alarm},
		"the end of one":          {"SFFFS", "S", alarm},
		"a retry":                 {"S", "F", detail},
		"one more retry":          {"SF", "F", notAtAll},
		"a refusal":               {"S", "R", turn},
		"a new spec":              {"S", ">", turn},
		"its first run":           {"S>", "S", turn},
		"somebody else's verdict": {"SFFF|", "", notAtAll},
	} {
		t.Run(name, func(t *testing.T) {
			l := newLife(3, 2)
			l.play(tc.before)
			before := l.essence()
			l.play(tc.then)
			if got := l.essence().urgency(before); got != tc.want {
				t.Errorf("urgency = %d, want %d", got, tc.want)
			}
		})
	}
}

// TestWhatIsAdoptedIsWhatWasWritten holds that whoever takes a check over has nothing to write.
func TestWhatIsAdoptedIsWhatWasWritten(t *testing.T) {
	for _, plays := range []string{"S", "SF", "SFFF", "SFFFS", "SR"} {
		l := newLife(3, 2)
		l.play(plays)
		l.check.Status = *l.render(&l.check.Status, "a", 600)
		s, written, _ := adopt(l.check, l.now)
		if got := s.essence(); got != written {
			t.Errorf("after %q: %+v is to be written upon %+v", plays, got, written)
		}
	}
}
