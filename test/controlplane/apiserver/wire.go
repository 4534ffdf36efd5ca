package apiserver

import (
	"context"
	"fmt"
	"net"
	"sync"
	"sync/atomic"
)

// Wire carries connections to the API server until it is cut: Dial is for a rest.Config. The zero value is
// whole.
type Wire struct {
	cut atomic.Bool
	mu  sync.Mutex
	all []net.Conn
}

// Dial opens a connection; it fails while the wire is cut.
func (w *Wire) Dial(ctx context.Context, network, address string) (net.Conn, error) {
	if w.cut.Load() {
		return nil, fmt.Errorf("dialing %s: the wire is cut", address)
	}
	conn, err := (&net.Dialer{}).DialContext(ctx, network, address)
	if err != nil {
		return nil, err
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.cut.Load() {
		_ = conn.Close()
		return nil, fmt.Errorf("dialing %s: the wire was cut meanwhile", address)
	}
	w.all = append(w.all, conn)
	return conn, nil
}

// Cut ends all connections and lets none be made, as if the machine behind them were gone.
func (w *Wire) Cut() {
	w.cut.Store(true)
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, conn := range w.all {
		_ = conn.Close()
	}
}

// Mend lets connections be made again.
func (w *Wire) Mend() { w.cut.Store(false) }
