package identity

import (
	"cmp"
	"context"
	"net"
	"net/http"
	"net/netip"
	"sync"
	"time"

	"github.com/maek-dev/maek/internal/agent/peer"
	"github.com/maek-dev/maek/internal/monitor"
)

// Clients makes clients for peers and keeps them, with their connections.
type Clients struct {
	own Own
	// port of agents; tests have others.
	port uint16

	mu   sync.Mutex
	kept map[destination]*http.Client
}

type destination struct {
	node, key string
	at        netip.Addr
}

// NewClients makes a maker of clients. A port of 0 is monitor.Port.
func NewClients(own Own, port uint16) *Clients {
	return &Clients{own: own, port: cmp.Or(port, monitor.Port), kept: map[destination]*http.Client{}}
}

// For is a peer.Client: whatever host a URL names, the request goes to the peer's machine.
func (c *Clients) For(p peer.Peer, at netip.Addr) *http.Client {
	to := destination{p.Node, p.Key, at}
	c.mu.Lock()
	defer c.mu.Unlock()
	if client, ok := c.kept[to]; ok {
		return client
	}
	dialer := &net.Dialer{Timeout: dialTimeout}
	address := netip.AddrPortFrom(at, c.port).String()
	client := &http.Client{
		Transport: &http.Transport{
			DialContext: func(ctx context.Context, network, _ string) (net.Conn, error) {
				return dialer.DialContext(ctx, network, address)
			},
			TLSClientConfig:        c.own.Client(p),
			TLSHandshakeTimeout:    dialTimeout,
			ResponseHeaderTimeout:  answerTimeout,
			MaxResponseHeaderBytes: 16 << 10,
			MaxIdleConnsPerHost:    1,
			IdleConnTimeout:        idleTimeout,
			ReadBufferSize:         4 << 10,
			WriteBufferSize:        4 << 10,
		},
		// An agent never sends its peers elsewhere.
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}
	c.kept[to] = client
	return client
}

// How long a peer may take. An agent is asked by people who wait.
const (
	dialTimeout   = 2 * time.Second
	answerTimeout = 10 * time.Second
	idleTimeout   = 90 * time.Second
)

// Forget drops the clients of peers that are no more, or have another key or address now.
func (c *Clients) Forget(peers []peer.Peer) {
	alive := map[destination]bool{}
	for _, p := range peers {
		for _, at := range p.Addresses {
			alive[destination{p.Node, p.Key, at}] = true
		}
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	for to, client := range c.kept {
		if !alive[to] {
			client.CloseIdleConnections()
			delete(c.kept, to)
		}
	}
}
