package inservice

import (
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/maek-dev/maek/api/maek/v1alpha1"
	"github.com/maek-dev/maek/internal/operator/check/plan"
)

const (
	workday = "09:00"
	night   = "22:00"
)

func windows(starts ...string) []v1alpha1.MaintenanceWindow {
	var out []v1alpha1.MaintenanceWindow
	for _, start := range starts {
		out = append(out, v1alpha1.MaintenanceWindow{Start: start, DurationMinutes: 60})
	}
	return out
}

func TestHoursOfPolicies(t *testing.T) {
	cases := map[string]struct {
		// policies have these windows each.
		policies [][]string
		open     string
		takes    bool
		says     string
	}{
		"none has hours":                         {[][]string{nil}, "", true, ""},
		"it is open":                             {[][]string{{workday}}, workday, true, ""},
		"another window of it is open":           {[][]string{{workday, night}}, night, true, ""},
		"it is closed":                           {[][]string{{workday}}, night, false, "CheckPolicy shops has no window open"},
		"another policy without hours is silent": {[][]string{{workday}, nil}, night, false, "CheckPolicy shops has no window open"},
		"one of two is closed":                   {[][]string{{workday}, {night}}, workday, false, "CheckPolicy policy-1 has no window open"},
		"both are open":                          {[][]string{{workday}, {workday, night}}, workday, true, ""},
		"one cannot be read":                     {[][]string{{""}}, workday, false, "the hours of CheckPolicy shops cannot be read: windows[0] begins at no time"},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			w, r := steady(t)
			r.open = map[string]bool{tc.open: true}
			for i, starts := range tc.policies {
				if i == 0 {
					w.policy.Spec.TakeOutOfService.Windows = windows(starts...)
					w.update(w.policy)
					continue
				}
				w.create(&v1alpha1.CheckPolicy{ObjectMeta: metav1.ObjectMeta{Name: "policy-1"}, Spec: v1alpha1.CheckPolicySpec{
					TakeOutOfService: &v1alpha1.TakeOutOfServicePolicy{Windows: windows(starts...)},
				}})
			}
			w.broken["web-2"] = true
			w.pass(35*time.Second, true)
			if took := len(w.outs()) == 1; took != tc.takes {
				t.Errorf("%v are out, and may be: %t", w.outs(), tc.takes)
			}
			if tc.takes {
				return
			}
			if len(r.told) != 1 || r.told[0].Reason != brakeHours || !strings.Contains(r.told[0].Message, tc.says) || len(r.events.Events) != 2 {
				t.Errorf("told %+v and %d Events, want once that it is withheld for %s: %s", r.told, len(r.events.Events), brakeHours, tc.says)
			}
		})
	}
}

// TestHoursHoldNobodyBack has a window close while a pod is out: it stays out as long as it fails, and is given back
// as soon as it does not.
func TestHoursHoldNobodyBack(t *testing.T) {
	w, r := steady(t)
	r.open = map[string]bool{workday: true}
	w.policy.Spec.TakeOutOfService.Windows = windows(workday)
	w.update(w.policy)
	w.broken["web-2"] = true
	w.pass(35*time.Second, true)
	clear(r.open)
	w.pass(time.Minute, true)
	if diff := cmp.Diff([]string{"web-2"}, w.outs()); diff != "" {
		t.Errorf("out (-want +got):\n%s", diff)
	}
	delete(w.broken, "web-2")
	w.pass(11*time.Second, true)
	if outs := w.outs(); len(outs) != 0 {
		t.Errorf("%v are out, and none fails", outs)
	}
}

func TestHoursThatEndWhileItIsAskedAgain(t *testing.T) {
	w, r := steady(t)
	r.open = map[string]bool{workday: true}
	w.policy.Spec.TakeOutOfService.Windows = windows(workday)
	w.update(w.policy)
	r.answers = func(_ string, p plan.Pod) v1alpha1.CheckResult {
		clear(r.open)
		return w.answer(p)
	}
	w.broken["web-2"] = true
	w.onTake = func(name string) { t.Errorf("pod %s was taken out", name) }
	w.pass(31*time.Second, true)
	if diff := cmp.Diff([]string{brakeHours}, r.reasons(v1alpha1.ActionWithheld)); diff != "" {
		t.Errorf("withheld for (-want +got):\n%s", diff)
	}
}
