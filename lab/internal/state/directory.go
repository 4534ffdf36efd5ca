package state

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"golang.org/x/sys/unix"
)

// DefaultDirectory is where the lab keeps its state. There is one, since the names of namespaces, control groups and
// addresses are fixed too: a machine runs one lab at a time.
const DefaultDirectory = "/var/lib/maek-lab"

// ErrNoLab means that there is no lab: nothing was made, or all of it was removed.
var ErrNoLab = errors.New("there is no lab here; make one with `lab up`")

// Directory is the state directory of the lab.
type Directory string

// Path returns the path of a file in the directory.
func (d Directory) Path(elem ...string) string {
	return filepath.Join(append([]string{string(d)}, elem...)...)
}

// JournalPath is where the journal is.
func (d Directory) JournalPath() string { return d.Path("journal") }

// Exists says whether the directory exists: whether anything of a lab may be left.
func (d Directory) Exists() bool {
	_, err := os.Stat(string(d))
	return err == nil
}

// BusyError means that another command is changing the lab.
type BusyError struct {
	// Holder is the other command: its process ID and arguments.
	Holder string
}

func (e *BusyError) Error() string {
	return fmt.Sprintf("another lab command is at work (%s); wait for it or stop it with Ctrl-C", e.Holder)
}

// lockPath is beside the directory, since the directory is removed while the lock is held.
func (d Directory) lockPath() string { return string(d) + ".lock" }

// Lock creates the directory and takes the lock that a command holds while it changes the lab. The lock goes with the
// process that took it, so a crash frees it. It returns a [*BusyError] when another process holds it.
func (d Directory) Lock(holder string) (unlock func(), err error) {
	file, err := d.lockFile()
	if err != nil {
		return nil, err
	}
	unlock = func() {
		// Removed while it is locked: nobody else can be the one who removes it.
		_ = os.Remove(d.lockPath())
		_ = file.Close()
	}
	_, err = file.WriteAt([]byte(holder), 0)
	if err := errors.Join(file.Truncate(int64(len(holder))), err, os.MkdirAll(string(d), 0o700)); err != nil {
		unlock()
		return nil, fmt.Errorf("locking the lab: %w", err)
	}
	return unlock, nil
}

// lockFile returns the lock's file, locked.
func (d Directory) lockFile() (*os.File, error) {
	for {
		file, err := os.OpenFile(d.lockPath(), os.O_CREATE|os.O_RDWR, 0o600)
		if err != nil {
			return nil, fmt.Errorf("opening the lock: %w", err)
		}
		if err := unix.Flock(int(file.Fd()), unix.LOCK_EX|unix.LOCK_NB); err != nil {
			_ = file.Close() // nothing was written
			if errors.Is(err, unix.EWOULDBLOCK) {
				return nil, d.busy()
			}
			return nil, fmt.Errorf("locking %s: %w", d.lockPath(), err)
		}
		if isFileAt(file, d.lockPath()) {
			return file, nil
		}
		_ = file.Close() // its holder removed it after it was opened here; the lock is another file now, or none
	}
}

func isFileAt(file *os.File, path string) bool {
	opened, err := file.Stat()
	if err != nil {
		return false
	}
	there, err := os.Stat(path)
	return err == nil && os.SameFile(opened, there)
}

func (d Directory) busy() error {
	holder, err := os.ReadFile(d.lockPath())
	if err != nil || len(holder) == 0 {
		holder = []byte("an unknown process")
	}
	return &BusyError{Holder: strings.TrimSpace(string(holder))}
}

// Load reads the description that Save wrote into value. It returns [ErrNoLab] when there is none.
func (d Directory) Load(value any) error {
	content, err := os.ReadFile(d.Path("cluster.json"))
	if errors.Is(err, fs.ErrNotExist) {
		return ErrNoLab
	}
	if err != nil {
		return fmt.Errorf("reading the description of the lab: %w", err)
	}
	if err := json.Unmarshal(content, value); err != nil {
		return fmt.Errorf("reading %s: %w", d.Path("cluster.json"), err)
	}
	return nil
}

// Save writes the description of the cluster; a reader sees the old one or the new one whole.
func (d Directory) Save(value any) error {
	content, err := json.MarshalIndent(value, "", "  ")
	if err != nil {
		return fmt.Errorf("encoding the description of the lab: %w", err)
	}
	temporary := d.Path("cluster.json.new")
	if err := os.WriteFile(temporary, append(content, '\n'), 0o600); err != nil {
		return fmt.Errorf("writing the description of the lab: %w", err)
	}
	if err := os.Rename(temporary, d.Path("cluster.json")); err != nil {
		return fmt.Errorf("writing the description of the lab: %w", err)
	}
	return nil
}
