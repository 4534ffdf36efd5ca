package prober

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"strconv"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/maek-dev/maek/internal/probe/remote"
)

// headRoom is how much of an answer is read beside its body, in bytes: what comes before it, and what the
// layers below add. Kubelets read 10 MiB; with many probes at once that is more than an agent has.
const headRoom = 128 << 10

// errTooLarge is the error of an answer that is not read to its end.
var errTooLarge = fmt.Errorf("what comes before the answer's body is larger than %d KiB, which agents do not read", headRoom>>10)

// way leads one probe to its addresses, and nowhere else.
type way struct {
	guard guard
	probe remote.Probe
	// timeout of the attempt, which several addresses share.
	timeout time.Duration
	// left is how much more may be read on all connections together, in bytes.
	left atomic.Int64

	mu sync.Mutex
	// unasked is why this agent, and not the target, ended the attempt.
	unasked error
}

func newWay(g guard, p remote.Probe, timeout time.Duration) *way {
	w := &way{guard: g, probe: p, timeout: timeout}
	room := int64(headRoom)
	if p.HTTP != nil {
		// A body in chunks of a byte each takes six times its length.
		room += 8 * p.HTTP.BodyLimit
	}
	w.left.Store(room)
	return w
}

// stopped is why this agent ended the attempt; nil where it did not.
func (w *way) stopped() error {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.unasked
}

func (w *way) stop(err error) error {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.unasked == nil {
		w.unasked = err
	}
	return err
}

// candidate is an address that fits what is dialled.
type candidate struct {
	at netip.AddrPort
	// named tells that the probe named the port too.
	named bool
}

// dial connects to the first of the probe's addresses that fits and answers. The address is what the target
// names: its port counts, and its host only where it is an IP.
func (w *way) dial(ctx context.Context, network, address string) (net.Conn, error) {
	fitting, err := w.fitting(address)
	if err != nil {
		return nil, err
	}
	var errs []error
	for i, c := range fitting {
		conn, err := w.connect(ctx, network, c, w.timeout/time.Duration(len(fitting)-i))
		if _, datagrams := conn.(net.PacketConn); err == nil && datagrams {
			// What is asked over UDP knows it by its type, and frames it otherwise. No datagram is large.
			return conn, nil
		}
		if err == nil {
			return &counted{Conn: conn, way: w}, nil
		}
		if errors.Is(err, errRefused) {
			if dialled, ok := errors.AsType[*net.OpError](err); ok {
				err = dialled.Err
			}
			return nil, w.stop(err)
		}
		errs = append(errs, err)
		if ctx.Err() != nil {
			break
		}
	}
	if len(errs) == 1 {
		return nil, errs[0]
	}
	return nil, errors.Join(errs...)
}

// fitting are the probe's addresses that fit what is dialled.
func (w *way) fitting(address string) ([]candidate, error) {
	host, text, err := net.SplitHostPort(address)
	if err != nil {
		return nil, err
	}
	port, err := strconv.ParseUint(text, 10, 16)
	if err != nil || port == 0 {
		return nil, fmt.Errorf("dialling %s: there is no such port", address)
	}
	wanted, err := netip.ParseAddr(host)
	literal := err == nil
	var out []candidate
	for _, one := range w.probe.Addresses {
		ip, only, err := remote.Address(one)
		if err != nil {
			return nil, w.stop(err)
		}
		if literal && ip != wanted.Unmap() || only != 0 && only != uint16(port) {
			continue
		}
		out = append(out, candidate{netip.AddrPortFrom(ip, uint16(port)), only != 0})
	}
	if len(out) == 0 {
		return nil, fmt.Errorf("dialling %s: it is none of the addresses that this probe may go to", address)
	}
	return out, nil
}

func (w *way) connect(ctx context.Context, network string, c candidate, patience time.Duration) (net.Conn, error) {
	dialer := &net.Dialer{
		Timeout: patience,
		// What the kernel is told to connect to is what counts.
		Control: func(_, address string, _ syscall.RawConn) error {
			at, err := netip.ParseAddrPort(address)
			if err != nil {
				return fmt.Errorf("%w: %w", errRefused, err)
			}
			return w.guard.check(at, w.probe.Nodes, c.named)
		},
	}
	return dialer.DialContext(ctx, network, c.at.String())
}

// counted is a connection that ends when more comes than is read.
type counted struct {
	net.Conn

	way *way
}

// Read implements net.Conn.
func (c *counted) Read(data []byte) (int, error) {
	left := c.way.left.Load()
	if left <= 0 {
		return 0, c.way.stop(errTooLarge)
	}
	n, err := c.Conn.Read(data[:min(int64(len(data)), left)])
	c.way.left.Add(-int64(n))
	return n, err
}
