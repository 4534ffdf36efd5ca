package synthetic

import (
	"cmp"
	"context"
	"fmt"
	"net"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/miekg/dns"
	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"
	"sigs.k8s.io/controller-runtime/pkg/client"
)

const (
	// resolvConf is where the kubelet writes a pod's resolver configuration.
	resolvConf = "/etc/resolv.conf"
	// youngNode is the age up to which a node that cannot resolve is given another chance, as in
	// Kuberhealthy: what makes its network may still be starting.
	youngNode = 3 * time.Minute
	// mostDNSServers bounds how many servers are asked at the same time.
	mostDNSServers = 16
)

var (
	_ = All.Add(Scenario{
		Name: "dns",
		Doc: "Resolves a name, by default one of the cluster's own, as pods do, or with each endpoint of the cluster's DNS. " +
			"A failure means that pods do not find Services, or that one of the DNS servers does not answer.",
		Images:        []string{"dns-resolution-check"},
		Options:       dnsOptions("kubernetes.default"),
		ClusterAccess: dnsAccess,
		Standing:      true,
		Time:          5 * time.Minute,
		Run:           runDNS(dnsOptions("kubernetes.default")),
	})
	_ = All.Add(Scenario{
		Name: "dns-external",
		Doc: "Resolves a name outside of the cluster, as pods do. " +
			"A failure means that the cluster's DNS, or the servers that it forwards to, do not answer for the world outside.",
		Options:       dnsOptions("google.com"),
		ClusterAccess: dnsAccess,
		Time:          5 * time.Minute,
		Run:           runDNS(dnsOptions("google.com")),
	})

	dnsAccess = []rbacv1.PolicyRule{
		{APIGroups: []string{discoveryv1.GroupName}, Resources: []string{"endpointslices"}, Verbs: []string{"list"}},
		{APIGroups: []string{""}, Resources: []string{"nodes"}, Verbs: []string{"get"}},
	}
)

func dnsOptions(host string) []Option {
	return []Option{
		{Name: "HOSTNAME", Default: host, Doc: "Name to resolve. The pod's own name, which container runtimes put there, counts as not set."},
		{Name: "DNS_POD_SELECTOR", Doc: "Labels of the Services whose endpoints are asked one by one, such as k8s-app=kube-dns; without it the resolver of the pod is asked."},
		{Name: "NAMESPACE", Doc: "Namespace of those Services; without it all namespaces."},
		{Name: "NODE_NAME", Doc: "Node that the check runs on: where it is younger than 3 minutes, a failure is looked at again."},
	}
}

func runDNS(table []Option) func(context.Context, Environment) (Result, error) {
	return func(ctx context.Context, env Environment) (Result, error) {
		conf, err := dns.ClientConfigFromFile(resolvConf)
		if err != nil {
			return Result{}, fmt.Errorf("reading the pod's resolver configuration: %w", err)
		}
		return lookup{env: env, table: table, conf: conf}.run(ctx)
	}
}

// lookup resolves one name.
type lookup struct {
	env   Environment
	table []Option
	conf  *dns.ClientConfig
}

func (l lookup) run(ctx context.Context) (Result, error) {
	o := l.env.read(l.table)
	host, selector, namespace := o.text("HOSTNAME"), o.text("DNS_POD_SELECTOR"), o.text("NAMESPACE")
	node := cmp.Or(l.env.Node, o.text("NODE_NAME"))
	if ownName(host, l.env.Pod) {
		host = l.table[0].Default
	}
	if _, ok := dns.IsDomainName(host); !ok {
		o.refuse("HOSTNAME", host, "the name of a host, such as kubernetes.default")
	}
	if selector != "" {
		if _, err := labels.Parse(selector); err != nil {
			o.refuse("DNS_POD_SELECTOR", selector, "labels such as k8s-app=kube-dns")
		}
	}
	if err := o.err(); err != nil {
		return Result{}, err
	}

	result, err := l.look(ctx, host, selector, namespace, node)
	if err != nil || result.OK() || node == "" {
		return result, err
	}
	// The node is asked for only when there is something to excuse.
	again, note := l.wait(ctx, node)
	if note != "" {
		result.Notes = append(result.Notes, note)
	}
	if !again {
		return result, nil
	}
	return l.look(ctx, host, selector, namespace, node)
}

