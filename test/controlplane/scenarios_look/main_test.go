// Package scenarios tests those of Maek's scenarios that only look, against a real API server, with the
// rights that they say they need and no others. The programs come from the lab's build cache: make
// test-controlplane builds what is missing and sets KUBEBUILDER_ASSETS to where they are.
package scenarios

import (
	"os"
	"testing"

	"k8s.io/client-go/rest"
	"sigs.k8s.io/controller-runtime/pkg/envtest"

	"github.com/maek-dev/maek/test/controlplane/apiserver"
)

// admin is allowed everything on the API server of these tests.
var admin *rest.Config

func TestMain(m *testing.M) { os.Exit(run(m)) }

func run(m *testing.M) int {
	return apiserver.Run(m, "test/controlplane/scenarios_look", &envtest.Environment{}, func(cfg *rest.Config) error {
		admin = cfg
		return nil
	})
}
