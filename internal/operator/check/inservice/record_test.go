package inservice

import (
	"strings"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"

	"github.com/maek-dev/maek/api/maek/v1alpha1"
	"github.com/maek-dev/maek/internal/operator/check/plan"
)

// spoken is a run of one pod: one letter for each place that it was asked from, f for failure, s for success
// and u for unknown.
func spoken(letters string) []plan.Result {
	var out []plan.Result
	for i, letter := range letters {
		r := plan.Result{Pod: plan.Pod{NamespacedName: types.NamespacedName{Namespace: "shop", Name: "web-1"}, UID: "u"}, From: string(rune('a' + i))}
		r.Result = map[rune]v1alpha1.CheckResult{'f': v1alpha1.ResultFailure, 's': v1alpha1.ResultSuccess, 'u': v1alpha1.ResultUnknown}[letter]
		out = append(out, r)
	}
	return out
}

func TestRunsInARow(t *testing.T) {
	const s = time.Second
	type run struct {
		after      time.Duration // the run before
		letters    string
		generation int64
	}
	cases := map[string]struct {
		runs                        []run
		cron                        bool
		wantFailures, wantSuccesses int
	}{
		"three failures":                      {runs: []run{{0, "f", 1}, {10 * s, "f", 1}, {10 * s, "f", 1}}, wantFailures: 3},
		"a success between":                   {runs: []run{{0, "f", 1}, {10 * s, "s", 1}, {10 * s, "f", 1}}, wantFailures: 1},
		"an unknown between":                  {runs: []run{{0, "f", 1}, {10 * s, "u", 1}, {10 * s, "f", 1}}, wantFailures: 1},
		"a run in which it was not asked":     {runs: []run{{0, "f", 1}, {10 * s, "", 1}, {10 * s, "f", 1}}, wantFailures: 1},
		"successes":                           {runs: []run{{0, "s", 1}, {10 * s, "s", 1}}, wantSuccesses: 2},
		"fails everywhere":                    {runs: []run{{0, "ff", 1}, {10 * s, "fuf", 1}}, wantFailures: 2},
		"fails from one place only":           {runs: []run{{0, "fs", 1}, {10 * s, "sf", 1}}, wantSuccesses: 2},
		"a gap of three periods":              {runs: []run{{0, "f", 1}, {30 * s, "f", 1}}, wantFailures: 1},
		"a run that came late":                {runs: []run{{0, "f", 1}, {21 * s, "f", 1}}, wantFailures: 2},
		"the clock was set back":              {runs: []run{{0, "f", 1}, {-3600 * s, "f", 1}}, wantFailures: 1},
		"the clock was set on":                {runs: []run{{0, "f", 1}, {3600 * s, "f", 1}}, wantFailures: 1},
		"the question changed":                {runs: []run{{0, "f", 1}, {10 * s, "f", 2}}, wantFailures: 1},
		"a schedule has intervals of its own": {cron: true, runs: []run{{0, "f", 1}, {3600 * s, "f", 1}, {7200 * s, "f", 1}}, wantFailures: 3},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			at := noon
			var r *record
			for _, run := range tc.runs {
				at = at.Add(run.after)
				check := &v1alpha1.Check{ObjectMeta: metav1.ObjectMeta{UID: "c", Generation: run.generation}, Spec: v1alpha1.CheckSpec{PeriodSeconds: 10}}
				if tc.cron {
					check.Spec.PeriodSeconds = 0
				}
				r = r.after(check, at, spoken(run.letters))
			}
			v := r.pods["u"]
			if v.failures != tc.wantFailures || v.successes != tc.wantSuccesses {
				t.Errorf("%d failures and %d successes in a row, want %d and %d", v.failures, v.successes, tc.wantFailures, tc.wantSuccesses)
			}
		})
	}
}

