package statuspage

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"time"

	authenticationv1 "k8s.io/api/authentication/v1"
	authorizationv1 "k8s.io/api/authorization/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/cache"
	authenticationclient "k8s.io/client-go/kubernetes/typed/authentication/v1"
	authorizationclient "k8s.io/client-go/kubernetes/typed/authorization/v1"
	"k8s.io/utils/clock"
)

// Access says who may do what.
type Access interface {
	// Allow returns nil when the bearer of the token may do what the deed says; ErrUnknownToken,
	// ErrForbidden; or another error where it cannot be told.
	Allow(ctx context.Context, token string, deed Deed) error
}

// Why a request is turned away.
var (
	// ErrUnknownToken: the cluster does not know the token, or not any more.
	ErrUnknownToken = errors.New("the token is not one of this cluster's, or has expired")
	// ErrForbidden: its bearer has no right to that.
	ErrForbidden = errors.New("the token's bearer may not do that")
)

// Deed is what somebody wants to do. One of its fields is set.
type Deed struct {
	// Resource of the API that it is done to.
	Resource *authorizationv1.ResourceAttributes
	// Path of a page.
	Path *authorizationv1.NonResourceAttributes
}

// String is what is done to what, as a person would be told.
func (d Deed) String() string {
	switch {
	case d.Path != nil:
		return d.Path.Verb + " " + d.Path.Path
	case d.Resource == nil:
		return "nothing"
	}
	what := d.Resource.Resource
	if d.Resource.Subresource != "" {
		what += "/" + d.Resource.Subresource
	}
	if d.Resource.Group != "" {
		what += "." + d.Resource.Group
	}
	what = d.Resource.Verb + " " + what
	if d.Resource.Name != "" {
		what += " " + d.Resource.Name
	}
	return what + " in namespace " + d.Resource.Namespace
}

// How long answers of the API server are believed, as its own webhooks do at the shortest
// (kube-apiserver --authorization-webhook-cache-unauthorized-ttl is 30s): somebody who has just been
// given a right does not wait long, nor does somebody from whom it was taken keep it for long.
const (
	accessTTL = 10 * time.Second
	// accessEntries bounds what is kept. The oldest answers go first.
	accessEntries = 1024
)

// NewAccess makes an Access that asks the API server by TokenReview and SubjectAccessReview, for which
// the operator needs the ClusterRole system:auth-delegator or its two rules.
func NewAccess(tokens authenticationclient.TokenReviewInterface, access authorizationclient.SubjectAccessReviewInterface, clock clock.PassiveClock) Access {
	return &reviews{
		tokens: tokens, access: access,
		users: cache.NewLRUExpireCacheWithClock(accessEntries, clock), decisions: cache.NewLRUExpireCacheWithClock(accessEntries, clock),
	}
}

type reviews struct {
	tokens authenticationclient.TokenReviewInterface
	access authorizationclient.SubjectAccessReviewInterface
	// users are by the hash of their token, so that no token stays in memory; nil for unknown ones.
	// decisions are by decisionKey.
	users, decisions *cache.LRUExpireCache
}

type tokenHash [sha256.Size]byte

type decisionKey struct {
	token    tokenHash
	resource authorizationv1.ResourceAttributes
	path     authorizationv1.NonResourceAttributes
}

func (r *reviews) Allow(ctx context.Context, token string, deed Deed) error {
	if token == "" {
		return ErrUnknownToken
	}
	key := decisionKey{token: sha256.Sum256([]byte(token))}
	if deed.Resource != nil {
		key.resource = *deed.Resource
	}
	if deed.Path != nil {
		key.path = *deed.Path
	}
	user, err := r.user(ctx, key.token, token)
	switch {
	case err != nil:
		return err
	case user == nil:
		return ErrUnknownToken
	}
	allowed, known := r.decisions.Get(key)
	if !known {
		answer, err := r.access.Create(ctx, &authorizationv1.SubjectAccessReview{Spec: authorizationv1.SubjectAccessReviewSpec{
			ResourceAttributes: deed.Resource, NonResourceAttributes: deed.Path,
			User: user.Username, UID: user.UID, Groups: user.Groups, Extra: extra(user.Extra),
		}}, metav1.CreateOptions{})
		if err != nil {
			return fmt.Errorf("asking whether %s may: %w", user.Username, err)
		}
		allowed = answer.Status.Allowed && !answer.Status.Denied
		r.decisions.Add(key, allowed, accessTTL)
	}
	if allowed != true {
		return ErrForbidden
	}
	return nil
}

// user returns whose token it is; nil when it is nobody's.
func (r *reviews) user(ctx context.Context, hash tokenHash, token string) (*authenticationv1.UserInfo, error) {
	if known, ok := r.users.Get(hash); ok {
		user, _ := known.(*authenticationv1.UserInfo)
		return user, nil
	}
	answer, err := r.tokens.Create(ctx, &authenticationv1.TokenReview{Spec: authenticationv1.TokenReviewSpec{Token: token}}, metav1.CreateOptions{})
	if err != nil {
		return nil, fmt.Errorf("asking whose token it is: %w", err)
	}
	var user *authenticationv1.UserInfo
	if answer.Status.Authenticated {
		user = &answer.Status.User
	}
	r.users.Add(hash, user, accessTTL)
	return user, nil
}

func extra(from map[string]authenticationv1.ExtraValue) map[string]authorizationv1.ExtraValue {
	to := make(map[string]authorizationv1.ExtraValue, len(from))
	for key, values := range from {
		to[key] = authorizationv1.ExtraValue(values)
	}
	return to
}
