package cluster

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"github.com/maek-dev/maek/lab/internal/cgroup"
	"github.com/maek-dev/maek/lab/internal/command"
	"github.com/maek-dev/maek/lab/internal/component"
	"github.com/maek-dev/maek/lab/internal/machine"
	"github.com/maek-dev/maek/lab/internal/progress"
	"github.com/maek-dev/maek/lab/internal/state"
)

// StoragePath is where every machine sees the folder that all of them share.
const StoragePath = "/srv/shared"

// programsPath is where every machine sees the cache of built programs.
const programsPath = "/opt/lab"

// Lab is a lab that is being made or is there.
type Lab struct {
	Description
	// Directory is the state directory.
	Directory state.Directory
	// Journal records what is made; nil for commands that make nothing.
	Journal *state.Journal
	// Layout is where the host's control groups are.
	Layout cgroup.Layout
	// Programs has the components.
	Programs *component.Cache
	// Progress tells what is done.
	Progress *progress.Printer
}

// KubeconfigPath is the administrator's credentials for use on the host.
func (l *Lab) KubeconfigPath() string { return l.Directory.Path("kubeconfig") }

// BinPath is a host folder with the lab's kubectl and the like.
func (l *Lab) BinPath() string { return l.Directory.Path("bin") }

// Machine returns the machine of that name.
func (l *Lab) Machine(name string) (*machine.Machine, error) {
	var names []string
	for _, spec := range l.Machines {
		if spec.Name == name {
			return l.machine(spec), nil
		}
		names = append(names, spec.Name)
	}
	return nil, fmt.Errorf("there is no machine %q; there are %s", name, strings.Join(names, ", "))
}

func (l *Lab) machine(spec machine.Spec) *machine.Machine {
	return &machine.Machine{
		Spec:      spec,
		Directory: l.Directory,
		Layout:    l.Layout,
		Disks:     machine.Disks(spec.Role, l.Docker),
		Binds: []machine.Bind{
			{Host: l.Programs.Dir, Machine: programsPath, ReadOnly: true},
			{Host: l.Directory.Path("storage"), Machine: StoragePath},
		},
	}
}

// Kubectl runs kubectl on the host, as the cluster's administrator and by the host's way in.
func (l *Lab) Kubectl(ctx context.Context, input string, args ...string) (string, error) {
	kubectl, err := l.Programs.Path("kubectl")
	if err != nil {
		return "", err
	}
	out, err := command.Run(ctx, command.Command{
		Args:  append([]string{kubectl, "--kubeconfig", l.KubeconfigPath()}, args...),
		Shown: append([]string{"kubectl"}, args...),
		Stdin: strings.NewReader(input),
	})
	return strings.TrimSpace(string(out)), err
}

// machineProgram returns where machines see a built program.
func (l *Lab) machineProgram(name string) (string, error) {
	path, err := l.Programs.Path(name)
	if err != nil {
		return "", err
	}
	relative, err := filepath.Rel(l.Programs.Dir, path)
	if err != nil {
		return "", fmt.Errorf("finding %s in the cache: %w", name, err)
	}
	return filepath.Join(programsPath, relative), nil
}

// linkPrograms makes the folder that `lab env` puts into PATH.
func (l *Lab) linkPrograms() error {
	if err := os.MkdirAll(l.BinPath(), 0o755); err != nil {
		return fmt.Errorf("making the folder of programs: %w", err)
	}
	for _, program := range []string{"kubectl", "etcdctl", "crictl"} {
		target, err := l.Programs.Path(program)
		if err != nil {
			return err
		}
		if err := os.Symlink(target, filepath.Join(l.BinPath(), program)); err != nil && !errors.Is(err, os.ErrExist) {
			return fmt.Errorf("linking %s: %w", program, err)
		}
	}
	return nil
}
