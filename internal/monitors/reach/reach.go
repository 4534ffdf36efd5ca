// Package reach asks an address, and says in one word how that went. The words are told apart because
// what they stand for is mended elsewhere.
package reach

import (
	"context"
	"crypto/tls"
	"errors"
	"io"
	"net"
	"net/http"
	"os"
	"strings"
	"syscall"
	"time"
)

// Outcome is the word for how an address answered.
type Outcome string

// The outcomes.
const (
	// Answered: it took the connection, or gave an HTTP answer of whatever status.
	Answered Outcome = "answered"
	// Refused: the machine is there and nothing listens.
	Refused Outcome = "refused"
	// TimedOut: nothing came back in time.
	TimedOut Outcome = "timed-out"
	// NoRoute: the network said that there is no way.
	NoRoute Outcome = "no-route"
	// NameUnknown: its name has no address.
	NameUnknown Outcome = "name-unknown"
	// TLS: it took the connection, and the handshake failed.
	TLS Outcome = "tls"
	// Failed: anything else, as a connection that is cut midway.
	Failed Outcome = "failed"
)

// Words explains the outcomes in the documentation of a key.
const Words = "answered, refused (nothing listens), timed-out (nothing comes back), no-route, name-unknown, tls (the handshake fails) or failed; at: since when, as far as this monitor has watched."

const (
	// patience bounds one question. What is on the same machine answers in milliseconds.
	patience = 3 * time.Second
	// bodyLimit bounds what is read of an answer, in bytes.
	bodyLimit = 16 << 10
)

// Answer is what came of a question.
type Answer struct {
	Outcome Outcome
	// Error where there is no answer.
	Error string
	// Status and Body of an HTTP answer.
	Status int
	Body   string
}

// Connect opens a TCP connection and closes it.
func Connect(ctx context.Context, address string) Answer {
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	var d net.Dialer
	conn, err := d.DialContext(ctx, "tcp", address)
	if err != nil {
		return unanswered(err)
	}
	_ = conn.Close()
	return Answer{Outcome: Answered}
}

// ConnectTLS is Connect to a port that speaks TLS: it ends the connection after the handshake, for a
// server notes each that is dropped before in its log. How the handshake goes does not count, and nobody's
// certificate is believed.
func ConnectTLS(ctx context.Context, address string) Answer {
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	var d net.Dialer
	conn, err := d.DialContext(ctx, "tcp", address)
	if err != nil {
		return unanswered(err)
	}
	secure := tls.Client(conn, &tls.Config{InsecureSkipVerify: true}) //nolint:gosec // nothing is sent or read
	_ = secure.HandshakeContext(ctx)
	_ = secure.Close()
	return Answer{Outcome: Answered}
}

// Get asks for a page, by no proxy and over a connection of its own.
func Get(ctx context.Context, url string, config *tls.Config) Answer {
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, url, http.NoBody)
	if err != nil {
		return unanswered(err)
	}
	transport := &http.Transport{TLSClientConfig: config, DisableKeepAlives: true}
	response, err := transport.RoundTrip(request)
	if err != nil {
		return unanswered(err)
	}
	defer func() { _ = response.Body.Close() }()
	body, err := io.ReadAll(io.LimitReader(response.Body, bodyLimit))
	if err != nil {
		return unanswered(err)
	}
	return Answer{Outcome: Answered, Status: response.StatusCode, Body: strings.TrimSpace(string(body))}
}

func unanswered(err error) Answer { return Answer{Outcome: Of(err), Error: err.Error()} }

// Of is the word for an error of package net, of whatever protocol.
func Of(err error) Outcome {
	var (
		name      *net.DNSError
		handshake *tls.CertificateVerificationError
		alert     tls.AlertError
		record    tls.RecordHeaderError
	)
	switch {
	case errors.As(err, &handshake), errors.As(err, &alert), errors.As(err, &record), strings.Contains(err.Error(), "tls: "):
		return TLS
	case errors.Is(err, syscall.ECONNREFUSED):
		return Refused
	case errors.Is(err, syscall.EHOSTUNREACH), errors.Is(err, syscall.ENETUNREACH):
		return NoRoute
	case errors.As(err, &name) && !name.IsTimeout:
		return NameUnknown
	case errors.Is(err, context.DeadlineExceeded), errors.Is(err, os.ErrDeadlineExceeded), errors.Is(err, syscall.ETIMEDOUT):
		return TimedOut
	default:
		return Failed
	}
}
