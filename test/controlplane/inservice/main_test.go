// Package inservice tests taking pods out of service against a real API server with a real etcd: that its
// patches do what they are to do with no more right than they need, and that replicas that race keep the
// floor. There is no kubelet and no endpoints controller: the tests write what these would. The programs come
// from the lab's build cache: `make test-controlplane` builds what is missing and sets KUBEBUILDER_ASSETS to
// where they are.
package inservice

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/go-logr/logr"
	coordinationv1 "k8s.io/api/coordination/v1"
	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	"k8s.io/client-go/rest"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/envtest"
	ctrllog "sigs.k8s.io/controller-runtime/pkg/log"

	"github.com/maek-dev/maek/api/maek/v1alpha1"
	"github.com/maek-dev/maek/test/controlplane/apiserver"
)

var (
	// admin is allowed everything on the API server that all tests of the package share.
	admin *rest.Config
	// cluster is the tests' own client, of all kinds that are worked with.
	cluster client.WithWatch
)

func TestMain(m *testing.M) { os.Exit(run(m)) }

func run(m *testing.M) int {
	ctrllog.SetLogger(logr.Discard()) // its own words about caches that lose their connection
	env := &envtest.Environment{
		CRDDirectoryPaths:     []string{filepath.Join("..", "..", "..", "config", "crd")},
		ErrorIfCRDPathMissing: true,
	}
	return apiserver.Run(m, "test/controlplane/inservice", env, func(cfg *rest.Config) error {
		admin = cfg
		admin.QPS = -1
		var err error
		cluster, err = apiserver.Client(cfg, corev1.AddToScheme, discoveryv1.AddToScheme, coordinationv1.AddToScheme, rbacv1.AddToScheme, v1alpha1.AddToScheme)
		return err
	})
}
