package checkobjects

import (
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	eventsv1 "k8s.io/api/events/v1"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/maek-dev/maek/api/maek/v1alpha1"
)

const (
	green      = "Ready=True/Running Healthy=True/Succeeded Stalled=False/Accepted"
	retrying   = "Ready=True/Running Healthy=True/Retrying Stalled=False/Accepted"
	red        = "Ready=True/Running Healthy=False/UnexpectedStatus Stalled=False/Accepted"
	recovering = "Ready=True/Running Healthy=False/Recovering Stalled=False/Accepted"
	waiting    = "Ready=Unknown/Pending Healthy=Unknown/Pending Stalled=Unknown/Pending"
)

// TestLife follows a check of a server that falls ill and gets well.
func TestLife(t *testing.T) {
	c := newClient(t, admin)
	namespace := newNamespace(t, c)
	server := serve(t)
	r := start(t, admin, namespace, "a", nil)
	check := server.newCheck(namespace, "web")
	check.Spec.PeriodSeconds, check.Spec.SuccessThreshold = 2, 2
	seen := follow(t, c, namespace)
	create(t, c, check)
	status := seen.next(t)
	if first := conditions(status); first != green {
		if first != waiting {
			t.Errorf("the first status has the conditions %s, want all three", first)
		}
		status = seen.until(t, green)
	}
	if status.ObservedGeneration != 1 || status.Observer != "a" || status.ObservedAt == nil || status.StaleAfterSeconds < 600 {
		t.Errorf("status of a healthy check = %+v", status)
	}
	if diff := cmp.Diff(&v1alpha1.TargetCounts{Total: 1, Healthy: 1}, status.Targets); diff != "" {
		t.Errorf("targets (-want +got):\n%s", diff)
	}
	server.ill.Store(true)
	status = seen.until(t, retrying)
	if message := meta.FindStatusCondition(status.Conditions, v1alpha1.CheckHealthy).Message; !strings.Contains(message, "1 of 3") || !strings.Contains(message, "503") {
		t.Errorf("message of a check that is retried = %q", message)
	}
	status = seen.until(t, red)
	if len(status.Failing) != 1 || status.Failing[0].Reason != "UnexpectedStatus" || len(status.RecentFailures) != 3 || status.Targets.Unhealthy != 1 {
		t.Errorf("status of a failed check = %+v", status)
	}
	server.ill.Store(false)
	seen.until(t, recovering)
	status = seen.until(t, green)
	var verdicts []metav1.ConditionStatus
	for _, transition := range status.Transitions {
		verdicts = append(verdicts, transition.Healthy)
	}
	if want := []metav1.ConditionStatus{metav1.ConditionTrue, metav1.ConditionFalse, metav1.ConditionTrue}; !slices.Equal(verdicts, want) {
		t.Errorf("transitions = %v, want %v", verdicts, want)
	}
	for _, condition := range status.Conditions {
		if condition.ObservedGeneration != 1 {
			t.Errorf("condition %s is of generation %d", condition.Type, condition.ObservedGeneration)
		}
	}
	toldOf(t, c, namespace)
	// The record is written at its own pace, and when the replica stops.
	r.stop()
	<-r.ended
	recorded(t, c, namespace)
}

// toldOf looks for the Events of a check that failed and got well.
func toldOf(t *testing.T, c client.Client, namespace string) {
	t.Helper()
	var told eventsv1.EventList
	waitFor(t, "Events of both transitions", soon, func() bool {
		return c.List(t.Context(), &told, client.InNamespace(namespace)) == nil && len(told.Items) == 2
	})
	for _, e := range told.Items {
		if e.Regarding.Kind != "Check" || e.Regarding.Name != "web" || e.Reason != "Unhealthy" && e.Reason != "Recovered" {
			t.Errorf("an Event of %s %s: %s", e.Regarding.Kind, e.Regarding.Name, e.Reason)
		}
	}
}

