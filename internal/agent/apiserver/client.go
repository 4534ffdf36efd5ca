// Package apiserver is all that an agent asks of the API server: a few watches, patches of its own Node,
// events, and reviews of who may ask the agent itself. Its scheme knows those kinds alone, for an agent
// is small.
package apiserver

import (
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"net/http"
	"sync"
	"time"

	authenticationv1 "k8s.io/api/authentication/v1"
	authorizationv1 "k8s.io/api/authorization/v1"
	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/runtime/serializer"
	"k8s.io/apimachinery/pkg/types"
	utilruntime "k8s.io/apimachinery/pkg/util/runtime"
	"k8s.io/client-go/rest"
)

// Requests an agent sends in a second at most, beyond its watches, and how many at once after silence.
const (
	requestsPerSecond = 5
	requestsAtOnce    = 20
)

// timeout of a request that is no watch.
const timeout = 10 * time.Second

// Client of an API server.
type Client struct {
	core, discovery, authentication, authorization rest.Interface
	parameters                                     runtime.ParameterCodec
	now                                            func() time.Time

	mu       sync.Mutex
	requests map[string]int64
	contact  Contact
}

// Contact is how the API server answered.
type Contact struct {
	// Answered is when it last did; zero where it never did.
	Answered time.Time
	// Failing is since when it does not; zero while it answers.
	Failing time.Time
	// Error of the last request that failed; nil while it answers.
	Error error
}

// New makes a client. It sends nothing.
func New(config *rest.Config, now func() time.Time) (*Client, error) {
	scheme := runtime.NewScheme()
	builder := runtime.NewSchemeBuilder(corev1.AddToScheme, discoveryv1.AddToScheme, authenticationv1.AddToScheme, authorizationv1.AddToScheme)
	utilruntime.Must(builder.AddToScheme(scheme))
	codecs := serializer.NewCodecFactory(scheme)
	c := &Client{parameters: runtime.NewParameterCodec(scheme), now: now, requests: map[string]int64{}}

	config = rest.CopyConfig(config)
	config.NegotiatedSerializer = codecs.WithoutConversion()
	config.ContentType = runtime.ContentTypeProtobuf
	config.AcceptContentTypes = runtime.ContentTypeProtobuf + "," + runtime.ContentTypeJSON
	config.QPS, config.Burst = requestsPerSecond, requestsAtOnce
	config.Wrap(func(next http.RoundTripper) http.RoundTripper { return watchful{c, next} })
	shared, err := rest.HTTPClientFor(config)
	if err != nil {
		return nil, fmt.Errorf("connecting to the API server: %w", err)
	}
	for _, part := range []struct {
		group schema.GroupVersion
		to    *rest.Interface
	}{
		{corev1.SchemeGroupVersion, &c.core},
		{discoveryv1.SchemeGroupVersion, &c.discovery},
		{authenticationv1.SchemeGroupVersion, &c.authentication},
		{authorizationv1.SchemeGroupVersion, &c.authorization},
	} {
		own := rest.CopyConfig(config)
		own.GroupVersion, own.APIPath = &part.group, "/apis"
		if part.group.Group == "" {
			own.APIPath = "/api"
		}
		client, err := rest.RESTClientForConfigAndClient(own, shared)
		if err != nil {
			return nil, fmt.Errorf("connecting to the API server: %w", err)
		}
		*part.to = client
	}
	return c, nil
}

// PatchNode patches a Node through its status, which is all that an agent may write.
func (c *Client) PatchNode(ctx context.Context, node string, kind types.PatchType, patch any) error {
	data, err := json.Marshal(patch)
	if err != nil {
		return fmt.Errorf("encoding a patch of Node %s: %w", node, err)
	}
	ctx, cancel := context.WithTimeout(ctx, timeout)
	defer cancel()
	if err := c.core.Patch(kind).Resource("nodes").Name(node).SubResource("status").Body(data).Do(ctx).Error(); err != nil {
		return fmt.Errorf("patching Node %s: %w", node, err)
	}
	return nil
}

// CreateEvent writes an event.
func (c *Client) CreateEvent(ctx context.Context, e *corev1.Event) error {
	ctx, cancel := context.WithTimeout(ctx, timeout)
	defer cancel()
	if err := c.core.Post().Resource("events").Namespace(e.Namespace).Body(e).Do(ctx).Error(); err != nil {
		return fmt.Errorf("creating an event: %w", err)
	}
	return nil
}

// ReviewToken asks whose a bearer token is, which must be meant for one of the audiences; none stands for
// the API server's own.
func (c *Client) ReviewToken(ctx context.Context, token string, audiences []string) (authenticationv1.TokenReviewStatus, error) {
	ctx, cancel := context.WithTimeout(ctx, timeout)
	defer cancel()
	var out authenticationv1.TokenReview
	review := &authenticationv1.TokenReview{Spec: authenticationv1.TokenReviewSpec{Token: token, Audiences: audiences}}
	if err := c.authentication.Post().Resource("tokenreviews").Body(review).Do(ctx).Into(&out); err != nil {
		return out.Status, fmt.Errorf("reviewing a token: %w", err)
	}
	return out.Status, nil
}

// ReviewAccess asks whether somebody may do something.
func (c *Client) ReviewAccess(ctx context.Context, spec authorizationv1.SubjectAccessReviewSpec) (bool, error) {
	ctx, cancel := context.WithTimeout(ctx, timeout)
	defer cancel()
	var out authorizationv1.SubjectAccessReview
	if err := c.authorization.Post().Resource("subjectaccessreviews").
		Body(&authorizationv1.SubjectAccessReview{Spec: spec}).Do(ctx).Into(&out); err != nil {
		return false, fmt.Errorf("reviewing access of %s: %w", spec.User, err)
	}
	return out.Status.Allowed, nil
}

// Contact says how the API server answers.
func (c *Client) Contact() Contact {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.contact
}

// Requests sent so far, by verb.
func (c *Client) Requests() map[string]int64 {
	c.mu.Lock()
	defer c.mu.Unlock()
	return maps.Clone(c.requests)
}

// Heard tells the client that a watch delivered something, or failed.
func (c *Client) Heard(err error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if err == nil {
		c.contact = Contact{Answered: c.now()}
		return
	}
	if c.contact.Failing.IsZero() {
		c.contact.Failing = c.now()
	}
	c.contact.Error = err
}

// watchful counts requests and sees whether they are answered.
type watchful struct {
	client *Client
	next   http.RoundTripper
}

// RoundTrip sends a request. An answer that says that the server itself is in trouble is none.
func (w watchful) RoundTrip(r *http.Request) (*http.Response, error) {
	verb := r.Method
	if r.URL.Query().Get("watch") != "" {
		verb = "WATCH"
	}
	w.client.mu.Lock()
	w.client.requests[verb]++
	w.client.mu.Unlock()
	response, err := w.next.RoundTrip(r)
	switch {
	case err != nil && r.Context().Err() != nil:
		// Whoever asked went away, or lost patience: the latter is told by the next failure.
		if context.Cause(r.Context()) == context.DeadlineExceeded { //nolint:errorlint // a cause is the sentinel itself
			w.client.Heard(err)
		}
	case err != nil:
		w.client.Heard(err)
	case response.StatusCode >= http.StatusInternalServerError:
		w.client.Heard(fmt.Errorf("it answers %s", response.Status))
	default:
		w.client.Heard(nil)
	}
	return response, err
}

// named selects one object by name.
func named(name string) metav1.ListOptions {
	return metav1.ListOptions{FieldSelector: "metadata.name=" + name}
}
