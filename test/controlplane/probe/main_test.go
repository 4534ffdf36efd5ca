// Package probe tests kubectl maek probe on a real API server with a real etcd. The kubelet is played: its doors for
// commands and ports are those of the container runtimes' own streaming server, behind the API server as in every
// cluster, and behind these are real programs. Statuses, Events and EndpointSlices are written by the tests.
package probe

import (
	"os"
	"testing"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	"k8s.io/client-go/rest"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/envtest"

	"github.com/maek-dev/maek/test/controlplane/apiserver"
)

var (
	environment *envtest.Environment
	// cluster is the tests' own client.
	cluster client.WithWatch
)

func TestMain(m *testing.M) { os.Exit(run(m)) }

func run(m *testing.M) int {
	environment = &envtest.Environment{}
	return apiserver.Run(m, "test/controlplane/probe", environment, func(admin *rest.Config) error {
		var err error
		cluster, err = apiserver.Client(admin, corev1.AddToScheme, appsv1.AddToScheme, discoveryv1.AddToScheme, rbacv1.AddToScheme)
		return err
	})
}
