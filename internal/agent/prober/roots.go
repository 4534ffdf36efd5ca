package prober

import (
	"crypto/x509"
	"errors"
	"sync"

	"github.com/maek-dev/maek/internal/monitor"
)

// errNoRoots is the error of a machine that trusts nobody.
var errNoRoots = errors.New("there is nobody whom this machine trusts to sign certificates; name the authorities with a caBundle")

// bundles are where distributions keep whom they trust (crypto/x509/root_linux.go of Go).
var bundles = []string{
	"etc/ssl/certs/ca-certificates.crt",
	"etc/pki/tls/certs/ca-bundle.crt",
	"etc/ssl/ca-bundle.pem",
	"etc/pki/ca-trust/extracted/pem/tls-ca-bundle.pem",
	"etc/ssl/cert.pem",
}

// maxBundle is more than any distribution trusts, in bytes.
const maxBundle = 4 << 20

// authorities are whom the machine trusts.
type authorities struct {
	// system are those of the program's own image.
	system func() (*x509.CertPool, error)
	host   monitor.Host

	mu   sync.Mutex
	kept *x509.CertPool
}

// pool reads them when they are first needed: most agents never do. A machine's trust changes rarely, and
// with it agents are begun anew.
func (a *authorities) pool() (*x509.CertPool, error) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.kept != nil {
		return a.kept, nil
	}
	if pool, err := a.system(); err == nil && !pool.Equal(x509.NewCertPool()) {
		a.kept = pool
		return pool, nil
	}
	for _, name := range bundles {
		data, err := a.host.ReadFile(name, maxBundle)
		if err != nil {
			continue
		}
		pool := x509.NewCertPool()
		if pool.AppendCertsFromPEM(data) {
			a.kept = pool
			return pool, nil
		}
	}
	return nil, errNoRoots
}
