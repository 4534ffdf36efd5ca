package world

import (
	_ "embed"
	"encoding/json"
	"fmt"
	"strconv"
	"strings"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/maek-dev/maek/internal/snapshot"
)

// recorded is the report of a worker that was well, as an agent gave it: w1 of three machines with
// flannel.
//
//go:embed testdata/worker.json
var recorded []byte

const (
	// wholeMesh is how many machines all watch each other, and meshSide how many a machine of a larger
	// cluster watches on each side (internal/agent/mesh/plan: 8 neighbours, 8 guests, a few control planes).
	wholeMesh = 50
	meshSide  = 11
)

// Machines calls f with the report of each machine, complete but for what the machines of a large
// cluster tell alike: only in clusters of up to 50 nodes does each tell what it knows of all Nodes.
// Where the world has flannel, each has the entries of flannel's device for all others.
func (w *World) Machines(f func(snapshot.MachineReport)) error {
	var template snapshot.MachineReport
	if err := json.Unmarshal(recorded, &template); err != nil {
		return fmt.Errorf("reading the recorded report: %w", err)
	}
	later := w.now.Sub(template.ObservedAt.Time)
	for i := range w.size.Nodes {
		f(w.machine(template, i, later))
	}
	return nil
}

// machine is the recorded report as node i would give it.
func (w *World) machine(template snapshot.MachineReport, i int, later time.Duration) snapshot.MachineReport {
	rename := strings.NewReplacer("10.99.0.21", nodeIP(i), "10.244.0.0/16", podNetwork, "10.244.1.", nodeSubnet(i), "02:aa:bb:cc:dd:01", vtepMAC(i), "system:node:w1", "system:node:"+nodeName(i))
	r := template
	r.Machine, r.Node, r.ObservedAt = nodeName(i), nodeName(i), metav1.NewTime(w.now)
	r.Reads, r.Evidence = nil, nil
	for _, read := range template.Reads {
		r.Reads = append(r.Reads, snapshot.MonitorRead{Monitor: read.Monitor, At: metav1.NewTime(read.At.Add(later))})
	}
	var peer, node []snapshot.MachineEvidence
	for _, e := range template.Evidence {
		e = moved(e, later)
		segments := e.Key.Segments()
		switch about, of := segments[0], segments[1]; {
		case about == "mesh" && of == "peer", about == "cluster" && of == "node":
			if segments[2] != "w2" {
				continue
			}
			if about == "mesh" {
				peer = append(peer, e)
			} else {
				node = append(node, e)
			}
			continue
		case w.leftOut(e, about, of):
			continue
		case segments[len(segments)-1] == "node":
			e.Value = nodeName(0)
		}
		e.Key, e.Value = snapshot.EvidenceKey(rename.Replace(string(e.Key))), rename.Replace(e.Value)
		r.Evidence = append(r.Evidence, e)
	}
	for _, p := range w.peers(i) {
		there := strings.NewReplacer("10.99.0.22", nodeIP(p), "10.244.2.", nodeSubnet(p))
		for _, e := range peer {
			r.Evidence = append(r.Evidence, of(e, 2, nodeName(p), there))
		}
	}
	for n := range w.size.Nodes {
		if n == i || w.size.Nodes <= wholeMesh {
			there := strings.NewReplacer("10.99.0.22", nodeIP(n), "10.244.2.", nodeSubnet(n), "22:6a:91:24:ac:c7", vtepMAC(n))
			for _, e := range node {
				r.Evidence = append(r.Evidence, of(e, 2, nodeName(n), there))
			}
		}
		if n != i && w.size.Flannel {
			r.Evidence = append(r.Evidence, entries(n)...)
		}
	}
	for pod := i; pod < w.Pods(); pod += w.size.Nodes {
		r.Evidence = append(r.Evidence, w.sandbox(pod)...)
	}
	r.Sort()
	return r
}

// moved is evidence as it would be later.
func moved(e snapshot.MachineEvidence, later time.Duration) snapshot.MachineEvidence {
	if e.At != nil {
		e.At = &metav1.Time{Time: e.At.Add(later)}
	}
	if at, err := time.Parse(time.RFC3339Nano, e.Value); err == nil {
		e.Value = at.Add(later).Format(time.RFC3339Nano)
	}
	return e
}

