// Package identity is who an agent is to others: a key that is made once on its machine, and the
// certificates by which agents know each other. Trust is in fingerprints of keys, which the API server
// tells (monitor.KeyAnnotation) and which outlive it; no authority signs, and nothing expires.
package identity

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/hex"
	"encoding/pem"
	"errors"
	"fmt"
	"math/big"
	"time"

	"github.com/maek-dev/maek/internal/monitor"
)

// stored is the name under which key and certificate are kept.
const stored = "identity"

// forever is the date of a certificate that has no well-defined end
// (https://www.rfc-editor.org/rfc/rfc5280#section-4.1.2.5).
var forever = time.Date(9999, time.December, 31, 23, 59, 59, 0, time.UTC)

// Own is this agent's identity.
type Own struct {
	// Certificate with its private key.
	Certificate tls.Certificate
	// Fingerprint of the public key, as monitor.KeyAnnotation has it.
	Fingerprint string
}

// Load returns the identity that is kept, and makes one where there is none. What is kept and cannot be
// read is replaced: peers take the new key from the API server, as they do for a machine made anew. A
// node that was renamed keeps its key. An error that is ErrUnkept comes with an identity all the same.
func Load(store monitor.Store, node string) (Own, error) {
	data, err := store.Load(stored)
	if err == nil {
		if own, err := parse(data); err == nil && own.Certificate.Leaf.Subject.CommonName == node {
			return own, nil
		}
	}
	if data, err = generate(node, data); err != nil {
		return Own{}, err
	}
	own, err := parse(data)
	if err != nil {
		return Own{}, err
	}
	if err := store.Save(stored, data); err != nil {
		return own, fmt.Errorf("%w: %w", ErrUnkept, err)
	}
	return own, nil
}

// ErrUnkept says that an identity holds until the process ends only, as where the disk is full: peers
// that cannot ask the API server do not know the next.
var ErrUnkept = errors.New("the agent's key could not be kept")

// generate makes a certificate for a node, with the key of an earlier one where that can be read.
func generate(node string, earlier []byte) ([]byte, error) {
	var key *ecdsa.PrivateKey
	if own, err := parse(earlier); err == nil {
		key, _ = own.Certificate.PrivateKey.(*ecdsa.PrivateKey)
	}
	if key == nil {
		var err error
		if key, err = ecdsa.GenerateKey(elliptic.P256(), rand.Reader); err != nil {
			return nil, fmt.Errorf("making the agent's key: %w", err)
		}
	}
	serial, err := rand.Int(rand.Reader, new(big.Int).Lsh(big.NewInt(1), 127))
	if err != nil {
		return nil, fmt.Errorf("making the agent's certificate: %w", err)
	}
	template := &x509.Certificate{
		SerialNumber: serial,
		Subject:      pkix.Name{CommonName: node, Organization: []string{"maek-agent"}},
		// Before the clock of any machine, also of one whose clock is wrong.
		NotBefore:   time.Unix(0, 0),
		NotAfter:    forever,
		KeyUsage:    x509.KeyUsageDigitalSignature,
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth, x509.ExtKeyUsageClientAuth},
		DNSNames:    []string{node},
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		return nil, fmt.Errorf("making the agent's certificate: %w", err)
	}
	private, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		return nil, fmt.Errorf("encoding the agent's key: %w", err)
	}
	return append(
		pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}),
		pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: private})...,
	), nil
}

func parse(data []byte) (Own, error) {
	certificate, err := tls.X509KeyPair(data, data)
	if err != nil {
		return Own{}, fmt.Errorf("reading the agent's key: %w", err)
	}
	return Own{Certificate: certificate, Fingerprint: Fingerprint(certificate.Leaf)}, nil
}

// Fingerprint of a certificate's public key: "sha256:" and the digest of its SubjectPublicKeyInfo.
func Fingerprint(certificate *x509.Certificate) string {
	digest := sha256.Sum256(certificate.RawSubjectPublicKeyInfo)
	return "sha256:" + hex.EncodeToString(digest[:])
}
