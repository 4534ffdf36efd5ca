package runs

import (
	"errors"
	"net/http"
	"strings"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	khv1 "github.com/maek-dev/maek/api/kuberhealthy/v1"
	khv2 "github.com/maek-dev/maek/api/kuberhealthy/v2"
	"github.com/maek-dev/maek/internal/kuberhealthy"
)

// TestAReportOutlivesAnOutage sees that a report which comes while the API server does not answer is
// stored when it does, and that the run is not failed before, although its time is up.
func TestAReportOutlivesAnOutage(t *testing.T) {
	t.Parallel()
	ns, r := namespace(t), &ring{}
	k := play(t, ns, r)
	k.hold = make(chan struct{})
	one := start(t, ns, r)
	const timeout = 15 * time.Second
	create(t, khcheck(ns, "two", "ok", "1h", timeout.String()))
	create(t, healthCheck(ns, "three", "ok", "1h", timeout.String()))
	eventually(t, timeout, "two pods", func() bool { return len(working(t, ns)) == 2 })
	one.wire.cut()
	cut := time.Now()
	close(k.hold)
	eventually(t, 2*timeout, "both runs' time is up", func() bool { return time.Since(cut) > timeout+2*time.Second })
	one.wire.mend()
	eventually(t, 2*soon, "both reports are stored", func() bool {
		return len(one.outcomes.of("two")) > 0 && len(one.outcomes.of("three")) > 0
	})
	for _, name := range []string{"two", "three"} {
		if o := one.outcomes.of(name)[0]; !o.OK {
			t.Errorf("%s ended so: %s %s", name, o.Reason, o.Message)
		}
	}
	eventually(t, soon, "both reports are answered", func() bool { _, accepted := k.count(); return accepted == 2 })
}

func TestACheckAndAJobOfOneNameTakeTurns(t *testing.T) {
	t.Parallel()
	ns, r := namespace(t), &ring{}
	k := play(t, ns, r)
	one := start(t, ns, r)
	create(t, khcheck(ns, "same", "ok", "1s", "30s"))
	eventually(t, soon, "the check runs", func() bool { return len(one.outcomes.of("same")) > 1 })
	create(t, khjob(ns, "same", "ok", "30s"))
	var job khv1.KuberhealthyJob
	eventually(t, soon, "the job is completed", func() bool {
		return read(t, ns, "same", &job) && job.Spec.Phase == khv1.JobCompleted
	})
	before := len(one.outcomes.of("same"))
	eventually(t, soon, "the check goes on", func() bool { return len(one.outcomes.of("same")) > before+2 })
	jobs := 0
	for _, o := range one.outcomes.of("same") {
		if !o.OK {
			t.Errorf("a run of %s ended so: %s %s", o.Check.Kind, o.Reason, o.Message)
		}
		if o.Check.Kind == kuberhealthy.KindJob {
			jobs++
		}
	}
	if jobs != 1 {
		t.Errorf("the job ran %d times", jobs)
	}
	if doubled := k.doubled(); len(doubled) > 0 {
		t.Errorf("runs with more than one pod: %v", doubled)
	}
}

func TestTheStateOfACheckGoesWithIt(t *testing.T) {
	t.Parallel()
	ns, r := namespace(t), &ring{}
	play(t, ns, r)
	one := start(t, ns, r)
	check := khcheck(ns, "short", "ok", "1h", "30s")
	create(t, check)
	eventually(t, soon, "a run", func() bool { return len(one.outcomes.of("short")) == 1 })
	if err := cluster.Delete(t.Context(), check); err != nil {
		t.Fatalf("deleting the check: %v", err)
	}
	eventually(t, soon, "the state is gone", func() bool { return !read(t, ns, "short", &khv1.KuberhealthyState{}) })
	// The same once more: another object of the name begins anew.
	create(t, khcheck(ns, "short", "ok", "1h", "30s"))
	eventually(t, soon, "a run of the new one", func() bool { return len(one.outcomes.of("short")) == 2 })
}

func TestKuberhealthysFinalizerIsTakenOff(t *testing.T) {
	t.Parallel()
	ns, r := namespace(t), &ring{}
	play(t, ns, r)
	check := healthCheck(ns, "left", "ok", "1h", "30s")
	check.Finalizers = []string{"kuberhealthy.io/healthcheck"}
	create(t, check)
	if err := cluster.Delete(t.Context(), check); err != nil {
		t.Fatalf("deleting the check: %v", err)
	}
	start(t, ns, r)
	eventually(t, soon, "the check is gone", func() bool { return !read(t, ns, "left", &khv2.HealthCheck{}) })
}

