//go:build linux

package filesystems

import (
	"encoding/json"
	"os"
	"path/filepath"
	"regexp"
	"strings"

	"github.com/maek-dev/maek/internal/monitor"
)

// The roles of places.
const (
	roleRoot    = "root"
	roleTmp     = "tmp"
	roleRun     = "run"
	roleKubelet = "kubelet"
	roleImages  = "images"
	roleEtcd    = "etcd"
	roleLogs    = "logs"
	roleBoot    = "boot"
)

// place is a folder that matters for what is kept in it.
type place struct {
	// path as people know it, real with its symbolic links followed.
	path, real string
	role       string
}

// usual are the places that machines have unless they are configured otherwise.
var usual = []place{
	{path: "/", role: roleRoot},
	{path: "/tmp", role: roleTmp},
	{path: "/var/tmp", role: roleTmp},
	{path: "/run", role: roleRun},
	{path: "/var/log", role: roleLogs},
	{path: "/boot", role: roleBoot},
	{path: "/var/lib/kubelet", role: roleKubelet},
	{path: "/var/lib/containerd", role: roleImages},
	{path: "/var/lib/docker", role: roleImages},
	{path: "/var/lib/containers/storage", role: roleImages},
	{path: "/var/lib/etcd", role: roleEtcd},
	{path: "/var/lib/rancher/k3s/agent/containerd", role: roleImages},
	{path: "/var/lib/rancher/rke2/agent/containerd", role: roleImages},
	{path: "/var/lib/rancher/k3s/server/db", role: roleEtcd},
	{path: "/var/lib/rancher/rke2/server/db", role: roleEtcd},
}

// settings are the lines of configuration files that move a place, each read up to settingsLimit bytes.
var settings = []struct {
	file, role string
	line       *regexp.Regexp
}{
	// A key before the first table of a TOML file belongs to the file.
	{"/etc/containerd/config.toml", roleImages, regexp.MustCompile(`\A(?:\s*(?:#[^\n]*|[^\[\n]*)\n)*?root\s*=\s*["']([^"']+)["']`)},
	{"/etc/crio/crio.conf", roleImages, regexp.MustCompile(`(?m)^\s*root\s*=\s*"([^"]+)"`)},
	{"/etc/containers/storage.conf", roleImages, regexp.MustCompile(`(?m)^\s*graphroot\s*=\s*"([^"]+)"`)},
	{"/etc/kubernetes/manifests/etcd.yaml", roleEtcd, regexp.MustCompile(`--data-dir=["']?([^"'\s]+)`)},
	{"/etc/etcd.env", roleEtcd, regexp.MustCompile(`(?m)^\s*ETCD_DATA_DIR=["']?([^"'\s]+)`)},
	{"/etc/default/etcd", roleEtcd, regexp.MustCompile(`(?m)^\s*ETCD_DATA_DIR=["']?([^"'\s]+)`)},
	{"/etc/etcd/etcd.conf", roleEtcd, regexp.MustCompile(`(?m)^\s*ETCD_DATA_DIR=["']?([^"'\s]+)`)},
}

const settingsLimit = 256 << 10

// places are the folders that this machine has, with those that its configuration names.
func places(host monitor.Host) []place {
	known := map[string]place{}
	for _, p := range usual {
		known[p.path] = p
	}
	for _, s := range settings {
		if data, err := host.ReadFile(s.file, settingsLimit); err == nil {
			if found := s.line.FindSubmatch(data); found != nil {
				path := filepath.Clean(string(found[1]))
				known[path] = place{path: path, role: s.role}
			}
		}
	}
	if data, err := host.ReadFile("/etc/docker/daemon.json", settingsLimit); err == nil {
		var daemon struct {
			DataRoot string `json:"data-root"`
		}
		if json.Unmarshal(data, &daemon) == nil && daemon.DataRoot != "" {
			known[filepath.Clean(daemon.DataRoot)] = place{path: filepath.Clean(daemon.DataRoot), role: roleImages}
		}
	}
	var out []place
	for _, p := range known {
		reached, err := host.Path(p.path)
		if err != nil {
			continue
		}
		if info, err := os.Lstat(reached); err != nil || !info.IsDir() {
			continue
		}
		rel, err := filepath.Rel(host.Root, reached)
		if err != nil || strings.HasPrefix(rel, "..") {
			continue
		}
		p.real = filepath.Join("/", rel)
		out = append(out, p)
	}
	return out
}
