package maek

import (
	"errors"
	"io/fs"
	"maps"
	"os"
	"os/exec"
	"path"
	"slices"
	"strings"
	"testing"
)

// unwanted lists, for each program, packages that must not get into it, and why. A path stands
// for everything below it too.
var unwanted = map[string]map[string]string{
	"kubectl-maek": {
		"testing": "test helpers are not for people's machines",
		"sigs.k8s.io/controller-runtime/pkg/manager": "the plugin reads a cluster once; it runs no controllers",
		"sigs.k8s.io/controller-runtime/pkg/envtest": "test helpers are not for people's machines",
		"k8s.io/client-go/informers":                 "the plugin lists once; it watches nothing",
	},
	"maek-operator": {
		"testing": "test helpers are not for people's machines",
		"sigs.k8s.io/controller-runtime/pkg/manager": "a manager starts what it watches once and ends with its lead; the operator does neither",
		"sigs.k8s.io/controller-runtime/pkg/envtest": "test helpers are not for people's machines",
		"go.uber.org/zap": "slog is the only log",
	},
	"maek-checker": {
		"testing": "test helpers are not for clusters",
		"sigs.k8s.io/controller-runtime/pkg/manager": "a run asks a few questions; it runs no controllers",
		"k8s.io/client-go/informers":                 "a run watches what it made, and no more",
		"html/template":                              "templates call methods by name, so that the linker leaves none out: that is memory in every checker pod",
		"text/template":                              "templates call methods by name, so that the linker leaves none out: that is memory in every checker pod",
		"go.uber.org/zap":                            "slog is the only log",
	},
	"maek-agent": {
		"testing":                     "test helpers are not for people's machines",
		"html/template":               "templates call methods by name, so that the linker leaves none out: that is memory on every machine",
		"text/template":               "templates call methods by name, so that the linker leaves none out: that is memory on every machine",
		"k8s.io/client-go/informers":  "clients of all kinds come with it, and the agent reads three",
		"k8s.io/client-go/kubernetes": "clients of all kinds come with it, and the agent reads three",
		"go.uber.org/zap":             "slog is the only log",
	},
}

// roles says which of the layer-4 trees each program may have in it.
var roles = map[string][]string{
	"kubectl-maek":  {"internal/cli"},
	"maek-operator": {"internal/operator", "internal/statuspage"},
	"maek-agent":    {"internal/agent"},
	"maek-checker":  {"internal/checker"},
}

func TestProgramsLinkOnlyWhatTheyNeed(t *testing.T) {
	programs, err := fs.ReadDir(os.DirFS("."), "cmd")
	if err != nil {
		t.Fatal(err)
	}
	for _, program := range programs {
		name := program.Name()
		t.Run(name, func(t *testing.T) {
			allowed, known := roles[name]
			if !known {
				t.Fatalf("cmd/%s has no entry in the table of roles", name)
			}
			linked := map[string]bool{}
			for dependency := range strings.Lines(goList(t, "-tags", tags(t), "-deps", "./cmd/"+name)) {
				dependency = strings.TrimSpace(dependency)
				linked[banOn(name, dependency)] = true
				if folder, ours := strings.CutPrefix(dependency, module+"/"); ours {
					if from := tree(folder); layers[from] == layers["internal/cli"] && !slices.Contains(allowed, from) {
						t.Errorf("it links %s, which belongs to another program", folder)
					}
				}
			}
			for banned, reason := range unwanted[name] {
				if linked[banned] {
					t.Errorf("it links %s: %s", banned, reason)
				}
			}
		})
	}
}

// TestUnwantedPackagesExist keeps the table true: a ban on a path that nobody can import any more
// holds nothing.
func TestUnwantedPackagesExist(t *testing.T) {
	for name, table := range unwanted {
		if _, known := roles[name]; !known {
			t.Errorf("%s is no program of the table of roles", name)
		}
		for _, banned := range slices.Sorted(maps.Keys(table)) {
			if strings.TrimSpace(goList(t, "-find", banned+"/...")) == "" {
				t.Errorf("there is no package %s", banned)
			}
		}
	}
}

// tags are those with which programs are built for people, as the Makefile has them.
func tags(t *testing.T) string {
	t.Helper()
	makefile, err := os.ReadFile("Makefile")
	if err != nil {
		t.Fatal(err)
	}
	for line := range strings.Lines(string(makefile)) {
		if value, ok := strings.CutPrefix(line, "TAGS := "); ok {
			return strings.TrimSpace(value)
		}
	}
	t.Fatal("the Makefile names no TAGS")
	return ""
}

// banOn returns the path in the program's table that a dependency is or lies below, or "".
func banOn(program, dependency string) string {
	for folder := dependency; folder != "." && folder != "/"; folder = path.Dir(folder) {
		if _, banned := unwanted[program][folder]; banned {
			return folder
		}
	}
	return ""
}

// goList runs go list. What it says depends on files that go test does not see this test read,
// but TestLayers opens every Go file of the module, so a change of any runs both anew; a change
// of a dependency changes go.sum, which is opened here.
func goList(t *testing.T, arguments ...string) string {
	t.Helper()
	if _, err := os.ReadFile("go.sum"); err != nil {
		t.Fatal(err)
	}
	command := exec.CommandContext(t.Context(), "go", append([]string{"list"}, arguments...)...)
	output, err := command.Output()
	if err != nil {
		if exit, ok := errors.AsType[*exec.ExitError](err); ok {
			t.Fatalf("%v: %v\n%s", command, err, exit.Stderr)
		}
		t.Fatalf("%v: %v", command, err)
	}
	return string(output)
}
