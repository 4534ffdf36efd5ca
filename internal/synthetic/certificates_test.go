package synthetic

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"maps"
	"math/big"
	"net"
	"os"
	"path/filepath"
	"testing"
	"time"
)

const day = 24 * time.Hour

// signer signs certificates.
type signer struct {
	certificate *x509.Certificate
	key         *ecdsa.PrivateKey
}

// issue makes a certificate that ends after a while; by nobody else where no signer is given.
func issue(t *testing.T, by *signer, name string, authority bool, from, until time.Time) *signer {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	serial, err := rand.Int(rand.Reader, big.NewInt(1<<62))
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber: serial, Subject: pkix.Name{CommonName: name}, NotBefore: from, NotAfter: until,
		IsCA: authority, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageDigitalSignature,
	}
	if authority {
		template.KeyUsage |= x509.KeyUsageCertSign
	} else {
		template.DNSNames, template.ExtKeyUsage = []string{name}, []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth}
	}
	made := &signer{key: key}
	if by == nil {
		by = &signer{certificate: template, key: key}
	}
	der, err := x509.CreateCertificate(rand.Reader, template, by.certificate, key.Public(), by.key)
	if err != nil {
		t.Fatal(err)
	}
	if made.certificate, err = x509.ParseCertificate(der); err != nil {
		t.Fatal(err)
	}
	return made
}

func chainOf(signers ...*signer) [][]byte {
	var chain [][]byte
	for _, s := range signers {
		chain = append(chain, s.certificate.Raw)
	}
	return chain
}

