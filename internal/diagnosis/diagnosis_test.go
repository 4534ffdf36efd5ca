package diagnosis

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/maek-dev/maek/api/maek/v1alpha1"
	"github.com/maek-dev/maek/internal/finding"
	"github.com/maek-dev/maek/internal/rule"
	"github.com/maek-dev/maek/internal/snapshot"
)

var now = time.Date(2026, 3, 2, 2, 20, 0, 0, time.UTC)

// rules of a small world: a node takes its pods down, pods take workloads and Services down, the
// image takes pods down by its own claim, and a dead controller reaches everything.
var world = []rule.Rule{
	{Code: "NodeDead", Title: finding.Verbatim("node is dead")},
	{Code: "ImageGone", Title: finding.Verbatim("image is gone")},
	{Code: "ControllerDead", Title: finding.Verbatim("controller is dead")},
	{Code: "PodDown", Title: finding.Verbatim("not ready"), Symptom: true, Causes: []rule.Cause{
		{Code: "NodeDead", Via: rule.RunsOn},
		{Code: "ControllerDead", Via: rule.Cluster},
	}},
	{Code: "WorkloadDown", Title: finding.Verbatim("too few"), Symptom: true, Causes: []rule.Cause{
		{Code: "PodDown", Via: rule.HasPod},
		{Code: "ServiceDown", Via: rule.Itself},
	}},
	{Code: "ServiceDown", Title: finding.Verbatim("no endpoints"), Causes: []rule.Cause{
		{Code: "PodDown", Via: rule.HasPod},
		{Code: "WorkloadDown", Via: rule.Itself},
	}},
	{Code: "CircleA", Causes: []rule.Cause{{Code: "CircleB", Via: rule.Itself}, {Code: "PodDown", Via: rule.Itself}}},
	{Code: "CircleB", Causes: []rule.Cause{{Code: "CircleA", Via: rule.Itself}}},
	{Code: "BelowCircle", Causes: []rule.Cause{{Code: "CircleA", Via: rule.Itself}}},
	{Code: "Remark", Title: finding.Verbatim("worth knowing"), Causes: []rule.Cause{{Code: "PodDown", Via: rule.HasPod}}},
}

func find(code finding.Code, severity finding.Severity, subject finding.Subject, change ...func(*finding.Finding)) finding.Finding {
	f := finding.Finding{Code: code, Severity: severity, Subject: subject, Title: finding.Verbatim(subject.Name + " " + string(code))}
	for _, c := range change {
		c(&f)
	}
	return f
}

func since(ago time.Duration) func(*finding.Finding) {
	return func(f *finding.Finding) { f.Since = now.Add(-ago) }
}

func explains(subjects ...finding.Subject) func(*finding.Finding) {
	return func(f *finding.Finding) { f.Explains = subjects }
}

func settling(f *finding.Finding) { f.Settling = true }

func node(name string) finding.Subject { return finding.Subject{Kind: "Node", Name: name} }
func of(kind, name string) finding.Subject {
	return finding.Subject{Kind: kind, Namespace: "shop", Name: name}
}

// cluster has pods a-1 and a-2 of StatefulSet a behind Service a, on nodes w1 and w2.
func cluster() *snapshot.Snapshot {
	b := snapshot.NewBuilder(now, snapshot.Source{Name: "test"})
	for i, on := range []string{"w1", "w2"} {
		b.Add(&corev1.Pod{
			ObjectMeta: metav1.ObjectMeta{
				Namespace: "shop", Name: fmt.Sprintf("a-%d", i+1), Labels: map[string]string{"app": "a"},
				OwnerReferences: []metav1.OwnerReference{{Kind: "StatefulSet", Name: "a", Controller: new(true)}},
			},
			Spec: corev1.PodSpec{NodeName: on},
		})
	}
	b.Add(&corev1.Service{
		ObjectMeta: metav1.ObjectMeta{Namespace: "shop", Name: "a"},
		Spec:       corev1.ServiceSpec{Selector: map[string]string{"app": "a"}},
	})
	return b.Build()
}

// drawn renders incidents as people would sketch them: the root, then the chain by depth.
func drawn(d Diagnosis) []string {
	var out []string
	for _, i := range d.Incidents {
		lines := []string{fmt.Sprintf("%s %s", i.Severity, i.Root.Title.EN)}
		for _, l := range i.Chain {
			lines = append(lines, strings.Repeat(" ", int(l.Depth)+1)+l.Text.EN)
		}
		out = append(out, strings.Join(lines, "\n"))
	}
	return out
}

