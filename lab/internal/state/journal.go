package state

import (
	"bufio"
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"slices"
	"sync"
)

// Kind says how a resource is undone.
type Kind string

// The kinds of resources that the lab makes outside its state directory, or inside it in a way that removing the
// directory does not undo.
const (
	// KindCgroup is a control group; its name is an absolute path. Undoing it kills every process in it.
	KindCgroup Kind = "cgroup"
	// KindMount is a mount; its name is the absolute path of the mount point.
	KindMount Kind = "mount"
	// KindNamespace is a named network namespace; its name is what `ip netns` calls it.
	KindNamespace Kind = "namespace"
	// KindDirectory is a directory that is removed with all that is in it; its name is an absolute path.
	KindDirectory Kind = "directory"
)

// Resource is one thing that the lab makes and that has to be undone.
type Resource struct {
	Kind Kind   `json:"kind"`
	Name string `json:"name"`
}

// Journal is an append-only list of resources on disk. It is safe for use by several goroutines.
type Journal struct {
	mu       sync.Mutex
	file     *os.File
	recorded map[Resource]bool
}

// OpenJournal opens the journal at path, which is created when absent.
func OpenJournal(path string) (*Journal, error) {
	recorded, err := ReadJournal(path)
	if err != nil {
		return nil, err
	}
	file, err := os.OpenFile(path, os.O_CREATE|os.O_WRONLY|os.O_APPEND|os.O_SYNC, 0o600)
	if err != nil {
		return nil, fmt.Errorf("opening the journal: %w", err)
	}
	j := &Journal{file: file, recorded: make(map[Resource]bool)}
	for _, r := range recorded {
		j.recorded[r] = true
	}
	// A line that a crash cut short would swallow the next one.
	if _, err := file.WriteString("\n"); err != nil {
		return nil, errors.Join(fmt.Errorf("writing the journal: %w", err), file.Close())
	}
	return j, nil
}

// Record writes resources to disk. It returns after they are on disk; only then may they be made.
func (j *Journal) Record(resources ...Resource) error {
	j.mu.Lock()
	defer j.mu.Unlock()
	var lines bytes.Buffer
	for _, r := range resources {
		if j.recorded[r] {
			continue
		}
		line, err := json.Marshal(r)
		if err != nil {
			return fmt.Errorf("encoding the resource %s %s: %w", r.Kind, r.Name, err)
		}
		lines.Write(line)
		lines.WriteByte('\n')
	}
	if lines.Len() == 0 {
		return nil
	}
	if _, err := j.file.Write(lines.Bytes()); err != nil {
		return fmt.Errorf("writing the journal: %w", err)
	}
	for _, r := range resources {
		j.recorded[r] = true
	}
	return nil
}

// Close closes the file of the journal.
func (j *Journal) Close() error {
	return j.file.Close()
}

// ReadJournal returns the resources recorded at path in the order in which they were recorded. An absent file is an
// empty journal. A line cut short by a crash is left out: its resource was not made yet.
func ReadJournal(path string) ([]Resource, error) {
	content, err := os.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("reading the journal: %w", err)
	}
	var resources []Resource
	scanner := bufio.NewScanner(bytes.NewReader(content))
	for scanner.Scan() {
		var r Resource
		if json.Unmarshal(scanner.Bytes(), &r) != nil || r.Name == "" {
			continue
		}
		if !slices.Contains(resources, r) {
			resources = append(resources, r)
		}
	}
	if err := scanner.Err(); err != nil {
		return nil, fmt.Errorf("reading the journal: %w", err)
	}
	return resources, nil
}
