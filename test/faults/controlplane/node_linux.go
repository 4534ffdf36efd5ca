package controlplane

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"reflect"
	"slices"
	"strings"
	"sync"
	"time"

	coordinationv1 "k8s.io/api/coordination/v1"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/tools/record"
)

// Fault of a node or of its kubelet.
type Fault string

// The faults a node can have.
const (
	// PoweredOff: nothing of the machine answers.
	PoweredOff Fault = "poweredOff"
	// KubeletStopped: the machine answers, its kubelet's port refuses.
	KubeletStopped Fault = "kubeletStopped"
	// CutOff: the kubelet lives and can be reached, but does not reach the API server.
	CutOff Fault = "cutOff"
	// RuntimeDown: containerd does not answer the kubelet.
	RuntimeDown Fault = "runtimeDown"
	// CNIMissing: containerd has no CNI configuration.
	CNIMissing Fault = "cniMissing"
	// DiskPressure: the kubelet's file system is full; BestEffort pods are evicted.
	DiskPressure Fault = "diskPressure"
	// MemoryPressure: memory is used up; BestEffort pods are evicted.
	MemoryPressure Fault = "memoryPressure"
	// ResolverBroken: the node's name server does not answer, so that no image can be pulled.
	ResolverBroken Fault = "resolverBroken"
	// Reserved: kubeReserved leaves 100m of the CPU.
	Reserved Fault = "reserved"
	// Unregistered: the Node was deleted, and the kubelet does not make it again.
	Unregistered Fault = "unregistered"
)

// What a kubelet does when (k8s.io/kubernetes/pkg/kubelet/apis/config/v1beta1/defaults.go):
// leases are renewed after a quarter of their 40 s, and an unchanged status is told after 5 min.
const (
	leaseSeconds   = 40
	renewEvery     = leaseSeconds * time.Second / 4
	reportEvery    = 5 * time.Minute
	syncEvery      = 500 * time.Millisecond
	kubeletVersion = "v1.36.3"
	kubeletPort    = 10250
	nodeMemory     = "3900Mi"
	nodeCPU        = "2"
	nodeDisk       = "20Gi"
)

// Node is a machine with its kubelet.
type Node struct {
	// Name of the node.
	Name string

	world    *World
	address  string
	recorder record.EventRecorder
	started  time.Time
	changed  chan struct{}
	server   *http.Server

	mu       sync.Mutex
	faults   map[Fault]bool
	pods     map[types.UID]*pod
	addrs    int
	manifest map[string]bool // of the static pods of a control-plane node
	drivers  []string        // CSI drivers registered
}

// SetFault brings a fault about, or takes it away.
func (n *Node) SetFault(ctx context.Context, f Fault, on bool) error {
	n.mu.Lock()
	n.faults[f] = on
	if !on {
		delete(n.faults, f)
	}
	n.mu.Unlock()
	switch {
	case f == PoweredOff && on:
		n.close()
		if err := silence(ctx, n.address); err != nil {
			return err
		}
	case f == PoweredOff:
		if err := unsilence(ctx, n.address); err != nil {
			return err
		}
		if err := n.serve(ctx); err != nil {
			return err
		}
	case f == KubeletStopped && on:
		n.close()
	case f == KubeletStopped:
		if err := n.serve(ctx); err != nil {
			return err
		}
	}
	select {
	case n.changed <- struct{}{}:
	default:
	}
	return nil
}

func (n *Node) has(faults ...Fault) bool {
	n.mu.Lock()
	defer n.mu.Unlock()
	return slices.ContainsFunc(faults, func(f Fault) bool { return n.faults[f] })
}

// mute tells whether the kubelet tells the API server nothing.
func (n *Node) mute() bool { return n.has(PoweredOff, KubeletStopped, CutOff) }

func (n *Node) setComponent(name string, on bool) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.manifest[name] = on
}

// run is the kubelet's life.
func (n *Node) run(ctx context.Context) {
	var wg sync.WaitGroup
	wg.Go(func() { n.heartbeat(ctx) })
	wg.Go(func() {
		tick := time.NewTicker(syncEvery)
		defer tick.Stop()
		for {
			select {
			case <-ctx.Done():
				return
			case <-tick.C:
				if !n.has(PoweredOff, KubeletStopped) {
					n.syncPods(ctx)
				}
			}
		}
	})
	wg.Wait()
}

