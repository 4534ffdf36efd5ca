package bundle

import (
	"bufio"
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"path"
	"regexp"
	"strconv"
	"strings"

	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/runtime/serializer"
	"sigs.k8s.io/yaml"

	"github.com/maek-dev/maek/internal/snapshot"
)

// decoder turns JSON into the Go types that a snapshot holds, at the version in which it is written.
var decoder = serializer.NewCodecFactory(snapshot.Scheme).UniversalDeserializer()

// holdsObjects tells by its name whether a file may hold Kubernetes objects.
func holdsObjects(name string) bool {
	switch strings.ToLower(path.Ext(name)) {
	case ".json", ".yaml", ".yml":
		return true
	}
	return false
}

// objectFile parses one file of objects and hands over what it finds. It knows nothing of bundles.
type objectFile struct {
	// object takes an object; inList tells whether a list held it.
	object func(o snapshot.Object, inList bool)
	// list takes the end of a list. kind is empty for a List of mixed kinds; more tells that the list
	// itself says that it goes on.
	list func(kind schema.GroupVersionKind, more bool)
	// custom takes a custom resource.
	custom func(r *snapshot.CustomResource, inList bool)
	// arrays tells that the file may be an array of objects, as support bundles keep custom resources.
	arrays bool
	// odd takes what is no object that a snapshot can hold.
	odd func(o oddity)
}

// oddity is a part of a file that could not be taken in.
type oddity struct {
	// where is the place in the file: "line 7", "byte 1200".
	where string
	// kind is the kind of an object that is not known; empty for what is no Kubernetes object.
	kind string
	// err says what is wrong; nil where kind says enough.
	err error
}

// read parses a file. The error tells that it breaks off or is malformed; what came before is good.
func (f *objectFile) read(r io.Reader) error {
	in := bufio.NewReaderSize(r, 64<<10)
	if head, _ := in.Peek(3); bytes.Equal(head, []byte("\xef\xbb\xbf")) {
		_, _ = in.Discard(3)
	}
	for {
		head, err := in.Peek(1)
		if err != nil {
			if errors.Is(err, io.EOF) {
				return nil
			}
			return err
		}
		switch head[0] {
		case ' ', '\t', '\r', '\n':
			_, _ = in.Discard(1)
		case '{', '[':
			return f.readJSON(bounded(in, maxFileBytes))
		default:
			return f.readYAML(bounded(in, maxYAMLBytes))
		}
	}
}

// readYAML parses a YAML file, document by document. Each is turned into JSON.
func (f *objectFile) readYAML(r io.Reader) error {
	data, readErr := io.ReadAll(r)
	if errors.Is(readErr, errTooLarge) {
		return fmt.Errorf("as YAML it is larger than %d MiB; write it with -o json", maxYAMLBytes>>20)
	}
	line := 1
	for len(data) > 0 {
		doc := data
		if i := bytes.Index(data, []byte("\n---")); i >= 0 {
			doc, data = data[:i+1], data[i+1:]
			// The separator's own line goes with the document after it, which may begin on it.
			data = bytes.TrimPrefix(data, []byte("---"))
		} else {
			data = nil
		}
		start, first := line, line+leadingBlank(doc)
		line += bytes.Count(doc, []byte("\n"))
		if len(bytes.TrimSpace(bytes.TrimPrefix(doc, []byte("---")))) == 0 {
			continue
		}
		converted, err := yaml.YAMLToJSON(doc)
		if err != nil {
			f.odd(yamlOddity(err, start, first))
			continue
		}
		if bytes.Equal(bytes.TrimSpace(converted), []byte("null")) {
			continue
		}
		if err := f.document(converted, fmt.Sprintf("line %d", first)); err != nil {
			f.odd(oddity{where: fmt.Sprintf("line %d", first), err: err})
		}
	}
	return readErr
}

// document parses one YAML document after its conversion.
func (f *objectFile) document(converted []byte, where string) error {
	one := *f
	one.odd = func(o oddity) {
		o.where = where
		f.odd(o)
	}
	return one.readJSON(bytes.NewReader(converted))
}

// leadingBlank counts the lines before the first that says something.
func leadingBlank(doc []byte) int {
	n := 0
	for line := range bytes.Lines(doc) {
		text := bytes.TrimSpace(line)
		if len(text) > 0 && text[0] != '#' && !bytes.Equal(text, []byte("---")) {
			return n
		}
		n++
	}
	return n
}

// yamlLine is where a YAML error says the line, counted from its document's first.
var yamlLine = regexp.MustCompile(`^yaml: line (\d+): `)

// yamlOddity tells of a document that is no YAML. start is the line on which the document starts,
// and first the first that says something.
func yamlOddity(err error, start, first int) oddity {
	text, _, _ := strings.Cut(strings.TrimPrefix(err.Error(), "error converting YAML to JSON: "), "\n")
	if m := yamlLine.FindStringSubmatch(text); m != nil {
		if n, err := strconv.Atoi(m[1]); err == nil {
			first, text = start+n-1, "yaml: "+text[len(m[0]):]
		}
	}
	return oddity{where: fmt.Sprintf("line %d", first), err: errors.New(text)}
}

// take decodes one object.
func (f *objectFile) take(raw json.RawMessage, defaults *schema.GroupVersionKind, inList bool, where string) {
	obj, gvk, err := decoder.Decode(raw, defaults, nil)
	switch {
	case err == nil:
	case runtime.IsNotRegisteredError(err) && gvk != nil && mayBeCustom(*gvk):
		r, err := reduceCustom(*gvk, raw)
		if err != nil {
			f.odd(oddity{where: where, err: err})
			return
		}
		f.custom(r, inList)
		return
	case runtime.IsNotRegisteredError(err) && gvk != nil:
		f.odd(oddity{where: where, kind: gvk.GroupVersion().String() + " " + gvk.Kind})
		return
	case runtime.IsMissingKind(err), runtime.IsMissingVersion(err):
		f.odd(oddity{where: where, err: errors.New("it has no apiVersion and kind")})
		return
	default:
		f.odd(oddity{where: where, err: err})
		return
	}
	o, ok := obj.(snapshot.Object)
	switch {
	case !ok:
		f.odd(oddity{where: where, kind: gvk.GroupVersion().String() + " " + gvk.Kind})
	case o.GetName() == "":
		f.odd(oddity{where: where, err: fmt.Errorf("a %s has no name", gvk.Kind)})
	default:
		f.object(o, inList)
	}
}
