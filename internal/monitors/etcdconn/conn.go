// Package etcdconn connects to one member of etcd, and remembers how that went. etcd's own client would bring
// a balancer and a logger for each connection; monitors ask few questions, each of one member by itself, so
// that its answer is its own.
package etcdconn

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net"
	"net/url"
	"sync"
	"sync/atomic"

	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"
)

// Conn is a connection to one member, over which etcd's services are called.
type Conn struct {
	*grpc.ClientConn

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

// Dial prepares a connection to a client URL; nothing is sent before the first call. A nil config trusts
// what the system trusts, and shows no certificate.
func Dial(clientURL string, config *tls.Config) (*Conn, error) {
	u, err := url.Parse(clientURL)
	if err != nil {
		return nil, fmt.Errorf("dialling etcd: %w", err)
	}
	if config == nil {
		config = &tls.Config{MinVersion: tls.VersionTLS12}
	}
	c := &Conn{}
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
		c.mu.Lock()
		defer c.mu.Unlock()
		c.dialErr, c.asked = err, asked.Load()
		if shown != nil {
			c.certificate = shown
		}
		return conn, err
	}
	// passthrough: the name is the dialler's to look up, so that what it says of names is known too.
	c.ClientConn, err = grpc.NewClient("passthrough:///"+u.Host, grpc.WithContextDialer(reach), grpc.WithTransportCredentials(insecure.NewCredentials()),
		grpc.WithReadBufferSize(smallBuffer), grpc.WithWriteBufferSize(smallBuffer), grpc.WithDisableServiceConfig(), grpc.WithDisableRetry())
	if err != nil {
		return nil, fmt.Errorf("dialling etcd at %s: %w", clientURL, err)
	}
	return c, nil
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

// Shown is the certificate that the member showed; nil without TLS, or without a handshake.
func (c *Conn) Shown() *x509.Certificate {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.certificate
}

// Dialled is why the last dial failed, which gRPC keeps only in words, and whether the member asked for a
// client certificate.
func (c *Conn) Dialled() (err error, asked bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.dialErr, c.asked
}
