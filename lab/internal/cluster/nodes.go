package cluster

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sync/errgroup"
	"k8s.io/apimachinery/pkg/util/wait"

	"github.com/maek-dev/maek/lab/internal/host"
	"github.com/maek-dev/maek/lab/internal/image"
	"github.com/maek-dev/maek/lab/internal/machine"
	"github.com/maek-dev/maek/lab/internal/network"
	"github.com/maek-dev/maek/lab/internal/node"
)

const (
	unitPoll = 200 * time.Millisecond
	// unitTimeout is how long a unit may take to start on a loaded host.
	unitTimeout = 5 * time.Minute
	// parallelLoads is how many images a machine's containerd unpacks at a time.
	parallelLoads = 2
)

// prepare makes a machine, boots it and gives its containerd the images that it needs before it has a network.
func (l *Lab) prepare(ctx context.Context, spec machine.Spec, root machine.Root, images []image.Archive) error {
	m := l.machine(spec)
	err := l.Progress.Step(m.Name+": made and booted", func() error {
		if err := m.Create(ctx, l.Journal, root); err != nil {
			return err
		}
		if err := l.writeNode(m); err != nil {
			return fmt.Errorf("writing the files of %s: %w", m.Name, err)
		}
		if err := m.Boot(ctx, l.Journal); err != nil {
			return err
		}
		if err := l.waitForUnit(ctx, m, "containerd"); err != nil || !l.Docker {
			return err
		}
		return l.waitForUnit(ctx, m, "docker")
	})
	if err != nil {
		return err
	}
	return l.Progress.Step(fmt.Sprintf("%s: %d images loaded", m.Name, len(images)), func() error {
		group, ctx := errgroup.WithContext(ctx)
		group.SetLimit(parallelLoads)
		for _, i := range images {
			group.Go(func() error { return LoadImage(ctx, m, i.Path) })
		}
		return group.Wait()
	})
}

// LoadImage gives an image in an archive to a machine's containerd, under the name that is in the archive.
func LoadImage(ctx context.Context, m *machine.Machine, archive string) error {
	file, err := os.Open(archive)
	if err != nil {
		return fmt.Errorf("loading an image: %w", err)
	}
	defer func() { _ = file.Close() }() // nothing was written
	if _, err := m.Run(ctx, file, "ctr", "--namespace", "k8s.io", "images", "import", "-"); err != nil {
		return fmt.Errorf("loading %s into %s: %w", archive, m.Name, err)
	}
	return nil
}

// writeNode writes the files of a node into a machine that is off.
func (l *Lab) writeNode(m *machine.Machine) error {
	config, err := l.nodeConfig(m.Name)
	if err != nil {
		return err
	}
	files, err := node.Files(config)
	if err != nil {
		return err
	}
	for _, file := range files {
		mode := os.FileMode(0o644)
		if file.Executable {
			mode = 0o755
		}
		if err := writeFile(m.RootPath(file.Path), file.Content, mode); err != nil {
			return err
		}
	}
	// The package of the kubelet has it; the kubelet complains without end where it is missing.
	if err := os.MkdirAll(m.RootPath("/etc/kubernetes/manifests"), 0o755); err != nil {
		return err
	}
	links, err := node.Links(l.machineProgram)
	if err != nil {
		return err
	}
	for path, target := range links {
		if err := link(target, m.RootPath(path)); err != nil {
			return err
		}
	}
	return nil
}

func (l *Lab) nodeConfig(name string) (node.Config, error) {
	lower, err := host.CanLowerOOMScore()
	if err != nil {
		return node.Config{}, err
	}
	var etcd []string
	for _, spec := range l.ControlPlanes() {
		etcd = append(etcd, "https://"+spec.Address.String()+":2379")
	}
	return node.Config{
		Machine:          name,
		Machines:         l.Addresses(),
		PauseImage:       image.PauseImage,
		Registries:       []string{image.OpenRegistry, image.PrivateRegistry},
		UnifiedCgroups:   l.Layout.Unified,
		CanLowerOOMScore: lower,
		Docker:           l.Docker,
		FlannelStore:     l.FlannelStore,
		EtcdEndpoints:    strings.Join(etcd, ","),
	}, nil
}

