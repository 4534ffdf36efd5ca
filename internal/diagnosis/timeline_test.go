package diagnosis

import (
	"fmt"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/maek-dev/maek/api/maek/v1alpha1"
	"github.com/maek-dev/maek/internal/finding"
	"github.com/maek-dev/maek/internal/rule"
	"github.com/maek-dev/maek/internal/snapshot"
)

func event(about finding.Subject, reason, kind string, first, last time.Duration, count int32) *corev1.Event {
	return &corev1.Event{
		ObjectMeta:     metav1.ObjectMeta{Namespace: "shop", Name: about.Name + "." + reason},
		InvolvedObject: corev1.ObjectReference{Kind: about.Kind, Namespace: about.Namespace, Name: about.Name},
		Reason:         reason, Type: kind, Message: "m", Count: count,
		FirstTimestamp: metav1.NewTime(now.Add(-first)), LastTimestamp: metav1.NewTime(now.Add(-last)),
	}
}

func TestTimelineMergesWhatHappenedInOrder(t *testing.T) {
	controller := func(kind, name string) metav1.ObjectMeta {
		return metav1.ObjectMeta{OwnerReferences: []metav1.OwnerReference{{Kind: kind, Name: name, Controller: new(true)}}}
	}
	b := snapshot.NewBuilder(now, snapshot.Source{Name: "test"})
	set := appsv1.ReplicaSet{ObjectMeta: controller("Deployment", "front")}
	set.Namespace, set.Name = "shop", "front-1"
	b.Add(&set)
	b.Add(&appsv1.Deployment{ObjectMeta: metav1.ObjectMeta{
		Namespace: "shop", Name: "front",
		ManagedFields: []metav1.ManagedFieldsEntry{{Manager: "ci", Time: new(metav1.NewTime(now.Add(-10 * time.Minute)))}},
	}})
	b.Add(event(of("ReplicaSet", "front-1"), "FailedCreate", corev1.EventTypeWarning, 9*time.Minute, 2*time.Minute, 14))
	b.Add(event(of("Pod", "old"), "FailedMount", corev1.EventTypeWarning, time.Hour, time.Hour, 1))
	b.Add(event(of("Pod", "old"), "Started", corev1.EventTypeNormal, 50*time.Minute, 50*time.Minute, 1))
	// An event that says no time cannot be put in order.
	undated := event(of("Pod", "old"), "Lost", corev1.EventTypeWarning, 0, 0, 1)
	undated.FirstTimestamp, undated.LastTimestamp = metav1.Time{}, metav1.Time{}
	b.Add(undated)
	d := Diagnose(rule.Result{Snapshot: b.Build(), Findings: []finding.Finding{
		find("WorkloadDown", finding.Warning, of("Deployment", "front"), since(8*time.Minute)),
	}}, world)
	var got []string
	for _, m := range d.Timeline(finding.English) {
		line := fmt.Sprintf("%s %s %s %s", m.At.Format("15:04"), m.Happening, m.Subject.Name, m.Reason)
		if m.Count > 1 {
			line += fmt.Sprintf(" x%d since %s", m.Count, m.First.Format("15:04"))
		}
		if m.Recovered {
			line += " recovered"
		}
		got = append(got, line)
	}
	want := []string{
		"01:20 Event old FailedMount recovered",
		"01:30 Event old Started",
		"02:10 Change front ci",
		"02:12 Incident front WorkloadDown",
		"02:18 Event front-1 FailedCreate x14 since 02:11",
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

func TestCompare(t *testing.T) {
	incident := func(id string) v1alpha1.IncidentDetails { return v1alpha1.IncidentDetails{ID: id} }
	earlier := v1alpha1.Diagnosis{ObservedAt: metav1.NewTime(now), Incidents: []v1alpha1.IncidentDetails{incident("a"), incident("b")}}
	later := v1alpha1.Diagnosis{Incidents: []v1alpha1.IncidentDetails{incident("b"), incident("c")}}
	want := &v1alpha1.Changes{Since: metav1.NewTime(now), New: []string{"c"}, Still: []string{"b"}, Gone: []v1alpha1.IncidentDetails{incident("a")}}
	if diff := cmp.Diff(want, Compare(earlier, later)); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

func TestRisksAreNoIncidents(t *testing.T) {
	rules := append([]rule.Rule{{Code: "OneOnly", Risk: true}}, world...)
	d := Diagnose(rule.Result{
		Snapshot: cluster(),
		Findings: []finding.Finding{
			find("OneOnly", finding.Info, node("w1"), explains(of("Pod", "a-1"))),
			find("PodDown", finding.Warning, of("Pod", "a-1")),
		},
		Skips: []finding.Skip{{Code: "OneOnly"}, {Code: "PodDown"}},
	}, rules)
	if diff := cmp.Diff([]string{"warning a-1 PodDown"}, drawn(d)); diff != "" {
		t.Errorf("incidents (-want +got):\n%s", diff)
	}
	if len(d.Risks) != 1 || len(d.Findings) != 1 || len(d.RiskSkips) != 1 || len(d.Skips) != 1 {
		t.Errorf("%d risks, %d findings, %d and %d skips, want one of each", len(d.Risks), len(d.Findings), len(d.RiskSkips), len(d.Skips))
	}
	doc := d.Resilience(finding.English, v1alpha1.Stats{})
	if len(doc.Risks) != 1 || !cmp.Equal(doc.Risks[0].Affected, map[string][]string{"Pod": {"shop/a-1"}}) {
		t.Errorf("risks %+v", doc.Risks)
	}
}

func TestWhatAFindingWaitsForExplainsIt(t *testing.T) {
	waits := func(subjects ...finding.Subject) func(*finding.Finding) {
		return func(f *finding.Finding) { f.WaitsFor = subjects }
	}
	tests := map[string]struct {
		findings []finding.Finding
		want     []string
	}{
		"a pod that waits for another's Service": {
			findings: []finding.Finding{
				find("ServiceDown", finding.Critical, of("Service", "db"), since(10*time.Minute)),
				find("PodDown", finding.Warning, of("Pod", "a-1"), since(9*time.Minute), waits(of("Service", "db"))),
			},
			want: []string{"critical db ServiceDown\n a-1 PodDown"},
		},
		"what failed long before is not explained": {
			findings: []finding.Finding{
				find("ServiceDown", finding.Critical, of("Service", "db"), since(10*time.Minute)),
				find("PodDown", finding.Warning, of("Pod", "a-1"), since(time.Hour), waits(of("Service", "db"))),
			},
			want: []string{"critical db ServiceDown", "warning a-1 PodDown"},
		},
		"two that wait for each other have one root": {
			findings: []finding.Finding{
				find("PodDown", finding.Warning, of("Pod", "a-1"), since(10*time.Minute), waits(of("Pod", "a-2"))),
				find("PodDown", finding.Warning, of("Pod", "a-2"), since(10*time.Minute), waits(of("Pod", "a-1"), of("Pod", "a-2"))),
			},
			want: []string{"warning a-1 PodDown\n a-2 PodDown"},
		},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			d := Diagnose(rule.Result{Snapshot: cluster(), Findings: tc.findings}, world)
			if diff := cmp.Diff(tc.want, drawn(d)); diff != "" {
				t.Errorf("(-want +got):\n%s", diff)
			}
		})
	}
}
