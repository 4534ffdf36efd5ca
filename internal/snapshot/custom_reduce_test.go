package snapshot

import (
	"encoding/json"
	"testing"

	"github.com/google/go-cmp/cmp"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	utiljson "k8s.io/apimachinery/pkg/util/json"

	"github.com/maek-dev/maek/api/maek/v1alpha1"
)

var routeKind = Kind{Group: "gateway.networking.k8s.io", Version: "v1", Kind: "HTTPRoute", Resource: "httproutes"}

func object(t *testing.T, text string) *unstructured.Unstructured {
	t.Helper()
	u := &unstructured.Unstructured{}
	if err := utiljson.Unmarshal([]byte(text), &u.Object); err != nil {
		t.Fatal(err)
	}
	return u
}

func TestACustomResourceIsReducedToWhatItsControllersSay(t *testing.T) {
	got, err := ReduceCustom(routeKind, object(t, `{
		"metadata":{"name":"web","namespace":"shop","generation":4,"annotations":{"a":"hunter2"},"managedFields":[{"manager":"kubectl","fieldsV1":{}}]},
		"spec":{"password":"hunter2"},
		"status":{"observedGeneration":3,"token":"hunter2","conditions":[{"type":"Ready","status":"False","reason":"No"},7,{"status":"True"}],
			"parents":[{"controllerName":"example.com/c","parentRef":{"name":"front"},"conditions":[{"type":"Accepted","status":"True"}]},"x"]}}`))
	if err != nil {
		t.Fatal(err)
	}
	want := &CustomResource{
		Kind: routeKind, ObservedGeneration: new(int64(3)),
		ObjectMeta: metav1.ObjectMeta{Namespace: "shop", Name: "web", Generation: 4, ManagedFields: []metav1.ManagedFieldsEntry{{Manager: "kubectl"}}},
		Conditions: []metav1.Condition{{Type: "Ready", Status: metav1.ConditionFalse, Reason: "No"}},
		Parents: []ParentStatus{{
			Controller: "example.com/c", Parent: v1alpha1.Subject{Kind: "Gateway", Namespace: "shop", Name: "front"},
			Conditions: []metav1.Condition{{Type: "Accepted", Status: metav1.ConditionTrue}},
		}},
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

func TestWhatIsNoObjectIsNotReduced(t *testing.T) {
	for name, text := range map[string]string{
		"no metadata": `{}`, "no name": `{"metadata":{"namespace":"a"}}`, "metadata of another shape": `{"metadata":[1]}`, "a name of another shape": `{"metadata":{"name":7}}`,
	} {
		t.Run(name, func(t *testing.T) {
			if r, err := ReduceCustom(routeKind, object(t, text)); err == nil {
				t.Errorf("it became %+v", r)
			}
		})
	}
}

func FuzzReduceCustom(f *testing.F) {
	for _, seed := range []string{
		`{"metadata":{"name":"a","creationTimestamp":"x"}}`, `{"metadata":{"name":"a"},"status":7}`, `{"metadata":{"name":"a"},"status":{"conditions":{},"parents":[{"conditions":1,"parentRef":[]}]}}`,
		`{"metadata":{"name":"a","annotations":{"a":1}},"status":{"observedGeneration":"4"}}`, `{"metadata":null}`,
	} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		u := &unstructured.Unstructured{}
		if utiljson.Unmarshal(data, &u.Object) != nil {
			return
		}
		r, err := ReduceCustom(routeKind, u)
		if err != nil {
			return
		}
		if r.Name == "" {
			t.Error("it has no name")
		}
		if _, err := json.Marshal(r); err != nil {
			t.Errorf("it cannot be written: %v", err)
		}
	})
}