// ownName tells whether a name is only what the container runtime calls the pod: kernels cut a host name
// at 64 bytes, and the kubelet at 63 (k8s.io/kubernetes/pkg/kubelet/util, hostnameMaxLen).
func ownName(host, pod string) bool {
	const longest = 63
	return pod != "" && (host == pod || len(host) >= longest-1 && strings.HasPrefix(pod, host))
}

// look resolves the name once, by each server that there is to ask.
func (l lookup) look(ctx context.Context, host, selector, namespace, node string) (Result, error) {
	names := l.conf.NameList(host)
	if selector == "" {
		return l.asPods(ctx, host, names, node), nil
	}
	servers, err := l.endpoints(ctx, selector, namespace)
	if err != nil {
		return Result{}, fmt.Errorf("DNS status check unable to get dns endpoints from cluster: %w", err)
	}
	if len(servers) == 0 {
		return Result{Errors: []string{fmt.Sprintf("No endpoints found: no Service of %s with the labels %s has an endpoint that is ready, so nothing answers for cluster DNS there",
			namespaceOrAll(namespace), selector)}}, nil
	}
	return l.each(ctx, host, names, servers), nil
}

// asPods resolves the name as a pod's resolver does: the next server is asked where one fails.
func (l lookup) asPods(ctx context.Context, host string, names []string, node string) Result {
	if len(l.conf.Servers) == 0 {
		return Result{Errors: []string{down(host, "the pod's "+resolvConf+" names no server")}}
	}
	var result Result
	var failures []string
	found := false
	for _, address := range l.conf.Servers {
		server := dnsServer{address: net.JoinHostPort(address, l.conf.Port)}
		if err := resolve(ctx, server, names, l.conf.Timeout); err != nil {
			failures = append(failures, err.Error())
			continue
		}
		found = true
	}
	switch {
	case !found:
		result.Errors = []string{down(host, strings.Join(failures, "; "))}
	default:
		// Each name takes longer while a server in the list does not answer.
		for _, failure := range failures {
			result.Notes = append(result.Notes, "another server of "+resolvConf+" resolves the name, but "+failure)
		}
	}
	if node != "" {
		result.Nodes = []NodeResult{{Node: node, OK: found, Message: strings.Join(result.Errors, "; ")}}
	}
	return result
}

// each has every server resolve the name.
func (l lookup) each(ctx context.Context, host string, names []string, servers []dnsServer) Result {
	failures := make([]error, len(servers))
	var asked sync.WaitGroup
	slots := make(chan struct{}, mostDNSServers)
	for i, server := range servers {
		slots <- struct{}{}
		asked.Go(func() {
			defer func() { <-slots }()
			failures[i] = resolve(ctx, server, names, l.conf.Timeout)
		})
	}
	asked.Wait()

	var result Result
	nodes := map[string]NodeResult{}
	for i, server := range servers {
		node := NodeResult{Node: server.node, OK: failures[i] == nil}
		if !node.OK {
			node.Message = failures[i].Error()
			result.Errors = append(result.Errors, down(host, node.Message))
		}
		if known, again := nodes[server.node]; server.node != "" && (!again || known.OK) {
			nodes[server.node] = node
		}
	}
	for _, node := range nodes {
		result.Nodes = append(result.Nodes, node)
	}
	slices.SortFunc(result.Nodes, func(a, b NodeResult) int { return cmp.Compare(a.Node, b.Node) })
	return result
}

