package components

import (
	"errors"
	"io/fs"
	"net"
	"net/url"
	"os"
	"path"
	"strconv"
	"strings"

	corev1 "k8s.io/api/core/v1"

	"github.com/maek-dev/maek/internal/monitors/processes"
	"github.com/maek-dev/maek/internal/monitors/staticpods"
)

// part is one program that should run here.
type part struct {
	name string
	from string
	// base is the scheme and address; live, older and ready are paths of pages: older is asked where
	// live is not there.
	base, live, older, ready string
	// processes of its name.
	processes int
	// flags of its static pod, where there is one.
	flags map[string]string
}

// catalog is where each part answers, with the ports it has by default
// (k8s.io/kubernetes/pkg/cluster/ports; k8s.io/kubernetes/cmd/kubeadm/app/constants). Of kube-proxy /healthz fails on
// purpose while its node is being removed (https://kep.k8s.io/3836), so that /livez is asked.
var catalog = []part{
	{name: "etcd", base: "http://127.0.0.1:2381", live: "/health", ready: "/readyz"},
	{name: "kube-apiserver", base: "https://127.0.0.1:6443", live: "/livez", older: "/healthz", ready: "/readyz?verbose"},
	{name: "kube-controller-manager", base: "https://127.0.0.1:10257", live: "/healthz"},
	{name: "kube-proxy", base: "http://127.0.0.1:10256", live: "/livez", older: "/healthz"},
	{name: "kube-scheduler", base: "https://127.0.0.1:10259", live: "/healthz"},
}

// unitFolders are where units are installed (systemd.unit(5), System Unit Search Path).
var unitFolders = []string{"/etc/systemd/system", "/run/systemd/system", "/usr/local/lib/systemd/system", "/usr/lib/systemd/system", "/lib/systemd/system"}

// podLogs is where the kubelet keeps the logs of containers
// (k8s.io/kubernetes/pkg/kubelet/kuberuntime, podLogsRootDirectory).
const podLogs = "/var/log/pods"

// expected returns the parts that this machine should run.
func (w *watcher) expected() ([]part, error) {
	var (
		manifests []staticpods.Manifest
		errs      []error
	)
	if folder := w.folder(); folder != "" {
		var err error
		if manifests, _, err = w.manifests.Read(folder); err != nil {
			errs = append(errs, err)
		}
	}
	running, err := w.processes()
	if err != nil {
		errs = append(errs, err)
	}
	var out []part
	for _, p := range catalog {
		p.processes = running[comm(p.name)]
		if m, ok := manifestOf(manifests, p.name); ok {
			p.from = m.Path
			p.configured(m.Pod)
		} else if unit := w.unit(p.name); unit != "" {
			p.from = unit
			if p.name == "etcd" {
				p.base = "" // Where a unit's etcd answers is the etcd monitor's to find.
			}
		} else if p.name == "kube-proxy" && (p.processes > 0 || w.logged(p.name)) {
			p.from = "its pod"
		} else {
			continue
		}
		if p.base != "" {
			out = append(out, p)
		}
	}
	return out, errors.Join(errs...)
}

// manifestOf finds the manifest that defines a component, or one of its name that cannot be read.
func manifestOf(manifests []staticpods.Manifest, name string) (staticpods.Manifest, bool) {
	for _, m := range manifests {
		if m.Component() && m.Pod.Name == name || m.Refused != nil && path.Base(m.Path) == name+".yaml" {
			return m, true
		}
	}
	return staticpods.Manifest{}, false
}

// configured takes the address from where the kubelet's own probe asks, and from etcd's flags.
func (p *part) configured(pod *corev1.Pod) {
	if pod == nil {
		return
	}
	m := staticpods.Manifest{Pod: pod}
	p.flags = m.Flags()
	c := pod.Spec.Containers[0]
	for _, probe := range []*corev1.Probe{c.LivenessProbe, c.ReadinessProbe} {
		if probe == nil || probe.HTTPGet == nil {
			continue
		}
		port := probe.HTTPGet.Port.IntValue()
		for _, named := range c.Ports {
			if named.Name == probe.HTTPGet.Port.StrVal && named.Name != "" {
				port = int(named.ContainerPort)
			}
		}
		host := probe.HTTPGet.Host
		if host == "" {
			host = "127.0.0.1" // The kubelet asks the pod's address, which on the host's network is the machine.
		}
		if port != 0 {
			p.base = strings.ToLower(string(probe.HTTPGet.Scheme)) + "://" + net.JoinHostPort(host, strconv.Itoa(port))
			return
		}
	}
	if first, _, _ := strings.Cut(p.flags["--listen-metrics-urls"], ","); first != "" {
		if u, err := url.Parse(first); err == nil && u.Host != "" {
			p.base = u.Scheme + "://" + u.Host
		}
	}
}

// unit is the unit of a component; empty where none is installed, or it is masked.
func (w *watcher) unit(name string) string {
	for _, folder := range unitFolders {
		at, err := w.host.Path(path.Join(folder, name+".service"))
		if err != nil {
			continue
		}
		if info, err := os.Stat(at); err == nil && info.Mode().IsRegular() && info.Size() > 0 {
			return name + ".service"
		}
	}
	return ""
}

// logged tells whether a pod of the component has run here.
func (w *watcher) logged(name string) bool {
	folders, err := podFolders(w.host, name)
	return err == nil && len(folders) > 0
}

// comm is a program's name as the kernel keeps it (TASK_COMM_LEN of linux/sched.h).
func comm(name string) string { return name[:min(len(name), 15)] }

// processes counts the machine's processes by name.
func (w *watcher) processes() (map[string]int, error) {
	all, err := processes.All(w.host)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	out := map[string]int{}
	for p := range all {
		if name := p.Name(); name != "" {
			out[name]++
		}
	}
	return out, nil
}
