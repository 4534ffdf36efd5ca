package live

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"io"
	"log"
	"math/big"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/client-go/rest"
	clientcmdapi "k8s.io/client-go/tools/clientcmd/api"

	"github.com/maek-dev/maek/internal/snapshot"
)

// certificate makes a self-signed certificate for 127.0.0.1 or, where a name is given, for that.
func certificate(t *testing.T, name string, notAfter time.Time) tls.Certificate {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "api"}, NotBefore: time.Date(2000, 1, 1, 0, 0, 0, 0, time.UTC), NotAfter: notAfter,
		IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign | x509.KeyUsageDigitalSignature,
	}
	if name == "" {
		template.IPAddresses = []net.IP{net.IPv4(127, 0, 0, 1)}
	} else {
		template.DNSNames = []string{name}
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		t.Fatal(err)
	}
	return tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key}
}

var farAway = time.Date(2050, 1, 1, 0, 0, 0, 0, time.UTC)

// serving starts a TLS server with a certificate.
func serving(t *testing.T, cert tls.Certificate) *rest.Config {
	t.Helper()
	s := httptest.NewUnstartedServer(http.NotFoundHandler())
	s.TLS = &tls.Config{Certificates: []tls.Certificate{cert}, MinVersion: tls.VersionTLS12}
	s.Config.ErrorLog = log.New(io.Discard, "", 0)
	s.StartTLS()
	t.Cleanup(s.Close)
	ca := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: cert.Certificate[0]})
	return &rest.Config{Host: s.URL, TLSClientConfig: rest.TLSClientConfig{CAData: ca}}
}

// listening opens a port that takes connections and says nothing.
func listening(t *testing.T) net.Listener {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = l.Close() })
	return l
}

