package inservice

import (
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"

	"github.com/maek-dev/maek/api/maek/v1alpha1"
)

func TestBudget(t *testing.T) {
	ago := func(d ...time.Duration) []time.Time {
		var out []time.Time
		for _, d := range d {
			out = append(out, noon.Add(-d))
		}
		return out
	}
	b := bounds{maxOut: 2, maxTimesADay: 3, apart: time.Minute, longest: time.Hour}
	cases := map[string]struct {
		ledger ledger
		want   string
	}{
		"nothing was done":                   {ledger{}, ""},
		"two are out":                        {ledger{Entries: []entry{{UID: "a", Out: true}, {UID: "b", Out: true}}}, brakeMaxOut},
		"one is out, one was":                {ledger{Entries: []entry{{UID: "a", Out: true}, {UID: "b"}}}, ""},
		"one of the workload, half a minute": {ledger{Entries: []entry{{UID: "a", Workload: "w", Times: ago(30 * time.Second)}}}, brakeTooSoon},
		"one of the workload, a minute":      {ledger{Entries: []entry{{UID: "a", Workload: "w", Times: ago(time.Minute)}}}, ""},
		"one of another workload":            {ledger{Entries: []entry{{UID: "a", Workload: "x", Times: ago(time.Second)}}}, ""},
		"itself, once, 119 s ago":            {ledger{Entries: []entry{{UID: "me", Workload: "w", Times: ago(119 * time.Second)}}}, brakeTooSoon},
		"itself, once, 120 s ago":            {ledger{Entries: []entry{{UID: "me", Workload: "w", Times: ago(120 * time.Second)}}}, ""},
		"itself, long ago, back just now":    {ledger{Entries: []entry{{UID: "me", Workload: "w", Times: ago(time.Hour), Back: noon.Add(-time.Second)}}}, brakeTooSoon},
		"itself, twice, 239 s ago":           {ledger{Entries: []entry{{UID: "me", Workload: "w", Times: ago(time.Hour, 239*time.Second)}}}, brakeTooSoon},
		"itself, twice, 240 s ago":           {ledger{Entries: []entry{{UID: "me", Workload: "w", Times: ago(time.Hour, 240*time.Second)}}}, ""},
		"itself, three times":                {ledger{Entries: []entry{{UID: "me", Times: ago(3*time.Hour, 2*time.Hour, time.Hour)}}}, brakeExhausted},
		"itself, twice in vain":              {ledger{Entries: []entry{{UID: "me", Unhelped: 2, Times: ago(2*time.Hour, time.Hour)}}}, brakeNoEffect},
		"three in the cluster in 89 s":       {ledger{Takes: ago(89*time.Second, 50*time.Second, 10*time.Second)}, brakeTooSoon},
		"three in the cluster in 90 s":       {ledger{Takes: ago(90*time.Second, 50*time.Second, 10*time.Second)}, ""},
		"one of the node, half a minute":     {ledger{Entries: []entry{{UID: "a", Namespace: "else", Workload: "x", Node: "n", Times: ago(30 * time.Second)}}}, brakeTooSoon},
		"one of the node, a minute":          {ledger{Entries: []entry{{UID: "a", Namespace: "else", Workload: "x", Node: "n", Times: ago(time.Minute)}}}, ""},
		"one of another node":                {ledger{Entries: []entry{{UID: "a", Namespace: "else", Workload: "x", Node: "m", Times: ago(time.Second)}}}, ""},
		"one of nobody knows which node":     {ledger{Entries: []entry{{UID: "a", Namespace: "else", Workload: "x", Times: ago(time.Second)}}}, ""},
		"two of the namespace in 89 s": {ledger{Entries: []entry{
			{UID: "a", Namespace: "shop", Workload: "x", Times: ago(89 * time.Second)}, {UID: "b", Namespace: "shop", Workload: "y", Times: ago(61 * time.Second)},
		}}, brakeTooSoon},
		"one of them twice": {ledger{Entries: []entry{{UID: "a", Namespace: "shop", Workload: "x", Times: ago(89*time.Second, 61*time.Second)}}}, brakeTooSoon},
		"two of the namespace in 90 s": {ledger{Entries: []entry{
			{UID: "a", Namespace: "shop", Workload: "x", Times: ago(90 * time.Second)}, {UID: "b", Namespace: "shop", Workload: "y", Times: ago(61 * time.Second)},
		}}, ""},
		"two of other namespaces": {ledger{Entries: []entry{
			{UID: "a", Namespace: "bank", Workload: "x", Times: ago(80 * time.Second)}, {UID: "b", Namespace: "post", Workload: "y", Times: ago(70 * time.Second)},
		}}, ""},
		"another's clock is an hour ahead":     {ledger{Entries: []entry{{UID: "a", Workload: "w", Times: ago(-time.Hour)}}}, brakeTooSoon},
		"yesterday does not count":             {ledger{Entries: []entry{{UID: "me", Unhelped: 2, Times: ago(27*time.Hour, 26*time.Hour, 25*time.Hour)}}}, ""},
		"yesterday does not count, but is out": {ledger{Entries: []entry{{UID: "a", Out: true, Times: ago(25 * time.Hour)}, {UID: "b", Out: true}}}, brakeMaxOut},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			got, message := tc.ledger.kept(noon).refuse(entry{UID: "me", Workload: "w", Namespace: "shop", Node: "n"}, b, noon)
			if got != tc.want {
				t.Errorf("got %q (%s), want %q", got, message, tc.want)
			}
		})
	}
}

