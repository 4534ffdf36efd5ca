package bundle

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strings"

	"k8s.io/apimachinery/pkg/runtime/schema"
)

// readJSON parses a stream of JSON documents: lists, whose items are handed over one by one so that
// a list of a hundred thousand pods is never held as text, or single objects.
func (f *objectFile) readJSON(r io.Reader) error {
	quota := &quotaReader{r: r}
	dec := json.NewDecoder(quota)
	for {
		quota.renew()
		token, err := dec.Token()
		switch {
		case errors.Is(err, io.EOF):
			return nil
		case err != nil:
			return at(dec, err)
		case token == json.Delim('{'):
			if err := f.jsonDocument(dec, quota); err != nil {
				return at(dec, err)
			}
		case token == json.Delim('[') && f.arrays:
			items := &itemReader{file: f}
			if err := items.each(dec, quota); err != nil {
				items.end()
				return at(dec, err)
			}
			items.end()
		default:
			return at(dec, errors.New("it is no Kubernetes object"))
		}
	}
}

// at says where in the file an error was met.
func at(dec *json.Decoder, err error) error {
	if errors.Is(err, errTooLarge) || errors.Is(err, errObjectTooLarge) {
		return err
	}
	if errors.Is(err, io.ErrUnexpectedEOF) || errors.Is(err, io.EOF) {
		return fmt.Errorf("it breaks off at byte %d: %w", dec.InputOffset(), io.ErrUnexpectedEOF)
	}
	return fmt.Errorf("byte %d: %w", dec.InputOffset(), err)
}

// jsonDocument parses one document, after its opening brace.
func (f *objectFile) jsonDocument(dec *json.Decoder, quota *quotaReader) error {
	fields := map[string]json.RawMessage{}
	items := &itemReader{file: f, fields: fields}
	isList := false
	for dec.More() {
		key, err := dec.Token()
		if err != nil {
			return err
		}
		name, _ := key.(string)
		if name == "items" && !isList {
			isList = true
			if err := items.read(dec, quota); err != nil {
				items.end()
				return err
			}
			quota.renew()
			continue
		}
		var value json.RawMessage
		if err := dec.Decode(&value); err != nil {
			return err
		}
		fields[name] = value
	}
	if _, err := dec.Token(); err != nil {
		items.end()
		return err
	}
	if isList {
		items.end()
		items.finish()
		return nil
	}
	raw, err := json.Marshal(fields)
	if err != nil {
		return fmt.Errorf("putting an object together: %w", err)
	}
	f.take(raw, nil, false, fmt.Sprintf("byte %d", dec.InputOffset()))
	return nil
}

// itemReader reads the items of a list. Items of a typed list carry no kind of their own; where the
// list says its kind only after them, they wait for it.
type itemReader struct {
	file    *objectFile
	fields  map[string]json.RawMessage
	waiting []waitingItem
}

type waitingItem struct {
	raw   json.RawMessage
	where string
}

func (i *itemReader) read(dec *json.Decoder, quota *quotaReader) error {
	token, err := dec.Token()
	if err != nil {
		return err
	}
	if token == nil {
		return nil
	}
	if token != json.Delim('[') {
		return errors.New("items is no array")
	}
	return i.each(dec, quota)
}

// each reads the items of an array, after its opening bracket.
func (i *itemReader) each(dec *json.Decoder, quota *quotaReader) error {
	for dec.More() {
		quota.renew()
		where := fmt.Sprintf("byte %d", dec.InputOffset())
		var raw json.RawMessage
		if err := dec.Decode(&raw); err != nil {
			return err
		}
		var own struct {
			Kind string `json:"kind"`
		}
		defaults, known := i.kind()
		switch {
		case json.Unmarshal(raw, &own) == nil && own.Kind != "":
			i.file.take(raw, nil, true, where)
		case known:
			i.file.take(raw, &defaults, true, where)
		default:
			i.waiting = append(i.waiting, waitingItem{raw, where})
		}
	}
	_, err := dec.Token()
	return err
}

// kind is that of the items of a typed list; false for a List of mixed kinds, and while it is not
// known yet.
func (i *itemReader) kind() (schema.GroupVersionKind, bool) {
	var kind, version string
	if json.Unmarshal(i.fields["kind"], &kind) != nil || json.Unmarshal(i.fields["apiVersion"], &version) != nil {
		return schema.GroupVersionKind{}, false
	}
	item, ok := strings.CutSuffix(kind, "List")
	if !ok || item == "" {
		return schema.GroupVersionKind{}, false
	}
	gv, err := schema.ParseGroupVersion(version)
	if err != nil {
		return schema.GroupVersionKind{}, false
	}
	return gv.WithKind(item), true
}

// end hands over the items that waited for the list's kind.
func (i *itemReader) end() {
	defaults, known := i.kind()
	for _, item := range i.waiting {
		if known {
			i.file.take(item.raw, &defaults, true, item.where)
		} else {
			i.file.take(item.raw, nil, true, item.where)
		}
	}
	i.waiting = nil
}

// finish tells of the list itself, once it was read to its end.
func (i *itemReader) finish() {
	var metadata struct {
		Continue string `json:"continue"`
	}
	more := json.Unmarshal(i.fields["metadata"], &metadata) == nil && metadata.Continue != ""
	kind, _ := i.kind()
	i.file.list(kind, more)
}

// errObjectTooLarge is the error of reading an object that no API server would hold.
var errObjectTooLarge = fmt.Errorf("it holds an object larger than %d MiB, which no API server would", maxObjectBytes>>20)

// quotaReader bounds how much is read for one object: a JSON decoder would otherwise buffer an
// endless string to its end.
type quotaReader struct {
	r    io.Reader
	left int64
}

func (q *quotaReader) renew() { q.left = maxObjectBytes }

func (q *quotaReader) Read(p []byte) (int, error) {
	if q.left <= 0 {
		return 0, errObjectTooLarge
	}
	if int64(len(p)) > q.left {
		p = p[:q.left]
	}
	n, err := q.r.Read(p)
	q.left -= int64(n)
	return n, err
}
