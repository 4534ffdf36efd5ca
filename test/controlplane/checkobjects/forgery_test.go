package checkobjects

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/maek-dev/maek/api/maek/v1alpha1"
)

// forge writes the status of a check as somebody does who may.
func forge(t *testing.T, c client.Client, name types.NamespacedName, how func(*v1alpha1.CheckStatus)) {
	t.Helper()
	waitFor(t, "the status is forged", soon, func() bool {
		var check v1alpha1.Check
		if err := c.Get(t.Context(), name, &check); err != nil {
			t.Fatal(err)
		}
		how(&check.Status)
		return c.Status().Update(t.Context(), &check) == nil
	})
}

func setHealthy(status *v1alpha1.CheckStatus, value metav1.ConditionStatus, reason string) {
	healthy := meta.FindStatusCondition(status.Conditions, v1alpha1.CheckHealthy)
	healthy.Status, healthy.Reason, healthy.Message = value, reason, "written by hand"
}

// TestForgedStatus writes statuses by hand: they are put right at once, not with the next heartbeat, and what is
// known is not lost by it.
func TestForgedStatus(t *testing.T) {
	c := newClient(t, admin)
	namespace := newNamespace(t, c)
	server := serve(t)
	server.ill.Store(true)
	r := start(t, admin, namespace, "a", nil)
	name := create(t, c, server.newCheck(namespace, "web"))
	honest := waitForConditions(t, c, name, red, soon)
	for what, how := range map[string]func(*v1alpha1.CheckStatus){
		"a good verdict": func(s *v1alpha1.CheckStatus) { setHealthy(s, metav1.ConditionTrue, v1alpha1.ReasonSucceeded) },
		"in years, by somebody else": func(s *v1alpha1.CheckStatus) {
			setHealthy(s, metav1.ConditionTrue, v1alpha1.ReasonSucceeded)
			s.Observer, s.ObservedAt = "mallory", new(metav1.NewTime(time.Date(2200, 1, 1, 0, 0, 0, 0, time.UTC)))
		},
		"nothing": func(s *v1alpha1.CheckStatus) { *s = v1alpha1.CheckStatus{} },
		"all that fits": func(s *v1alpha1.CheckStatus) {
			setHealthy(s, metav1.ConditionUnknown, "Forged")
			for i := range 10 {
				target := fmt.Sprintf("%03d", i) + strings.Repeat("x", 250)
				s.Failing = append(s.Failing[:min(i, len(s.Failing))], v1alpha1.CheckFailure{At: metav1.Now(), Target: target, From: target, Reason: "R", Message: strings.Repeat("ä", 512)})
			}
		},
	} {
		forge(t, c, name, how)
		status := waitForConditions(t, c, name, red, soon)
		if status.Observer != "a" || len(status.Failing) != 1 || time.Until(status.ObservedAt.Time) > time.Minute {
			t.Errorf("after %s was written by hand: %+v", what, status)
		}
	}
	after := statusOf(t, c, name)
	since := meta.FindStatusCondition(honest.Conditions, v1alpha1.CheckHealthy).LastTransitionTime
	if got := meta.FindStatusCondition(after.Conditions, v1alpha1.CheckHealthy).LastTransitionTime; got.Before(&since) {
		t.Errorf("healthy since %v, was %v", got, since)
	}
	if value, found := r.healthy(t, "web"); !found || value != 0 {
		t.Errorf("the metric says %v, %t", value, found)
	}
}

// TestForgedRecords puts another object in the place of a check's record.
func TestForgedRecords(t *testing.T) {
	c := newClient(t, admin)
	namespace := newNamespace(t, c)
	server := serve(t)
	server.ill.Store(true)
	foreign := &v1alpha1.CheckRecord{
		ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: "check-web", OwnerReferences: []metav1.OwnerReference{{APIVersion: "v1", Kind: "ConfigMap", Name: "x", UID: "1"}}},
		Check:      v1alpha1.CheckReference{APIVersion: "v1", Kind: "Pod", Name: "other", UID: "2"},
		Healthy:    metav1.ConditionTrue, Streak: 1 << 30, Writer: "mallory", WrittenAt: metav1.Now(),
	}
	if err := c.Create(t.Context(), foreign); err != nil {
		t.Fatal(err)
	}
	r := start(t, admin, namespace, "a", nil)
	name := create(t, c, server.newCheck(namespace, "web"))
	waitForConditions(t, c, name, red, soon)
	// A name too long for one of a record with the kind before it.
	long := create(t, c, server.newCheck(namespace, strings.Repeat("l", 253)))
	waitForConditions(t, c, long, red, soon)
	r.stop()
	<-r.ended
	var records v1alpha1.CheckRecordList
	if err := c.List(t.Context(), &records, client.InNamespace(namespace)); err != nil {
		t.Fatal(err)
	}
	if len(records.Items) != 2 {
		t.Fatalf("%d records", len(records.Items))
	}
	for _, record := range records.Items {
		if record.Check.Kind != "Check" || record.Writer != "a" || record.Streak > 1000 || record.OwnerReferences[0].UID != record.Check.UID {
			t.Errorf("record %s = %+v", record.Name, record)
		}
	}
}
