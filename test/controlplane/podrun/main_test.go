// Package podrun tests the pods of Checks against a real API server with a real etcd and a simulated kubelet: how
// runs end, what is refused, and what is left after whoever ran a check was killed at any step.
package podrun

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/go-logr/logr"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/client-go/rest"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/envtest"
	ctrllog "sigs.k8s.io/controller-runtime/pkg/log"

	khv1 "github.com/maek-dev/maek/api/kuberhealthy/v1"
	khv2 "github.com/maek-dev/maek/api/kuberhealthy/v2"
	"github.com/maek-dev/maek/api/maek/v1alpha1"
	"github.com/maek-dev/maek/test/controlplane/apiserver"
)

var (
	// admin is allowed everything on the API server that all tests of the package share.
	admin *rest.Config
	// cluster is the tests' own client, of all kinds that are used.
	cluster client.WithWatch
)

func TestMain(m *testing.M) { os.Exit(run(m)) }

func run(m *testing.M) int {
	ctrllog.SetLogger(logr.Discard()) // its own words about caches that lose their connection
	env := &envtest.Environment{
		CRDDirectoryPaths:     []string{filepath.Join("..", "..", "..", "config", "crd")},
		ErrorIfCRDPathMissing: true,
	}
	// The tests of envtest have no ServiceAccounts; clusters do.
	env.ControlPlane.GetAPIServer().Configure().Set("disable-admission-plugins", "DefaultStorageClass")
	return apiserver.Run(m, "test/controlplane/podrun", env, func(cfg *rest.Config) error {
		admin = cfg
		admin.QPS = -1
		var err error
		cluster, err = apiserver.Client(cfg, corev1.AddToScheme, khv1.AddToScheme, khv2.AddToScheme, v1alpha1.AddToScheme)
		return err
	})
}