func TestDiagnose(t *testing.T) {
	tests := map[string]struct {
		findings []finding.Finding
		want     []string
	}{
		"a dead node explains its pods, their workload and its Service, and the Service makes it critical": {
			findings: []finding.Finding{
				find("NodeDead", finding.Warning, node("w1")),
				find("PodDown", finding.Warning, of("Pod", "a-1")),
				find("WorkloadDown", finding.Warning, of("StatefulSet", "a")),
				find("ServiceDown", finding.Critical, of("Service", "a")),
			},
			want: []string{"critical w1 NodeDead\n a-1 PodDown\n  a ServiceDown\n  a WorkloadDown"},
		},
		"a pod on another node is another incident, though both meet in one Service": {
			findings: []finding.Finding{
				find("NodeDead", finding.Warning, node("w1")),
				find("PodDown", finding.Warning, of("Pod", "a-1")),
				find("PodDown", finding.Warning, of("Pod", "a-2")),
				find("WorkloadDown", finding.Warning, of("StatefulSet", "a")),
			},
			want: []string{
				"warning w1 NodeDead\n a-1 PodDown\n  a WorkloadDown",
				"warning a-2 PodDown\n a WorkloadDown",
			},
		},
		"a finding explains the very subjects that it claims": {
			findings: []finding.Finding{
				find("ImageGone", finding.Warning, of("StatefulSet", "a"), explains(of("Pod", "a-1"), of("Pod", "a-2"))),
				find("PodDown", finding.Warning, of("Pod", "a-1")),
				find("PodDown", finding.Warning, of("Pod", "a-2")),
			},
			want: []string{"warning a ImageGone\n 2 pods: not ready"},
		},
		"trouble older than the node's death is not the node's": {
			findings: []finding.Finding{
				find("NodeDead", finding.Warning, node("w1"), since(5*time.Minute)),
				find("PodDown", finding.Warning, of("Pod", "a-1"), since(24*time.Hour)),
			},
			want: []string{"warning a-1 PodDown", "warning w1 NodeDead"},
		},
		"what is tied to a subject goes before what reaches the whole cluster": {
			findings: []finding.Finding{
				find("ControllerDead", finding.Critical, of("Lease", "controller")),
				find("NodeDead", finding.Warning, node("w1")),
				find("PodDown", finding.Warning, of("Pod", "a-1")),
				find("PodDown", finding.Warning, of("Pod", "a-2")),
			},
			want: []string{"critical controller ControllerDead\n a-2 PodDown", "warning w1 NodeDead\n a-1 PodDown"},
		},
		"of two that only explain each other the older one is the root": {
			findings: []finding.Finding{
				find("ServiceDown", finding.Critical, of("Service", "x"), since(time.Minute)),
				find("WorkloadDown", finding.Warning, of("Service", "x"), since(time.Hour)),
			},
			want: []string{"critical x WorkloadDown\n x ServiceDown"},
		},
		"what hangs below a circle is no root of its own, however old": {
			findings: []finding.Finding{
				find("CircleA", finding.Warning, of("Pod", "a-1"), since(time.Hour)),
				find("CircleB", finding.Warning, of("Pod", "a-1"), since(time.Hour)),
				find("BelowCircle", finding.Critical, of("Pod", "a-1"), since(2*time.Hour)),
			},
			want: []string{"critical a-1 CircleA\n a-1 BelowCircle\n a-1 CircleB"},
		},
		"a circle that something outside explains has no root": {
			findings: []finding.Finding{
				find("NodeDead", finding.Warning, node("w1")),
				find("PodDown", finding.Warning, of("Pod", "a-1")),
				find("CircleA", finding.Warning, of("Pod", "a-1")),
				find("CircleB", finding.Warning, of("Pod", "a-1")),
			},
			want: []string{"warning w1 NodeDead\n a-1 PodDown\n  a-1 CircleA\n   a-1 CircleB"},
		},
		"an info finding is no incident and cannot raise one": {
			findings: []finding.Finding{find("Remark", finding.Info, of("Service", "a"))},
		},
		"an info finding is told as an effect": {
			findings: []finding.Finding{
				find("PodDown", finding.Warning, of("Pod", "a-1")),
				find("Remark", finding.Info, of("Service", "a")),
			},
			want: []string{"warning a-1 PodDown\n a Remark"},
		},
		"what has not lasted is no root": {
			findings: []finding.Finding{find("PodDown", finding.Warning, of("Pod", "a-1"), settling)},
		},
		"what has not lasted is an effect all the same, and counts at once": {
			findings: []finding.Finding{
				find("NodeDead", finding.Warning, node("w1")),
				find("PodDown", finding.Critical, of("Pod", "a-1"), settling),
			},
			want: []string{"critical w1 NodeDead\n a-1 PodDown"},
		},
		"a young cause of lasting trouble is the root of it": {
			findings: []finding.Finding{
				find("PodDown", finding.Warning, of("Pod", "a-1"), settling),
				find("WorkloadDown", finding.Warning, of("StatefulSet", "a")),
			},
			want: []string{"warning a-1 PodDown\n a WorkloadDown"},
		},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			slices.SortFunc(tc.findings, finding.Compare)
			d := Diagnose(rule.Result{Snapshot: cluster(), Findings: tc.findings}, world)
			if diff := cmp.Diff(tc.want, drawn(d)); diff != "" {
				t.Errorf("(-want +got):\n%s", diff)
			}
		})
	}
}

