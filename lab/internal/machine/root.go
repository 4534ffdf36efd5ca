package machine

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/maek-dev/maek/lab/internal/command"
	"github.com/maek-dev/maek/lab/internal/state"
)

// Suite is the Debian release that machines run.
const Suite = "bookworm"

// Packages returns the Debian packages of a machine's root, besides the essential ones.
func Packages(docker bool) []string {
	packages := []string{
		"ca-certificates", "conntrack", "containernetworking-plugins", "dbus", "ethtool", "iproute2", "iptables", "iputils-ping",
		"kmod", "mount", "nftables", "procps", "rsyslog", "runc", "socat", "systemd", "systemd-sysv", "util-linux",
	}
	if docker {
		packages = append(packages, "docker.io")
	}
	return packages
}

// Root is a Debian root that machines are booted from. It is made once, and machines write above it, never into it.
type Root struct {
	// Path is where it is.
	Path string
	// Packages are those that it has.
	Packages []string
}

// NewRoot returns the root for the packages in a cache directory, made or not.
func NewRoot(cache string, packages []string) Root {
	sum := sha256.Sum256([]byte(Suite + " " + strings.Join(slices.Sorted(slices.Values(packages)), " ")))
	return Root{
		Path:     filepath.Join(cache, "root", Suite+"-"+hex.EncodeToString(sum[:6])),
		Packages: packages,
	}
}

// Exists says whether the root was made.
func (r Root) Exists() bool {
	_, err := os.Stat(r.Path)
	return err == nil
}

// Make makes the root with debootstrap, which downloads about 100 MB. It is there whole or not at all.
func (r Root) Make(ctx context.Context, journal *state.Journal) error {
	partial := r.Path + ".partial"
	// debootstrap mounts these while it works and leaves them mounted when it is killed.
	err := journal.Record(
		state.Resource{Kind: state.KindDirectory, Name: partial},
		state.Resource{Kind: state.KindMount, Name: filepath.Join(partial, "proc")},
		state.Resource{Kind: state.KindMount, Name: filepath.Join(partial, "sys")},
	)
	if err != nil {
		return err
	}
	for _, at := range []string{"proc", "sys"} {
		if err := Unmount(filepath.Join(partial, at)); err != nil {
			return err
		}
	}
	if err := os.RemoveAll(partial); err != nil {
		return fmt.Errorf("removing an unfinished root: %w", err)
	}
	if err := os.MkdirAll(filepath.Dir(partial), 0o755); err != nil {
		return fmt.Errorf("making the folder of the root: %w", err)
	}
	if _, err := command.Run(ctx, command.Command{Args: []string{
		"debootstrap", "--variant=minbase", "--include=" + strings.Join(r.Packages, ","), Suite, partial,
	}}); err != nil {
		return fmt.Errorf("making the machines' root: %w", err)
	}
	// A machine gets an identity of its own at its first boot.
	if err := os.WriteFile(filepath.Join(partial, "etc/machine-id"), nil, 0o444); err != nil {
		return fmt.Errorf("making the machines' root: %w", err)
	}
	if err := os.RemoveAll(filepath.Join(partial, "var/cache/apt/archives")); err != nil {
		return fmt.Errorf("making the machines' root: %w", err)
	}
	if err := os.Rename(partial, r.Path); err != nil {
		return fmt.Errorf("making the machines' root: %w", err)
	}
	return nil
}
