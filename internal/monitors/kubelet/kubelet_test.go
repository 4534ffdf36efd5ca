package kubelet

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"math/big"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"k8s.io/client-go/tools/clientcmd"
	clientcmdapi "k8s.io/client-go/tools/clientcmd/api"

	"github.com/maek-dev/maek/internal/monitor"
)

// now is the clock of the machines in these tests.
func now() time.Time { return time.Date(2026, 11, 21, 20, 0, 0, 0, time.UTC) }

// machine is a copy of the recorded node, to which a test adds.
func machine(t *testing.T) monitor.Host {
	t.Helper()
	root := t.TempDir()
	if err := os.CopyFS(root, os.DirFS("testdata/node")); err != nil {
		t.Fatal(err)
	}
	return monitor.Host{Root: root, Now: now}
}

func write(t *testing.T, host monitor.Host, name, content string) {
	t.Helper()
	at := filepath.Join(host.Root, name)
	if err := os.MkdirAll(filepath.Dir(at), 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(at, []byte(content), 0o600); err != nil {
		t.Fatal(err)
	}
}

// at puts the ports of a test in the place of the kubelet's.
func at(t *testing.T, host monitor.Host, healthz, server string) {
	t.Helper()
	config, err := host.ReadFile(defaultConfig, fileLimit)
	if err != nil {
		t.Fatal(err)
	}
	text := strings.Replace(string(config), "healthzPort: 10248", "healthzPort: "+portOf(healthz), 1)
	write(t, host, defaultConfig, text+"port: "+portOf(server)+"\n")
}

func portOf(address string) string {
	_, port, _ := net.SplitHostPort(strings.TrimPrefix(strings.TrimPrefix(address, "https://"), "http://"))
	return port
}

func look(t *testing.T, m monitor.Monitor) map[string]string {
	t.Helper()
	evidence, err := m.Observe(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	out := map[string]string{}
	for _, e := range evidence {
		documented := false
		for _, k := range m.Keys {
			documented = documented || e.Key.Fits(k.Pattern)
		}
		if !documented {
			t.Errorf("key %s is not documented", e.Key)
		}
		out[strings.TrimPrefix(string(e.Key), "kubelet/")] = e.Value
	}
	return out
}

func expect(t *testing.T, got, want map[string]string) {
	t.Helper()
	for key, value := range want {
		if got[key] != value {
			t.Errorf("%s = %q, want %q", key, got[key], value)
		}
	}
}

func shut(t *testing.T) string {
	t.Helper()
	s := httptest.NewServer(http.NotFoundHandler())
	s.Close()
	return s.URL
}

// identity makes a client certificate that ends at a time, and its key.
func identity(t *testing.T, until time.Time) (certificate, key []byte) {
	t.Helper()
	private, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "system:node:w2", Organization: []string{"system:nodes"}},
		NotBefore: until.Add(-24 * time.Hour), NotAfter: until,
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &private.PublicKey, private)
	if err != nil {
		t.Fatal(err)
	}
	encoded, err := x509.MarshalECPrivateKey(private)
	if err != nil {
		t.Fatal(err)
	}
	return pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}), pem.EncodeToMemory(&pem.Block{Type: "EC PRIVATE KEY", Bytes: encoded})
}

// joined gives the machine a kubeconfig for an API server, and a client certificate as kubeadm lays it out.
func joined(t *testing.T, host monitor.Host, server *httptest.Server, until time.Time) {
	t.Helper()
	certificate, key := identity(t, until)
	write(t, host, "/var/lib/kubelet/pki/kubelet-client-2026.pem", string(certificate)+string(key))
	// The link is absolute, as the kubelet writes it: it must be followed below the root.
	if err := os.Symlink("/var/lib/kubelet/pki/kubelet-client-2026.pem", filepath.Join(host.Root, "var/lib/kubelet/pki/kubelet-client-current.pem")); err != nil {
		t.Fatal(err)
	}
	authority := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: server.Certificate().Raw})
	config, err := clientcmd.Write(clientcmdapi.Config{
		Clusters:       map[string]*clientcmdapi.Cluster{"c": {Server: server.URL, CertificateAuthorityData: authority}},
		AuthInfos:      map[string]*clientcmdapi.AuthInfo{"u": {ClientCertificate: "/var/lib/kubelet/pki/kubelet-client-current.pem", ClientKey: "/var/lib/kubelet/pki/kubelet-client-current.pem"}},
		Contexts:       map[string]*clientcmdapi.Context{"x": {Cluster: "c", AuthInfo: "u"}},
		CurrentContext: "x",
	})
	if err != nil {
		t.Fatal(err)
	}
	write(t, host, defaultKubeconfig, string(config))
}

func serving(t *testing.T, status int) *httptest.Server {
	t.Helper()
	s := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path != "/readyz" || len(r.TLS.PeerCertificates) != 1 {
			w.WriteHeader(http.StatusTeapot)
			return
		}
		w.WriteHeader(status)
		_, _ = w.Write([]byte("Unauthorized"))
	}))
	s.TLS = &tls.Config{ClientAuth: tls.RequestClientCert, MinVersion: tls.VersionTLS12}
	s.StartTLS()
	t.Cleanup(s.Close)
	return s
}

