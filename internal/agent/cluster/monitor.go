package cluster

import (
	"context"
	"fmt"
	"maps"
	"net/netip"
	"slices"
	"strings"
	"time"

	"github.com/maek-dev/maek/internal/monitor"
	"github.com/maek-dev/maek/internal/snapshot"
)

// monitorName is also the first segment of the keys.
const monitorName = "cluster"

// How the API server is, under the key cluster/api.
const (
	apiAnswers = "answers"
	apiSilent  = "silent"
	apiUnknown = "not asked"
)

// flannelKeys are flannel's annotations that become evidence, with the last segments of their keys
// (flannel-io/flannel/pkg/subnet/kube/annotations.go).
var flannelKeys = map[string]string{
	"public-ip":           "flannel-public-ip",
	"public-ip-overwrite": "flannel-public-ip-overwrite",
	"backend-data":        "flannel-backend-data",
	"backend-v6-data":     "flannel-backend-v6-data",
	"backend-type":        "flannel-backend-type",
	"kube-subnet-manager": "flannel-kube-subnet-manager",
}

// Monitor gives what the API server last said of Nodes and Services, so that a machine can be compared
// with it while there is none.
func (v *View) Monitor() monitor.Monitor {
	keys := []monitor.Key{
		{Pattern: "cluster/node/*/uid", Doc: "UID of the Node object"},
		{Pattern: "cluster/node/*/internal-ip", Doc: "internal addresses of the Node, joined by commas"},
		{Pattern: "cluster/node/*/pod-cidr", Doc: "spec.podCIDRs of the Node, joined by commas"},
		{Pattern: "cluster/node/*/ready", Doc: "status of the Node's condition Ready: True, False or Unknown; At: its last transition"},
		{Pattern: "cluster/node/*/agent", Doc: "whether the agent's pod runs there: true or false"},
		{Pattern: "cluster/node/*/agent-key", Doc: "fingerprint of the key of its agent (" + monitor.KeyAnnotation + ")"},
		{Pattern: "cluster/node/*/zone", Doc: "topology.kubernetes.io/zone of the Node"},
		{Pattern: "cluster/node/*/control-plane", Doc: "whether the Node has the role: true or false"},
		{Pattern: "cluster/node/*/unschedulable", Doc: "whether the Node is cordoned: true or false"},
		{Pattern: "cluster/node/*/deleting", Doc: "whether the Node object is about to go: true or false"},
		{Pattern: "cluster/service/*/address", Doc: "cluster addresses of the Service (kube-dns or kubernetes), joined by commas"},
		{Pattern: "cluster/service/*/ports", Doc: "ports of the Service as PROTOCOL/PORT, joined by commas"},
		{Pattern: "cluster/service/*/endpoints", Doc: "its ready endpoints as ADDRESS:PORT, joined by commas; empty where there is none"},
		{Pattern: "cluster/read-at", Doc: "when the API server was last heard; all else under cluster/ was so then"},
		{Pattern: "cluster/api", Doc: "whether the API server answers the agent: answers, silent, or not asked; At: since when it is silent"},
		{Pattern: "cluster/api-error", Doc: "what its last failure was, while it is silent"},
	}
	for _, name := range slices.Sorted(maps.Values(flannelKeys)) {
		keys = append(keys, monitor.Key{
			Pattern: snapshot.EvidenceKey("cluster/node/*/" + name),
			Doc:     "the annotation " + flannelPrefix + strings.TrimPrefix(name, "flannel-") + " of the Node",
		})
	}
	return monitor.Monitor{
		Name:     monitorName,
		Doc:      "what the API server last said of Nodes and of the Services kube-dns and kubernetes, from the agent's watches or, without an API server, from its disk",
		Keys:     keys,
		Interval: 10 * time.Second,
		Observe:  func(context.Context) ([]snapshot.MachineEvidence, error) { return v.observe(), nil },
	}
}

// observe makes what is known evidence. With thousands of nodes that is much, and it is made anew after a
// change only.
func (v *View) observe() []snapshot.MachineEvidence {
	if version := v.version.Load(); v.observed == nil || version != v.observedVersion {
		v.observed, v.observedVersion = v.observeCluster(), version
	}
	return append(slices.Clip(v.observed), v.observeAPI()...)
}

func (v *View) observeCluster() []snapshot.MachineEvidence {
	nodes := v.nodes.all()
	runs := map[string]bool{}
	for _, node := range v.pods.all() {
		runs[node] = true
	}
	out := make([]snapshot.MachineEvidence, 0, 12*len(nodes)+8)
	for name, n := range nodes {
		key := func(last string) snapshot.EvidenceKey { return snapshot.KeyOf(monitorName, "node", name, last) }
		out = append(out,
			monitor.Value(key("uid"), n.UID),
			monitor.Value(key("internal-ip"), joined(n.Addresses)),
			monitor.Value(key("pod-cidr"), joined(n.PodCIDRs)),
			monitor.Since(monitor.Value(key("ready"), n.Ready), n.ReadySince),
			monitor.Bool(key("agent"), runs[name]),
			monitor.Bool(key("control-plane"), n.ControlPlane),
			monitor.Bool(key("unschedulable"), n.Unschedulable),
			monitor.Bool(key("deleting"), n.Deleting),
		)
		if n.Key != "" {
			out = append(out, monitor.Value(key("agent-key"), n.Key))
		}
		if n.Zone != "" {
			out = append(out, monitor.Value(key("zone"), n.Zone))
		}
		for annotation, last := range flannelKeys {
			if value, ok := n.Flannel[annotation]; ok {
				out = append(out, monitor.Value(key(last), value))
			}
		}
	}
	for name := range services {
		if s, ok := v.Service(name); ok {
			key := func(last string) snapshot.EvidenceKey { return snapshot.KeyOf(monitorName, "service", name, last) }
			var endpoints []netip.AddrPort
			for _, e := range v.Endpoints(name) {
				endpoints = append(endpoints, e.At)
			}
			out = append(out,
				monitor.Value(key("address"), joined(s.Addresses)),
				monitor.Value(key("ports"), strings.Join(s.Ports, ",")),
				monitor.Value(key("endpoints"), joined(endpoints)),
			)
		}
	}
	return out
}

func (v *View) observeAPI() []snapshot.MachineEvidence {
	var out []snapshot.MachineEvidence
	if at := v.ReadAt(); !at.IsZero() {
		out = append(out, monitor.Moment("cluster/read-at", at))
	}
	if v.o.Client == nil {
		return append(out, monitor.Value("cluster/api", apiUnknown))
	}
	switch contact := v.o.Client.Contact(); {
	case !contact.Failing.IsZero():
		return append(out,
			monitor.Since(monitor.Value("cluster/api", apiSilent), contact.Failing),
			monitor.Value("cluster/api-error", fmt.Sprint(contact.Error)),
		)
	case contact.Answered.IsZero():
		return append(out, monitor.Value("cluster/api", apiUnknown))
	default:
		return append(out, monitor.Value("cluster/api", apiAnswers))
	}
}

// joined writes addresses or prefixes, or endpoints, one after the other.
func joined[T netip.Addr | netip.Prefix | netip.AddrPort](list []T) string {
	words := make([]string, 0, len(list))
	for _, one := range list {
		words = append(words, fmt.Sprint(one))
	}
	return strings.Join(words, ",")
}
