package component

import (
	"context"
	"errors"
	"fmt"
	"os/exec"
	"path/filepath"
	"strings"
)

// ErrToolchain is wrapped by the errors of [Cache.Build] that say which tool has
// to be installed first.
var ErrToolchain = errors.New("a build tool is missing")

// DebianPackages returns the Debian packages that building everything needs,
// beside Go itself.
func DebianPackages() []string {
	return []string{"gcc", "libc6-dev"}
}

// checkToolchain reports whether what a component is built with is there.
func checkToolchain(ctx context.Context, component Component) error {
	if _, err := exec.LookPath("go"); err != nil {
		return fmt.Errorf("%w: go is not in PATH; install Go 1.26 or newer", ErrToolchain)
	}
	if !component.cgo {
		return nil
	}
	if _, err := exec.LookPath("gcc"); err != nil {
		return fmt.Errorf("%w: gcc is not in PATH; install it (apt-get install %s)",
			ErrToolchain, strings.Join(DebianPackages(), " "))
	}
	// gcc prints the bare name of a file that it does not find.
	path, err := exec.CommandContext(ctx, "gcc", "-print-file-name=libc.a").Output()
	if err != nil {
		return fmt.Errorf("asking gcc for the static C library: %w", err)
	}
	if !filepath.IsAbs(strings.TrimSpace(string(path))) {
		return fmt.Errorf("%w: the static C library is not installed (apt-get install %s)",
			ErrToolchain, strings.Join(DebianPackages(), " "))
	}
	return nil
}
