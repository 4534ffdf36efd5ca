package cni

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path"
	"regexp"
	"slices"
	"strings"
	"time"

	"github.com/maek-dev/maek/internal/monitor"
	"github.com/maek-dev/maek/internal/snapshot"
)

// Where runtimes look unless they are told otherwise (containerd, internal/cri/config; cri-o, pkg/config).
const (
	configFolder = "/etc/cni/net.d"
	// kubeletFolder is on every machine that runs pods.
	kubeletFolder = "/var/lib/kubelet"
)

// containerdConfigs are where containerd's configuration is: the usual place, and those of distributions
// that bring their own containerd.
var containerdConfigs = []string{
	"/etc/containerd/config.toml", "/var/lib/rancher/k3s/agent/etc/containerd/config.toml", "/var/lib/rancher/rke2/agent/etc/containerd/config.toml",
}

// ownLayouts are folders of distributions that keep configurations elsewhere, and say where in ways of their own.
var ownLayouts = []string{"/var/snap/microk8s", "/var/lib/k0s"}

// programFolders are where distributions put plugins.
var programFolders = []string{"/opt/cni/bin", "/usr/lib/cni", "/usr/libexec/cni"}

// toldFolder finds the folders that containerd was told of: bin_dir, bin_dirs and conf_dir of its CRI plugin.
var toldFolder = regexp.MustCompile(`(?m)^\s*(bin_dirs?|conf_dir)\s*=\s*(.+)$`)

// quoted finds the texts of a TOML value.
var quoted = regexp.MustCompile(`["']([^"']+)["']`)

// watch is the monitor of a host.
type watch struct{ host monitor.Host }

// New makes the monitor of a host.
func New(host monitor.Host) monitor.Monitor {
	return monitor.Monitor{
		Name:     "cni",
		Doc:      "Network plugins' configurations in /etc/cni/net.d, their programs, and the addresses that host-local gave out.",
		Keys:     keys(),
		Requires: []monitor.Privilege{monitor.HostFiles},
		Observe:  watch{host}.observe,
	}
}

func (w watch) observe(context.Context) ([]snapshot.MachineEvidence, error) {
	if _, err := w.host.ReadDir(kubeletFolder); errors.Is(err, fs.ErrNotExist) {
		return nil, nil // No pods here, and so no plugins.
	}
	for _, layout := range ownLayouts {
		if _, err := w.host.ReadDir(layout); err == nil {
			return nil, nil
		}
	}
	folder, programs := w.folders()
	var errs []error
	out, first, err := w.configurations(folder)
	errs = append(errs, err)
	if first != nil {
		out = append(out, w.programs(first, programs)...)
	}
	given, err := w.given(first)
	return append(out, given...), errors.Join(append(errs, err)...)
}

// folders are where this machine's runtime looks for configurations and programs.
func (w watch) folders() (config string, programs []string) {
	config, programs = configFolder, slices.Clone(programFolders)
	for _, file := range containerdConfigs {
		data, err := w.host.ReadFile(file, fileBytes)
		if err != nil {
			continue // Not containerd, or one that was told nothing.
		}
		for _, m := range toldFolder.FindAllSubmatch(data, -1) {
			for _, folder := range quoted.FindAllSubmatch(m[2], -1) {
				if string(m[1]) == "conf_dir" {
					config = string(folder[1])
				} else {
					programs = append(programs, string(folder[1]))
				}
			}
		}
	}
	return config, programs
}

// fileBytes bounds a configuration.
const fileBytes = 1 << 20

// endings are those of the files that runtimes take for configurations (containernetworking/cni,
// libcni/api.go; go-cni, opts.go).
var endings = []string{".conf", ".conflist", ".json"}

// configurations tells of every configuration, and returns the one that runtimes take.
func (w watch) configurations(folder string) ([]snapshot.MachineEvidence, *configuration, error) {
	entries, err := w.host.ReadDir(folder)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, nil, fmt.Errorf("listing network plugins' configurations: %w", err)
	}
	out := []snapshot.MachineEvidence{monitor.Value("cni/folder", folder)}
	var errs []error
	var first *configuration
	count := 0
	for _, e := range entries { // By name, as runtimes sort them.
		if e.IsDir() || !slices.Contains(endings, path.Ext(e.Name())) {
			continue
		}
		data, err := w.host.ReadFile(path.Join(folder, e.Name()), fileBytes)
		if errors.Is(err, fs.ErrNotExist) {
			continue // It was taken away meanwhile, or is a link to nowhere, which runtimes skip.
		}
		if err != nil {
			errs = append(errs, fmt.Errorf("reading a network plugin's configuration: %w", err))
			continue
		}
		count++
		c := parse(e.Name(), data)
		if info, err := e.Info(); err == nil {
			c.written = info.ModTime()
		}
		out = append(out, c.evidence()...)
		if first == nil {
			first = &c
			out = append(out, monitor.Since(monitor.Value("cni/first", c.file), c.written))
		}
	}
	total := monitor.Int("cni/configurations", count)
	return append(out, monitor.Since(total, w.modified(folder))), first, errors.Join(errs...)
}

// modified is when a folder last got or lost a file; zero where nobody can say.
func (w watch) modified(folder string) time.Time {
	at, err := w.host.Path(folder)
	if err != nil {
		return time.Time{}
	}
	info, err := os.Stat(at)
	if err != nil {
		return time.Time{}
	}
	return info.ModTime()
}

// programs tells which programs are nowhere that the configuration names.
func (w watch) programs(c *configuration, folders []string) []snapshot.MachineEvidence {
	var out []snapshot.MachineEvidence
	for _, name := range c.programs() {
		if !slices.ContainsFunc(folders, func(folder string) bool {
			at, err := w.host.Path(path.Join(folder, name))
			if err != nil {
				return false
			}
			_, err = os.Stat(at)
			return err == nil
		}) {
			out = append(out, monitor.Value(snapshot.KeyOf("cni", "program-missing", name), strings.Join(folders, " ")))
		}
	}
	return out
}
