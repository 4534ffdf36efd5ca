// Package mesh lets the agents of a cluster watch the paths between their machines: over the network
// of the machines and over the pod network, with small packets and with such that fill the MTU, in
// each direction by itself. It also asks cluster DNS and the API server from here. What it found is
// evidence of the agent's report; which machine is to blame, rules say who see many reports.
//
// Agents greet each other over mutual TLS and hand out keys; after that they send beacons (package
// beacon) that need no connection, and go on when the API server, or the greeting's path, is gone.
package mesh

import (
	"cmp"
	"context"
	"crypto/x509"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/netip"
	"sync"
	"time"

	"github.com/maek-dev/maek/internal/agent/mesh/beacon"
	"github.com/maek-dev/maek/internal/agent/mesh/here"
	"github.com/maek-dev/maek/internal/agent/peer"
	"github.com/maek-dev/maek/internal/monitor"
)

// Options of a Mesh.
type Options struct {
	// Source knows this agent and its peers.
	Source peer.Source
	// Client reaches peers.
	Client peer.Client
	// Now is the machine's clock.
	Now func() time.Time
	// Log takes what people who run the agent should see: what changes, not what repeats.
	Log *slog.Logger
	// Store keeps the keys of beacons across restarts, so that beacons go on while nobody can be
	// greeted. Nil keeps nothing.
	Store monitor.Store
	// Boot is the boot ID of the machine, which peers are told.
	Boot string
	// Targets are the servers of cluster DNS and of the API that are asked from here; nil asks none.
	Targets func() Targets
	// Port at which agents are reached, TCP and UDP; zero means monitor.Port.
	Port int
	// Interfaces of the machine with their addresses; nil reads those of the process.
	Interfaces func() ([]Interface, error)
	// Listen opens what beacons are sent and received through; nil opens UDP sockets at Port.
	Listen func(ctx context.Context, port int) (Conn, error)
}

// Targets are what is asked from every machine beside the peers.
type Targets = here.Targets

// Target is one server that is asked.
type Target = here.Target

// Roots are the certificates by which API servers are known.
type Roots = *x509.CertPool

// Interface is a network interface of the machine.
type Interface struct {
	// Name of it, such as "flannel.1".
	Name string
	// MTU in bytes.
	MTU int
	// Addresses on it.
	Addresses []netip.Prefix
}

// Conn sends and receives packets that must not be fragmented on their way.
type Conn interface {
	// Send gives a packet to the network. An error means that it did not leave the machine.
	Send(packet []byte, to netip.AddrPort) error
	// Receive waits for a packet and returns its length, which can be more than the buffer's.
	Receive(buffer []byte) (n int, from netip.AddrPort, err error)
	// Close makes Receive return.
	Close() error
}

// Mesh is an agent's part of it.
type Mesh struct {
	o       Options
	here    *here.Watch
	session uint32
	// tick is how often it looks what is due, and timeout how long a request to a peer may take.
	tick, timeout time.Duration

	// unkept is why keys could not be kept at the last try; only beat uses it.
	unkept error

	mu      sync.Mutex
	secret  []byte
	links   map[string]*link      // by UID of the peer's node
	byID    map[beacon.ID]*link   // the same
	keys    map[string]remembered // what peers gave us, by UID; outlives links
	active  []*link               // those that are watched now, by node
	local   local
	counts  counts
	conn    Conn
	closed  error // why there is no conn
	unsaved bool
	packet  [mostMTU]byte
}

// counts of packets since the process started.
type counts struct {
	sent, refused, received                                        uint64
	malformed, unknown, forged, repeated, limited, throttled, lied uint64
	// flooded is when packets were last left unread since there were too many.
	flooded time.Time
}

// New makes an agent's mesh, with the keys that it kept.
func New(o Options) (*Mesh, error) {
	o.Port = cmp.Or(o.Port, monitor.Port)
	if o.Interfaces == nil {
		o.Interfaces = interfaces
	}
	if o.Listen == nil {
		o.Listen = listen
	}
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	m := &Mesh{
		o: o, links: map[string]*link{}, byID: map[beacon.ID]*link{},
		session: uint32(o.Now().Unix()), //nolint:gosec // good until 2106
		tick:    tick,
		timeout: contactTimeout,
		here:    here.New(o.Targets, o.Now),
	}
	if err := m.load(); err != nil {
		return nil, err
	}
	return m, nil
}

// Run greets, sends and listens until the context ends; then it tells its peers that it leaves.
func (m *Mesh) Run(ctx context.Context) {
	var wg sync.WaitGroup
	m.look()
	wg.Go(func() { m.listenAgain(ctx) })
	wg.Go(func() { m.beat(ctx) })
	wg.Go(func() { m.greet(ctx) })
	wg.Go(func() { m.here.Run(ctx) })
	wg.Wait()
}

// listenAgain keeps the sockets open: when they cannot be had, or break, it tries anew.
func (m *Mesh) listenAgain(ctx context.Context) {
	for ctx.Err() == nil {
		err := m.listenOnce(ctx)
		m.mu.Lock()
		m.conn, m.closed = nil, err
		m.mu.Unlock()
		if ctx.Err() == nil {
			m.o.Log.Warn("mesh beacons cannot be sent or received", "error", err)
		}
		wait(ctx, 10*time.Second)
	}
}

func (m *Mesh) listenOnce(ctx context.Context) error {
	conn, err := m.o.Listen(ctx, m.o.Port)
	if err != nil {
		return fmt.Errorf("listening for beacons: %w", err)
	}
	m.mu.Lock()
	m.conn, m.closed = conn, nil
	m.mu.Unlock()
	stop := context.AfterFunc(ctx, func() {
		m.leave()
		_ = conn.Close()
	})
	defer stop()
	defer func() { _ = conn.Close() }()
	if err := m.receive(ctx, conn); err != nil && !errors.Is(err, net.ErrClosed) {
		return fmt.Errorf("receiving beacons: %w", err)
	}
	return nil
}

// wait until a time has passed; false when the context ended before.
func wait(ctx context.Context, d time.Duration) bool {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-ctx.Done():
		return false
	case <-timer.C:
		return true
	}
}
