package image

import (
	"context"
	"fmt"
	"os/exec"
	"slices"
	"strings"
)

// BusyboxReference is the name that manifests know busybox by; the version is that of Debian 12's package
// busybox-static. A pod whose manifest names it runs on the lab as it does on a cluster that has a way out.
// Nothing is ever pushed there by this package.
const BusyboxReference = "docker.io/library/busybox:1.35"

// Busybox returns the spec of an image of a static busybox, with a shell and the commands that it says it has.
func Busybox(ctx context.Context, program string) (Spec, error) {
	out, err := exec.CommandContext(ctx, program, "--list").Output()
	if err != nil {
		return Spec{}, fmt.Errorf("asking %s for its commands: %w", program, err)
	}
	commands := slices.DeleteFunc(strings.Fields(string(out)), func(name string) bool { return name == "busybox" })
	return Spec{Reference: BusyboxReference, Programs: []string{program}, Entrypoint: []string{"busybox"}, Args: []string{"sh"}, Links: commands}, nil
}
