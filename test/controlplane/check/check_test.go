package check

import (
	"context"
	"encoding/json"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/wait"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/maek-dev/maek/internal/cli/exit"
	"github.com/maek-dev/maek/test/controlplane/apiserver"
)

// verification is what -o json prints.
type verification struct {
	Checks []struct {
		Name, Result, Reason string
		Errors               []string
	}
}

// TestChecksRunAsPodsAndLeaveNothing runs checks whose pods end in all ways, in a namespace that enforces
// the restricted profile.
func TestChecksRunAsPodsAndLeaveNothing(t *testing.T) {
	world, stop := play(t, func(ctx context.Context, c client.Client, scenario string, pod *corev1.Pod) error {
		switch scenario {
		case "resource-quota":
			return leave(ctx, c, pod, 0, `{"ok":true,"seconds":0.2}`)
		case "daemonset":
			return leave(ctx, c, pod, 1, `{"ok":false,"errors":["node w2 has no pod"],"seconds":9}`)
		case "deployment":
			return leave(ctx, c, pod, 137, "")
		default:
			return c.Delete(ctx, pod)
		}
	})
	code, out, errOut := kubectlMaek(t.Context(), "check", "resource-quota", "daemonset", "deployment", "dns", "-o", "json",
		"--image", "registry.example.com/checker:1", "--kubeconfig", apiserver.Kubeconfig(t, environment, "root", "system:masters"))
	stop()
	if code != exit.Incidents || errOut != "" {
		t.Errorf("exit code %d, want %d; said %q", code, exit.Incidents, errOut)
	}
	var got verification
	if err := json.Unmarshal([]byte(out), &got); err != nil {
		t.Fatalf("%v in:\n%s", err, out)
	}
	want := map[string]string{
		"resource-quota": "Passed", "daemonset": "Failed node w2 has no pod",
		"deployment": "Unknown its container ended with exit code 137 (Completed) and left no result",
		"dns":        "Unknown its pod dns-3 was removed by somebody else",
	}
	results := map[string]string{}
	for _, r := range got.Checks {
		results[r.Name] = strings.TrimSpace(r.Result + " " + r.Reason + strings.Join(r.Errors, "; "))
	}
	if diff := cmp.Diff(want, results); diff != "" {
		t.Errorf("results (-want +got):\n%s", diff)
	}
	if left := checkNamespaces(t, world.client); len(left) > 0 {
		t.Errorf("namespaces that are left: %q", left)
	}
	pod, seen := world.pods["daemonset"]
	if !seen || pod.Spec.Containers[0].Image != "registry.example.com/checker:1" || pod.Spec.ActiveDeadlineSeconds == nil {
		t.Errorf("the pod of daemonset: %+v", pod.Spec)
	}
	checkOwned(t, world, pod.Namespace)
}

// checkOwned holds that what was made in the cluster's scope goes with the namespace. Without a garbage
// collector it stays here; it is enough that one would know whose it is.
func checkOwned(t *testing.T, world *cluster, namespace string) {
	t.Helper()
	if len(world.roles) == 0 {
		t.Error("no check was given rights in the cluster")
	}
	for name, role := range world.roles {
		if owner := role.OwnerReferences; len(owner) != 1 || owner[0].Kind != "Namespace" || owner[0].Name != namespace {
			t.Errorf("ClusterRole %s belongs to %+v", name, owner)
		}
		for _, rule := range role.Rules {
			if slices.Contains(rule.Verbs, "*") || slices.Contains(rule.Resources, "*") || slices.Contains(rule.Resources, "secrets") {
				t.Errorf("ClusterRole %s grants %+v", name, rule)
			}
		}
	}
}

// TestAnInterruptedRunCleansUp ends the command while its check runs.
func TestAnInterruptedRunCleansUp(t *testing.T) {
	ctx, interrupt := context.WithCancel(t.Context())
	defer interrupt()
	world, stop := play(t, func(ctx context.Context, c client.Client, _ string, pod *corev1.Pod) error {
		if pod.Status.Phase == corev1.PodRunning {
			interrupt()
			return nil
		}
		pod.Status.Phase = corev1.PodRunning
		return c.Status().Update(ctx, pod)
	})
	code, out, errOut := kubectlMaek(ctx, "check", "resource-quota", "--kubeconfig", apiserver.Kubeconfig(t, environment, "root", "system:masters"))
	stop()
	if code != exit.Unknown || !strings.Contains(errOut, "interrupted") || !strings.Contains(out, "unknown  resource-quota\n         interrupted\n") {
		t.Errorf("exit code %d, want %d; printed:\n%s\nand said %q", code, exit.Unknown, out, errOut)
	}
	if left := checkNamespaces(t, world.client); len(left) > 0 {
		t.Errorf("namespaces that are left: %q", left)
	}
}

