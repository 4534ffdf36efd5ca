package probe

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net"
	"slices"
	"time"
)

// TLS makes a handshake and looks at the certificates. It passes where their chain leads to a
// trusted root, is valid now and for the name; with a warning where one of it ends soon.
type TLS struct {
	// Address is host:port.
	Address string
	// ServerName is the name that the certificate must have, and that the server is told; "" is the
	// address's host.
	ServerName string
	// Roots are trusted; nil is the system's.
	Roots *x509.CertPool
	// WarnBefore is how long before the end of a certificate there is a warning; 0 for never.
	WarnBefore time.Duration
}

// Certificate is one of those that a server sent.
type Certificate struct {
	Subject string
	Issuer  string
	// Names are the DNS names and IP addresses that it is for.
	Names     []string
	NotBefore time.Time
	NotAfter  time.Time
	// Left is how long it is still valid; negative where it no longer is.
	Left time.Duration
}

// DaysLeft is how many whole days a certificate is still valid; negative once it is over.
func (c Certificate) DaysLeft() int {
	const day = 24 * time.Hour
	days := int(c.Left / day)
	if c.Left < 0 && c.Left%day != 0 {
		days--
	}
	return days
}

// String implements [Target].
func (t TLS) String() string { return "TLS handshake with " + t.Address }

func (t TLS) attempt(ctx context.Context, p *Prober, timeout time.Duration) *Outcome {
	ctx, cancel := context.WithTimeout(ctx, timeout)
	defer cancel()
	name := t.ServerName
	if name == "" {
		host, _, err := net.SplitHostPort(t.Address)
		if err != nil {
			return new(same(Unknown, err.Error()))
		}
		name = host
	}

	raw, phases, err := p.connect(ctx, "tcp", t.Address)
	if err != nil {
		outcome := stopped(err, err.Error())
		outcome.Phases = phases
		return &outcome
	}
	defer raw.Close()
	conn := tls.Client(raw, &tls.Config{
		ServerName:         name,
		InsecureSkipVerify: true, //nolint:gosec // verified below, after the chain has been read also of servers that fail it
	})
	connected := p.now()
	err = conn.HandshakeContext(ctx)
	shaken := p.now()
	phases.TLS = shaken.Sub(connected)
	if err != nil {
		outcome := stopped(err, "handshake: "+err.Error())
		if outcome.Cause == "" {
			outcome.Cause = TLSHandshakeFailed
		}
		outcome.Phases = phases
		return &outcome
	}
	outcome := t.judge(conn.ConnectionState().PeerCertificates, name, shaken)
	outcome.Phases = phases
	return &outcome
}

func (t TLS) judge(chain []*x509.Certificate, name string, now time.Time) Outcome {
	if len(chain) == 0 {
		outcome := same(Failure, "the server sent no certificate")
		outcome.Cause = CertificateInvalid
		return outcome
	}
	intermediates := x509.NewCertPool()
	for _, c := range chain[1:] {
		intermediates.AddCert(c)
	}
	verified, err := chain[0].Verify(x509.VerifyOptions{
		DNSName:       name,
		Roots:         t.Roots,
		Intermediates: intermediates,
		CurrentTime:   now,
	})
	var outcome Outcome
	if err != nil {
		outcome = stopped(err, reasonOf(err, chain[0], now))
		outcome.Cause = CertificateInvalid
	} else {
		outcome = t.judgeEnd(verified, now)
	}
	for _, c := range chain {
		outcome.Certificates = append(outcome.Certificates, describe(c, now))
	}
	return outcome
}

// reasonOf says of a certificate that is over since when it is, which the library says only of some.
func reasonOf(err error, leaf *x509.Certificate, now time.Time) string {
	if invalid, ok := errors.AsType[x509.CertificateInvalidError](err); ok && invalid.Reason == x509.Expired && now.After(leaf.NotAfter) {
		return "the certificate ended at " + leaf.NotAfter.UTC().Format(time.RFC3339)
	}
	return err.Error()
}

// judgeEnd looks at the chain that stays valid longest: a client takes whichever leads to a root.
func (t TLS) judgeEnd(chains [][]*x509.Certificate, now time.Time) Outcome {
	end := describe(endsFirst(chains), now)
	message := fmt.Sprintf("the chain is valid until %s, for %d days", end.NotAfter.UTC().Format(time.RFC3339), end.DaysLeft())
	outcome := same(Success, message)
	if t.WarnBefore > 0 && end.Left < t.WarnBefore {
		outcome = same(Warning, fmt.Sprintf("%s: then %s ends", message, end.Subject))
	}
	outcome.EndsFirst = &end
	return outcome
}

// endsFirst returns the certificate that ends the chain which lasts longest.
func endsFirst(chains [][]*x509.Certificate) *x509.Certificate {
	var last *x509.Certificate
	for _, chain := range chains {
		first := chain[0]
		for _, c := range chain {
			if c.NotAfter.Before(first.NotAfter) {
				first = c
			}
		}
		if last == nil || first.NotAfter.After(last.NotAfter) {
			last = first
		}
	}
	return last
}

// sent returns the chain that a server sent as far as each certificate is signed by the next. A root that
// signed itself is left out: a client has its own, and servers send such as nobody needs any more.
func sent(certificates []*x509.Certificate) []*x509.Certificate {
	chain := certificates[:1]
	for _, next := range certificates[1:] {
		last := chain[len(chain)-1]
		if last.CheckSignatureFrom(next) != nil || next.CheckSignatureFrom(next) == nil {
			break
		}
		chain = append(chain, next)
	}
	return slices.Clip(chain)
}

// withCertificates adds what an HTTPS server sent.
func (o *Outcome) withCertificates(state *tls.ConnectionState, now time.Time) {
	if state == nil || len(state.PeerCertificates) == 0 {
		return
	}
	for _, c := range state.PeerCertificates {
		o.Certificates = append(o.Certificates, describe(c, now))
	}
	chains := state.VerifiedChains
	if len(chains) == 0 {
		chains = [][]*x509.Certificate{sent(state.PeerCertificates)}
	}
	end := describe(endsFirst(chains), now)
	o.EndsFirst = &end
}

func describe(c *x509.Certificate, now time.Time) Certificate {
	names := append([]string(nil), c.DNSNames...)
	for _, ip := range c.IPAddresses {
		names = append(names, ip.String())
	}
	return Certificate{
		Subject:   c.Subject.String(),
		Issuer:    c.Issuer.String(),
		Names:     names,
		NotBefore: c.NotBefore,
		NotAfter:  c.NotAfter,
		Left:      c.NotAfter.Sub(now),
	}
}
