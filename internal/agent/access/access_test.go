package access

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/base64"
	"encoding/pem"
	"errors"
	"math/big"
	"net/http"
	"net/http/httptest"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	authenticationv1 "k8s.io/api/authentication/v1"
	authorizationv1 "k8s.io/api/authorization/v1"
	testingclock "k8s.io/utils/clock/testing"

	"github.com/maek-dev/maek/internal/monitor"
)

var noon = time.Date(2026, time.March, 1, 12, 0, 0, 0, time.UTC)

// authorities of tests sign what a test asks for.
type authorities struct {
	certificate *x509.Certificate
	key         *ecdsa.PrivateKey
	bundle      string
}

func newAuthority(t *testing.T) authorities {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "kubernetes"}, IsCA: true, BasicConstraintsValid: true,
		KeyUsage: x509.KeyUsageCertSign, NotBefore: noon.Add(-time.Hour), NotAfter: noon.Add(time.Hour),
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		t.Fatal(err)
	}
	certificate, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	return authorities{certificate, key, string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}))}
}

func (a authorities) sign(t *testing.T, user string, groups []string, until time.Time, usage x509.ExtKeyUsage) *tls.ConnectionState {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(2), Subject: pkix.Name{CommonName: user, Organization: groups},
		NotBefore: noon.Add(-time.Hour), NotAfter: until, ExtKeyUsage: []x509.ExtKeyUsage{usage},
	}
	der, err := x509.CreateCertificate(rand.Reader, template, a.certificate, key.Public(), a.key)
	if err != nil {
		t.Fatal(err)
	}
	certificate, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	return &tls.ConnectionState{PeerCertificates: []*x509.Certificate{certificate}}
}

// server answers reviews as an API server with one token and one permission would.
type server struct {
	down bool
	// unaware of audiences: it takes a token for whomever it is meant.
	unaware bool
	tokens  int
	access  int
}

func (s *server) ReviewToken(_ context.Context, token string, audiences []string) (authenticationv1.TokenReviewStatus, error) {
	s.tokens++
	if s.down {
		return authenticationv1.TokenReviewStatus{}, errors.New("connection refused")
	}
	if token == meantFor(monitor.Audience) && (s.unaware || slices.Equal(audiences, []string{monitor.Audience})) {
		status := authenticationv1.TokenReviewStatus{Authenticated: true, User: authenticationv1.UserInfo{Username: "operator"}}
		if !s.unaware {
			status.Audiences = audiences
		}
		return status, nil
	}
	if token != "prometheus" && token != "guest" {
		return authenticationv1.TokenReviewStatus{}, nil
	}
	return authenticationv1.TokenReviewStatus{Authenticated: true, User: authenticationv1.UserInfo{Username: token}}, nil
}

func (s *server) ReviewAccess(_ context.Context, spec authorizationv1.SubjectAccessReviewSpec) (bool, error) {
	s.access++
	if s.down {
		return false, errors.New("connection refused")
	}
	return (spec.User == "prometheus" || spec.User == "operator") && spec.NonResourceAttributes.Path == "/metrics" && spec.NonResourceAttributes.Verb == "get", nil
}

// meantFor is a token for an audience.
func meantFor(audience string) string {
	return "e30." + base64.RawURLEncoding.EncodeToString([]byte(`{"aud":["`+audience+`"]}`)) + ".signature"
}

func request(t *testing.T, path, token string, state *tls.ConnectionState) *http.Request {
	t.Helper()
	r := httptest.NewRequestWithContext(t.Context(), http.MethodGet, path, http.NoBody)
	r.TLS = state
	if token != "" {
		r.Header.Set("Authorization", "Bearer "+token)
	}
	return r
}

