package checks

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/types"

	khv1 "github.com/maek-dev/maek/api/kuberhealthy/v1"
	"github.com/maek-dev/maek/internal/finding"
	"github.com/maek-dev/maek/internal/rule"
	"github.com/maek-dev/maek/internal/snapshot"
)

var moment = time.Date(2026, 3, 2, 2, 20, 0, 0, time.UTC)

// failing puts a check whose newest run failed into a snapshot.
func failing(b *snapshot.Builder, name string, errors ...string) {
	meta := metav1.ObjectMeta{Namespace: "kuberhealthy", Name: name, UID: types.UID(name), CreationTimestamp: metav1.Time{Time: moment.Add(-time.Hour)}}
	b.Add(&khv1.KuberhealthyCheck{ObjectMeta: meta, Spec: khv1.CheckSpec{RunInterval: "5m", Timeout: "5m", PodSpec: runtime.RawExtension{Raw: []byte(`{"containers":[{"name":"a","image":"daemonset-check"}]}`)}}})
	b.Add(&khv1.KuberhealthyState{ObjectMeta: meta, Spec: khv1.State{AuthoritativePod: "kuberhealthy-0", Errors: errors, LastRun: &metav1.Time{Time: moment.Add(-time.Minute)}}})
}

func addNodes(b *snapshot.Builder, n int) []string {
	var names []string
	for i := range n {
		name := fmt.Sprintf("worker-%04d.example.com", i)
		names = append(names, name)
		b.Add(&corev1.Node{ObjectMeta: metav1.ObjectMeta{Name: name}, Status: corev1.NodeStatus{Addresses: []corev1.NodeAddress{{Type: corev1.NodeInternalIP, Address: fmt.Sprintf("10.1.%d.%d", i/250, i%250)}}}})
	}
	return names
}

func evaluate(t *testing.T, s *snapshot.Snapshot) rule.Result {
	t.Helper()
	r := rule.Evaluate(t.Context(), s, Catalog.Rules(), nil, rule.Budget{})
	for _, f := range r.Failures {
		t.Errorf("%s: %v", f.Code, f.Err)
	}
	return r
}

func TestHostileWordsOfChecks(t *testing.T) {
	tests := map[string][]string{
		"a megabyte without a blank": {strings.Repeat("x", 1<<20)},
		"a megabyte of blanks":       {strings.Repeat(" ", 1<<20)},
		"bytes that are no text":     {"\x00\xff\xfe worker-0001.example.com \x1b[31m"},
		"many errors":                slices.Repeat([]string{"worker-0001.example.com is down"}, 10_000),
		"quotes and newlines":        {"\"worker-0001.example.com\"\\\n\r\t'; rm -rf /"},
		"formatting verbs":           {"%s %d %!v(MISSING) %[9]s"},
		"nothing":                    {},
		"blanks":                     {"", " ", "\n"},
	}
	for name, errors := range tests {
		t.Run(name, func(t *testing.T) {
			b := snapshot.NewBuilder(moment, snapshot.Source{})
			addNodes(b, 3)
			failing(b, "a", errors...)
			r := evaluate(t, b.Build())
			if strings.TrimSpace(strings.Join(errors, "")) == "" {
				return // it says that it is not OK, or nothing at all
			}
			if len(r.Findings) != 1 || r.Findings[0].Code != "CheckFailing" {
				t.Fatalf("got %d findings", len(r.Findings))
			}
			f := r.Findings[0]
			if len(f.Title.EN) > 3000 || len(f.Why.EN) > 3000 || strings.ContainsAny(f.Title.EN, "\x00\x1b\n") || strings.Contains(f.Title.EN, "EXTRA") {
				t.Errorf("title %q", f.Title.EN)
			}
		})
	}
}

