// Package statuspage tests against a real API server what the status page asks it: whose a token is, what
// its bearer may do, and what happened to a check.
package statuspage

import (
	"fmt"
	"os"
	"testing"

	"k8s.io/client-go/rest"
	"sigs.k8s.io/controller-runtime/pkg/envtest"
)

const assetsVariable = "KUBEBUILDER_ASSETS"

// admin is allowed everything.
var admin *rest.Config

func TestMain(m *testing.M) { os.Exit(run(m)) }

func run(m *testing.M) int {
	if os.Getenv(assetsVariable) == "" {
		fmt.Fprintf(os.Stderr, "NOT RUN: test/controlplane/statuspage needs kube-apiserver and etcd; make test-controlplane builds them and sets %s\n", assetsVariable)
		return 0
	}
	environment := &envtest.Environment{CRDDirectoryPaths: []string{"../../../config/crd"}, ErrorIfCRDPathMissing: true}
	var err error
	if admin, err = environment.Start(); err != nil {
		fmt.Fprintf(os.Stderr, "starting etcd and kube-apiserver from %s: %v\n", os.Getenv(assetsVariable), err)
		return 1
	}
	defer func() {
		if err := environment.Stop(); err != nil {
			fmt.Fprintf(os.Stderr, "stopping etcd and kube-apiserver: %v\n", err)
		}
	}()
	return m.Run()
}
