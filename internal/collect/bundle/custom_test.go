package bundle

import (
	"testing"

	"github.com/google/go-cmp/cmp"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/maek-dev/maek/internal/snapshot"
)

const (
	widgetItem = `{"apiVersion":"example.com/v1","kind":"Widget","metadata":{"name":"a","namespace":"shop"},"spec":{"password":"hunter2"},` +
		`"status":{"conditions":[{"type":"Ready","status":"False","message":"token=hunter2"}]}}`
	otherWidget = `{"apiVersion":"example.com/v1","kind":"Widget","metadata":{"name":"b","namespace":"kube-system"}}`
	definition  = `{"apiVersion":"apiextensions.k8s.io/v1","kind":"CustomResourceDefinition","metadata":{"name":"widgetry.example.com"},` +
		`"spec":{"group":"example.com","names":{"kind":"Widget","plural":"widgetry"}}}`
)

func TestCustomResourcesAreFoundWhereverTheyLie(t *testing.T) {
	named := widgetKind
	named.Resource = "widgetry"
	tests := map[string]struct {
		files   map[string]string
		kind    snapshot.Kind
		want    snapshot.Coverage
		objects int
	}{
		"in a list of kubectl's": {
			files: map[string]string{"x.json": list(widgetItem, otherWidget)}, kind: widgetKind,
			want: snapshot.Coverage{State: snapshot.Complete}, objects: 2,
		},
		"in a typed list": {
			files: map[string]string{"x.json": `{"kind":"WidgetList","apiVersion":"example.com/v1","items":[{"metadata":{"name":"a","namespace":"shop"}},{"metadata":{"name":"b","namespace":"web"}}]}`},
			kind:  widgetKind, want: snapshot.Coverage{State: snapshot.Complete}, objects: 2,
		},
		"in a typed list that is empty": {
			files: map[string]string{"x.json": `{"kind":"WidgetList","apiVersion":"example.com/v1","items":[]}`},
			kind:  widgetKind, want: snapshot.Coverage{State: snapshot.Complete},
		},
		"of kinds without namespaces": {
			files: map[string]string{"x.json": list(`{"apiVersion":"example.com/v1","kind":"Widget","metadata":{"name":"a"}}`), "pods.json": list(podItem)},
			kind:  widgetKind, want: snapshot.Coverage{State: snapshot.Complete}, objects: 1,
		},
		"alone": {
			files: map[string]string{"x.json": widgetItem}, kind: widgetKind,
			want: snapshot.Coverage{State: snapshot.Partial, Reason: "the bundle holds single objects, no list"}, objects: 1,
		},
		"of one namespace": {
			files: map[string]string{"x.json": list(widgetItem), "pods.json": list(podItem)}, kind: widgetKind, objects: 1,
			want: snapshot.Coverage{State: snapshot.Partial, Namespace: "shop", Reason: "every list in the bundle is of namespace shop; take them with -A"},
		},
		"under the name that their definition gives them": {
			files: map[string]string{"a.json": list(widgetItem, otherWidget), "crds.json": list(definition)}, kind: named,
			want: snapshot.Coverage{State: snapshot.Complete}, objects: 2,
		},
		"in a list that breaks off": {
			files: map[string]string{"x.json": list(widgetItem, otherWidget)[:300]}, kind: widgetKind,
			want: snapshot.Coverage{State: snapshot.Partial, Reason: "x.json breaks off"}, objects: 1,
		},
		"in a support bundle": {
			files: map[string]string{
				"sb/cluster-resources/custom-resources/widgets.example.com/shop.yaml": "- apiVersion: example.com/v1\n  kind: Widget\n  metadata: {name: a, namespace: shop}\n",
				"sb/cluster-resources/custom-resources/widgets.example.com/shop.json": "[" + widgetItem + "]",
				"sb/cluster-resources/namespaces.json":                                typedList("Namespace", `{"metadata":{"name":"shop"}}`),
				"sb/spec.yaml":                                                        "apiVersion: troubleshoot.sh/v1beta2\nkind: SupportBundle\nmetadata: {name: x}\n",
			},
			kind: widgetKind, want: snapshot.Coverage{State: snapshot.Complete}, objects: 1,
		},
		"in a must-gather": {
			files: map[string]string{
				"mg/q/namespaces/shop/example.com/widgets/a.yaml":  "apiVersion: example.com/v1\nkind: Widget\nmetadata: {name: a, namespace: shop}\n",
				"mg/q/cluster-scoped-resources/core/nodes/w1.yaml": nodeItem,
			},
			kind: widgetKind, want: snapshot.Coverage{State: snapshot.Partial, Reason: "the bundle holds single objects, no list"}, objects: 1,
		},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			s := opened(t, tc.files).Snapshot()
			if diff := cmp.Diff([]snapshot.Kind{tc.kind}, s.CustomKinds()); diff != "" {
				t.Fatalf("kinds (-want +got):\n%s", diff)
			}
			got := s.CustomCoverage(tc.kind)
			got.ReadAt = tc.want.ReadAt
			if diff := cmp.Diff(tc.want, got); diff != "" {
				t.Errorf("coverage (-want +got):\n%s", diff)
			}
			if len(s.CustomResources()) != tc.objects {
				t.Errorf("%d objects, want %d", len(s.CustomResources()), tc.objects)
			}
			for _, r := range s.CustomResources() {
				if r.Kind != tc.kind {
					t.Errorf("%s is of kind %v", r.Name, r.Kind)
				}
				want := []metav1.Condition{{Type: "Ready", Status: metav1.ConditionFalse, Message: "token=[redacted]"}}
				if len(r.Conditions) > 0 && !cmp.Equal(want, r.Conditions) {
					t.Errorf("conditions %v", r.Conditions)
				}
			}
		})
	}
}

