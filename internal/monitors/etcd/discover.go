package etcd

import (
	"cmp"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"path"
	"slices"
	"strconv"
	"strings"

	"sigs.k8s.io/yaml"

	"github.com/maek-dev/maek/internal/monitor"
	"github.com/maek-dev/maek/internal/monitors/processes"
)

// The places in which etcd is configured on a machine, in the words of the evidence.
const (
	fromStaticPod = "static pod"
	fromProcess   = "process"
	fromUnit      = "unit"
	fromFile      = "configuration file"
	fromAPIServer = "kube-apiserver"
)

const (
	// smallFile bounds the manifests and settings that are read.
	smallFile = 256 << 10
)

// manifests are where kubelets keep static pods: kubeadm's folder and RKE2's
// (https://docs.rke2.io/reference/cluster_access, agent/pod-manifests).
var manifests = []string{"/etc/kubernetes/manifests", "/var/lib/rancher/rke2/agent/pod-manifests"}

// environmentFiles are where systemd units of distributions and installers take etcd's settings from:
// CentOS and Fedora, Debian, Kubespray.
var environmentFiles = []string{"/etc/etcd/etcd.conf", "/etc/default/etcd", "/etc/etcd.env"}

// configurationFiles are what k3s and RKE2 give the etcd that they start, and where etcd's own units
// keep it (https://docs.k3s.io/cli/etcd-snapshot; k3s/pkg/etcd/etcd.go, configFile).
var configurationFiles = []string{
	"/var/lib/rancher/rke2/server/db/etcd/config", "/var/lib/rancher/k3s/server/db/etcd/config", "/etc/etcd/etcd.conf.yml", "/etc/etcd/etcd.conf.yaml",
}

// program is a program as it is configured on a machine.
type program struct {
	// source is one of the places above.
	source string
	// path of the file that says so; a process's number where it was read from one.
	path  string
	flags flags
}

// found is what a machine's files and processes say about etcd.
type found struct {
	// etcd on this machine; nil where none is configured.
	etcd *program
	// server is this machine's kube-apiserver; nil where there is none.
	server *program
}

// none tells that nothing on the machine has to do with etcd.
func (f found) none() bool {
	return f.etcd == nil && (f.server == nil || len(f.server.flags.list("etcd-servers")) == 0)
}

// discover reads how etcd and kube-apiserver are configured. Processes are only looked through where
// files say nothing and the caller asks for it, for there can be thousands.
func discover(host monitor.Host, processes bool) (found, error) {
	var out found
	var errs []error
	for _, folder := range manifests {
		errs = append(errs, out.readManifests(host, folder))
	}
	if out.etcd == nil {
		errs = append(errs, out.readSettings(host))
	}
	if processes && (out.etcd == nil || out.server == nil) {
		errs = append(errs, out.readProcesses(host))
	}
	if out.etcd != nil {
		errs = append(errs, out.etcd.readConfigFile(host))
	}
	return out, errors.Join(errs...)
}

func (f *found) readManifests(host monitor.Host, folder string) error {
	entries, err := host.ReadDir(folder)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("listing %s: %w", folder, err)
	}
	var errs []error
	for _, e := range entries {
		// The kubelet reads every file but those whose names begin with a dot
		// (k8s.io/kubernetes/pkg/kubelet/config/file.go, extractFromDir).
		if e.IsDir() || strings.HasPrefix(e.Name(), ".") {
			continue
		}
		name := path.Join(folder, e.Name())
		data, err := host.ReadFile(name, smallFile)
		if err != nil {
			errs = append(errs, fmt.Errorf("reading the manifest %s: %w", name, err))
			continue
		}
		f.readManifest(name, data)
	}
	return errors.Join(errs...)
}

// readManifest takes what it needs of a manifest. One that is none is for those who read static pods.
func (f *found) readManifest(name string, data []byte) {
	var pod struct {
		Spec struct {
			Containers []struct {
				Command []string `json:"command"`
				Args    []string `json:"args"`
				Env     []struct {
					Name  string `json:"name"`
					Value string `json:"value"`
				} `json:"env"`
			} `json:"containers"`
		} `json:"spec"`
	}
	if yaml.Unmarshal(data, &pod) != nil {
		return
	}
	for _, c := range pod.Spec.Containers {
		argv := slices.Concat(c.Command, c.Args)
		if got, ok := commandFlags(argv, "etcd"); ok && f.etcd == nil {
			var lines []string
			for _, e := range c.Env {
				lines = append(lines, e.Name+"="+e.Value)
			}
			f.etcd = &program{fromStaticPod, name, over(environmentFlags(lines), got)}
		}
		if got, ok := commandFlags(argv, "kube-apiserver"); ok && f.server == nil {
			f.server = &program{fromStaticPod, name, got}
		}
	}
}

// over lays what a command says over what its environment does.
func over(below, above flags) flags {
	maps.Copy(below, above)
	return below
}

func (f *found) readSettings(host monitor.Host) error {
	for _, name := range environmentFiles {
		data, err := host.ReadFile(name, smallFile)
		if errors.Is(err, fs.ErrNotExist) {
			continue
		}
		if err != nil {
			return fmt.Errorf("reading %s: %w", name, err)
		}
		if got := environmentFlags(strings.Split(string(data), "\n")); len(got) > 0 {
			f.etcd = &program{fromUnit, name, got}
			return nil
		}
	}
	for _, name := range configurationFiles {
		data, err := host.ReadFile(name, smallFile)
		if errors.Is(err, fs.ErrNotExist) {
			continue
		}
		if err != nil {
			return fmt.Errorf("reading %s: %w", name, err)
		}
		got, err := fileFlags(data)
		if err != nil {
			return fmt.Errorf("reading %s: %w", name, err)
		}
		f.etcd = &program{fromFile, name, got}
		return nil
	}
	return nil
}

// readConfigFile lays the flags of etcd over its configuration file, where it has one. etcd itself
// ignores the flags then (go.etcd.io/etcd/server/etcdmain/config.go, configFromFile).
func (p *program) readConfigFile(host monitor.Host) error {
	name := p.flags["config-file"]
	if name == "" {
		return nil
	}
	data, err := host.ReadFile(name, smallFile)
	if err != nil {
		return fmt.Errorf("reading etcd's configuration %s: %w", name, err)
	}
	got, err := fileFlags(data)
	if err != nil {
		return fmt.Errorf("reading etcd's configuration %s: %w", name, err)
	}
	p.flags = got
	return nil
}

func (f *found) readProcesses(host monitor.Host) error {
	all, err := processes.All(host)
	if err != nil {
		return err
	}
	for p := range all {
		argv, number := p.Command(), strconv.Itoa(p.ID)
		if got, ok := commandFlags(argv, "etcd"); ok && f.etcd == nil {
			// Where its environment cannot be read, flags are enough.
			f.etcd = &program{fromProcess, number, over(environmentFlags(p.Environment()), got)}
		}
		if got, ok := commandFlags(argv, "kube-apiserver"); ok && f.server == nil {
			f.server = &program{fromProcess, number, got}
		}
		if f.etcd != nil && f.server != nil {
			break
		}
	}
	return nil
}

// processState tells how the process of etcd is: "none", or the letter of its state (processes.Process).
func processState(host monitor.Host, etcd *program) (string, error) {
	all, err := processes.All(host)
	if err != nil {
		return "", err
	}
	for p := range all {
		got, ok := commandFlags(p.Command(), "etcd")
		if !ok || cmp.Or(got["name"], etcd.flags["name"]) != etcd.flags["name"] {
			continue
		}
		if state := p.State(); state != "" {
			return state, nil
		}
	}
	return "none", nil
}