// recorded looks for the history of such a check.
func recorded(t *testing.T, c client.Client, namespace string) {
	t.Helper()
	var records v1alpha1.CheckRecordList
	if err := c.List(t.Context(), &records, client.InNamespace(namespace)); err != nil {
		t.Fatal(err)
	}
	if len(records.Items) != 1 {
		t.Fatalf("%d records", len(records.Items))
	}
	if r := records.Items[0]; r.Name != "check-web" || r.Healthy != metav1.ConditionTrue || len(r.Outcomes) < 6 || r.LastFailure == nil {
		t.Errorf("record = %+v", r)
	}
}

// states are those that Checks were seen in, in their order.
type states <-chan v1alpha1.CheckStatus

// follow gives the states of a namespace's Checks from now on, also such as are over before anybody asks.
func follow(t *testing.T, c client.WithWatch, namespace string) states {
	t.Helper()
	w, err := c.Watch(t.Context(), &v1alpha1.CheckList{}, client.InNamespace(namespace))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(w.Stop)
	out := make(chan v1alpha1.CheckStatus, 1000)
	go func() {
		defer close(out)
		for event := range w.ResultChan() {
			if check, ok := event.Object.(*v1alpha1.Check); ok && len(check.Status.Conditions) > 0 {
				select {
				case out <- check.Status:
				case <-t.Context().Done():
					return
				}
			}
		}
	}()
	return out
}

// next is the next state.
func (s states) next(t *testing.T) v1alpha1.CheckStatus {
	t.Helper()
	select {
	case status, ok := <-s:
		if !ok {
			t.Fatal("the watch ended")
		}
		return status
	case <-time.After(soon):
		t.Fatalf("no other state within %v", soon)
	}
	return v1alpha1.CheckStatus{}
}

// until is the next state with these conditions.
func (s states) until(t *testing.T, want string) v1alpha1.CheckStatus {
	t.Helper()
	var passed []string
	for deadline := time.Now().Add(soon); time.Now().Before(deadline); {
		status := s.next(t)
		if conditions(status) == want {
			return status
		}
		passed = append(passed, conditions(status))
	}
	t.Fatalf("after %v the states were\n%s\nwant\n%s", soon, strings.Join(passed, "\n"), want)
	return v1alpha1.CheckStatus{}
}

// TestSteadyStateIsNotWritten runs healthy, and failing, checks every second and counts what is written.
func TestSteadyStateIsNotWritten(t *testing.T) {
	c := newClient(t, admin)
	namespace := newNamespace(t, c)
	well, ill := serve(t), serve(t)
	ill.ill.Store(true)
	r := start(t, admin, namespace, "a", nil)
	first := create(t, c, well.newCheck(namespace, "well"))
	second := create(t, c, ill.newCheck(namespace, "ill"))
	waitForConditions(t, c, first, green, soon)
	waitForConditions(t, c, second, red, soon)
	waitFor(t, "the records and the Event are written", soon, func() bool { return r.requests.count("POST event") >= 1 })
	before, asked := r.requests.writes(), well.asked.Load()+ill.asked.Load()
	waitFor(t, "20 runs", soon, func() bool { return well.asked.Load()+ill.asked.Load() >= asked+20 })
	if after := r.requests.writes(); after != before {
		t.Errorf("20 runs that ended as those before made %d writes, want none: %v", after-before, r.requests.counts)
	}
}

// TestSuspend suspends a check, and takes it up again.
func TestSuspend(t *testing.T) {
	c := newClient(t, admin)
	namespace := newNamespace(t, c)
	server := serve(t)
	start(t, admin, namespace, "a", nil)
	name := create(t, c, server.newCheck(namespace, "web"))
	waitForConditions(t, c, name, green, soon)
	change(t, c, name, func(check *v1alpha1.Check) { check.Spec.Suspend = true })
	status := waitForConditions(t, c, name, "Ready=False/Suspended Healthy=Unknown/Suspended Stalled=Unknown/Pending", soon)
	if status.ObservedGeneration != 2 {
		t.Errorf("observedGeneration = %d", status.ObservedGeneration)
	}
	asked := server.asked.Load()
	server.ill.Store(true)
	change(t, c, name, func(check *v1alpha1.Check) { check.Spec.Suspend = false })
	// What was known before says nothing about now: the first answer decides.
	waitForConditions(t, c, name, red, soon)
	if server.asked.Load() == asked {
		t.Error("a verdict without a question")
	}
}
