// Package cluster is what an agent knows of its cluster: the nodes, their agents, and the Services that
// every pod needs. It watches the API server, keeps all on disk, and goes on with what it kept while
// there is no API server, for months where it must.
package cluster

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"maps"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/tools/cache"

	"github.com/maek-dev/maek/internal/agent/apiserver"
	"github.com/maek-dev/maek/internal/agent/peer"
	"github.com/maek-dev/maek/internal/monitor"
	"github.com/maek-dev/maek/internal/snapshot"
)

// stored is the name under which the view is kept.
const stored = "cluster"

// coalesce is how long changes are gathered before they are written to disk.
const coalesce = 2 * time.Second

// The Services that are followed, by the name under which evidence tells of them.
var services = map[string]types.NamespacedName{
	"kube-dns":   {Namespace: metav1.NamespaceSystem, Name: "kube-dns"},
	"kubernetes": {Namespace: metav1.NamespaceDefault, Name: "kubernetes"},
}

// Options of a view.
type Options struct {
	// Node is this machine's.
	Node string
	// Namespace of the agent's own pods.
	Namespace string
	// Store keeps the view.
	Store monitor.Store
	// Client of the API server; nil where there is none.
	Client *apiserver.Client
	// Now is the machine's clock.
	Now func() time.Time
	// Log of what goes wrong with the view itself.
	Log *slog.Logger
}

// View is a peer.Source.
type View struct {
	o         Options
	nodes     *table[Node]
	pods      *table[string]
	services  map[string]*table[Service]
	endpoints map[string]*table[Endpoints]
	authority *table[string]
	change    chan struct{}
	// version counts changes.
	version atomic.Int64
	// observed is the evidence of observedVersion. Only the monitor uses it, which never looks twice at once.
	observed        []snapshot.MachineEvidence
	observedVersion int64

	mu sync.Mutex
	// readAt is when what was loaded from disk was read from the API server.
	readAt time.Time
	peers  []peer.Peer
	self   peer.Peer
	subs   []func()
}

// kept is the view's form on disk.
type kept struct {
	ReadAt    time.Time            `json:"readAt"`
	Nodes     map[string]Node      `json:"nodes"`
	Pods      map[string]string    `json:"pods"`
	Services  map[string]Service   `json:"services"`
	Endpoints map[string]Endpoints `json:"endpoints"`
	Authority string               `json:"authority"`
}

// New makes a view of what is kept. What is kept and cannot be read is left aside: it was read from the
// API server, and will be again.
func New(o Options) (*View, error) {
	v := &View{o: o, change: make(chan struct{}, 1), services: map[string]*table[Service]{}, endpoints: map[string]*table[Endpoints]{}}
	v.nodes = tableOf(v, nodeRow, trimNode)
	v.pods = tableOf(v, podRow, nil)
	v.authority = tableOf(v, authorityRow, nil)
	for name := range services {
		v.services[name] = tableOf(v, serviceRow, nil)
		v.endpoints[name] = tableOf(v, endpointsRow, nil)
	}
	data, err := o.Store.Load(stored)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		o.Log.Warn("what was known of the cluster cannot be read; it is read anew", "error", err)
	}
	var k kept
	if err == nil {
		if err := json.Unmarshal(data, &k); err != nil {
			o.Log.Warn("what was known of the cluster cannot be read; it is read anew", "error", err)
			k = kept{}
		}
	}
	v.readAt = k.ReadAt
	v.nodes.fill(k.Nodes)
	v.pods.fill(k.Pods)
	for name := range services {
		if s, ok := k.Services[name]; ok {
			v.services[name].fill(map[string]Service{services[name].String(): s})
		}
		if e, ok := k.Endpoints[name]; ok {
			v.endpoints[name].fill(map[string]Endpoints{services[name].String(): e})
		}
	}
	if k.Authority != "" {
		v.authority.fill(map[string]string{authority.String(): k.Authority})
	}
	v.rebuild()
	return v, nil
}

func tableOf[T any](v *View, row func(any) (T, error), trim cache.TransformFunc) *table[T] {
	return &table[T]{row: row, trim: trim, changed: v.changed, heard: v.heard}
}

// authority is the ConfigMap that tells who signs client certificates.
var authority = types.NamespacedName{Namespace: metav1.NamespaceSystem, Name: "extension-apiserver-authentication"}

func (v *View) heard() {
	if v.o.Client != nil {
		v.o.Client.Heard(nil)
	}
}

func (v *View) changed() {
	v.rebuild()
	v.version.Add(1)
	select {
	case v.change <- struct{}{}:
	default:
	}
	v.mu.Lock()
	subs := v.subs
	v.mu.Unlock()
	for _, f := range subs {
		f()
	}
}

// OnChange has f called after every change. It must return soon.
func (v *View) OnChange(f func()) {
	v.mu.Lock()
	defer v.mu.Unlock()
	v.subs = append(slices.Clip(v.subs), f)
}

// Run watches the API server until the context ends, and keeps what it learns on disk.
func (v *View) Run(ctx context.Context) {
	var wg sync.WaitGroup
	if c := v.o.Client; c != nil {
		wg.Go(func() { c.Watch(ctx, apiserver.Nodes(), v.nodes) })
		wg.Go(func() { c.Watch(ctx, apiserver.Pods(v.o.Namespace, agentPods), v.pods) })
		wg.Go(func() { c.Watch(ctx, apiserver.ConfigMap(authority.Namespace, authority.Name), v.authority) })
		for name, s := range services {
			wg.Go(func() { c.Watch(ctx, apiserver.Service(s.Namespace, s.Name), v.services[name]) })
			wg.Go(func() { c.Watch(ctx, apiserver.EndpointSlices(s.Namespace, s.Name), v.endpoints[name]) })
		}
	}
	wg.Go(func() { v.keep(ctx) })
	wg.Wait()
}

