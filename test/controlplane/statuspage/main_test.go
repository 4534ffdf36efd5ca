// Package statuspage tests against a real API server what the status page asks it: whose a token is, what
// its bearer may do, and what happened to a check.
package statuspage

import (
	"os"
	"testing"

	"k8s.io/client-go/rest"
	"sigs.k8s.io/controller-runtime/pkg/envtest"

	"github.com/maek-dev/maek/test/controlplane/apiserver"
)

// admin is allowed everything.
var admin *rest.Config

func TestMain(m *testing.M) { os.Exit(run(m)) }

func run(m *testing.M) int {
	return apiserver.Run(m, "test/controlplane/statuspage", &envtest.Environment{CRDDirectoryPaths: []string{"../../../config/crd"}, ErrorIfCRDPathMissing: true}, func(cfg *rest.Config) error {
		admin = cfg
		return nil
	})
}
