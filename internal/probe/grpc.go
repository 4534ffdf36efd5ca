package probe

import (
	"context"
	"fmt"
	"net"
	"sync"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/connectivity"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/health/grpc_health_v1"
	"google.golang.org/grpc/status"
)

// maxHealthBytes bounds an answer about health, which is a number.
const maxHealthBytes = KubeletBodyLimit

// GRPC asks the health service (grpc.health.v1.Health) of a server, without TLS.
type GRPC struct {
	// Address is host:port.
	Address string
	// Service is whose health is asked; "" is the server's own.
	Service string
	// UserAgent comes before grpc-go's own; "" for none.
	UserAgent string
}

// String implements [Target].
func (g GRPC) String() string {
	if g.Service == "" {
		return "gRPC health of " + g.Address
	}
	return fmt.Sprintf("gRPC health of %s at %s", g.Service, g.Address)
}

// attempt follows pkg/probe/grpc/grpc.go: one deadline is for the connection and the call together,
// and until then connecting is tried again, so that even a refused connection takes all of it.
func (g GRPC) attempt(ctx context.Context, p *Prober, timeout time.Duration) *Outcome {
	ctx, cancel := context.WithTimeout(ctx, timeout)
	defer cancel()
	dialled := lastError{}
	began := p.now()
	conn, err := grpc.NewClient("passthrough:///"+g.Address,
		grpc.WithUserAgent(g.UserAgent),
		grpc.WithTransportCredentials(insecure.NewCredentials()), // the kubelet has no other
		// Both are 16 and 4 MiB otherwise, which each probe of an ill-willed server would take.
		grpc.WithMaxHeaderListSize(maxHeaderBytes),
		grpc.WithDefaultCallOptions(grpc.MaxCallRecvMsgSize(maxHealthBytes)),
		grpc.WithReadBufferSize(bufferBytes),
		grpc.WithWriteBufferSize(bufferBytes),
		grpc.WithContextDialer(func(ctx context.Context, addr string) (net.Conn, error) {
			conn, err := p.dial(ctx, "tcp", addr)
			dialled.set(err)
			return conn, err
		}),
	)
	if err != nil {
		return new(stopped(err, fmt.Sprintf("error: failed to connect service at %q: %v", g.Address, err)))
	}
	defer conn.Close()
	if err := connect(ctx, conn); err != nil {
		outcome := stopped(err, fmt.Sprintf("timeout: failed to connect service %q within %v: %v", g.Address, timeout, err))
		outcome.Phases.Connect = p.now().Sub(began)
		if reason := dialled.get(); reason != nil {
			outcome = outcome.because(reason)
			outcome.Strict.Message = reason.Error()
			outcome.Difference = ConnectionErrorHidden
		}
		return &outcome
	}
	connected := p.now()
	answer, err := grpc_health_v1.NewHealthClient(conn).Check(ctx, &grpc_health_v1.HealthCheckRequest{Service: g.Service})
	outcome := judgeHealth(answer, err, timeout)
	outcome.Phases = Phases{Connect: connected.Sub(began), Wait: p.now().Sub(connected)}
	return &outcome
}

// connect waits until a connection is ready, or the time is over.
func connect(ctx context.Context, conn *grpc.ClientConn) error {
	for {
		state := conn.GetState()
		if state == connectivity.Ready {
			return nil
		}
		if state == connectivity.Idle {
			conn.Connect()
		}
		if !conn.WaitForStateChange(ctx, state) {
			return ctx.Err()
		}
	}
}

func judgeHealth(answer *grpc_health_v1.HealthCheckResponse, err error, timeout time.Duration) Outcome {
	switch code := status.Code(err); {
	case err == nil && answer.GetStatus() == grpc_health_v1.HealthCheckResponse_SERVING:
		return same(Success, "service healthy")
	case err == nil:
		return notServing(fmt.Sprintf("service unhealthy (responded with %q)", answer.GetStatus().String()))
	case code == codes.Unimplemented:
		return notServing("error: this server does not implement the grpc health protocol (grpc.health.v1.Health): " + status.Convert(err).Message())
	case code == codes.DeadlineExceeded:
		return stopped(context.DeadlineExceeded, fmt.Sprintf("timeout: health rpc did not complete within %v", timeout))
	case code == codes.Canceled:
		return stopped(context.Canceled, fmt.Sprintf("error: health rpc probe failed: %v", err))
	default:
		return notServing(fmt.Sprintf("error: health rpc probe failed: %v", err))
	}
}

func notServing(message string) Outcome {
	outcome := same(Failure, message)
	outcome.Cause = NotServing
	return outcome
}

// lastError keeps what came of the last dial, which gRPC makes in goroutines of its own.
type lastError struct {
	mu  sync.Mutex
	err error
}

func (l *lastError) set(err error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.err = err
}

func (l *lastError) get() error {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.err
}
