package live

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"time"

	"k8s.io/client-go/rest"

	"github.com/maek-dev/maek/internal/snapshot"
)

// handshake agrees on TLS with every address that opens, all at once. One whose certificate holds is
// enough.
func (c *Client) handshake(ctx context.Context, api *snapshot.API) *snapshot.APIFailure {
	if c.server.Scheme != "https" {
		return nil
	}
	ctx, cancel := context.WithTimeout(ctx, c.stageTimeout())
	defer cancel()
	eachOpen(api.Addresses, func(a *snapshot.Address) { c.secure(ctx, a, c.server.Hostname()) })
	var failure *snapshot.APIFailure
	for _, a := range api.Addresses {
		switch {
		case a.Error != "":
		case a.Failure == nil:
			api.CertificateNotAfter = a.CertificateNotAfter
			return nil
		case failure == nil:
			failure = a.Failure
			api.CertificateNotAfter = a.CertificateNotAfter
		}
	}
	return failure
}

// secure agrees on TLS with an address, and checks the certificate as every client does. It is not
// checked during the handshake so that one that does not hold can be read; nothing is sent over the
// connection.
func (c *Client) secure(ctx context.Context, a *snapshot.Address, name string) {
	fail := func(err error) {
		a.Failure = &snapshot.APIFailure{Layer: snapshot.LayerTLS, Reason: tlsReason(err), Message: dialWords(err)}
	}
	cfg, err := rest.TLSConfigFor(c.config)
	if err != nil || cfg == nil {
		cfg = &tls.Config{MinVersion: tls.VersionTLS12}
	}
	verify := !cfg.InsecureSkipVerify
	cfg = cfg.Clone()
	cfg.InsecureSkipVerify = true
	if cfg.ServerName == "" {
		cfg.ServerName = name
	}
	conn, err := c.dial(ctx, a.Address)
	if err != nil {
		fail(err)
		return
	}
	defer func() { _ = conn.Close() }()
	secure := tls.Client(conn, cfg)
	if err := secure.HandshakeContext(ctx); err != nil {
		fail(err)
		return
	}
	certs := secure.ConnectionState().PeerCertificates
	if len(certs) == 0 {
		return
	}
	a.CertificateNotBefore, a.CertificateNotAfter = certs[0].NotBefore.UTC(), certs[0].NotAfter.UTC()
	if !verify {
		return
	}
	options := x509.VerifyOptions{
		Roots: cfg.RootCAs, DNSName: cfg.ServerName, CurrentTime: c.options.Now(), Intermediates: x509.NewCertPool(),
	}
	for _, ca := range certs[1:] {
		options.Intermediates.AddCert(ca)
	}
	if _, err := certs[0].Verify(options); err != nil {
		fail(err)
	}
}

// tlsReason says in a stable word why no secure connection came about.
func tlsReason(err error) snapshot.FailureReason {
	if invalid, ok := errors.AsType[x509.CertificateInvalidError](err); ok && invalid.Reason == x509.Expired {
		return snapshot.CertificateExpired
	}
	if _, ok := errors.AsType[x509.UnknownAuthorityError](err); ok {
		return snapshot.CertificateUntrusted
	}
	if _, ok := errors.AsType[x509.HostnameError](err); ok {
		return snapshot.CertificateOtherName
	}
	if _, ok := errors.AsType[tls.RecordHeaderError](err); ok {
		return snapshot.NotTLS
	}
	return dialReason(err)
}

// clientCertificateExpired tells when the client certificate in the configuration expired; zero
// where it did not, or there is none. The server's 401 does not say.
func (c *Client) clientCertificateExpired(now time.Time) time.Time {
	leaf, err := clientCertificate(c.config)
	if err != nil || leaf == nil || !now.After(leaf.NotAfter) {
		return time.Time{}
	}
	return leaf.NotAfter
}

// clientCertificate reads the client certificate of a configuration; nil where there is none.
func clientCertificate(cfg *rest.Config) (*x509.Certificate, error) {
	files := rest.CopyConfig(cfg)
	if err := rest.LoadTLSFiles(files); err != nil {
		return nil, fmt.Errorf("reading the client certificate: %w", err)
	}
	block, _ := pem.Decode(files.CertData)
	if block == nil {
		return nil, nil
	}
	leaf, err := x509.ParseCertificate(block.Bytes)
	if err != nil {
		return nil, fmt.Errorf("parsing the client certificate: %w", err)
	}
	return leaf, nil
}
