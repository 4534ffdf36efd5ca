package crd

import (
	"os"
	"path/filepath"
	"testing"

	"k8s.io/client-go/rest"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/envtest"

	"github.com/maek-dev/maek/api/maek/v1alpha1"
	"github.com/maek-dev/maek/test/controlplane/apiserver"
)

// cluster may do everything on the API server that the tests of this package share.
var cluster client.Client

func TestMain(m *testing.M) { os.Exit(run(m)) }

func run(m *testing.M) int {
	env := &envtest.Environment{
		CRDDirectoryPaths:     []string{filepath.Join("..", "..", "..", "config", "crd")},
		ErrorIfCRDPathMissing: true,
	}
	return apiserver.Run(m, "test/controlplane/crd", env, func(admin *rest.Config) error {
		var err error
		cluster, err = apiserver.Client(admin, v1alpha1.AddToScheme)
		return err
	})
}