func TestAnAPIServerThatCannotBeUsedIsLookedIntoLayerByLayer(t *testing.T) {
	t.Parallel()
	answering := func(status int, body string) func(*testing.T) *rest.Config {
		return func(t *testing.T) *rest.Config {
			s := newAPIServer(t)
			s.say("/version", status, body)
			s.say(podsPath, status, body)
			return s.config()
		}
	}
	tests := map[string]struct {
		config func(t *testing.T) *rest.Config
		want   snapshot.APIFailure
		// wantAddress is the error of the one address that was dialed.
		wantAddress string
		dialed      bool
		// wantNotAfter is set where the certificate could be read although it does not hold.
		wantNotAfter time.Time
	}{
		"its name is unknown": {
			// The .onion names are known to nobody, without asking anybody (RFC 7686).
			config: func(*testing.T) *rest.Config { return &rest.Config{Host: "https://nobody.onion:6443"} },
			want:   snapshot.APIFailure{Layer: snapshot.LayerName, Reason: snapshot.NameUnknown, Message: "lookup nobody.onion"},
		},
		"nothing listens on its port": {
			config: func(t *testing.T) *rest.Config {
				l := listening(t)
				_ = l.Close()
				return &rest.Config{Host: "https://" + l.Addr().String()}
			},
			want:   snapshot.APIFailure{Layer: snapshot.LayerConnect, Reason: snapshot.ConnectionRefused, Message: "127.0.0.1:"},
			dialed: true, wantAddress: "connect: connection refused",
		},
		"its certificate is expired": {
			config: func(t *testing.T) *rest.Config {
				return serving(t, certificate(t, "", time.Date(2020, 1, 1, 0, 0, 0, 0, time.UTC)))
			},
			want:   snapshot.APIFailure{Layer: snapshot.LayerTLS, Reason: snapshot.CertificateExpired, Message: "x509: certificate has expired"},
			dialed: true, wantNotAfter: time.Date(2020, 1, 1, 0, 0, 0, 0, time.UTC),
		},
		"its certificate is of another authority": {
			config: func(t *testing.T) *rest.Config {
				cfg := serving(t, certificate(t, "", farAway))
				other := certificate(t, "", farAway)
				cfg.CAData = pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: other.Certificate[0]})
				return cfg
			},
			want:   snapshot.APIFailure{Layer: snapshot.LayerTLS, Reason: snapshot.CertificateUntrusted, Message: "x509: certificate signed by unknown authority"},
			dialed: true, wantNotAfter: farAway,
		},
		"its certificate is for another name": {
			config: func(t *testing.T) *rest.Config { return serving(t, certificate(t, "api.example.com", farAway)) },
			want:   snapshot.APIFailure{Layer: snapshot.LayerTLS, Reason: snapshot.CertificateOtherName, Message: "x509: cannot validate certificate for 127.0.0.1"},
			dialed: true, wantNotAfter: farAway,
		},
		"it speaks HTTP without TLS": {
			config: func(t *testing.T) *rest.Config {
				s := httptest.NewServer(http.NotFoundHandler())
				t.Cleanup(s.Close)
				return &rest.Config{Host: "https://" + s.Listener.Addr().String()}
			},
			want:   snapshot.APIFailure{Layer: snapshot.LayerTLS, Reason: snapshot.NotTLS, Message: "tls: first record does not look like a TLS handshake"},
			dialed: true,
		},
		"it does not know us": {
			config: answering(http.StatusUnauthorized, `{"kind":"Status","apiVersion":"v1","status":"Failure","message":"Unauthorized","reason":"Unauthorized","code":401}`),
			want:   snapshot.APIFailure{Layer: snapshot.LayerAuthentication, Reason: snapshot.Unauthorized, Status: 401, Message: "Unauthorized"},
		},
		"it has too many requests": {
			config: answering(http.StatusTooManyRequests, "Too many requests, please try again later."),
			want:   snapshot.APIFailure{Layer: snapshot.LayerRequest, Reason: snapshot.TooManyRequests, Status: 429, Message: "Too many requests, please try again later."},
		},
		"it, or a balancer before it, breaks": {
			config: answering(http.StatusBadGateway, "<html>no backend</html>"),
			want:   snapshot.APIFailure{Layer: snapshot.LayerRequest, Reason: snapshot.ServerError, Status: 502, Message: "<html>no backend</html>"},
		},
		"it is something else": {
			config: answering(http.StatusOK, "<html>welcome</html>"),
			want:   snapshot.APIFailure{Layer: snapshot.LayerRequest, Reason: snapshot.OtherFailure, Status: 200, Message: "it answers, but not as a Kubernetes API server does: <html>welcome</html>"},
		},
		"a proxy stands between and is gone": {
			config: func(t *testing.T) *rest.Config {
				l := listening(t)
				_ = l.Close()
				return &rest.Config{
					Host:  "https://api.example.com:6443",
					Proxy: http.ProxyURL(&url.URL{Scheme: "http", User: url.UserPassword("me", "secret"), Host: l.Addr().String()}),
				}
			},
			want: snapshot.APIFailure{Layer: snapshot.LayerConnect, Reason: snapshot.ConnectionRefused, Message: "through the proxy http://127.0.0.1:"},
		},
		"the kubeconfig's credential plugin is missing": {
			config: func(t *testing.T) *rest.Config {
				cfg := newAPIServer(t).config()
				cfg.ExecProvider = &clientcmdapi.ExecConfig{
					APIVersion: "client.authentication.k8s.io/v1", Command: filepath.Join(t.TempDir(), "nobody"),
					InteractiveMode: clientcmdapi.NeverExecInteractiveMode,
				}
				return cfg
			},
			want: snapshot.APIFailure{Layer: snapshot.LayerAuthentication, Reason: snapshot.OtherFailure, Message: "the kubeconfig's credential plugin failed: exec: "},
		},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			snap, _, err := Collect(t.Context(), tc.config(t), []snapshot.Kind{podKind}, options())
			if err != nil {
				t.Fatal(err)
			}
			api := snap.API()
			if api.Failure == nil {
				t.Fatalf("no failure; pods %+v", snap.Coverage(podKind))
			}
			got := *api.Failure
			if !strings.HasPrefix(got.Message, tc.want.Message) || strings.Contains(got.Message, "secret") {
				t.Errorf("message %q, want it to begin with %q", got.Message, tc.want.Message)
			}
			if diff := cmp.Diff(tc.want, got, cmpopts.IgnoreFields(snapshot.APIFailure{}, "Message")); diff != "" {
				t.Errorf("failure (-want +got):\n%s", diff)
			}
			if tc.dialed && (len(api.Addresses) != 1 || api.Addresses[0].Error != tc.wantAddress) {
				t.Errorf("addresses %+v, want one with error %q", api.Addresses, tc.wantAddress)
			}
			if !tc.wantNotAfter.IsZero() && !api.CertificateNotAfter.Equal(tc.wantNotAfter) {
				t.Errorf("certificate expires at %s, want %s", api.CertificateNotAfter, tc.wantNotAfter)
			}
			if c := snap.Coverage(podKind); c.State != snapshot.Failed || c.Reason == "" {
				t.Errorf("pods: %+v, want failed and why", c)
			}
		})
	}
}

