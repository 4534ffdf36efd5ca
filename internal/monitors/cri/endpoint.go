package cri

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path"
	"strings"
	"time"

	"sigs.k8s.io/yaml"

	"github.com/maek-dev/maek/internal/monitors/processes"
)

// The sources of a socket's path.
const (
	fromConfiguration = "kubelet configuration"
	fromArguments     = "kubelet arguments"
	fromKnown         = "known socket"
)

const (
	smallFile = 256 << 10
	// searchEvery is how often processes are looked through while files name no socket.
	searchEvery = 5 * time.Minute
)

// knownSockets are the runtimes' defaults: containerd, CRI-O and cri-dockerd as kubeadm looks for them
// (k8s.io/kubernetes/cmd/kubeadm/app/constants/constants_unix.go), and the containerd of k3s and RKE2.
var knownSockets = []string{"/run/containerd/containerd.sock", "/run/crio/crio.sock", "/run/cri-dockerd.sock", "/run/k3s/containerd/containerd.sock"}

// configurations are files with a KubeletConfiguration, the last that names a socket wins: kubeadm
// writes what differs between machines into the second.
var configurations = []string{"/var/lib/kubelet/config.yaml", "/var/lib/kubelet/instance-config.yaml"}

// argumentFiles are where installers put the kubelet's flags.
var argumentFiles = []string{"/var/lib/kubelet/kubeadm-flags.env", "/etc/default/kubelet", "/etc/sysconfig/kubelet"}

// endpoint finds the runtime's socket; empty where the machine has none.
func (w *watcher) endpoint() (socket, source string, err error) {
	var errs []error
	for _, name := range configurations {
		data, err := w.host.ReadFile(name, smallFile)
		if err != nil {
			errs = append(errs, unlessAbsent(name, err))
			continue
		}
		var file struct {
			Endpoint string `json:"containerRuntimeEndpoint"`
		}
		if err := yaml.Unmarshal(data, &file); err != nil {
			// That the kubelet's configuration is broken is said by those who watch the kubelet.
			continue
		}
		if path, ok := unixPath(file.Endpoint); ok {
			socket, source = path, fromConfiguration
		}
	}
	if socket != "" {
		return socket, source, errors.Join(errs...)
	}
	for _, name := range argumentFiles {
		data, err := w.host.ReadFile(name, smallFile)
		if err != nil {
			errs = append(errs, unlessAbsent(name, err))
			continue
		}
		if path, ok := endpointFlag(strings.FieldsFunc(string(data), func(r rune) bool { return strings.ContainsRune(" \t\n\"'", r) })); ok {
			return path, fromArguments, errors.Join(errs...)
		}
	}
	if w.searched.IsZero() || w.now.Sub(w.searched) >= searchEvery {
		w.searched = w.now
		w.argument, err = w.kubeletArgument()
		errs = append(errs, err)
	}
	if w.argument != "" {
		return w.argument, fromArguments, errors.Join(errs...)
	}
	for _, known := range knownSockets {
		reached, err := w.host.Path(known)
		if err != nil {
			continue
		}
		if _, err := os.Stat(reached); err == nil {
			return known, fromKnown, errors.Join(errs...)
		}
	}
	return "", "", errors.Join(errs...)
}

func unlessAbsent(name string, err error) error {
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	return fmt.Errorf("reading which container runtime the kubelet uses from %s: %w", name, err)
}

// unixPath is the path in an endpoint; the kubelet takes one without a scheme too.
func unixPath(endpoint string) (string, bool) {
	p := strings.TrimPrefix(endpoint, "unix://")
	return p, path.IsAbs(p)
}

func endpointFlag(args []string) (string, bool) {
	const name = "container-runtime-endpoint"
	for i, a := range args {
		flag := a[strings.Index(a, "-")+1:]
		flag = strings.TrimLeft(flag, "-")
		if value, ok := strings.CutPrefix(flag, name+"="); ok {
			return unixPath(value)
		}
		if flag == name && i+1 < len(args) {
			return unixPath(args[i+1])
		}
	}
	return "", false
}

// kubeletArgument is the socket that a running kubelet was given; empty where there is none.
func (w *watcher) kubeletArgument() (string, error) {
	all, err := processes.All(w.host)
	if err != nil {
		return "", err
	}
	for p := range all {
		argv := p.Command()
		if len(argv) == 0 || path.Base(argv[0]) != "kubelet" {
			continue
		}
		if socket, ok := endpointFlag(argv[1:]); ok {
			return socket, nil
		}
	}
	return "", nil
}
