// Package access decides who may ask an agent. Its peers are known by their keys; administrators by a
// client certificate that the cluster's own authority signed, which needs no API server; everybody else
// by what the API server says of their certificate or token.
package access

import (
	"context"
	"crypto/sha256"
	"crypto/x509"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"sync"
	"time"

	"golang.org/x/time/rate"
	authenticationv1 "k8s.io/api/authentication/v1"
	authorizationv1 "k8s.io/api/authorization/v1"
	"k8s.io/apimachinery/pkg/util/cache"
	"k8s.io/utils/clock"

	"github.com/maek-dev/maek/internal/agent/apiserver"
	"github.com/maek-dev/maek/internal/monitor"
)

// Groups whose members may ask everything, also while there is no API server: the first is above all
// authorization (https://kubernetes.io/docs/reference/access-authn-authz/rbac/#default-roles-and-role-bindings),
// the second is that of kubeadm's admin.conf (kubernetes/cmd/kubeadm/app/constants/constants.go).
var administrators = []string{"system:masters", "kubeadm:cluster-admins"}

// Bounds of what strangers can make an agent ask the API server.
const (
	// remembered decisions, and for how long.
	remembered = 512
	allowedFor = 2 * time.Minute
	deniedFor  = 30 * time.Second
	// reviewsPerSecond that are sent for callers who are not known, and how many after silence.
	reviewsPerSecond = 2
	reviewsAtOnce    = 10
	// longestToken is more than any token that clusters give out, in bytes.
	longestToken = 16 << 10
)

// Errors of a request that is refused.
var (
	// ErrNobody says that the caller is not known.
	ErrNobody = errors.New("show a client certificate of the cluster, or a bearer token")
	// ErrForbidden says that the caller is known and may not.
	ErrForbidden = errors.New("you may not")
	// ErrBusy says that too many unknown callers came at once.
	ErrBusy = errors.New("too many callers at once whom the agent does not know")
	// ErrUnreachable says that only the API server knows, and that it does not answer.
	ErrUnreachable = errors.New("the API server, which knows whether you may, does not answer; a client certificate of system:masters or kubeadm:cluster-admins needs none")
)

// Reviewer is who decides what cannot be decided here. It is the API server.
type Reviewer interface {
	// ReviewToken tells whose a token is that is meant for one of the audiences; none stands for the API
	// server's own.
	ReviewToken(ctx context.Context, token string, audiences []string) (authenticationv1.TokenReviewStatus, error)
	// ReviewAccess tells whether somebody may do something.
	ReviewAccess(ctx context.Context, spec authorizationv1.SubjectAccessReviewSpec) (bool, error)
}

var _ Reviewer = (*apiserver.Client)(nil)

// Guard decides, and remembers for a while what it was told.
type Guard struct {
	reviewer  Reviewer
	authority func() string
	clock     clock.PassiveClock
	limit     *rate.Limiter
	decisions *cache.LRUExpireCache

	mu sync.Mutex
	// pool holds the certificates of bundle.
	pool   *x509.CertPool
	bundle string
}

// New makes a guard. Authority gives the bundle of the cluster's client authorities as PEM, empty while it
// is not known; reviewer is nil where there is no API server to ask.
func New(reviewer Reviewer, authority func() string, c clock.PassiveClock) *Guard {
	return &Guard{
		reviewer: reviewer, authority: authority, clock: c,
		limit:     rate.NewLimiter(reviewsPerSecond, reviewsAtOnce),
		decisions: cache.NewLRUExpireCacheWithClock(remembered, c),
	}
}

// decision that was made.
type decision struct {
	user string
	err  error
}

// Check tells who sent a request, and refuses those who may not: a caller needs the right to get the
// request's path as a non-resource URL, or to post to it where that is what is done.
func (g *Guard) Check(r *http.Request) (user string, err error) {
	spec, key, err := g.certified(r)
	if err != nil && r.Header.Get("Authorization") == "" {
		return "", err
	}
	if spec != nil && slices.ContainsFunc(spec.Groups, func(group string) bool { return slices.Contains(administrators, group) }) {
		return spec.User, nil
	}
	token := ""
	if spec == nil {
		scheme, value, _ := strings.Cut(r.Header.Get("Authorization"), " ")
		if !strings.EqualFold(scheme, "Bearer") || value == "" || len(value) > longestToken {
			return "", ErrNobody
		}
		token, key = value, "token "+digest(value)
	}
	verb := verbOf(r.Method)
	key += " " + verb + " " + r.URL.Path
	if known, ok := g.decisions.Get(key); ok {
		d, _ := known.(decision)
		return d.user, d.err
	}
	if g.reviewer == nil {
		return "", ErrUnreachable
	}
	if !g.limit.AllowN(g.clock.Now(), 1) {
		return "", ErrBusy
	}
	d, keep := g.review(r.Context(), verb, r.URL.Path, spec, token)
	if keep > 0 {
		g.decisions.Add(key, d, keep)
	}
	return d.user, d.err
}

