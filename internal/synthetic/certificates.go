package synthetic

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"os"
	"strconv"
	"time"
)

// handshakeTime is the longest that a connection and its handshake may take, as in Kuberhealthy.
const handshakeTime = 10 * time.Second

// trust says where the certificates lie that are trusted.
type trust struct {
	// custom is the file that people mount with their own authority, or a server's own certificate.
	custom string
	// cluster is the authority of the API server, which every pod has.
	cluster string
}

// podTrust is where Kuberhealthy's checks look.
var podTrust = trust{
	custom:  "/etc/ssl/selfsign/certificate.crt",
	cluster: "/var/run/secrets/kubernetes.io/serviceaccount/ca.crt",
}

// roots returns what is trusted: the custom file alone where there is one, else what the system trusts
// and the authority of the cluster. The text says which it is.
func (t trust) roots() (pool *x509.CertPool, which string, custom bool, err error) {
	text, err := os.ReadFile(t.custom)
	if err == nil {
		pool = x509.NewCertPool()
		if !pool.AppendCertsFromPEM(text) {
			return nil, "", false, fmt.Errorf("the file %s holds no certificate: write PEM blocks of the type CERTIFICATE into it", t.custom)
		}
		return pool, t.custom, true, nil
	}
	if !errors.Is(err, fs.ErrNotExist) {
		return nil, "", false, fmt.Errorf("reading trusted certificates: %w", err)
	}
	if pool, err = x509.SystemCertPool(); err != nil {
		return nil, "", false, fmt.Errorf("reading the system's certificates: %w", err)
	}
	which = "what the checker's system trusts"
	// Outside of a pod there is none.
	if text, err = os.ReadFile(t.cluster); err == nil && pool.AppendCertsFromPEM(text) {
		which += ", and the authority of the cluster"
	}
	return pool, which, false, nil
}

// shown is what a server showed in a handshake.
type shown struct {
	// host by the name that it was asked for.
	host string
	// chain as the server sent it, its own certificate first.
	chain []*x509.Certificate
}

// handshake connects and lets the server show its certificates, without judging them.
func handshake(ctx context.Context, host, port string) (shown, error) {
	ctx, cancel := context.WithTimeout(ctx, handshakeTime)
	defer cancel()
	dialer := tls.Dialer{Config: &tls.Config{
		ServerName: host,
		MinVersion: tls.VersionTLS12,
		//nolint:gosec // G402: what the server shows is to be looked at also where it is not trusted; verify judges it
		InsecureSkipVerify: true,
	}}
	connection, err := dialer.DialContext(ctx, "tcp", net.JoinHostPort(host, port))
	if err != nil {
		return shown{}, err
	}
	defer connection.Close()
	state := connection.(*tls.Conn).ConnectionState()
	if len(state.PeerCertificates) == 0 {
		return shown{}, errors.New("the server showed no certificate")
	}
	return shown{host: host, chain: state.PeerCertificates}, nil
}

// verify judges the name and the chain as a client would, and returns the chains that lead to a root.
func (s shown) verify(roots *x509.CertPool, now time.Time) ([][]*x509.Certificate, error) {
	between := x509.NewCertPool()
	for _, certificate := range s.chain[1:] {
		between.AddCert(certificate)
	}
	return s.chain[0].Verify(x509.VerifyOptions{DNSName: s.host, Roots: roots, Intermediates: between, CurrentTime: now})
}

// selfMade tells whether the server's chain leads to a certificate of its own that signs itself: then it
// can be judged in all but whom it belongs to.
func (s shown) selfMade() (*x509.CertPool, bool) {
	last := s.chain[len(s.chain)-1]
	if last.CheckSignature(last.SignatureAlgorithm, last.RawTBSCertificate, last.Signature) != nil {
		return nil, false
	}
	pool := x509.NewCertPool()
	pool.AddCert(last)
	return pool, true
}

// title names a certificate in sentences.
func title(certificate *x509.Certificate) string {
	name := certificate.Subject.String()
	if name == "" && len(certificate.DNSNames) > 0 {
		name = certificate.DNSNames[0]
	}
	return fmt.Sprintf("%q (serial number %s)", name, certificate.SerialNumber.Text(16))
}

// port reads an option that is a number of a port.
func (o *options) port(name string) string { return strconv.Itoa(o.integer(name, 1, 65535)) }

// host reads an option that is the name or the address of a server.
func (o *options) host(name string) string {
	const instead = "the name or address of a server, such as kubernetes.default, without scheme and port"
	value := o.needed(name, instead)
	if value != "" && net.ParseIP(value) == nil {
		for _, c := range value {
			if c == '/' || c == ':' || c == ' ' || c == '@' {
				o.refuse(name, value, instead)
				break
			}
		}
	}
	return value
}