func TestATimeThatHasNotComeIsForgottenInADay(t *testing.T) {
	l := ledger{Entries: []entry{{UID: "a", Workload: "w", Times: []time.Time{noon.Add(1000 * time.Hour)}, Back: noon.Add(1000 * time.Hour)}}}
	l = l.kept(noon)
	if got := l.Entries[0].last(); !got.Equal(noon) || !l.Entries[0].Back.Equal(noon) {
		t.Errorf("kept as %s and %s, want %s", got, l.Entries[0].Back, noon)
	}
	if left := l.kept(noon.Add(25 * time.Hour)).Entries; len(left) != 0 {
		t.Errorf("a day later there is %+v", left)
	}
}

func TestSettle(t *testing.T) {
	p := func(version string, status corev1.ConditionStatus, reason string) *corev1.Pod {
		return &corev1.Pod{
			ObjectMeta: metav1.ObjectMeta{UID: "me", ResourceVersion: version},
			Status: corev1.PodStatus{Conditions: []corev1.PodCondition{{
				Type: v1alpha1.ReadinessGateInService, Status: status, Reason: reason, LastTransitionTime: metav1.NewTime(noon),
			}}},
		}
	}
	other := p("8", corev1.ConditionFalse, reasonFailed)
	other.UID = "another"
	cases := map[string]struct {
		pod          *corev1.Pod
		wantOut      bool
		wantUnhelped int
	}{
		"it is out":                               {p("8", corev1.ConditionFalse, reasonFailed), true, 1},
		"the patch may be on its way":             {p("7", corev1.ConditionTrue, reasonNoVerdict), true, 1},
		"the patch cannot arrive any more":        {p("8", corev1.ConditionTrue, reasonNoVerdict), false, 1},
		"it has recovered":                        {p("9", corev1.ConditionTrue, reasonRecovered), false, 0},
		"its time was over":                       {p("9", corev1.ConditionTrue, reasonTooLong), false, 2},
		"nobody confirmed it":                     {p("9", corev1.ConditionTrue, reasonStale), false, 2},
		"somebody paused":                         {p("9", corev1.ConditionTrue, reasonPaused), false, 1},
		"it is gone":                              {nil, false, 1},
		"another pod has its name":                {other, false, 1},
		"a value that nobody knows holds it back": {p("9", corev1.ConditionUnknown, ""), true, 1},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			got := entry{UID: "me", Version: "7", Out: true, Unhelped: 1}.settle(tc.pod)
			if got.Out != tc.wantOut || got.Unhelped != tc.wantUnhelped {
				t.Errorf("out %t, %d in vain; want %t, %d", got.Out, got.Unhelped, tc.wantOut, tc.wantUnhelped)
			}
		})
	}
}

func TestLedgerIsReadAsItWasWritten(t *testing.T) {
	r := &record{check: &v1alpha1.Check{ObjectMeta: metav1.ObjectMeta{Name: "web", UID: "c"}, Spec: v1alpha1.CheckSpec{PeriodSeconds: 60}}}
	pod := &corev1.Pod{ObjectMeta: metav1.ObjectMeta{Namespace: "shop", Name: "web-1", UID: "u", ResourceVersion: "5"}}
	want := ledger{}.reserve(pod, r, bounds{longest: time.Hour}, noon)
	text, fits, err := want.encode()
	if err != nil || !fits {
		t.Fatal(fits, err)
	}
	got, err := decode(text)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	if e := got.Entries[0]; e.StaleAfter != 3*time.Minute || e.Longest != time.Hour || !e.Out || e.Version != "5" {
		t.Errorf("entered as %+v", e)
	}
}

