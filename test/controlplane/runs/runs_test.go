package runs

import (
	"context"
	"encoding/json"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/util/wait"
	"sigs.k8s.io/controller-runtime/pkg/client"

	khv1 "github.com/maek-dev/maek/api/kuberhealthy/v1"
	khv2 "github.com/maek-dev/maek/api/kuberhealthy/v2"
	"github.com/maek-dev/maek/internal/kuberhealthy"
	"github.com/maek-dev/maek/internal/operator/checkerpod"
)

// soon is for how long a test waits for what is to happen at once: long, for machines that have much else
// to do.
const soon = time.Minute

// maxCalls is how many requests a run may cost.
const maxCalls = 8

func namespace(t *testing.T) string {
	t.Helper()
	ns := &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{GenerateName: "runs-"}}
	create(t, ns)
	return ns.Name
}

func create(t *testing.T, object client.Object) {
	t.Helper()
	if err := cluster.Create(t.Context(), object); err != nil {
		t.Fatalf("creating %T %s: %v", object, object.GetName(), err)
	}
}

// read reads an object; it returns false where there is none.
func read(t *testing.T, namespace, name string, object client.Object) bool {
	t.Helper()
	err := cluster.Get(t.Context(), client.ObjectKey{Namespace: namespace, Name: name}, object)
	if client.IgnoreNotFound(err) != nil {
		t.Fatalf("reading %T %s/%s: %v", object, namespace, name, err)
	}
	return err == nil
}

// eventually waits until something holds.
func eventually(t *testing.T, within time.Duration, what string, holds func() bool) {
	t.Helper()
	err := wait.PollUntilContextTimeout(t.Context(), 20*time.Millisecond, within, true, func(context.Context) (bool, error) { return holds(), nil })
	if err != nil {
		t.Fatalf("not within %s: %s", within, what)
	}
}

func podSpec(image string) runtime.RawExtension {
	spec, err := json.Marshal(map[string]any{"containers": []any{map[string]any{"name": "main", "image": image}}})
	if err != nil {
		panic(err)
	}
	return runtime.RawExtension{Raw: spec}
}

func khcheck(namespace, name, image, interval, timeout string) *khv1.KuberhealthyCheck {
	return &khv1.KuberhealthyCheck{
		ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: name},
		Spec:       khv1.CheckSpec{RunInterval: interval, Timeout: timeout, PodSpec: podSpec(image)},
	}
}

func khjob(namespace, name, image, timeout string) *khv1.KuberhealthyJob {
	return &khv1.KuberhealthyJob{
		ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: name},
		Spec:       khv1.JobSpec{Timeout: timeout, PodSpec: podSpec(image)},
	}
}

func healthCheck(namespace, name, image, interval, timeout string) *khv2.HealthCheck {
	return &khv2.HealthCheck{
		ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: name},
		Spec: khv2.HealthCheckSpec{
			RunInterval: interval, Timeout: timeout, PodSpec: khv2.CheckPodSpec{Spec: podSpec(image)},
		},
	}
}

func TestAVersion2CheckRunsAgainAndAgain(t *testing.T) {
	t.Parallel()
	ns, r := namespace(t), &ring{}
	k := play(t, ns, r)
	one := start(t, ns, r)
	create(t, khcheck(ns, "dns", "ok", "2s", "10s"))
	eventually(t, soon, "four runs", func() bool { return len(one.outcomes.of("dns")) >= 4 })

	var state khv1.KuberhealthyState
	if !read(t, ns, "dns", &state) {
		t.Fatal("there is no KuberhealthyState")
	}
	if !state.Spec.OK || len(state.Spec.Errors) != 0 || state.Spec.AuthoritativePod != "operator" || state.Spec.Node != node || state.Spec.CurrentUUID == "" {
		t.Errorf("the state is %+v", state.Spec)
	}
	if doubled := k.doubled(); len(doubled) > 0 {
		t.Errorf("runs with more than one pod: %v", doubled)
	}
	outcomes := one.outcomes.of("dns")
	for i, o := range outcomes[1:] {
		if apart := o.Run.Started.Sub(outcomes[i].Run.Started); apart < 2*time.Second {
			t.Errorf("runs began %s apart, want 2s or, on a busy machine, more", apart)
		}
	}
	checkCost(t, one, len(outcomes))
}

func TestAVersion3CheckRunsAgainAndAgain(t *testing.T) {
	t.Parallel()
	ns, r := namespace(t), &ring{}
	k := play(t, ns, r)
	one := start(t, ns, r)
	create(t, healthCheck(ns, "dns", "ok", "2s", "10s"))
	eventually(t, soon, "four runs", func() bool { return len(one.outcomes.of("dns")) >= 4 })

	var check khv2.HealthCheck
	if !read(t, ns, "dns", &check) {
		t.Fatal("there is no HealthCheck")
	}
	if !check.Status.OK || check.Status.SuccessCount < 4 || check.Status.FailureCount != 0 || check.Status.LastRunUnix == 0 {
		t.Errorf("the status is %+v", check.Status)
	}
	if len(check.Finalizers) > 0 {
		t.Errorf("it bears finalizers: %v", check.Finalizers)
	}
	if doubled := k.doubled(); len(doubled) > 0 {
		t.Errorf("runs with more than one pod: %v", doubled)
	}
	checkCost(t, one, len(one.outcomes.of("dns")))
}

