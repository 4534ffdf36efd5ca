package journal

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"github.com/maek-dev/maek/internal/monitor"
)

// The folders of persistent and of volatile journals (systemd-journald.service(8)).
const (
	persistentFolder = "/var/log/journal"
	volatileFolder   = "/run/log/journal"
)

// ErrNone is returned where a machine keeps no journal at all.
var ErrNone = errors.New("the machine keeps no systemd journal")

// Journal is the journal of a host.
type Journal struct {
	host monitor.Host
}

// Of is the journal of a host. Nothing is read yet.
func Of(host monitor.Host) *Journal { return &Journal{host: host} }

// found is a file of the journal, as its folder lists it.
type found struct {
	path string
	info fs.FileInfo
}

// Persistent tells whether the journal outlives a reboot. ErrNone is returned where there is none.
func (j *Journal) Persistent() (bool, error) {
	files, err := j.list()
	for _, f := range files {
		if strings.HasPrefix(f.path, filepath.Join(j.host.Root, persistentFolder)+string(filepath.Separator)) {
			return true, nil
		}
	}
	return false, err
}

// list names the journal files of the machine. What could not be listed is an error beside those
// that could.
func (j *Journal) list() ([]found, error) {
	machine := j.machineID()
	var out []found
	var errs []error
	for _, folder := range []string{persistentFolder, volatileFolder} {
		ids, err := j.host.ReadDir(folder)
		if errors.Is(err, fs.ErrNotExist) {
			continue
		}
		if err != nil {
			errs = append(errs, fmt.Errorf("listing %s: %w", folder, err))
			continue
		}
		for _, d := range ids {
			// Folders of other machines are journals sent here, or left by an image's first life.
			if _, err := ParseID(d.Name()); err != nil || machine != "" && d.Name() != machine {
				continue
			}
			files, err := j.files(folder + "/" + d.Name())
			if err != nil {
				errs = append(errs, err)
			}
			out = append(out, files...)
		}
	}
	if len(out) == 0 && len(errs) == 0 {
		return nil, ErrNone
	}
	return out, errors.Join(errs...)
}

func (j *Journal) files(folder string) ([]found, error) {
	path, err := j.host.Path(folder)
	if err != nil {
		return nil, err
	}
	entries, err := os.ReadDir(path)
	if err != nil {
		return nil, fmt.Errorf("listing %s: %w", folder, err)
	}
	var out []found
	for _, e := range entries {
		// "system.journal~" is one that was not closed in order: its last entries may be of a crash.
		if name := strings.TrimSuffix(e.Name(), "~"); !strings.HasSuffix(name, ".journal") || !e.Type().IsRegular() {
			continue
		}
		info, err := e.Info()
		if err != nil {
			continue // vacuumed meanwhile
		}
		out = append(out, found{path: filepath.Join(path, e.Name()), info: info})
	}
	return out, nil
}

// machineID is the name of the machine's own folder; empty where it is not known.
func (j *Journal) machineID() string {
	data, err := j.host.ReadFile("/etc/machine-id", 64)
	if err != nil {
		return ""
	}
	id, err := ParseID(strings.TrimSpace(string(data)))
	if err != nil {
		return ""
	}
	return id.String()
}
