package controlplane

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"time"

	"k8s.io/apimachinery/pkg/util/wait"
	"k8s.io/client-go/kubernetes"
	corelisters "k8s.io/client-go/listers/core/v1"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/clientcmd"
	"sigs.k8s.io/controller-runtime/pkg/client"
)

// The programs of the control plane, and the names of their processes.
const (
	Etcd              = "etcd"
	APIServer         = "kube-apiserver"
	ControllerManager = "kube-controller-manager"
	Scheduler         = "kube-scheduler"
)

// startWithin bounds the start of one process, on a machine that has other things to do.
const startWithin = 2 * time.Minute

// Options of a control plane.
type Options struct {
	// Assets is the folder with the programs.
	Assets string
	// Dir keeps data, certificates and logs.
	Dir string
	// Index, 0 to 99, sets the world's addresses apart: 10.(100+Index).0.0/16.
	Index int
	// Members of etcd; 1 when zero.
	Members int
	// Flags added to a program's, by its name.
	Flags map[string][]string
	// SmallServiceRange leaves 30 addresses for Services, not 16,382.
	SmallServiceRange bool
}

// World is a control plane and its nodes.
type World struct {
	// Kubeconfig of an administrator.
	Kubeconfig string
	// Client of an administrator, without a cache.
	Client client.Client
	// Config of that client.
	Config *rest.Config
	// Nodes by name: cp, w1 and w2.
	Nodes map[string]*Node

	options     Options
	prefix      string
	serviceCIDR string
	pki         *authority
	components  map[string]*process
	mu          sync.Mutex
	wanted      map[string][]string // flags besides its own, of every component that is to run
	order       []string
	machines    map[string]string // on which components run
	clientset   *kubernetes.Clientset
	programs    *programs
	cancel      context.CancelFunc
	living      sync.WaitGroup
	servers     []*http.Server
	used        map[string]int64

	podLister       corelisters.PodLister
	nodeLister      corelisters.NodeLister
	claimLister     corelisters.PersistentVolumeClaimLister
	volumeLister    corelisters.PersistentVolumeLister
	configMapLister corelisters.ConfigMapLister
	secretLister    corelisters.SecretLister
}

// Start brings up a control plane whose nodes have joined. Stop takes it away.
func Start(ctx context.Context, o Options) (*World, error) {
	w := &World{options: o, prefix: fmt.Sprintf("10.%d", 100+o.Index), components: map[string]*process{}, wanted: map[string][]string{}, machines: map[string]string{}, programs: &programs{}}
	w.serviceCIDR = w.prefix + ".64.0/18"
	if o.SmallServiceRange {
		w.serviceCIDR = w.prefix + ".64.0/27"
	}
	if err := w.start(ctx); err != nil {
		return nil, errors.Join(err, w.Stop())
	}
	return w, nil
}

func (w *World) start(ctx context.Context) error {
	if err := os.MkdirAll(w.options.Dir, 0o755); err != nil {
		return fmt.Errorf("making a folder: %w", err)
	}
	if err := w.certify(time.Now().Add(365 * 24 * time.Hour)); err != nil {
		return err
	}
	w.define()
	for _, name := range w.order {
		if err := w.StartComponent(ctx, name); err != nil {
			return err
		}
	}
	return w.populate(ctx)
}

// Stop ends every process and node. What it wrote stays in its folder.
func (w *World) Stop() error {
	if w.cancel != nil {
		w.cancel()
	}
	w.living.Wait()
	var failures []error
	for _, n := range w.Nodes {
		n.close()
	}
	for _, s := range w.servers {
		failures = append(failures, s.Close())
	}
	for _, name := range slices.Backward(w.order) {
		failures = append(failures, w.components[name].kill())
	}
	return errors.Join(failures...)
}

// APIServerURL is where the API server listens.
func (w *World) APIServerURL() string { return "https://" + w.address("cp") + ":6443" }

// Address of a machine by its name.
func (w *World) address(machine string) string {
	return w.prefix + ".0." + map[string]string{"cp": "11", "cp2": "12", "cp3": "13", "w1": "21", "w2": "22"}[machine]
}

// ServiceAddress is the n-th address of the Services' range.
func (w *World) ServiceAddress(n int) string {
	return fmt.Sprintf("%s.64.%d", w.prefix, n)
}

