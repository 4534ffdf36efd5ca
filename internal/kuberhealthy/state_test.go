package kuberhealthy_test

import (
	"encoding/json"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	khv1 "github.com/maek-dev/maek/api/kuberhealthy/v1"
	khv2 "github.com/maek-dev/maek/api/kuberhealthy/v2"
	"github.com/maek-dev/maek/internal/kuberhealthy"
)

var (
	ten = time.Date(2026, 11, 21, 10, 0, 0, 0, time.UTC)
	end = kuberhealthy.End{At: ten.Add(1500 * time.Millisecond), Node: "n1", Writer: "maek-operator-a"}
)

// stored is what an API server gives back of an object.
func stored[T any](t *testing.T, object *T) *T {
	t.Helper()
	text, err := json.Marshal(object)
	if err != nil {
		t.Fatal(err)
	}
	back := new(T)
	if err := json.Unmarshal(text, back); err != nil {
		t.Fatal(err)
	}
	return back
}

// keepV3 writes a state into a HealthCheck as a server with Kuberhealthy's definition keeps it, and reads it.
func keepV3(t *testing.T, state kuberhealthy.State) kuberhealthy.State {
	t.Helper()
	object := stored(t, state.ToV3(&khv2.HealthCheck{}))
	object.Status.ConsecutiveFailures = 0
	return kuberhealthy.StateOfV3(object)
}

func keepV2(t *testing.T, check kuberhealthy.Check, state kuberhealthy.State) kuberhealthy.State {
	t.Helper()
	return kuberhealthy.StateOfV2(stored(t, state.ToV2(check, nil)), check.UID)
}

// A kill after any write leaves what the next owner reads: it must be the same state.
func TestStatesOfVersion2AreKept(t *testing.T) {
	check := checkWith(kuberhealthy.V2, oneContainer)
	started := kuberhealthy.Run{ID: "r1", Started: ten.Add(123456789)}
	begun := kuberhealthy.State{}.Begun(started)
	reported := begun.Reported(check, kuberhealthy.Report{OK: false, Errors: []string{"a \"quoted\" \\ error\nof two lines"}}, end)
	failed := begun.Failed(check, "why", end)
	again := reported.Begun(kuberhealthy.Run{ID: "r2", Started: ten.Add(time.Hour)})
	// While a run goes on, the end of the one before is known to the second.
	again.EndedAt = ten.Add(time.Second)
	tests := map[string]kuberhealthy.State{
		"the first run goes on":         begun,
		"it reported":                   reported,
		"it was given up":               failed,
		"another goes on":               again,
		"a good report after a bad one": reported.Reported(check, kuberhealthy.Report{OK: true}, end),
	}
	for name, want := range tests {
		t.Run(name, func(t *testing.T) {
			if diff := cmp.Diff(want, keepV2(t, check, want)); diff != "" {
				t.Errorf("state (-recorded +read):\n%s", diff)
			}
		})
	}
	if reported.Duration != 1500*time.Millisecond-123456789 || failed.Duration != 0 {
		t.Errorf("a report took %s, a run without one %s", reported.Duration, failed.Duration)
	}
}

func TestStatesOfVersion3AreKept(t *testing.T) {
	check := checkWith(kuberhealthy.V3, oneContainer)
	late := kuberhealthy.End{At: ten.Add(3 * time.Second), Node: "n1", Writer: "a"}
	begun := kuberhealthy.State{}.Begun(kuberhealthy.Run{ID: "r1", Started: ten})
	good := begun.Reported(check, kuberhealthy.Report{OK: true}, late)
	bad := begun.Failed(check, "why", late)
	worse := bad.Begun(kuberhealthy.Run{ID: "r2", Started: ten.Add(time.Minute)}).Failed(check, "why", late)
	mixed := good.Begun(kuberhealthy.Run{ID: "r2", Started: ten.Add(time.Minute)}).Failed(check, "why", late)
	tests := map[string]kuberhealthy.State{
		"nothing has run":              {},
		"the first run goes on":        begun,
		"it reported":                  good,
		"it was given up":              bad,
		"all runs failed":              worse,
		"one succeeded and one failed": mixed,
		"another goes on":              good.Begun(kuberhealthy.Run{ID: "r2", Started: ten.Add(time.Minute)}),
	}
	for name, want := range tests {
		t.Run(name, func(t *testing.T) {
			got := keepV3(t, want)
			// It has no place for these.
			want.Node, want.Writer = "", ""
			if diff := cmp.Diff(want, got); diff != "" {
				t.Errorf("state (-recorded +read):\n%s", diff)
			}
		})
	}
	if good.Run.ID != "" || good.Duration != 3*time.Second || bad.Duration != 3*time.Second {
		t.Errorf("after the end: %+v", good)
	}
	if worse.Failures != 2 || worse.ConsecutiveFailures != 2 || mixed.Successes != 1 || mixed.ConsecutiveFailures != 1 {
		t.Errorf("counts: %+v and %+v", worse, mixed)
	}
}