func TestAWishForARun(t *testing.T) {
	t.Parallel()
	ns, r := namespace(t), &ring{}
	play(t, ns, r)
	one, two := start(t, ns, r), start(t, ns, r)
	ended := func() int { return len(one.outcomes.of("rare")) + len(two.outcomes.of("rare")) }
	create(t, healthCheck(ns, "rare", "ok", "1h", "30s"))
	eventually(t, soon, "a run", func() bool { return ended() == 1 })
	var check khv2.HealthCheck
	read(t, ns, "rare", &check)
	// Whichever of them owns the check: the other takes the wish too.
	for i, replica := range []*replica{one, two} {
		eventually(t, soon, "the wish is taken", func() bool {
			return replica.engine.RunNow(t.Context(), kuberhealthy.FromHealthCheck(&check)) == nil
		})
		eventually(t, soon, "it is granted", func() bool { return ended() == i+2 })
	}
	time.Sleep(2 * time.Second)
	if n := ended(); n != 3 {
		t.Errorf("%d runs, want 3", n)
	}
	check.Name = "nobody"
	var refusal *kuberhealthy.Refusal
	if err := one.engine.RunNow(t.Context(), kuberhealthy.FromHealthCheck(&check)); !errors.As(err, &refusal) || refusal.Status != http.StatusNotFound {
		t.Errorf("a run of nobody: %v", err)
	}
}

func TestNothingIsBegunInANamespaceThatIsDeleted(t *testing.T) {
	t.Parallel()
	ns, r := namespace(t), &ring{}
	play(t, ns, r)
	create(t, khcheck(ns, "late", "ok", "1s", "30s"))
	create(t, healthCheck(ns, "late", "ok", "1s", "30s"))
	// Without controllers in this control plane the namespace stays as it is: terminating.
	if err := cluster.Delete(t.Context(), &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: ns}}); err != nil {
		t.Fatalf("deleting the namespace: %v", err)
	}
	one := start(t, ns, r)
	attempts := func() (n int) {
		for _, name := range one.wire.sent() {
			if strings.HasPrefix(name, "CREATE") {
				n++
			}
		}
		return n
	}
	eventually(t, soon, "it is tried for both", func() bool { return attempts() >= 2 })
	time.Sleep(5 * time.Second)
	var pods corev1.PodList
	if err := cluster.List(t.Context(), &pods, client.InNamespace(ns)); err != nil || len(pods.Items) > 0 {
		t.Errorf("%d pods (%v)", len(pods.Items), err)
	}
	if n := attempts(); n > 8 {
		t.Errorf("%d attempts in 5 s", n)
	}
}

func TestReportsThatAreNotTaken(t *testing.T) {
	t.Parallel()
	ns, r := namespace(t), &ring{}
	play(t, ns, r)
	one := start(t, ns, r)
	create(t, healthCheck(ns, "three", "hang", "1h", "5m"))
	var check khv2.HealthCheck
	eventually(t, soon, "a run", func() bool { return read(t, ns, "three", &check) && check.Status.CurrentUUID != "" })
	report := func(id string) int {
		err := one.engine.Report(t.Context(), kuberhealthy.Origin{API: kuberhealthy.V3, RunID: id}, kuberhealthy.Report{OK: true})
		var refusal *kuberhealthy.Refusal
		switch {
		case err == nil:
			return http.StatusOK
		case errors.As(err, &refusal):
			return refusal.Status
		}
		t.Errorf("reporting for %s: %v", id, err)
		return 0
	}
	for _, tc := range []struct {
		id   string
		want int
	}{
		{"", http.StatusBadRequest},
		{"00000000-0000-4000-8000-000000000000", http.StatusBadRequest},
		{check.Status.CurrentUUID, http.StatusOK},
		{check.Status.CurrentUUID, http.StatusBadRequest}, // version 3 takes one
	} {
		if got := report(tc.id); got != tc.want {
			t.Errorf("a report for the run %q was answered with %d, want %d", tc.id, got, tc.want)
		}
	}
}