// certify writes every certificate; that of the API server is good until a moment.
func (w *World) certify(until time.Time) error {
	var err error
	if w.pki, err = newAuthority(w.options.Dir); err != nil {
		return err
	}
	if err := w.CertifyAPIServer(until); err != nil {
		return err
	}
	hosts := []string{"cp", "w1", "w2", w.address("cp"), w.address("w1"), w.address("w2"), w.ServiceAddress(20), "metrics-server.kube-system.svc"}
	if err := w.pki.server("kubelet", time.Now().Add(365*24*time.Hour), hosts...); err != nil {
		return err
	}
	users := map[string][]string{
		"admin": {"kubernetes-admin", "system:masters"}, "apiserver-kubelet-client": {"kube-apiserver-kubelet-client", "system:masters"},
		"front-proxy-client": {"front-proxy-client"}, "service-account": {"service-account"},
		ControllerManager: {"system:kube-controller-manager"}, Scheduler: {"system:kube-scheduler"},
	}
	for name, user := range users {
		if err := w.pki.client(name, user[0], user[1:]...); err != nil {
			return err
		}
		path, err := w.pki.kubeconfig(name, w.APIServerURL())
		if err != nil {
			return err
		}
		if name == "admin" {
			w.Kubeconfig = path
		}
	}
	w.Config, err = clientcmd.BuildConfigFromFlags("", w.Kubeconfig)
	if err != nil {
		return fmt.Errorf("reading the kubeconfig: %w", err)
	}
	w.Config.QPS, w.Config.Burst, w.Config.Timeout = 200, 400, 20*time.Second
	w.Config.WarningHandler = rest.NoWarnings{}
	return nil
}

// CertifyAPIServer gives the API server a certificate that is good until a moment; it reads it when
// it starts, and again when the file changes.
func (w *World) CertifyAPIServer(until time.Time) error {
	return w.pki.server("apiserver", until, w.address("cp"), w.ServiceAddress(1), "localhost", "kubernetes", "kubernetes.default",
		"kubernetes.default.svc", "kubernetes.default.svc.cluster.local")
}

// define names the processes in the order of their start.
func (w *World) define() {
	file := w.pki.path
	add := func(program, name string, args ...string) {
		w.machines[name] = "cp"
		w.components[name] = newProcess(w.options.Assets, w.options.Dir, program, name, append(args, w.options.Flags[program]...)...)
		w.order = append(w.order, name)
	}
	var cluster, endpoints []string
	members := max(w.options.Members, 1)
	for i := range members {
		cluster = append(cluster, fmt.Sprintf("%s=http://%s.0.%d:2380", etcdName(i), w.prefix, 11+i))
		endpoints = append(endpoints, fmt.Sprintf("http://%s.0.%d:2379", w.prefix, 11+i))
	}
	for i := range members {
		peer := fmt.Sprintf("http://%s.0.%d:2380", w.prefix, 11+i)
		add(Etcd, etcdName(i), "--name="+etcdName(i), "--data-dir="+filepath.Join(w.options.Dir, etcdName(i)), "--unsafe-no-fsync",
			"--listen-client-urls="+endpoints[i], "--advertise-client-urls="+endpoints[i],
			"--listen-peer-urls="+peer, "--initial-advertise-peer-urls="+peer,
			"--initial-cluster="+strings.Join(cluster, ","), "--initial-cluster-token="+w.prefix, "--log-level=warn")
		w.machines[etcdName(i)] = []string{"cp", "cp2", "cp3"}[i]
	}
	add(APIServer, APIServer,
		"--etcd-servers="+strings.Join(endpoints, ","), "--bind-address="+w.address("cp"), "--advertise-address="+w.address("cp"), "--secure-port=6443",
		"--tls-cert-file="+file("apiserver.crt"), "--tls-private-key-file="+file("apiserver.key"), "--client-ca-file="+file("ca.crt"),
		"--service-cluster-ip-range="+w.serviceCIDR, "--allow-privileged=true", "--authorization-mode=Node,RBAC",
		"--enable-admission-plugins=NodeRestriction", "--enable-bootstrap-token-auth=true",
		"--kubelet-client-certificate="+file("apiserver-kubelet-client.crt"), "--kubelet-client-key="+file("apiserver-kubelet-client.key"),
		"--kubelet-preferred-address-types=InternalIP,ExternalIP,Hostname",
		"--service-account-issuer=https://kubernetes.default.svc.cluster.local",
		"--service-account-key-file="+file("service-account.key"), "--service-account-signing-key-file="+file("service-account.key"),
		"--requestheader-client-ca-file="+file("ca.crt"), "--requestheader-allowed-names=front-proxy-client",
		"--requestheader-extra-headers-prefix=X-Remote-Extra-", "--requestheader-group-headers=X-Remote-Group", "--requestheader-username-headers=X-Remote-User",
		"--proxy-client-cert-file="+file("front-proxy-client.crt"), "--proxy-client-key-file="+file("front-proxy-client.key"))
	add(ControllerManager, ControllerManager,
		"--kubeconfig="+file(ControllerManager+".kubeconfig"), "--authentication-kubeconfig="+file(ControllerManager+".kubeconfig"),
		"--authorization-kubeconfig="+file(ControllerManager+".kubeconfig"), "--bind-address="+w.address("cp"), "--leader-elect=true",
		"--controllers=*,bootstrapsigner,tokencleaner", "--use-service-account-credentials=true", "--root-ca-file="+file("ca.crt"),
		"--cluster-signing-cert-file="+file("ca.crt"), "--cluster-signing-key-file="+file("ca.key"),
		"--service-account-private-key-file="+file("service-account.key"), "--allocate-node-cidrs=true",
		"--cluster-cidr="+w.prefix+".128.0/17", "--service-cluster-ip-range="+w.serviceCIDR)
	add(Scheduler, Scheduler,
		"--kubeconfig="+file(Scheduler+".kubeconfig"), "--authentication-kubeconfig="+file(Scheduler+".kubeconfig"),
		"--authorization-kubeconfig="+file(Scheduler+".kubeconfig"), "--bind-address="+w.address("cp"), "--leader-elect=true")
}

