package kubelet

import (
	"cmp"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"os"
	"slices"
	"strconv"
	"strings"

	"github.com/maek-dev/maek/internal/monitor"
	"github.com/maek-dev/maek/internal/monitors/yamlfile"
	"github.com/maek-dev/maek/internal/snapshot"
)

// The kubelet's ports where its configuration says nothing
// (k8s.io/kubernetes/pkg/kubelet/apis/config/v1beta1/defaults.go; k8s.io/kubernetes/pkg/cluster/ports).
const (
	healthzPort = 10248
	serverPort  = 10250
)

// defaultConfig is where kubeadm has the kubelet's configuration
// (k8s.io/kubernetes/cmd/kubeadm/app/constants, KubeletConfigurationFileName).
const defaultConfig = "/var/lib/kubelet/config.yaml"

// fileLimit bounds the files that are read.
const fileLimit = 1 << 20

// settings are the part of a KubeletConfiguration that is told of (k8s.io/kubelet/config/v1beta1). The
// type itself would bring a logging and a metrics library into the agent. A value of the wrong type in
// another field is seen in what the kubelet says when it ends.
type settings struct {
	APIVersion               string            `json:"apiVersion"`
	Kind                     string            `json:"kind"`
	Address                  string            `json:"address"`
	Port                     int32             `json:"port"`
	HealthzBindAddress       string            `json:"healthzBindAddress"`
	HealthzPort              *int32            `json:"healthzPort"`
	StaticPodPath            string            `json:"staticPodPath"`
	ClusterDomain            string            `json:"clusterDomain"`
	ClusterDNS               []string          `json:"clusterDNS"`
	CgroupDriver             string            `json:"cgroupDriver"`
	ContainerRuntimeEndpoint string            `json:"containerRuntimeEndpoint"`
	MaxPods                  int32             `json:"maxPods"`
	EvictionHard             map[string]string `json:"evictionHard"`
	FailSwapOn               *bool             `json:"failSwapOn"`
	FailCgroupV1             *bool             `json:"failCgroupV1"`
	RotateCertificates       bool              `json:"rotateCertificates"`
	ServerTLSBootstrap       bool              `json:"serverTLSBootstrap"`
	ResolverConfig           *string           `json:"resolvConf"`
}

// group of the kubelet's configuration.
const group = "kubelet.config.k8s.io"

// healthz is where the kubelet answers for its health; empty where that is turned off.
func (s settings) healthz() string {
	port := int32(healthzPort)
	if s.HealthzPort != nil {
		port = *s.HealthzPort
	}
	if port == 0 {
		return ""
	}
	address := cmp.Or(s.HealthzBindAddress, "127.0.0.1")
	if ip := net.ParseIP(address); ip != nil && ip.IsUnspecified() {
		address = "127.0.0.1"
	}
	return net.JoinHostPort(address, strconv.Itoa(int(port)))
}

// server is where the kubelet takes the API server's calls.
func (s settings) server() string {
	address := cmp.Or(s.Address, "127.0.0.1")
	if ip := net.ParseIP(address); ip != nil && ip.IsUnspecified() {
		address = "127.0.0.1"
	}
	return net.JoinHostPort(address, strconv.Itoa(int(cmp.Or(s.Port, serverPort))))
}

// config reads the kubelet's configuration file.
func (w *watcher) config() (settings, []snapshot.MachineEvidence, error) {
	name := w.flag("config", defaultConfig)
	var s settings
	path, err := w.host.Path(name)
	if err != nil {
		return s, nil, err
	}
	info, err := os.Stat(path)
	if errors.Is(err, fs.ErrNotExist) {
		if len(w.argv) > 0 && w.flag("config", "") != "" {
			return s, []snapshot.MachineEvidence{monitor.Value("kubelet/config/path", name), monitor.Value("kubelet/config/error", "no such file")}, nil
		}
		return s, nil, nil
	}
	if err != nil {
		return s, nil, fmt.Errorf("reading the kubelet's configuration %s: %w", name, err)
	}
	out := []snapshot.MachineEvidence{monitor.Value("kubelet/config/path", name), monitor.Moment("kubelet/config/modified", info.ModTime())}
	if last := w.loaded; last.path == path && os.SameFile(last.info, info) && last.info.ModTime().Equal(info.ModTime()) && last.info.Size() == info.Size() {
		return last.settings, append(out, last.evidence...), nil
	}
	s, evidence, err := w.load(name)
	if err == nil {
		w.loaded = loaded{path, info, s, evidence}
	}
	return s, append(out, evidence...), err
}

// loaded is a configuration file as it was read, which is good until the file changes.
type loaded struct {
	path     string
	info     fs.FileInfo
	settings settings
	evidence []snapshot.MachineEvidence
}

// load reads the configuration file, and tells what is wrong with it.
func (w *watcher) load(name string) (s settings, out []snapshot.MachineEvidence, err error) {
	data, err := w.host.ReadFile(name, fileLimit)
	if err != nil {
		return s, out, fmt.Errorf("reading the kubelet's configuration %s: %w", name, err)
	}
	wrong, _ := yamlfile.Decode(data, &s)
	if wrong == nil && (s.Kind != "KubeletConfiguration" || !strings.HasPrefix(s.APIVersion, group+"/")) {
		wrong = &yamlfile.Mistake{Text: fmt.Sprintf("it is %q of %q, not a KubeletConfiguration of %s", s.Kind, s.APIVersion, group)}
	}
	if wrong != nil {
		out = append(out, monitor.Value("kubelet/config/error", wrong.Text))
		if wrong.Line > 0 {
			out = append(out, monitor.Int("kubelet/config/error-line", wrong.Line), monitor.Value("kubelet/config/error-text", wrong.Quote))
		}
		return settings{}, out, nil
	}
	if _, ignored := yamlfile.Decode(data, &map[string]any{}); ignored != nil {
		out = append(out, monitor.Value("kubelet/config/ignored", ignored.Text))
	}
	return s, append(out, s.evidence()...), nil
}

// evidence of the settings that matter to a node, as the file has them.
func (s settings) evidence() []snapshot.MachineEvidence {
	var out []snapshot.MachineEvidence
	text := func(name, value string) {
		if value != "" {
			out = append(out, monitor.Value(snapshot.KeyOf("kubelet", "setting", name), value))
		}
	}
	number := func(name string, value int32) {
		if value != 0 {
			text(name, strconv.Itoa(int(value)))
		}
	}
	truth := func(name string, value *bool) {
		if value != nil {
			text(name, strconv.FormatBool(*value))
		}
	}
	text("cgroupDriver", s.CgroupDriver)
	text("clusterDNS", strings.Join(s.ClusterDNS, ","))
	text("clusterDomain", s.ClusterDomain)
	text("containerRuntimeEndpoint", s.ContainerRuntimeEndpoint)
	text("staticPodPath", s.StaticPodPath)
	number("maxPods", s.MaxPods)
	number("port", s.Port)
	if s.HealthzPort != nil {
		text("healthzPort", strconv.Itoa(int(*s.HealthzPort)))
	}
	truth("failSwapOn", s.FailSwapOn)
	truth("failCgroupV1", s.FailCgroupV1)
	if s.RotateCertificates {
		text("rotateCertificates", "true")
	}
	if s.ServerTLSBootstrap {
		text("serverTLSBootstrap", "true")
	}
	var limits []string
	for signal, limit := range s.EvictionHard {
		limits = append(limits, signal+"<"+limit)
	}
	slices.Sort(limits)
	text("evictionHard", strings.Join(limits, ","))
	return out
}
