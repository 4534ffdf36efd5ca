package switchd

import (
	"context"
	"errors"
	"io"
	"log/slog"
	"net"
	"net/netip"
	"sync"
	"time"
)

// How soon the balancer knows that a backend is gone. A machine without power
// answers nothing at all, so a connection attempt has to be given up.
const (
	checkInterval = 500 * time.Millisecond
	dialTimeout   = 500 * time.Millisecond
)

// balancer hands connections on to backends that accept them. While none does,
// it listens on nothing, so that clients are refused as they would be by the
// backend itself.
type balancer struct {
	address  netip.AddrPort
	backends []*backend
	log      *slog.Logger
	// interval is the time between two checks of a backend.
	interval time.Duration

	mu       sync.Mutex
	listener net.Listener
	next     int
	sessions sync.WaitGroup
}

// backend is one place where connections can go.
type backend struct {
	address netip.AddrPort
	// The balancer's mu guards what follows.
	healthy bool
	clients map[net.Conn]struct{}
}

func newBalancer(address netip.AddrPort, backends []netip.AddrPort, logger *slog.Logger) *balancer {
	b := &balancer{address: address, log: logger, interval: checkInterval}
	for _, address := range backends {
		b.backends = append(b.backends, &backend{address: address, clients: map[net.Conn]struct{}{}})
	}
	return b
}

// run serves until ctx is done, then ends all connections.
func (b *balancer) run(ctx context.Context) error {
	defer b.sessions.Wait()
	defer b.close()
	ticker := time.NewTicker(b.interval)
	defer ticker.Stop()
	for {
		if err := b.check(ctx); err != nil {
			return err
		}
		select {
		case <-ctx.Done():
			return nil
		case <-ticker.C:
		}
	}
}

// check tries every backend once and opens or closes the port accordingly.
func (b *balancer) check(ctx context.Context) error {
	reached := make([]bool, len(b.backends))
	var checks sync.WaitGroup
	for i, backend := range b.backends {
		checks.Go(func() {
			conn, err := dial(ctx, backend.address)
			if err != nil {
				return
			}
			reached[i] = true
			_ = conn.Close() // nothing was written to it
		})
	}
	checks.Wait()
	if ctx.Err() != nil {
		return nil
	}

	b.mu.Lock()
	defer b.mu.Unlock()
	var anyHealthy bool
	for i, backend := range b.backends {
		b.mark(backend, reached[i])
		anyHealthy = anyHealthy || reached[i]
	}
	switch {
	case anyHealthy && b.listener == nil:
		listener, err := new(net.ListenConfig).Listen(ctx, "tcp", b.address.String())
		if err != nil {
			return err
		}
		b.listener = listener
		b.sessions.Go(func() { b.accept(ctx, listener) })
	case !anyHealthy && b.listener != nil:
		_ = b.listener.Close() // a listening socket has nothing to lose
		b.listener = nil
	}
	return nil
}

// mark records the outcome of a check. The connections of a backend that is gone
// are ended: their clients would wait for answers that never come.
func (b *balancer) mark(backend *backend, healthy bool) {
	if backend.healthy == healthy {
		return
	}
	backend.healthy = healthy
	b.log.Info("backend changed", "port", b.address.Port(), "backend", backend.address, "healthy", healthy)
	if healthy {
		return
	}
	for client := range backend.clients {
		_ = client.Close() // the session that it belongs to reports nothing further
	}
}

func (b *balancer) accept(ctx context.Context, listener net.Listener) {
	for {
		client, err := listener.Accept()
		if err != nil {
			if !errors.Is(err, net.ErrClosed) {
				b.log.Error("accepting connections ended", "port", b.address.Port(), "err", err)
			}
			return
		}
		b.sessions.Go(func() { b.serve(ctx, client) })
	}
}

// serve joins a client to the first backend that takes it.
func (b *balancer) serve(ctx context.Context, client net.Conn) {
	defer func() { _ = client.Close() }() // the session that it belongs to reports nothing further
	for _, backend := range b.candidates() {
		server, err := dial(ctx, backend.address)
		if err != nil {
			continue
		}
		b.mu.Lock()
		backend.clients[client] = struct{}{}
		b.mu.Unlock()
		join(client, server)
		b.mu.Lock()
		delete(backend.clients, client)
		b.mu.Unlock()
		return
	}
	if tcp, ok := client.(*net.TCPConn); ok {
		// A reset, not an orderly end: nothing was answered.
		_ = tcp.SetLinger(0)
	}
}

// candidates returns the healthy backends, a different one first each time.
func (b *balancer) candidates() []*backend {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.next++
	var healthy []*backend
	for i := range b.backends {
		backend := b.backends[(b.next+i)%len(b.backends)]
		if backend.healthy {
			healthy = append(healthy, backend)
		}
	}
	return healthy
}

func (b *balancer) close() {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.listener != nil {
		_ = b.listener.Close() // a listening socket has nothing to lose
	}
	for _, backend := range b.backends {
		for client := range backend.clients {
			_ = client.Close() // the session that it belongs to reports nothing further
		}
	}
}

// join copies both ways until both sides have ended.
func join(client, server net.Conn) {
	var copies sync.WaitGroup
	copies.Go(func() { pipe(server, client) })
	copies.Go(func() { pipe(client, server) })
	copies.Wait()
	_ = server.Close() // both directions have ended
}

// pipe copies one way, and tells the receiver when the sender has ended. After an
// error the other way is of no use either.
func pipe(to, from net.Conn) {
	if _, err := io.Copy(to, from); err != nil {
		_, _ = to.Close(), from.Close() // they are broken already
		return
	}
	if tcp, ok := to.(*net.TCPConn); ok {
		_ = tcp.CloseWrite() // fails only when the receiver has gone
	}
}

func dial(ctx context.Context, address netip.AddrPort) (net.Conn, error) {
	dialer := net.Dialer{Timeout: dialTimeout}
	return dialer.DialContext(ctx, "tcp", address.String())
}
