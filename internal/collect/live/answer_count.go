package live

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strconv"

	"k8s.io/apimachinery/pkg/runtime"

	"github.com/maek-dev/maek/internal/snapshot"
)

// acceptTable asks for a list as a table without the objects: of all forms it is the smallest
// (https://kubernetes.io/docs/reference/using-api/api-concepts/#receiving-resources-as-tables).
const acceptTable = runtime.ContentTypeJSON + ";as=Table;g=meta.k8s.io;v=v1"

// maxCountBytes bounds what is read to count: the watch cache answers with all rows, some 300 bytes each.
const maxCountBytes = 64 << 20

// objectCount counts the objects of a kind. A quorum LIST of one object says how many remain
// (metadata.remainingItemCount). With resourceVersion=0 the API server answers from its watch cache and
// ignores the limit, so all rows come and are counted
// (k8s.io/apiserver/pkg/storage/cacher/delegator, ShouldDelegateList).
func (c *Client) objectCount(ctx context.Context, q snapshot.Question) snapshot.Answer {
	k, ok := c.kindOf(q.Group, q.Resource)
	if !ok {
		return snapshot.Answer{Outcome: snapshot.Errored, Error: "no kind is known under the name " + q.Resource + "." + q.Group}
	}
	req := c.rest.Get().AbsPath(listPath(k, q.Namespace)).MaxRetries(0).SetHeader("Accept", acceptTable).
		Param("limit", "1").Param("includeObject", "None")
	if q.Cached {
		req.Param("resourceVersion", "0")
	}
	body, err := req.Stream(ctx)
	if err != nil {
		return failedAnswer(err)
	}
	defer func() { _ = body.Close() }()
	n, err := countRows(io.LimitReader(body, maxCountBytes))
	if err != nil {
		return failedAnswer(err)
	}
	return snapshot.Answer{Outcome: snapshot.Answered, Text: strconv.FormatInt(n, 10)}
}

// acceptObjectMetadata asks for an object's metadata instead of the object.
const acceptObjectMetadata = runtime.ContentTypeJSON + ";as=PartialObjectMetadata;g=meta.k8s.io;v=v1"

// storedObject asks for one object by name, and drops what comes.
func (c *Client) storedObject(ctx context.Context, q snapshot.Question) snapshot.Answer {
	k, ok := c.kindOf(q.Group, q.Resource)
	if !ok {
		return snapshot.Answer{Outcome: snapshot.Errored, Error: "no kind is known under the name " + q.Resource + "." + q.Group}
	}
	err := c.rest.Get().AbsPath(listPath(k, q.Namespace), q.Name).MaxRetries(0).SetHeader("Accept", acceptObjectMetadata).Do(ctx).Error()
	if err != nil {
		return failedAnswer(err)
	}
	return snapshot.Answer{Outcome: snapshot.Answered}
}

// kindOf finds the kind of a resource among those that are built in and those that were read.
func (c *Client) kindOf(group, resource string) (snapshot.Kind, bool) {
	var found snapshot.Kind
	for gvk := range snapshot.Scheme.AllKnownTypes() {
		k, ok := snapshot.KindFor(gvk)
		if ok && k.Group == group && k.Resource == resource && (found.Kind == "" || k.Version < found.Version) {
			found = k
		}
	}
	if found.Kind != "" {
		return found, true
	}
	for _, k := range c.snapshot.Load().CustomKinds() {
		if k.Group == group && k.Resource == resource {
			return k, true
		}
	}
	return snapshot.Kind{}, false
}

// countRows counts the rows of a Table, and those that it says remain, without holding any.
func countRows(r io.Reader) (int64, error) {
	var n int64
	dec := json.NewDecoder(r)
	err := eachField(dec, func(name string) error {
		switch name {
		case "metadata":
			var m struct {
				Continue  string `json:"continue"`
				Remaining *int64 `json:"remainingItemCount"`
			}
			if err := dec.Decode(&m); err != nil {
				return err
			}
			if m.Remaining != nil {
				n += *m.Remaining
			} else if m.Continue != "" {
				return errors.New("the list goes on, and the server does not say how far")
			}
			return nil
		case "rows":
			return eachItem(dec, func() error {
				n++
				return dec.Decode(new(json.RawMessage))
			})
		default:
			return dec.Decode(new(json.RawMessage))
		}
	})
	if err != nil {
		return 0, fmt.Errorf("counting: %w", err)
	}
	return n, nil
}

// eachField calls f after the name of each field of the object that comes next. f reads the value.
func eachField(dec *json.Decoder, f func(name string) error) error {
	if err := expect(dec, json.Delim('{')); err != nil {
		return err
	}
	for dec.More() {
		token, err := dec.Token()
		if err != nil {
			return err
		}
		name, _ := token.(string)
		if err := f(name); err != nil {
			return err
		}
	}
	_, err := dec.Token()
	return err
}

// eachItem calls f before each item of the array that comes next, or for none where null comes. f reads
// the item.
func eachItem(dec *json.Decoder, f func() error) error {
	token, err := dec.Token()
	if err != nil || token == nil {
		return err
	}
	if token != json.Delim('[') {
		return fmt.Errorf("%v where an array was expected", token)
	}
	for dec.More() {
		if err := f(); err != nil {
			return err
		}
	}
	_, err = dec.Token()
	return err
}

func expect(dec *json.Decoder, want json.Delim) error {
	token, err := dec.Token()
	if err == nil && token != want {
		err = fmt.Errorf("%v where %v was expected", token, want)
	}
	return err
}