// oc adm must-gather writes a list a namespace and kind, and cluster-scoped objects one by one.
func TestAMustGatherIsRead(t *testing.T) {
	b := opened(t, map[string]string{
		"must-gather/quay-io-x/cluster-scoped-resources/core/nodes/w1.yaml":                 nodeItem,
		"must-gather/quay-io-x/cluster-scoped-resources/core/nodes/w2.yaml":                 "---\napiVersion: v1\nkind: Node\nmetadata: {name: w2}\n",
		"must-gather/quay-io-x/namespaces/openshift-dns/core/pods.yaml":                     "apiVersion: v1\nitems:\n- metadata: {name: dns, namespace: openshift-dns}\nkind: PodList\n",
		"must-gather/quay-io-x/namespaces/openshift-dns/apps/daemonsets.yaml":               "apiVersion: apps/v1\nkind: DaemonSetList\nitems: []\n",
		"must-gather/quay-io-x/namespaces/openshift-dns/pods/dns/dns.yaml":                  "apiVersion: v1\nkind: Pod\nmetadata: {name: dns, namespace: openshift-dns}\n",
		"must-gather/quay-io-x/namespaces/openshift-dns/pods/dns/dns/dns/logs/current.log":  "listening\n",
		"must-gather/quay-io-x/namespaces/openshift-dns/pods/dns/dns/dns/logs/previous.log": "panic: x\n",
		"must-gather/quay-io-x/namespaces/openshift-etcd/core/pods.yaml":                    "apiVersion: v1\nitems: []\nkind: PodList\n",
		"must-gather/quay-io-x/namespaces/openshift-dns/openshift-dns.yaml":                 "apiVersion: v1\nkind: Namespace\nmetadata: {name: openshift-dns}\n",
		"must-gather/event-filter.html":                                                     "<html>",
	})
	s := b.Snapshot()
	covered := snapshot.Coverage{State: snapshot.Partial, Reason: "the must-gather covers the namespaces openshift-dns, openshift-etcd"}
	for k, want := range map[snapshot.Kind]snapshot.Coverage{
		nodeKind: {State: snapshot.Complete}, podKind: covered, daemonSetKind: covered,
		namespaceKind: {State: snapshot.Partial, Reason: "the bundle holds single objects, no list"},
	} {
		got := s.Coverage(k)
		got.ReadAt = want.ReadAt
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("%s (-want +got):\n%s", k, diff)
		}
	}
	if s.Len(nodeKind) != 2 || s.Len(podKind) != 1 {
		t.Errorf("%d nodes, %d pods", s.Len(nodeKind), s.Len(podKind))
	}
	if gaps := besides(gapTexts(b), undated); len(gaps) > 0 {
		t.Errorf("gaps %v", gaps)
	}
	current := snapshot.Question{Kind: snapshot.ContainerLog, Namespace: "openshift-dns", Name: "dns", Container: "dns"}
	previous := current
	previous.Previous = true
	got := b.Answer(t.Context(), []snapshot.Question{current, previous})
	if got[current].Text != "listening" || got[previous].Text != "panic: x" {
		t.Errorf("logs %+v", got)
	}
}
