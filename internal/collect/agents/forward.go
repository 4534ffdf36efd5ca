package agents

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"sync"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/portforward"
	"k8s.io/client-go/transport/spdy"
	"k8s.io/client-go/transport/websocket"
	"k8s.io/streaming/pkg/httpstream"
	httpspdy "k8s.io/streaming/pkg/httpstream/spdy"

	"github.com/maek-dev/maek/internal/monitor"
)

// tunnel is the protocol of a forwarded port over a websocket
// (k8s.io/apimachinery/pkg/util/portforward, WebsocketsSPDYTunnelingPortForwardV1).
const tunnel = "SPDY/3.1+" + portforward.PortForwardProtocolV1Name

// forward returns a dialer that reaches agents through the API server and their kubelets. No port is
// opened on this machine: the forwarded stream is the connection.
func forward(cfg *rest.Config) dialer {
	return func(ctx context.Context, a Agent) (net.Conn, error) {
		conn, err := streams(ctx, cfg, a)
		if err != nil {
			return nil, forwardError(err)
		}
		stream, err := open(conn, monitor.Port)
		if err != nil {
			_ = conn.Close()
			return nil, fmt.Errorf("forwarding a port: %w", err)
		}
		stream.release = context.AfterFunc(ctx, func() { _ = stream.Close() })
		return stream, nil
	}
}

// forwardError says what it takes where the API server refuses.
func forwardError(err error) error {
	if apierrors.IsForbidden(err) {
		return fmt.Errorf("%w (forbidden: needs create on pods/portforward)", errForbidden)
	}
	return fmt.Errorf("forwarding a port: %w", err)
}

// errForbidden is the error of what this user may not do with any agent.
var errForbidden = errors.New("its port may not be forwarded")

// streams asks for the forwarding: over a websocket, and where a server older than Kubernetes 1.30 has
// none for it, over SPDY.
func streams(ctx context.Context, cfg *rest.Config, a Agent) (httpstream.Connection, error) {
	base, _, err := rest.DefaultServerUrlFor(cfg)
	if err != nil {
		return nil, fmt.Errorf("reading the server's address: %w", err)
	}
	at := base.JoinPath("api/v1/namespaces", a.namespace, "pods", a.pod, "portforward")
	transport, holder, err := websocket.RoundTripperFor(cfg)
	if err != nil {
		return nil, err
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, at.String(), nil)
	if err != nil {
		return nil, err
	}
	socket, err := websocket.Negotiate(transport, holder, req, tunnel)
	switch {
	case err == nil:
		return httpspdy.NewClientConnectionWithPings(portforward.NewTunnelingConnection("client", socket), portforward.PingPeriod)
	case (httpstream.IsUpgradeFailure(err) || httpstream.IsHTTPSProxyError(err)) && !apierrors.IsForbidden(cause(err)):
		return olderStreams(ctx, cfg, at)
	default:
		return nil, cause(err)
	}
}

// cause is what an upgrade that failed was told.
func cause(err error) error {
	if upgrade, ok := errors.AsType[*httpstream.UpgradeFailureError](err); ok && upgrade.Cause != nil {
		return upgrade.Cause
	}
	return err
}

// olderStreams is streams over SPDY, which heeds no context of its own.
func olderStreams(ctx context.Context, cfg *rest.Config, at *url.URL) (httpstream.Connection, error) {
	transport, upgrader, err := spdy.RoundTripperFor(cfg)
	if err != nil {
		return nil, err
	}
	type dialed struct {
		conn httpstream.Connection
		err  error
	}
	done := make(chan dialed, 1)
	go func() {
		conn, _, err := spdy.NewDialerForStreaming(upgrader, &http.Client{Transport: transport}, http.MethodPost, at).Dial(portforward.PortForwardProtocolV1Name)
		done <- dialed{conn, err}
	}()
	select {
	case d := <-done:
		return d.conn, d.err
	case <-ctx.Done():
		go func() {
			if d := <-done; d.conn != nil {
				_ = d.conn.Close()
			}
		}()
		return nil, ctx.Err()
	}
}

// open asks for the two streams that make one connection to a port of the pod
// (k8s.io/kubelet/pkg/cri/streaming/portforward).
func open(conn httpstream.Connection, port int) (*forwarded, error) {
	headers := http.Header{}
	headers.Set(corev1.StreamType, corev1.StreamTypeError)
	headers.Set(corev1.PortHeader, strconv.Itoa(port))
	headers.Set(corev1.PortForwardRequestIDHeader, "0")
	complaints, err := conn.CreateStream(headers)
	if err != nil {
		return nil, err
	}
	// Nothing is ever written to it.
	_ = complaints.Close()
	headers.Set(corev1.StreamType, corev1.StreamTypeData)
	data, err := conn.CreateStream(headers)
	if err != nil {
		return nil, err
	}
	f := &forwarded{Stream: data, conn: conn, ended: make(chan struct{})}
	go func() {
		text, _ := io.ReadAll(io.LimitReader(complaints, maxWords))
		f.complaint = strings.TrimSpace(string(text))
		close(f.ended)
		if len(text) > 0 {
			_ = conn.Close()
		}
	}()
	return f, nil
}

// maxWords bounds what is kept of another side's words, in bytes.
const maxWords = 500

// forwarded is a forwarded stream as a connection.
type forwarded struct {
	httpstream.Stream

	conn    httpstream.Connection
	release func() bool
	close   sync.Once

	// ended is closed when complaint, what the kubelet says went wrong, is known.
	ended     chan struct{}
	complaint string
}

// Read implements net.Conn. Where the kubelet could not reach the port, the error says so.
func (f *forwarded) Read(p []byte) (int, error) {
	n, err := f.Stream.Read(p)
	return n, f.told(err)
}

// Write implements net.Conn, with errors as those of Read.
func (f *forwarded) Write(p []byte) (int, error) {
	n, err := f.Stream.Write(p)
	return n, f.told(err)
}

// told is an error as the kubelet tells it. The two streams end together, in either order, and at the
// latest with the connection.
func (f *forwarded) told(err error) error {
	if err == nil {
		return nil
	}
	<-f.ended
	if f.complaint != "" {
		return errors.New(f.complaint)
	}
	return err
}

// Close implements net.Conn.
func (f *forwarded) Close() error {
	f.close.Do(func() {
		if f.release != nil {
			f.release()
		}
		_ = f.Reset()
		_ = f.conn.Close()
	})
	return nil
}

// LocalAddr implements net.Conn.
func (f *forwarded) LocalAddr() net.Addr { return &net.TCPAddr{} }

// RemoteAddr implements net.Conn.
func (f *forwarded) RemoteAddr() net.Addr { return &net.TCPAddr{Port: monitor.Port} }

// SetDeadline implements net.Conn: the connection ends with its context.
func (f *forwarded) SetDeadline(time.Time) error { return nil }

// SetReadDeadline implements net.Conn: the connection ends with its context.
func (f *forwarded) SetReadDeadline(time.Time) error { return nil }

// SetWriteDeadline implements net.Conn: the connection ends with its context.
func (f *forwarded) SetWriteDeadline(time.Time) error { return nil }
