package identity

import (
	"crypto/tls"
	"errors"
	"fmt"

	"github.com/maek-dev/maek/internal/agent/peer"
)

// Errors of a connection to a peer.
var (
	// ErrUnknownKey says that no key of the peer is known yet.
	ErrUnknownKey = errors.New("its Node does not tell the key of its agent")
	// ErrOtherKey says that somebody else answered, or that the peer was made anew and the API server has
	// not been heard since.
	ErrOtherKey = errors.New("it answered with another key than its Node tells")
)

// Server is the configuration of the agent's own door. Clients may show any certificate or none: who
// they are and what they may do is decided by request.
func (o Own) Server() *tls.Config {
	return &tls.Config{
		MinVersion:   tls.VersionTLS13,
		Certificates: []tls.Certificate{o.Certificate},
		ClientAuth:   tls.RequestClientCert,
		NextProtos:   []string{"h2", "http/1.1"},
	}
}

// Client is the configuration of a connection to a peer: it accepts the peer's key alone. Names and dates
// of its certificate do not count: the key is what the API server told, and the clock of a machine may be
// what is wrong with it.
func (o Own) Client(p peer.Peer) *tls.Config {
	return &tls.Config{
		MinVersion:         tls.VersionTLS13,
		Certificates:       []tls.Certificate{o.Certificate},
		ServerName:         p.Node,
		InsecureSkipVerify: true, //nolint:gosec // VerifyConnection below takes its place
		VerifyConnection: func(state tls.ConnectionState) error {
			switch {
			case p.Key == "":
				return fmt.Errorf("agent of %s: %w", p.Node, ErrUnknownKey)
			case len(state.PeerCertificates) == 0 || Fingerprint(state.PeerCertificates[0]) != p.Key:
				return fmt.Errorf("agent of %s: %w", p.Node, ErrOtherKey)
			}
			return nil
		},
	}
}

// Caller tells which peer is at the other end of a connection that was accepted; false where it is none.
// A peer is known by its key and its name together, so that a node that publishes another's key gains
// nothing by it.
func Caller(state *tls.ConnectionState, source peer.Source) (peer.Peer, bool) {
	if state == nil || len(state.PeerCertificates) == 0 {
		return peer.Peer{}, false
	}
	certificate := state.PeerCertificates[0]
	name := certificate.Subject.CommonName
	for _, p := range source.Peers() {
		if p.Node == name {
			return p, p.Key != "" && p.Key == Fingerprint(certificate)
		}
	}
	return peer.Peer{}, false
}
