package source

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/validation"
	utilyaml "k8s.io/apimachinery/pkg/util/yaml"
	"sigs.k8s.io/yaml"

	"github.com/maek-dev/maek/internal/cli/exit"
	"github.com/maek-dev/maek/internal/collect/bundle"
	"github.com/maek-dev/maek/internal/snapshot"
)

// maxInventory bounds an inventory in bytes: 5,000 nodes with all their status are about 60 MB of YAML.
const maxInventory = 256 << 20

// expected are the nodes that the flags' inventory and earlier bundle name.
func (f *Flags) expected(ctx context.Context) ([]snapshot.ExpectedNode, error) {
	var out []snapshot.ExpectedNode
	if f.Inventory != "" {
		names, err := readInventory(f.Inventory)
		if err != nil {
			return nil, exit.Misused("--inventory %s: %w; write one node name a line, or what \"kubectl get nodes -o yaml\" prints", f.Inventory, err)
		}
		for _, name := range names {
			out = append(out, snapshot.ExpectedNode{Name: name, Source: "inventory " + filepath.Base(f.Inventory)})
		}
	}
	if f.Earlier != "" {
		earlier, err := bundle.Open(ctx, f.Earlier)
		if err != nil {
			return nil, exit.Misused("--earlier: %w", err)
		}
		nodes, err := nodesOf(earlier.Snapshot())
		if err != nil {
			return nil, exit.Misused("--earlier %s: %w; give an earlier bundle of the same cluster", f.Earlier, err)
		}
		out = append(out, nodes...)
	}
	return out, nil
}

// nodesOf returns the nodes of an earlier snapshot, with those that were expected then. Those that were
// being deleted are left out.
func nodesOf(s *snapshot.Snapshot) ([]snapshot.ExpectedNode, error) {
	source := "snapshot of " + s.Now().UTC().Format(time.RFC3339)
	var out []snapshot.ExpectedNode
	for _, n := range snapshot.List[*corev1.Node](s) {
		if n.DeletionTimestamp == nil {
			out = append(out, snapshot.ExpectedNode{Name: n.Name, Source: source})
		}
	}
	if len(out) == 0 {
		return nil, errors.New("there is no Node in it")
	}
	return append(out, s.ExpectedNodes()...), nil
}

// expectIn adds the expected nodes to a snapshot. Where none of them is there, though others are, they
// are another cluster's.
func expectIn(s *snapshot.Snapshot, nodes []snapshot.ExpectedNode) (*snapshot.Snapshot, error) {
	present := snapshot.List[*corev1.Node](s)
	shared := len(nodes) == 0 || len(present) == 0
	for _, n := range nodes {
		if _, ok := snapshot.Get[*corev1.Node](s, "", n.Name); ok {
			shared = true
			break
		}
	}
	if !shared {
		return nil, exit.Misused("none of the %d nodes of the %s is in this cluster, which has others (%s, ...): it is another cluster's; give --inventory and --earlier of this one",
			len(nodes), nodes[0].Source, present[0].Name)
	}
	return s.WithExpected(nodes), nil
}

// readInventory reads the names of nodes from a file.
func readInventory(path string) ([]string, error) {
	file, err := os.Open(path)
	if err != nil {
		return nil, plainly(err)
	}
	defer func() { _ = file.Close() }()
	data, err := io.ReadAll(io.LimitReader(file, maxInventory+1))
	switch {
	case err != nil:
		return nil, plainly(err)
	case len(data) > maxInventory:
		return nil, fmt.Errorf("it is larger than %d MiB", maxInventory>>20)
	}
	return parseInventory(data)
}

// plainly drops the path from a file's error: the sentence has it already.
func plainly(err error) error {
	if p, ok := errors.AsType[*os.PathError](err); ok {
		return p.Err
	}
	return err
}

// parseInventory reads node names: objects where the text has any, else one name a line, with or
// without the "node/" of kubectl's -o name. What follows "#" is a comment.
func parseInventory(data []byte) ([]string, error) {
	text := bytes.TrimSpace(bytes.TrimPrefix(data, []byte("\ufeff")))
	var names []string
	var err error
	if bytes.HasPrefix(text, []byte("{")) || bytes.HasPrefix(text, []byte("apiVersion:")) || bytes.Contains(text, []byte("\napiVersion:")) {
		names, err = parseObjects(text)
	} else {
		names, err = parseLines(text)
	}
	if err == nil && len(names) == 0 {
		err = errors.New("it names no node")
	}
	return names, err
}

func parseLines(text []byte) ([]string, error) {
	var names []string
	line := 0
	for raw := range strings.Lines(string(text)) {
		line++
		name, _, _ := strings.Cut(raw, "#")
		name = strings.TrimPrefix(strings.TrimSpace(name), "node/")
		if name == "" {
			continue
		}
		if wrong := validation.IsDNS1123Subdomain(name); len(wrong) > 0 {
			return nil, fmt.Errorf("line %d: %.80q is no name of a node", line, name)
		}
		names = append(names, name)
	}
	return names, nil
}

// named is as much of a Node, or a list of them, as an inventory needs.
type named struct {
	metav1.TypeMeta `json:",inline"`

	Metadata struct {
		Name string `json:"name"`
	} `json:"metadata"`
	Items []struct {
		metav1.TypeMeta `json:",inline"`

		Metadata struct {
			Name string `json:"name"`
		} `json:"metadata"`
	} `json:"items"`
}

func parseObjects(text []byte) ([]string, error) {
	var names []string
	reader := utilyaml.NewYAMLReader(bufio.NewReader(bytes.NewReader(text)))
	for n := 1; ; n++ {
		doc, err := reader.Read()
		if errors.Is(err, io.EOF) {
			return names, nil
		}
		if err != nil {
			return nil, fmt.Errorf("reading document %d: %w", n, err)
		}
		var o named
		if err := yaml.Unmarshal(doc, &o); err != nil {
			return nil, fmt.Errorf("reading document %d: %w", n, oneLine(err))
		}
		switch o.Kind {
		case "":
		case "Node":
			names = append(names, o.Metadata.Name)
		case "List", "NodeList":
			for _, item := range o.Items {
				if item.Kind == "Node" || item.Kind == "" && o.Kind == "NodeList" {
					names = append(names, item.Metadata.Name)
				}
			}
		default:
			return nil, fmt.Errorf("document %d is a %s, not a list of Nodes", n, o.Kind)
		}
	}
}