func TestAffectedNamesEverythingThatSuffersByKind(t *testing.T) {
	d := Diagnose(rule.Result{Snapshot: cluster(), Findings: []finding.Finding{
		find("ImageGone", finding.Warning, of("StatefulSet", "a"), explains(of("Pod", "a-1"), of("Pod", "a-2"))),
		find("PodDown", finding.Warning, of("Pod", "a-1")),
		find("ServiceDown", finding.Critical, of("Service", "a")),
	}}, world)
	want := map[string][]string{"Pod": {"shop/a-1", "shop/a-2"}, "Service": {"shop/a"}}
	if diff := cmp.Diff(want, d.Incidents[0].Affected); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

func TestEveryFindingOfAnIncidentCarriesItsID(t *testing.T) {
	d := Diagnose(rule.Result{Snapshot: cluster(), Findings: []finding.Finding{
		find("NodeDead", finding.Warning, node("w1")),
		find("PodDown", finding.Warning, of("Pod", "a-1")),
		find("Remark", finding.Info, of("Service", "b")),
	}}, world)
	var got []string
	for _, f := range d.Findings {
		got = append(got, f.Incident)
	}
	id := d.Incidents[0].ID
	if diff := cmp.Diff([]string{id, id, ""}, got); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

func TestVerdict(t *testing.T) {
	ready := snapshot.API{Asked: true, Checks: []snapshot.HealthCheck{{Name: "etcd", OK: true}}}
	podKind, nodeKind := snapshot.KindOf[*corev1.Pod](), snapshot.KindOf[*corev1.Node]()
	whole := map[snapshot.Kind]snapshot.State{podKind: snapshot.Complete, nodeKind: snapshot.Complete}
	tests := map[string]struct {
		api      snapshot.API
		kinds    map[snapshot.Kind]snapshot.State
		findings []finding.Finding
		failures []finding.Failure
		want     finding.Verdict
	}{
		"all was read and nothing is wrong":        {api: ready, kinds: whole, want: v1alpha1.VerdictHealthy},
		"a critical incident":                      {api: ready, kinds: whole, findings: []finding.Finding{find("NodeDead", finding.Critical, node("w1"))}, want: v1alpha1.VerdictCritical},
		"a warning":                                {api: ready, kinds: whole, findings: []finding.Finding{find("NodeDead", finding.Warning, node("w1"))}, want: v1alpha1.VerdictDegraded},
		"pods forbidden and nothing found":         {api: ready, kinds: map[snapshot.Kind]snapshot.State{podKind: snapshot.Forbidden, nodeKind: snapshot.Complete}, want: v1alpha1.VerdictUnknown},
		"pods read in part and nothing found":      {api: ready, kinds: map[snapshot.Kind]snapshot.State{podKind: snapshot.Partial, nodeKind: snapshot.Complete}, want: v1alpha1.VerdictUnknown},
		"readiness was not seen":                   {kinds: whole, want: v1alpha1.VerdictUnknown},
		"a rule broke":                             {api: ready, kinds: whole, failures: []finding.Failure{{Code: "NodeDead"}}, want: v1alpha1.VerdictUnknown},
		"nothing was read, but something is wrong": {findings: []finding.Finding{find("NodeDead", finding.Critical, node("w1"))}, want: v1alpha1.VerdictCritical},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			b := snapshot.NewBuilder(now, snapshot.Source{})
			b.SetAPI(tc.api)
			for k, state := range tc.kinds {
				b.SetCoverage(k, snapshot.Coverage{State: state})
			}
			d := Diagnose(rule.Result{Snapshot: b.Build(), Findings: tc.findings, Failures: tc.failures}, world)
			if d.Verdict != tc.want {
				t.Errorf("verdict %s, want %s", d.Verdict, tc.want)
			}
		})
	}
}
