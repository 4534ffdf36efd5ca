package state_test

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"testing"

	"github.com/maek-dev/maek/lab/internal/state"
)

func TestOneCommandAtATimeHoldsTheLock(t *testing.T) {
	t.Parallel()
	directory := state.Directory(filepath.Join(t.TempDir(), "lab"))
	unlock, err := directory.Lock("lab up, process 42")
	if err != nil {
		t.Fatal(err)
	}
	_, err = directory.Lock("lab down, process 43")
	busy, ok := errors.AsType[*state.BusyError](err)
	if !ok {
		t.Fatalf("a second lock: error = %v, want a BusyError", err)
	}
	if want := "lab up, process 42"; busy.Holder != want {
		t.Errorf("holder = %q, want %q", busy.Holder, want)
	}
	unlock()
	unlock, err = directory.Lock("lab down, process 43")
	if err != nil {
		t.Fatalf("a lock that was freed: %v", err)
	}
	unlock()
	if _, err := os.Stat(string(directory) + ".lock"); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("the lock's file after use: %v, want none", err)
	}
}

func TestDescriptionIsReadBack(t *testing.T) {
	t.Parallel()
	directory := state.Directory(t.TempDir())
	var got struct{ Port int }
	if err := directory.Load(&got); !errors.Is(err, state.ErrNoLab) {
		t.Fatalf("Load without a lab: error = %v, want %v", err, state.ErrNoLab)
	}
	if err := directory.Save(struct{ Port int }{16443}); err != nil {
		t.Fatal(err)
	}
	if err := directory.Load(&got); err != nil {
		t.Fatal(err)
	}
	if got.Port != 16443 {
		t.Errorf("port = %d, want 16443", got.Port)
	}
}
