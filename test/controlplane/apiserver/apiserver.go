// Package apiserver gives the tests of a package one real API server with its etcd.
package apiserver

import (
	"fmt"
	"os"
	"testing"

	"k8s.io/client-go/rest"
	"sigs.k8s.io/controller-runtime/pkg/envtest"
)

// Assets is the variable that names the folder with kube-apiserver and etcd; make test-controlplane builds
// them and sets it.
const Assets = "KUBEBUILDER_ASSETS"

// Run starts the environment, gives its administrator's configuration to begin, runs the tests and stops the
// environment. It returns the exit code of the process. Without the programs it runs nothing, and says so; name
// is the package's, below the module.
func Run(m *testing.M, name string, environment *envtest.Environment, begin func(admin *rest.Config) error) int {
	if os.Getenv(Assets) == "" {
		fmt.Fprintf(os.Stderr, "NOT RUN: %s needs kube-apiserver and etcd; make test-controlplane builds them and sets %s\n", name, Assets)
		return 0
	}
	// What has been started is stopped, also where the rest does not start.
	defer func() {
		if err := environment.Stop(); err != nil {
			fmt.Fprintf(os.Stderr, "stopping etcd and kube-apiserver: %v\n", err)
		}
	}()
	admin, err := environment.Start()
	if err != nil {
		fmt.Fprintf(os.Stderr, "starting etcd and kube-apiserver from %s: %v\n", os.Getenv(Assets), err)
		return 1
	}
	if err := begin(admin); err != nil {
		fmt.Fprintf(os.Stderr, "preparing the tests: %v\n", err)
		return 1
	}
	return m.Run()
}
