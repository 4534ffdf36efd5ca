// Package forward is the host's way into the lab: a listener on a loopback address whose connections end at an address in
// the switch namespace.
package forward

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"sync"
	"syscall"
	"time"

	"k8s.io/apimachinery/pkg/util/wait"
)

const (
	// dialTimeout is as long as a client would wait for a TCP connection itself.
	dialTimeout = 30 * time.Second
	// refusedPoll is how often a target that refuses connections is tried again.
	refusedPoll = 250 * time.Millisecond
)

// Forwarder passes connections on.
type Forwarder struct {
	// Listen is the address to listen at, IP:PORT.
	Listen string
	// Dial connects to the target.
	Dial func(context.Context) (net.Conn, error)
	// Log gets what goes wrong.
	Log *slog.Logger
}

// Run passes connections on until ctx ends. It calls ready once it accepts the first ones.
//
// A client is to see what it would see without the forwarder, so while the target refuses connections the listener is
// closed: the host's kernel then refuses too. The connection by which the refusal was noticed is reset.
func (f *Forwarder) Run(ctx context.Context, ready func() error) error {
	for first := true; ; first = false {
		listener, err := new(net.ListenConfig).Listen(ctx, "tcp", f.Listen)
		if err != nil {
			return fmt.Errorf("listening: %w", err)
		}
		if first {
			if err := ready(); err != nil {
				return errors.Join(fmt.Errorf("saying that it is ready: %w", err), listener.Close())
			}
		}
		err = f.serve(ctx, listener)
		if ctx.Err() != nil {
			return nil //nolint:nilerr // it was asked to end
		}
		if err != nil {
			return err
		}
		f.Log.Info("the target refuses connections; so does this forwarder until it accepts them again")
		if err := wait.PollUntilContextCancel(ctx, refusedPoll, false, f.accepts); err != nil {
			return nil //nolint:nilerr // it was asked to end
		}
	}
}

// serve passes connections on until the target refuses one.
func (f *Forwarder) serve(ctx context.Context, listener net.Listener) error {
	ctx, cancel := context.WithCancel(ctx)
	stop := context.AfterFunc(ctx, func() { _ = listener.Close() })
	defer stop()
	defer cancel()
	for {
		client, err := listener.Accept()
		if ctx.Err() != nil {
			return nil // closed on purpose
		}
		if err != nil {
			return fmt.Errorf("accepting a connection: %w", err)
		}
		go func() {
			target, err := f.dial(ctx)
			if err != nil {
				reset(client)
				f.Log.Warn("dialing the target", "error", err)
				if errors.Is(err, syscall.ECONNREFUSED) {
					cancel()
				}
				return
			}
			join(client, target)
		}()
	}
}

func (f *Forwarder) dial(ctx context.Context) (net.Conn, error) {
	// A refusal seen by another connection ends serve, not the attempts that are under way.
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), dialTimeout)
	defer cancel()
	return f.Dial(ctx)
}

// accepts says whether the target does not refuse connections. One that does not answer at all is not refusing.
func (f *Forwarder) accepts(ctx context.Context) (bool, error) {
	conn, err := f.dial(ctx)
	if err == nil {
		return true, conn.Close()
	}
	return !errors.Is(err, syscall.ECONNREFUSED), nil
}

// join copies in both directions and closes both connections when both directions have ended.
func join(a, b net.Conn) {
	var both sync.WaitGroup
	both.Go(func() { halfCopy(a, b) })
	both.Go(func() { halfCopy(b, a) })
	both.Wait()
	_, _ = a.Close(), b.Close() // all that could be passed on was
}

func halfCopy(to, from net.Conn) {
	_, err := io.Copy(to, from)
	if err != nil {
		reset(to)
		reset(from)
		return
	}
	if half, ok := to.(interface{ CloseWrite() error }); ok {
		_ = half.CloseWrite() // the other end has closed already
	}
}

// reset closes a connection in a way that its other end does not take for the regular end of a stream.
func reset(conn net.Conn) {
	if tcp, ok := conn.(*net.TCPConn); ok {
		_ = tcp.SetLinger(0)
	}
	_ = conn.Close()
}