func TestConfirmed(t *testing.T) {
	// Written as place:subject:control.
	cases := map[string]struct{ answers, want string }{
		"from two nodes":                        {"a:f:s b:f:s", ""},
		"from the operator and a node":          {":f:s b:f:s", ""},
		"from one":                              {"a:f:s", brakeNotConfirmed},
		"twice from one":                        {"a:f:s a:f:s", brakeNotConfirmed},
		"well from one":                         {"a:f:s b:f:s c:s:s", brakeNotConfirmed},
		"unknown from one":                      {"a:f:s b:u:s", brakeNotConfirmed},
		"the control fails where it fails":      {"a:f:s b:f:f", brakeNotConfirmed},
		"the control fails everywhere":          {"a:f:f b:f:f", brakeNoControl},
		"nobody could ask":                      {"a:u:u b:u:u", brakeNotConfirmed},
		"nobody answered":                       {"", brakeNotConfirmed},
		"two of three, the third sees nothing":  {"a:f:s b:f:s c:u:u", ""},
		"the control is well only from a third": {"a:f:f b:f:f c:u:s", brakeNotConfirmed},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			var results []plan.Result
			for text := range strings.FieldsSeq(tc.answers) {
				parts := strings.Split(text, ":")
				for i, uid := range []types.UID{"subject", "control"} {
					r := spoken(parts[i+1])[0]
					r.From, r.Pod.UID = parts[0], uid
					results = append(results, r)
				}
			}
			if got, message := confirmed(results, "subject", "control"); got != tc.want {
				t.Errorf("got %q (%s), want %q", got, message, tc.want)
			}
		})
	}
}

func TestStorm(t *testing.T) {
	cases := map[string]struct {
		reds, greens, unknown int
		want                  bool
	}{
		"three of four":                     {3, 1, 0, true},
		"two of two":                        {2, 0, 0, false},
		"three of ten: not more than 30 %":  {3, 7, 0, false},
		"three of nine":                     {3, 6, 0, true},
		"those that nobody knows count not": {3, 6, 100, true},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			var checks []v1alpha1.Check
			add := func(n int, status metav1.ConditionStatus) {
				for range n {
					c := v1alpha1.Check{}
					c.Status.Conditions = []metav1.Condition{{Type: v1alpha1.CheckHealthy, Status: status}}
					checks = append(checks, c)
				}
			}
			add(tc.reds, metav1.ConditionFalse)
			add(tc.greens, metav1.ConditionTrue)
			add(tc.unknown, metav1.ConditionUnknown)
			if got := storm(checks, nil); (got != "") != tc.want {
				t.Errorf("got %q, want a storm: %t", got, tc.want)
			}
		})
	}
}

func TestWorkload(t *testing.T) {
	owned := func(kind, name, hash string) *corev1.Pod {
		p := &corev1.Pod{ObjectMeta: metav1.ObjectMeta{Namespace: "shop", Name: "p"}}
		if kind != "" {
			p.OwnerReferences = []metav1.OwnerReference{{Kind: "Node", Name: "n"}, {Kind: kind, Name: name, Controller: new(true)}}
		}
		if hash != "" {
			p.Labels = map[string]string{"pod-template-hash": hash}
		}
		return p
	}
	cases := map[string]struct {
		pod  *corev1.Pod
		want string
	}{
		"of a Deployment":                   {owned("ReplicaSet", "web-5d9c", "5d9c"), "shop/Deployment/web"},
		"of its next ReplicaSet":            {owned("ReplicaSet", "web-77aa", "77aa"), "shop/Deployment/web"},
		"of a ReplicaSet of somebody's own": {owned("ReplicaSet", "web-5d9c", ""), "shop/ReplicaSet/web-5d9c"},
		"of a StatefulSet":                  {owned("StatefulSet", "db", ""), "shop/StatefulSet/db"},
		"of nobody":                         {owned("", "", ""), "shop/Pod/p"},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			if got := workload(tc.pod); got != tc.want {
				t.Errorf("got %s, want %s", got, tc.want)
			}
		})
	}
}
