package live

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"strconv"
	"strings"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"

	"github.com/maek-dev/maek/internal/collect"
	"github.com/maek-dev/maek/internal/snapshot"
)

// reading is what became of one kind. Objects are trimmed.
type reading struct {
	kind     snapshot.Kind
	coverage snapshot.Coverage
	objects  []snapshot.Object
	// lost tells that a request ended without an answer, so that the server may be gone.
	lost bool
}

func unread(k snapshot.Kind, reason string, at time.Time) reading {
	return reading{kind: k, coverage: snapshot.Coverage{State: snapshot.Failed, Reason: reason, ReadAt: at}}
}

// read lists a kind in the whole cluster or, where that is forbidden and a namespace was given, in
// that namespace.
func (c *Client) read(ctx context.Context, k snapshot.Kind) reading {
	r := c.list(ctx, k, "")
	if r.coverage.State != snapshot.Forbidden || c.options.Namespace == "" || !k.Namespaced() {
		return r
	}
	confined := c.list(ctx, k, c.options.Namespace)
	switch confined.coverage.State {
	case snapshot.Complete:
		confined.coverage.State = snapshot.Partial
		confined.coverage.Reason = "only namespace " + c.options.Namespace + ": " + r.coverage.Reason
	case snapshot.Partial:
	default:
		return r
	}
	confined.coverage.Namespace = c.options.Namespace
	return confined
}

// listing is the state of one list while its pages come in.
type listing struct {
	client    *Client
	reading   reading
	namespace string
	next      string
	fromCache bool
	restarted bool
	sharer    *snapshot.Sharer
}

// list reads all pages of a kind.
//
// Two things are tried before giving up. A continue token that the server has forgotten (410) is
// exchanged for the one that it offers, and the list goes on from there in its newest state: every
// object that was there all along is in the result, which is as much as lists of several kinds, read
// one after another, can say. And where etcd does not answer, the list is asked for once more from
// the server's watch cache, and marked so.
func (c *Client) list(ctx context.Context, k snapshot.Kind, namespace string) reading {
	l := &listing{client: c, namespace: namespace, fromCache: c.quorumLost.Load() && watchCached(k), sharer: snapshot.NewSharer()}
	l.reading = reading{kind: k, coverage: snapshot.Coverage{ReadAt: c.options.Now()}}
	for {
		err := l.page(ctx)
		if err == nil && l.next == "" {
			l.reading.coverage.State = snapshot.Complete
			l.reading.coverage.FromCache = l.fromCache
			return l.reading
		}
		if err == nil || l.renew(err) {
			continue
		}
		failed := !l.fromCache && ctx.Err() == nil && quorumFailed(err)
		if failed && c.quorumDoubtful {
			c.quorumLost.Store(true)
		}
		if failed && watchCached(k) {
			if cached, ok := c.listFromCache(ctx, k, namespace); ok {
				return cached
			}
		}
		return l.failed(ctx, err)
	}
}

// listFromCache reads a kind from the watch cache, whatever its age; false where even that fails.
func (c *Client) listFromCache(ctx context.Context, k snapshot.Kind, namespace string) (reading, bool) {
	l := &listing{client: c, namespace: namespace, fromCache: true, sharer: snapshot.NewSharer()}
	l.reading = reading{kind: k, coverage: snapshot.Coverage{ReadAt: c.options.Now()}}
	for {
		if err := l.page(ctx); err != nil {
			return reading{}, false
		}
		if l.next == "" {
			c.quorumLost.Store(true)
			l.reading.coverage.State = snapshot.Complete
			l.reading.coverage.FromCache = true
			return l.reading, true
		}
	}
}

// page reads the next page.
func (l *listing) page(ctx context.Context) error {
	c, k := l.client, l.reading.kind
	timeout := c.options.RequestTimeout
	if c.quorumDoubtful && !l.fromCache {
		timeout = min(timeout, doubtfulTimeout)
	}
	ctx, cancel := context.WithTimeout(ctx, timeout)
	defer cancel()
	req := c.rest.Get().AbsPath(listPath(k, l.namespace)).MaxRetries(retries).
		Param("limit", strconv.FormatInt(c.options.PageSize, 10))
	if l.next != "" {
		req.Param("continue", l.next)
	} else if l.fromCache {
		req.Param("resourceVersion", "0")
	}
	var list runtime.Object
	if MetadataOnly(k) {
		list = &metav1.PartialObjectMetadataList{}
		req.SetHeader("Accept", acceptMetadata)
	} else {
		list = k.NewList()
	}
	if k.Defined() {
		req.SetHeader("Accept", runtime.ContentTypeJSON)
	}
	if err := req.Do(ctx).Into(list); err != nil {
		return err
	}
	page, err := meta.ListAccessor(list)
	if err != nil {
		return fmt.Errorf("reading a page's metadata: %w", err)
	}
	l.next = page.GetContinue()
	if err := l.take(list); err != nil {
		return err
	}
	c.options.Progress(k, len(l.reading.objects))
	return nil
}

