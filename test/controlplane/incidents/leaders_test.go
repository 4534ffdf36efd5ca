package incidents

import (
	"context"
	"fmt"
	"strings"
	"testing"

	corev1 "k8s.io/api/core/v1"
	eventsv1 "k8s.io/api/events/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/maek-dev/maek/api/maek/v1alpha1"
	"github.com/maek-dev/maek/internal/finding"
	"github.com/maek-dev/maek/internal/operator/incident"
	"github.com/maek-dev/maek/internal/rule"
)

// Two replicas lead for a moment where one has lost the lead and does not know it yet.
func TestTwoThatLeadAtOnceDoNotQuarrel(t *testing.T) {
	c := clientOf(t, admin)
	both := []*running{diagnose(t, admin), diagnose(t, admin)}
	n := sickNode(t, c, "quarrel", "kubelet has disk pressure")
	opened := awaitPhase(t, c, n.Name, v1alpha1.IncidentOpen)
	awaitDiagnoses(t, both)
	later, err := about(t.Context(), c, n.Name)
	if err != nil || later == nil {
		t.Fatal(later, err)
	}
	if later.UID != opened.UID || !later.Status.OpenedAt.Equal(&opened.Status.OpenedAt) {
		t.Errorf("it is %+v, and was opened as %+v", later.Status, opened.Status)
	}
	setPressure(t, c, n, corev1.ConditionFalse, "")
	closed := awaitPhase(t, c, n.Name, v1alpha1.IncidentClosed)
	awaitDiagnoses(t, both)
	if still, err := about(t.Context(), c, n.Name); err != nil || still.Status.Phase != v1alpha1.IncidentClosed || !still.Status.ClosedAt.Equal(closed.Status.ClosedAt) {
		t.Errorf("it was closed as %+v and is %+v, %v", closed.Status, still, err)
	}
	written := 0.0
	for _, d := range both {
		v, _ := d.value(t, "maek_incident_writes_total", "outcome=success,verb=create")
		written += v
	}
	if written != 1 {
		t.Errorf("%v objects were made", written)
	}
	told := map[string]int{}
	var events eventsv1.EventList
	if err := c.List(t.Context(), &events, client.InNamespace("default")); err != nil {
		t.Fatal(err)
	}
	for _, e := range events.Items {
		if e.Regarding.Kind == "Incident" && e.Regarding.Name == opened.Name {
			told[e.Reason]++
		}
	}
	if told["IncidentOpened"] != 1 || told["IncidentClosed"] != 1 || len(told) != 2 {
		t.Errorf("of one incident there are Events %v", told)
	}
}

// awaitDiagnoses waits until each made another diagnosis.
func awaitDiagnoses(t *testing.T, all []*running) {
	t.Helper()
	before := make([]float64, len(all))
	for i, d := range all {
		before[i], _ = d.value(t, "maek_diagnosis_timestamp_seconds", "")
	}
	for i, d := range all {
		eventually(t, "waiting for a diagnosis", func(context.Context) (bool, error) {
			at, _ := d.value(t, "maek_diagnosis_timestamp_seconds", "")
			return at > before[i], nil
		})
	}
}

func TestAFloodOfFindingsIsBounded(t *testing.T) {
	const findings, most = 10_000, 60
	c := clientOf(t, admin)
	flood := rule.Rule{
		Code: "Flood", Title: finding.Verbatim("flood"), Severity: finding.Warning, Needs: []rule.Need{rule.Optional[*corev1.Node]()},
		Detect: func(p *rule.Pass) {
			for i := range findings {
				name := fmt.Sprintf("flood-%05d", i)
				p.Report(finding.Finding{
					Subject: finding.Subject{Kind: "Pod", Namespace: "shop", Name: name}, Mechanism: v1alpha1.MechanismCrashing,
					Title: finding.Verbatim("pod " + name + " " + strings.Repeat("crashes ", 200)), Why: finding.Verbatim(strings.Repeat("It crashes. ", 1000)),
				})
			}
		},
	}
	d := diagnose(t, admin, func(o *incident.Options) { o.Rules, o.Most = []rule.Rule{flood}, most })
	ours := func(ctx context.Context) (open int, err error) {
		var all v1alpha1.IncidentList
		if err := c.List(ctx, &all); err != nil {
			return 0, err
		}
		for _, i := range all.Items {
			if i.Status.Code == "Flood" && i.Status.Phase == v1alpha1.IncidentOpen {
				open++
				if n := len([]rune(i.Status.Title)); n > 200 {
					t.Errorf("a title has %d characters", n)
				}
			}
		}
		return open, nil
	}
	eventually(t, "waiting for as many Incidents as there may be", func(ctx context.Context) (bool, error) {
		n, err := ours(ctx)
		return n == most, err
	})
	awaitDiagnoses(t, []*running{d})
	if n, err := ours(t.Context()); err != nil || n != most {
		t.Errorf("there are %d, %v", n, err)
	}
	if v, _ := d.value(t, "maek_incidents_unwritten", ""); v != findings-most {
		t.Errorf("%v are not written, want %d", v, findings-most)
	}
	for verb, want := range map[string]float64{"create": most, "update": most} {
		// Objects of other tests are closed too.
		if v, _ := d.value(t, "maek_incident_writes_total", "outcome=success,verb="+verb); v < want || v > want+20 {
			t.Errorf("there were %v requests to %s", v, verb)
		}
	}
	if v, _ := d.value(t, "maek_incident_writes_total", "outcome=success,verb=event"); v > 60 {
		t.Errorf("%v Events were written", v)
	}
	d.stop()
	// Who looks after it with other rules finds none of them.
	diagnose(t, admin, func(o *incident.Options) { o.TTL = 1 })
	eventually(t, "waiting until they are gone", func(ctx context.Context) (bool, error) {
		var all v1alpha1.IncidentList
		err := c.List(ctx, &all)
		for _, i := range all.Items {
			if i.Status.Code == "Flood" {
				return false, err
			}
		}
		return true, err
	})
}
