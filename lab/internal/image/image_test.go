package image

import (
	"archive/tar"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-containerregistry/pkg/name"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/tarball"

	"github.com/maek-dev/maek/lab/internal/component"
)

// program builds a static program called file for an architecture.
func program(t *testing.T, arch, file string) string {
	t.Helper()
	dir := t.TempDir()
	source := filepath.Join(dir, "main.go")
	if err := os.WriteFile(source, []byte("package main\n\nfunc main() {}\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	out := filepath.Join(dir, file)
	cmd := exec.CommandContext(t.Context(), "go", "build", "-trimpath", "-o", out, source)
	cmd.Env = append(os.Environ(), "CGO_ENABLED=0", "GOOS=linux", "GOARCH="+arch)
	if output, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, output)
	}
	return out
}

func build(t *testing.T, spec Spec) v1.Image {
	t.Helper()
	img, err := Build(spec)
	if err != nil {
		t.Fatal(err)
	}
	return img
}

func TestTheSameProgramGivesTheSameImage(t *testing.T) {
	digest := func(path string) v1.Hash {
		t.Helper()
		d, err := build(t, Spec{Reference: "lab.example/pause:1", Programs: []string{path}, Entrypoint: []string{"pause"}}).Digest()
		if err != nil {
			t.Fatal(err)
		}
		return d
	}
	// Built twice, in different folders and at different times.
	one, other := digest(program(t, "amd64", "pause")), digest(program(t, "amd64", "pause"))
	if one != other {
		t.Errorf("digests are %s and %s", one, other)
	}
}

func TestAnImageIsConfiguredAsItsSpecSays(t *testing.T) {
	img := build(t, Spec{
		Reference:  "lab.example/shop/api:1.0.0",
		Programs:   []string{program(t, "amd64", "shop")},
		Entrypoint: []string{"shop", "api"},
		User:       NonRoot,
		Env:        []string{"SHOP_VERSION=1.0.0"},
		Labels:     map[string]string{"tier": "api"},
	})
	config, err := img.ConfigFile()
	if err != nil {
		t.Fatal(err)
	}
	want := v1.Config{
		Entrypoint: []string{"shop", "api"},
		User:       "65532",
		Env:        []string{"PATH=/usr/local/bin", "SHOP_VERSION=1.0.0"},
		Labels:     map[string]string{"tier": "api"},
		WorkingDir: "/",
	}
	if diff := cmp.Diff(want, config.Config); diff != "" {
		t.Errorf("configuration, -want +got:\n%s", diff)
	}
	if config.OS != "linux" || config.Architecture != "amd64" {
		t.Errorf("the image is for %s/%s, want linux/amd64", config.OS, config.Architecture)
	}
	if config.Created.Unix() != 0 {
		t.Errorf("the image says it was created at %s, which differs each time", config.Created)
	}
}

func TestAnImageHasItsProgramsAndNothingOfThisMachine(t *testing.T) {
	img := build(t, Spec{
		Reference: "lab.example/etcd:3", Entrypoint: []string{"etcd"},
		Programs: []string{program(t, "amd64", "etcdctl"), program(t, "amd64", "etcd")},
	})
	layers, err := img.Layers()
	if err != nil {
		t.Fatal(err)
	}
	if len(layers) != 1 {
		t.Fatalf("there are %d layers, want 1", len(layers))
	}
	content, err := layers[0].Uncompressed()
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = content.Close() }() // it was only read
	var got []string
	for archive := tar.NewReader(content); ; {
		header, err := archive.Next()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			t.Fatal(err)
		}
		got = append(got, fmt.Sprintf("%o %d:%d %s", header.Mode, header.Uid, header.Gid, header.Name))
		if header.ModTime.Unix() != 0 {
			t.Errorf("%s was changed at %s", header.Name, header.ModTime)
		}
	}
	want := []string{
		"755 0:0 etc/",
		"1777 0:0 tmp/",
		"755 0:0 usr/",
		"755 0:0 usr/local/",
		"755 0:0 usr/local/bin/",
		"644 0:0 etc/group",
		"644 0:0 etc/passwd",
		"755 0:0 usr/local/bin/etcd",
		"755 0:0 usr/local/bin/etcdctl",
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("files, -want +got:\n%s", diff)
	}
}