func TestWhatAWordMeans(t *testing.T) {
	b := snapshot.NewBuilder(moment, snapshot.Source{})
	addNodes(b, 3)
	b.Add(&corev1.Node{ObjectMeta: metav1.ObjectMeta{Name: "w1"}})
	for _, ns := range []string{"default", "shop", "kuberhealthy"} {
		b.Add(&corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: ns}})
	}
	for _, ns := range []string{"default", "shop"} {
		b.Add(&corev1.Service{ObjectMeta: metav1.ObjectMeta{Namespace: ns, Name: "web"}})
	}
	b.Add(&corev1.Service{ObjectMeta: metav1.ObjectMeta{Namespace: "shop", Name: "orders"}, Spec: corev1.ServiceSpec{ClusterIP: "10.96.3.4"}})
	b.Add(&corev1.PersistentVolumeClaim{ObjectMeta: metav1.ObjectMeta{Namespace: "shop", Name: "data"}})
	b.Add(&corev1.Pod{
		ObjectMeta: metav1.ObjectMeta{Namespace: "shop", Name: "db-0", OwnerReferences: []metav1.OwnerReference{{Kind: "StatefulSet", Name: "db", Controller: new(true)}}},
		Spec:       corev1.PodSpec{NodeName: "w1"}, Status: corev1.PodStatus{PodIP: "10.244.0.7"},
	})
	s := b.Build()
	tests := map[string]struct {
		text string
		want []string
	}{
		"a node":                                {"node w1 is not ready", []string{"Node w1"}},
		"a node at the end of a sentence":       {"Not ready: w1.", []string{"Node w1"}},
		"a node in a list of Go's":              {"missing on [worker-0001.example.com w1]", []string{"Node w1", "Node worker-0001.example.com"}},
		"a node with a Korean particle":         {"w1에 Pod가 없습니다", []string{"Node w1"}},
		"a part of a longer name":               {"w10 w1-a Xw1 worker-0001 w1.example.com", nil},
		"a node by its address":                 {"dial tcp 10.1.0.1:10250: refused", []string{"Node worker-0001.example.com"}},
		"a Service that alone is called so":     {"orders answers 503", []string{"Service shop/orders"}},
		"a Service by its DNS name":             {"lookup web.shop.svc.cluster.local: no such host", []string{"Service shop/web"}},
		"a Service by its address":              {"Get http://10.96.3.4/: timeout", []string{"Service shop/orders"}},
		"one of two, and which is not said":     {"web answers 503", nil},
		"one of two, and its namespace is said": {"shop/web answers 503", []string{"Namespace shop", "Service shop/web"}},
		"a pod, what made it and where it is":   {"pod db-0 is gone", []string{"Node w1", "Pod shop/db-0", "StatefulSet shop/db"}},
		"a claim":                               {"PVC shop/data is Pending", []string{"Namespace shop", "PersistentVolumeClaim shop/data"}},
		"a word of every day":                   {"fails by default in the shop", nil},
		"a namespace":                           {"in namespace shop: quota", []string{"Namespace shop"}},
		"a name as DNS has none":                {"a.b.svc and .svc and ...svc", nil},
		"nothing":                               {"", nil},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			c := &check{subject: finding.Subject{Kind: "KuberhealthyCheck", Namespace: "kuberhealthy", Name: "a"}, errors: []string{tc.text}}
			var got []string
			for _, subject := range mentioned(s, c).subjects {
				got = append(got, finding.Named(subject))
			}
			slices.Sort(got)
			if diff := cmp.Diff(tc.want, got); diff != "" {
				t.Errorf("(-want +got):\n%s", diff)
			}
		})
	}
}

// Every check names more than is looked at, and what it waits for is bounded.
func TestManyChecksThatNameEverything(t *testing.T) {
	const checks, nodes = 2000, 500
	b := snapshot.NewBuilder(moment, snapshot.Source{})
	all := strings.Join(addNodes(b, nodes), " ")
	for i := range checks {
		failing(b, fmt.Sprintf("check-%04d", i), all)
	}
	s := b.Build()
	r := evaluate(t, s)
	if len(r.Findings) != checks {
		t.Fatalf("%d findings, want %d", len(r.Findings), checks)
	}
	for _, f := range r.Findings {
		if len(f.WaitsFor) > maxMentions {
			t.Fatalf("%s waits for %d subjects", f.Subject.Name, len(f.WaitsFor))
		}
	}
}
