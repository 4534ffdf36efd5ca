package checkobjects

import (
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	dto "github.com/prometheus/client_model/go"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/maek-dev/maek/api/maek/v1alpha1"
	"github.com/maek-dev/maek/internal/operator/check/plan"
)

// healthy is what the metric says of a check; found is false where it says nothing.
func (r *replica) healthy(t *testing.T, name string) (value float64, found bool) {
	t.Helper()
	families, err := r.registry.Gather()
	if err != nil {
		t.Fatal(err)
	}
	for _, family := range families {
		if family.GetName() != "maek_check_healthy" {
			continue
		}
		for _, metric := range family.Metric {
			if label(metric, "check") == name {
				return metric.Gauge.GetValue(), true
			}
		}
	}
	return 0, false
}

// series is how many series of any metric tell of a check.
func (r *replica) series(t *testing.T, name string) (n int) {
	t.Helper()
	families, err := r.registry.Gather()
	if err != nil {
		t.Fatal(err)
	}
	for _, family := range families {
		for _, metric := range family.Metric {
			if label(metric, "check") == name {
				n++
			}
		}
	}
	return n
}

func label(metric *dto.Metric, name string) string {
	for _, pair := range metric.Label {
		if pair.GetName() == name {
			return pair.GetValue()
		}
	}
	return ""
}

// TestRefusal refuses what a check asks, and allows it.
func TestRefusal(t *testing.T) {
	c := newClient(t, admin)
	namespace := newNamespace(t, c)
	server := serve(t)
	r := start(t, admin, namespace, "a", nil)
	var refusal error = plan.Refuse("SecretMissing", "there is no Secret %s/login; make it", namespace)
	r.refusal.Store(&refusal)
	name := create(t, c, server.newCheck(namespace, "web"))
	status := waitForConditions(t, c, name, "Ready=False/Stalled Healthy=Unknown/Stalled Stalled=True/SecretMissing", soon)
	if message := status.Conditions[2].Message; !strings.Contains(message, "/login; make it") {
		t.Errorf("Stalled says %q", message)
	}
	r.refusal.Store(nil)
	waitForConditions(t, c, name, green, soon)
	// What passes is no refusal: nobody could ask, and nobody has to change anything.
	var passing error = errors.New("reading Service web: the cache is not filled")
	r.refusal.Store(&passing)
	waitForConditions(t, c, name, "Ready=True/Running Healthy=Unknown/NotAsked Stalled=False/Accepted", soon)
	var empty error = &plan.Empty{Reason: "NoEndpoints", Message: "the Service has no endpoint that is ready", Failure: true}
	r.refusal.Store(&empty)
	waitForConditions(t, c, name, "Ready=True/Running Healthy=False/NoEndpoints Stalled=False/Accepted", soon)
}

// TestHostileChecks makes Checks that no schema keeps out, beside one that must not notice.
func TestHostileChecks(t *testing.T) {
	c := newClient(t, admin)
	namespace := newNamespace(t, c)
	server, noisy := serve(t), serve(t)
	body := "\xff\xfe\x00" + strings.Repeat("\xe2\x82ill ", 3000)
	noisy.body.Store(&body)
	noisy.ill.Store(true)
	for name, template := range map[string]any{
		"number": map[string]any{"spec": int64(5)}, "list": map[string]any{"spec": map[string]any{"containers": "all"}},
	} {
		object := &unstructured.Unstructured{Object: map[string]any{"spec": map[string]any{"periodSeconds": int64(1), "podTemplate": template}}}
		object.SetGroupVersionKind(v1alpha1.GroupVersion.WithKind("Check"))
		object.SetNamespace(namespace)
		object.SetName(name)
		if err := c.Create(t.Context(), object); err != nil {
			t.Fatal(err)
		}
	}
	r := start(t, admin, namespace, "a", nil)
	waitForConditions(t, c, create(t, c, server.newCheck(namespace, "web")), green, soon)
	status := waitForConditions(t, c, create(t, c, noisy.newCheck(namespace, "noisy")), red, soon)
	for _, f := range append(status.Failing, status.RecentFailures...) {
		if len(f.Message) > 512 || !utf8.ValidString(f.Message) {
			t.Errorf("a message of %d bytes: %q", len(f.Message), f.Message)
		}
	}
	for _, name := range []string{"number", "list"} {
		waitFor(t, "the check "+name+" is stalled", soon, func() bool {
			object := &unstructured.Unstructured{}
			object.SetGroupVersionKind(v1alpha1.GroupVersion.WithKind("Check"))
			if err := c.Get(t.Context(), client.ObjectKey{Namespace: namespace, Name: name}, object); err != nil {
				t.Fatal(err)
			}
			if _, kept, err := unstructured.NestedFieldNoCopy(object.Object, "spec", "podTemplate", "spec"); err != nil || !kept {
				t.Fatalf("the spec of %s is not what was written: %v", name, object.Object["spec"])
			}
			conditions, _, err := unstructured.NestedSlice(object.Object, "status", "conditions")
			return err == nil && strings.Contains(fmt.Sprint(conditions), "InvalidPodTemplate")
		})
	}
	if n := r.pods.Load(); n != 0 {
		t.Errorf("%d pods of what is no pod", n)
	}
}

