package component

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

// hello is a component small enough to be built in a test.
func hello() Component {
	return Component{
		Name: "hello", Version: "v1.0.0", Module: "example.com/hello",
		Programs: []Program{{Name: "greet", Package: "example.com/hello/cmd/greet"}},
		stamps:   []string{"main.greeting=annyeong"},
	}
}

// newCache lays out a checkout with the component hello in it.
func newCache(t *testing.T) *Cache {
	t.Helper()
	files := map[string]string{
		"components/hello/go.mod":            "module example.com/hello\n\ngo 1.26\n",
		"components/hello/go.sum":            "",
		"components/hello/cmd/greet/main.go": "package main\n\nvar greeting string\n\nfunc main() { print(greeting) }\n",
	}
	dir := t.TempDir()
	for name, content := range files {
		path := filepath.Join(dir, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o750); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return &Cache{
		Dir: t.TempDir(), Sources: dir, Arch: "amd64", Components: []Component{hello()},
		Now: func() time.Time { return time.Unix(0, 0) },
	}
}

func mustFolder(t *testing.T, c *Cache, component Component) string {
	t.Helper()
	folder, err := c.folder(component)
	if err != nil {
		t.Fatal(err)
	}
	return folder
}

func TestTheCacheFolderChangesWithEverythingThatShapesTheBuild(t *testing.T) {
	tests := map[string]func(t *testing.T, cache *Cache, component *Component){
		"a new version": func(_ *testing.T, _ *Cache, c *Component) { c.Version = "v1.0.1" },
		"another stamp": func(_ *testing.T, _ *Cache, c *Component) { c.stamps = nil },
		"another tag":   func(_ *testing.T, _ *Cache, c *Component) { c.tags = []string{"slim"} },
		"cgo":           func(_ *testing.T, _ *Cache, c *Component) { c.cgo = true },
		"another architecture": func(_ *testing.T, cache *Cache, _ *Component) {
			cache.Arch = "arm64"
		},
		"another dependency": func(t *testing.T, cache *Cache, _ *Component) {
			path := filepath.Join(cache.Sources, "components/hello/go.sum")
			if err := os.WriteFile(path, []byte("example.com/dep v1.0.0 h1:abc=\n"), 0o600); err != nil {
				t.Fatal(err)
			}
		},
	}
	for name, change := range tests {
		t.Run(name, func(t *testing.T) {
			cache, component := newCache(t), hello()
			before := mustFolder(t, cache, component)
			if again := mustFolder(t, cache, component); again != before {
				t.Fatalf("the folder is %s and then %s with nothing changed", before, again)
			}
			change(t, cache, &component)
			if after := mustFolder(t, cache, component); after == before {
				t.Errorf("the folder stays %s", before)
			}
		})
	}
}

func TestTheCacheFolderDoesNotChangeWithTheCheckout(t *testing.T) {
	one, other := newCache(t), newCache(t)
	other.Dir = one.Dir
	if a, b := mustFolder(t, one, hello()), mustFolder(t, other, hello()); a != b {
		t.Errorf("folders are %s and %s for equal checkouts", a, b)
	}
}

func TestWhatIsBuiltIsFoundAndNotBuiltAgain(t *testing.T) {
	cache := newCache(t)
	var phases []Phase
	cache.Progress = func(e Event) { phases = append(phases, e.Phase) }

	if _, err := cache.Path("greet"); !errors.Is(err, ErrNotBuilt) {
		t.Fatalf("before: err = %v, want ErrNotBuilt", err)
	}
	if err := cache.Build(t.Context(), "hello"); err != nil {
		t.Fatal(err)
	}
	path, err := cache.Path("greet")
	if err != nil {
		t.Fatal(err)
	}
	content, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if !strings.Contains(string(content), "annyeong") {
		t.Error("the program does not have the stamp in it")
	}
	// No toolchain is asked for what is there.
	t.Setenv("PATH", t.TempDir())
	if err := cache.Build(t.Context(), "hello"); err != nil {
		t.Errorf("again: %v", err)
	}
	if diff := cmp.Diff([]Phase{PhaseBuilding, PhaseBuilt}, phases); diff != "" {
		t.Errorf("phases, -want +got:\n%s", diff)
	}
}

func TestTwoBuildersOfOneComponentBuildItOnce(t *testing.T) {
	cache := newCache(t)
	var mu sync.Mutex
	built := 0
	cache.Progress = func(e Event) {
		mu.Lock()
		defer mu.Unlock()
		if e.Phase == PhaseBuilt {
			built++
		}
	}
	var builders sync.WaitGroup
	for range 2 {
		builders.Go(func() {
			if err := cache.Build(t.Context(), "hello"); err != nil {
				t.Error(err)
			}
		})
	}
	builders.Wait()
	if built != 1 {
		t.Errorf("built %d times, want once", built)
	}
}

func TestWaitingForAnotherBuilderCanBeCancelled(t *testing.T) {
	cache := newCache(t)
	folder := mustFolder(t, cache, hello())
	if err := os.MkdirAll(folder, 0o750); err != nil {
		t.Fatal(err)
	}
	unlock, err := cache.lock(t.Context(), folder, func() { t.Error("a free lock was waited for") })
	if err != nil {
		t.Fatal(err)
	}
	defer unlock()

	ctx, cancel := context.WithCancelCause(t.Context())
	interrupted := errors.New("interrupted")
	cache.Progress = func(e Event) {
		if e.Phase == PhaseWaiting {
			cancel(interrupted)
		}
	}
	if err := cache.Build(ctx, "hello"); !errors.Is(err, interrupted) {
		t.Errorf("err = %v, want %v", err, interrupted)
	}
}

func TestAFailedBuildSaysWhyAndLeavesNothing(t *testing.T) {
	cache := newCache(t)
	main := filepath.Join(cache.Sources, "components/hello/cmd/greet/main.go")
	if err := os.WriteFile(main, []byte("package main\n\nfunc main() { undefined() }\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	err := cache.Build(t.Context(), "greet")
	if err == nil || !strings.Contains(err.Error(), "undefined: undefined") || !strings.Contains(err.Error(), "hello v1.0.0") {
		t.Errorf("err = %v, want one that names the component and what the compiler said", err)
	}
	entries, err := os.ReadDir(mustFolder(t, cache, hello()))
	if err != nil {
		t.Fatal(err)
	}
	for _, entry := range entries {
		if entry.Name() != ".lock" {
			t.Errorf("%s is left", entry.Name())
		}
	}
}

func TestAMissingToolIsNamedWithHowToInstallIt(t *testing.T) {
	// A compiler that knows of no static C library, as Debian's gcc without
	// libc6-dev: it repeats the name.
	const bareGCC = "#!/bin/sh\necho libc.a\n"
	tests := map[string]struct {
		path map[string]string
		cgo  bool
		want string
	}{
		"no go":               {want: "install Go 1.26"},
		"no gcc":              {path: map[string]string{"go": "#!/bin/sh\n"}, cgo: true, want: "apt-get install gcc libc6-dev"},
		"no static C library": {path: map[string]string{"go": "#!/bin/sh\n", "gcc": bareGCC}, cgo: true, want: "static C library is not installed"},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			cache := newCache(t)
			cache.Components[0].cgo = tc.cgo
			dir := t.TempDir()
			for program, content := range tc.path {
				if err := os.WriteFile(filepath.Join(dir, program), []byte(content), 0o700); err != nil {
					t.Fatal(err)
				}
			}
			t.Setenv("PATH", dir)
			err := cache.Build(t.Context())
			if !errors.Is(err, ErrToolchain) || !strings.Contains(err.Error(), tc.want) {
				t.Errorf("err = %v, want ErrToolchain with %q", err, tc.want)
			}
		})
	}
}

func TestTheCacheIsWhereTheVariableSays(t *testing.T) {
	t.Setenv(CacheVariable, "/somewhere/else")
	dir, err := Dir()
	if err != nil || dir != "/somewhere/else" {
		t.Errorf("Dir() = %q, %v, want /somewhere/else", dir, err)
	}
	t.Setenv(CacheVariable, "")
	t.Setenv("XDG_CACHE_HOME", "/home/somebody/.cache")
	dir, err = Dir()
	if err != nil || dir != "/home/somebody/.cache/maek-lab" {
		t.Errorf("Dir() = %q, %v, want it in the user's cache folder", dir, err)
	}
}

func TestOutsideOfACheckoutTheCacheSaysWhyItFindsNothing(t *testing.T) {
	t.Chdir(t.TempDir())
	cache, err := Open(func() time.Time { return time.Unix(0, 0) }, nil)
	if err != nil {
		t.Fatal(err)
	}
	_, pathErr := cache.Path("kubelet")
	for _, err := range []error{pathErr, cache.Build(t.Context(), "kubelet")} {
		if err == nil || !strings.Contains(err.Error(), "not in a checkout") {
			t.Errorf("err = %v, want one that says so", err)
		}
	}
}

func TestEventsReadAsOneLine(t *testing.T) {
	c := Component{Name: "etcd", Version: "v3.6.8", Programs: []Program{{Name: "etcd"}, {Name: "etcdctl"}}}
	tests := map[string]Event{
		"waiting for another build of etcd v3.6.8": {Component: c, Phase: PhaseWaiting},
		"building etcd v3.6.8":                     {Component: c, Phase: PhaseBuilding, Programs: []string{"etcd", "etcdctl"}},
		"built etcd v3.6.8 (etcdctl) in 2.5s":      {Component: c, Phase: PhaseBuilt, Programs: []string{"etcdctl"}, Elapsed: 2500 * time.Millisecond},
	}
	for want, event := range tests {
		if got := event.String(); got != want {
			t.Errorf("got %q, want %q", got, want)
		}
	}
}
