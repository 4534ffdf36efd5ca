package component

import (
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"hash"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"time"
)

// CacheVariable names the environment variable that overrides where built
// programs and images are kept.
const CacheVariable = "MAEK_LAB_CACHE"

// ErrNotBuilt is wrapped by [Cache.Path] for a program that is not in the cache.
var ErrNotBuilt = errors.New("not built yet")

// Cache builds components and knows where their programs are.
type Cache struct {
	// Dir is the folder that everything built is kept in.
	Dir string
	// Sources is the lab's folder in a checkout: the one with components/ in it.
	Sources string
	// Arch is the architecture to build for, as GOARCH spells it.
	Arch string
	// Components are what can be built.
	Components []Component
	// Now tells the time; builds are timed with it.
	Now func() time.Time
	// Progress, if not nil, is told of every step that takes time. Calls do not
	// overlap.
	Progress func(Event)

	// noSources is why Sources could not be found.
	noSources error
}

// Open returns the cache of the user who runs this process, for the checkout
// that the working directory is in. Outside of a checkout it can be opened too,
// but nothing can be found in it or built: which programs are meant is written in
// the checkout.
func Open(now func() time.Time, progress func(Event)) (*Cache, error) {
	dir, err := Dir()
	if err != nil {
		return nil, err
	}
	wd, err := os.Getwd()
	if err != nil {
		return nil, fmt.Errorf("finding the lab's sources: %w", err)
	}
	sources, noSources := FindSources(wd)
	return &Cache{
		Dir:        dir,
		Sources:    sources,
		Arch:       runtime.GOARCH,
		Components: All(),
		Now:        now,
		Progress:   progress,
		noSources:  noSources,
	}, nil
}

// Dir returns the cache folder: $MAEK_LAB_CACHE, or maek-lab under the user's
// cache folder.
func Dir() (string, error) {
	if dir := os.Getenv(CacheVariable); dir != "" {
		abs, err := filepath.Abs(dir)
		if err != nil {
			return "", fmt.Errorf("reading %s: %w", CacheVariable, err)
		}
		return abs, nil
	}
	dir, err := os.UserCacheDir()
	if err != nil {
		return "", fmt.Errorf("finding the user's cache folder (set %s to choose one): %w", CacheVariable, err)
	}
	return filepath.Join(dir, "maek-lab"), nil
}

// FindSources returns the lab's folder of the checkout that dir is in.
func FindSources(dir string) (string, error) {
	for at := dir; ; at = filepath.Dir(at) {
		for _, candidate := range []string{at, filepath.Join(at, "lab")} {
			if _, err := os.Stat(filepath.Join(candidate, "components", "kubernetes", "go.mod")); err == nil {
				return candidate, nil
			}
		}
		if at == filepath.Dir(at) {
			return "", fmt.Errorf("%s is not in a checkout of maek: no lab/components there or above", dir)
		}
	}
}

// Path returns where a built program is. The error wraps [ErrNotBuilt] when it is
// a known program that is not there.
func (c *Cache) Path(program string) (string, error) {
	for _, component := range c.Components {
		for _, p := range component.Programs {
			if p.Name != program {
				continue
			}
			dir, err := c.folder(component)
			if err != nil {
				return "", err
			}
			path := filepath.Join(dir, program)
			if _, err := os.Stat(path); errors.Is(err, fs.ErrNotExist) {
				return "", fmt.Errorf("%s of %s: %w", program, component, ErrNotBuilt)
			} else if err != nil {
				return "", fmt.Errorf("looking for %s: %w", program, err)
			}
			return path, nil
		}
	}
	return "", fmt.Errorf("no component has a program called %q", program)
}

// folder returns the cache folder of one component. Its name changes with
// everything that can change what is built.
func (c *Cache) folder(component Component) (string, error) {
	if c.noSources != nil {
		return "", c.noSources
	}
	sum := sha256.New()
	write(sum, fmt.Sprintln(c.Arch, component.cgo, buildFlags(component)))
	var err error
	if component.Module == "" {
		err = c.hashLab(sum)
	} else {
		dir := filepath.Join(c.Sources, "components", component.Name)
		err = errors.Join(hashFile(sum, dir, "go.mod"), hashFile(sum, dir, "go.sum"))
	}
	if err != nil {
		return "", fmt.Errorf("reading what %s is built from: %w", component, err)
	}
	name := component.Name
	if component.Version != "" {
		name += "-" + component.Version
	}
	return filepath.Join(c.Dir, "bin", name+"-"+hex.EncodeToString(sum.Sum(nil))[:12]), nil
}

// hashLab hashes what the lab's own programs are built from, tests excepted.
func (c *Cache) hashLab(sum hash.Hash) error {
	for _, name := range []string{"go.mod", "go.sum"} {
		if err := hashFile(sum, c.Sources, name); err != nil {
			return err
		}
	}
	for _, top := range labSources() {
		err := filepath.WalkDir(filepath.Join(c.Sources, top), func(path string, entry fs.DirEntry, err error) error {
			if err != nil {
				return err
			}
			if !entry.Type().IsRegular() || strings.HasSuffix(path, "_test.go") {
				return nil
			}
			name, err := filepath.Rel(c.Sources, path)
			if err != nil {
				return err
			}
			return hashFile(sum, c.Sources, name)
		})
		if err != nil {
			return err
		}
	}
	return nil
}

// hashFile adds a file's name, length and content to sum.
func hashFile(sum hash.Hash, dir, name string) error {
	content, err := os.ReadFile(filepath.Join(dir, name))
	if err != nil {
		return err
	}
	write(sum, fmt.Sprintln(filepath.ToSlash(name), len(content)))
	write(sum, string(content))
	return nil
}

func write(sum hash.Hash, text string) {
	_, _ = io.WriteString(sum, text) // a hash takes everything (hash.Hash)
}