func TestWhoMayAsk(t *testing.T) {
	cluster, other := newAuthority(t), newAuthority(t)
	hour := noon.Add(time.Hour)
	client := x509.ExtKeyUsageClientAuth
	for name, tc := range map[string]struct {
		path, token string
		tls         *tls.ConnectionState
		down        bool
		unknownCA   bool
		unaware     bool
		wantUser    string
		wantErr     error
	}{
		"nobody":               {path: "/report", wantErr: ErrNobody},
		"a token that may":     {path: "/metrics", token: "prometheus", wantUser: "prometheus"},
		"a token that may not": {path: "/report", token: "prometheus", wantUser: "prometheus", wantErr: ErrForbidden},
		"a token of nobody":    {path: "/metrics", token: "guessed", wantErr: ErrNobody},
		"a token for agents":   {path: "/metrics", token: meantFor(monitor.Audience), wantUser: "operator"},
		"a token for others":   {path: "/metrics", token: meantFor("vault"), wantErr: ErrNobody},
		"a token for agents, and nobody to check that":    {path: "/metrics", token: meantFor(monitor.Audience), unaware: true, wantErr: ErrNobody},
		"a token and no API server":                       {path: "/metrics", token: "prometheus", down: true, wantErr: ErrUnreachable},
		"an administrator":                                {path: "/report", tls: cluster.sign(t, "kubernetes-admin", []string{"kubeadm:cluster-admins"}, hour, client), wantUser: "kubernetes-admin"},
		"an administrator and no API server":              {path: "/report", tls: cluster.sign(t, "root", []string{"system:masters"}, hour, client), down: true, wantUser: "root"},
		"an administrator of another cluster":             {path: "/report", tls: other.sign(t, "root", []string{"system:masters"}, hour, client), wantErr: ErrNobody},
		"an expired administrator":                        {path: "/report", tls: cluster.sign(t, "root", []string{"system:masters"}, noon.Add(-time.Minute), client), wantErr: ErrNobody},
		"a server's certificate":                          {path: "/report", tls: cluster.sign(t, "root", []string{"system:masters"}, hour, x509.ExtKeyUsageServerAuth), wantErr: ErrNobody},
		"an administrator, authority unknown":             {path: "/report", tls: cluster.sign(t, "root", []string{"system:masters"}, hour, client), unknownCA: true, wantErr: ErrNobody},
		"a token beside a certificate of another cluster": {path: "/metrics", token: "prometheus", tls: other.sign(t, "root", []string{"system:masters"}, hour, client), wantUser: "prometheus"},
		"a user that may":                                 {path: "/metrics", tls: cluster.sign(t, "operator", nil, hour, client), wantUser: "operator"},
		"a user that may not":                             {path: "/reports", tls: cluster.sign(t, "operator", nil, hour, client), wantUser: "operator", wantErr: ErrForbidden},
		"a user and no API server":                        {path: "/metrics", tls: cluster.sign(t, "operator", nil, hour, client), down: true, wantErr: ErrUnreachable},
		"a kubelet":                                       {path: "/report", tls: cluster.sign(t, "system:node:w1", []string{"system:nodes"}, hour, client), wantUser: "system:node:w1", wantErr: ErrForbidden},
	} {
		t.Run(name, func(t *testing.T) {
			bundle := cluster.bundle
			if tc.unknownCA {
				bundle = ""
			}
			g := New(&server{down: tc.down, unaware: tc.unaware}, func() string { return bundle }, testingclock.NewFakePassiveClock(noon))
			user, err := g.Check(request(t, tc.path, tc.token, tc.tls))
			if !errors.Is(err, tc.wantErr) || user != tc.wantUser {
				t.Errorf("Check = %q, %v, want %q, %v", user, err, tc.wantUser, tc.wantErr)
			}
		})
	}
}

func TestDecisionsAreRemembered(t *testing.T) {
	clock := testingclock.NewFakePassiveClock(noon)
	s := &server{}
	g := New(s, func() string { return "" }, clock)
	ask := func(path, token string) error {
		_, err := g.Check(request(t, path, token, nil))
		return err
	}
	for range 100 {
		if err := ask("/metrics", "prometheus"); err != nil {
			t.Fatal(err)
		}
	}
	if s.tokens != 1 || s.access != 1 {
		t.Errorf("100 requests cost %d and %d reviews, want 1 and 1", s.tokens, s.access)
	}
	if err := ask("/report", "prometheus"); !errors.Is(err, ErrForbidden) {
		t.Errorf("a decision about one path counted for another: %v", err)
	}
	s.down = true
	clock.SetTime(noon.Add(allowedFor - time.Second))
	if err := ask("/metrics", "prometheus"); err != nil {
		t.Errorf("shortly after the API server went away: %v", err)
	}
	clock.SetTime(noon.Add(allowedFor + time.Second))
	if err := ask("/metrics", "prometheus"); !errors.Is(err, ErrUnreachable) {
		t.Errorf("a decision was remembered too long: %v", err)
	}
	s.down = false
	if err := ask("/metrics", "prometheus"); err != nil {
		t.Errorf("that the API server was away is remembered: %v", err)
	}
}

func TestStrangersDoNotFloodTheAPIServer(t *testing.T) {
	s := &server{}
	g := New(s, func() string { return "" }, testingclock.NewFakePassiveClock(noon))
	busy := 0
	for n := range 1000 {
		_, err := g.Check(request(t, "/report", "guess"+strconv.Itoa(n), nil))
		if errors.Is(err, ErrBusy) {
			busy++
		}
	}
	if s.tokens != reviewsAtOnce || busy != 1000-reviewsAtOnce {
		t.Errorf("1000 guesses cost %d reviews and %d were put off, want %d and %d", s.tokens, busy, reviewsAtOnce, 1000-reviewsAtOnce)
	}
}

// TestToReadIsNotToDo holds that the right to get a path is none to post to it, whatever was decided before.
func TestToReadIsNotToDo(t *testing.T) {
	s := &server{}
	g := New(s, func() string { return "" }, testingclock.NewFakePassiveClock(noon))
	for _, tc := range []struct {
		method  string
		wantErr error
	}{
		{http.MethodGet, nil}, {http.MethodHead, nil}, {http.MethodPost, ErrForbidden}, {http.MethodGet, nil}, {http.MethodDelete, ErrForbidden},
	} {
		r := request(t, "/metrics", "prometheus", nil)
		r.Method = tc.method
		_, err := g.Check(r)
		if !errors.Is(err, tc.wantErr) {
			t.Errorf("%s: %v, want %v", tc.method, err, tc.wantErr)
		}
		if tc.method == http.MethodPost && !strings.Contains(err.Error(), "the right to post the non-resource URL /metrics") {
			t.Errorf("%s: %v", tc.method, err)
		}
	}
	if s.access != 3 {
		t.Errorf("the API server was asked %d times, want once a verb", s.access)
	}
}
