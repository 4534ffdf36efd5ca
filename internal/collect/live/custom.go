package live

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"slices"
	"strconv"
	"sync"

	apiextensionsv1 "k8s.io/apiextensions-apiserver/pkg/apis/apiextensions/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	utiljson "k8s.io/apimachinery/pkg/util/json"

	"github.com/maek-dev/maek/internal/collect"
	"github.com/maek-dev/maek/internal/snapshot"
)

const (
	// maxCustomKinds bounds how many kinds of custom resources are read: clusters with many operators
	// have some hundred.
	maxCustomKinds = 200
	// maxCustomObjects bounds how many objects of one kind are read. Policy reports and the like are
	// one a pod, and a part shows their controller's trouble as well as all of them.
	maxCustomObjects = 5000
	// maxCustomTotal bounds how many objects of all kinds together are read, some 2 KB each in memory.
	maxCustomTotal = 50_000
	// customPageSize is smaller than that of built-in kinds: the API server converts each object, and
	// each may be as large as etcd takes.
	customPageSize = 500
	// maxCustomPageBytes bounds what is read of one page.
	maxCustomPageBytes = 512 << 20
)

// customReading is what became of one kind of custom resources.
type customReading struct {
	kind     snapshot.Kind
	coverage snapshot.Coverage
	objects  []*snapshot.CustomResource
}

// customKinds are the kinds that definitions define, at the version that is stored where it is served:
// it needs no conversion.
func customKinds(readings []reading) (kinds []snapshot.Kind, namespaced map[snapshot.Kind]bool) {
	namespaced = map[snapshot.Kind]bool{}
	for _, r := range readings {
		for _, o := range r.objects {
			crd, ok := o.(*apiextensionsv1.CustomResourceDefinition)
			if !ok {
				continue
			}
			version := ""
			for _, v := range crd.Spec.Versions {
				if v.Served && (v.Storage || version == "") {
					version = v.Name
				}
			}
			k := snapshot.Kind{Group: crd.Spec.Group, Version: version, Kind: crd.Spec.Names.Kind, Resource: crd.Spec.Names.Plural}
			if _, builtIn := snapshot.KindFor(k.GroupVersionKind()); version == "" || builtIn {
				continue
			}
			kinds = append(kinds, k)
			namespaced[k] = crd.Spec.Scope == apiextensionsv1.NamespaceScoped
		}
	}
	slices.SortFunc(kinds, snapshot.CompareKinds)
	return kinds, namespaced
}

// readCustom reads the objects of all kinds that the definitions among the readings define.
func (c *Client) readCustom(ctx context.Context, readings []reading) []customReading {
	kinds, namespaced := customKinds(readings)
	out := make([]customReading, len(kinds))
	slots := make(chan struct{}, c.options.Parallel)
	var wg sync.WaitGroup
	for i, k := range kinds {
		if i >= maxCustomKinds {
			out[i] = customReading{kind: k, coverage: snapshot.Coverage{
				State: snapshot.NotCollected, Reason: fmt.Sprintf("of %d kinds of custom resources the first %d are read", len(kinds), maxCustomKinds),
			}}
			continue
		}
		slots <- struct{}{}
		wg.Go(func() {
			defer func() { <-slots }()
			out[i] = c.customKind(ctx, k, namespaced[k])
		})
	}
	wg.Wait()
	return out
}

// customKind lists a kind in the whole cluster or, where that is forbidden and a namespace was given, in
// that namespace.
func (c *Client) customKind(ctx context.Context, k snapshot.Kind, namespaced bool) customReading {
	r := c.listCustom(ctx, k, "")
	if r.coverage.State != snapshot.Forbidden || c.options.Namespace == "" || !namespaced {
		return r
	}
	confined := c.listCustom(ctx, k, c.options.Namespace)
	if !confined.coverage.Readable() {
		return r
	}
	if confined.coverage.State == snapshot.Complete {
		confined.coverage.Reason = "only namespace " + c.options.Namespace + ": " + r.coverage.Reason
	}
	confined.coverage.State, confined.coverage.Namespace = snapshot.Partial, c.options.Namespace
	return confined
}