// TestTakeOver kills the replica that runs a check which fails, and one which is retried: the other goes on
// where it stopped.
func TestTakeOver(t *testing.T) {
	c := newClient(t, admin)
	namespace := newNamespace(t, c)
	ill, wavering := serve(t), serve(t)
	a, b := start(t, admin, namespace, "a", nil), start(t, admin, namespace, "b", nil)
	b.owned.Store(false)
	b.held.Store(false)
	ill.ill.Store(true)
	fails := create(t, c, ill.newCheck(namespace, "ill"))
	check := wavering.newCheck(namespace, "wavering")
	check.Spec.FailureThreshold = 100
	waits := create(t, c, check)
	waitForConditions(t, c, fails, red, soon)
	waitForConditions(t, c, waits, green, soon)
	wavering.ill.Store(true)
	waitForConditions(t, c, waits, retrying, soon)
	before := statusOf(t, c, fails)
	// The wire is cut first: nothing of it is told to anybody.
	a.requests.cut.Store(true)
	a.owned.Store(false)
	asked := ill.asked.Load()
	waitFor(t, "the replica that is cut off goes on asking", soon, func() bool { return ill.asked.Load() >= asked+2 })
	if value, found := a.healthy(t, "ill"); !found || value != 0 {
		t.Errorf("the replica that is cut off says %v, %t of a check that fails", value, found)
	}
	b.owned.Store(true)
	b.held.Store(true)
	b.controller.Wake()
	waitFor(t, "the other says so too", soon, func() bool { value, found := b.healthy(t, "ill"); return found && value == 0 })
	a.held.Store(false)
	a.controller.Wake()
	waitFor(t, "the replica that is cut off lets go", soon, func() bool { _, found := a.healthy(t, "ill"); return !found })
	if n := a.series(t, "ill") + a.series(t, "wavering"); n != 0 {
		t.Errorf("%d series are left with the replica that has let go", n)
	}
	if n := b.series(t, "ill"); n != 9 {
		t.Errorf("%d series tell of a check at the replica that runs it", n)
	}
	if value, found := b.healthy(t, "wavering"); !found || value != 1 {
		t.Errorf("a check that is retried is %v, %t after it changed hands, want healthy still", value, found)
	}
	after := statusOf(t, c, fails)
	if len(after.Transitions) != len(before.Transitions) || conditions(after) != red {
		t.Errorf("a check that changed hands has the transitions %+v, had %+v", after.Transitions, before.Transitions)
	}
	ill.ill.Store(false)
	status := waitForConditions(t, c, fails, green, soon)
	if status.Observer != "b" || len(status.Transitions) != len(before.Transitions)+1 {
		t.Errorf("after it got well: observer %s, transitions %+v", status.Observer, status.Transitions)
	}
}

// TestOutage cuts a replica off and lets it come back: what happened meanwhile is written then, and nothing
// of it twice.
func TestOutage(t *testing.T) {
	c := newClient(t, admin)
	namespace := newNamespace(t, c)
	server := serve(t)
	r := start(t, admin, namespace, "a", nil)
	name := create(t, c, server.newCheck(namespace, "web"))
	pod := &v1alpha1.Check{ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: "pod"}}
	pod.Spec.PeriodSeconds = 1
	pod.Spec.Synthetic = &v1alpha1.SyntheticAction{Scenario: "dns"}
	create(t, c, pod)
	waitForConditions(t, c, name, green, soon)
	waitFor(t, "a run of a pod", soon, func() bool { return r.pods.Load() > 0 })
	r.requests.cut.Store(true)
	r.owned.Store(false)
	writes, pods := r.requests.writes(), r.pods.Load()
	server.ill.Store(true)
	waitFor(t, "the verdict changes all the same", soon, func() bool { value, found := r.healthy(t, "web"); return found && value == 0 })
	if n := r.requests.writes(); n != writes {
		t.Errorf("%d writes went through a wire that is cut", n-writes)
	}
	if n := r.pods.Load(); n > pods+1 {
		t.Errorf("%d pods were made by a replica that owns nothing", n-pods)
	}
	r.requests.cut.Store(false)
	r.owned.Store(true)
	r.controller.Wake()
	status := waitForConditions(t, c, name, red, soon)
	if len(status.Transitions) != 2 {
		t.Errorf("transitions = %+v", status.Transitions)
	}
}

