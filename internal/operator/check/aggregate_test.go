package check

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/url"
	"slices"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"github.com/google/go-cmp/cmp"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/utils/clock"

	"github.com/maek-dev/maek/api/maek/v1alpha1"
	"github.com/maek-dev/maek/internal/operator/check/plan"
	"github.com/maek-dev/maek/internal/probe"
)

func TestAggregate(t *testing.T) {
	good := plan.Result{Target: "a", Result: v1alpha1.ResultSuccess, Latency: 3 * time.Millisecond}
	bad := plan.Result{Target: "b", Result: v1alpha1.ResultFailure, Reason: "TimedOut", Message: "no answer in 1 s", Latency: time.Second}
	worse := plan.Result{Target: "c", Result: v1alpha1.ResultFailure, Reason: "ConnectionRefused", Message: "refused"}
	unasked := plan.Result{Target: "d", From: "node-1", Result: v1alpha1.ResultUnknown, Reason: "NotAsked", Message: "its agent does not answer"}
	for name, tc := range map[string]struct {
		results []plan.Result
		result  v1alpha1.CheckResult
		reason  string
		message string
		counts  v1alpha1.TargetCounts
	}{
		"one that is well": {[]plan.Result{good}, v1alpha1.ResultSuccess, "", "", v1alpha1.TargetCounts{Total: 1, Healthy: 1}},
		"one that is not":  {[]plan.Result{bad}, v1alpha1.ResultFailure, "TimedOut", "no answer in 1 s", v1alpha1.TargetCounts{Total: 1, Unhealthy: 1}},
		"one of two": {
			[]plan.Result{good, bad},
			v1alpha1.ResultFailure, "TimedOut", "1 of 2 targets failed; b: no answer in 1 s",
			v1alpha1.TargetCounts{Total: 2, Healthy: 1, Unhealthy: 1},
		},
		"what most of them have is the reason": {
			[]plan.Result{worse, bad, {Target: "e", Result: v1alpha1.ResultFailure, Reason: "ConnectionRefused", Message: "refused"}},
			v1alpha1.ResultFailure, "ConnectionRefused", "3 of 3 targets failed; c: refused",
			v1alpha1.TargetCounts{Total: 3, Unhealthy: 3},
		},
		"one that could not be asked": {
			[]plan.Result{unasked},
			v1alpha1.ResultUnknown, "NotAsked", "d from node node-1: its agent does not answer",
			v1alpha1.TargetCounts{Total: 1, Unknown: 1},
		},
		"one that could not be asked and one that is well": {
			[]plan.Result{good, unasked},
			v1alpha1.ResultUnknown, "NotAsked", "1 of 2 targets could not be asked; d from node node-1: its agent does not answer",
			v1alpha1.TargetCounts{Total: 2, Healthy: 1, Unknown: 1},
		},
		"a failure counts before what could not be asked": {
			[]plan.Result{unasked, good, bad},
			v1alpha1.ResultFailure, "TimedOut", "1 of 3 targets failed; b: no answer in 1 s",
			v1alpha1.TargetCounts{Total: 3, Healthy: 1, Unhealthy: 1, Unknown: 1},
		},
		"nobody": {nil, v1alpha1.ResultUnknown, "NothingAsked", "the run asked nobody", v1alpha1.TargetCounts{}},
	} {
		t.Run(name, func(t *testing.T) {
			o := aggregate(began, began, tc.results)
			if o.result != tc.result || o.reason != tc.reason || o.message != tc.message {
				t.Errorf("got %s %s %q", o.result, o.reason, o.message)
			}
			if diff := cmp.Diff(tc.counts, o.counts); diff != "" {
				t.Errorf("counts (-want +got):\n%s", diff)
			}
		})
	}
}

