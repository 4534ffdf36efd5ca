// Package runs tests the engine of runs against a real API server with a real etcd and a simulated
// kubelet: what it records, what it costs, and what is left after it was killed at any step. The
// programs come from the lab's build cache: `make test-controlplane` builds what is missing and sets
// KUBEBUILDER_ASSETS to where they are.
package runs

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
	"github.com/maek-dev/maek/test/controlplane/apiserver"
)

var (
	// admin is allowed everything on the API server that all tests of the package share.
	admin *rest.Config
	// cluster is the tests' own client, of all kinds that the engine works with.
	cluster client.WithWatch
)

func TestMain(m *testing.M) { os.Exit(run(m)) }

func run(m *testing.M) int {
	ctrllog.SetLogger(logr.Discard()) // its own words about caches that lose their connection
	env := &envtest.Environment{
		CRDDirectoryPaths:     []string{filepath.Join("..", "..", "..", "config", "crd")},
		ErrorIfCRDPathMissing: true,
	}
	return apiserver.Run(m, "test/controlplane/runs", env, func(cfg *rest.Config) error {
		admin = cfg
		var err error
		cluster, err = apiserver.Client(cfg, corev1.AddToScheme, khv1.AddToScheme, khv2.AddToScheme)
		return err
	})
}
