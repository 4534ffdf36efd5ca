package component

import (
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func sources(t *testing.T) string {
	t.Helper()
	wd, err := os.Getwd()
	if err != nil {
		t.Fatal(err)
	}
	dir, err := FindSources(wd)
	if err != nil {
		t.Fatal(err)
	}
	return dir
}

func TestEveryModuleFilePinsTheVersionThatIsNamedHere(t *testing.T) {
	for _, c := range All() {
		if c.Module == "" {
			continue
		}
		t.Run(c.Name, func(t *testing.T) {
			cmd := exec.CommandContext(t.Context(), "go", "mod", "edit", "-json")
			cmd.Dir = filepath.Join(sources(t), "components", c.Name)
			output, err := cmd.Output()
			if err != nil {
				t.Fatal(err)
			}
			var file struct {
				Require []struct{ Path, Version string }
				Tool    []struct{ Path string }
			}
			if err := json.Unmarshal(output, &file); err != nil {
				t.Fatal(err)
			}
			var version string
			for _, r := range file.Require {
				if r.Path == c.Module {
					version = r.Version
				}
			}
			if version != c.Version {
				t.Errorf("go.mod requires %s %q, want %q", c.Module, version, c.Version)
			}
			var tools, packages []string
			for _, tool := range file.Tool {
				tools = append(tools, tool.Path)
			}
			for _, p := range c.Programs {
				packages = append(packages, p.Package)
			}
			slices.Sort(tools)
			slices.Sort(packages)
			if diff := cmp.Diff(tools, packages); diff != "" {
				t.Errorf("tools of go.mod (-) are not the programs (+):\n%s", diff)
			}
		})
	}
}

func TestTheKeyOfTheLabCoversAllThatItsProgramsAreBuiltFrom(t *testing.T) {
	for _, c := range All() {
		if c.Name != "lab" {
			continue
		}
		args := []string{"list", "-deps"}
		for _, p := range c.Programs {
			args = append(args, p.Package)
		}
		cmd := exec.CommandContext(t.Context(), "go", args...)
		cmd.Dir = sources(t)
		output, err := cmd.Output()
		if err != nil {
			t.Fatal(err)
		}
		var built []string
		for pkg := range strings.FieldsSeq(string(output)) {
			if folder, ok := strings.CutPrefix(pkg, labModule+"/"); ok {
				built = append(built, folder)
			}
		}
		slices.Sort(built)
		hashed := labSources()
		slices.Sort(hashed)
		if diff := cmp.Diff(built, hashed); diff != "" {
			t.Errorf("packages built (-) are not those hashed (+):\n%s", diff)
		}
	}
}

func TestNamesAreResolvedToProgramsInTheOrderOfTheComponents(t *testing.T) {
	all := []Component{
		{Name: "etcd", Programs: []Program{{Name: "etcd"}, {Name: "etcdctl"}}},
		{Name: "kubernetes", Programs: []Program{{Name: "kubelet"}, {Name: "kubectl"}}},
	}
	tests := map[string]struct {
		names []string
		want  map[string][]string
	}{
		"no name means everything": {
			want: map[string][]string{"etcd": {"etcd", "etcdctl"}, "kubernetes": {"kubelet", "kubectl"}},
		},
		"a program's name means that program": {
			names: []string{"kubectl"},
			want:  map[string][]string{"kubernetes": {"kubectl"}},
		},
		"a component's name means all of it, also where a program is called the same": {
			names: []string{"etcd"},
			want:  map[string][]string{"etcd": {"etcd", "etcdctl"}},
		},
		"a name given twice is built once": {
			names: []string{"kubelet", "kubelet"},
			want:  map[string][]string{"kubernetes": {"kubelet"}},
		},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			selected, err := selectPrograms(all, tc.names)
			if err != nil {
				t.Fatal(err)
			}
			got := map[string][]string{}
			for _, s := range selected {
				for _, p := range s.wanted {
					got[s.Name] = append(got[s.Name], p.Name)
				}
			}
			if diff := cmp.Diff(tc.want, got); diff != "" {
				t.Errorf("-want +got:\n%s", diff)
			}
		})
	}
}

func TestAnUnknownNameIsAnsweredWithTheNamesThatThereAre(t *testing.T) {
	_, err := selectPrograms(All(), []string{"kubelet", "kublet"})
	if err == nil || !strings.Contains(err.Error(), `"kublet"`) || !strings.Contains(err.Error(), "kubelet") {
		t.Errorf("err = %v, want one that names kublet and lists kubelet", err)
	}
}

func TestTheMinimalControlPlaneCanBeBuilt(t *testing.T) {
	selected, err := selectPrograms(All(), MinimalControlPlane())
	if err != nil {
		t.Fatal(err)
	}
	var programs []string
	for _, s := range selected {
		for _, p := range s.wanted {
			programs = append(programs, p.Name)
		}
	}
	for _, want := range []string{"etcd", "kube-apiserver", "kubectl"} {
		if !slices.Contains(programs, want) {
			t.Errorf("programs = %v, want %s among them", programs, want)
		}
	}
	if slices.Contains(programs, "kubelet") {
		t.Errorf("programs = %v, want no kubelet", programs)
	}
}

func TestKubernetesIsStampedInBothPackagesThatKnowAVersion(t *testing.T) {
	want := []string{
		"k8s.io/component-base/version.gitVersion=v1.36.3",
		"k8s.io/component-base/version.gitMajor=1",
		"k8s.io/component-base/version.gitMinor=36",
		"k8s.io/component-base/version.gitTreeState=clean",
		"k8s.io/client-go/pkg/version.gitVersion=v1.36.3",
		"k8s.io/client-go/pkg/version.gitMajor=1",
		"k8s.io/client-go/pkg/version.gitMinor=36",
		"k8s.io/client-go/pkg/version.gitTreeState=clean",
	}
	if diff := cmp.Diff(want, kubernetesStamps("v1.36.3")); diff != "" {
		t.Errorf("-want +got:\n%s", diff)
	}
}
