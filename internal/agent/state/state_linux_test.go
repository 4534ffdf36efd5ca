package state

import (
	"bytes"
	"errors"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/sys/unix"
)

func open(t *testing.T, path string) *Folder {
	t.Helper()
	f, err := Open(path, "maek-agent v1")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = f.Close() })
	return f
}

func TestWhatIsSavedIsLoaded(t *testing.T) {
	path := filepath.Join(t.TempDir(), "agent")
	if err := os.Mkdir(path, 0o755); err != nil { // as the kubelet makes it
		t.Fatal(err)
	}
	f := open(t, path)
	if _, err := f.Load("peers"); !errors.Is(err, fs.ErrNotExist) {
		t.Fatalf("before anything is saved: %v, want fs.ErrNotExist", err)
	}
	for _, value := range []string{"first", "the second, which is longer", ""} {
		if err := f.Save("peers", []byte(value)); err != nil {
			t.Fatal(err)
		}
		got, err := f.Load("peers")
		if err != nil || string(got) != value {
			t.Errorf("Load = %q, %v, want %q", got, err, value)
		}
	}
	info, err := os.Stat(path)
	if err != nil {
		t.Fatal(err)
	}
	if info.Mode().Perm() != 0o700 {
		t.Errorf("the folder's mode is %v: others can read keys", info.Mode())
	}
}

func TestANameLeadsNowhereElse(t *testing.T) {
	f := open(t, t.TempDir())
	for _, name := range []string{"", "../identity", "a/b", ".hidden", "a\x00b"} {
		if err := f.Save(name, nil); err == nil {
			t.Errorf("Save(%q) was taken", name)
		}
		if _, err := f.Load(name); err == nil {
			t.Errorf("Load(%q) was taken", name)
		}
	}
}

func TestASecondAgentIsToldWhoIsThere(t *testing.T) {
	path := t.TempDir()
	first := open(t, path)
	_, err := Open(path, "maek-agent v2")
	if !errors.Is(err, ErrHeld) || !strings.Contains(err.Error(), "maek-agent v1") {
		t.Fatalf("second Open: %v, want ErrHeld that names maek-agent v1", err)
	}
	if err := first.Close(); err != nil {
		t.Fatal(err)
	}
	open(t, path)
}

// saveForever is what the process does that is killed.
func saveForever(t *testing.T, path string) {
	t.Helper()
	f, err := Open(path, "writer")
	for err == nil {
		for _, letter := range []string{"a", "b"} {
			err = errors.Join(err, f.Save("value", bytes.Repeat([]byte(letter), 1<<16)))
			_, _ = os.Stdout.WriteString(letter)
		}
	}
	t.Fatal(err)
}

// TestKilledWhileWriting lets a process save without end, kills it, and looks at what it left: of two
// values one, whole, however often.
func TestKilledWhileWriting(t *testing.T) {
	if path := os.Getenv("MAEK_TEST_SAVE"); path != "" {
		saveForever(t, path)
	}
	path := t.TempDir()
	for range 5 {
		writer := exec.CommandContext(t.Context(), os.Args[0], "-test.run=^TestKilledWhileWriting$")
		writer.Env = append(os.Environ(), "MAEK_TEST_SAVE="+path)
		out, err := writer.StdoutPipe()
		if err != nil {
			t.Fatal(err)
		}
		if err := writer.Start(); err != nil {
			t.Fatal(err)
		}
		if _, err := out.Read(make([]byte, 1)); err != nil {
			t.Fatalf("the writer wrote nothing: %v", err)
		}
		if err := writer.Process.Kill(); err != nil {
			t.Fatal(err)
		}
		_ = writer.Wait()
		f, err := Open(path, "reader")
		if err != nil {
			t.Fatalf("after the kill: %v", err)
		}
		got, err := f.Load("value")
		if err != nil {
			t.Fatal(err)
		}
		if len(got) != 1<<16 || len(bytes.Trim(got, string(got[:1]))) != 0 {
			t.Errorf("%d bytes are left, not of one value", len(got))
		}
		left, err := filepath.Glob(filepath.Join(path, temporary+"*"))
		if err != nil || len(left) > 0 {
			t.Errorf("unfinished files remain: %v, %v", left, err)
		}
		if err := f.Close(); err != nil {
			t.Fatal(err)
		}
	}
}

// TestADiskThatTakesNothing opens folders on disks that are full or read-only: an agent runs on them, and
// a second one does not.
func TestADiskThatTakesNothing(t *testing.T) {
	disk := func(t *testing.T) string {
		t.Helper()
		path := t.TempDir()
		if err := unix.Mount("tmpfs", path, "tmpfs", 0, "size=64k"); err != nil {
			t.Skipf("file systems cannot be mounted here: %v", err)
		}
		t.Cleanup(func() { _ = unix.Unmount(path, unix.MNT_DETACH) })
		return path
	}
	readOnly := func(t *testing.T, path string) {
		t.Helper()
		if err := unix.Mount("", path, "", unix.MS_REMOUNT|unix.MS_RDONLY, ""); err != nil {
			t.Fatal(err)
		}
	}
	fill := func(t *testing.T, path string) {
		t.Helper()
		if err := os.WriteFile(filepath.Join(path, "fill"), make([]byte, 1<<20), 0o600); !errors.Is(err, unix.ENOSPC) {
			t.Fatalf("filling the disk: %v", err)
		}
	}
	tests := map[string]struct {
		before func(t *testing.T, path string)
		breaks func(t *testing.T, path string)
		want   string
	}{
		"read-only, after an agent ran": {before: keepOne, breaks: readOnly, want: "one"},
		"read-only, at the first start": {breaks: readOnly},
		"full, after an agent ran":      {before: keepOne, breaks: fill, want: "one"},
		"full, at the first start":      {breaks: fill},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			path := disk(t)
			if tc.before != nil {
				tc.before(t, path)
			}
			tc.breaks(t, path)
			f := open(t, path)
			if got, _ := f.Load("value"); string(got) != tc.want {
				t.Errorf("Load = %q, want %q", got, tc.want)
			}
			if err := f.Save("value", make([]byte, 1<<17)); err == nil {
				t.Error("the disk took a value")
			}
			if got, _ := f.Load("value"); string(got) != tc.want {
				t.Errorf("after a failed Save, Load = %q, want %q", got, tc.want)
			}
			if _, err := Open(path, "second"); !errors.Is(err, ErrHeld) {
				t.Errorf("a second agent: %v, want ErrHeld", err)
			}
		})
	}
}

func keepOne(t *testing.T, path string) {
	t.Helper()
	f := open(t, path)
	if err := errors.Join(f.Save("value", []byte("one")), f.Close()); err != nil {
		t.Fatal(err)
	}
}

func TestWhatIsNoFileIsNotWaitedFor(t *testing.T) {
	path := t.TempDir()
	f := open(t, path)
	if err := unix.Mkfifo(filepath.Join(path, "pipe"+suffix), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(path, "huge"+suffix), nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Truncate(filepath.Join(path, "huge"+suffix), 1<<40); err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"pipe", "huge"} {
		if _, err := f.Load(name); err == nil || errors.Is(err, fs.ErrNotExist) {
			t.Errorf("Load(%s) = %v, want an error", name, err)
		}
		if err := f.Save(name, []byte("new")); err != nil {
			t.Fatal(err)
		}
		if got, err := f.Load(name); err != nil || string(got) != "new" {
			t.Errorf("Load(%s) = %q, %v after it was saved anew", name, got, err)
		}
	}
}
