package runs

import (
	"strings"
	"sync/atomic"
	"testing"

	"sigs.k8s.io/controller-runtime/pkg/client"

	khv1 "github.com/maek-dev/maek/api/kuberhealthy/v1"
	khv2 "github.com/maek-dev/maek/api/kuberhealthy/v2"
)

// TestAReplicaIsKilledAtAnyStep kills the owner of a check once at each of its requests, before it is
// sent and before it is answered, and sees that the next owner loses, doubles and leaks nothing.
func TestAReplicaIsKilledAtAnyStep(t *testing.T) {
	t.Parallel()
	kinds := map[string]struct {
		object func(ns string) client.Object
		// requests of a run that it may die at, in their order.
		requests []string
		// once tells that there is but one run.
		once bool
	}{
		"version 2": {
			func(ns string) client.Object { return khcheck(ns, "check", "ok", "2s", "30s") },
			[]string{"CREATE khstates", "CREATE pods", "UPDATE khstates", "DELETE pods"},
			false,
		},
		"version 3": {
			func(ns string) client.Object { return healthCheck(ns, "check", "ok", "2s", "30s") },
			[]string{"UPDATE healthchecks/status", "CREATE pods", "DELETE pods"},
			false,
		},
		"a job": {
			func(ns string) client.Object { return khjob(ns, "check", "ok", "30s") },
			[]string{"CREATE khstates", "CREATE pods", "PATCH khjobs", "UPDATE khstates"},
			true,
		},
	}
	for name, tc := range kinds {
		for _, request := range tc.requests {
			for how, fate := range map[string]verdict{"before it is sent": lose, "before it is answered": deafen} {
				t.Run(strings.Join([]string{name, request, how}, ", "), func(t *testing.T) {
					t.Parallel()
					ns, r := namespace(t), &ring{}
					k := play(t, ns, r)
					one := start(t, ns, r)
					var struck atomic.Bool
					one.wire.judge(func(sent string) verdict {
						if sent == request && struck.CompareAndSwap(false, true) {
							return fate
						}
						return pass
					})
					create(t, tc.object(ns))
					eventually(t, soon, "the replica dies", one.wire.broken)
					one.die(r)
					two := start(t, ns, r)

					want := 3
					if tc.once {
						want = 1
					}
					eventually(t, 2*soon, "the next replica goes on", func() bool { return len(two.outcomes.of("check")) >= want })
					for _, o := range two.outcomes.of("check") {
						if !o.OK {
							t.Errorf("a run ended so: %s %s", o.Reason, o.Message)
						}
					}
					if doubled := k.doubled(); len(doubled) > 0 {
						t.Errorf("runs with more than one pod: %v", doubled)
					}
					if tc.once {
						var job khv1.KuberhealthyJob
						eventually(t, soon, "the job is completed", func() bool {
							return read(t, ns, "check", &job) && job.Spec.Phase == khv1.JobCompleted
						})
						if pods, _ := k.count(); pods != 1 {
							t.Errorf("%d pods of a job, want one", pods)
						}
					}
					// Lost is a run that had a pod whose report nobody took.
					eventually(t, soon, "all pods have reported", func() bool {
						pods, accepted := k.count()
						return pods == accepted
					})
				})
			}
		}
	}
}

// TestRepeatedKills kills the owner of several checks again and again.
func TestRepeatedKills(t *testing.T) {
	t.Parallel()
	ns, r := namespace(t), &ring{}
	k := play(t, ns, r)
	const checks, kills = 5, 20
	for i := range checks {
		name := string(rune('a' + i))
		create(t, khcheck(ns, "two-"+name, "ok", "1s", "60s"))
		create(t, healthCheck(ns, "three-"+name, "ok", "1s", "60s"))
	}
	self := start(t, ns, r)
	for range kills {
		before, _ := k.count()
		eventually(t, soon, "runs begin", func() bool { pods, _ := k.count(); return pods > before+2 })
		self.die(r)
		self = start(t, ns, r)
	}
	// What is at work is left to end; nothing is to be left of the rest.
	eventually(t, 2*soon, "every pod has reported once", func() bool {
		pods, accepted := k.count()
		return pods == accepted
	})
	if doubled := k.doubled(); len(doubled) > 0 {
		t.Errorf("runs with more than one pod: %v", doubled)
	}
	for _, o := range self.outcomes.of("two-a") {
		if !o.OK {
			t.Errorf("a run ended so: %s %s", o.Reason, o.Message)
		}
	}
	var list khv2.HealthCheckList
	if err := cluster.List(t.Context(), &list, client.InNamespace(ns)); err != nil {
		t.Fatalf("listing: %v", err)
	}
	for i := range list.Items {
		if s := list.Items[i].Status; s.FailureCount != 0 || s.SuccessCount == 0 {
			t.Errorf("%s: %d runs failed and %d did not", list.Items[i].Name, s.FailureCount, s.SuccessCount)
		}
	}
	pods, _ := k.count()
	t.Logf("%d runs, %d kills", pods, kills)
}

// TestTwoReplicasShareChecks sees that each check has one owner, and that the checks of one that leaves
// go on.
func TestTwoReplicasShareChecks(t *testing.T) {
	t.Parallel()
	ns, r := namespace(t), &ring{}
	k := play(t, ns, r)
	one, two := start(t, ns, r), start(t, ns, r)
	names := []string{"a", "b", "c", "d", "e", "f"}
	for _, name := range names {
		create(t, khcheck(ns, name, "ok", "1s", "60s"))
	}
	all := func() int { pods, _ := k.count(); return pods }
	eventually(t, soon, "both run checks", func() bool {
		return all() > 20 && len(one.wire.sent()) > 10 && len(two.wire.sent()) > 10
	})
	// One of them leaves in good order: what it is at is finished.
	r.change(func([]*replica) []*replica { return []*replica{two} })
	one.stop()
	<-one.stopped
	for _, name := range names {
		before := len(two.outcomes.of(name))
		eventually(t, soon, "check "+name+" goes on", func() bool { return len(two.outcomes.of(name)) >= before+2 })
	}
	if doubled := k.doubled(); len(doubled) > 0 {
		t.Errorf("runs with more than one pod: %v", doubled)
	}
	for _, name := range names {
		for _, o := range append(one.outcomes.of(name), two.outcomes.of(name)...) {
			if !o.OK {
				t.Errorf("a run of %s ended so: %s %s", name, o.Reason, o.Message)
			}
		}
	}
}