func TestTheArchitectureIsThePrograms(t *testing.T) {
	config, err := build(t, Spec{Reference: "lab.example/pause:1", Programs: []string{program(t, "arm64", "pause")}, Entrypoint: []string{"pause"}}).ConfigFile()
	if err != nil {
		t.Fatal(err)
	}
	if config.Architecture != "arm64" {
		t.Errorf("architecture = %s, want arm64", config.Architecture)
	}
}

func TestWhatCannotRunInAnImageIsRefused(t *testing.T) {
	amd64, arm64 := program(t, "amd64", "one"), program(t, "arm64", "other")
	script := filepath.Join(t.TempDir(), "script")
	if err := os.WriteFile(script, []byte("#!/bin/sh\nexec some-program --with-a-flag\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	tests := map[string]struct {
		spec Spec
		want string
	}{
		"a program that needs a dynamic linker": {Spec{Reference: "a.example/b:c", Programs: []string{"/bin/sh"}}, "CGO_ENABLED=0"},
		"programs of two architectures":         {Spec{Reference: "a.example/b:c", Programs: []string{amd64, arm64}}, "built for arm64"},
		"a file that is no program":             {Spec{Reference: "a.example/b:c", Programs: []string{script}}, "bad magic number"},
		"a program that is not there":           {Spec{Reference: "a.example/b:c", Programs: []string{"/nowhere"}}, "no such file"},
		"no program":                            {Spec{Reference: "a.example/b:c"}, "at least one program"},
		"no entrypoint":                         {Spec{Reference: "a.example/b:c", Programs: []string{amd64}}, "none of its programs"},
		"an entrypoint that is not in the image": {
			Spec{Reference: "a.example/b:c", Programs: []string{amd64}, Entrypoint: []string{amd64}}, "none of its programs",
		},
		"a name without a tag": {Spec{Reference: "a.example/b", Programs: []string{amd64}}, "image name"},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			if _, err := Build(tc.spec); err == nil || !strings.Contains(err.Error(), tc.want) {
				t.Errorf("err = %v, want one with %q", err, tc.want)
			}
		})
	}
	if _, err := Build(Spec{Reference: "a.example/b:c", Programs: []string{"/bin/sh"}}); !errors.Is(err, ErrDynamic) {
		t.Errorf("err = %v, want ErrDynamic", err)
	}
}

func TestASavedImageIsReadBackUnderItsName(t *testing.T) {
	spec := Spec{Reference: "lab.example/pause:1", Programs: []string{program(t, "amd64", "pause")}, Entrypoint: []string{"pause"}}
	dir := t.TempDir()
	archives, err := SaveMissing(dir, []Spec{spec})
	if err != nil {
		t.Fatal(err)
	}
	tag, err := name.NewTag(spec.Reference)
	if err != nil {
		t.Fatal(err)
	}
	img, err := tarball.ImageFromPath(archives[0].Path, &tag)
	if err != nil {
		t.Fatal(err)
	}
	config, err := img.ConfigFile()
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(spec.Entrypoint, config.Config.Entrypoint); diff != "" {
		t.Errorf("entrypoint, -want +got:\n%s", diff)
	}

	before, err := os.Stat(archives[0].Path)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := SaveMissing(dir, []Spec{spec}); err != nil {
		t.Fatal(err)
	}
	after, err := os.Stat(archives[0].Path)
	if err != nil {
		t.Fatal(err)
	}
	if !os.SameFile(before, after) {
		t.Error("an image that was there was made again")
	}
	spec.User = NonRoot
	changed, err := SaveMissing(dir, []Spec{spec})
	if err != nil {
		t.Fatal(err)
	}
	if changed[0].Path == archives[0].Path {
		t.Error("a changed image has the archive of the old one")
	}
}

// built says of every program that it has been built.
type built struct{}

func (built) Path(program string) (string, error) { return "/programs/" + program, nil }

func references(t *testing.T, specs []Spec, err error) []string {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
	var names []string
	for _, spec := range specs {
		if _, err := name.NewTag(spec.Reference, name.StrictValidation); err != nil {
			t.Error(err)
		}
		names = append(names, spec.Reference)
	}
	return names
}