// listCustom reads all pages of a kind, reducing each object as it comes. Where etcd has failed other
// lists, it asks the watch cache from the start.
func (c *Client) listCustom(ctx context.Context, k snapshot.Kind, namespace string) customReading {
	l := &customListing{client: c, namespace: namespace, fromCache: c.quorumLost.Load()}
	l.reading = customReading{kind: k, coverage: snapshot.Coverage{ReadAt: c.options.Now(), FromCache: l.fromCache}}
	for {
		err := l.page(ctx)
		r := &l.reading
		switch {
		case err == nil && l.next == "":
			r.coverage.State = snapshot.Complete
			return *r
		case err == nil:
			continue
		case l.renew(err):
			continue
		case errors.Is(err, errCustomFull):
			r.coverage.State = snapshot.Partial
			r.coverage.Reason = fmt.Sprintf("only the first %d objects are read", len(r.objects))
			return *r
		}
		r.coverage.State, r.coverage.Reason = c.outcome(ctx, k, err)
		if len(r.objects) > 0 {
			r.coverage.State = snapshot.Partial
			r.coverage.Reason = fmt.Sprintf("after %d objects: %s", len(r.objects), r.coverage.Reason)
		}
		return *r
	}
}

// customListing is the state of one list while its pages come in.
type customListing struct {
	client    *Client
	reading   customReading
	namespace string
	next      string
	fromCache bool
	renewed   bool
}

// errCustomFull ends a list of which enough was read.
var errCustomFull = errors.New("enough objects were read")

// page reads the next page as a stream, so that only one object at a time is held whole.
func (l *customListing) page(ctx context.Context) error {
	c := l.client
	ctx, cancel := context.WithTimeout(ctx, c.options.RequestTimeout)
	defer cancel()
	req := c.rest.Get().AbsPath(listPath(l.reading.kind, l.namespace)).MaxRetries(retries).
		SetHeader("Accept", runtime.ContentTypeJSON).Param("limit", strconv.Itoa(customPageSize))
	if l.next != "" {
		req.Param("continue", l.next)
	} else if l.fromCache {
		req.Param("resourceVersion", "0")
	}
	body, err := req.Stream(ctx)
	if err != nil {
		return err
	}
	defer func() { _ = body.Close() }()
	l.next = ""
	err = l.take(json.NewDecoder(io.LimitReader(body, maxCustomPageBytes)))
	if err != nil && ctx.Err() != nil {
		return ctx.Err()
	}
	c.options.Progress(l.reading.kind, len(l.reading.objects))
	return err
}

// take reduces the objects of a page.
func (l *customListing) take(dec *json.Decoder) error {
	err := eachField(dec, func(name string) error {
		switch name {
		case "metadata":
			var m struct {
				Continue string `json:"continue"`
			}
			if err := dec.Decode(&m); err != nil {
				return err
			}
			l.next = m.Continue
			return nil
		case "items":
			return eachItem(dec, func() error { return l.item(dec) })
		default:
			return dec.Decode(new(json.RawMessage))
		}
	})
	if err != nil {
		return fmt.Errorf("reading a page: %w", err)
	}
	return nil
}

// item reduces one object. One without the shape of an object is left out.
func (l *customListing) item(dec *json.Decoder) error {
	if len(l.reading.objects) == maxCustomObjects || l.client.customTotal.Load() >= maxCustomTotal {
		return errCustomFull
	}
	var raw json.RawMessage
	if err := dec.Decode(&raw); err != nil {
		return err
	}
	u := &unstructured.Unstructured{}
	if err := utiljson.Unmarshal(raw, &u.Object); err != nil {
		return nil //nolint:nilerr // what is no object is left out, and the rest is read
	}
	r, err := snapshot.ReduceCustom(l.reading.kind, u)
	if err != nil {
		return nil //nolint:nilerr // what is no object is left out, and the rest is read
	}
	collect.CleanCustom(r)
	l.reading.objects = append(l.reading.objects, r)
	l.client.customTotal.Add(1)
	return nil
}

// renew tells whether the list can go on after an expired continue token, once.
func (l *customListing) renew(err error) bool {
	status, ok := errors.AsType[*apierrors.StatusError](err)
	if !ok || l.renewed || !apierrors.IsResourceExpired(err) && !apierrors.IsGone(err) {
		return false
	}
	l.renewed, l.next = true, status.ErrStatus.Continue
	if l.next == "" {
		l.reading.objects = nil
	}
	return true
}
