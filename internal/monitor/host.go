package monitor

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"time"

	securejoin "github.com/cyphar/filepath-securejoin"

	"github.com/maek-dev/maek/internal/snapshot"
)

// Host is the machine that monitors read, as they reach it. Tests give one that is a folder.
type Host struct {
	// Root is where the host's file system is: "/" on the machine itself, a mount of it in a container.
	Root string
	// Node is the name of the Node object that the machine stands under.
	Node string
	// Now is the machine's clock.
	Now func() time.Time
	// Store keeps what monitors must remember beyond their process: cursors of logs, boots seen. Nil
	// keeps nothing.
	Store Store
}

// Store keeps small values by name, across restarts.
type Store interface {
	// Load returns what was saved under a name; fs.ErrNotExist where nothing was.
	Load(name string) ([]byte, error)
	// Save replaces what is kept under a name, wholly or not at all.
	Save(name string, data []byte) error
}

// Path is where a file of the host is reached: symbolic links are followed as the host would, so that
// an absolute one stays below Root.
func (h Host) Path(name string) (string, error) {
	path, err := securejoin.SecureJoin(h.Root, name)
	if err != nil {
		return "", fmt.Errorf("finding %s: %w", name, err)
	}
	return path, nil
}

// ReadFile reads a file of the host, up to limit bytes; a longer one is an error.
func (h Host) ReadFile(name string, limit int64) ([]byte, error) {
	path, err := h.Path(name)
	if err != nil {
		return nil, err
	}
	return readUpTo(path, limit)
}

// ReadDir lists a folder of the host, by name.
func (h Host) ReadDir(name string) ([]fs.DirEntry, error) {
	path, err := h.Path(name)
	if err != nil {
		return nil, err
	}
	return os.ReadDir(path)
}

// Load returns what was saved under a name; nil where nothing was, or nothing is kept.
func (h Host) Load(name string) ([]byte, error) {
	if h.Store == nil {
		return nil, nil
	}
	data, err := h.Store.Load(name)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("loading what was kept as %s: %w", name, err)
	}
	return data, nil
}

// Save keeps a value under a name, where anything is kept.
func (h Host) Save(name string, data []byte) error {
	if h.Store == nil {
		return nil
	}
	return h.Store.Save(name, data)
}

// Value makes evidence of a value under a key.
func Value(key snapshot.EvidenceKey, value string) snapshot.MachineEvidence {
	return snapshot.MachineEvidence{Key: key, Value: value}
}