func TestAFailingRunCostsNoMore(t *testing.T) {
	t.Parallel()
	ns, r := namespace(t), &ring{}
	play(t, ns, r)
	one := start(t, ns, r)
	create(t, khcheck(ns, "two", "bad", "2s", "10s"))
	create(t, healthCheck(ns, "three", "bad", "2s", "10s"))
	create(t, khcheck(ns, "hung", "hang", "2s", "1s"))
	eventually(t, 2*soon, "three runs of each", func() bool {
		return len(one.outcomes.of("two")) >= 3 && len(one.outcomes.of("three")) >= 3 && len(one.outcomes.of("hung")) >= 3
	})
	all := 0
	for _, name := range []string{"two", "three", "hung"} {
		all += len(one.outcomes.of(name))
	}
	checkCost(t, one, all)
	for _, o := range one.outcomes.of("three") {
		if o.OK || o.Reason != checkerpod.ReportedFailure || o.Message != "the thing is broken" {
			t.Errorf("a run that reported a failure ended so: %+v", o)
		}
	}
}

// checkCost fails where runs cost more than they may. One run may be under way.
func checkCost(t *testing.T, r *replica, runs int) {
	t.Helper()
	sent := r.wire.sent()
	t.Logf("%d requests for %d runs: %v", len(sent), runs, tally(sent))
	if len(sent) > maxCalls*(runs+1) {
		t.Errorf("%d requests for %d runs, want at most %d each", len(sent), runs, maxCalls)
	}
}

func tally(requests []string) map[string]int {
	counts := map[string]int{}
	for _, name := range requests {
		counts[name]++
	}
	return counts
}

func TestAJobRunsOnce(t *testing.T) {
	t.Parallel()
	ns, r := namespace(t), &ring{}
	k := play(t, ns, r)
	one := start(t, ns, r)
	create(t, khjob(ns, "once", "ok", "10s"))
	var job khv1.KuberhealthyJob
	eventually(t, soon, "the job is completed", func() bool {
		return read(t, ns, "once", &job) && job.Spec.Phase == khv1.JobCompleted
	})
	one.engine.Wake()
	time.Sleep(time.Second)
	if pods, accepted := k.count(); pods != 1 || accepted != 1 {
		t.Errorf("%d pods and %d reports, want one", pods, accepted)
	}
	checkCost(t, one, 1)
}

func TestAHealthCheckWithSingleRunOnlyRunsOnceOverRestarts(t *testing.T) {
	t.Parallel()
	ns, r := namespace(t), &ring{}
	k := play(t, ns, r)
	one := start(t, ns, r)
	check := healthCheck(ns, "once", "ok", "1s", "10s")
	check.Spec.SingleRunOnly = true
	create(t, check)
	eventually(t, soon, "a run", func() bool { return len(one.outcomes.of("once")) == 1 })
	one.die(r)
	two := start(t, ns, r)
	eventually(t, soon, "the next replica knows it", func() bool { return len(two.outcomes.of("once")) == 1 })
	time.Sleep(2 * time.Second)
	if pods, _ := k.count(); pods != 1 {
		t.Errorf("%d pods, want 1", pods)
	}
}

func TestAReportWithoutAHeaderIsKnownByItsAddress(t *testing.T) {
	t.Parallel()
	ns, r := namespace(t), &ring{}
	play(t, ns, r)
	one := start(t, ns, r)
	create(t, khcheck(ns, "js", "hang", "1h", "5m"))
	var pods corev1.PodList
	eventually(t, soon, "the pod has an address", func() bool {
		if err := cluster.List(t.Context(), &pods, client.InNamespace(ns)); err != nil {
			t.Fatalf("listing pods: %v", err)
		}
		return len(pods.Items) == 1 && pods.Items[0].Status.PodIP != ""
	})
	from := kuberhealthy.Origin{API: kuberhealthy.V2, Address: parse(t, pods.Items[0].Status.PodIP)}
	if err := one.engine.Report(t.Context(), from, kuberhealthy.Report{OK: true}); err != nil {
		t.Fatalf("reporting: %v", err)
	}
	var state khv1.KuberhealthyState
	if !read(t, ns, "js", &state) || !state.Spec.OK || state.Spec.AuthoritativePod == "" {
		t.Errorf("the state is %+v", state.Spec)
	}
	from.Address = parse(t, "fd00::dead")
	if err := one.engine.Report(t.Context(), from, kuberhealthy.Report{OK: true}); err == nil {
		t.Error("a report of nobody was taken")
	}
}
