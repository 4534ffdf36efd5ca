// Package node says what a machine has to have on it to become a Kubernetes node: the files, with their contents, and the
// units that are enabled. It writes nothing itself.
package node

import (
	"bytes"
	"embed"
	"fmt"
	"maps"
	"net/netip"
	"slices"
	"text/template"

	"github.com/maek-dev/maek/lab/internal/network"
)

//go:embed files
var files embed.FS

// PodCIDR is where pods have their addresses.
const PodCIDR = "10.244.0.0/16"

// FlannelStore is where flannel keeps which node has which subnet.
type FlannelStore string

// The stores of flannel.
const (
	// StoreKubernetes: the Node objects (spec.podCIDR and annotations).
	StoreKubernetes FlannelStore = "kubernetes"
	// StoreEtcd: keys of flannel's own in the control plane's etcd.
	StoreEtcd FlannelStore = "etcd"
)

// EtcdPrefix is where flannel's keys are in etcd: its own default.
const EtcdPrefix = "/coreos.com/network"

// Places of the credentials that are made once the control plane is there.
const (
	KubeProxyKubeconfig = "/etc/kubernetes/kube-proxy.conf"
	FlannelKubeconfig   = "/etc/kubernetes/flannel.conf"
	FlannelEtcdCA       = "/etc/flannel/etcd/ca.crt"
	FlannelEtcdCert     = "/etc/flannel/etcd/client.crt"
	FlannelEtcdKey      = "/etc/flannel/etcd/client.key"
)

// Config is what the files depend on.
type Config struct {
	// Machine is the name of the machine.
	Machine string
	// Machines are the addresses of all machines by name, for /etc/hosts.
	Machines map[string]netip.Addr
	// PauseImage is the image of a pod's sandbox.
	PauseImage string
	// Registries are the HOST:PORT of image registries without TLS.
	Registries []string
	// UnifiedCgroups says that the host has cgroup v2 alone.
	UnifiedCgroups bool
	// CanLowerOOMScore says that the host lets root lower oom_score_adj (CAP_SYS_RESOURCE).
	CanLowerOOMScore bool
	// Docker says that Docker Engine runs beside containerd.
	Docker bool
	// FlannelStore is where flannel keeps subnets.
	FlannelStore FlannelStore
	// EtcdEndpoints are the client URLs of etcd, joined by commas; for [StoreEtcd].
	EtcdEndpoints string
}

// CgroupDriver is the way in which the kubelet and containerd make control groups. With cgroup v2 systemd and the kubelet
// would both write to the same groups, so systemd does it for both; see
// https://kubernetes.io/docs/setup/production-environment/container-runtimes/#cgroup-drivers.
func (c Config) CgroupDriver() string {
	if c.UnifiedCgroups {
		return "systemd"
	}
	return "cgroupfs"
}

// PodCIDR is where pods have their addresses.
func (Config) PodCIDR() string { return PodCIDR }

// Interface is the network card that flannel sends through.
func (Config) Interface() string { return network.Interface }

// FlannelCredential is the file without which flanneld is not started.
func (c Config) FlannelCredential() string {
	if c.FlannelStore == StoreEtcd {
		return FlannelEtcdKey
	}
	return FlannelKubeconfig
}

// FlannelStoreFlags are the flags by which flanneld finds its store.
func (c Config) FlannelStoreFlags() string {
	if c.FlannelStore == StoreEtcd {
		return fmt.Sprintf("--etcd-endpoints=%s --etcd-prefix=%s --etcd-cafile=%s --etcd-certfile=%s --etcd-keyfile=%s",
			c.EtcdEndpoints, EtcdPrefix, FlannelEtcdCA, FlannelEtcdCert, FlannelEtcdKey)
	}
	return "--kube-subnet-mgr --kubeconfig-file=" + FlannelKubeconfig + " --net-config-path=/etc/flannel/net-conf.json"
}

// File is one file on a machine.
type File struct {
	// Path is absolute.
	Path string
	// Content is what is in it.
	Content []byte
	// Executable says that it is a program.
	Executable bool
}

