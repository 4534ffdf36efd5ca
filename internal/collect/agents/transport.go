package agents

import (
	"context"
	"crypto/sha256"
	"crypto/tls"
	"encoding/hex"
	"errors"
	"fmt"
	"net"
	"net/http"

	"k8s.io/client-go/rest"
	"k8s.io/client-go/transport"
)

// dialer opens a connection to an agent.
type dialer func(ctx context.Context, a Agent) (net.Conn, error)

// clientFor makes a client of one agent, with the credentials that the API server is shown: the client
// certificate, or else the bearer token. Neither is sent before the agent has proven its key. Its
// connections end with ctx.
func clientFor(ctx context.Context, cfg *rest.Config, a Agent, dial dialer) (*http.Client, error) {
	settings, err := cfg.TransportConfig()
	if err != nil {
		return nil, fmt.Errorf("reading the kubeconfig's credentials: %w", err)
	}
	secure, err := transport.TLSConfigFor(settings)
	if err != nil {
		return nil, fmt.Errorf("reading the kubeconfig's client certificate: %w", err)
	}
	if secure == nil {
		secure = &tls.Config{}
	}
	// Names, addresses and authorities are the API server's; of an agent only the key is known.
	secure.ServerName, secure.RootCAs, secure.NextProtos = "", nil, nil
	secure.MinVersion = tls.VersionTLS13
	secure.InsecureSkipVerify = true
	secure.VerifyConnection = func(state tls.ConnectionState) error { return proven(state, a.Key) }
	base := &http.Transport{
		// The transport's own context ends once the connection is there.
		DialTLSContext: func(context.Context, string, string) (net.Conn, error) {
			raw, err := dial(ctx, a)
			if err != nil {
				return nil, err
			}
			conn := tls.Client(raw, secure)
			if err := conn.HandshakeContext(ctx); err != nil {
				_ = raw.Close()
				return nil, err
			}
			return conn, nil
		},
		DisableKeepAlives: true,
	}
	wrapped, err := transport.HTTPWrappersForConfig(settings, base)
	if err != nil {
		return nil, fmt.Errorf("reading the kubeconfig's credentials: %w", err)
	}
	return &http.Client{
		Transport:     wrapped,
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}, nil
}

// errOtherKey is the error of an agent that has another key than its Node says.
var errOtherKey = errors.New("whoever answers has another key than the Node names for its agent")

// proven checks that the other side holds the key that was named.
func proven(state tls.ConnectionState, key string) error {
	if len(state.PeerCertificates) == 0 {
		return errOtherKey
	}
	if sum := sha256.Sum256(state.PeerCertificates[0].RawSubjectPublicKeyInfo); "sha256:"+hex.EncodeToString(sum[:]) != key {
		return errOtherKey
	}
	return nil
}