// leftOut tells which recorded evidence a machine of this world does not have, or makes of its own.
func (w *World) leftOut(e snapshot.MachineEvidence, about, of string) bool {
	if !w.size.Flannel && (about == "overlay" || about == "cni" || strings.Contains(string(e.Key), "flannel")) {
		return true
	}
	return about == "sandbox" || about == "overlay" && of != "device" && !strings.HasPrefix(e.Value, "dev cni0")
}

// peers of a machine in the mesh.
func (w *World) peers(i int) []int {
	var out []int
	if w.size.Nodes <= wholeMesh {
		for n := range w.size.Nodes {
			if n != i {
				out = append(out, n)
			}
		}
		return out
	}
	for d := 1; d <= meshSide; d++ {
		out = append(out, (i+d)%w.size.Nodes, (i-d+w.size.Nodes)%w.size.Nodes)
	}
	return out
}

// of is evidence about another thing: a name in its key, and addresses in its value.
func of(e snapshot.MachineEvidence, segment int, name string, values *strings.Replacer) snapshot.MachineEvidence {
	segments := e.Key.Segments()
	segments[segment] = name
	e.Key, e.Value = snapshot.KeyOf(segments...), values.Replace(e.Value)
	return e
}

// entries of a machine's VXLAN device for another.
func entries(n int) []snapshot.MachineEvidence {
	gateway := nodeSubnet(n) + "0"
	return []snapshot.MachineEvidence{
		{Key: snapshot.KeyOf("overlay", "route", gateway+"/24"), Value: "via " + gateway + " dev flannel.1 onlink"},
		{Key: snapshot.KeyOf("overlay", "neighbour", "flannel.1", gateway), Value: vtepMAC(n) + " permanent"},
		{Key: snapshot.KeyOf("overlay", "forwarding", "flannel.1", vtepMAC(n)), Value: nodeIP(n)},
	}
}

// sandbox of a pod, as the container runtime tells of it.
func (w *World) sandbox(pod int) []snapshot.MachineEvidence {
	key := func(word string) snapshot.EvidenceKey { return snapshot.KeyOf("sandbox", string(podUID(pod)), word) }
	name := podName(pod/w.size.PodsPerDeployment, pod%w.size.PodsPerDeployment)
	return []snapshot.MachineEvidence{
		{Key: key("created"), Value: w.began.Format(time.RFC3339Nano)},
		{Key: key("exited"), Value: "0"},
		{Key: key("ip"), Value: w.podIP(pod)},
		{Key: key("pod"), Value: w.namespaceOf(pod/w.size.PodsPerDeployment) + "/" + name},
		{Key: key("running"), Value: "2"},
		{Key: key("state"), Value: "ready"},
	}
}

// announce writes on a Node what the kubelet, the controller manager and flannel do.
func announce(n *corev1.Node, i int) {
	n.Spec.PodCIDR = nodeSubnet(i) + "0/24"
	n.Status.Addresses = []corev1.NodeAddress{{Type: corev1.NodeInternalIP, Address: nodeIP(i)}, {Type: corev1.NodeHostName, Address: nodeName(i)}}
	n.Annotations = map[string]string{
		"flannel.alpha.coreos.com/backend-data":        `{"VNI":1,"VtepMAC":"` + vtepMAC(i) + `"}`,
		"flannel.alpha.coreos.com/backend-type":        "vxlan",
		"flannel.alpha.coreos.com/kube-subnet-manager": strconv.FormatBool(true),
		"flannel.alpha.coreos.com/public-ip":           nodeIP(i),
	}
}

// podNetwork is flannel's, where a world has it.
const podNetwork = "10.64.0.0/10"

// nodeSubnet begins the addresses of a node's pods, nodeIP is its own, and vtepMAC that of its VXLAN
// device.
func nodeSubnet(i int) string { return fmt.Sprintf("10.%d.%d.", 64+i/250, i%250) }
func nodeIP(i int) string     { return fmt.Sprintf("172.16.%d.%d", i/250, i%250+1) }
func vtepMAC(i int) string    { return fmt.Sprintf("02:aa:bb:cc:%02x:%02x", i/256, i%256) }
