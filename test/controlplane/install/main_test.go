// Package install tests what the command install applies, against a real API server: that it comes up, that
// it can be applied again, and that the operator may do with it what it does, and nothing else. There are
// no nodes and no controllers: the tests play both. The programs come from the lab's build cache: make
// test-controlplane builds what is missing and sets KUBEBUILDER_ASSETS to where they are.
package install

import (
	"bytes"
	"context"
	"log/slog"
	"os"
	"testing"
	"time"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	"k8s.io/apimachinery/pkg/util/wait"
	"k8s.io/client-go/rest"
	"k8s.io/klog/v2"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/envtest"
	"sigs.k8s.io/controller-runtime/pkg/log"

	khv1 "github.com/maek-dev/maek/api/kuberhealthy/v1"
	khv2 "github.com/maek-dev/maek/api/kuberhealthy/v2"
	"github.com/maek-dev/maek/api/maek/v1alpha1"
	"github.com/maek-dev/maek/internal/cli"
	"github.com/maek-dev/maek/internal/cli/exit"
	"github.com/maek-dev/maek/internal/cli/invocation"
	"github.com/maek-dev/maek/internal/rules"
	"github.com/maek-dev/maek/test/controlplane/apiserver"
)

// namespace into which all tests install: roles of the cluster's scope have one name.
const namespace = "kuberhealthy"

// environment is the API server of these tests, without any definition, and admin is allowed everything
// on it.
var (
	environment *envtest.Environment
	admin       *rest.Config
)

func TestMain(m *testing.M) { os.Exit(run(m)) }

func run(m *testing.M) int {
	klog.SetSlogLogger(slog.New(slog.DiscardHandler))
	log.SetLogger(klog.Background())
	environment = &envtest.Environment{}
	return apiserver.Run(m, "test/controlplane/install", environment, func(cfg *rest.Config) error {
		admin = cfg
		return nil
	})
}

func newClient(t *testing.T) client.Client {
	t.Helper()
	c, err := apiserver.Client(admin, corev1.AddToScheme, appsv1.AddToScheme, rbacv1.AddToScheme, khv1.AddToScheme, khv2.AddToScheme, v1alpha1.AddToScheme)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// kubectlMaek runs the command line as an administrator.
func kubectlMaek(t *testing.T, args ...string) (code exit.Code, out, errOut string) {
	t.Helper()
	kubeconfig := apiserver.Kubeconfig(t, environment, "root", "system:masters")
	var stdout, stderr bytes.Buffer
	inv := &invocation.Invocation{
		Out: &stdout, ErrOut: &stderr, Program: "kubectl maek", Version: "test",
		Now: time.Now, Getenv: func(string) string { return "" }, Location: time.UTC,
	}
	code = cli.Run(t.Context(), inv, rules.All(), append(args, "--kubeconfig", kubeconfig))
	return code, stdout.String(), stderr.String()
}

// install applies what the command prints and waits for it, while the test plays the Deployment controller.
func install(t *testing.T, c client.Client, args ...string) (code exit.Code, out, errOut string) {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	played := make(chan struct{})
	go func() {
		defer close(played)
		_ = wait.PollUntilContextCancel(ctx, 100*time.Millisecond, true, func(ctx context.Context) (bool, error) {
			var d appsv1.Deployment
			if err := c.Get(ctx, client.ObjectKey{Namespace: namespace, Name: "maek-operator"}, &d); err != nil {
				return false, client.IgnoreNotFound(err)
			}
			n := *d.Spec.Replicas
			d.Status = appsv1.DeploymentStatus{ObservedGeneration: d.Generation, Replicas: n, UpdatedReplicas: n, ReadyReplicas: n}
			// Whoever else writes it now is waited for.
			_ = c.Status().Update(ctx, &d)
			return false, nil
		})
	}()
	defer func() { cancel(); <-played }()
	return kubectlMaek(t, append([]string{"install", "--apply", "--timeout", "2m", "-n", namespace}, args...)...)
}