func TestCountsThatAServerDoesNotKeep(t *testing.T) {
	status := khv2.HealthCheckStatus{SuccessCount: 4, FailureCount: 6, LastFailureUnix: ten.Unix(), Errors: []string{"e"}}
	if got := kuberhealthy.StateOfV3(&khv2.HealthCheck{Status: status}).ConsecutiveFailures; got != 1 {
		t.Errorf("pruned: got %d, want the one that is proven", got)
	}
	status.ConsecutiveFailures = 3
	if got := kuberhealthy.StateOfV3(&khv2.HealthCheck{Status: status}).ConsecutiveFailures; got != 3 {
		t.Errorf("kept: got %d, want 3", got)
	}
	status.OK, status.Errors = true, nil
	if got := kuberhealthy.StateOfV3(&khv2.HealthCheck{Status: status}).ConsecutiveFailures; got != 0 {
		t.Errorf("kept over a success: got %d, want 0", got)
	}
}

func TestNewKuberhealthyState(t *testing.T) {
	check := checkWith(kuberhealthy.V2, oneContainer)
	check.Name = "Upper Case"
	object := kuberhealthy.State{}.Begun(kuberhealthy.Run{ID: "r1", Started: ten.Add(5)}).ToV2(check, nil)
	text, err := json.Marshal(object)
	if err != nil {
		t.Fatal(err)
	}
	// AuthoritativePod is empty until there is a result: status pages leave it out, as Kuberhealthy's does.
	want := `{"metadata":{"name":"upper-case","namespace":"shop","annotations":{` +
		`"maek.dev/run-of":"u1","maek.dev/run-started":"2026-11-21T10:00:00.000000005Z"}},` +
		`"spec":{"OK":true,"Errors":[],"RunDuration":"","Namespace":"shop","Node":"","AuthoritativePod":"","uuid":"r1"}}`
	if diff := cmp.Diff(want, string(text)); diff != "" {
		t.Errorf("object (-want +got):\n%s", diff)
	}
	ended := kuberhealthy.State{}.Begun(run).Reported(check, kuberhealthy.Report{OK: true}, end).ToV2(check, nil)
	if ended.Spec.Errors == nil || ended.Spec.RunDuration != "1.5s" || ended.Spec.AuthoritativePod != "maek-operator-a" {
		t.Errorf("after a report: %+v", ended.Spec)
	}
}

func TestWhatIsNotOursStays(t *testing.T) {
	check := checkWith(kuberhealthy.V2, oneContainer)
	before := &khv1.KuberhealthyState{
		ObjectMeta: metav1.ObjectMeta{
			Namespace: "shop", Name: "cart", ResourceVersion: "7", Labels: map[string]string{"l": "1"},
			Annotations:     map[string]string{"a": "1", "maek.dev/run-ended": "x"},
			OwnerReferences: []metav1.OwnerReference{{Name: "o"}}, Finalizers: []string{"f"},
		},
		Spec: khv1.State{KHWorkload: new("KHCheck")},
	}
	untouched := before.DeepCopy()
	after := kuberhealthy.State{}.Begun(run).ToV2(check, before)
	if diff := cmp.Diff(untouched, before); diff != "" {
		t.Errorf("the object itself was changed:\n%s", diff)
	}
	want := untouched.DeepCopy()
	want.Annotations = map[string]string{"a": "1", "maek.dev/run-of": "u1", "maek.dev/run-started": "2026-11-21T10:00:00Z"}
	want.Spec = khv1.State{OK: true, Errors: []string{}, Namespace: "shop", CurrentUUID: run.ID, KHWorkload: new("KHCheck")}
	if diff := cmp.Diff(want, after); diff != "" {
		t.Errorf("KuberhealthyState (-want +got):\n%s", diff)
	}

	healthCheck := &khv2.HealthCheck{
		ObjectMeta: metav1.ObjectMeta{Namespace: "shop", Name: "cart", Labels: map[string]string{"l": "1"}},
		Spec:       khv2.HealthCheckSpec{RunInterval: "nonsense"},
		Status:     khv2.HealthCheckStatus{AdditionalMetadata: "theirs"},
	}
	wantV3 := healthCheck.DeepCopy()
	wantV3.Status = khv2.HealthCheckStatus{AdditionalMetadata: "theirs", Namespace: "shop", CurrentUUID: run.ID, LastRunUnix: run.Started.Unix()}
	if diff := cmp.Diff(wantV3, kuberhealthy.State{}.Begun(run).ToV3(healthCheck)); diff != "" {
		t.Errorf("HealthCheck (-want +got):\n%s", diff)
	}
	if healthCheck.Status.CurrentUUID != "" {
		t.Error("the object itself was changed")
	}
}

