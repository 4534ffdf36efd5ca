package maek

import (
	"go/parser"
	"go/token"
	"io/fs"
	"path"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
)

const module = "github.com/maek-dev/maek"

// layers gives each tree its layer: a package belongs to the longest of these that it lies in,
// and may import, of the other trees, only those of lower layers. Trees of one layer do not know
// each other. Folders that appear in no tree are a mistake: there is no shelf for odds and ends.
var layers = map[string]int{
	"api":    0,
	"config": 0,

	"internal/finding":  1,
	"internal/secret":   1,
	"internal/snapshot": 1,

	"internal/rule":    2,
	"internal/monitor": 2,
	"internal/probe":   2,
	"internal/history": 2,

	"internal/rules":        3,
	"internal/monitors":     3,
	"internal/synthetic":    3,
	"internal/collect":      3,
	"internal/kuberhealthy": 3,
	"internal/diagnosis":    3,
	"internal/report":       3,

	"internal/cli":        4,
	"internal/operator":   4,
	"internal/statuspage": 4,
	"internal/agent":      4,
	"internal/checker":    4,

	"cmd": 5,

	"bench": 6,

	"test": 7,
}

// otherModules are folders below this one that have a go.mod of their own.
var otherModules = []string{"lab", "test/kubelet", "tools"}

// TestLayers parses the imports itself. `go list` would not see files of other systems, and go
// test would not know that its answer has changed.
func TestLayers(t *testing.T) {
	imports := 0
	err := filepath.WalkDir(".", func(name string, entry fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if entry.IsDir() {
			return enter(filepath.ToSlash(name))
		}
		if path.Ext(name) != ".go" {
			return nil
		}
		folder := path.Dir(filepath.ToSlash(name))
		if folder == "." {
			return nil
		}
		from := tree(folder)
		if from == "" {
			t.Errorf("%s lies in no layer: give it a place in the table, or move it to one", name)
			return nil
		}
		file, err := parser.ParseFile(token.NewFileSet(), name, nil, parser.ImportsOnly)
		if err != nil {
			return err
		}
		for _, spec := range file.Imports {
			imported, err := strconv.Unquote(spec.Path.Value)
			if err != nil {
				return err
			}
			target, ours := strings.CutPrefix(imported, module+"/")
			if !ours {
				continue
			}
			imports++
			to := tree(target)
			switch {
			case to == "":
				t.Errorf("%s imports %s, which lies in no layer", name, target)
			case to != from && layers[to] >= layers[from]:
				t.Errorf("%s (layer %d) imports %s (layer %d): a tree imports only lower ones", name, layers[from], target, layers[to])
			}
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	if imports == 0 {
		t.Fatal("saw no import of the module's own packages: the test looks in the wrong place")
	}
}

// enter says whether a folder's files belong to this module.
func enter(folder string) error {
	base := path.Base(folder)
	if slices.Contains(otherModules, folder) {
		return fs.SkipDir
	}
	if folder != "." && (base == "testdata" || base[0] == '.' || base[0] == '_') {
		return fs.SkipDir
	}
	return nil
}

// tree returns the tree of the layer table in which a folder lies, or "".
func tree(folder string) string {
	for folder != "." {
		if _, ok := layers[folder]; ok {
			return folder
		}
		folder = path.Dir(folder)
	}
	return ""
}