func TestASilentAPIServerIsLookedIntoLayerByLayer(t *testing.T) {
	t.Parallel()
	for name, tc := range map[string]struct {
		config func(t *testing.T, s *apiServer) *rest.Config
		want   snapshot.APIFailure
		// wantNotAfter is zero where no certificate was sent.
		wantNotAfter time.Time
	}{
		"it takes connections and says nothing": {
			config: func(t *testing.T, s *apiServer) *rest.Config {
				cfg := s.config()
				cfg.Dial = func(context.Context, string, string) (net.Conn, error) {
					ours, theirs := net.Pipe()
					t.Cleanup(func() { _ = theirs.Close() })
					return ours, nil
				}
				return cfg
			},
			want: snapshot.APIFailure{Layer: snapshot.LayerTLS, Reason: snapshot.NoAnswer, Message: "no answer in time"},
		},
		"it answers nothing over TLS": {
			config: func(_ *testing.T, s *apiServer) *rest.Config {
				s.answer("/version", hang)
				s.answer(podsPath, hang)
				return s.config()
			},
			want:         snapshot.APIFailure{Layer: snapshot.LayerRequest, Reason: snapshot.NoAnswer, Message: "context deadline exceeded"},
			wantNotAfter: time.Date(2084, 1, 29, 16, 0, 0, 0, time.UTC),
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			inTime(t, func(t *testing.T, s *apiServer) {
				snap, _, err := Collect(t.Context(), tc.config(t, s), []snapshot.Kind{podKind}, options())
				if err != nil {
					t.Fatal(err)
				}
				api := snap.API()
				if api.Failure == nil {
					t.Fatalf("no failure; pods %+v", snap.Coverage(podKind))
				}
				if diff := cmp.Diff(tc.want, *api.Failure); diff != "" {
					t.Errorf("failure (-want +got):\n%s", diff)
				}
				if len(api.Addresses) != 1 || api.Addresses[0].Error != "" {
					t.Errorf("addresses %+v, want one that opens", api.Addresses)
				}
				if !api.CertificateNotAfter.Equal(tc.wantNotAfter) {
					t.Errorf("certificate expires at %s, want %s", api.CertificateNotAfter, tc.wantNotAfter)
				}
				if c := snap.Coverage(podKind); c.State != snapshot.Failed || c.Reason == "" {
					t.Errorf("pods: %+v, want failed and why", c)
				}
			})
		})
	}
}

