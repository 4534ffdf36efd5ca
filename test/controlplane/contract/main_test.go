// Package contract tests on a real API server what pure tests cannot know: that the manifests of
// Kuberhealthy's documentation are taken as they are, and the pods that Maek makes of them, and that what
// Maek records is kept. The programs come from the lab's build cache: `make test-controlplane` builds what
// is missing and sets KUBEBUILDER_ASSETS to where they are.
package contract

import (
	"os"
	"path/filepath"
	"testing"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/client-go/rest"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/envtest"

	khv1 "github.com/maek-dev/maek/api/kuberhealthy/v1"
	khv2 "github.com/maek-dev/maek/api/kuberhealthy/v2"
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
	return apiserver.Run(m, "test/controlplane/contract", env, func(config *rest.Config) error {
		var err error
		cluster, err = apiserver.Client(config, corev1.AddToScheme, khv1.AddToScheme, khv2.AddToScheme)
		return err
	})
}
