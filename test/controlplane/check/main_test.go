// Package check tests the command check against a real API server. There are no nodes and no controllers:
// the tests play the kubelet, which ends the checks' pods, and the namespace controller. The programs come
// from the lab's build cache: make test-controlplane builds what is missing and sets KUBEBUILDER_ASSETS to
// where they are.
package check

import (
	"bytes"
	"context"
	"os"
	"strings"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/util/wait"
	"k8s.io/client-go/rest"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/envtest"

	"github.com/maek-dev/maek/internal/cli"
	"github.com/maek-dev/maek/internal/cli/exit"
	"github.com/maek-dev/maek/internal/cli/invocation"
	"github.com/maek-dev/maek/internal/rules"
	"github.com/maek-dev/maek/test/controlplane/apiserver"
)

// environment is the API server of these tests, and admin is allowed everything on it.
var (
	environment *envtest.Environment
	admin       *rest.Config
)

func TestMain(m *testing.M) { os.Exit(run(m)) }

func run(m *testing.M) int {
	environment = &envtest.Environment{}
	return apiserver.Run(m, "test/controlplane/check", environment, func(cfg *rest.Config) error {
		admin = cfg
		return nil
	})
}

// runLabel is on every namespace that the command makes.
const runLabel = "maek.dev/check-run"

// cluster is what the tests do in place of nodes and controllers.
type cluster struct {
	client client.Client
	// pods that were seen, by the name of their scenario, and the cluster's roles at the time.
	pods  map[string]corev1.Pod
	roles map[string]rbacv1.ClusterRole
	// ended is closed when the hands have stopped.
	ended chan struct{}
}

// play starts a kubelet that does with each checker's pod what the test says, and a namespace controller.
// What it did is to be looked at after stop.
func play(t *testing.T, kubelet func(ctx context.Context, c client.Client, scenario string, pod *corev1.Pod) error) (world *cluster, stop func()) {
	t.Helper()
	world = &cluster{client: newClient(t), pods: map[string]corev1.Pod{}, roles: map[string]rbacv1.ClusterRole{}, ended: make(chan struct{})}
	ctx, cancel := context.WithCancel(t.Context())
	go func() {
		defer close(world.ended)
		_ = wait.PollUntilContextCancel(ctx, 100*time.Millisecond, true, func(ctx context.Context) (bool, error) {
			if err := world.round(ctx, kubelet); err != nil && ctx.Err() == nil {
				t.Errorf("playing the cluster: %v", err)
			}
			return false, nil
		})
	}()
	stop = func() { cancel(); <-world.ended }
	t.Cleanup(stop)
	return world, stop
}

func (w *cluster) round(ctx context.Context, kubelet func(context.Context, client.Client, string, *corev1.Pod) error) error {
	var namespaces corev1.NamespaceList
	if err := w.client.List(ctx, &namespaces, client.HasLabels{runLabel}); err != nil {
		return err
	}
	for i := range namespaces.Items {
		n := &namespaces.Items[i]
		if !n.DeletionTimestamp.IsZero() {
			n.Spec.Finalizers = nil
			if err := w.client.SubResource("finalize").Update(ctx, n); client.IgnoreNotFound(err) != nil && !apierrors.IsConflict(err) {
				return err
			}
			continue
		}
		var pods corev1.PodList
		if err := w.client.List(ctx, &pods, client.InNamespace(n.Name)); err != nil {
			return err
		}
		for j := range pods.Items {
			pod := &pods.Items[j]
			args := pod.Spec.Containers[0].Args
			scenario := args[len(args)-1]
			w.pods[scenario] = *pod.DeepCopy()
			if err := kubelet(ctx, w.client, scenario, pod); client.IgnoreNotFound(err) != nil && !apierrors.IsConflict(err) {
				return err
			}
		}
		var roles rbacv1.ClusterRoleList
		if err := w.client.List(ctx, &roles); err != nil {
			return err
		}
		for _, role := range roles.Items {
			if strings.HasPrefix(role.Name, n.Name+"-") {
				w.roles[role.Name] = role
			}
		}
	}
	return nil
}

func newClient(t *testing.T) client.Client {
	t.Helper()
	c, err := apiserver.Client(admin, corev1.AddToScheme, rbacv1.AddToScheme)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// kubectlMaek runs the command line.
func kubectlMaek(ctx context.Context, args ...string) (code exit.Code, out, errOut string) {
	var stdout, stderr bytes.Buffer
	inv := &invocation.Invocation{
		Out: &stdout, ErrOut: &stderr, Program: "kubectl maek", Version: "test",
		Now: time.Now, Getenv: func(string) string { return "" }, Location: time.UTC,
	}
	code = cli.Run(ctx, inv, rules.All(), args)
	return code, stdout.String(), stderr.String()
}

// leave sets a pod's status to that of one whose only container ended so.
func leave(ctx context.Context, c client.Client, pod *corev1.Pod, code int32, message string) error {
	pod.Status.Phase = corev1.PodSucceeded
	if code != 0 {
		pod.Status.Phase = corev1.PodFailed
	}
	pod.Status.ContainerStatuses = []corev1.ContainerStatus{{
		Name: pod.Spec.Containers[0].Name, Image: pod.Spec.Containers[0].Image,
		State: corev1.ContainerState{Terminated: &corev1.ContainerStateTerminated{ExitCode: code, Reason: "Completed", Message: message}},
	}}
	return c.Status().Update(ctx, pod)
}

// checkNamespaces are those that the command made and that are still there.
func checkNamespaces(t *testing.T, c client.Client) []string {
	t.Helper()
	var all corev1.NamespaceList
	if err := c.List(context.WithoutCancel(t.Context()), &all, client.HasLabels{runLabel}); err != nil {
		t.Fatal(err)
	}
	var names []string
	for _, n := range all.Items {
		names = append(names, n.Name)
	}
	return names
}