func (n *Node) heartbeat(ctx context.Context) {
	tick := time.NewTicker(renewEvery)
	defer tick.Stop()
	var told corev1.NodeStatus
	var toldAt time.Time
	for {
		if !n.mute() {
			if err := n.renew(ctx); err != nil && ctx.Err() == nil {
				slog.Debug("renewing a node's lease", "node", n.Name, "error", err)
			}
			status := n.status()
			if !reflect.DeepEqual(status.Conditions, told.Conditions) || time.Since(toldAt) > reportEvery || n.forgotten(ctx, status) {
				if err := n.report(ctx, status); err == nil {
					told, toldAt = status, time.Now()
				} else if ctx.Err() == nil {
					slog.Debug("reporting a node's status", "node", n.Name, "error", err)
				}
			}
		}
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		case <-n.changed:
		}
	}
}

// renew renews the node's Lease, or makes it.
func (n *Node) renew(ctx context.Context) error {
	leases := n.world.clientset.CoordinationV1().Leases(corev1.NamespaceNodeLease)
	now := metav1.NowMicro()
	lease, err := leases.Get(ctx, n.Name, metav1.GetOptions{})
	if apierrors.IsNotFound(err) {
		_, err = leases.Create(ctx, &coordinationv1.Lease{
			ObjectMeta: metav1.ObjectMeta{Name: n.Name},
			Spec:       coordinationv1.LeaseSpec{HolderIdentity: &n.Name, LeaseDurationSeconds: new(int32(leaseSeconds)), RenewTime: &now},
		}, metav1.CreateOptions{})
		return err
	}
	if err != nil {
		return err
	}
	lease.Spec.RenewTime = &now
	_, err = leases.Update(ctx, lease, metav1.UpdateOptions{})
	return err
}

// forgotten tells whether the API server's Node says something else than the kubelet does: its
// conditions were rewritten while it was silent.
func (n *Node) forgotten(ctx context.Context, status corev1.NodeStatus) bool {
	node, err := n.world.nodeLister.Get(n.Name)
	if err != nil {
		return apierrors.IsNotFound(err) && ctx.Err() == nil
	}
	for _, mine := range status.Conditions {
		if i := slices.IndexFunc(node.Status.Conditions, func(c corev1.NodeCondition) bool { return c.Type == mine.Type }); i < 0 || node.Status.Conditions[i].Status != mine.Status {
			return true
		}
	}
	return node.Status.Allocatable.Cpu().Cmp(*status.Allocatable.Cpu()) != 0
}

// report writes the node's status; a Node that does not exist is made, as a kubelet does when it
// starts.
func (n *Node) report(ctx context.Context, status corev1.NodeStatus) error {
	nodes := n.world.clientset.CoreV1().Nodes()
	node, err := nodes.Get(ctx, n.Name, metav1.GetOptions{})
	if apierrors.IsNotFound(err) {
		if n.has(Unregistered) {
			return errors.New("not registered")
		}
		node, err = nodes.Create(ctx, n.object(), metav1.CreateOptions{})
	}
	if err != nil {
		return err
	}
	now := metav1.Now()
	for i := range status.Conditions {
		c := &status.Conditions[i]
		c.LastHeartbeatTime, c.LastTransitionTime = now, now
		for _, old := range node.Status.Conditions {
			if old.Type == c.Type && old.Status == c.Status {
				c.LastTransitionTime = old.LastTransitionTime
			}
		}
	}
	volumes, attached := node.Status.VolumesInUse, node.Status.VolumesAttached
	node.Status = status
	node.Status.VolumesInUse, node.Status.VolumesAttached = volumes, attached
	if _, err = nodes.UpdateStatus(ctx, node, metav1.UpdateOptions{}); err != nil {
		return err
	}
	for i := range status.Conditions {
		status.Conditions[i].LastHeartbeatTime, status.Conditions[i].LastTransitionTime = metav1.Time{}, metav1.Time{}
	}
	return nil
}

func (n *Node) object() *corev1.Node {
	node := &corev1.Node{ObjectMeta: metav1.ObjectMeta{Name: n.Name, Labels: map[string]string{
		corev1.LabelArchStable: "amd64", corev1.LabelOSStable: "linux", corev1.LabelHostname: n.Name,
	}}}
	if strings.HasPrefix(n.Name, "cp") {
		node.Labels["node-role.kubernetes.io/control-plane"] = ""
		node.Spec.Taints = []corev1.Taint{{Key: "node-role.kubernetes.io/control-plane", Effect: corev1.TaintEffectNoSchedule}}
	}
	return node
}