func TestWhatIsKeptIsBounded(t *testing.T) {
	var results []plan.Result
	for range 500 {
		results = append(results, plan.Result{
			Target: strings.Repeat("t", 400), From: strings.Repeat("f", 400), Result: v1alpha1.ResultFailure,
			Reason: "not a word\n", Message: strings.Repeat("\xff\xe2\x82", 4000), LogTail: strings.Repeat("l", 1<<20),
		})
	}
	l := newLife(1, 1)
	for range 30 {
		l.now = l.now.Add(time.Second)
		l.end(aggregate(l.now, l.now, results))
		l.consequence([]v1alpha1.Consequence{{Pod: "web-1", At: metav1.NewTime(l.now)}})
	}
	for i := range 40 {
		l.check.Status.Conditions = append(l.check.Status.Conditions, metav1.Condition{Type: "Other" + strings.Repeat("x", i)})
	}
	s := l.render(&l.check.Status, "a", 600)
	if len(s.Failing) != 10 || len(s.RecentFailures) != 5 || len(s.Transitions) > 10 || len(s.Consequences) != 10 || len(s.Conditions) > 16 {
		t.Errorf("%d failing, %d recent failures, %d transitions, %d consequences, %d conditions", len(s.Failing), len(s.RecentFailures), len(s.Transitions), len(s.Consequences), len(s.Conditions))
	}
	for _, f := range append(s.Failing, s.RecentFailures...) {
		if len(f.Message) > 512 || len(f.Target) > 253 || len(f.From) > 253 || f.Reason != "Failed" || !utf8.ValidString(f.Message) {
			t.Errorf("a failure of %d, %d, %d bytes, reason %q", len(f.Message), len(f.Target), len(f.From), f.Reason)
		}
	}
	if len(l.history.Outcomes) != 1 || len(l.history.Hours) != 0 {
		t.Errorf("%d outcomes and %d hours are kept of each check", len(l.history.Outcomes), len(l.history.Hours))
	}
}

func TestLoad(t *testing.T) {
	const late, inTime, skipped, stalled = 'L', 'T', 'K', 'S'
	for name, tc := range map[string]struct {
		runs string
		want bool
	}{
		"in time":                            {"TTTT", false},
		"late once":                          {"TLT", false},
		"late now and then":                  {"LTLTLTLT", false},
		"late three times":                   {"LLL", true},
		"late more often than not":           {"LLTLL", true},
		"left out twice":                     {"KK", true},
		"in time again":                      {"LLLTTT", false},
		"in time once is not over":           {"LLLT", true},
		"stood still once":                   {"TS", false},
		"stood still in each run":            {"SSS", true},
		"however long it was, it ends":       {"LLLLLLLLLLLLLLLLTTTTTT", false},
		"however many, it does not end soon": {"KKKKKKT", true},
	} {
		t.Run(name, func(t *testing.T) {
			var l load
			for _, r := range tc.runs {
				switch r {
				case late:
					l.begin(1100*time.Millisecond, 10*time.Second, 0)
				case inTime:
					l.begin(900*time.Millisecond, 10*time.Second, 0)
				case skipped:
					l.begin(0, 10*time.Second, 1)
				case stalled:
					l.begin(0, 10*time.Second, 0)
					l.stalled()
				}
			}
			if l.over != tc.want {
				t.Errorf("%s: overloaded %t", tc.runs, l.over)
			}
		})
	}
}

func TestDecode(t *testing.T) {
	object := func(spec map[string]any) *unstructured.Unstructured {
		return &unstructured.Unstructured{Object: map[string]any{
			"apiVersion": "maek.dev/v1alpha1", "kind": "Check",
			"metadata": map[string]any{"namespace": "shop", "name": "web", "uid": "1", "resourceVersion": "7", "generation": int64(3)}, "spec": spec,
		}}
	}
	for name, tc := range map[string]struct {
		spec   map[string]any
		reason string
		period int32
	}{
		"a check":            {map[string]any{"periodSeconds": int64(10)}, "", 10},
		"a template":         {map[string]any{"periodSeconds": int64(10), "podTemplate": map[string]any{"spec": map[string]any{}}}, "", 10},
		"what is no pod":     {map[string]any{"periodSeconds": int64(10), "podTemplate": map[string]any{"spec": int64(5)}}, "InvalidPodTemplate", 10},
		"what is no object":  {map[string]any{"periodSeconds": int64(10), "podTemplate": "pod"}, "InvalidPodTemplate", 10},
		"what is no check":   {map[string]any{"periodSeconds": "ten"}, "InvalidCheck", 0},
		"neither of the two": {map[string]any{"periodSeconds": "ten", "podTemplate": map[string]any{"spec": int64(5)}}, "InvalidCheck", 0},
	} {
		t.Run(name, func(t *testing.T) {
			got, err := decode(object(tc.spec))
			if err != nil {
				t.Fatal(err)
			}
			reason := ""
			if got.refusal != nil {
				reason = got.refusal.Reason
			}
			if reason != tc.reason || got.Spec.PeriodSeconds != tc.period || got.Name != "web" || got.UID != "1" || got.ResourceVersion != "7" || got.Generation != 3 {
				t.Errorf("got %s, %+v", reason, got.Check)
			}
		})
	}
}

