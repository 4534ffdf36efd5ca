package source

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/maek-dev/maek/internal/collect/bundle"
	"github.com/maek-dev/maek/internal/snapshot"
)

func TestParseInventory(t *testing.T) {
	tests := map[string]struct {
		text      string
		want      []string
		wantError string
	}{
		"one name a line, with comments and blank lines": {text: "# racks\nw1\n\n  w2.example.com # new\r\n", want: []string{"w1", "w2.example.com"}},
		"what kubectl prints with -o name":               {text: "node/cp\nnode/w1\n", want: []string{"cp", "w1"}},
		"what kubectl prints with -o yaml": {
			text: "apiVersion: v1\nitems:\n- apiVersion: v1\n  kind: Node\n  metadata:\n    name: w1\n- apiVersion: v1\n  kind: Pod\n  metadata:\n    name: stray\nkind: List\n", want: []string{"w1"},
		},
		"what kubectl prints with -o json":       {text: `{"apiVersion":"v1","kind":"List","items":[{"kind":"Node","metadata":{"name":"w1"}}]}`, want: []string{"w1"}},
		"what the API server answers":            {text: `{"kind":"NodeList","apiVersion":"v1","items":[{"metadata":{"name":"w1"}},{"metadata":{"name":"w2"}}]}`, want: []string{"w1", "w2"}},
		"several documents of one Node each":     {text: "---\napiVersion: v1\nkind: Node\nmetadata: {name: w1}\n---\napiVersion: v1\nkind: Node\nmetadata: {name: w2}\n", want: []string{"w1", "w2"}},
		"a table for people is refused":          {text: "NAME STATUS\nw1   Ready\n", wantError: `line 1: "NAME STATUS" is no name of a node`},
		"a list of something else is refused":    {text: "apiVersion: v1\nkind: Pod\nmetadata: {name: a}\n", wantError: "document 1 is a Pod, not a list of Nodes"},
		"an empty file is refused":               {text: "# nothing yet\n", wantError: "it names no node"},
		"a list without items is refused":        {text: `{"kind":"NodeList","apiVersion":"v1","items":[]}`, wantError: "it names no node"},
		"a file that breaks off is refused":      {text: `{"kind":"NodeList","items":[{"metadata"`, wantError: "reading document 1"},
		"what is no text at all is refused":      {text: "\x00\x01\xff\xfe", wantError: "is no name of a node"},
		"a byte order mark is no part of a name": {text: "\ufeffw1\n", want: []string{"w1"}},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			got, err := parseInventory([]byte(tc.text))
			if tc.wantError != "" {
				if err == nil || !strings.Contains(err.Error(), tc.wantError) {
					t.Fatalf("error %v, want %q", err, tc.wantError)
				}
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(tc.want, got); diff != "" {
				t.Errorf("names (-want +got):\n%s", diff)
			}
		})
	}
}

// world is a snapshot with nodes of the given names.
func world(names ...string) *snapshot.Snapshot {
	b := snapshot.NewBuilder(time.Date(2026, 3, 1, 2, 0, 0, 0, time.UTC), snapshot.Source{Name: "lab"})
	for _, name := range names {
		b.Add(&corev1.Node{ObjectMeta: metav1.ObjectMeta{Name: name}})
	}
	b.SetCoverage(snapshot.KindOf[*corev1.Node](), snapshot.Coverage{State: snapshot.Complete})
	return b.Build()
}

func TestExpectedNodesComeFromBothFlags(t *testing.T) {
	dir := t.TempDir()
	inventory, earlier := filepath.Join(dir, "hosts.txt"), filepath.Join(dir, "earlier")
	if err := os.WriteFile(inventory, []byte("w1\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	then := world("w1", "w2").WithExpected([]snapshot.ExpectedNode{{Name: "w0", Source: "inventory old.txt"}})
	if err := bundle.Write(t.Context(), earlier, then, bundle.WriteOptions{}); err != nil {
		t.Fatal(err)
	}
	f := &Flags{Inventory: inventory, Earlier: earlier}
	nodes, err := f.expected(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	s, err := expectIn(world("w2", "w3"), nodes)
	if err != nil {
		t.Fatal(err)
	}
	want := []snapshot.ExpectedNode{
		{Name: "w1", Source: "inventory hosts.txt"}, {Name: "w2", Source: "snapshot of 2026-03-01T02:00:00Z"}, {Name: "w0", Source: "inventory old.txt"},
	}
	if diff := cmp.Diff(want, s.ExpectedNodes()); diff != "" {
		t.Errorf("expected nodes (-want +got):\n%s", diff)
	}
}

func TestNodesOfAnotherClusterAreRefused(t *testing.T) {
	nodes := []snapshot.ExpectedNode{{Name: "a1", Source: "inventory hosts.txt"}}
	if _, err := expectIn(world("b1"), nodes); err == nil || !strings.Contains(err.Error(), "another cluster") {
		t.Errorf("error %v, want one that speaks of another cluster", err)
	}
	if _, err := expectIn(world(), nodes); err != nil {
		t.Errorf("a cluster without nodes: %v", err)
	}
}

func TestAnInventoryThatIsNotThereIsMisuse(t *testing.T) {
	f := &Flags{Inventory: filepath.Join(t.TempDir(), "none.txt")}
	if _, err := f.expected(t.Context()); err == nil || !strings.Contains(err.Error(), "--inventory") {
		t.Errorf("error %v, want one that names the flag", err)
	}
}
