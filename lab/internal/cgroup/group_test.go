package cgroup_test

import (
	"io/fs"
	"os"
	"path/filepath"
	"testing"

	"github.com/maek-dev/maek/lab/internal/cgroup"
)

// Folders stand for groups here: what is tested is which are touched and in which order, not the kernel.

func TestANewGroupTakesTheCPUsOfItsParent(t *testing.T) {
	t.Parallel()
	parent := t.TempDir()
	group := filepath.Join(parent, "lab-w1")
	for path, content := range map[string]string{"cpuset.cpus": "0-1\n", "cpuset.mems": "0\n"} {
		if err := os.WriteFile(filepath.Join(parent, path), []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.Mkdir(group, 0o700); err != nil {
		t.Fatal(err)
	}
	for _, path := range []string{"cpuset.cpus", "cpuset.mems"} { // the kernel makes them, empty
		if err := os.WriteFile(filepath.Join(group, path), []byte("\n"), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	if err := cgroup.Create(group); err != nil {
		t.Fatal(err)
	}
	got, err := os.ReadFile(filepath.Join(group, "cpuset.cpus"))
	if err != nil {
		t.Fatal(err)
	}
	if string(got) != "0-1\n" {
		t.Errorf("cpuset.cpus = %q, want %q", got, "0-1\n")
	}
}

func TestGroupsAreRemovedDeepestFirst(t *testing.T) {
	t.Parallel()
	group := filepath.Join(t.TempDir(), "lab-w1")
	if err := os.MkdirAll(filepath.Join(group, "kubepods/burstable/pod1"), 0o700); err != nil {
		t.Fatal(err)
	}
	if err := cgroup.RemoveChildren(t.Context(), group); err != nil {
		t.Fatal(err)
	}
	entries, err := os.ReadDir(group)
	if err != nil || len(entries) != 0 {
		t.Fatalf("entries of the group = %v, %v, want none", entries, err)
	}
	if err := cgroup.Remove(t.Context(), group); err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(group); !os.IsNotExist(err) {
		t.Errorf("Stat of a removed group: %v, want %v", err, fs.ErrNotExist)
	}
	if err := cgroup.Remove(t.Context(), group); err != nil {
		t.Errorf("removing what is not there: %v", err)
	}
}

func TestAnAbsentGroupHasNoProcesses(t *testing.T) {
	t.Parallel()
	pids, err := cgroup.Processes(filepath.Join(t.TempDir(), "absent"))
	if err != nil || len(pids) != 0 {
		t.Errorf("Processes = %v, %v, want none", pids, err)
	}
}
