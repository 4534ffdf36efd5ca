package operator

import (
	"context"
	"fmt"
	"log/slog"
	"strings"
	"testing"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	clocktesting "k8s.io/utils/clock/testing"
	"sigs.k8s.io/controller-runtime/pkg/client"

	khv1 "github.com/maek-dev/maek/api/kuberhealthy/v1"
	"github.com/maek-dev/maek/api/maek/v1alpha1"
	"github.com/maek-dev/maek/internal/history"
	"github.com/maek-dev/maek/internal/operator/checkerpod"
	"github.com/maek-dev/maek/internal/operator/record"
	"github.com/maek-dev/maek/test/controlplane/apiserver"
)

// keeper is one replica's, with a clock of its own.
type keeper struct {
	*record.Keeper
	clock *clocktesting.FakeClock
	stop  context.CancelFunc
	ended chan struct{}
	owned bool
}

func keep(t *testing.T, c client.Client, self string) *keeper {
	t.Helper()
	k := &keeper{clock: clocktesting.NewFakeClock(time.Now().Truncate(time.Second)), ended: make(chan struct{}), owned: true}
	k.Keeper = record.New(record.Options{
		Client: c, Self: self, Clock: k.clock, Log: slog.New(slog.DiscardHandler),
		Served: func() bool { return true }, Owns: func(types.UID) bool { return k.owned }, Replicas: func() int { return 1 },
		Exists: func(ctx context.Context, check record.Check) bool {
			var object khv1.KuberhealthyCheck
			err := c.Get(ctx, check.NamespacedName, &object)
			return err != nil && !apierrors.IsNotFound(err) || object.UID == check.UID
		},
	})
	ctx, cancel := context.WithCancel(t.Context())
	k.stop = cancel
	go func() {
		defer close(k.ended)
		if err := k.Run(ctx); err != nil {
			t.Errorf("keeping records: %v", err)
		}
	}()
	t.Cleanup(func() { cancel(); <-k.ended })
	return k
}

// tell tells of a run that ended now.
func (k *keeper) tell(check record.Check, reason checkerpod.Reason, message, log string) {
	now := k.clock.Now()
	ended := history.Run{Started: now.Add(-time.Second), Ended: now, Latency: time.Second, Result: v1alpha1.ResultSuccess}
	if reason != "" {
		ended.Result, ended.Reason, ended.Message, ended.LogTail = v1alpha1.ResultFailure, string(reason), message, log
	}
	k.Ended(record.Run{Check: check, Run: ended, Thresholds: history.Thresholds{Success: 1, Failure: 1}})
}

// pass lets time go by once somebody waits for it to.
func (k *keeper) pass(t *testing.T, d time.Duration) {
	t.Helper()
	waitFor(t, "the keeper waits", 10*time.Second, k.clock.HasWaiters)
	k.clock.Step(d)
}

func recordOf(t *testing.T, c client.Client, check record.Check) (r v1alpha1.CheckRecord, found bool) {
	t.Helper()
	err := c.Get(t.Context(), client.ObjectKey{Namespace: check.Namespace, Name: record.Name(check.Kind, check.Name)}, &r)
	if err != nil && !apierrors.IsNotFound(err) {
		t.Fatal(err)
	}
	return r, err == nil
}

func newCheckOf(t *testing.T, c client.Client, namespace, name string) (record.Check, *khv1.KuberhealthyCheck) {
	t.Helper()
	object := newCheck(namespace, name, "1m", "30s")
	if err := c.Create(t.Context(), object); err != nil {
		t.Fatal(err)
	}
	return record.Check{
		APIVersion: khv1.GroupVersion.String(), Kind: "KuberhealthyCheck", NamespacedName: types.NamespacedName{Namespace: namespace, Name: name},
		UID: object.UID,
	}, object
}

func TestRecordIsWrittenSeldom(t *testing.T) {
	c := newClient(t, admin)
	check, _ := newCheckOf(t, c, newNamespace(t, c), "check")
	k := keep(t, c, "a")
	k.tell(check, "", "", "")
	waitFor(t, "the first run is recorded", 10*time.Second, func() bool { _, found := recordOf(t, c, check); return found })
	first, _ := recordOf(t, c, check)
	owner := metav1.OwnerReference{APIVersion: "comcast.github.io/v1", Kind: "KuberhealthyCheck", Name: "check", UID: check.UID}
	if first.Name != "khcheck-check" || first.Writer != "a" || first.Healthy != metav1.ConditionTrue || len(first.OwnerReferences) != 1 || first.OwnerReferences[0] != owner {
		t.Errorf("record = %+v", first)
	}

	for range 3 {
		k.pass(t, time.Minute)
		k.tell(check, "", "", "")
	}
	if r, _ := recordOf(t, c, check); r.ResourceVersion != first.ResourceVersion {
		t.Error("runs that end as before were written at once")
	}
	k.pass(t, 4*time.Minute)
	waitFor(t, "a checkpoint", 10*time.Second, func() bool { r, _ := recordOf(t, c, check); return len(r.Outcomes) == 4 })

	k.pass(t, time.Minute)
	k.tell(check, checkerpod.OOMKilled, "container main used more than 64Mi", "line 1\nline 2\n")
	waitFor(t, "the verdict's change is written", 10*time.Second, func() bool { r, _ := recordOf(t, c, check); return r.Healthy == metav1.ConditionFalse })
	failed, _ := recordOf(t, c, check)
	if f := failed.LastFailure; f == nil || f.Reason != "OOMKilled" || f.LogTail != "line 1\nline 2\n" || failed.Streak != 1 {
		t.Errorf("record of the failure = %+v", failed)
	}
	k.pass(t, time.Minute)
	k.tell(check, checkerpod.OOMKilled, "container main used more than 64Mi", "line 1\nline 2\n")
	if r, _ := recordOf(t, c, check); r.ResourceVersion != failed.ResourceVersion {
		t.Error("a failure like the one before was written at once")
	}
	k.stop()
	<-k.ended
	if r, _ := recordOf(t, c, check); r.Streak != 2 || len(r.Outcomes) != 6 {
		t.Errorf("after the end the streak is %d of %d runs, want what was not written yet to be written", r.Streak, len(r.Outcomes))
	}
}