// TestManyChecksAtOnce makes hundreds of Checks at a time, all of which fail: their statuses are written at
// the pace that all writes have, but the first ones of each.
func TestManyChecksAtOnce(t *testing.T) {
	c := newClient(t, admin)
	namespace := newNamespace(t, c)
	server := serve(t)
	server.ill.Store(true)
	r := start(t, admin, namespace, "a", nil)
	const checks = 300
	for i := range checks {
		check := server.newCheck(namespace, fmt.Sprintf("check-%03d", i))
		check.Spec.PeriodSeconds, check.Spec.FailureThreshold = 2, 1
		create(t, c, check)
	}
	before, since := r.requests.writes(), time.Now()
	asked := server.asked.Load()
	waitFor(t, "each was run some times", time.Minute, func() bool { return server.asked.Load() >= asked+4*checks })
	seconds := time.Since(since).Seconds()
	// A first status, a first verdict, and an Event of that.
	if n := float64(r.requests.writes() - before); n > 3*checks+20*(seconds+2) {
		t.Errorf("%.0f writes in %.1f s, want 20 a second at most beside %d first ones: %v", n, seconds, 3*checks, r.requests.counts)
	}
	t.Logf("%d writes in %.1f s: %v", r.requests.writes()-before, seconds, r.requests.counts)
	var list v1alpha1.CheckList
	if err := c.List(t.Context(), &list, client.InNamespace(namespace)); err != nil {
		t.Fatal(err)
	}
	if err := c.DeleteAllOf(t.Context(), &v1alpha1.Check{}, client.InNamespace(namespace)); err != nil {
		t.Fatal(err)
	}
	waitFor(t, "their metrics go with them", soon, func() bool { _, found := r.healthy(t, "check-000"); return !found })
}

// TestRunNow wishes for a run of a check that is due in hours.
func TestRunNow(t *testing.T) {
	c := newClient(t, admin)
	namespace := newNamespace(t, c)
	server := serve(t)
	start(t, admin, namespace, "a", nil)
	check := server.newCheck(namespace, "web")
	check.Spec.PeriodSeconds, check.Spec.Schedule = 0, "0 0 1 1 *"
	name := create(t, c, check)
	waitForConditions(t, c, name, waiting, soon)
	change(t, c, name, func(check *v1alpha1.Check) {
		metav1.SetMetaDataAnnotation(&check.ObjectMeta, "maek.dev/run-now", time.Now().UTC().Format(time.RFC3339))
	})
	waitForConditions(t, c, name, green, soon)
	asked := server.asked.Load()
	change(t, c, name, func(check *v1alpha1.Check) { metav1.SetMetaDataLabel(&check.ObjectMeta, "touched", "true") })
	if asked != 1 || server.asked.Load() != asked {
		t.Errorf("a wish for one run made %d", server.asked.Load())
	}
}

// TestStoppingWritesWhatIsKnown stops a replica that knows more than it was allowed to write.
func TestStoppingWritesWhatIsKnown(t *testing.T) {
	c := newClient(t, admin)
	namespace := newNamespace(t, c)
	server := serve(t)
	r := start(t, admin, namespace, "a", nil)
	const checks = 100
	var names []types.NamespacedName
	for i := range checks {
		check := server.newCheck(namespace, fmt.Sprintf("check-%03d", i))
		check.Spec.FailureThreshold = 1
		names = append(names, create(t, c, check))
	}
	for _, name := range names {
		waitForConditions(t, c, name, green, soon)
	}
	server.ill.Store(true)
	written := r.requests.count("PUT status")
	waitFor(t, "all verdicts are known", soon, func() bool {
		for _, name := range names {
			if value, found := r.healthy(t, name.Name); !found || value != 0 {
				return false
			}
		}
		return true
	})
	if n := r.requests.count("PUT status") - written; n >= checks {
		t.Fatalf("%d statuses are written already: nothing is left to be written in the end", n)
	}
	r.stop()
	<-r.ended
	for _, name := range names {
		if got := conditions(statusOf(t, c, name)); got != red {
			t.Errorf("%s: %s", name.Name, got)
		}
	}
}

// TestRunningTwice holds that a controller which cannot run its Checks ends, and says why.
func TestRunningTwice(t *testing.T) {
	c := newClient(t, admin)
	namespace := newNamespace(t, c)
	server := serve(t)
	r := start(t, admin, namespace, "a", nil)
	name := create(t, c, server.newCheck(namespace, "web"))
	waitForConditions(t, c, name, green, soon)
	if err := r.controller.Run(t.Context()); err == nil || !strings.Contains(err.Error(), "running Checks") {
		t.Errorf("a second run ended with %v", err)
	}
}
