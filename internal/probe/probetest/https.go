package probetest

import (
	"crypto/tls"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"

	"github.com/maek-dev/maek/internal/probe"
)

// past is when certificates of the tests begin to be valid, and expired ones end.
var past = time.Date(2020, 1, 1, 0, 0, 0, 0, time.UTC)

// served gives a server a certificate of its own making.
func served(change func(*tls.Config)) func(tb testing.TB) *tls.Config {
	return func(tb testing.TB) *tls.Config {
		tb.Helper()
		config := &tls.Config{Certificates: []tls.Certificate{Issue(tb, "server.example.org", past, past.AddDate(100, 0, 0), nil)}}
		change(config)
		return config
	}
}

func secured() map[string]HTTPCase {
	https := corev1.HTTPGetAction{Scheme: corev1.URISchemeHTTPS}
	plain := func(*tls.Config) {}
	fine := answer("200 OK", "", "fine")
	return map[string]HTTPCase{
		"a certificate of its own making": {Serve: fine, Config: served(plain), Get: https, Want: passed(probe.Success, "fine")},
		"a certificate that has ended": {
			Serve: fine, Get: https, Want: passed(probe.Success, "fine"),
			Config: func(tb testing.TB) *tls.Config {
				return &tls.Config{Certificates: []tls.Certificate{Issue(tb, "server.example.org", past, past.AddDate(1, 0, 0), nil)}}
			},
		},
		"HTTPS of a plain server": {
			Serve: func(c *Conn) {
				c.ReadRecord()
				c.Say("HTTP/1.1 400 Bad Request\r\nConnection: close\r\n\r\n")
			},
			Get:  https,
			Want: failed(`Get "https://SERVER": http: server gave HTTP response to HTTPS client`),
		},
		"HTTPS of a server that hangs": {
			Serve: sayAndHang(""), Get: https, Hangs: true,
			Want: failed(`Get "https://SERVER": TIMEOUT`),
		},
		"HTTP of a TLS server": {
			Serve: say("\x15\x03\x01\x00\x02\x02\x46"),
			Want:  failed(`Get "http://SERVER": net/http: HTTP/1.x transport connection broken: malformed HTTP response "\x15\x03\x01\x00\x02\x02F"`),
		},
		"a server that asks for a certificate": {
			// The handshake of TLS 1.2 ends only when the server has seen what it asked for.
			Serve: fine, Get: https, Want: failed(`Get "https://SERVER": remote error: tls: handshake failure`),
			Config: served(func(c *tls.Config) { c.ClientAuth, c.MaxVersion = tls.RequireAnyClientCert, tls.VersionTLS12 }),
		},
		"a server that speaks TLS 1.0 only": {
			Serve: fine, Get: https, Want: failed(`Get "https://SERVER": remote error: tls: protocol version not supported`),
			Config: served(func(c *tls.Config) { c.MinVersion, c.MaxVersion = tls.VersionTLS10, tls.VersionTLS10 }),
		},
		"a server that speaks TLS 1.1 only": {
			Serve: fine, Get: https, Want: failed(`Get "https://SERVER": remote error: tls: protocol version not supported`),
			Config: served(func(c *tls.Config) { c.MinVersion, c.MaxVersion = tls.VersionTLS10, tls.VersionTLS11 }),
		},
	}
}
