package synthetic

import (
	"context"
	"crypto/x509"
	"fmt"
	"slices"
	"time"
)

var sslExpiryOptions = []Option{
	{Name: "DOMAIN_NAME", Doc: "Name or address of the server."},
	{Name: "PORT", Default: "443", Doc: "Port of the server."},
	{Name: "DAYS", Default: "60", Doc: "It fails where a certificate is valid for no more than these days, 0 to 36500."},
	{Name: "INSECURE", Default: "false", Doc: "true: only the dates are judged; false: also whether the certificates are trusted, and name the server."},
}

var _ = All.Add(Scenario{
	Name:    "ssl-expiry",
	Doc:     "Looks at how long the certificates of a TLS server are valid, all of its chain. A failure means that clients refuse the server, or will soon.",
	Images:  []string{"ssl-expiry-check"},
	Options: sslExpiryOptions,
	Time:    5 * time.Minute,
	Run: func(ctx context.Context, env Environment) (Result, error) {
		return certificateExpiry(ctx, env, podTrust)
	},
})

func certificateExpiry(ctx context.Context, env Environment, trust trust) (Result, error) {
	o := env.read(sslExpiryOptions)
	host, port, days, insecure := o.host("DOMAIN_NAME"), o.port("PORT"), o.integer("DAYS", 0, 36500), o.boolean("INSECURE")
	if err := o.err(); err != nil {
		return Result{}, err
	}
	server, err := handshake(ctx, host, port)
	if err != nil {
		return Result{Errors: []string{fmt.Sprintf("the certificates of %s on port %s could not be seen: %v", host, port, err)}}, nil
	}
	var result Result
	now := env.Clock.Now()
	chain := server.chain
	if !insecure {
		roots, which, _, err := trust.roots()
		if err != nil {
			return Result{}, err
		}
		chains, err := server.verify(roots, now)
		switch {
		case err == nil:
			// A client takes any chain that holds, so the one that holds longest counts.
			chain = slices.MaxFunc(chains, func(a, b []*x509.Certificate) int { return ends(a).Compare(ends(b)) })
			result.Notes = append(result.Notes, idle(server.chain, chain, days, now)...)
		case !outdated(server.chain, now):
			result.Errors = append(result.Errors, fmt.Sprintf("the certificate of %s on port %s is not accepted: %v (trusted is %s)", host, port, err, which))
		}
	}
	for at, certificate := range chain {
		subject := "Certificate for domain " + host
		if at > 0 {
			subject = fmt.Sprintf("Certificate %s, on which that for domain %s depends,", title(certificate), host)
		}
		left := int(certificate.NotAfter.Sub(now) / (24 * time.Hour))
		switch {
		case now.After(certificate.NotAfter):
			result.Errors = append(result.Errors, fmt.Sprintf("%s is expired: it was valid until %s", subject, date(certificate.NotAfter)))
		case now.Before(certificate.NotBefore):
			result.Errors = append(result.Errors, fmt.Sprintf("%s is not valid before %s; the clock of the node says %s", subject, date(certificate.NotBefore), date(now)))
		case left <= days:
			result.Errors = append(result.Errors, fmt.Sprintf("%s is expiring in less than %d days: it is valid until %s, which is in %d days", subject, days, date(certificate.NotAfter), left))
		}
	}
	if result.OK() {
		end := ends(chain)
		result.Notes = append(result.Notes, fmt.Sprintf("the certificates of %s are valid until %s, which is in %d days", host, date(end), int(end.Sub(now)/(24*time.Hour))))
	}
	return result, nil
}

// ends is when the first certificate of a chain ends.
func ends(chain []*x509.Certificate) time.Time {
	return slices.MinFunc(chain, func(a, b *x509.Certificate) int { return a.NotAfter.Compare(b.NotAfter) }).NotAfter
}

// outdated tells whether a date explains that a chain does not hold: it is said of the certificate then.
func outdated(chain []*x509.Certificate, now time.Time) bool {
	return slices.ContainsFunc(chain, func(c *x509.Certificate) bool { return now.After(c.NotAfter) || now.Before(c.NotBefore) })
}

// idle speaks of certificates that a server sends, though the chain that holds does without them: older
// clients may not.
func idle(sent, used []*x509.Certificate, days int, now time.Time) []string {
	var notes []string
	for _, certificate := range sent {
		if certificate.NotAfter.Sub(now) > time.Duration(days+1)*24*time.Hour || slices.ContainsFunc(used, certificate.Equal) {
			continue
		}
		notes = append(notes, fmt.Sprintf("the server also sends %s, which is valid until %s; clients that know the authority do without it", title(certificate), date(certificate.NotAfter)))
	}
	return notes
}

func date(at time.Time) string { return at.UTC().Format(time.RFC3339) }