// wait lets a young node grow up, and tells whether it is worth looking again.
func (l lookup) wait(ctx context.Context, name string) (again bool, note string) {
	var node corev1.Node
	if err := explain(l.env.Client.Get(ctx, client.ObjectKey{Name: name}, &node), "get", "nodes", ""); err != nil {
		return false, "how old the node is could not be read: " + err.Error()
	}
	left := youngNode - l.env.Clock.Since(node.CreationTimestamp.Time)
	if left <= 0 {
		return false, ""
	}
	if deadline, ok := ctx.Deadline(); ok && l.env.Clock.Now().Add(left+l.patience()).After(deadline) {
		return false, fmt.Sprintf("node %s is younger than %s, and the run ends before it is not", name, youngNode)
	}
	l.env.Log.Info("the node is young: the name is looked up again when it is not", "node", name, "wait", left)
	select {
	case <-ctx.Done():
		return false, ""
	case <-l.env.Clock.After(left):
		return true, ""
	}
}

// patience is how long a lookup takes in which every server is silent.
func (l lookup) patience() time.Duration {
	return time.Duration(l.conf.Timeout*len(l.conf.Servers)*dnsTries) * time.Second
}

// down words a failure as Kuberhealthy does.
func down(host, why string) string {
	return "DNS Status check determined that " + host + " is DOWN: " + why
}

// endpoints returns the servers behind the Services with certain labels.
func (l lookup) endpoints(ctx context.Context, selector, namespace string) ([]dnsServer, error) {
	var servers []dnsServer
	where := metav1.ListOptions{LabelSelector: selector}
	err := each(ctx, l.env.Client, &discoveryv1.EndpointSliceList{}, "endpointslices", namespace, where, func(s *discoveryv1.EndpointSlice) {
		servers = append(servers, serversOf(s)...)
	})
	if denied(err) {
		// Kuberhealthy's roles give Endpoints only, from which the API server made EndpointSlices later.
		servers = nil
		if older := each(ctx, l.env.Client, &corev1.EndpointsList{}, "endpoints", namespace, where, func(e *corev1.Endpoints) { //nolint:staticcheck // deprecated, and all that roles made for Kuberhealthy give
			servers = append(servers, serversOfEndpoints(e)...)
		}); !denied(older) {
			err = older
		}
	}
	slices.SortFunc(servers, func(a, b dnsServer) int { return cmp.Compare(a.address, b.address) })
	return slices.CompactFunc(servers, func(a, b dnsServer) bool { return a.address == b.address }), err
}

// serversOf returns the DNS servers of an EndpointSlice: those that are ready, on the port that speaks
// UDP, as a resolver begins with that.
func serversOf(s *discoveryv1.EndpointSlice) []dnsServer {
	port := 0
	for _, p := range s.Ports {
		if p.Port != nil && p.Protocol != nil && *p.Protocol == corev1.ProtocolUDP {
			port = int(*p.Port)
		}
	}
	var servers []dnsServer
	for _, e := range s.Endpoints {
		// A condition that is not given counts as true (k8s.io/api/discovery/v1, EndpointConditions).
		if port == 0 || e.Conditions.Ready != nil && !*e.Conditions.Ready || len(e.Addresses) == 0 {
			continue
		}
		server := dnsServer{address: net.JoinHostPort(e.Addresses[0], strconv.Itoa(port))}
		if e.TargetRef != nil {
			server.pod = e.TargetRef.Name
		}
		if e.NodeName != nil {
			server.node = *e.NodeName
		}
		servers = append(servers, server)
	}
	return servers
}

// serversOfEndpoints is serversOf for the older kind.
func serversOfEndpoints(e *corev1.Endpoints) []dnsServer { //nolint:staticcheck // see endpoints
	var servers []dnsServer
	for _, subset := range e.Subsets {
		at := slices.IndexFunc(subset.Ports, func(p corev1.EndpointPort) bool { return p.Protocol == corev1.ProtocolUDP })
		if at < 0 {
			continue
		}
		for _, address := range subset.Addresses {
			server := dnsServer{address: net.JoinHostPort(address.IP, strconv.Itoa(int(subset.Ports[at].Port)))}
			if address.TargetRef != nil {
				server.pod = address.TargetRef.Name
			}
			if address.NodeName != nil {
				server.node = *address.NodeName
			}
			servers = append(servers, server)
		}
	}
	return servers
}
