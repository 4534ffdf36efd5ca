package certificates

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/base64"
	"encoding/pem"
	"math/big"
	"net"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/maek-dev/maek/internal/monitor"
)

var begin = time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)

// issue makes a certificate that has signed itself, good for a year from some time on.
func issue(t *testing.T, name string, serial int64, from time.Time, authority bool) (certificate, key []byte) {
	t.Helper()
	private, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(serial), Subject: pkix.Name{CommonName: name}, NotBefore: from, NotAfter: from.AddDate(1, 0, 0),
		IsCA: authority, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign,
	}
	if !authority {
		template.DNSNames, template.IPAddresses = []string{"kubernetes"}, []net.IP{net.IPv4(10, 96, 0, 1)}
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, private.Public(), private)
	if err != nil {
		t.Fatal(err)
	}
	raw, err := x509.MarshalPKCS8PrivateKey(private)
	if err != nil {
		t.Fatal(err)
	}
	return pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}), pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: raw})
}

func write(t *testing.T, root, name string, mode os.FileMode, text string) {
	t.Helper()
	path := filepath.Join(root, name)
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, []byte(text), mode); err != nil {
		t.Fatal(err)
	}
	if err := os.Chmod(path, mode); err != nil { // whatever the umask took of it
		t.Fatal(err)
	}
	if err := os.Chtimes(path, begin, begin); err != nil {
		t.Fatal(err)
	}
}

