package check

import (
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/tools/events"

	"github.com/maek-dev/maek/api/maek/v1alpha1"
)

// told are the Events that were made, each by its type and reason.
func told(recorder *events.FakeRecorder) (all []string) {
	for len(recorder.Events) > 0 {
		all = append(all, <-recorder.Events)
	}
	return all
}

// TestEventsOfTurns holds that nobody is told that something is over which nobody was told of.
func TestEventsOfTurns(t *testing.T) {
	const (
		unhealthy = "Warning Unhealthy NoEndpoints: no ready endpoints"
		unknown   = "Warning VerdictUnknown NotAsked: the target was not asked"
		recovered = "Normal Recovered the check is healthy again"
	)
	var (
		pending   = condition{metav1.ConditionUnknown, v1alpha1.ReasonPending, "no run has ended yet"}
		waits     = condition{metav1.ConditionUnknown, "NoEndpoints", "no ready endpoints"}
		fails     = condition{metav1.ConditionFalse, "NoEndpoints", "no ready endpoints"}
		unasked   = condition{metav1.ConditionUnknown, v1alpha1.ReasonNotAsked, "the target was not asked"}
		well      = condition{metav1.ConditionTrue, v1alpha1.ReasonSucceeded, "every target gives a good answer"}
		suspended = condition{metav1.ConditionUnknown, v1alpha1.ReasonSuspended, "the check is suspended"}
		stalled   = condition{metav1.ConditionUnknown, v1alpha1.ReasonStalled, "the check cannot run"}
	)
	turned := func(to condition) []v1alpha1.VerdictTransition {
		return []v1alpha1.VerdictTransition{{At: metav1.NewTime(time.Unix(0, 0)), Healthy: to.status, Reason: to.reason}}
	}
	tests := map[string]struct {
		// from is what the status says when the check is taken up, and turns its turns so far.
		from  condition
		turns []v1alpha1.VerdictTransition
		shown []condition
		want  []string
	}{
		"a new check that is well":                  {from: pending, shown: []condition{well}},
		"a first failure that waits, and is over":   {from: pending, shown: []condition{waits, well}},
		"a first failure that waits, taken over":    {from: waits, shown: []condition{well}},
		"a first failure that lasts":                {from: pending, shown: []condition{waits, fails, well}, want: []string{unhealthy, recovered}},
		"nobody could be asked at first":            {from: pending, shown: []condition{unasked, well}},
		"nobody can be asked any more":              {from: well, shown: []condition{unasked, well}, want: []string{unknown, recovered}},
		"nobody could be asked, taken over":         {from: unasked, turns: turned(unasked), shown: []condition{well}, want: []string{recovered}},
		"a failure, taken over":                     {from: fails, turns: turned(fails), shown: []condition{well}, want: []string{recovered}},
		"a first failure after a pause, taken over": {from: waits, turns: turned(suspended), shown: []condition{well}},
		"one that was well, through a pause":        {from: well, shown: []condition{suspended, waits, well}},
		"a failure, through a pause":                {from: well, shown: []condition{fails, suspended, well}, want: []string{unhealthy, recovered}},
		"one that could not run":                    {from: pending, shown: []condition{stalled, well}, want: []string{"Warning Stalled the check cannot run", recovered}},
		"one that could not run, taken over":        {from: stalled, shown: []condition{well}, want: []string{recovered}},
		"a recovery is told of once":                {from: fails, turns: turned(fails), shown: []condition{well, suspended, well}, want: []string{recovered}},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			recorder := events.NewFakeRecorder(10)
			c := &Controller{o: Options{Events: recorder}}
			s := &subject{check: decoded{Check: &v1alpha1.Check{}}, toldOf: tc.from, warned: (&state{shown: tc.from, transitions: tc.turns}).warned()}
			for _, shown := range tc.shown {
				c.tell(s, shown)
			}
			if diff := cmp.Diff(tc.want, told(recorder)); diff != "" {
				t.Errorf("Events (-want +got):\n%s", diff)
			}
		})
	}
}
