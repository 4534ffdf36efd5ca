// Package apiserver gives the tests of a package one real API server with its etcd.
package apiserver

import (
	"fmt"
	"os"
	"testing"
	"time"

	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/client-go/rest"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/envtest"
)

// assets is the variable that names the folder with the programs of a control plane; make test-controlplane
// builds them and sets it.
const assets = "KUBEBUILDER_ASSETS"

// Programs is the folder with etcd, kube-apiserver and the others. Where there is none, the tests of a package,
// named as below the module, are not run: that is said, and ok is false.
func Programs(name string) (folder string, ok bool) {
	folder = os.Getenv(assets)
	if folder == "" {
		fmt.Fprintf(os.Stderr, "NOT RUN: %s needs a control plane; make test-controlplane builds it and sets %s\n", name, assets)
	}
	return folder, folder != ""
}

// Run starts the environment, gives its administrator's configuration to begin, runs the tests and stops the
// environment. It returns the exit code of the process. Without the Programs it runs nothing.
func Run(m *testing.M, name string, environment *envtest.Environment, begin func(admin *rest.Config) error) int {
	folder, ok := Programs(name)
	if !ok {
		return 0
	}
	// What has been started is stopped, also where the rest does not start.
	defer func() {
		if err := environment.Stop(); err != nil {
			fmt.Fprintf(os.Stderr, "stopping etcd and kube-apiserver: %v\n", err)
		}
	}()
	admin, err := start(environment)
	if err != nil {
		fmt.Fprintf(os.Stderr, "starting etcd and kube-apiserver from %s: %v\n", folder, err)
		return 1
	}
	if err := begin(admin); err != nil {
		fmt.Fprintf(os.Stderr, "preparing the tests: %v\n", err)
		return 1
	}
	return m.Run()
}

// Start starts an environment for one test, which may break it, and gives its administrator's configuration.
func Start(t *testing.T, environment *envtest.Environment) *rest.Config {
	t.Helper()
	t.Cleanup(func() {
		if err := environment.Stop(); err != nil {
			t.Errorf("stopping etcd and kube-apiserver: %v", err)
		}
	})
	admin, err := start(environment)
	if err != nil {
		t.Fatalf("starting etcd and kube-apiserver: %v", err)
	}
	return admin
}

// patience is how long a program may take to start or to stop on a busy machine.
const patience = 3 * time.Minute

func start(environment *envtest.Environment) (*rest.Config, error) {
	environment.ControlPlaneStartTimeout, environment.ControlPlaneStopTimeout = patience, patience
	return environment.Start()
}

// Client reads and writes objects of some kinds, which are also its Scheme, as often as it likes.
func Client(config *rest.Config, kinds ...func(*runtime.Scheme) error) (client.WithWatch, error) {
	scheme := runtime.NewScheme()
	for _, add := range kinds {
		if err := add(scheme); err != nil {
			return nil, fmt.Errorf("the kinds do not go together: %w", err)
		}
	}
	config = rest.CopyConfig(config)
	config.QPS = -1
	return client.NewWithWatch(config, client.Options{Scheme: scheme})
}
