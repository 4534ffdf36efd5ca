// Package controlplane tests Maek against a real API server with a real etcd, without nodes. The
// programs come from the lab's build cache: `make test-controlplane` builds what is missing and
// sets KUBEBUILDER_ASSETS to where they are.
package controlplane

import (
	"fmt"
	"os"
	"testing"

	"k8s.io/client-go/rest"
	"sigs.k8s.io/controller-runtime/pkg/envtest"
)

const assetsVariable = "KUBEBUILDER_ASSETS"

// admin is allowed everything on the API server that all tests of the package share.
var admin *rest.Config

// environment is the shared API server; a test that breaks one starts its own.
var environment *envtest.Environment

func TestMain(m *testing.M) { os.Exit(run(m)) }

func run(m *testing.M) int {
	if os.Getenv(assetsVariable) == "" {
		fmt.Fprintf(os.Stderr, "NOT RUN: test/controlplane needs kube-apiserver and etcd; make test-controlplane builds them and sets %s\n", assetsVariable)
		return 0
	}
	environment = newEnvironment()
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

func newEnvironment() *envtest.Environment {
	return &envtest.Environment{CRDDirectoryPaths: []string{"../../config/crd"}, ErrorIfCRDPathMissing: true}
}
