//go:build unix

package scenarios

import (
	"context"
	"log/slog"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	appsv1 "k8s.io/api/apps/v1"
	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/utils/clock"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/envtest"

	"github.com/maek-dev/maek/internal/synthetic"
	"github.com/maek-dev/maek/internal/synthetic/stage"
)

// rights are rules in the namespace that a scenario acts in, and in the whole cluster.
type rights struct{ here, everywhere []rbacv1.PolicyRule }

func rule(group, resources, verbs string) rbacv1.PolicyRule {
	return rbacv1.PolicyRule{APIGroups: strings.Split(group, ","), Resources: strings.Split(resources, ","), Verbs: strings.Split(verbs, ",")}
}

const everything = "create,delete,get,list,patch,update,watch"

func TestRights(t *testing.T) {
	own := func(name string) rights {
		s, ok := synthetic.All.Find(name)
		if !ok {
			t.Fatalf("no scenario %s", name)
		}
		return rights{s.Access, s.ClusterAccess}
	}
	roll := map[string]string{"CHECK_DEPLOYMENT_ROLLING_UPDATE": "true", "CHECK_DEPLOYMENT_REPLICAS": "4"}
	tests := map[string]struct {
		scenario string
		rights   rights
		options  map[string]string
		// wantNodes are the nodes with a result; wantNote is part of a note.
		wantNodes []string
		wantNote  string
	}{
		"daemonset with its own rights": {scenario: "daemonset", rights: own("daemonset"), wantNodes: []string{"n1", "n2"}},
		"daemonset with those of Kuberhealthy 2": {
			scenario: "daemonset",
			rights: rights{
				[]rbacv1.PolicyRule{rule(",extensions,apps", "daemonsets,pods", everything+",deletecollection")},
				[]rbacv1.PolicyRule{rule("", "nodes", "list")},
			},
			wantNodes: []string{"n1", "n2"},
		},
		"daemonset with those of Kuberhealthy 3": {
			scenario:  "daemonset",
			rights:    rights{here: []rbacv1.PolicyRule{rule(",apps", "daemonsets,pods", everything+",deletecollection")}},
			wantNodes: []string{"n1", "n2"}, wantNote: "nodes may not be listed",
		},
		"deployment with its own rights": {scenario: "deployment", rights: own("deployment"), options: roll, wantNote: "run outside the cluster"},
		"deployment with those of Kuberhealthy 2": {
			scenario: "deployment", options: roll, wantNote: "run outside the cluster",
			rights: rights{here: []rbacv1.PolicyRule{rule("apps", "deployments", everything), rule("", "services", everything), rule("", "pods", "get,list,watch")}},
		},
		"namespace pod with its own rights": {scenario: "namespace-pod", rights: own("namespace-pod")},
		"namespace pod with those of Kuberhealthy 3": {
			scenario: "namespace-pod",
			rights:   rights{everywhere: []rbacv1.PolicyRule{rule("", "namespaces", "get,list"), rule("", "pods", "get,create,delete")}},
		},
		"image download with its own rights": {
			scenario: "image-download", rights: own("image-download"), wantNodes: []string{"n1", "n2"},
			options: map[string]string{"FULL_IMAGE_URL": "example.com/a:1", "TIMEOUT_LIMIT": "60s", "EVERY_NODE": "true"},
		},
		"storage with its own rights": {
			scenario: "storage", rights: own("storage"), wantNodes: []string{"other"}, wantNote: "deleting the volume",
			options: map[string]string{"CHECK_STORAGE_PVC_STORAGE_CLASS_NAME": simulatedClass},
		},
		"storage with those of Kuberhealthy 2": {
			scenario: "storage", wantNodes: []string{"other"}, wantNote: "PersistentVolumes may not be listed",
			options: map[string]string{
				"CHECK_STORAGE_PVC_STORAGE_CLASS_NAME": simulatedClass, "CHECK_STORAGE_IMAGE": "bitnami/nginx:1.19", "CHECK_STORAGE_INIT_IMAGE": "bitnami/nginx:1.19",
				"CHECK_STORAGE_NAME": "storage-check-pvc-simulated", "CHECK_STORAGE_INIT_JOB_NAME": "storage-check-init-job-simulated", "CHECK_STORAGE_JOB_NAME": "storage-check-job-simulated",
			},
			rights: rights{
				[]rbacv1.PolicyRule{rule("", "persistentvolumeclaims", everything), rule("batch,extensions", "jobs", everything), rule("", "pods", "get,list,watch")},
				[]rbacv1.PolicyRule{rule("", "nodes", "get,list,watch")},
			},
		},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			namespace := "scenario-" + strings.ReplaceAll(strings.ToLower(strings.ReplaceAll(name, "'", "")), " ", "-")
			env := asUser(t, namespace, tc.rights, tc.options)
			if tc.scenario == "namespace-pod" {
				env.Getenv = func(o string) string { return map[string]string{"NAMESPACES": namespace + ",default"}[o] }
			}
			scenario, _ := synthetic.All.Find(tc.scenario)
			ctx, cancel := context.WithTimeout(t.Context(), shortly)
			defer cancel()
			result, err := scenario.Run(ctx, env)
			if err != nil {
				t.Fatal(err)
			}
			if !result.OK() {
				t.Fatalf("errors: %s", strings.Join(result.Errors, "\n"))
			}
			var nodes []string
			for _, n := range result.Nodes {
				nodes = append(nodes, n.Node)
			}
			if len(tc.wantNodes) == 1 && len(nodes) == 1 {
				nodes = tc.wantNodes // The scheduler is free to choose.
			}
			if diff := cmp.Diff(tc.wantNodes, nodes); diff != "" {
				t.Errorf("nodes (-want +got):\n%s", diff)
			}
			if notes := strings.Join(result.Notes, "\n"); !strings.Contains(notes, tc.wantNote) {
				t.Errorf("notes %q are without %q", notes, tc.wantNote)
			}
			if left := left(t, namespace); len(left) > 0 {
				t.Errorf("left: %v", left)
			}
		})
	}
}

