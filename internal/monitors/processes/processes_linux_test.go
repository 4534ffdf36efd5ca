package processes_test

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/maek-dev/maek/internal/monitor"
	"github.com/maek-dev/maek/internal/monitors/processes"
)

// seen is a process as a test compares it.
type seen struct {
	ID            int
	Name, State   string
	Command, Vars []string
}

func TestProcesses(t *testing.T) {
	root := t.TempDir()
	for name, content := range map[string]string{
		"20/comm": "kubelet\n", "20/cmdline": "/usr/bin/kubelet\x00--config=a b\x00", "20/environ": "HOME=/root\x00A=\x00", "20/stat": "20 (kubelet) S 1 20 20",
		"3/comm": "kthreadd\n", "3/cmdline": "", "3/stat": "3 (a) b) (c) D 2 0 0",
		"100/comm": strings.Repeat("x", 1000), "100/cmdline": strings.Repeat("y", 1<<20), "100/stat": "\x00\xff",
		"self/comm": "test\n", "uptime": "1 1\n", "7": "no folder",
	} {
		at := filepath.Join(root, "proc", name)
		if err := os.MkdirAll(filepath.Dir(at), 0o700); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(at, []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	all, err := processes.All(monitor.Host{Root: root})
	if err != nil {
		t.Fatal(err)
	}
	var got []seen
	for p := range all {
		got = append(got, seen{p.ID, p.Name(), p.State(), p.Command(), p.Environment()})
	}
	want := []seen{
		{ID: 3, Name: "kthreadd", State: "D"},
		{ID: 7},
		{ID: 20, Name: "kubelet", State: "S", Command: []string{"/usr/bin/kubelet", "--config=a b"}, Vars: []string{"HOME=/root", "A="}},
		{ID: 100, Name: strings.Repeat("x", 64), State: "\x00\xff", Command: []string{strings.Repeat("y", 64<<10)}},
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

func TestThisProcess(t *testing.T) {
	all, err := processes.All(monitor.Host{Root: "/"})
	if err != nil {
		t.Fatal(err)
	}
	var ids []int
	for p := range all {
		if ids = append(ids, p.ID); p.ID == os.Getpid() && (!slices.Equal(p.Command(), os.Args) || p.State() == "") {
			t.Errorf("this process is %q in state %q", p.Command(), p.State())
		}
	}
	if !slices.Contains(ids, os.Getpid()) || !slices.IsSorted(ids) {
		t.Errorf("this process, %d, is not among %v, or they are not in order", os.Getpid(), ids)
	}
}

func TestAHostWithoutProcesses(t *testing.T) {
	if _, err := processes.All(monitor.Host{Root: t.TempDir()}); !errors.Is(err, fs.ErrNotExist) || !strings.HasPrefix(err.Error(), "listing processes: ") {
		t.Errorf("the error is %v", err)
	}
}
