// Package checks tests on a real API server that checks of every API are read as they are stored.
package checks

import (
	"os"
	"testing"

	"k8s.io/client-go/rest"
	"sigs.k8s.io/controller-runtime/pkg/envtest"

	"github.com/maek-dev/maek/test/controlplane/apiserver"
)

var admin *rest.Config

func TestMain(m *testing.M) { os.Exit(run(m)) }

func run(m *testing.M) int {
	return apiserver.Run(m, "test/controlplane/checks", &envtest.Environment{CRDDirectoryPaths: []string{"../../../config/crd"}, ErrorIfCRDPathMissing: true}, func(cfg *rest.Config) error {
		admin = cfg
		return nil
	})
}
