package teardown

import (
	"os"
	"os/exec"
	"path/filepath"
	"syscall"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/maek-dev/maek/lab/internal/command"
	"github.com/maek-dev/maek/lab/internal/state"
)

func TestResourcesAreUndoneInReverse(t *testing.T) {
	t.Parallel()
	journal := []state.Resource{
		{Kind: state.KindMount, Name: "/lab/disk"},
		{Kind: state.KindCgroup, Name: "/cgroup/lab-w1"},
		{Kind: state.KindMount, Name: "/lab/root"},
	}
	if diff := cmp.Diff([]string{"/lab/root", "/lab/disk"}, named(journal, state.KindMount)); diff != "" {
		t.Errorf("mounts (-want +got):\n%s", diff)
	}
}

func TestWhatWasRecordedAndNeverMadeIsNoError(t *testing.T) {
	t.Parallel()
	directory := state.Directory(filepath.Join(t.TempDir(), "lab"))
	unfinished := filepath.Join(t.TempDir(), "root.partial")
	for _, path := range []string{string(directory), filepath.Join(unfinished, "etc")} {
		if err := os.MkdirAll(path, 0o700); err != nil {
			t.Fatal(err)
		}
	}
	journal, err := state.OpenJournal(directory.JournalPath())
	if err != nil {
		t.Fatal(err)
	}
	absent := filepath.Join(t.TempDir(), "absent")
	if err := journal.Record(
		state.Resource{Kind: state.KindDirectory, Name: unfinished},
		state.Resource{Kind: state.KindMount, Name: filepath.Join(absent, "proc")},
		state.Resource{Kind: state.KindCgroup, Name: filepath.Join(absent, "lab-w1")},
		state.Resource{Kind: state.KindNamespace, Name: "lab-test-that-is-absent"},
	); err != nil {
		t.Fatal(err)
	}
	if err := journal.Close(); err != nil {
		t.Fatal(err)
	}

	for range 2 { // the second time there is nothing at all
		resources, err := state.ReadJournal(directory.JournalPath())
		if err != nil {
			t.Fatal(err)
		}
		if failures := undo(t.Context(), directory, resources); len(failures) > 0 {
			t.Errorf("undo: %v", failures)
		}
		if err := removeDirectories(directory, resources); err != nil {
			t.Error(err)
		}
	}
	for _, path := range []string{string(directory), unfinished} {
		if _, err := os.Stat(path); !os.IsNotExist(err) {
			t.Errorf("%s is still there (%v)", path, err)
		}
	}
}

func TestAProcessIsTheLabsByTheMarkThatItWasStartedWith(t *testing.T) {
	t.Parallel()
	directory := state.Directory(filepath.Join(t.TempDir(), "lab"))
	other := exec.CommandContext(t.Context(), "sleep", "60")
	own := exec.CommandContext(t.Context(), "sleep", "60")
	own.Env = append(os.Environ(), command.OwnerVariable+"="+string(directory))
	for _, cmd := range []*exec.Cmd{own, other} {
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
	}
	if failures := killOwned(t.Context(), directory); len(failures) > 0 {
		t.Fatal(failures)
	}
	if err := own.Wait(); err == nil || own.ProcessState.String() != "signal: killed" {
		t.Errorf("the lab's process: %v, want it killed", err)
	}
	if err := other.Process.Signal(syscall.Signal(0)); err != nil {
		t.Errorf("another process: %v, want it untouched", err)
	}
	if err := other.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	_ = other.Wait() // it was killed, as it says
}
