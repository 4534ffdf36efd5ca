package controlplane

import (
	"context"
	"slices"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/util/wait"
	"k8s.io/client-go/dynamic"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"
	"sigs.k8s.io/controller-runtime/pkg/envtest"

	"github.com/maek-dev/maek/api/maek/v1alpha1"
	"github.com/maek-dev/maek/internal/collect/live"
	"github.com/maek-dev/maek/internal/diagnosis"
	"github.com/maek-dev/maek/internal/rule"
	"github.com/maek-dev/maek/internal/rules"
	"github.com/maek-dev/maek/internal/snapshot"
)

// requestsBeyond is how many requests a diagnosis of a quiet cluster may take beyond one a kind.
const requestsBeyond = 10

func diagnose(t *testing.T, cfg *rest.Config) (diagnosis.Diagnosis, live.Stats) {
	t.Helper()
	all := rules.All()
	s, client, err := live.Collect(t.Context(), cfg, rule.Kinds(all), live.Options{
		Name: "test", Now: time.Now, CustomResources: rule.CustomResources(all),
	})
	if err != nil {
		t.Fatal(err)
	}
	return diagnosis.Diagnose(rule.Evaluate(t.Context(), s, all, client, rule.DefaultBudget), all), client.Stats()
}

func TestAQuietAPIServerIsHealthy(t *testing.T) {
	d, stats := diagnose(t, admin)
	if d.Verdict != v1alpha1.VerdictHealthy {
		t.Errorf("verdict %s, want Healthy; incidents %v, failures %v", d.Verdict, d.Incidents, d.Failures)
	}
	for _, k := range d.Snapshot.Kinds() {
		if c := d.Snapshot.Coverage(k); c.State != snapshot.Complete || c.FromCache {
			t.Errorf("%s: %+v, want complete by a quorum read", k, c)
		}
	}
	kinds := len(d.Snapshot.Kinds()) + len(d.Snapshot.CustomKinds())
	if most := int64(kinds + requestsBeyond); stats.Requests > most {
		t.Errorf("%d requests for %d kinds, want at most %d", stats.Requests, kinds, most)
	}
	t.Logf("%d requests for %d kinds", stats.Requests, kinds)
	if age := time.Since(d.Snapshot.Now()).Abs(); age > time.Minute {
		t.Errorf("the snapshot's moment is %s away", age)
	}
}

// asUser adds a user who may do what a ClusterRole says, and returns how he connects.
func asUser(t *testing.T, name string, policy []rbacv1.PolicyRule) *rest.Config {
	t.Helper()
	client, err := kubernetes.NewForConfig(admin)
	if err != nil {
		t.Fatal(err)
	}
	role := &rbacv1.ClusterRole{ObjectMeta: metav1.ObjectMeta{Name: name}, Rules: policy}
	if _, err := client.RbacV1().ClusterRoles().Create(t.Context(), role, metav1.CreateOptions{}); err != nil {
		t.Fatal(err)
	}
	binding := &rbacv1.ClusterRoleBinding{
		ObjectMeta: metav1.ObjectMeta{Name: name},
		Subjects:   []rbacv1.Subject{{Kind: rbacv1.UserKind, Name: name}},
		RoleRef:    rbacv1.RoleRef{APIGroup: rbacv1.GroupName, Kind: "ClusterRole", Name: name},
	}
	if _, err := client.RbacV1().ClusterRoleBindings().Create(t.Context(), binding, metav1.CreateOptions{}); err != nil {
		t.Fatal(err)
	}
	user, err := environment.AddUser(envtest.User{Name: name}, nil)
	if err != nil {
		t.Fatal(err)
	}
	// Authorisation is answered from a cache that learns of the binding a moment later.
	cfg := user.Config()
	until(t, "the binding counts", func(ctx context.Context) bool {
		c, err := kubernetes.NewForConfig(cfg)
		if err != nil {
			t.Fatal(err)
		}
		_, err = c.CoreV1().Nodes().List(ctx, metav1.ListOptions{Limit: 1})
		return err == nil
	})
	return cfg
}

func TestAUserWithoutPodsIsToldSoAndNothingIsCalledHealthy(t *testing.T) {
	cfg := asUser(t, "nodes-only", []rbacv1.PolicyRule{{APIGroups: []string{""}, Resources: []string{"nodes"}, Verbs: []string{"list"}}})
	d, _ := diagnose(t, cfg)
	if d.Verdict != v1alpha1.VerdictUnknown {
		t.Errorf("verdict %s, want Unknown", d.Verdict)
	}
	if got := d.Snapshot.Coverage(snapshot.KindOf[*corev1.Pod]()).State; got != snapshot.Forbidden {
		t.Errorf("pods are %s, want forbidden", got)
	}
	if got := d.Snapshot.Coverage(snapshot.KindOf[*corev1.Node]()).State; got != snapshot.Complete {
		t.Errorf("nodes are %s, want complete", got)
	}
	if len(d.Incidents) > 0 {
		t.Errorf("a right that is missing was taken for trouble: %v", d.Incidents)
	}
}

func TestABrokenAggregatedAPIDoesNotStandInTheWay(t *testing.T) {
	client, err := dynamic.NewForConfig(admin)
	if err != nil {
		t.Fatal(err)
	}
	services := client.Resource(schema.GroupVersionResource{Group: "apiregistration.k8s.io", Version: "v1", Resource: "apiservices"})
	broken := &unstructured.Unstructured{Object: map[string]any{
		"apiVersion": "apiregistration.k8s.io/v1", "kind": "APIService",
		"metadata": map[string]any{"name": "v1beta1.metrics.k8s.io"},
		"spec": map[string]any{
			"group": "metrics.k8s.io", "version": "v1beta1", "groupPriorityMinimum": int64(100), "versionPriority": int64(100),
			"insecureSkipTLSVerify": true, "service": map[string]any{"namespace": "kube-system", "name": "nobody"},
		},
	}}
	if _, err := services.Create(t.Context(), broken, metav1.CreateOptions{}); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := services.Delete(context.WithoutCancel(t.Context()), broken.GetName(), metav1.DeleteOptions{}); err != nil {
			t.Error(err)
		}
	})
	until(t, "the API server sees that the backend is missing", func(ctx context.Context) bool {
		s, err := services.Get(ctx, broken.GetName(), metav1.GetOptions{})
		if err != nil {
			return false
		}
		conditions, _, err := unstructured.NestedSlice(s.Object, "status", "conditions")
		return err == nil && slices.ContainsFunc(conditions, func(c any) bool {
			condition, ok := c.(map[string]any)
			return ok && condition["type"] == "Available" && condition["status"] == "False"
		})
	})
	if d, _ := diagnose(t, admin); d.Verdict != v1alpha1.VerdictHealthy || len(d.Failures) > 0 {
		t.Errorf("verdict %s, failures %v; want Healthy by what these rules look at", d.Verdict, d.Failures)
	}
}

// until waits for a condition of the API server's.
func until(t *testing.T, what string, done func(context.Context) bool) {
	t.Helper()
	err := wait.PollUntilContextTimeout(t.Context(), 50*time.Millisecond, 30*time.Second, true,
		func(ctx context.Context) (bool, error) { return done(ctx), nil })
	if err != nil {
		t.Fatalf("waiting until %s: %v", what, err)
	}
}