// TestLedgerOfAnOlderOperatorIsRead has an entry without its node, which is filled in from the pod.
func TestLedgerOfAnOlderOperatorIsRead(t *testing.T) {
	const text = `{"entries":[{"namespace":"shop","pod":"web-1","uid":"u","workload":"shop/Deployment/web","check":"c","checkName":"web","version":"5","out":true,` +
		`"times":["2026-03-02T11:59:00Z"],"staleAfter":90000000000,"longest":1800000000000}],"takes":["2026-03-02T11:59:00Z"]}`
	l, err := decode(text)
	if err != nil {
		t.Fatal(err)
	}
	want := entry{
		Namespace: "shop", Pod: "web-1", UID: "u", Workload: "shop/Deployment/web", Check: "c", CheckName: "web", Version: "5", Out: true,
		Times: []time.Time{noon.Add(-time.Minute)}, StaleAfter: 90 * time.Second, Longest: 30 * time.Minute,
	}
	if diff := cmp.Diff([]entry{want}, l.Entries); diff != "" {
		t.Fatalf("read (-want +got):\n%s", diff)
	}
	p := &corev1.Pod{ObjectMeta: metav1.ObjectMeta{Namespace: "shop", Name: "web-1", UID: "u", ResourceVersion: "5"}, Spec: corev1.PodSpec{NodeName: "n"}}
	l.Entries[0] = l.Entries[0].settle(p)
	if e := l.Entries[0]; e.Node != "n" || !e.Out {
		t.Errorf("settled as %+v, want it out on node n", e)
	}
	b := bounds{maxOut: 5, maxTimesADay: 3, apart: 5 * time.Minute}
	if reason, message := l.refuse(entry{UID: "me", Namespace: "bank", Workload: "bank/Pod/me", Node: "n"}, b, noon); reason != brakeTooSoon || !strings.Contains(message, "same node n") {
		t.Errorf("a pod of the same node: %q (%s), want %s", reason, message, brakeTooSoon)
	}
}

func TestLedgerThatIsTooLargeIsNotWritten(t *testing.T) {
	var l ledger
	for i := range 2000 {
		l.Entries = append(l.Entries, entry{UID: types.UID(strconv.Itoa(i)), Pod: strings.Repeat("x", 100), Times: []time.Time{noon}})
	}
	if _, fits, err := l.encode(); fits || err != nil {
		t.Errorf("fits %t, error %v", fits, err)
	}
}

// TestWhatWasToldInADryRunHidesNoPodThatIsBack has a pod that would be out by this replica's dry run, and was out
// by the ledger until somebody gave it back by hand: it must not spend the budget any more.
func TestWhatWasToldInADryRunHidesNoPodThatIsBack(t *testing.T) {
	w, r := steady(t)
	p := w.policy.Spec.TakeOutOfService
	p.MaxOut, p.MaxFailingPercent, p.SecondsApart = 1, 60, 1
	w.update(w.policy)
	w.broken["web-2"], w.broken["web-3"] = true, true
	w.pass(10*time.Second, true)
	e := entry{
		Namespace: "shop", Pod: "web-3", UID: "uid-web-3", Workload: "shop/Deployment/else", Check: w.check.UID, CheckName: "web", Version: "of yesterday",
		Out: true, Times: []time.Time{noon.Add(-time.Hour)}, StaleAfter: 24 * time.Hour, Longest: 24 * time.Hour,
	}
	lease, l, err := r.readLedger(t.Context(), true)
	if err != nil {
		t.Fatal(err)
	}
	if err := r.writeLedger(t.Context(), lease, l.with(e)); err != nil {
		t.Fatal(err)
	}
	r.dry = r.dry.with(e)
	w.pass(25*time.Second, true)
	if diff := cmp.Diff([]string{"web-2"}, w.outs()); diff != "" {
		t.Errorf("out (-want +got), with %v withheld:\n%s", r.reasons(v1alpha1.ActionWithheld), diff)
	}
}