// agentPods selects the pods of agents.
const agentPods = "app.kubernetes.io/name=maek,app.kubernetes.io/component=" + monitor.Component

// keep writes the view to disk after changes, and once more at the end where one is not yet written.
func (v *View) keep(ctx context.Context) {
	for ctx.Err() == nil {
		select {
		case <-ctx.Done():
			// What changed last is not yet written, maybe.
			select {
			case <-v.change:
			default:
				return
			}
		case <-v.change:
			timer := time.NewTimer(coalesce)
			select {
			case <-ctx.Done():
				timer.Stop()
			case <-timer.C:
			}
			// What changed while it waited is written with it.
			select {
			case <-v.change:
			default:
			}
		}
		if err := v.save(); err != nil {
			v.o.Log.Error("what is known of the cluster could not be kept", "error", err)
		}
	}
}

func (v *View) save() error {
	k := kept{
		ReadAt: v.ReadAt(), Nodes: v.nodes.all(), Pods: v.pods.all(),
		Services: map[string]Service{}, Endpoints: map[string]Endpoints{}, Authority: v.ClientCA(),
	}
	for name := range services {
		if s, ok := v.Service(name); ok {
			k.Services[name] = s
		}
		k.Endpoints[name] = Endpoints{Ready: v.Endpoints(name)}
	}
	data, err := json.Marshal(k)
	if err != nil {
		return fmt.Errorf("encoding what is known of the cluster: %w", err)
	}
	return v.o.Store.Save(stored, data)
}

// ReadAt is when the API server was last heard; zero where it never was.
func (v *View) ReadAt() time.Time {
	v.mu.Lock()
	at := v.readAt
	v.mu.Unlock()
	if v.o.Client != nil {
		if answered := v.o.Client.Contact().Answered; !answered.IsZero() {
			at = answered
		}
	}
	return at
}

// ClientCA is the bundle of the authorities that sign the cluster's client certificates, as PEM; empty
// while it is not known.
func (v *View) ClientCA() string { return v.authority.all()[authority.String()] }

// Service tells of a followed Service: "kube-dns" or "kubernetes".
func (v *View) Service(name string) (Service, bool) {
	s, ok := v.services[name].all()[services[name].String()]
	return s, ok
}

// Endpoints are the ready endpoints of a followed Service, in order.
func (v *View) Endpoints(name string) []Endpoint {
	var out []Endpoint
	for _, row := range v.endpoints[name].all() {
		out = append(out, row.Ready...)
	}
	return inOrder(out)
}

// Nodes of the cluster, by name.
func (v *View) Nodes() map[string]Node { return v.nodes.all() }

// Self is this machine's own agent.
func (v *View) Self() peer.Peer {
	v.mu.Lock()
	defer v.mu.Unlock()
	return v.self
}

// Peers are all other agents, by node. The slice is shared: do not write to it.
func (v *View) Peers() []peer.Peer {
	v.mu.Lock()
	defer v.mu.Unlock()
	return v.peers
}

// rebuild makes the peers anew from the tables.
func (v *View) rebuild() {
	nodes, pods := v.nodes.all(), v.pods.all()
	runs := map[string]bool{}
	for _, node := range pods {
		runs[node] = node != ""
	}
	self := peer.Peer{Node: v.o.Node}
	peers := make([]peer.Peer, 0, len(nodes))
	for _, name := range slices.Sorted(maps.Keys(nodes)) {
		n := nodes[name]
		p := peer.Peer{
			Node: name, UID: n.UID, Addresses: n.Addresses, PodCIDRs: n.PodCIDRs, Key: n.Key, Zone: n.Zone,
			ControlPlane: n.ControlPlane, Expected: runs[name] && !n.Deleting,
		}
		if name == v.o.Node {
			self = p
		} else {
			peers = append(peers, p)
		}
	}
	v.mu.Lock()
	defer v.mu.Unlock()
	v.self, v.peers = self, peers
}

// Publish keeps the fingerprint of this agent's key on its own Node, until the context ends.
func (v *View) Publish(ctx context.Context, fingerprint string) {
	wake := make(chan struct{}, 1)
	v.OnChange(func() {
		select {
		case wake <- struct{}{}:
		default:
		}
	})
	patch := map[string]any{"metadata": map[string]any{"annotations": map[string]string{monitor.KeyAnnotation: fingerprint}}}
	wait := time.Duration(0)
	for {
		if self := v.Self(); self.UID != "" && self.Key != fingerprint {
			err := v.o.Client.PatchNode(ctx, v.o.Node, types.MergePatchType, patch)
			if err != nil && ctx.Err() == nil {
				v.o.Log.Warn("the fingerprint of the agent's key could not be published", "error", err)
			}
			wait = min(cmp.Or(2*wait, publishAgain), publishAtMost)
		} else {
			wait = 0
		}
		var again <-chan time.Time
		if wait > 0 {
			again = time.After(wait)
		}
		select {
		case <-ctx.Done():
			return
		case <-again:
		case <-wake:
			if wait > 0 {
				// A change that does not bring the key is no reason to patch sooner.
				select {
				case <-ctx.Done():
					return
				case <-again:
				}
			}
		}
	}
}

// How long publishing waits for its own effect, before it tries again.
const (
	publishAgain  = 5 * time.Second
	publishAtMost = 5 * time.Minute
)
