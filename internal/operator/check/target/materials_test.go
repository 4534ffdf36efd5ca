package target_test

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"log"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/types"

	"github.com/maek-dev/maek/internal/probe"
	"github.com/maek-dev/maek/internal/probe/probetest"
)

const secrets = `
kind: Secret
metadata: {namespace: shop, name: basic}
type: kubernetes.io/basic-auth
stringData: {}
data: {username: bWU=, password: c2VjcmV0}
---
kind: Secret
metadata: {namespace: shop, name: token}
type: Opaque
data: {token: czNjcmV0Cg==, lines: YQpi, empty: ""}
---
kind: ConfigMap
metadata: {namespace: shop, name: ca}
data: {none: "no certificate"}
`

func TestWhatIsMissingIsSaid(t *testing.T) {
	const head = `target: {url: "https://203.0.113.5"}, `
	tests := map[string]struct {
		spec string
		err  error
		want string
	}{
		"no Secret":            {`auth: {basic: {name: none}}`, nil, "Refusal SecretNotFound: there is no Secret shop/none"},
		"not that type":        {`auth: {basic: {name: token}}`, nil, "Refusal SecretInvalid: Secret shop/token is of type Opaque; auth.basic wants one of type kubernetes.io/basic-auth"},
		"no key":               {`auth: {bearerToken: {name: token, key: a}}`, nil, "Refusal SecretNotFound: Secret shop/token has no key a; its keys are empty, lines, token"},
		"a token of two lines": {`auth: {bearerToken: {name: token, key: lines}}`, nil, "Refusal SecretInvalid: key lines of Secret shop/token is no token"},
		"an empty token":       {`auth: {bearerToken: {name: token, key: empty}}`, nil, "Refusal SecretInvalid: key empty of Secret shop/token is no token"},
		"not allowed":          {`auth: {basic: {name: basic}}`, forbiddenError(), "Refusal SecretsForbidden: Secret shop/basic may not be read; grant that in its namespace: kubectl create rolebinding maek-check-secrets --clusterrole=maek-check-secrets --serviceaccount=maek-system:maek-operator -n shop"},
		"nobody answers":       {`auth: {basic: {name: basic}}`, errors.New("timeout"), "error: reading Secret shop/basic: timeout"},
		"no certificate":       {`tlsConfig: {clientCertificate: {name: basic}}`, nil, "Refusal SecretInvalid: Secret shop/basic is of type kubernetes.io/basic-auth; tlsConfig.clientCertificate wants one of type kubernetes.io/tls"},
		"no ConfigMap":         {`tlsConfig: {caBundle: {name: none, key: a}}`, nil, "Refusal ConfigMapNotFound: there is no ConfigMap shop/none"},
		"no key of it":         {`tlsConfig: {caBundle: {name: ca, key: a}}`, nil, "Refusal ConfigMapNotFound: ConfigMap shop/ca has no key a; its keys are none"},
		"no PEM":               {`tlsConfig: {caBundle: {name: ca, key: none}}`, nil, "Refusal ConfigMapInvalid: key none of ConfigMap shop/ca holds no certificates in PEM"},
		"may be missing":       {`tlsConfig: {caBundle: {name: none, key: a, optional: true}}, auth: {bearerToken: {name: none, key: a, optional: true}}`, nil, ""},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t, secrets, policyFor(`hosts: [203.0.113.5]`))
			w.readErr = tc.err
			_, err := w.Resolve(t.Context(), newCheck(t, "{"+head+tc.spec+"}"), 0)
			got := refusal(err)
			if !strings.HasPrefix(got, tc.want) || tc.want == "" && got != "" {
				t.Errorf("got %q, want %q", got, tc.want)
			}
			for _, hidden := range []string{"s3cret", "secret ", "a\nb"} {
				if strings.Contains(got, hidden) {
					t.Errorf("%q tells %q", got, hidden)
				}
			}
		})
	}
}

