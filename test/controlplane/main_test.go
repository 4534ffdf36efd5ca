// Package controlplane tests Maek against a real API server with a real etcd, without nodes. The
// programs come from the lab's build cache: `make test-controlplane` builds what is missing and
// sets KUBEBUILDER_ASSETS to where they are.
package controlplane

import (
	"os"
	"testing"

	"k8s.io/client-go/rest"
	"sigs.k8s.io/controller-runtime/pkg/envtest"

	"github.com/maek-dev/maek/test/controlplane/apiserver"
)

// admin is allowed everything on the API server that all tests of the package share.
var admin *rest.Config

// environment is the shared API server; a test that breaks one starts its own.
var environment *envtest.Environment

func TestMain(m *testing.M) { os.Exit(run(m)) }

func run(m *testing.M) int {
	environment = newEnvironment()
	return apiserver.Run(m, "test/controlplane", environment, func(cfg *rest.Config) error {
		admin = cfg
		return nil
	})
}

func newEnvironment() *envtest.Environment {
	return &envtest.Environment{CRDDirectoryPaths: []string{"../../config/crd"}, ErrorIfCRDPathMissing: true}
}
