// Package peer is what the parts of an agent agree on about other agents: who they are, and how one
// is reached so that each side knows the other.
package peer

import (
	"context"
	"net/http"
	"net/netip"
)

// MeshPath is below which an agent answers the mesh's requests of its peers, and of nobody else.
const MeshPath = "/mesh/"

// Peer is the agent of a machine.
type Peer struct {
	// Node is the name of the Node object of its machine.
	Node string `json:"node"`
	// UID of the Node object: a node that was made anew under an old name is another one.
	UID string `json:"uid"`
	// Addresses of the machine in the network of the machines, the preferred first.
	Addresses []netip.Addr `json:"addresses"`
	// PodCIDRs of the node.
	PodCIDRs []netip.Prefix `json:"podCIDRs,omitempty"`
	// Key is the fingerprint of its public key (monitor.KeyAnnotation); empty while none is published.
	Key string `json:"key,omitempty"`
	// Zone of the node (topology.kubernetes.io/zone); empty where there is none.
	Zone string `json:"zone,omitempty"`
	// ControlPlane tells whether the node carries the role.
	ControlPlane bool `json:"controlPlane,omitempty"`
	// Expected tells whether an agent is meant to answer there: the node is not being deleted, and the
	// agent's pod on it was running when the API server was last heard.
	Expected bool `json:"expected"`
}

// Source knows the agents of the cluster. What it knows outlives the API server.
type Source interface {
	// Self is this machine's own agent.
	Self() Peer
	// Peers are all others, by node.
	Peers() []Peer
}

// Client makes an HTTP client that reaches one peer at one of its addresses, at monitor.Port. It shows
// this agent's certificate and accepts that peer's key alone. Connections are kept between requests.
type Client func(p Peer, at netip.Addr) *http.Client

// contextKey carries the peer that sent a request.
type contextKey struct{}

// WithCaller returns a context of a request that a peer sent.
func WithCaller(ctx context.Context, p Peer) context.Context {
	return context.WithValue(ctx, contextKey{}, p)
}

// Caller is the peer that sent a request; false where it was somebody else.
func Caller(ctx context.Context) (Peer, bool) {
	p, ok := ctx.Value(contextKey{}).(Peer)
	return p, ok
}
