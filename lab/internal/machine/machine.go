package machine

import (
	"path/filepath"

	"github.com/maek-dev/maek/lab/internal/cgroup"
	"github.com/maek-dev/maek/lab/internal/network"
	"github.com/maek-dev/maek/lab/internal/state"
)

// Machine is one machine of the lab, on or off.
type Machine struct {
	Spec
	// Directory is the state directory of the lab.
	Directory state.Directory
	// Layout is where the control groups are.
	Layout cgroup.Layout
	// Disks are the machine's disks.
	Disks []Disk
	// Binds are host folders that the machine sees.
	Binds []Bind
}

// Bind is a host folder that a machine sees.
type Bind struct {
	// Host and Machine are the absolute paths.
	Host    string `json:"host"`
	Machine string `json:"machine"`
	// ReadOnly says that the machine cannot write there.
	ReadOnly bool `json:"readOnly,omitempty"`
}

// path returns a path in the machine's part of the state directory.
func (m *Machine) path(elem ...string) string {
	return m.Directory.Path(append([]string{"machines", m.Name}, elem...)...)
}

// RootPath returns the host path of a file in the machine's root.
func (m *Machine) RootPath(file string) string { return filepath.Join(m.path("root"), file) }

// ConsolePath is the host file with what the machine wrote to its console.
func (m *Machine) ConsolePath() string { return m.path("console.log") }

// Group is the name of the machine's control group.
func (m *Machine) Group() string { return network.Namespace(m.Name) }