func TestASecretIsReadOnceAMinute(t *testing.T) {
	w := newWorld(t, secrets, policyFor(`hosts: [203.0.113.5]`))
	check := newCheck(t, `{target: {url: "http://203.0.113.5"}, auth: {bearerToken: {name: token, key: token}}}`)
	sent := func() string {
		t.Helper()
		questions, err := w.Resolve(t.Context(), check, 0)
		if err != nil {
			return refusal(err)
		}
		ask, ok := questions[0].Probe.(probe.HTTP)
		if !ok {
			t.Fatalf("%T", questions[0].Probe)
		}
		return ask.Authorization
	}
	write := func(token string) {
		t.Helper()
		var secret corev1.Secret
		if err := w.Get(t.Context(), types.NamespacedName{Namespace: "shop", Name: "token"}, &secret); err != nil {
			t.Fatal(err)
		}
		secret.Data["token"] = []byte(token)
		if err := w.Update(t.Context(), &secret); err != nil {
			t.Fatal(err)
		}
	}
	steps := []struct {
		pass time.Duration
		do   func()
		want string
		// reads that there were altogether.
		reads int
	}{
		{0, func() {}, "Bearer s3cret", 1},
		{59 * time.Second, func() { write("other") }, "Bearer s3cret", 1},
		{time.Second, func() {}, "Bearer other", 2},
		{time.Minute, func() { w.readErr = errors.New("nobody answers") }, "Bearer other", 3},
		{5 * time.Second, func() {}, "Bearer other", 3},
		{5 * time.Second, func() {}, "Bearer other", 4},
		{10 * time.Minute, func() {}, "error: reading Secret shop/token: nobody answers", 5},
		{time.Second, func() { w.readErr = forbiddenError() }, "Refusal SecretsForbidden", 6},
		{5 * time.Second, func() { w.readErr = nil }, "Refusal SecretsForbidden", 6},
		{5 * time.Second, func() {}, "Bearer other", 7},
	}
	for i, step := range steps {
		w.pass(step.pass)
		step.do()
		if got := sent(); !strings.HasPrefix(got, step.want) {
			t.Errorf("step %d: sent %q, want %q", i, got, step.want)
		}
		if w.reads != step.reads {
			t.Errorf("step %d: %d reads, want %d", i, w.reads, step.reads)
		}
	}
}

// TestCredentialsStayWhereTheyWereMeantFor follows redirects on one host, and looks who was sent the header.
func TestCredentialsStayWhereTheyWereMeantFor(t *testing.T) {
	var seen []string
	serve := func(name, to string) http.HandlerFunc {
		return func(rw http.ResponseWriter, r *http.Request) {
			seen = append(seen, fmt.Sprintf("%s%s %s", name, r.URL.Path, r.Header.Get("Authorization")))
			if to != "" && r.URL.Path == "/" {
				http.Redirect(rw, r, to, http.StatusFound)
			}
		}
	}
	tests := map[string]struct {
		to   string
		want []string
	}{
		"the same place":  {"/again", []string{"tls/ Basic bWU6c2VjcmV0", "tls/again Basic bWU6c2VjcmV0"}},
		"the port spelt":  {"https://203.0.113.5:443/again", []string{"tls/ Basic bWU6c2VjcmV0", "tls/again Basic bWU6c2VjcmV0"}},
		"another port":    {"https://203.0.113.5:8443/", []string{"tls/ Basic bWU6c2VjcmV0", "8443/ "}},
		"without TLS":     {"http://203.0.113.5/", []string{"tls/ Basic bWU6c2VjcmV0", "plain/ "}},
		"to another host": {"https://203.0.113.6/", []string{"tls/ Basic bWU6c2VjcmV0"}},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			seen = nil
			secure, other, plain := httptest.NewTLSServer(serve("tls", tc.to)), httptest.NewTLSServer(serve("8443", "")), httptest.NewServer(serve("plain", ""))
			defer secure.Close()
			defer other.Close()
			defer plain.Close()
			w := newWorld(t, secrets, policyFor(`hosts: [203.0.113.5, 203.0.113.6]`))
			w.routes["203.0.113.5:443"] = secure.Listener.Addr().String()
			w.routes["203.0.113.5:8443"] = other.Listener.Addr().String()
			w.routes["203.0.113.5:80"] = plain.Listener.Addr().String()
			ask(t, w, `{target: {url: "https://203.0.113.5/"}, auth: {basic: {name: basic}}}`, 0)
			if diff := cmp.Diff(tc.want, seen); diff != "" {
				t.Errorf("requests (-want +got):\n%s", diff)
			}
		})
	}
}