func TestTheControlPlanesImagesAreThoseThatKubeadmNames(t *testing.T) {
	controlPlane, err := ControlPlane(built{})
	got := references(t, controlPlane, err)
	machine, err := Machine(built{})
	got = append(got, references(t, machine, err)...)
	// The output of "kubeadm config images list" of v1.36.3, in our order.
	want := []string{
		"registry.k8s.io/kube-apiserver:v1.36.3",
		"registry.k8s.io/kube-controller-manager:v1.36.3",
		"registry.k8s.io/kube-scheduler:v1.36.3",
		"registry.k8s.io/kube-proxy:v1.36.3",
		"registry.k8s.io/etcd:3.6.8-0",
		"registry.k8s.io/pause:3.10.2",
		"registry.k8s.io/coredns/coredns:v1.14.2",
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("-want +got:\n%s", diff)
	}
}

func TestBothRegistriesServeEveryTierOfTheShopInEveryVersion(t *testing.T) {
	specs, err := Registry(built{})
	got := map[string]bool{}
	for _, reference := range references(t, specs, err) {
		got[reference] = true
	}
	for _, registry := range []string{OpenRegistry, PrivateRegistry} {
		for _, tier := range []string{"front", "api", "db", "report"} {
			for _, version := range []string{"1.0.0", "1.0.1"} {
				if want := registry + "/shop/" + tier + ":" + version; !got[want] {
					t.Errorf("%s is not among the images", want)
				}
			}
		}
	}
}

func TestAProgramThatIsNotBuiltIsAnError(t *testing.T) {
	missing := &component.Cache{Dir: t.TempDir(), Sources: t.TempDir(), Components: nil}
	for name, set := range map[string]func(Finder) ([]Spec, error){"control plane": ControlPlane, "machine": Machine, "registry": Registry} {
		if _, err := set(missing); err == nil {
			t.Errorf("%s: no error", name)
		}
	}
}

func TestMaeksImagesAreMadeOfTheProgramsThatWereBuilt(t *testing.T) {
	file := program(t, "amd64", "kubectl-maek")
	specs, err := Maek(filepath.Dir(file), "v0.1.0", []string{"kubectl-maek"})
	if err != nil {
		t.Fatal(err)
	}
	config, err := build(t, specs[0]).ConfigFile()
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff([]string{"/usr/local/bin/kubectl-maek"}, config.Config.Entrypoint); diff != "" {
		t.Errorf("entrypoint, -want +got:\n%s", diff)
	}
	if specs[0].Reference != "ghcr.io/maek-dev/kubectl-maek:v0.1.0" || specs[0].User != NonRoot {
		t.Errorf("spec = %+v", specs[0])
	}

	_, err = Maek(t.TempDir(), "v0.1.0", MaekPrograms())
	if err == nil || !strings.Contains(err.Error(), "make build") {
		t.Errorf("err = %v, want one that says how to build it", err)
	}
}

func TestKuberhealthysNamesShareTheCheckersOneLayer(t *testing.T) {
	file := program(t, "amd64", Checker)
	specs, err := UpstreamChecks(filepath.Dir(file), "v0.1.0")
	if err != nil {
		t.Fatal(err)
	}
	archive := filepath.Join(t.TempDir(), "checks.tar")
	if err := SaveTogether(archive, specs); err != nil {
		t.Fatal(err)
	}
	layers := map[string]bool{}
	for _, spec := range specs {
		tag, err := name.NewTag(spec.Reference)
		if err != nil {
			t.Fatal(err)
		}
		img, err := tarball.ImageFromPath(archive, &tag)
		if err != nil {
			t.Fatal(err)
		}
		config, err := img.ConfigFile()
		if err != nil {
			t.Fatal(err)
		}
		repository := strings.TrimPrefix(tag.Context().RepositoryStr(), "kuberhealthy/")
		command := slices.Concat(config.Config.Entrypoint, config.Config.Cmd)
		if diff := cmp.Diff([]string{"/usr/local/bin/maek-checker", "run", repository}, command); diff != "" {
			t.Errorf("%s: command, -want +got:\n%s", spec.Reference, diff)
		}
		for _, layer := range config.RootFS.DiffIDs {
			layers[layer.String()] = true
		}
	}
	if len(layers) != 1 {
		t.Errorf("%d layers, want 1", len(layers))
	}

	other := specs[0]
	other.Programs = []string{program(t, "amd64", "other")}
	if err := SaveTogether(archive, []Spec{specs[0], other}); err == nil {
		t.Error("images of different programs were saved together")
	}
}
