package etcd

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net"
	"net/url"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/status"
)

// How a member answered, as etcd/member/*/answer says it.
const (
	answered    = "yes"
	refused     = "refused"
	unreachable = "unreachable"
	hung        = "hung"
	distrusted  = "certificate"
	denied      = "denied"
	failed      = "error"
)

// line is a connection to one member. etcd's own client would bring a balancer and a logger for each;
// here a member is asked by itself, so that its answer is its own.
type line struct {
	conn *grpc.ClientConn
	// mu guards what follows: gRPC dials in its own time.
	mu sync.Mutex
	// dialErr is why the last dial failed: gRPC keeps only its words.
	dialErr error
	// certificate that the member showed; nil without TLS.
	certificate *x509.Certificate
	// asked tells that the member wanted to see one too.
	asked bool
}

// smallBuffer bounds what a connection keeps for reading and writing: answers are of a few hundred bytes.
const smallBuffer = 4 << 10

// dial prepares a connection to a client URL; nothing is sent before the first call.
func dial(clientURL string, config *tls.Config) (*line, error) {
	u, err := url.Parse(clientURL)
	if err != nil {
		return nil, fmt.Errorf("dialling etcd: %w", err)
	}
	l := &line{}
	reach := func(ctx context.Context, address string) (net.Conn, error) {
		var asked atomic.Bool
		own := config.Clone()
		own.ServerName = u.Hostname()
		own.GetClientCertificate = func(*tls.CertificateRequestInfo) (*tls.Certificate, error) {
			asked.Store(true)
			if len(config.Certificates) == 0 {
				return &tls.Certificate{}, nil
			}
			return &config.Certificates[0], nil
		}
		conn, shown, err := connect(ctx, u, address, own)
		l.mu.Lock()
		defer l.mu.Unlock()
		l.dialErr, l.asked = err, asked.Load()
		if shown != nil {
			l.certificate = shown
		}
		return conn, err
	}
	// passthrough: the name is the dialler's to look up, so that what it says of names is known too.
	l.conn, err = grpc.NewClient("passthrough:///"+u.Host, grpc.WithContextDialer(reach), grpc.WithTransportCredentials(insecure.NewCredentials()),
		grpc.WithReadBufferSize(smallBuffer), grpc.WithWriteBufferSize(smallBuffer), grpc.WithDisableServiceConfig(), grpc.WithDisableRetry())
	if err != nil {
		return nil, fmt.Errorf("dialling etcd at %s: %w", clientURL, err)
	}
	return l, nil
}

// connect makes the TLS handshake itself, to see what the member shows.
func connect(ctx context.Context, u *url.URL, address string, config *tls.Config) (net.Conn, *x509.Certificate, error) {
	raw, err := new(net.Dialer).DialContext(ctx, "tcp", address)
	if err != nil || u.Scheme != "https" {
		return raw, nil, err
	}
	conn := tls.Client(raw, config)
	err = conn.HandshakeContext(ctx)
	var shown *x509.Certificate
	if chain := conn.ConnectionState().PeerCertificates; len(chain) > 0 {
		shown = chain[0]
	}
	if e, ok := errors.AsType[*tls.CertificateVerificationError](err); ok && len(e.UnverifiedCertificates) > 0 {
		shown = e.UnverifiedCertificates[0]
	}
	if err != nil {
		return nil, shown, errors.Join(err, raw.Close())
	}
	return conn, shown, nil
}

// rejected tells whether a connection ended as one does whose client certificate the server refuses. With
// TLS 1.3 it says so after the handshake, gRPC keeps no more than the words, and the connection may be
// gone before they are read.
func rejected(reason string) bool {
	return slices.ContainsFunc([]string{"remote error: tls:", "broken pipe", "connection reset", "EOF"}, func(w string) bool { return strings.Contains(reason, w) })
}

// shown is the certificate that the member showed; nil without TLS, or without a handshake.
func (l *line) shown() *x509.Certificate {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.certificate
}

func (l *line) close() error { return l.conn.Close() }

// classify says in a word how a call failed, and in etcd's or the kernel's words why.
func (l *line) classify(err error) (word, reason string) {
	if err == nil {
		return answered, ""
	}
	reason = status.Convert(err).Message()
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.dialErr != nil {
		err, reason = l.dialErr, l.dialErr.Error()
	}
	timeout, isNet := errors.AsType[net.Error](err)
	_, verify := errors.AsType[*tls.CertificateVerificationError](err)
	switch {
	case l.asked && rejected(reason):
		return denied, "it wants a client certificate that it trusts: " + reason
	case errors.Is(err, syscall.ECONNREFUSED):
		return refused, reason
	case errors.Is(err, syscall.EHOSTUNREACH), errors.Is(err, syscall.ENETUNREACH):
		return unreachable, reason
	case verify:
		return distrusted, reason
	case l.dialErr != nil && isNet && timeout.Timeout():
		return unreachable, reason
	case status.Code(err) == codes.DeadlineExceeded, errors.Is(err, context.DeadlineExceeded):
		return hung, reason
	case status.Code(err) == codes.PermissionDenied, status.Code(err) == codes.Unauthenticated:
		return denied, reason
	default:
		return failed, reason
	}
}