func encode(t *testing.T, kind string, der []byte) string {
	t.Helper()
	var text bytes.Buffer
	if err := pem.Encode(&text, &pem.Block{Type: kind, Bytes: der}); err != nil {
		t.Fatal(err)
	}
	return "\n    " + strings.ReplaceAll(strings.TrimSpace(text.String()), "\n", "\n    ")
}

func TestServersAreVerified(t *testing.T) {
	from, until := began.Add(-time.Hour), began.Add(30*24*time.Hour)
	authority := probetest.Issue(t, "authority", from, until.Add(time.Hour), nil)
	good := probetest.Issue(t, "cart.shop.svc", from, until, &authority)
	over := probetest.Issue(t, "cart.shop.svc", from.Add(-time.Hour), from, &authority)
	other := probetest.Issue(t, "other.shop.svc", from, until, &authority)
	client := probetest.Issue(t, "me", from, until, &authority)
	key, ok := client.PrivateKey.(*ecdsa.PrivateKey)
	if !ok {
		t.Fatalf("a key of type %T", client.PrivateKey)
	}
	der, err := x509.MarshalECPrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	objects := "kind: ConfigMap\nmetadata: {namespace: shop, name: ca}\ndata:\n  ca.crt: |" + encode(t, "CERTIFICATE", authority.Certificate[0]) + `
---
kind: Secret
metadata: {namespace: shop, name: client}
type: kubernetes.io/tls
stringData:
  tls.crt: |` + encode(t, "CERTIFICATE", client.Certificate[0]) + "\n  tls.key: |" + encode(t, "EC PRIVATE KEY", der) + "\n"
	const (
		https  = `httpGet: {port: web, scheme: HTTPS}, target: {service: {name: cart}}`
		bundle = `caBundle: {name: ca, key: ca.crt}`
	)
	pool := x509.NewCertPool()
	leaf, err := x509.ParseCertificate(authority.Certificate[0])
	if err != nil {
		t.Fatal(err)
	}
	pool.AddCert(leaf)
	tests := map[string]struct {
		spec   string
		server *tls.Config
		want   probe.Cause
	}{
		"no tlsConfig: anybody":             {https, &tls.Config{Certificates: []tls.Certificate{over}}, ""},
		"the name of the Service":           {https + `, tlsConfig: {` + bundle + `}`, &tls.Config{Certificates: []tls.Certificate{good}}, ""},
		"each endpoint by the same name":    {`httpGet: {port: web, scheme: HTTPS}, target: {service: {name: cart, mode: Each}}, tlsConfig: {` + bundle + `}`, &tls.Config{Certificates: []tls.Certificate{good}}, ""},
		"another's name":                    {https + `, tlsConfig: {` + bundle + `}`, &tls.Config{Certificates: []tls.Certificate{other}}, probe.CertificateInvalid},
		"another's name, asked for":         {https + `, tlsConfig: {` + bundle + `, serverName: other.shop.svc}`, &tls.Config{Certificates: []tls.Certificate{other}}, ""},
		"a certificate that is over":        {https + `, tlsConfig: {` + bundle + `}`, &tls.Config{Certificates: []tls.Certificate{over}}, probe.CertificateInvalid},
		"an authority that nobody trusts":   {https + `, tlsConfig: {}`, &tls.Config{Certificates: []tls.Certificate{good}}, probe.CertificateInvalid},
		"an old version of TLS":             {https, &tls.Config{Certificates: []tls.Certificate{good}, MaxVersion: tls.VersionTLS10, MinVersion: tls.VersionTLS10}, probe.TLSHandshakeFailed},
		"a client's certificate, missing":   {https, &tls.Config{Certificates: []tls.Certificate{good}, ClientAuth: tls.RequireAndVerifyClientCert, ClientCAs: pool, MaxVersion: tls.VersionTLS12}, probe.TLSHandshakeFailed},
		"a client's certificate":            {https + `, tlsConfig: {insecureSkipVerify: true, clientCertificate: {name: client}}`, &tls.Config{Certificates: []tls.Certificate{over}, ClientAuth: tls.RequireAnyClientCert}, ""},
		"a handshake alone":                 {`tls: {port: web, ` + bundle + `}, target: {service: {name: cart}}`, &tls.Config{Certificates: []tls.Certificate{good}}, ""},
		"a handshake of another":            {`tls: {port: web, ` + bundle + `}, target: {service: {name: cart}}`, &tls.Config{Certificates: []tls.Certificate{other}}, probe.CertificateInvalid},
		"a handshake of pods under a name":  {`tls: {port: http, serverName: other.shop.svc, ` + bundle + `}, target: {pods: {selector: {matchLabels: {app: cart}}}}`, &tls.Config{Certificates: []tls.Certificate{other}}, ""},
		"a handshake that nobody can trust": {`tls: {port: web}, target: {service: {name: cart}}`, &tls.Config{Certificates: []tls.Certificate{good}}, probe.CertificateInvalid},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			server := httptest.NewUnstartedServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) {}))
			server.TLS = tc.server
			server.Config.ErrorLog = log.New(t.Output(), "", 0)
			server.StartTLS()
			defer server.Close()
			w := newWorld(t, shop, objects)
			secret := &corev1.Secret{}
			if err := w.Get(t.Context(), types.NamespacedName{Namespace: "shop", Name: "client"}, secret); err != nil {
				t.Fatal(err)
			}
			// What the API server does.
			secret.Data = map[string][]byte{"tls.crt": []byte(secret.StringData["tls.crt"]), "tls.key": []byte(secret.StringData["tls.key"])}
			if err := w.Update(t.Context(), secret); err != nil {
				t.Fatal(err)
			}
			for _, address := range []string{"10.96.1.1:80", "10.0.0.5:8080"} {
				w.routes[address] = server.Listener.Addr().String()
			}
			got := ask(t, w, "{"+tc.spec+"}", 0)
			if got.Cause != tc.want || got.Strict.Passed() != (tc.want == "") {
				t.Errorf("cause %q, want %q: %s %s", got.Cause, tc.want, got.Strict.Result, got.Strict.Message)
			}
		})
	}
}

func TestAgentsAreToldWhomToTrust(t *testing.T) {
	authority := probetest.Issue(t, "authority", began, began.Add(time.Hour), nil)
	w := newWorld(t, shop, "kind: ConfigMap\nmetadata: {namespace: shop, name: ca}\ndata:\n  ca.crt: |"+encode(t, "CERTIFICATE", authority.Certificate[0]))
	questions, err := w.Resolve(t.Context(), newCheck(t, `{tls: {port: web, caBundle: {name: ca, key: ca.crt}}, from: nodes, target: {service: {name: cart}}}`), 0)
	if err != nil {
		t.Fatal(refusal(err))
	}
	if block, _ := pem.Decode(questions[0].Roots); block == nil || !bytes.Equal(block.Bytes, authority.Certificate[0]) {
		t.Errorf("roots: %s", questions[0].Roots)
	}
}
