package synthetic

import (
	"context"
	"crypto/x509"
	"errors"
	"fmt"
	"time"
)

var sslHandshakeOptions = []Option{
	{Name: "DOMAIN_NAME", Doc: "Name or address of the server."},
	{Name: "PORT", Default: "443", Doc: "Port of the server."},
	{Name: "SELF_SIGNED", Default: "false", Doc: "true: where no file is mounted at /etc/ssl/selfsign/certificate.crt, a chain that ends in a certificate of the server's own is accepted; its name and dates are judged all the same."},
}

var _ = All.Add(Scenario{
	Name:    "ssl-handshake",
	Doc:     "Makes a TLS connection as a client does, and judges name, dates and chain of the certificate. A failure means that clients refuse the server.",
	Images:  []string{"ssl-handshake-check"},
	Options: sslHandshakeOptions,
	Time:    5 * time.Minute,
	Run:     func(ctx context.Context, env Environment) (Result, error) { return shakeHands(ctx, env, podTrust) },
})

func shakeHands(ctx context.Context, env Environment, trust trust) (Result, error) {
	o := env.read(sslHandshakeOptions)
	host, port, selfSigned := o.host("DOMAIN_NAME"), o.port("PORT"), o.boolean("SELF_SIGNED")
	if err := o.err(); err != nil {
		return Result{}, err
	}
	roots, which, custom, err := trust.roots()
	if err != nil {
		return Result{}, err
	}
	failed := func(err error) (Result, error) {
		return Result{Errors: []string{fmt.Sprintf("error making connection to perform TLS handshake: %s on port %s: %v", host, port, err)}}, nil
	}
	server, err := handshake(ctx, host, port)
	if err != nil {
		return failed(err)
	}
	now := env.Clock.Now()
	_, err = server.verify(roots, now)
	if err == nil {
		return Result{}, nil
	}
	_, stranger := errors.AsType[x509.UnknownAuthorityError](err)
	if stranger && selfSigned && !custom {
		if own, is := server.selfMade(); is {
			if _, err = server.verify(own, now); err == nil {
				return Result{Notes: []string{fmt.Sprintf(
					"%s shows a certificate that only itself vouches for: %s; SELF_SIGNED=true accepts that, and who the server is was not proven. Mount its authority at %s to have that judged too",
					host, title(server.chain[len(server.chain)-1]), trust.custom)}}, nil
			}
		}
	}
	return failed(fmt.Errorf("%w (trusted is %s)", err, which))
}