// initialize makes the first control plane with kubeadm and writes the host's kubeconfig.
func (l *Lab) initialize(ctx context.Context) error {
	m := l.machine(l.ControlPlanes()[0])
	args := []string{"init", "--config", kubeadmConfigPath}
	if len(l.ControlPlanes()) > 1 {
		args = append(args, "--upload-certs")
	}
	if err := l.kubeadm(ctx, m, nil, args...); err != nil {
		return err
	}
	admin, err := os.ReadFile(m.RootPath("/etc/kubernetes/admin.conf"))
	if err != nil {
		return fmt.Errorf("reading the administrator's kubeconfig: %w", err)
	}
	inside, outside := l.Endpoint().String(), fmt.Sprintf("127.0.0.1:%d", l.Port)
	if !bytes.Contains(admin, []byte(inside)) {
		return fmt.Errorf("the administrator's kubeconfig does not name the endpoint %s", inside)
	}
	return writeFile(l.KubeconfigPath(), bytes.ReplaceAll(admin, []byte(inside), []byte(outside)), 0o600)
}

// join makes a machine a node of the cluster with kubeadm.
func (l *Lab) join(ctx context.Context, spec machine.Spec) error {
	authority, err := os.ReadFile(l.machine(l.ControlPlanes()[0]).RootPath("/etc/kubernetes/pki/ca.crt"))
	if err != nil {
		return fmt.Errorf("reading the cluster's certificate authority: %w", err)
	}
	return l.kubeadm(ctx, l.machine(spec), authority, "join", "--config", kubeadmConfigPath)
}

func (l *Lab) kubeadm(ctx context.Context, m *machine.Machine, authority []byte, args ...string) error {
	nodeConfig, err := l.nodeConfig(m.Name)
	if err != nil {
		return err
	}
	config := kubeadmConfig{
		Description: l.Description, Spec: m.Spec,
		CgroupDriver: nodeConfig.CgroupDriver(), CanLowerOOMScore: nodeConfig.CanLowerOOMScore, Authority: authority,
	}
	rendered, err := config.render()
	if err != nil {
		return err
	}
	for path, content := range rendered {
		if err := writeFile(m.RootPath(path), content, 0o600); err != nil {
			return err
		}
	}
	if _, err := m.Output(ctx, append([]string{"kubeadm"}, args...)...); err != nil {
		return fmt.Errorf("%w\nThe end of its kubelet's journal:\n%s", err, journalTail(ctx, m, "kubelet"))
	}
	return nil
}

// startNetwork starts what gives a node's pods and Services their network.
func (l *Lab) startNetwork(ctx context.Context, spec machine.Spec) error {
	if l.FlannelStore == node.StoreKubernetes {
		// Without it flanneld gives up and is started again and again.
		assigned := func(n NodeState) bool { return n.PodCIDR != "" }
		if err := l.waitForNodes(ctx, []machine.Spec{spec}, "given a range of pod addresses", assigned); err != nil {
			return err
		}
	}
	m := l.machine(spec)
	if _, err := m.Output(ctx, "systemctl", "start", "--no-block", "flanneld", "kube-proxy"); err != nil {
		return err
	}
	for _, unit := range []string{"kube-proxy", "flanneld"} {
		if err := l.waitForUnit(ctx, m, unit); err != nil {
			return err
		}
	}
	return nil
}

// waitForUnit waits until a unit of a machine is active.
func (l *Lab) waitForUnit(ctx context.Context, m *machine.Machine, unit string) error {
	last := ""
	err := wait.PollUntilContextTimeout(ctx, unitPoll, unitTimeout, true, func(ctx context.Context) (bool, error) {
		out, err := m.Output(ctx, "systemctl", "is-active", unit)
		last = out
		return err == nil, nil
	})
	if err != nil {
		return fmt.Errorf("waiting for %s on %s, which is %q: %w; the end of its journal:\n%s", unit, m.Name, last, err, journalTail(ctx, m, unit))
	}
	return nil
}