// placed are the templates and where they go.
var placed = map[string]string{
	"10-kubeadm.conf":         "/etc/systemd/system/kubelet.service.d/10-kubeadm.conf",
	"containerd.service":      "/etc/systemd/system/containerd.service",
	"containerd.toml":         "/etc/containerd/config.toml",
	"crictl.yaml":             "/etc/crictl.yaml",
	"flanneld.service":        "/etc/systemd/system/flanneld.service",
	"kube-proxy.service":      "/etc/systemd/system/kube-proxy.service",
	"kube-proxy.yaml":         "/var/lib/kube-proxy/config.conf",
	"kubelet.service":         "/etc/systemd/system/kubelet.service",
	"machine-prepare.service": "/etc/systemd/system/machine-prepare.service",
	"net-conf.json":           "/etc/flannel/net-conf.json",
	"sysctl.conf":             "/etc/sysctl.d/99-kubernetes.conf",
	"write-cni-config":        "/usr/local/lib/flannel/write-cni-config",
}

// Files returns the files of a machine, in the order of their paths.
func Files(c Config) ([]File, error) {
	templates, err := template.ParseFS(files, "files/*")
	if err != nil {
		return nil, fmt.Errorf("reading the templates of a node: %w", err)
	}
	list := []File{
		{Path: "/etc/hostname", Content: []byte(c.Machine + "\n")},
		{Path: "/etc/hosts", Content: hosts(c.Machines)},
		{Path: "/etc/resolv.conf", Content: []byte("nameserver " + network.SwitchAddress().String() + "\nsearch lab\n")},
	}
	paths := maps.Clone(placed)
	if c.Docker {
		// Docker's own bridge and packet filter would drop what pods send to each other.
		paths["docker.json"] = "/etc/docker/daemon.json"
	}
	if !c.UnifiedCgroups {
		paths["20-cgroup.conf"] = "/etc/systemd/system/kubelet.service.d/20-cgroup.conf"
	}
	for name, path := range paths {
		content, err := execute(templates, name, c)
		if err != nil {
			return nil, err
		}
		list = append(list, File{Path: path, Content: content, Executable: name == "write-cni-config"})
	}
	for _, registry := range c.Registries {
		content, err := execute(templates, "hosts.toml", registry)
		if err != nil {
			return nil, err
		}
		list = append(list, File{Path: "/etc/containerd/certs.d/" + registry + "/hosts.toml", Content: content})
	}
	slices.SortFunc(list, func(a, b File) int { return bytes.Compare([]byte(a.Path), []byte(b.Path)) })
	return list, nil
}

// Links returns the symbolic links of a machine, each with its target: what a package manager would have put in place.
func Links(program func(name string) (string, error)) (map[string]string, error) {
	links := map[string]string{"/opt/cni/bin": "/usr/lib/cni"}
	for _, unit := range []string{"containerd", "flanneld", "kube-proxy", "kubelet"} {
		links["/etc/systemd/system/multi-user.target.wants/"+unit+".service"] = "/etc/systemd/system/" + unit + ".service"
	}
	links["/etc/systemd/system/sysinit.target.wants/machine-prepare.service"] = "/etc/systemd/system/machine-prepare.service"
	for _, unit := range []string{"console-getty.service", "e2scrub_reap.service", "apt-daily.timer", "apt-daily-upgrade.timer"} {
		links["/etc/systemd/system/"+unit] = "/dev/null"
	}
	for directory, names := range map[string][]string{
		"/usr/bin":       {"kubeadm", "kubectl", "kubelet"},
		"/usr/local/bin": {"containerd", "containerd-shim-runc-v2", "crictl", "ctr", "etcdctl", "etcdutl", "flanneld", "kube-proxy"},
	} {
		for _, name := range names {
			target, err := program(name)
			if err != nil {
				return nil, err
			}
			links[directory+"/"+name] = target
		}
	}
	return links, nil
}

func execute(templates *template.Template, name string, data any) ([]byte, error) {
	var out bytes.Buffer
	if err := templates.ExecuteTemplate(&out, name, data); err != nil {
		return nil, fmt.Errorf("filling in %s: %w", name, err)
	}
	return out.Bytes(), nil
}

func hosts(machines map[string]netip.Addr) []byte {
	var out bytes.Buffer
	out.WriteString("127.0.0.1 localhost\n::1 localhost ip6-localhost ip6-loopback\n")
	names := make([]string, 0, len(machines))
	for name := range machines {
		names = append(names, name)
	}
	slices.Sort(names)
	for _, name := range names {
		fmt.Fprintf(&out, "%s %s\n", machines[name], name)
	}
	return out.Bytes()
}
