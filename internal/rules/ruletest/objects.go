package ruletest

import (
	"bufio"
	"bytes"
	"errors"
	"io"
	"path/filepath"
	"testing"

	"golang.org/x/tools/txtar"
	"k8s.io/apimachinery/pkg/runtime/serializer"
	utilyaml "k8s.io/apimachinery/pkg/util/yaml"

	"github.com/maek-dev/maek/internal/snapshot"
)

// Objects makes a snapshot of the objects of a fixture alone, whatever else it says of its snapshot: all kinds
// were read but Nodes, which fixtures about pods do not have and which must not read as if they were gone. Its
// moment is that of fixtures that name none.
func Objects(t *testing.T, path string) *snapshot.Snapshot {
	t.Helper()
	archive, err := txtar.ParseFile(path)
	if err != nil {
		t.Fatal(err)
	}
	at := defaultMoment
	b := snapshot.NewBuilder(at, snapshot.Source{Name: filepath.Base(path)})
	for gvk := range snapshot.Scheme.AllKnownTypes() {
		if k, ok := snapshot.KindFor(gvk); ok && k.Kind != "Node" {
			b.SetCoverage(k, snapshot.Coverage{State: snapshot.Complete, ReadAt: at})
		}
	}
	decoder := serializer.NewCodecFactory(snapshot.Scheme, serializer.EnableStrict).UniversalDeserializer()
	reader := utilyaml.NewYAMLReader(bufio.NewReader(bytes.NewReader(archive.Files[0].Data)))
	for {
		doc, err := reader.Read()
		if errors.Is(err, io.EOF) {
			return b.Build()
		}
		if err != nil {
			t.Fatal(err)
		}
		object, _, err := decoder.Decode(doc, nil, nil)
		if err != nil {
			t.Fatal(err)
		}
		b.Add(object)
	}
}
