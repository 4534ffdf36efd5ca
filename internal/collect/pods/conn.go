package pods

import (
	"context"
	"errors"
	"io"
	"net"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"k8s.io/streaming/pkg/httpstream"
)

// maxWords bounds what is kept of another side's words, in bytes.
const maxWords = 500

// Conn is a forwarded stream as a connection. Deadlines do nothing: it ends with its context.
type Conn struct {
	stream httpstream.Stream
	port   int

	tunnel     httpstream.Connection
	complaints httpstream.Stream
	release    func() bool
	close      sync.Once
	// closed tells that it was ended here.
	closed atomic.Bool

	// ended is closed when complaint, what the kubelet says went wrong, is known.
	ended     chan struct{}
	complaint string
}

func newConn(tunnel httpstream.Connection, port int, complaints, data httpstream.Stream) *Conn {
	c := &Conn{stream: data, port: port, tunnel: tunnel, complaints: complaints, ended: make(chan struct{})}
	go func() {
		text, _ := io.ReadAll(io.LimitReader(complaints, maxWords))
		c.complaint = strings.TrimSpace(string(text))
		close(c.ended)
		if len(text) > 0 {
			_ = data.Reset()
		}
	}()
	return c
}

// Settled waits until the kubelet says that it could not connect, or for as long as patience: it does not
// say that it could.
func (c *Conn) Settled(ctx context.Context, patience <-chan time.Time) error {
	select {
	case <-c.ended:
		return c.complained()
	case <-patience:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// complained is the kubelet's complaint; nil where there is none.
func (c *Conn) complained() error {
	if c.complaint == "" {
		return nil
	}
	return errors.New(c.complaint)
}

// Read implements net.Conn. Where the kubelet could not reach the port, the error says so.
func (c *Conn) Read(p []byte) (int, error) {
	n, err := c.stream.Read(p)
	return n, c.told(err)
}

// Write implements net.Conn, with errors as those of Read.
func (c *Conn) Write(p []byte) (int, error) {
	n, err := c.stream.Write(p)
	return n, c.told(err)
}

// told is an error as the kubelet tells it. The two streams end together, in either order, and at the
// latest with the tunnel.
func (c *Conn) told(err error) error {
	if err == nil {
		return nil
	}
	select {
	case <-c.ended:
	case <-c.tunnel.CloseChan():
	}
	select {
	case <-c.ended:
		if complained := c.complained(); complained != nil {
			return complained
		}
	default:
	}
	if c.closed.Load() {
		// A stream that is reset here ends as one does that is complete.
		return net.ErrClosed
	}
	return err
}

// Close implements net.Conn.
func (c *Conn) Close() error {
	c.close.Do(func() {
		c.closed.Store(true)
		if c.release != nil {
			c.release()
		}
		_ = c.stream.Reset()
		_ = c.complaints.Reset()
	})
	return nil
}

// LocalAddr implements net.Conn.
func (c *Conn) LocalAddr() net.Addr { return &net.TCPAddr{} }

// RemoteAddr implements net.Conn: a port of a pod.
func (c *Conn) RemoteAddr() net.Addr { return &net.TCPAddr{Port: c.port} }

// SetDeadline implements net.Conn.
func (c *Conn) SetDeadline(time.Time) error { return nil }

// SetReadDeadline implements net.Conn.
func (c *Conn) SetReadDeadline(time.Time) error { return nil }

// SetWriteDeadline implements net.Conn.
func (c *Conn) SetWriteDeadline(time.Time) error { return nil }