// tlsServer shows a chain on loopback until the test ends.
func tlsServer(t *testing.T, chain [][]byte, key *ecdsa.PrivateKey) (port string) {
	t.Helper()
	listener, err := tls.Listen("tcp", "127.0.0.1:0", &tls.Config{
		MinVersion: tls.VersionTLS12, Certificates: []tls.Certificate{{Certificate: chain, PrivateKey: key}},
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { listener.Close() })
	go func() {
		for {
			connection, err := listener.Accept()
			if err != nil {
				return
			}
			go func() {
				defer connection.Close()
				connection.(*tls.Conn).Handshake() //nolint:errcheck // the client says what it thinks of it
			}()
		}
	}()
	_, port, err = net.SplitHostPort(listener.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	return port
}

func writePEM(t *testing.T, certificates ...*signer) string {
	t.Helper()
	var text bytes.Buffer
	for _, s := range certificates {
		if err := pem.Encode(&text, &pem.Block{Type: "CERTIFICATE", Bytes: s.certificate.Raw}); err != nil {
			t.Fatal(err)
		}
	}
	file := filepath.Join(t.TempDir(), "certificate.crt")
	if err := os.WriteFile(file, text.Bytes(), 0o600); err != nil {
		t.Fatal(err)
	}
	return file
}

func TestCertificates(t *testing.T) {
	e := settings(t, nil)
	now := e.Clock.Now()
	long, soon, past := now.Add(400*day+time.Hour), now.Add(30*day+time.Hour), now.Add(-day)
	root := issue(t, nil, "root", true, now.Add(-700*day), long)
	endingRoot := issue(t, nil, "ending root", true, now.Add(-700*day), soon)
	between := issue(t, root, "between", true, now.Add(-700*day), long)
	endingBetween := issue(t, root, "ending between", true, now.Add(-700*day), soon)
	gone := issue(t, root, "gone between", true, now.Add(-700*day), past)
	leaf := func(by *signer, name string, until time.Time) *signer {
		return issue(t, by, name, false, now.Add(-700*day), until)
	}

	good, expired, ending, foreign := leaf(between, "localhost", long), leaf(between, "localhost", past), leaf(between, "localhost", soon), leaf(between, "other.example", long)
	young := issue(t, between, "localhost", false, now.Add(day), long)
	onEnding, onGone, onEndingRoot := leaf(endingBetween, "localhost", long), leaf(gone, "localhost", long), leaf(endingRoot, "localhost", long)
	alone, aloneExpired := issue(t, nil, "localhost", false, now.Add(-700*day), long), issue(t, nil, "localhost", false, now.Add(-700*day), past)
	stranger := issue(t, nil, "stranger", true, now.Add(-700*day), long)
	strange := leaf(stranger, "localhost", long)
	none := filepath.Join(t.TempDir(), "none")

	const refused = "error making connection to perform TLS handshake: localhost on port "
	tests := map[string]struct {
		chain         [][]byte
		key           *ecdsa.PrivateKey
		trust         trust
		options       map[string]string
		wantExpiry    expectation
		wantHandshake expectation
	}{
		"all is well": {
			chain: chainOf(good, between), key: good.key, trust: trust{custom: none, cluster: writePEM(t, root)},
			wantExpiry: expectation{notes: []string{"which is in 400 days"}},
		},
		"expired": {
			chain: chainOf(expired, between), key: expired.key, trust: trust{custom: none, cluster: writePEM(t, root)},
			wantExpiry:    expectation{errors: []string{"Certificate for domain localhost is expired: it was valid until"}},
			wantHandshake: expectation{errors: []string{refused}},
		},
		"ending soon": {
			chain: chainOf(ending, between), key: ending.key, trust: trust{custom: none, cluster: writePEM(t, root)},
			wantExpiry: expectation{errors: []string{"Certificate for domain localhost is expiring in less than 60 days: it is valid until"}},
		},
		"ending soon, and that is early enough": {
			chain: chainOf(ending, between), key: ending.key, trust: trust{custom: none, cluster: writePEM(t, root)}, options: map[string]string{"DAYS": "29"},
			wantExpiry: expectation{notes: []string{"which is in 30 days"}},
		},
		"not valid yet": {
			chain: chainOf(young, between), key: young.key, trust: trust{custom: none, cluster: writePEM(t, root)},
			wantExpiry: expectation{errors: []string{"is not valid before"}}, wantHandshake: expectation{errors: []string{refused}},
		},
		"what it depends on ends soon": {
			chain: chainOf(onEnding, endingBetween), key: onEnding.key, trust: trust{custom: none, cluster: writePEM(t, root)},
			wantExpiry: expectation{errors: []string{`Certificate "CN=ending between"`}},
		},
		"what it depends on is expired": {
			chain: chainOf(onGone, gone), key: onGone.key, trust: trust{custom: none, cluster: writePEM(t, root)},
			wantExpiry: expectation{errors: []string{`Certificate "CN=gone between"`}}, wantHandshake: expectation{errors: []string{refused}},
		},
		"the root ends soon, and the server does not send it": {
			chain: chainOf(onEndingRoot), key: onEndingRoot.key, trust: trust{custom: none, cluster: writePEM(t, endingRoot)},
			wantExpiry: expectation{errors: []string{`Certificate "CN=ending root"`}},
		},
		"the server sends one more, which is expired": {
			chain: chainOf(good, between, gone), key: good.key, trust: trust{custom: none, cluster: writePEM(t, root)},
			wantExpiry: expectation{notes: []string{`the server also sends "CN=gone between"`, "which is in 400 days"}},
		},
		"another's name": {
			chain: chainOf(foreign, between), key: foreign.key, trust: trust{custom: none, cluster: writePEM(t, root)},
			wantExpiry:    expectation{errors: []string{"is not accepted: x509: certificate is valid for other.example, not localhost"}},
			wantHandshake: expectation{errors: []string{"not localhost"}},
		},
		"an authority that nobody trusts": {
			chain: chainOf(strange), key: strange.key, trust: trust{custom: none, cluster: none},
			wantExpiry: expectation{errors: []string{"unknown authority"}}, wantHandshake: expectation{errors: []string{"unknown authority (trusted is what the checker's system trusts)"}},
		},
		"an authority that nobody trusts, and only the dates matter": {
			chain: chainOf(strange), key: strange.key, trust: trust{custom: none, cluster: none}, options: map[string]string{"INSECURE": "true"},
			wantExpiry: expectation{notes: []string{"400 days"}}, wantHandshake: expectation{errors: []string{"unknown authority"}},
		},
		"an authority in the file that people mount": {
			chain: chainOf(strange), key: strange.key, trust: trust{custom: writePEM(t, stranger), cluster: none},
			wantExpiry: expectation{notes: []string{"400 days"}},
		},
		"a certificate of its own in that file": {
			chain: chainOf(alone), key: alone.key, trust: trust{custom: writePEM(t, alone), cluster: none}, options: map[string]string{"SELF_SIGNED": "true"},
			wantExpiry: expectation{notes: []string{"400 days"}},
		},
		"another server than the one in that file": {
			chain: chainOf(alone), key: alone.key, trust: trust{custom: writePEM(t, stranger), cluster: none}, options: map[string]string{"SELF_SIGNED": "true"},
			wantExpiry: expectation{errors: []string{"not accepted"}}, wantHandshake: expectation{errors: []string{refused}},
		},
		"self-signed, and that is said": {
			chain: chainOf(alone), key: alone.key, trust: trust{custom: none, cluster: none}, options: map[string]string{"SELF_SIGNED": "true", "INSECURE": "true"},
			wantExpiry: expectation{notes: []string{"400 days"}}, wantHandshake: expectation{notes: []string{"who the server is was not proven"}},
		},
		"self-signed, and that is not said": {
			chain: chainOf(alone), key: alone.key, trust: trust{custom: none, cluster: none}, options: map[string]string{"INSECURE": "true"},
			wantExpiry: expectation{notes: []string{"400 days"}}, wantHandshake: expectation{errors: []string{refused}},
		},
		"self-signed and expired": {
			chain: chainOf(aloneExpired), key: aloneExpired.key, trust: trust{custom: none, cluster: none}, options: map[string]string{"SELF_SIGNED": "true", "INSECURE": "true"},
			wantExpiry: expectation{errors: []string{"is expired"}}, wantHandshake: expectation{errors: []string{refused}},
		},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			options := map[string]string{"DOMAIN_NAME": "localhost", "PORT": tlsServer(t, tc.chain, tc.key)}
			maps.Copy(options, tc.options)
			t.Run("expiry", func(t *testing.T) {
				got, err := certificateExpiry(t.Context(), settings(t, options), tc.trust)
				tc.wantExpiry.compare(t, got, err)
			})
			t.Run("handshake", func(t *testing.T) {
				got, err := shakeHands(t.Context(), settings(t, options), tc.trust)
				tc.wantHandshake.compare(t, got, err)
			})
		})
	}
}