func TestRecordChangesHands(t *testing.T) {
	c := newClient(t, admin)
	check, _ := newCheckOf(t, c, newNamespace(t, c), "check")
	a, b := keep(t, c, "a"), keep(t, c, "b")
	a.tell(check, "", "", "")
	waitFor(t, "the first run is recorded", 10*time.Second, func() bool { _, found := recordOf(t, c, check); return found })
	// One more that is written nowhere yet, when the other takes over.
	a.pass(t, time.Minute)
	a.tell(check, "", "", "")
	b.pass(t, 2*time.Minute)
	b.tell(check, checkerpod.Deadline, "still at work when time was up", "")
	waitFor(t, "the new owner counts on", 10*time.Second, func() bool { r, _ := recordOf(t, c, check); return r.Writer == "b" && len(r.Outcomes) == 2 })
	a.stop()
	<-a.ended
	r, _ := recordOf(t, c, check)
	if len(r.Outcomes) != 3 || r.Hours[0].Successes+r.Hours[len(r.Hours)-1].Successes < 2 {
		t.Errorf("after the hand-over = %+v, want all three runs", r)
	}
}

func TestRecordGoesWithItsCheck(t *testing.T) {
	c := newClient(t, admin)
	namespace := newNamespace(t, c)
	old, object := newCheckOf(t, c, namespace, "check")
	k := keep(t, c, "a")
	k.tell(old, checkerpod.Crashed, "exit code 1", "")
	waitFor(t, "the first run is recorded", 10*time.Second, func() bool { _, found := recordOf(t, c, old); return found })
	if err := c.Delete(t.Context(), object); err != nil {
		t.Fatal(err)
	}
	// Nobody collects garbage here, so that the old record is still there when the name is used again.
	check, _ := newCheckOf(t, c, namespace, "check")
	k.tell(check, "", "", "")
	waitFor(t, "a new check begins a new history", 10*time.Second, func() bool {
		r, found := recordOf(t, c, check)
		return found && r.Check.UID == check.UID && len(r.Outcomes) == 1 && r.LastFailure == nil
	})
	gone, _ := newCheckOf(t, c, namespace, "gone")
	gone.UID = "00000000-0000-4000-8000-000000000000"
	k.tell(gone, "", "", "")
	waitFor(t, "a check that is no more is forgotten", 10*time.Second, func() bool { return k.Len() == 2 })
	if _, found := recordOf(t, c, gone); found {
		t.Error("a check that is no more has a record")
	}
}

func TestRecordWaitsForItsServer(t *testing.T) {
	c := newClient(t, admin)
	check, _ := newCheckOf(t, c, newNamespace(t, c), "check")
	line := &apiserver.Wire{}
	config := *admin
	config.Dial = line.Dial
	k := keep(t, newClient(t, &config), "a")
	line.Cut()
	for i := range v1alpha1.MaxOutcomes + 10 {
		k.tell(check, checkerpod.ReportedFailure, fmt.Sprintf("failure %d", i), strings.Repeat("log ", 4000))
		k.pass(t, 20*time.Second)
	}
	line.Mend()
	waitFor(t, "what could not be written is written", 30*time.Second, func() bool {
		k.clock.Step(time.Minute)
		r, _ := recordOf(t, c, check)
		return len(r.Outcomes) == v1alpha1.MaxOutcomes && r.Streak >= v1alpha1.MaxOutcomes
	})
}

func TestNamesOfRecords(t *testing.T) {
	long := strings.Repeat("a", 252)
	names := map[string]bool{}
	for _, kind := range []string{"Check", "KuberhealthyCheck", "KuberhealthyJob", "HealthCheck"} {
		for _, name := range []string{"daemonset", "daemonset-check", "khcheck-daemonset", long + "b", long + "c", strings.Repeat("a.", 126) + "a"} {
			got := record.Name(kind, name)
			if len(got) > 253 || strings.Contains(got, ".-") || names[got] {
				t.Errorf("record of %s %s is called %s: too long, no name, or another's", kind, name, got)
			}
			names[got] = true
		}
	}
}