func TestARejectedClientCertificateIsSaidToBeExpired(t *testing.T) {
	s := newAPIServer(t)
	s.fail("/version", apierrors.NewUnauthorized("Unauthorized"))
	cert := certificate(t, "", localMoment.AddDate(0, 0, -1))
	key, err := x509.MarshalPKCS8PrivateKey(cert.PrivateKey)
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	cfg := s.config()
	cfg.CertFile, cfg.KeyFile = filepath.Join(dir, "cert"), filepath.Join(dir, "key")
	for file, block := range map[string]*pem.Block{
		cfg.CertFile: {Type: "CERTIFICATE", Bytes: cert.Certificate[0]}, cfg.KeyFile: {Type: "PRIVATE KEY", Bytes: key},
	} {
		if err := os.WriteFile(file, pem.EncodeToMemory(block), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	snap, _, err := Collect(t.Context(), cfg, []snapshot.Kind{podKind}, options())
	if err != nil {
		t.Fatal(err)
	}
	f := snap.API().Failure
	if f == nil || !strings.Contains(f.Message, "the client certificate in the kubeconfig expired at 2026-03-01T01:20:00Z") {
		t.Errorf("failure %+v, want it to say that the client certificate expired", f)
	}
}

// An API server that is only short of breath at first has not failed if it then gives its lists.
func TestAFirstRefusalIsForgottenOnceListsCome(t *testing.T) {
	s := newAPIServer(t)
	s.say("/version", http.StatusTooManyRequests, "later")
	snap, _ := collected(t, s, options(), podKind)
	if f := snap.API().Failure; f != nil {
		t.Errorf("failure %+v, want none", f)
	}
}

func TestReadyzLines(t *testing.T) {
	tests := map[string]struct {
		body string
		want []snapshot.HealthCheck
	}{
		"all well": {"[+]ping ok\n[+]poststarthook/rbac/bootstrap-roles ok\nreadyz check passed\n", []snapshot.HealthCheck{
			{Name: "ping", OK: true}, {Name: "poststarthook/rbac/bootstrap-roles", OK: true},
		}},
		"one failed":   {"[-]etcd failed: reason withheld\n", []snapshot.HealthCheck{{Name: "etcd", Message: "failed: reason withheld"}}},
		"one excluded": {"[+]etcd excluded: ok\r\n", []snapshot.HealthCheck{{Name: "etcd", OK: true}}},
		"no lines":     {"ok", nil},
		"no names":     {"[+]\n[-] \n", nil},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			if diff := cmp.Diff(tc.want, parseReadyz(tc.body)); diff != "" {
				t.Errorf("checks (-want +got):\n%s", diff)
			}
		})
	}
}

func FuzzReadyz(f *testing.F) {
	f.Add("[+]ping ok\n[-]etcd failed: reason withheld\nreadyz check failed\n")
	f.Add("[-]\xff\x00 \n[+]")
	f.Fuzz(func(t *testing.T, body string) {
		for _, c := range parseReadyz(body) {
			if c.Name == "" || strings.ContainsAny(c.Name+c.Message, "\n\r") {
				t.Errorf("%q gives check %+v", body, c)
			}
		}
	})
}

func TestTooLittleTimeIsNoFailureOfTheServer(t *testing.T) {
	t.Parallel()
	for name, tc := range map[string]struct {
		livez     bool
		wantAsked bool
	}{
		"one that answers others is not accused": {livez: true, wantAsked: false},
		"one that answers nobody is":             {livez: false, wantAsked: true},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			inTime(t, func(t *testing.T, s *apiServer) {
				s.answer("/version", hang)
				if tc.livez {
					s.say("/livez", http.StatusOK, "ok")
				} else {
					s.answer("/livez", hang)
				}
				// The request itself might take longer than all of it.
				options := Options{Name: "test", Now: localClock, Timeout: 3 * time.Second, RequestTimeout: time.Minute}
				got, _, err := Collect(t.Context(), s.config(), nil, options)
				if err != nil {
					t.Fatal(err)
				}
				if api := got.API(); api.Asked != tc.wantAsked || api.Failure == nil {
					t.Errorf("asked %t, failure %+v; want asked %t and a failure", api.Asked, api.Failure, tc.wantAsked)
				}
			})
		})
	}
}
