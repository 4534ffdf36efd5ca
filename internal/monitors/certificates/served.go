package certificates

import (
	"cmp"
	"context"
	"crypto/tls"
	"crypto/x509"
	"net"
	"slices"
	"sync"
	"time"

	"github.com/maek-dev/maek/internal/snapshot"
)

// handshakeTimeout bounds how long a server on the machine itself may take to present itself.
const handshakeTimeout = 3 * time.Second

// etcdClient is kubeadm's pair for asking etcd how it is. Without a client's certificate etcd notes every
// handshake as a rejected connection.
const etcdClient = "/etc/kubernetes/pki/etcd/healthcheck-client"

// present asks the servers of the machine for their certificates. One where nothing listens is none.
func (w *watch) present(ctx context.Context) []snapshot.MachineEvidence {
	var mu sync.Mutex
	var out []snapshot.MachineEvidence
	var all sync.WaitGroup
	for port, address := range w.servers {
		all.Go(func() {
			c := w.handshake(ctx, port, address)
			if c == nil {
				return
			}
			mu.Lock()
			defer mu.Unlock()
			out = append(out, describe(c, func(word string) snapshot.EvidenceKey { return snapshot.KeyOf("certificate", "served", port, word) })...)
		})
	}
	all.Wait()
	slices.SortFunc(out, func(a, b snapshot.MachineEvidence) int { return cmp.Compare(a.Key, b.Key) })
	return out
}

// handshake begins to speak TLS with a server, and returns the certificate that it presents; nil where
// none came.
func (w *watch) handshake(ctx context.Context, port, address string) *x509.Certificate {
	ctx, cancel := context.WithTimeout(ctx, handshakeTimeout)
	defer cancel()
	raw, err := (&net.Dialer{}).DialContext(ctx, "tcp", address)
	if err != nil {
		return nil
	}
	defer func() { _ = raw.Close() }()
	var presented *x509.Certificate
	config := &tls.Config{
		MinVersion:         tls.VersionTLS12,
		InsecureSkipVerify: true, //nolint:gosec // the certificate itself is what is looked at; nothing is sent to the server
		VerifyConnection: func(s tls.ConnectionState) error {
			presented = s.PeerCertificates[0]
			return nil
		},
	}
	if port == "2379" {
		certificate, err1 := w.host.ReadFile(etcdClient+".crt", fileLimit)
		key, err2 := w.host.ReadFile(etcdClient+".key", fileLimit)
		if pair, err := tls.X509KeyPair(certificate, key); err1 == nil && err2 == nil && err == nil {
			config.Certificates = []tls.Certificate{pair}
		}
	}
	conn := tls.Client(raw, config)
	// A server that wants a client's certificate ends the handshake after it has presented its own.
	_ = conn.HandshakeContext(ctx)
	return presented
}