func adminClient(t *testing.T) client.WithWatch {
	t.Helper()
	c, err := client.NewWithWatch(admin, client.Options{})
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// asUser makes a namespace that enforces the restricted Pod Security level, and somebody with some
// rights.
func asUser(t *testing.T, namespace string, r rights, options map[string]string) synthetic.Environment {
	t.Helper()
	c := adminClient(t)
	level := "restricted"
	if options["CHECK_STORAGE_IMAGE"] != "" {
		level = "baseline" // The image is the user's, and runs as it pleases.
	}
	subjects := []rbacv1.Subject{{Kind: rbacv1.UserKind, APIGroup: rbacv1.GroupName, Name: namespace}}
	objects := []client.Object{
		&corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: namespace, Labels: map[string]string{"pod-security.kubernetes.io/enforce": level}}},
		&rbacv1.Role{ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: "check"}, Rules: r.here},
		&rbacv1.RoleBinding{ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: "check"}, Subjects: subjects, RoleRef: rbacv1.RoleRef{APIGroup: rbacv1.GroupName, Kind: "Role", Name: "check"}},
		&rbacv1.ClusterRole{ObjectMeta: metav1.ObjectMeta{Name: namespace}, Rules: r.everywhere},
		&rbacv1.ClusterRoleBinding{ObjectMeta: metav1.ObjectMeta{Name: namespace}, Subjects: subjects, RoleRef: rbacv1.RoleRef{APIGroup: rbacv1.GroupName, Kind: "ClusterRole", Name: namespace}},
	}
	for _, o := range objects {
		if err := c.Create(t.Context(), o); err != nil {
			t.Fatal(err)
		}
	}
	user, err := environment.AddUser(envtest.User{Name: namespace}, nil)
	if err != nil {
		t.Fatal(err)
	}
	client, err := synthetic.NewClient(user.Config())
	if err != nil {
		t.Fatal(err)
	}
	return synthetic.Environment{
		Client: client, Getenv: func(name string) string { return options[name] }, Namespace: namespace,
		Image: "maek-checker:test", RunID: "r1", Grace: time.Minute, Clock: clock.RealClock{}, Log: slog.New(slog.DiscardHandler),
	}
}

// left names what scenarios have made and not removed.
func left(t *testing.T, namespace string) []string {
	t.Helper()
	c := adminClient(t)
	var names []string
	for _, list := range []client.ObjectList{
		&corev1.PodList{}, &corev1.ServiceList{}, &appsv1.DeploymentList{}, &appsv1.DaemonSetList{}, &batchv1.JobList{}, &corev1.PersistentVolumeClaimList{},
	} {
		if err := c.List(t.Context(), list, client.InNamespace(namespace), client.MatchingLabels{stage.LabelManagedBy: stage.ManagedBy}); err != nil {
			t.Fatal(err)
		}
		items, err := meta.ExtractList(list)
		if err != nil {
			t.Fatal(err)
		}
		for _, item := range items {
			o, err := meta.Accessor(item)
			if err != nil {
				t.Fatal(err)
			}
			names = append(names, o.GetName())
		}
	}
	return names
}
