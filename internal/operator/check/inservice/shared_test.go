package inservice

import (
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"k8s.io/apimachinery/pkg/types"

	"github.com/maek-dev/maek/api/maek/v1alpha1"
)

// judged is a check of pods of workloads, each written as WORKLOAD:FAILURES.
func judged(period int32, pods ...string) (*state, *record) {
	check := &v1alpha1.Check{Spec: v1alpha1.CheckSpec{PeriodSeconds: period, FailureThreshold: 3, TakeOutOfService: &v1alpha1.TakeOutOfService{}}}
	check.UID, check.Namespace = "c", "shop"
	r := &record{check: check, pods: map[types.UID]verdict{}}
	s := &state{
		calm: never, crowds: map[types.UID]time.Duration{}, bounds: map[string]bounds{"shop": {maxFailingPercent: 30}},
		siblings: map[types.UID]sibling{}, workloads: map[string][]types.UID{},
	}
	for i, text := range pods {
		of, failures, _ := strings.Cut(text, ":")
		uid := types.UID(string(rune('a' + i)))
		v := verdict{color: green, successes: 1}
		if failures != "" {
			v = verdict{color: red, failures: len(failures)}
		}
		r.pods[uid] = v
		s.siblings[uid] = sibling{workload: of}
		s.workloads[of] = append(s.workloads[of], uid)
	}
	return s, r
}

// TestSharedCause judges the first pod; the number of its failures is how many strokes it has.
func TestSharedCause(t *testing.T) {
	const long = "||||||||||||||||||||"
	cases := map[string]struct {
		pods   []string
		change func(*state, *record)
		want   string
	}{
		"one of ten":                                {[]string{"w:|||", "w", "w", "w", "w", "w", "w", "w", "w", "w"}, nil, ""},
		"three of ten, long after one another":      {[]string{"w:|||", "w:||||||||||", "w:" + long, "w", "w", "w", "w", "w", "w", "w"}, nil, ""},
		"three of ten at a time":                    {[]string{"w:|||", "x:||", "y:||||||||", "z", "z", "z", "z", "z", "z", "z"}, nil, "3 pods of the check began to fail within 1m0s"},
		"two of ten at a time, one long before":     {[]string{"w:|||", "x:||", "y:" + long, "z", "z", "z", "z", "z", "z", "z"}, nil, ""},
		"three at a time, long before this one":     {[]string{"w:|||", "x:" + long, "y:" + long, "z", "z", "z", "z", "z", "z", "z"}, nil, ""},
		"all three pods of its workload, of twelve": {[]string{"w:|||", "w:||||||||||", "w:" + long, "z", "z", "z", "z", "z", "z", "z", "z", "z"}, nil, "3 of the 3 pods of its workload fail"},
		"two of the three pods of its workload":     {[]string{"w:|||", "w:" + long, "w", "z", "z", "z", "z", "z", "z", "z"}, nil, "2 of the 3 pods of its workload fail"},
		"the only pod of its workload":              {[]string{"w:|||", "z", "z", "z", "z"}, nil, ""},
		"four of ten":                               {[]string{"w:|||", "w:|||||||||||", "x:" + long, "y:" + long, "z", "z", "z", "z", "z", "z"}, nil, "4 of the check's 10 pods fail"},
		"checks failed together a while ago":        {[]string{"w:|||", "w", "w", "w"}, func(s *state, _ *record) { s.calm = 299 * time.Second }, "checks of the cluster failed together 4m59s ago; it is waited for 5m0s"},
		"checks failed together long ago":           {[]string{"w:|||", "w", "w", "w"}, func(s *state, _ *record) { s.calm = 5 * time.Minute }, ""},
		"and this one takes its time": {[]string{"w:|||", "w", "w", "w"}, func(s *state, r *record) {
			s.calm, r.check.Spec.PeriodSeconds = 5*time.Minute, 600
		}, "it is waited for 40m0s"},
		"its pods failed together a while ago": {[]string{"w:|||", "w", "w", "w"}, func(s *state, _ *record) { s.crowds["c"] = time.Minute }, "failed together 1m0s ago"},
		"its pods failed together long ago":    {[]string{"w:|||", "w", "w", "w"}, func(s *state, _ *record) { s.crowds["c"] = 5 * time.Minute }, ""},
		"those of another check did":           {[]string{"w:|||", "w", "w", "w"}, func(s *state, _ *record) { s.crowds["d"] = time.Second }, ""},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			s, r := judged(10, tc.pods...)
			if tc.change != nil {
				tc.change(s, r)
			}
			got := sharedCause(s, r, "a", s.siblings["a"].workload)
			if (got == "") != (tc.want == "") || !strings.Contains(got, tc.want) {
				t.Errorf("got %q, want %q", got, tc.want)
			}
		})
	}
}

// TestPodThatIsLeftOfACrowdIsWaitedFor has most pods fail together, and one go on to fail.
func TestPodThatIsLeftOfACrowdIsWaitedFor(t *testing.T) {
	w, r := steady(t)
	for _, name := range []string{"web-1", "web-2", "web-3"} {
		w.broken[name] = true
	}
	w.pass(30*time.Second, true)
	delete(w.broken, "web-1")
	delete(w.broken, "web-3")
	w.pass(290*time.Second, true)
	if outs := w.outs(); len(outs) != 0 {
		t.Fatalf("%v are out within five minutes after three failed together", outs)
	}
	if diff := cmp.Diff([]string{brakeSharedCause, brakeSharedCause, brakeSharedCause}, r.reasons(v1alpha1.ActionWithheld)); diff != "" {
		t.Errorf("withheld for (-want +got):\n%s", diff)
	}
	w.pass(30*time.Second, true)
	if diff := cmp.Diff([]string{"web-2"}, w.outs()); diff != "" {
		t.Errorf("afterwards, out (-want +got):\n%s", diff)
	}
}
