// Package state keeps what an agent must remember beyond its process: its key, its peers, cursors of
// logs. It is one folder with one file a name, the only place on a machine that an agent writes to.
package state

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"

	"golang.org/x/sys/unix"

	"github.com/maek-dev/maek/internal/monitor"
)

// ErrHeld says that another agent runs on the machine.
var ErrHeld = errors.New("another agent runs on this machine")

const (
	lockFile = "lock"
	// temporary begins the names of files that were not wholly written.
	temporary = ".new-"
	suffix    = ".state"
)

// Folder is an agent's own folder. It is a monitor.Store.
type Folder struct {
	path string
	lock *os.File
}

// Open makes the folder where it is missing and takes it for this process; owner, such as the version of
// the program, is told to whoever comes second. An error is ErrHeld where another process has it.
func Open(path, owner string) (*Folder, error) {
	if err := os.MkdirAll(path, 0o700); err != nil { //nolint:gosec // the path is the operator's own
		return nil, fmt.Errorf("making the agent's folder: %w", err)
	}
	// The kubelet makes it for all to see (kubernetes/pkg/volume/hostpath/host_path.go). Its files are for
	// root alone all the same; a disk that is read-only stays as it is.
	_ = os.Chmod(path, 0o700) //nolint:gosec // a folder, for root alone

	lock, err := os.OpenFile(filepath.Join(path, lockFile), os.O_RDWR|os.O_CREATE|unix.O_CLOEXEC, 0o600) //nolint:gosec // the path is the operator's own
	if errors.Is(err, unix.EROFS) {
		// A disk with errors is made read-only, and an agent is needed there all the more: it remembers nothing.
		lock, err = os.OpenFile(filepath.Join(path, lockFile), os.O_RDONLY|unix.O_CLOEXEC, 0) //nolint:gosec // the path is the operator's own
	}
	if errors.Is(err, unix.EROFS) || errors.Is(err, unix.ENOSPC) || errors.Is(err, unix.EDQUOT) || errors.Is(err, os.ErrNotExist) {
		// There is no lock yet and none can be made: the folder itself is one.
		lock, err = os.Open(path) //nolint:gosec // the path is the operator's own
	}
	if err != nil {
		return nil, fmt.Errorf("opening the lock of the agent's folder: %w", err)
	}
	// The kernel gives the lock back however the process ends.
	if err := unix.Flock(int(lock.Fd()), unix.LOCK_EX|unix.LOCK_NB); err != nil {
		defer func() { _ = lock.Close() }()
		if !errors.Is(err, unix.EWOULDBLOCK) {
			return nil, fmt.Errorf("locking the agent's folder: %w", err)
		}
		holder, _ := io.ReadAll(io.LimitReader(lock, 256))
		return nil, fmt.Errorf("%w: %s holds %s", ErrHeld, bytes.TrimSpace(holder), path)
	}
	f := &Folder{path: path, lock: lock}
	f.begin(owner)
	return f, nil
}

// begin names the owner, and removes what an earlier process left half written. A disk that is full or
// read-only lets it do neither, and is no reason not to run.
func (f *Folder) begin(owner string) {
	if f.lock.Truncate(0) == nil {
		_, _ = f.lock.WriteAt([]byte(owner+"\n"), 0)
	}
	left, _ := filepath.Glob(filepath.Join(f.path, temporary+"*"))
	for _, name := range left {
		_ = os.Remove(name)
	}
}

// Close gives the folder back.
func (f *Folder) Close() error { return f.lock.Close() }

// Load returns what was saved under a name; fs.ErrNotExist where nothing was.
func (f *Folder) Load(name string) ([]byte, error) {
	path, err := f.file(name)
	if err != nil {
		return nil, err
	}
	file, err := monitor.Open(path)
	if err != nil {
		return nil, fmt.Errorf("reading what was kept: %w", err)
	}
	defer func() { _ = file.Close() }()
	data, err := io.ReadAll(io.LimitReader(file, maxKept+1))
	if err != nil {
		return nil, fmt.Errorf("reading what was kept: %w", err)
	}
	if len(data) > maxKept {
		return nil, fmt.Errorf("reading what was kept as %s: it is longer than %d MiB", name, maxKept>>20)
	}
	return data, nil
}

// maxKept bounds what is read back under one name, in bytes: what is known of 5,000 nodes is below 4 MiB.
const maxKept = 16 << 20

// Save replaces what is kept under a name. Whenever the process ends, or the machine loses power, the
// old or the new value is there, whole.
func (f *Folder) Save(name string, data []byte) (err error) {
	path, err := f.file(name)
	if err != nil {
		return err
	}
	next, err := os.CreateTemp(f.path, temporary+"*")
	if err != nil {
		return fmt.Errorf("keeping %s: %w", name, err)
	}
	defer func() {
		if err != nil {
			_ = os.Remove(next.Name()) //nolint:gosec // the path is the operator's own
		}
	}()
	_, err = next.Write(data)
	if err == nil {
		err = next.Sync()
	}
	if err = errors.Join(err, next.Close()); err != nil {
		return fmt.Errorf("keeping %s: %w", name, err)
	}
	if err = os.Rename(next.Name(), path); err != nil { //nolint:gosec // the path is the operator's own
		return fmt.Errorf("keeping %s: %w", name, err)
	}
	return nil
}

// file is where a value is kept. A name is one file's: it cannot lead elsewhere.
func (f *Folder) file(name string) (string, error) {
	if name == "" || strings.ContainsAny(name, "/\x00") || strings.HasPrefix(name, ".") {
		return "", fmt.Errorf("%q is no name to keep something under", name)
	}
	return filepath.Join(f.path, name+suffix), nil
}
