// Package scenarios tests those of Maek's scenarios that only look, against a real API server, with the
// rights that they say they need and no others. The programs come from the lab's build cache: make
// test-controlplane builds what is missing and sets KUBEBUILDER_ASSETS to where they are.
package scenarios

import (
	"fmt"
	"os"
	"testing"

	"k8s.io/client-go/rest"
	"sigs.k8s.io/controller-runtime/pkg/envtest"
)

const assetsVariable = "KUBEBUILDER_ASSETS"

// admin is allowed everything on the API server of these tests.
var admin *rest.Config

func TestMain(m *testing.M) { os.Exit(run(m)) }

func run(m *testing.M) int {
	if os.Getenv(assetsVariable) == "" {
		fmt.Fprintf(os.Stderr, "NOT RUN: test/controlplane/scenarios_look needs kube-apiserver and etcd; make test-controlplane builds them and sets %s\n", assetsVariable)
		return 0
	}
	environment := &envtest.Environment{}
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
