// Package contract tests on a real API server what pure tests cannot know: that the manifests of
// Kuberhealthy's documentation are taken as they are, and the pods that Maek makes of them, and that what
// Maek records is kept. The programs come from the lab's build cache: `make test-controlplane` builds what
// is missing and sets KUBEBUILDER_ASSETS to where they are.
package contract

import (
	"fmt"
	"os"
	"path/filepath"
	"testing"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/envtest"

	khv1 "github.com/maek-dev/maek/api/kuberhealthy/v1"
	khv2 "github.com/maek-dev/maek/api/kuberhealthy/v2"
)

const assetsVariable = "KUBEBUILDER_ASSETS"

// cluster may do everything on the API server that the tests of this package share.
var cluster client.Client

func TestMain(m *testing.M) { os.Exit(run(m)) }

func run(m *testing.M) int {
	if os.Getenv(assetsVariable) == "" {
		fmt.Fprintf(os.Stderr, "NOT RUN: test/controlplane/contract needs kube-apiserver and etcd; make test-controlplane builds them and sets %s\n", assetsVariable)
		return 0
	}
	scheme := runtime.NewScheme()
	for _, add := range []func(*runtime.Scheme) error{corev1.AddToScheme, khv1.AddToScheme, khv2.AddToScheme} {
		if err := add(scheme); err != nil {
			fmt.Fprintln(os.Stderr, "adding the kinds:", err)
			return 1
		}
	}
	env := &envtest.Environment{
		CRDDirectoryPaths:     []string{filepath.Join("..", "..", "..", "config", "crd")},
		ErrorIfCRDPathMissing: true,
	}
	defer func() {
		if err := env.Stop(); err != nil {
			fmt.Fprintln(os.Stderr, "stopping the control plane:", err)
		}
	}()
	config, err := env.Start()
	if err != nil {
		fmt.Fprintln(os.Stderr, "starting the control plane:", err)
		return 1
	}
	config.QPS = -1
	if cluster, err = client.New(config, client.Options{Scheme: scheme}); err != nil {
		fmt.Fprintln(os.Stderr, "making a client:", err)
		return 1
	}
	return m.Run()
}