// take keeps a page's objects, trimmed: what is not kept is free before the next page comes.
func (l *listing) take(list runtime.Object) error {
	return meta.EachListItem(list, func(item runtime.Object) error {
		if m, ok := item.(*metav1.PartialObjectMetadata); ok {
			item = FromMetadata(l.reading.kind, m)
		}
		o, ok := item.(snapshot.Object)
		if !ok {
			return fmt.Errorf("a list of %s holds a %T", l.reading.kind, item)
		}
		collect.Clean(o)
		l.sharer.Share(o)
		l.reading.objects = append(l.reading.objects, o)
		return nil
	})
}

// renew tells whether the list can go on after an expired continue token.
func (l *listing) renew(err error) bool {
	status, ok := errors.AsType[*apierrors.StatusError](err)
	if !ok || !apierrors.IsResourceExpired(err) && !apierrors.IsGone(err) {
		return false
	}
	if token := status.ErrStatus.Continue; token != "" && token != l.next {
		l.next = token
		return true
	}
	if l.restarted {
		return false
	}
	l.restarted, l.next, l.reading.objects = true, "", nil
	return true
}

// failed ends a list that could not be read to its end.
func (l *listing) failed(ctx context.Context, err error) reading {
	r := l.reading
	r.coverage.State, r.coverage.Reason = l.client.outcome(ctx, r.kind, err)
	r.coverage.FromCache = l.fromCache
	_, answered := errors.AsType[*apierrors.StatusError](err)
	r.lost = !answered && ctx.Err() == nil
	if len(r.objects) > 0 {
		r.coverage.State = snapshot.Partial
		r.coverage.Reason = fmt.Sprintf("after %d objects: %s", len(r.objects), r.coverage.Reason)
	}
	return r
}

// outcome says what an error means for a kind.
func (c *Client) outcome(ctx context.Context, k snapshot.Kind, err error) (snapshot.State, string) {
	switch {
	case ctx.Err() != nil && errors.Is(ctx.Err(), context.DeadlineExceeded):
		return snapshot.Failed, fmt.Sprintf("the time for reading the cluster (%s) was over", c.options.Timeout)
	case ctx.Err() != nil:
		return snapshot.Failed, "reading was interrupted"
	case errors.Is(err, context.DeadlineExceeded):
		return snapshot.Failed, "no answer in time"
	case apierrors.IsForbidden(err):
		return snapshot.Forbidden, words(err)
	case apierrors.IsNotFound(err) && k.Group != corev1.GroupName:
		// A list names no object, so there is nothing that could be missing but the kind itself. The
		// core group is served by every API server: who has no such path there is none.
		return snapshot.NotServed, fmt.Sprintf("the API server does not serve %s/%s", k.Group, k.Version)
	default:
		return snapshot.Failed, words(err)
	}
}

// doubtfulTimeout bounds a page that needs etcd when the API server's own check of etcd has just
// failed. The server would wait for a minute.
const doubtfulTimeout = 5 * time.Second

// watchCached tells whether the API server can answer for a kind without etcd. Events are the
// built-in kind for which it keeps no watch cache
// (k8s.io/kubernetes/pkg/kubeapiserver, DefaultWatchCacheSizes).
func watchCached(k snapshot.Kind) bool { return k.Resource != "events" }

// quorumFailed tells whether an error looks like etcd's rather than the API server's own: it has no
// quorum, or takes longer than the request may.
func quorumFailed(err error) bool {
	if errors.Is(err, context.DeadlineExceeded) {
		return true
	}
	status, ok := errors.AsType[*apierrors.StatusError](err)
	if !ok {
		return false
	}
	switch status.ErrStatus.Code {
	case http.StatusGatewayTimeout:
		return true
	case http.StatusInternalServerError, http.StatusServiceUnavailable:
		return strings.Contains(status.ErrStatus.Message, "etcd") || strings.Contains(status.ErrStatus.Message, "context deadline exceeded")
	}
	return apierrors.IsTimeout(err) || apierrors.IsServerTimeout(err)
}

// listPath is where the API server serves a list (k8s.io/client-go/rest, DefaultVersionedAPIPath).
func listPath(k snapshot.Kind, namespace string) string {
	path := "/apis/" + k.Group + "/" + k.Version
	if k.Group == corev1.GroupName {
		path = "/api/" + k.Version
	}
	if namespace != "" {
		path += "/namespaces/" + namespace
	}
	return path + "/" + k.Resource
}