// verbOf is what RBAC calls a method of HTTP on non-resource URLs
// (https://kubernetes.io/docs/reference/access-authn-authz/authorization/#determine-the-request-verb). All that
// reads is one.
func verbOf(method string) string {
	switch method {
	case "", http.MethodGet, http.MethodHead:
		return "get"
	default:
		return strings.ToLower(method)
	}
}

// certified reads the caller's certificate; nil where there is none that the cluster signed.
func (g *Guard) certified(r *http.Request) (*authorizationv1.SubjectAccessReviewSpec, string, error) {
	if r.TLS == nil || len(r.TLS.PeerCertificates) == 0 {
		return nil, "", nil
	}
	leaf := r.TLS.PeerCertificates[0]
	if leaf.Issuer.String() == leaf.Subject.String() {
		// An agent that is no peer here: it may still show a token.
		return nil, "", nil
	}
	pool := g.trusted()
	if pool == nil {
		return nil, "", ErrNobody
	}
	intermediates := x509.NewCertPool()
	for _, c := range r.TLS.PeerCertificates[1:] {
		intermediates.AddCert(c)
	}
	_, err := leaf.Verify(x509.VerifyOptions{
		Roots: pool, Intermediates: intermediates, CurrentTime: g.clock.Now(),
		KeyUsages: []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth},
	})
	if err != nil {
		return nil, "", fmt.Errorf("%w: yours does not hold: %w", ErrNobody, err)
	}
	// Who the bearer is stands in the subject (k8s.io/apiserver/pkg/authentication/request/x509/x509.go).
	spec := &authorizationv1.SubjectAccessReviewSpec{User: leaf.Subject.CommonName, Groups: append(slices.Clone(leaf.Subject.Organization), "system:authenticated")}
	return spec, "certificate " + digest(string(leaf.Raw)), nil
}

// trusted is the pool of the cluster's client authorities; nil while none is known.
func (g *Guard) trusted() *x509.CertPool {
	bundle := g.authority()
	g.mu.Lock()
	defer g.mu.Unlock()
	if bundle != g.bundle || g.pool == nil {
		pool := x509.NewCertPool()
		if !pool.AppendCertsFromPEM([]byte(bundle)) {
			pool = nil
		}
		g.pool, g.bundle = pool, bundle
	}
	return g.pool
}

// review asks the API server. What it does not answer is not remembered.
func (g *Guard) review(ctx context.Context, verb, path string, spec *authorizationv1.SubjectAccessReviewSpec, token string) (d decision, keep time.Duration) {
	if spec == nil {
		audiences := audiencesOf(token)
		status, err := g.reviewer.ReviewToken(ctx, token, audiences)
		if err != nil {
			return decision{err: fmt.Errorf("%w: %w", ErrUnreachable, err)}, 0
		}
		// An API server whose authenticator knows no audiences leaves them out, and the token may be meant for
		// anybody (https://kubernetes.io/docs/reference/kubernetes-api/authentication-resources/token-review-v1/).
		if !status.Authenticated || len(audiences) > 0 && !slices.Contains(status.Audiences, monitor.Audience) {
			return decision{err: fmt.Errorf("%w: the token is nobody's", ErrNobody)}, deniedFor
		}
		spec = &authorizationv1.SubjectAccessReviewSpec{User: status.User.Username, UID: status.User.UID, Groups: status.User.Groups, Extra: extra(status.User.Extra)}
	}
	spec.NonResourceAttributes = &authorizationv1.NonResourceAttributes{Path: path, Verb: verb}
	allowed, err := g.reviewer.ReviewAccess(ctx, *spec)
	switch {
	case err != nil:
		return decision{err: fmt.Errorf("%w: %w", ErrUnreachable, err)}, 0
	case !allowed:
		return decision{user: spec.User, err: fmt.Errorf("%w: %s needs the right to %s the non-resource URL %s", ErrForbidden, spec.User, verb, path)}, deniedFor
	}
	return decision{user: spec.User}, allowedFor
}

// audiencesOf are those to ask the API server about: agents, where a token says that it is meant for them.
// Whether it says the truth is what the API server is asked.
func audiencesOf(token string) []string {
	parts := strings.Split(token, ".")
	if len(parts) != 3 {
		return nil
	}
	data, err := base64.RawURLEncoding.DecodeString(parts[1])
	if err != nil {
		return nil
	}
	var claims struct {
		Audience []string `json:"aud"`
	}
	if json.Unmarshal(data, &claims) != nil || !slices.Contains(claims.Audience, monitor.Audience) {
		return nil
	}
	return []string{monitor.Audience}
}

func extra(in map[string]authenticationv1.ExtraValue) map[string]authorizationv1.ExtraValue {
	out := make(map[string]authorizationv1.ExtraValue, len(in))
	for name, values := range in {
		out[name] = authorizationv1.ExtraValue(values)
	}
	return out
}

// digest stands for a secret that must not be kept.
func digest(secret string) string {
	sum := sha256.Sum256([]byte(secret))
	return string(sum[:])
}