// TestJudged gives the same for a run in whatever order its answers come.
func TestJudged(t *testing.T) {
	refusal, second, other := plan.Refuse("HostNotAllowed", "no"), plan.Refuse("SecretMissing", "no"), errors.New("refused")
	answer := func(name, from string, unasked, err error) plan.Answer {
		return plan.Answer{Question: plan.Question{Name: name}, From: from, Unasked: unasked, Outcome: probe.Outcome{Err: err}}
	}
	for name, tc := range map[string]struct {
		answers []plan.Answer
		want    *plan.Refusal
	}{
		"nobody":          {nil, nil},
		"all":             {[]plan.Answer{answer("a", "", nil, refusal), answer("b", "", second, nil)}, refusal},
		"one of two":      {[]plan.Answer{answer("a", "", nil, nil), answer("b", "", nil, refusal)}, refusal},
		"from no node":    {[]plan.Answer{answer("a", "", fmt.Errorf("asking: %w", second), nil), answer("a", "node-1", nil, nil)}, second},
		"another error":   {[]plan.Answer{answer("a", "", nil, other)}, nil},
		"nobody listened": {[]plan.Answer{answer("a", "", other, nil)}, nil},
	} {
		t.Run(name, func(t *testing.T) {
			var first []plan.Result
			for order := range 2 {
				slices.Reverse(tc.answers)
				told := judged{c: &Controller{o: Options{Judge: func(_ *v1alpha1.CheckSpec, a plan.Answer) plan.Result {
					return plan.Result{Target: a.Name, From: a.From}
				}}}}
				for _, a := range tc.answers {
					told.take(a)
				}
				results, got := told.all()
				if got != tc.want {
					t.Errorf("the refusal is %v", got)
				}
				if order == 0 {
					first = results
				}
				if diff := cmp.Diff(first, results); diff != "" || len(results) != len(tc.answers) {
					t.Errorf("%d results, and in the other order (-first +second):\n%s", len(results), diff)
				}
			}
		})
	}
}

// TestARefusedDialIsFound holds that no kind of probe loses why it was not let through.
func TestARefusedDialIsFound(t *testing.T) {
	refusal := plan.Refuse(v1alpha1.ReasonNotAllowed, "no")
	prober := probe.New(probe.Options{Now: clock.RealClock{}.Now, Dial: func(context.Context, string, string) (net.Conn, error) { return nil, refusal }})
	const address = "192.0.2.1:80"
	for name, target := range map[string]probe.Target{
		"httpGet": probe.HTTP{URL: &url.URL{Scheme: "http", Host: address}}, "https": probe.HTTP{URL: &url.URL{Scheme: "https", Host: address}},
		"tcpSocket": probe.TCP{Address: address}, "grpc": probe.GRPC{Address: address}, "tls": probe.TLS{Address: address},
		"dns": probe.DNS{Server: address, Name: "a."}, "dns over TCP": probe.DNS{Server: address, Name: "a.", OverTCP: true},
	} {
		t.Run(name, func(t *testing.T) {
			outcome := prober.Probe(t.Context(), target, 100*time.Millisecond)
			if got := refused(plan.Answer{Outcome: outcome}); got != refusal {
				t.Errorf("refused() = %v of %v", got, outcome.Err)
			}
		})
	}
}
