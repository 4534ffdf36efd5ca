package incidents

import (
	"context"
	"encoding/json"
	"strings"
	"testing"

	corev1 "k8s.io/api/core/v1"
	eventsv1 "k8s.io/api/events/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/maek-dev/maek/api/maek/v1alpha1"
)

func TestAnIncidentIsOpenedClosedAndReopened(t *testing.T) {
	c := clientOf(t, admin)
	d := diagnose(t, admin)
	n := sickNode(t, c, "opened", "kubelet has disk pressure")
	opened := awaitPhase(t, c, n.Name, v1alpha1.IncidentOpen)
	if opened.Status.OpenedAt.IsZero() || opened.Status.ClosedAt != nil || opened.Status.Title == "" || opened.Status.ID == "" {
		t.Errorf("opened with %+v", opened.Status)
	}
	eventually(t, "waiting for Events about the Incident and the Node", func(ctx context.Context) (bool, error) {
		var events eventsv1.EventList
		if err := c.List(ctx, &events, client.InNamespace("default")); err != nil {
			return false, err
		}
		regarding := map[string]bool{}
		for _, e := range events.Items {
			if e.Reason == "IncidentOpened" {
				regarding[e.Regarding.Kind+"/"+e.Regarding.Name] = true
			}
		}
		return regarding["Node/opened"] && regarding["Incident/"+opened.Name], nil
	})
	labels := "code=" + opened.Status.Code + ",phase=Open,severity=" + string(opened.Status.Severity)
	if v, ok := d.value(t, "maek_incidents", labels); !ok || v < 1 {
		t.Errorf("metric maek_incidents{%s} is %v, %v", labels, v, ok)
	}
	if v, _ := d.value(t, "maek_snapshot_objects", "kind=nodes"); v < 1 {
		t.Errorf("metric maek_snapshot_objects{kind=nodes} is %v", v)
	}

	setPressure(t, c, n, corev1.ConditionFalse, "")
	closed := awaitPhase(t, c, n.Name, v1alpha1.IncidentClosed)
	if closed.UID != opened.UID || closed.Status.ClosedAt == nil {
		t.Errorf("closed as %+v", closed.Status)
	}

	setPressure(t, c, n, corev1.ConditionTrue, "kubelet has disk pressure")
	again := awaitPhase(t, c, n.Name, v1alpha1.IncidentOpen)
	if again.UID != opened.UID || again.Status.ClosedAt != nil || !again.Status.OpenedAt.Equal(&opened.Status.OpenedAt) {
		t.Errorf("reopened as %+v, and it was opened as %+v", again.Status, opened.Status)
	}
}

func TestAnIncidentThatIsDeletedByHandComesBack(t *testing.T) {
	c := clientOf(t, admin)
	diagnose(t, admin)
	n := sickNode(t, c, "deleted", "kubelet has disk pressure")
	first := awaitPhase(t, c, n.Name, v1alpha1.IncidentOpen)
	if err := c.Delete(t.Context(), first); err != nil {
		t.Fatal(err)
	}
	eventually(t, "waiting for another object", func(ctx context.Context) (bool, error) {
		i, err := about(ctx, c, n.Name)
		return i != nil && i.UID != first.UID && i.Status.Phase == v1alpha1.IncidentOpen, err
	})
}

func TestANewLeaderTakesOver(t *testing.T) {
	c := clientOf(t, admin)
	one := diagnose(t, admin)
	goesOn, ends := sickNode(t, c, "goes-on", "kubelet has disk pressure"), sickNode(t, c, "ends", "kubelet has disk pressure")
	before := awaitPhase(t, c, goesOn.Name, v1alpha1.IncidentOpen)
	awaitPhase(t, c, ends.Name, v1alpha1.IncidentOpen)
	one.stop()
	if _, told := one.value(t, "maek_diagnosis_timestamp_seconds", ""); told {
		t.Error("who leads no more tells of diagnoses")
	}
	// It ends while nobody looks.
	setPressure(t, c, ends, corev1.ConditionFalse, "")
	two := diagnose(t, admin)
	awaitPhase(t, c, ends.Name, v1alpha1.IncidentClosed)
	after, err := about(t.Context(), c, goesOn.Name)
	if err != nil || after == nil {
		t.Fatal(after, err)
	}
	if after.UID != before.UID || after.ResourceVersion != before.ResourceVersion {
		t.Errorf("the incident that went on was written: %+v, and before %+v", after, before)
	}
	if v, _ := two.value(t, "maek_incident_writes_total", "outcome=success,verb=create"); v != 0 {
		t.Errorf("the new leader made %v objects", v)
	}
}

func TestAnIncidentOfAHostileObjectIsBounded(t *testing.T) {
	c := clientOf(t, admin)
	diagnose(t, admin)
	sickNode(t, c, "hostile", "\x1b[31m<script>"+strings.Repeat("한글 \"quoted\"\n", 10_000))
	i := awaitPhase(t, c, "hostile", v1alpha1.IncidentOpen)
	data, err := json.Marshal(i)
	if err != nil {
		t.Fatal(err)
	}
	if len(data) > 100<<10 {
		t.Errorf("the Incident has %d bytes", len(data))
	}
}
