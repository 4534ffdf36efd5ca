// Package teardown removes a lab wholly, whatever state a crash left it in, and then looks for itself whether anything
// remains.
package teardown

import (
	"context"
	"errors"
	"fmt"
	"os"
	"slices"
	"strings"

	"github.com/maek-dev/maek/lab/internal/cgroup"
	"github.com/maek-dev/maek/lab/internal/machine"
	"github.com/maek-dev/maek/lab/internal/network"
	"github.com/maek-dev/maek/lab/internal/state"
)

// LeftoversError lists what remains of a lab after everything was tried. Running `lab down` again tries again.
type LeftoversError struct {
	// Leftovers is what remains.
	Leftovers []Leftover
}

func (e *LeftoversError) Error() string {
	lines := []string{"not everything could be removed; what remains:"}
	for _, left := range e.Leftovers {
		lines = append(lines, left.String())
	}
	return strings.Join(lines, "\n  ")
}

// Run removes every resource in the journal, every process that a lab command left running, and the state directory. It
// goes on after an error, verifies, and returns a [*LeftoversError] when something remains. It may be called again, and
// where there is no lab.
func Run(ctx context.Context, directory state.Directory, layout cgroup.Layout) error {
	journal, err := state.ReadJournal(directory.JournalPath())
	if err != nil {
		return err
	}
	failures := undo(ctx, directory, journal)
	left, err := waitForNothing(ctx, directory, layout, journal)
	if err != nil {
		failures = append(failures, err)
	}
	if len(left) > 0 {
		failures = append(failures, &LeftoversError{Leftovers: left})
	}
	if len(failures) > 0 {
		return errors.Join(failures...) // the journal stays, for the next try
	}
	return removeDirectories(directory, journal)
}

// undo ends and removes all that is not just a file.
func undo(ctx context.Context, directory state.Directory, journal []state.Resource) []error {
	return slices.Concat(
		// A process may start others and hold mounts, so processes go first. Started but not yet in its control group, one
		// is seen by its environment only.
		killGroups(ctx, named(journal, state.KindCgroup)),
		killOwned(ctx, directory),
		killGroups(ctx, named(journal, state.KindCgroup)),
		deleteNamespaces(named(journal, state.KindNamespace)),
		unmount(directory, named(journal, state.KindMount)),
		removeGroups(ctx, named(journal, state.KindCgroup)),
	)
}

// removeDirectories removes the files of a lab. Nothing may be mounted in them any more, or the removal would reach into
// something else.
func removeDirectories(directory state.Directory, journal []state.Resource) error {
	for _, path := range append(named(journal, state.KindDirectory), string(directory)) {
		if err := os.RemoveAll(path); err != nil {
			return fmt.Errorf("removing %s: %w", path, err)
		}
	}
	return nil
}

// named returns the names of the resources of a kind, last made first.
func named(journal []state.Resource, kind state.Kind) []string {
	var names []string
	for _, r := range slices.Backward(journal) {
		if r.Kind == kind {
			names = append(names, r.Name)
		}
	}
	return names
}

func killGroups(ctx context.Context, paths []string) []error {
	var failures []error
	for _, path := range paths {
		if err := cgroup.Kill(ctx, path); err != nil {
			failures = append(failures, err)
		}
	}
	return failures
}

func removeGroups(ctx context.Context, paths []string) []error {
	var failures []error
	for _, path := range paths {
		if err := cgroup.Remove(ctx, path); err != nil {
			failures = append(failures, err)
		}
	}
	return failures
}

func deleteNamespaces(names []string) []error {
	var failures []error
	for _, name := range names {
		if err := network.DeleteNamespace(name); err != nil {
			failures = append(failures, err)
		}
	}
	return failures
}

func unmount(directory state.Directory, recorded []string) []error {
	found, err := machine.MountsUnder(string(directory))
	if err != nil {
		return []error{err}
	}
	slices.Reverse(found)
	var failures []error
	for _, target := range append(found, recorded...) {
		if err := machine.Unmount(target); err != nil {
			failures = append(failures, err)
		}
	}
	return failures
}
