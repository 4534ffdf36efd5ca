package agents

import (
	"context"
	"errors"
	"fmt"
	"net"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/client-go/rest"

	"github.com/maek-dev/maek/internal/collect/pods"
	"github.com/maek-dev/maek/internal/monitor"
)

// forward returns a dialer that reaches agents through the API server and their kubelets. No port is
// opened on this machine: the forwarded stream is the connection.
func forward(cfg *rest.Config) dialer {
	return func(ctx context.Context, a Agent) (net.Conn, error) {
		tunnel, err := pods.Open(ctx, cfg, a.namespace, a.pod)
		if err != nil {
			return nil, forwardError(err)
		}
		conn, err := tunnel.Dial(ctx, monitor.Port)
		if err != nil {
			_ = tunnel.Close()
			return nil, err
		}
		return tunneled{conn, tunnel}, nil
	}
}

// tunneled is a connection with a tunnel of its own.
type tunneled struct {
	net.Conn

	tunnel *pods.Tunnel
}

// Close implements net.Conn: the tunnel ends with its only connection.
func (t tunneled) Close() error {
	_ = t.Conn.Close()
	return t.tunnel.Close()
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

// maxWords bounds what is kept of another side's words, in bytes.
const maxWords = 500