// TestWhoMayNotIsToldSo runs checks as users who lack rights.
func TestWhoMayNotIsToldSo(t *testing.T) {
	for name, tc := range map[string]struct {
		user             string
		verbs            []string
		wantOut, wantErr string
	}{
		"to make a namespace": {
			user:    "nobody",
			wantErr: `kubectl maek: making a namespace for the checks: namespaces is forbidden: User "nobody" cannot create resource "namespaces" in API group "" at the cluster scope` + "\n",
		},
		"to give a check its rights": {
			user: "maker", verbs: []string{"create", "delete"},
			wantOut: `giving the check its rights: serviceaccounts is forbidden: User "maker" cannot create resource "serviceaccounts"`,
		},
		"to remove the namespace": {
			user: "leaver", verbs: []string{"create"},
			wantOut: `is left behind: namespaces "maek-check-`,
		},
	} {
		t.Run(name, func(t *testing.T) {
			world, stop := play(t, func(context.Context, client.Client, string, *corev1.Pod) error { return nil })
			allow(t, world.client, tc.user, tc.verbs)
			code, out, errOut := kubectlMaek(t.Context(), "check", "resource-quota", "--kubeconfig", apiserver.Kubeconfig(t, environment, tc.user))
			if code != exit.Unknown || errOut != tc.wantErr || !strings.Contains(out, tc.wantOut) {
				t.Errorf("exit code %d, want %d; printed:\n%s\nand said %q", code, exit.Unknown, out, errOut)
			}
			for _, left := range checkNamespaces(t, world.client) {
				if tc.user != "leaver" {
					t.Errorf("namespace %s is left", left)
				}
				if err := world.client.Delete(t.Context(), &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: left}}); err != nil {
					t.Fatal(err)
				}
			}
			if err := wait.PollUntilContextTimeout(t.Context(), 50*time.Millisecond, 30*time.Second, true, func(context.Context) (bool, error) {
				return len(checkNamespaces(t, world.client)) == 0, nil
			}); err != nil {
				t.Error(err)
			}
			stop()
		})
	}
}

// allow lets a user do something to namespaces.
func allow(t *testing.T, c client.Client, user string, verbs []string) {
	t.Helper()
	if len(verbs) == 0 {
		return
	}
	role := &rbacv1.ClusterRole{
		ObjectMeta: metav1.ObjectMeta{Name: "test-" + user},
		Rules:      []rbacv1.PolicyRule{{APIGroups: []string{""}, Resources: []string{"namespaces"}, Verbs: verbs}},
	}
	binding := &rbacv1.ClusterRoleBinding{
		ObjectMeta: metav1.ObjectMeta{Name: "test-" + user},
		RoleRef:    rbacv1.RoleRef{APIGroup: rbacv1.GroupName, Kind: "ClusterRole", Name: role.Name},
		Subjects:   []rbacv1.Subject{{Kind: rbacv1.UserKind, APIGroup: rbacv1.GroupName, Name: user}},
	}
	for _, o := range []client.Object{role, binding} {
		if err := c.Create(t.Context(), o); err != nil {
			t.Fatal(err)
		}
	}
	// What is bound counts as soon as the authorizer has heard of it.
	config := *admin
	config.Impersonate.UserName = user
	as, err := client.New(&config, client.Options{Scheme: c.Scheme()})
	if err != nil {
		t.Fatal(err)
	}
	if err := wait.PollUntilContextTimeout(t.Context(), 50*time.Millisecond, 30*time.Second, true, func(ctx context.Context) (bool, error) {
		err := as.Create(ctx, &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: "dry"}}, client.DryRunAll)
		return err == nil, client.IgnoreNotFound(ignoreForbidden(err))
	}); err != nil {
		t.Fatal(err)
	}
}

func ignoreForbidden(err error) error {
	if apierrors.IsForbidden(err) {
		return nil
	}
	return err
}

// TestLeftoversOfKilledRunsAreRemoved plants namespaces of earlier runs.
func TestLeftoversOfKilledRunsAreRemoved(t *testing.T) {
	world, stop := play(t, func(ctx context.Context, c client.Client, _ string, pod *corev1.Pod) error {
		return leave(ctx, c, pod, 0, `{"ok":true,"seconds":0.2}`)
	})
	planted := map[string]string{"left-of-killed": "0", "of-one-that-runs": "3600", "of-somebody-else": "forever"}
	var newest metav1.Time
	for name, life := range planted {
		n := &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: name, Labels: map[string]string{runLabel: life}}}
		if err := world.client.Create(t.Context(), n); err != nil {
			t.Fatal(err)
		}
		newest = n.CreationTimestamp
	}
	// Ages are told in seconds.
	if err := wait.PollUntilContextTimeout(t.Context(), 50*time.Millisecond, 30*time.Second, true, func(ctx context.Context) (bool, error) {
		n := &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: "clock"}}
		err := world.client.Create(ctx, n, client.DryRunAll)
		return n.CreationTimestamp.After(newest.Time), err
	}); err != nil {
		t.Fatal(err)
	}
	code, out, errOut := kubectlMaek(t.Context(), "check", "resource-quota", "--kubeconfig", apiserver.Kubeconfig(t, environment, "root", "system:masters"))
	if code != exit.OK || !strings.HasPrefix(out, "passed   resource-quota") {
		t.Errorf("exit code %d; printed:\n%s\nand said %q", code, out, errOut)
	}
	var left []string
	if err := wait.PollUntilContextTimeout(t.Context(), 50*time.Millisecond, 30*time.Second, true, func(context.Context) (bool, error) {
		left = checkNamespaces(t, world.client)
		return len(left) == 2, nil
	}); err != nil {
		t.Errorf("%v", err)
	}
	stop()
	slices.Sort(left)
	if diff := cmp.Diff([]string{"of-one-that-runs", "of-somebody-else"}, left); diff != "" {
		t.Errorf("what is left (-want +got):\n%s", diff)
	}
}
