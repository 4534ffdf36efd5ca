package apiserver

import (
	"os"
	"path/filepath"
	"sync"
	"testing"

	"sigs.k8s.io/controller-runtime/pkg/envtest"
)

// adding is held while an environment makes a user: its authority counts serial numbers for one caller at a time.
var adding sync.Mutex

// Kubeconfig is the path of one for a user of these groups.
func Kubeconfig(t *testing.T, environment *envtest.Environment, user string, groups ...string) string {
	t.Helper()
	adding.Lock()
	added, err := environment.AddUser(envtest.User{Name: user, Groups: groups}, nil)
	adding.Unlock()
	if err != nil {
		t.Fatalf("adding a user: %v", err)
	}
	data, err := added.KubeConfig()
	if err != nil {
		t.Fatalf("making a kubeconfig: %v", err)
	}
	path := filepath.Join(t.TempDir(), "kubeconfig")
	if err := os.WriteFile(path, data, 0o600); err != nil {
		t.Fatalf("writing a kubeconfig: %v", err)
	}
	return path
}
