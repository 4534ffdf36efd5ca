package addon

import (
	"bytes"
	"errors"
	"io"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/serializer/json"
	utilyaml "k8s.io/apimachinery/pkg/util/yaml"
	"k8s.io/client-go/kubernetes/scheme"
	apiregistrationv1 "k8s.io/kube-aggregator/pkg/apis/apiregistration/v1"

	"github.com/maek-dev/maek/lab/internal/image"
	"github.com/maek-dev/maek/lab/internal/sharedvolume"
)

// decode reads a manifest into upstream's types and refuses fields that they do
// not have.
func decode(t *testing.T, manifest []byte) []runtime.Object {
	t.Helper()
	types := runtime.NewScheme()
	if err := errors.Join(scheme.AddToScheme(types), apiregistrationv1.AddToScheme(types)); err != nil {
		t.Fatal(err)
	}
	strict := json.NewSerializerWithOptions(json.DefaultMetaFactory, types, types, json.SerializerOptions{Yaml: true, Strict: true})
	var objects []runtime.Object
	for documents := utilyaml.NewDocumentDecoder(io.NopCloser(bytes.NewReader(manifest))); ; {
		document := make([]byte, len(manifest))
		n, err := documents.Read(document)
		if errors.Is(err, io.EOF) {
			return objects
		}
		if err != nil {
			t.Fatal(err)
		}
		object, _, err := strict.Decode(document[:n], nil, nil)
		if err != nil {
			t.Fatalf("%v, in\n%s", err, document[:n])
		}
		objects = append(objects, object)
	}
}

func TestEveryManifestIsOfUpstreamsTypesOnly(t *testing.T) {
	for _, addon := range All() {
		t.Run(addon.Name, func(t *testing.T) {
			if objects := decode(t, addon.Manifest); len(objects) < 5 {
				t.Errorf("there are %d objects only", len(objects))
			}
		})
	}
}

func TestStrictDecodingFindsAMisspelledField(t *testing.T) {
	types := runtime.NewScheme()
	if err := scheme.AddToScheme(types); err != nil {
		t.Fatal(err)
	}
	strict := json.NewSerializerWithOptions(json.DefaultMetaFactory, types, types, json.SerializerOptions{Yaml: true, Strict: true})
	misspelled := strings.Replace(string(shop), "minAvailable", "minAvailible", 1)
	var failed bool
	for document := range strings.SplitSeq(misspelled, "\n---\n") {
		if _, _, err := strict.Decode([]byte(document), nil, nil); err != nil {
			failed = true
		}
	}
	if !failed {
		t.Error("the misspelled field was accepted")
	}
}

// images returns the images that a manifest names.
func images(t *testing.T, manifest []byte) []string {
	t.Helper()
	var found []string
	for line := range strings.Lines(string(manifest)) {
		if _, reference, ok := strings.Cut(line, "image: "); ok {
			found = append(found, strings.TrimSpace(reference))
		}
	}
	return found
}

// built says of every program that it has been built.
type built struct{}

func (built) Path(program string) (string, error) { return "/programs/" + program, nil }

func TestEveryImageIsServedByTheLabsRegistry(t *testing.T) {
	specs, err := image.Registry(built{})
	if err != nil {
		t.Fatal(err)
	}
	var served []string
	for _, spec := range specs {
		served = append(served, spec.Reference)
	}
	for _, addon := range All() {
		used := images(t, addon.Manifest)
		if len(used) == 0 {
			t.Errorf("%s has no image", addon.Name)
		}
		for _, reference := range used {
			if !slices.Contains(served, reference) {
				t.Errorf("%s uses %s, which the registry does not serve", addon.Name, reference)
			}
		}
	}
}

func TestWorkloadsAreWhatHasToBeRolledOut(t *testing.T) {
	got := map[string][]Workload{}
	for _, addon := range All() {
		workloads, err := addon.Workloads()
		if err != nil {
			t.Fatal(err)
		}
		got[addon.Name] = workloads
	}
	want := map[string][]Workload{
		"shared-storage": {{"Deployment", "lab-system", "provisioner"}},
		"metrics-server": {{"Deployment", "kube-system", "metrics-server"}},
		"shop":           {{"Deployment", "shop", "front"}, {"Deployment", "shop", "api"}, {"StatefulSet", "shop", "db"}},
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("-want +got:\n%s", diff)
	}
}

func TestTheStorageClassNamesTheProvisioner(t *testing.T) {
	if !bytes.Contains(sharedStorage, []byte("provisioner: "+sharedvolume.Name+"\n")) {
		t.Errorf("the StorageClass does not name %s", sharedvolume.Name)
	}
}

func TestALocalVolumeIsBoundToItsNode(t *testing.T) {
	manifest, err := LocalVolume("data-w1", "w1", "/srv/local", resource.MustParse("64Mi"))
	if err != nil {
		t.Fatal(err)
	}
	objects := decode(t, manifest)
	if len(objects) != 2 {
		t.Fatalf("there are %d objects, want 2:\n%s", len(objects), manifest)
	}
	volume, ok := objects[1].(*corev1.PersistentVolume)
	if !ok {
		t.Fatalf("the second object is a %T", objects[1])
	}
	terms := volume.Spec.NodeAffinity.Required.NodeSelectorTerms
	if diff := cmp.Diff([]string{"w1"}, terms[0].MatchExpressions[0].Values); diff != "" {
		t.Errorf("nodes, -want +got:\n%s", diff)
	}
}