func TestStatesOfOthers(t *testing.T) {
	last := metav1.NewTime(ten)
	kuberhealthys := &khv1.KuberhealthyState{Spec: khv1.State{
		OK: true, Errors: []string{" "}, RunDuration: "22.5s", Node: "n", LastRun: &last, AuthoritativePod: "kuberhealthy-1", CurrentUUID: "u",
	}}
	another := kuberhealthys.DeepCopy()
	another.Annotations = map[string]string{"maek.dev/run-of": "u2", "maek.dev/run-started": "2026-11-21T10:00:00Z"}
	hidden := kuberhealthys.DeepCopy()
	hidden.Spec.AuthoritativePod = ""
	garbled := another.DeepCopy()
	garbled.Annotations = map[string]string{"maek.dev/run-of": "u1", "maek.dev/run-started": "yesterday", "maek.dev/run-ended": "\x00"}
	garbled.Spec.RunDuration = "-forever"
	inherited := kuberhealthy.State{
		Run: kuberhealthy.Run{ID: "u"}, Ended: true, EndedAt: ten, OK: true,
		Duration: 22500 * time.Millisecond, Node: "n", Writer: "kuberhealthy-1",
	}
	unreadable := inherited
	unreadable.Duration = 0
	tests := map[string]struct {
		object *khv1.KuberhealthyState
		want   kuberhealthy.State
	}{
		"there is none":               {nil, kuberhealthy.State{}},
		"Kuberhealthy's is inherited": {kuberhealthys, inherited},
		"another object's is not":     {another, kuberhealthy.State{}},
		"one without a result":        {hidden, kuberhealthy.State{Run: kuberhealthy.Run{ID: "u"}}},
		"notes that nobody can read":  {garbled, unreadable},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			if diff := cmp.Diff(tc.want, kuberhealthy.StateOfV2(tc.object, "u1")); diff != "" {
				t.Errorf("state (-want +got):\n%s", diff)
			}
		})
	}
	if owner, r, occupied := kuberhealthy.Occupied(another); owner != "u2" || r.ID != "u" || !occupied {
		t.Errorf("another's run: %s %+v %t", owner, r, occupied)
	}
	for name, object := range map[string]*khv1.KuberhealthyState{"none": nil, "Kuberhealthy's": kuberhealthys, "garbled": garbled} {
		if _, _, occupied := kuberhealthy.Occupied(object); occupied {
			t.Errorf("%s is occupied", name)
		}
	}
	hostile := khv2.HealthCheckStatus{
		OK: true, Errors: []string{"but"}, LastRunUnix: 1 << 62, LastOKUnix: -5, LastFailureUnix: ten.Unix(),
		RunDuration: -1, SuccessCount: -3, FailureCount: -3, ConsecutiveFailures: -3,
	}
	want := kuberhealthy.State{Ended: true, EndedAt: ten, LastFailure: ten, Errors: []string{"but"}, ConsecutiveFailures: 1}
	if diff := cmp.Diff(want, kuberhealthy.StateOfV3(&khv2.HealthCheck{Status: hostile})); diff != "" {
		t.Errorf("hostile status (-want +got):\n%s", diff)
	}
}

func TestResultsBeforeTheFirstReportAreNotWritten(t *testing.T) {
	begun := kuberhealthy.State{OK: true, Errors: []string{"x"}, Duration: 5}.Begun(run)
	if got := begun.ToV3(&khv2.HealthCheck{}).Status; got.OK || got.Errors != nil || got.RunDuration != 0 {
		t.Errorf("HealthCheck: %+v", got)
	}
}