func TestAHealthyKubelet(t *testing.T) {
	host := machine(t)
	health := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) {}))
	defer health.Close()
	at(t, host, health.URL, health.URL)
	until := now().Add(time.Hour).Truncate(time.Second)
	api := serving(t, http.StatusOK)
	joined(t, host, api, until)
	expect(t, look(t, New(host)), map[string]string{
		"process/running": "true", "process/pid": "162", "process/state": "S", "healthz/outcome": "answered", "healthz/status": "200", "server/outcome": "answered",
		"config/path": defaultConfig, "config/error": "", "setting/cgroupDriver": "cgroupfs", "setting/clusterDNS": "10.96.0.10", "setting/failCgroupV1": "false",
		"setting/staticPodPath": "/etc/kubernetes/manifests", "kubeconfig/error": "", "api-server/url": api.URL, "api-server/outcome": "answered", "api-server/status": "200",
		"client-certificate/path": "/var/lib/kubelet/pki/kubelet-client-current.pem", "client-certificate/not-after": until.UTC().Format(time.RFC3339Nano),
		"client-certificate/subject": "CN=system:node:w2,O=system:nodes", "host/cgroup-version": "1", "host/swap": "false",
	})
}

func TestAConfigurationThatCannotBeLoaded(t *testing.T) {
	tests := map[string]struct {
		add  string
		want map[string]string
	}{
		"a word that is no field":   {"bad\n", map[string]string{"config/error": "could not find expected ':'", "config/error-line": "52", "config/error-text": "bad"}},
		"a value of the wrong type": {"maxPods: many\n", map[string]string{"config/error-line": "52", "config/error-text": "maxPods: many"}},
		"a setting twice":           {"clusterDomain: other.local\n", map[string]string{"config/error": "", "config/ignored": `key "clusterDomain" already set in map`}},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			host := machine(t)
			config, err := host.ReadFile(defaultConfig, fileLimit)
			if err != nil {
				t.Fatal(err)
			}
			write(t, host, defaultConfig, string(config)+tc.add)
			got := look(t, New(host))
			expect(t, got, tc.want)
			if tc.want["config/error-line"] != "" && got["config/error"] == "" {
				t.Error("why it cannot be loaded is not told")
			}
		})
	}
}

func TestAFileThatIsNoConfiguration(t *testing.T) {
	for name, content := range map[string]string{"another kind": "apiVersion: v1\nkind: Pod\n", "nothing": "", "binary rubbish": "\x00\x01\x02", "cut short": "apiVersion: kubelet.config.k8s.io/v1beta1\nkind: Kubelet"} {
		t.Run(name, func(t *testing.T) {
			host := machine(t)
			write(t, host, defaultConfig, content)
			if got := look(t, New(host)); got["config/error"] == "" {
				t.Errorf("no error is told: %v", got)
			}
		})
	}
}

func TestAHugeConfigurationIsAGap(t *testing.T) {
	host := machine(t)
	write(t, host, defaultConfig, strings.Repeat("#", fileLimit+1))
	if _, err := New(host).Observe(t.Context()); err == nil {
		t.Error("it was read")
	}
}

func TestAMachineWithoutAKubeletSaysNothing(t *testing.T) {
	evidence, err := New(monitor.Host{Root: t.TempDir(), Now: now}).Observe(t.Context())
	if err != nil || len(evidence) != 0 {
		t.Errorf("%v, %v", evidence, err)
	}
}

func TestAnAPIServerThatRefusesTheCertificate(t *testing.T) {
	host := machine(t)
	joined(t, host, serving(t, http.StatusUnauthorized), now().Add(-time.Hour))
	expect(t, look(t, New(host)), map[string]string{"api-server/outcome": "answered", "api-server/status": "401", "api-server/body": "Unauthorized"})
}

func TestChangesAreDated(t *testing.T) {
	host := machine(t)
	clock := now()
	host.Now = func() time.Time { return clock }
	api := serving(t, http.StatusOK)
	at(t, host, shut(t), shut(t))
	joined(t, host, api, now().Add(time.Hour))
	m := New(host)
	expect(t, look(t, m), map[string]string{"api-server/outcome": "answered", "healthz/outcome": "refused"})
	api.Close()
	clock = clock.Add(15 * time.Second)
	for range 2 {
		evidence, err := m.Observe(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		for _, e := range evidence {
			switch e.Key {
			case "kubelet/api-server/outcome":
				if e.Value != "refused" || e.At == nil || !e.At.Time.Equal(now().Add(15*time.Second)) {
					t.Errorf("the API server was shut, and it is told as %s since %v", e.Value, e.At)
				}
			case "kubelet/healthz/outcome":
				if e.At != nil {
					t.Errorf("what was so at the first look is dated %v", e.At)
				}
			}
		}
		clock = clock.Add(15 * time.Second)
	}
}
