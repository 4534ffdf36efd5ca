package controlplane

import (
	"strings"
	"testing"

	"k8s.io/client-go/discovery"

	"github.com/maek-dev/maek/internal/snapshot"
)

// The snapshot guesses plural names and scopes so that reading a cluster needs no discovery, which
// fails on the very clusters that need a diagnosis. Here the guesses are held against the truth.
func TestKindsAreServedUnderTheNamesThatASnapshotGuesses(t *testing.T) {
	client, err := discovery.NewDiscoveryClientForConfig(admin)
	if err != nil {
		t.Fatal(err)
	}
	_, lists, err := client.ServerGroupsAndResources()
	if err != nil {
		t.Fatal(err)
	}
	checked := 0
	for _, list := range lists {
		for _, r := range list.APIResources {
			if strings.Contains(r.Name, "/") || r.Kind == "Binding" {
				continue
			}
			group, version, _ := strings.Cut(list.GroupVersion, "/")
			if version == "" {
				group, version = "", group
			}
			for gvk := range snapshot.Scheme.AllKnownTypes() {
				if gvk.Group != group || gvk.Version != version || gvk.Kind != r.Kind {
					continue
				}
				k, ok := snapshot.KindFor(gvk)
				if !ok {
					t.Errorf("%v: the scheme knows it and the snapshot does not", gvk)
					continue
				}
				checked++
				if k.Resource != r.Name {
					t.Errorf("%v is served as %s, guessed %s", gvk, r.Name, k.Resource)
				}
				if k.Namespaced() != r.Namespaced {
					t.Errorf("%v namespaced: %t, guessed %t", gvk, r.Namespaced, k.Namespaced())
				}
			}
		}
	}
	if checked < 40 {
		t.Errorf("only %d kinds were compared", checked)
	}
}