func (n *Node) status() corev1.NodeStatus {
	capacity := corev1.ResourceList{
		corev1.ResourceCPU: resource.MustParse(nodeCPU), corev1.ResourceMemory: resource.MustParse(nodeMemory),
		corev1.ResourcePods: resource.MustParse("110"), corev1.ResourceEphemeralStorage: resource.MustParse(nodeDisk),
	}
	allocatable := capacity.DeepCopy()
	allocatable[corev1.ResourceMemory] = resource.MustParse("3800Mi")
	if n.has(Reserved) {
		allocatable[corev1.ResourceCPU] = resource.MustParse("100m")
	}
	condition := func(kind corev1.NodeConditionType, bad bool, reasons [2]string, messages [2]string) corev1.NodeCondition {
		if bad {
			return corev1.NodeCondition{Type: kind, Status: corev1.ConditionTrue, Reason: reasons[1], Message: messages[1]}
		}
		return corev1.NodeCondition{Type: kind, Status: corev1.ConditionFalse, Reason: reasons[0], Message: messages[0]}
	}
	ready := corev1.NodeCondition{Type: corev1.NodeReady, Status: corev1.ConditionTrue, Reason: "KubeletReady", Message: "kubelet is posting ready status"}
	switch {
	case n.has(RuntimeDown):
		ready.Status, ready.Reason = corev1.ConditionFalse, "KubeletNotReady"
		ready.Message = "container runtime is down"
	case n.has(CNIMissing):
		ready.Status, ready.Reason = corev1.ConditionFalse, "KubeletNotReady"
		ready.Message = "container runtime network not ready: NetworkReady=false reason:NetworkPluginNotReady message:Network plugin returns error: cni plugin not initialized"
	}
	return corev1.NodeStatus{
		Capacity: capacity, Allocatable: allocatable,
		Conditions: []corev1.NodeCondition{
			condition(corev1.NodeMemoryPressure, n.has(MemoryPressure), [2]string{"KubeletHasSufficientMemory", "KubeletHasInsufficientMemory"},
				[2]string{"kubelet has sufficient memory available", "kubelet has insufficient memory available"}),
			condition(corev1.NodeDiskPressure, n.has(DiskPressure), [2]string{"KubeletHasNoDiskPressure", "KubeletHasDiskPressure"},
				[2]string{"kubelet has no disk pressure", "kubelet has disk pressure"}),
			condition(corev1.NodePIDPressure, false, [2]string{"KubeletHasSufficientPID"}, [2]string{"kubelet has sufficient PID available"}),
			ready,
		},
		Addresses:       []corev1.NodeAddress{{Type: corev1.NodeInternalIP, Address: n.address}, {Type: corev1.NodeHostName, Address: n.Name}},
		DaemonEndpoints: corev1.NodeDaemonEndpoints{KubeletEndpoint: corev1.DaemonEndpoint{Port: kubeletPort}},
		NodeInfo: corev1.NodeSystemInfo{
			MachineID: "machine-" + n.Name, SystemUUID: "system-" + n.Name, BootID: "boot-" + n.Name, KernelVersion: "6.1.0-44-amd64",
			OSImage: "Debian GNU/Linux 12 (bookworm)", ContainerRuntimeVersion: "containerd://2.2.1", KubeletVersion: kubeletVersion,
			OperatingSystem: "linux", Architecture: "amd64",
		},
		Images: []corev1.ContainerImage{},
	}
}

// nextIP gives a pod an address of the node's range.
func (n *Node) nextIP() string {
	node, err := n.world.nodeLister.Get(n.Name)
	if err != nil {
		return ""
	}
	_, subnet, err := net.ParseCIDR(node.Spec.PodCIDR)
	if err != nil {
		return ""
	}
	n.mu.Lock()
	defer n.mu.Unlock()
	n.addrs++
	ip := subnet.IP.To4()
	return fmt.Sprintf("%d.%d.%d.%d", ip[0], ip[1], ip[2], 1+n.addrs%250)
}

// syncPods brings every pod of the node one step further.
func (n *Node) syncPods(ctx context.Context) {
	pods, err := n.world.podLister.List(labels.Everything())
	if err != nil {
		return
	}
	here := map[types.UID]bool{}
	for _, p := range pods {
		if p.Spec.NodeName == n.Name {
			here[p.UID] = true
			n.syncPod(ctx, p)
		}
	}
	n.mu.Lock()
	for uid := range n.pods {
		if !here[uid] {
			delete(n.pods, uid)
		}
	}
	n.mu.Unlock()
	n.syncMirrorPods(ctx, pods)
}