func TestCertificatesOfServersThatShowNone(t *testing.T) {
	plain, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { plain.Close() })
	go func() {
		for {
			connection, err := plain.Accept()
			if err != nil {
				return
			}
			connection.Write([]byte("220 mail.example ESMTP\r\n")) //nolint:errcheck // the client has closed then
			connection.Close()
		}
	}()
	_, port, err := net.SplitHostPort(plain.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	broken := filepath.Join(t.TempDir(), "certificate.crt")
	if err := os.WriteFile(broken, []byte("no certificate"), 0o600); err != nil {
		t.Fatal(err)
	}
	none := trust{custom: filepath.Join(t.TempDir(), "none"), cluster: filepath.Join(t.TempDir(), "none")}
	tests := map[string]struct {
		options map[string]string
		trust   trust
		want    expectation
	}{
		"a server that speaks no TLS":      {map[string]string{"DOMAIN_NAME": "127.0.0.1", "PORT": port}, none, expectation{errors: []string{"first record does not look like a TLS handshake"}}},
		"no name":                          {map[string]string{"PORT": port}, none, expectation{refused: []string{"DOMAIN_NAME is not set: write the name or address of a server"}}},
		"an address instead of a name":     {map[string]string{"DOMAIN_NAME": "https://localhost"}, none, expectation{refused: []string{"without scheme and port"}}},
		"a port that is none":              {map[string]string{"DOMAIN_NAME": "localhost", "PORT": "https"}, none, expectation{refused: []string{`PORT is "https": write a whole number from 1 to 65535`}}},
		"a mounted file of nothing at all": {map[string]string{"DOMAIN_NAME": "127.0.0.1", "PORT": port}, trust{custom: broken}, expectation{refused: []string{"holds no certificate: write PEM blocks"}}},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			got, err := shakeHands(t.Context(), settings(t, tc.options), tc.trust)
			tc.want.compare(t, got, err)
		})
	}
}