func observe(t *testing.T, m monitor.Monitor) map[string]map[string]string {
	t.Helper()
	evidence, err := m.Observe(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	got := map[string]map[string]string{}
	for _, e := range evidence {
		s := e.Key.Segments()
		name := strings.Join(s[1:len(s)-1], " ")
		if got[name] == nil {
			got[name] = map[string]string{}
		}
		got[name][s[len(s)-1]] = e.Value
		if strings.Contains(e.Value, "PRIVATE KEY") {
			t.Errorf("%s tells a key", e.Key)
		}
	}
	return got
}

func host(root string, now *time.Time) monitor.Host {
	return monitor.Host{Root: root, Now: func() time.Time { return *now }}
}

func TestObserveFiles(t *testing.T) {
	root, now := t.TempDir(), begin
	server, key := issue(t, "kube-apiserver", 255, begin, false)
	old, _ := issue(t, "old", 1, begin, true)
	later, _ := issue(t, "kubernetes", 2, begin.AddDate(5, 0, 0), true)
	admin, adminKey := issue(t, "admin", 3, begin, false)
	write(t, root, "/etc/kubernetes/pki/apiserver.crt", 0o644, string(server))
	write(t, root, "/etc/kubernetes/pki/apiserver.key", 0o640, string(key))
	write(t, root, "/etc/kubernetes/pki/ca.crt", 0o644, string(old)+string(later))
	write(t, root, "/etc/kubernetes/pki/etcd/server.crt", 0o644, string(server[:len(server)/2]))
	write(t, root, "/etc/kubernetes/pki/sa.pub", 0o644, "not looked at")
	write(t, root, "/etc/kubernetes/manifests/etcd.crt", 0o644, "not looked at")
	write(t, root, "/etc/kubernetes/audit.conf", 0o644, "\x00 something else")
	write(t, root, "/etc/kubernetes/admin.conf", 0o600, `kind: Config
current-context: c
contexts: [{name: c, context: {user: admin}}]
users: [{name: other, user: {token: t}}, {name: admin, user: {client-certificate-data: `+base64.StdEncoding.EncodeToString(admin)+
		`, client-key-data: `+base64.StdEncoding.EncodeToString(adminKey)+`}}]
`)
	write(t, root, "/var/lib/kubelet/pki/kubelet-client-2026-01-01-00-00-00.pem", 0o600, string(admin)+string(adminKey))
	if err := os.Symlink("/var/lib/kubelet/pki/kubelet-client-2026-01-01-00-00-00.pem", filepath.Join(root, "/var/lib/kubelet/pki/kubelet-client-current.pem")); err != nil {
		t.Fatal(err)
	}
	const from, until = "2026-01-01T00:00:00Z", "2027-01-01T00:00:00Z"
	want := map[string]map[string]string{
		"/etc/kubernetes/pki/apiserver.crt": {
			"subject": "CN=kube-apiserver", "issuer": "CN=kube-apiserver", "serial": "ff", "names": "kubernetes,10.96.0.1", "not-before": from, "not-after": until,
			"authority": "false", "self-signed": "true", "modified": from, "key-mode": "0640",
		},
		"/etc/kubernetes/pki/ca.crt": {
			"subject": "CN=kubernetes", "issuer": "CN=kubernetes", "serial": "2", "not-before": "2031-01-01T00:00:00Z", "not-after": "2032-01-01T00:00:00Z",
			"authority": "true", "self-signed": "true", "modified": from,
		},
		"/etc/kubernetes/pki/etcd/server.crt": {"error": "it holds no certificate", "modified": from},
		"/etc/kubernetes/admin.conf": {
			"subject": "CN=admin", "issuer": "CN=admin", "serial": "3", "names": "kubernetes,10.96.0.1", "not-before": from, "not-after": until,
			"authority": "false", "self-signed": "true", "modified": from, "key-mode": "0600",
		},
		"/var/lib/kubelet/pki/kubelet-client-current.pem": {
			"subject": "CN=admin", "issuer": "CN=admin", "serial": "3", "names": "kubernetes,10.96.0.1", "not-before": from, "not-after": until,
			"authority": "false", "self-signed": "true", "modified": from, "key-mode": "0600",
		},
	}
	if diff := cmp.Diff(want, observe(t, newWith(host(root, &now), nil))); diff != "" {
		t.Errorf("evidence (-want +got):\n%s", diff)
	}
}

func TestObserveServed(t *testing.T) {
	root, now := t.TempDir(), begin
	certificate, key := issue(t, "kube-apiserver", 16, begin, false)
	pair, err := tls.X509KeyPair(certificate, key)
	if err != nil {
		t.Fatal(err)
	}
	server := httptest.NewUnstartedServer(nil)
	server.TLS = &tls.Config{Certificates: []tls.Certificate{pair}, ClientAuth: tls.RequireAnyClientCert, MinVersion: tls.VersionTLS12}
	server.StartTLS()
	defer server.Close()
	closed := httptest.NewServer(nil)
	closed.Close()
	plain := httptest.NewServer(nil)
	defer plain.Close()
	m := newWith(host(root, &now), map[string]string{
		"6443": server.Listener.Addr().String(), "10250": closed.Listener.Addr().String(), "2379": plain.Listener.Addr().String(),
	})
	want := map[string]map[string]string{"served 6443": {
		"subject": "CN=kube-apiserver", "issuer": "CN=kube-apiserver", "serial": "10", "names": "kubernetes,10.96.0.1",
		"not-before": "2026-01-01T00:00:00Z", "not-after": "2027-01-01T00:00:00Z",
	}}
	if diff := cmp.Diff(want, observe(t, m)); diff != "" {
		t.Errorf("a server that is up, one that is down and one without TLS (-want +got):\n%s", diff)
	}
	server.Close()
	now = now.Add(time.Minute)
	if diff := cmp.Diff(want, observe(t, m)); diff != "" {
		t.Errorf("servers are asked again after a minute (-want +got):\n%s", diff)
	}
	write(t, root, "/etc/kubernetes/pki/apiserver.crt", 0o644, string(certificate))
	if _, still := observe(t, m)["served 6443"]; still {
		t.Error("servers are not asked again once a file has changed")
	}
}

func TestObserveChangedFile(t *testing.T) {
	root, now := t.TempDir(), begin
	first, _ := issue(t, "first", 1, begin, false)
	second, _ := issue(t, "second-of-another-length", 2, begin, false)
	m := newWith(host(root, &now), nil)
	const name = "/etc/kubernetes/pki/apiserver.crt"
	for _, c := range [][]byte{first, second} {
		write(t, root, name, 0o644, string(c))
		block, _ := pem.Decode(c)
		parsed, err := x509.ParseCertificate(block.Bytes)
		if err != nil {
			t.Fatal(err)
		}
		if got := observe(t, m)[name]["subject"]; got != parsed.Subject.String() {
			t.Errorf("the file's subject is %q, want %q", got, parsed.Subject)
		}
	}
	if err := os.Remove(filepath.Join(root, name)); err != nil {
		t.Fatal(err)
	}
	if got := observe(t, m); len(got) != 0 {
		t.Errorf("a file that is gone says %v", got)
	}
}