// journalTail returns the last lines of a unit's journal, also after ctx has ended.
func journalTail(ctx context.Context, m *machine.Machine, unit string) string {
	out, err := m.Output(context.WithoutCancel(ctx), "journalctl", "--unit", unit, "--no-pager", "--output", "cat", "--lines", strconv.Itoa(tailLines))
	if err != nil {
		return err.Error()
	}
	return out
}

// etcdClient are the paths of a control plane's certificates for clients of etcd, by where flannel has its copies.
func etcdClient() map[string]string {
	return map[string]string{
		node.FlannelEtcdCA:   "/etc/kubernetes/pki/etcd/ca.crt",
		node.FlannelEtcdCert: "/etc/kubernetes/pki/apiserver-etcd-client.crt",
		node.FlannelEtcdKey:  "/etc/kubernetes/pki/apiserver-etcd-client.key",
	}
}

// distributeCredentials gives all machines what kube-proxy and flannel identify themselves with.
func (l *Lab) distributeCredentials(ctx context.Context) error {
	first := l.machine(l.ControlPlanes()[0])
	credentials := make(map[string][]byte)
	for path, user := range map[string]string{
		node.KubeProxyKubeconfig: "system:kube-proxy", // bound to system:node-proxier by the API server itself
		node.FlannelKubeconfig:   "flannel",
	} {
		if path == node.FlannelKubeconfig && l.FlannelStore != node.StoreKubernetes {
			continue
		}
		config, err := first.Output(ctx, "kubeadm", "kubeconfig", "user", "--config", kubeadmConfigPath, "--client-name", user)
		if err != nil {
			return fmt.Errorf("making the kubeconfig of %s: %w", user, err)
		}
		credentials[path] = []byte(config + "\n")
	}
	if l.FlannelStore == node.StoreEtcd {
		if err := l.configureFlannelInEtcd(ctx, first); err != nil {
			return err
		}
		for to, from := range etcdClient() {
			content, err := os.ReadFile(first.RootPath(from))
			if err != nil {
				return fmt.Errorf("reading etcd's certificates: %w", err)
			}
			credentials[to] = content
		}
	}
	for _, spec := range l.Machines {
		for path, content := range credentials {
			if err := writeFile(l.machine(spec).RootPath(path), content, 0o600); err != nil {
				return err
			}
		}
	}
	return nil
}

// configureFlannelInEtcd writes flannel's configuration to where it looks for it in etcd.
func (l *Lab) configureFlannelInEtcd(ctx context.Context, first *machine.Machine) error {
	config, err := os.ReadFile(first.RootPath("/etc/flannel/net-conf.json"))
	if err != nil {
		return fmt.Errorf("reading flannel's configuration: %w", err)
	}
	certificates := etcdClient()
	if _, err := first.Output(ctx, "etcdctl", "--endpoints", "https://127.0.0.1:2379",
		"--cacert", certificates[node.FlannelEtcdCA], "--cert", certificates[node.FlannelEtcdCert], "--key", certificates[node.FlannelEtcdKey],
		"put", node.EtcdPrefix+"/config", strings.TrimSpace(string(config))); err != nil {
		return fmt.Errorf("writing flannel's configuration into etcd: %w", err)
	}
	return nil
}

// Online says whether a machine is on, and whether its port on the switch is up.
func (l *Lab) Online(ctx context.Context, spec machine.Spec) (on, connected bool, err error) {
	leader, err := l.machine(spec).Leader()
	if err != nil || leader == 0 {
		return false, false, err
	}
	ports, err := network.PortsUp(ctx)
	return true, ports[network.Port(spec.Name)], err
}