// etcdName of a member: etcd, etcd-2, etcd-3.
func etcdName(i int) string {
	if i == 0 {
		return Etcd
	}
	return fmt.Sprintf("%s-%d", Etcd, i+1)
}

// StartComponent starts a process and, where flags are given, adds them to its own. It returns once
// the process serves; with flags, as soon as it runs, because it may not be meant to serve. A process
// that ends by itself is started again, as a kubelet does with static pods.
func (w *World) StartComponent(ctx context.Context, name string, flags ...string) error {
	p, ok := w.components[name]
	if !ok {
		return fmt.Errorf("there is no component %s", name)
	}
	w.mu.Lock()
	w.wanted[name] = flags
	w.mu.Unlock()
	if err := p.start(ctx, flags...); err != nil {
		return err
	}
	if n := w.Nodes[w.machines[name]]; n != nil {
		n.setComponent(name, true)
	}
	if len(flags) > 0 || name != APIServer {
		return nil
	}
	return w.ready(ctx)
}

// StopComponent ends a process, as when its manifest is moved away.
func (w *World) StopComponent(name string) error {
	p, ok := w.components[name]
	if !ok {
		return fmt.Errorf("there is no component %s", name)
	}
	w.mu.Lock()
	delete(w.wanted, name)
	w.mu.Unlock()
	if n := w.Nodes[w.machines[name]]; n != nil {
		n.setComponent(name, false)
	}
	return p.stop()
}

// supervise starts components again that have ended by themselves.
func (w *World) supervise(ctx context.Context) {
	tick := time.NewTicker(backOff)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
		w.mu.Lock()
		for name, flags := range w.wanted {
			if p := w.components[name]; !p.running() {
				_ = p.start(ctx, flags...) // the next round tries again
			}
		}
		w.mu.Unlock()
	}
}

// Heal starts every component that does not run.
func (w *World) Heal(ctx context.Context) error {
	for _, name := range w.order {
		if w.Running(name) {
			continue
		}
		if err := w.StartComponent(ctx, name); err != nil && !w.Running(name) {
			return err
		}
	}
	return nil
}

// KubeconfigOf writes a kubeconfig for a user, whom the administrator impersonates.
func (w *World) KubeconfigOf(user string) (string, error) {
	cfg, err := clientcmd.LoadFromFile(w.Kubeconfig)
	if err != nil {
		return "", fmt.Errorf("reading the kubeconfig: %w", err)
	}
	for _, info := range cfg.AuthInfos {
		info.Impersonate = user
	}
	path := w.pki.path("as.kubeconfig")
	if err := clientcmd.WriteToFile(*cfg, path); err != nil {
		return "", fmt.Errorf("writing the kubeconfig of %s: %w", user, err)
	}
	return path, nil
}

// PodCIDR of a node.
func (w *World) PodCIDR(node string) (string, error) {
	n, err := w.nodeLister.Get(node)
	if err != nil {
		return "", fmt.Errorf("reading node %s: %w", node, err)
	}
	return n.Spec.PodCIDR, nil
}

// Running tells whether a process runs.
func (w *World) Running(name string) bool {
	p, ok := w.components[name]
	return ok && p.running()
}

// ForgetData removes what an etcd member that does not run has stored.
func (w *World) ForgetData(name string) error {
	return os.RemoveAll(filepath.Join(w.options.Dir, name))
}

// ready waits until the API server says so itself.
func (w *World) ready(ctx context.Context) error {
	set, err := kubernetes.NewForConfig(w.Config)
	if err != nil {
		return fmt.Errorf("making a client: %w", err)
	}
	err = wait.PollUntilContextTimeout(ctx, 200*time.Millisecond, startWithin, true, func(ctx context.Context) (bool, error) {
		if !w.Running(APIServer) {
			return false, errors.New("it has ended")
		}
		_, err := set.Discovery().RESTClient().Get().AbsPath("/readyz").DoRaw(ctx)
		return err == nil, nil
	})
	if err != nil {
		return fmt.Errorf("waiting for the API server, whose log is %s: %w", w.components[APIServer].log, err)
	}
	return nil
}
