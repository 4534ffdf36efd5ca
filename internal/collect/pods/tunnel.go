package pods

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"sync"

	"github.com/go-logr/logr"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/portforward"
	"k8s.io/client-go/transport/spdy"
	"k8s.io/client-go/transport/websocket"
	"k8s.io/klog/v2"
	"k8s.io/streaming/pkg/httpstream"
	httpspdy "k8s.io/streaming/pkg/httpstream/spdy"
)

// protocol of a forwarded port over a websocket
// (k8s.io/apimachinery/pkg/util/portforward, WebsocketsSPDYTunnelingPortForwardV1).
const protocol = "SPDY/3.1+" + portforward.PortForwardProtocolV1Name

// Tunnel leads to the ports of one pod. It may be used by many goroutines at a time.
type Tunnel struct {
	conn httpstream.Connection

	mu   sync.Mutex
	next int
}

// Open asks the API server for a way to a pod's ports: over a websocket, and where a server older than
// Kubernetes 1.30 has none for it, over SPDY. An error for which [apierrors.IsForbidden] holds says
// that the user lacks create on pods/portforward.
func Open(ctx context.Context, cfg *rest.Config, namespace, pod string) (*Tunnel, error) {
	conn, err := streams(quiet(ctx), cfg, namespace, pod)
	if err != nil {
		return nil, err
	}
	return &Tunnel{conn: conn}, nil
}

// quiet keeps client-go's own words about connections that end, which come as errors too, out of the log.
func quiet(ctx context.Context) context.Context { return klog.NewContext(ctx, logr.Discard()) }

// Close ends the tunnel, and all that was dialled through it.
func (t *Tunnel) Close() error { return t.conn.Close() }

// Dial opens a connection to a port of the pod. The kubelet connects to it from within the pod, to
// localhost; where that fails, reading from the connection says so. The connection does not outlive ctx.
func (t *Tunnel) Dial(ctx context.Context, port int) (*Conn, error) {
	// Asking for a stream heeds no context: a server that does not answer is left.
	stop := context.AfterFunc(ctx, func() { _ = t.conn.Close() })
	c, err := t.connect(port)
	if !stop() && ctx.Err() != nil {
		if c != nil {
			_ = c.Close()
		}
		return nil, ctx.Err()
	}
	if err != nil {
		return nil, fmt.Errorf("forwarding a port: %w", err)
	}
	c.release = context.AfterFunc(ctx, func() { _ = c.Close() })
	return c, nil
}

// connect asks for the two streams that make one connection to a port of the pod
// (k8s.io/kubelet/pkg/cri/streaming/portforward).
func (t *Tunnel) connect(port int) (*Conn, error) {
	t.mu.Lock()
	request := t.next
	t.next++
	t.mu.Unlock()
	headers := http.Header{}
	headers.Set(corev1.StreamType, corev1.StreamTypeError)
	headers.Set(corev1.PortHeader, strconv.Itoa(port))
	headers.Set(corev1.PortForwardRequestIDHeader, strconv.Itoa(request))
	complaints, err := t.conn.CreateStream(headers)
	if err != nil {
		return nil, err
	}
	// Nothing is ever written to it.
	_ = complaints.Close()
	headers.Set(corev1.StreamType, corev1.StreamTypeData)
	data, err := t.conn.CreateStream(headers)
	if err != nil {
		defer func() { _ = complaints.Reset() }()
		// The kubelet may have given the connection up, and said why, before the stream is made here.
		if text, _ := io.ReadAll(io.LimitReader(complaints, maxWords)); len(text) > 0 {
			return nil, errors.New(strings.TrimSpace(string(text)))
		}
		return nil, err
	}
	return newConn(t.conn, port, complaints, data), nil
}

// streams asks for the forwarding.
func streams(ctx context.Context, cfg *rest.Config, namespace, pod string) (httpstream.Connection, error) {
	base, _, err := rest.DefaultServerUrlFor(cfg)
	if err != nil {
		return nil, fmt.Errorf("reading the server's address: %w", err)
	}
	at := base.JoinPath("api/v1/namespaces", namespace, "pods", pod, "portforward")
	transport, holder, err := websocket.RoundTripperFor(cfg)
	if err != nil {
		return nil, err
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, at.String(), nil)
	if err != nil {
		return nil, err
	}
	socket, err := websocket.Negotiate(transport, holder, req, protocol)
	switch {
	case err == nil:
		return httpspdy.NewClientConnectionWithPings(portforward.NewTunnelingConnection("client", socket), portforward.PingPeriod)
	case lacksWebsockets(err):
		return olderStreams(ctx, cfg, at)
	default:
		return nil, cause(err)
	}
}

// lacksWebsockets tells whether an upgrade failed for a reason for which the older protocol may do.
func lacksWebsockets(err error) bool {
	return (httpstream.IsUpgradeFailure(err) || httpstream.IsHTTPSProxyError(err)) &&
		!apierrors.IsForbidden(cause(err)) && !apierrors.IsNotFound(cause(err))
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
