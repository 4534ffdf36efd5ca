package cluster

import (
	"fmt"
	"net/netip"
	"slices"
	"strconv"
	"strings"
	"time"

	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"

	"github.com/maek-dev/maek/internal/monitor"
)

// Node is what is kept of a Node object.
type Node struct {
	// UID of the object.
	UID string `json:"uid"`
	// Addresses are its internal ones, in the order of the object.
	Addresses []netip.Addr `json:"addresses,omitempty"`
	// PodCIDRs of the node.
	PodCIDRs []netip.Prefix `json:"podCIDRs,omitempty"`
	// Ready is the status of its condition Ready, and since when; empty where it has none.
	Ready string `json:"ready,omitempty"`
	// ReadySince is when Ready came to be so.
	ReadySince time.Time `json:"readySince,omitzero"`
	// Key of its agent.
	Key string `json:"key,omitempty"`
	// Zone of the node.
	Zone string `json:"zone,omitempty"`
	// ControlPlane tells whether it carries the role.
	ControlPlane bool `json:"controlPlane,omitempty"`
	// Unschedulable tells whether it is cordoned.
	Unschedulable bool `json:"unschedulable,omitempty"`
	// Deleting tells whether the object is about to go.
	Deleting bool `json:"deleting,omitempty"`
	// Flannel holds its annotations of flannel's, without their prefix.
	Flannel map[string]string `json:"flannel,omitempty"`
}

// flannelPrefix begins flannel's annotations
// (https://github.com/flannel-io/flannel/blob/master/Documentation/kubernetes.md, --kube-annotation-prefix).
const flannelPrefix = "flannel.alpha.coreos.com/"

// controlPlaneRole marks nodes of the control plane (kubernetes/cmd/kubeadm/app/constants/constants.go).
const controlPlaneRole = "node-role.kubernetes.io/control-plane"

func nodeRow(obj any) (Node, error) {
	n, ok := obj.(*corev1.Node)
	if !ok {
		return Node{}, fmt.Errorf("a watch of Nodes gave a %T", obj)
	}
	_, controlPlane := n.Labels[controlPlaneRole]
	row := Node{
		UID: string(n.UID), Key: n.Annotations[monitor.KeyAnnotation], Zone: n.Labels[corev1.LabelTopologyZone],
		ControlPlane: controlPlane, Unschedulable: n.Spec.Unschedulable, Deleting: n.DeletionTimestamp != nil,
	}
	for _, a := range n.Status.Addresses {
		if address, err := netip.ParseAddr(a.Address); err == nil && a.Type == corev1.NodeInternalIP {
			row.Addresses = append(row.Addresses, address)
		}
	}
	for _, cidr := range n.Spec.PodCIDRs {
		if prefix, err := netip.ParsePrefix(cidr); err == nil {
			row.PodCIDRs = append(row.PodCIDRs, prefix)
		}
	}
	for _, c := range n.Status.Conditions {
		if c.Type == corev1.NodeReady {
			row.Ready, row.ReadySince = string(c.Status), c.LastTransitionTime.UTC()
		}
	}
	for name, value := range n.Annotations {
		if short, ok := strings.CutPrefix(name, flannelPrefix); ok {
			if row.Flannel == nil {
				row.Flannel = map[string]string{}
			}
			row.Flannel[short] = value
		}
	}
	return row, nil
}

// trimNode drops most of a Node, of which images and managed fields are the larger part.
func trimNode(obj any) (any, error) {
	if n, ok := obj.(*corev1.Node); ok {
		n.ManagedFields, n.Status.Images = nil, nil
	}
	return obj, nil
}

// podRow is the node on which a pod of the agent runs; empty where it does not run.
func podRow(obj any) (string, error) {
	p, ok := obj.(*corev1.Pod)
	if !ok {
		return "", fmt.Errorf("a watch of Pods gave a %T", obj)
	}
	if p.DeletionTimestamp != nil || p.Status.Phase != corev1.PodRunning {
		return "", nil
	}
	return p.Spec.NodeName, nil
}

// Service is what is kept of a Service object.
type Service struct {
	// Addresses are its cluster addresses.
	Addresses []netip.Addr `json:"addresses,omitempty"`
	// Ports as "TCP/443".
	Ports []string `json:"ports,omitempty"`
}

func serviceRow(obj any) (Service, error) {
	s, ok := obj.(*corev1.Service)
	if !ok {
		return Service{}, fmt.Errorf("a watch of Services gave a %T", obj)
	}
	var row Service
	for _, a := range s.Spec.ClusterIPs {
		if address, err := netip.ParseAddr(a); err == nil {
			row.Addresses = append(row.Addresses, address)
		}
	}
	for _, p := range s.Spec.Ports {
		row.Ports = append(row.Ports, string(p.Protocol)+"/"+strconv.Itoa(int(p.Port)))
	}
	return row, nil
}

// Endpoint is one that takes connections.
type Endpoint struct {
	// At is where.
	At netip.AddrPort `json:"at"`
	// Node that it runs on; empty where the object does not say.
	Node string `json:"node,omitempty"`
}

// Endpoints is what is kept of an EndpointSlice object.
type Endpoints struct {
	// Ready are the endpoints that take connections, in order.
	Ready []Endpoint `json:"ready,omitempty"`
}

// metricsPort is the name of a port that is no part of the service: CoreDNS has one
// (kubernetes/cmd/kubeadm/app/phases/addons/dns/manifests.go).
const metricsPort = "metrics"

func endpointsRow(obj any) (Endpoints, error) {
	s, ok := obj.(*discoveryv1.EndpointSlice)
	if !ok {
		return Endpoints{}, fmt.Errorf("a watch of EndpointSlices gave a %T", obj)
	}
	var row Endpoints
	for _, e := range s.Endpoints {
		if e.Conditions.Ready != nil && !*e.Conditions.Ready {
			continue
		}
		for _, a := range e.Addresses {
			address, err := netip.ParseAddr(a)
			if err != nil {
				continue
			}
			for _, p := range s.Ports {
				if p.Port != nil && (p.Name == nil || *p.Name != metricsPort) {
					at := netip.AddrPortFrom(address, uint16(*p.Port)) //nolint:gosec // validated by the API server
					endpoint := Endpoint{At: at}
					if e.NodeName != nil {
						endpoint.Node = *e.NodeName
					}
					row.Ready = append(row.Ready, endpoint)
				}
			}
		}
	}
	row.Ready = inOrder(row.Ready)
	return row, nil
}

// inOrder sorts endpoints and drops those that are told twice, for TCP and for UDP.
func inOrder(endpoints []Endpoint) []Endpoint {
	slices.SortFunc(endpoints, func(a, b Endpoint) int { return a.At.Compare(b.At) })
	return slices.CompactFunc(endpoints, func(a, b Endpoint) bool { return a.At == b.At })
}

// authorityRow is the bundle of the authorities that sign the cluster's client certificates
// (kubernetes/pkg/controlplane/controller/clusterauthenticationtrust).
func authorityRow(obj any) (string, error) {
	c, ok := obj.(*corev1.ConfigMap)
	if !ok {
		return "", fmt.Errorf("a watch of ConfigMaps gave a %T", obj)
	}
	return c.Data["client-ca-file"], nil
}
