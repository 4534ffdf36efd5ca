package bundle

import (
	"bytes"
	"io/fs"
	"testing"
	"testing/fstest"
	"unicode/utf8"

	"k8s.io/apimachinery/pkg/runtime/schema"

	"github.com/maek-dev/maek/internal/collect"
	"github.com/maek-dev/maek/internal/snapshot"
)

func FuzzObjectFile(f *testing.F) {
	for _, seed := range []string{
		list(podItem, otherItem), typedList("Node", `{"metadata":{"name":"w1"}}`), podItem + nodeItem,
		"apiVersion: v1\nkind: Pod\nmetadata:\n  name: a\n---\n- b\n---\n", "---\n---\n{a: [", "\xef\xbb\xbf{", `{"items":{}}`, `{"items":[],"items":[{}]}`,
		list(widgetItem, definition), "[" + widgetItem + "]", `{"kind":"WidgetList","apiVersion":"example.com/v1","items":[{"metadata":{"name":"a"},"status":{"conditions":[7]}}]}`,
		`{"kind":"ListOptionsList","apiVersion":"v1","items":[{"metadata":{"name":"x"}}]}`,
	} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		file := &objectFile{
			object: func(o snapshot.Object, _ bool) {
				if o.GetName() == "" {
					t.Error("an object without a name was taken in")
				}
			},
			custom: func(r *snapshot.CustomResource, _ bool) {
				if r.Name == "" || r.Kind.Kind == "" || r.Kind.Group == "" {
					t.Errorf("a custom resource was taken in as %+v", r)
				}
			},
			arrays: true,
			list:   func(schema.GroupVersionKind, bool) {},
			odd: func(o oddity) {
				if o.where == "" || (o.kind == "" && o.err == nil) {
					t.Errorf("an oddity says nothing: %+v", o)
				}
			},
		}
		_ = file.read(bytes.NewReader(data))
	})
}

// Whatever lies in a bundle, it is read or refused, and what is read can be written and read again.
func FuzzBundle(f *testing.F) {
	f.Add("nodes.json", []byte(list(nodeItem)))
	f.Add("MANIFEST.json", []byte(`{"apiVersion":"maek.dev/bundle/v1","kind":"BundleManifest","kinds":[{"version":"v1","kind":"Pod","objects":-1}]}`))
	f.Add("MANIFEST.json", []byte(`{"apiVersion":"maek.dev/bundle/v1","kind":"BundleManifest","answers":[{"kind":"ContainerLog","name":"a","answer":{"file":"logs/x"}}]}`))
	f.Add("machines/w1/report.json", []byte(`{"apiVersion":"maek.dev/agent/v1","machine":"w1"}`))
	f.Add("cluster-resources/pods/a.json", []byte(typedList("Pod")))
	f.Add("cluster-resources/pods-errors.json", []byte(`["no"]`))
	f.Add("cluster-resources/custom-resources/widgets.example.com/shop.json", []byte("["+widgetItem+"]"))
	f.Add("custom/example.com/widgets.json", []byte(list(widgetItem)))
	f.Add("MANIFEST.json", []byte(`{"apiVersion":"maek.dev/bundle/v1","kind":"BundleManifest","customKinds":[{"group":"example.com","version":"v1","kind":"Widget","resource":"widgets","objects":1}]}`))
	f.Add("namespaces/shop/core/pods.yaml", []byte("apiVersion: v1\nkind: PodList\nitems: [{metadata: {name: a, namespace: shop}}]\n"))
	f.Add("cluster-scoped-resources/core/nodes/w1.yaml", []byte(nodeItem))
	f.Fuzz(func(t *testing.T, name string, data []byte) {
		if !fs.ValidPath(name) || name == "." {
			return
		}
		fsys := fstest.MapFS{name: &fstest.MapFile{Data: data}}
		b, err := OpenFS(t.Context(), fsys, ".")
		if err != nil {
			return
		}
		for _, g := range b.Gaps() {
			if g.Reason.EN == "" || g.Reason.KO == "" {
				t.Errorf("a gap says nothing: %+v", g)
			}
		}
		for _, q := range b.Snapshot().Asked() {
			if a, _ := b.Snapshot().Answer(q); len(a.Text) > collect.LogBytes || !utf8.ValidString(a.Text) {
				t.Errorf("answer %q", a.Text)
			}
		}
	})
}

func FuzzArchive(f *testing.F) {
	f.Add([]byte("\x1f\x8b\x08"))
	f.Fuzz(func(t *testing.T, data []byte) {
		_, _ = OpenFS(t.Context(), fstest.MapFS{"x.tar": &fstest.MapFile{Data: data}}, "x.tar")
	})
}

func FuzzDumpedLogs(f *testing.F) {
	q := snapshot.Question{Kind: snapshot.ContainerLog, Namespace: "shop", Name: "api-0", Container: "api"}
	f.Add([]byte(dumpMark("START", q) + "\none\n" + dumpMark("END", q) + "\n"))
	f.Add([]byte(dumpMark("START", q) + "\n" + dumpMark("START", q)))
	f.Fuzz(func(t *testing.T, data []byte) {
		for _, text := range dumpedLogs(bytes.NewReader(data), []snapshot.Question{q}) {
			if !utf8.ValidString(text) || len(text) > collect.LogBytes {
				t.Errorf("%q", text)
			}
		}
	})
}

// A path says what a file is for without ever being opened.
func FuzzLayout(f *testing.F) {
	for _, name := range []string{
		"MANIFEST.json", "machines/w1/report.json", "a/shop/pods.json", "cluster-resources/custom-resources/x.json", "cluster-resources/pods/a.yaml",
		"namespaces/a/b/c.yaml", "cluster-scoped-resources/core/nodes/x.yaml", "logs/a/b/c.log", "/", "..", "namespaces",
	} {
		f.Add(name)
	}
	f.Fuzz(func(t *testing.T, name string) {
		p := placeOf(name)
		var l layout
		l.saw(p)
		if p.role == roleOther && p.gathered != "" {
			t.Errorf("%q: %+v", name, p)
		}
		_, _ = kindNamed(name)
		wantedLogs{"a/b": nil}.match(name)
	})
}
