package world

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/serializer/protobuf"
	"k8s.io/apimachinery/pkg/types"

	"github.com/maek-dev/maek/internal/snapshot"
)

// batch is how many objects are written at once: etcd allows 128 operations in one transaction
// (go.etcd.io/etcd/server/v3/embed, DefaultMaxTxnOps).
const batch = 128

// Store writes a world straight into the etcd of an API server, by the address of etcd's HTTP gateway,
// in the form in which an API server keeps objects. A hundred thousand pods take a minute so, and half
// an hour by way of the API server, which has to be asked twice for each.
func (w *World) Store(ctx context.Context, etcd string) error {
	s := store{url: etcd + "/v3/kv/txn", encoder: protobuf.NewSerializer(snapshot.Scheme, snapshot.Scheme)}
	var failed error
	w.Each(func(o metav1.Object) {
		if failed == nil {
			failed = s.put(ctx, o)
		}
	})
	if failed == nil {
		failed = s.flush(ctx)
	}
	return failed
}

type store struct {
	url     string
	encoder *protobuf.Serializer
	made    int
	puts    []operation
}

// operation and put are of etcd's API (go.etcd.io/etcd/api/v3/etcdserverpb, RequestOp); bytes are in
// base64, as encoding/json writes them.
type operation struct {
	Put put `json:"requestPut"`
}

type put struct {
	Key   []byte `json:"key"`
	Value []byte `json:"value"`
}

func (s *store) put(ctx context.Context, o metav1.Object) error {
	obj, ok := o.(snapshot.Object)
	if !ok {
		return fmt.Errorf("a %T is no object that can be stored", o)
	}
	kind, _ := snapshot.KindOfObject(obj)
	obj.GetObjectKind().SetGroupVersionKind(kind.GroupVersionKind())
	s.made++
	o.SetUID(types.UID(fmt.Sprintf("10000000-0000-0000-0000-%012d", s.made)))
	if _, pod := o.(*corev1.Pod); pod {
		o.SetManagedFields(podWriters)
	}
	var value bytes.Buffer
	if err := s.encoder.Encode(obj, &value); err != nil {
		return fmt.Errorf("encoding %s %s: %w", kind.Kind, o.GetName(), err)
	}
	s.puts = append(s.puts, operation{put{Key: []byte(keyOf(kind, o)), Value: value.Bytes()}})
	if len(s.puts) < batch {
		return nil
	}
	return s.flush(ctx)
}

func (s *store) flush(ctx context.Context) error {
	if len(s.puts) == 0 {
		return nil
	}
	body, err := json.Marshal(map[string]any{"success": s.puts})
	if err != nil {
		return fmt.Errorf("writing a transaction: %w", err)
	}
	s.puts = nil
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, s.url, bytes.NewReader(body))
	if err != nil {
		return fmt.Errorf("asking etcd: %w", err)
	}
	res, err := http.DefaultClient.Do(req)
	if err != nil {
		return fmt.Errorf("asking etcd: %w", err)
	}
	defer res.Body.Close()
	answer, err := io.ReadAll(res.Body)
	if err != nil || res.StatusCode != http.StatusOK {
		return fmt.Errorf("asking etcd: %s: %s: %w", res.Status, answer, err)
	}
	return nil
}

// folders are the kinds that the API server keeps elsewhere than under their name
// (k8s.io/kubernetes/pkg/kubeapiserver, SpecialDefaultResourcePrefixes).
var folders = map[string]string{"Node": "minions", "Service": "services/specs"}

// keyOf is where the API server keeps an object
// (k8s.io/apiserver/pkg/registry/generic/registry, NamespaceKeyFunc).
func keyOf(k snapshot.Kind, o metav1.Object) string {
	folder, ok := folders[k.Kind]
	if !ok {
		folder = k.Resource
	}
	if o.GetNamespace() != "" {
		folder += "/" + o.GetNamespace()
	}
	return "/registry/" + folder + "/" + o.GetName()
}

// podWriters are the entries that an API server keeps about who wrote a pod's fields, which are about as
// long as those of a pod with two containers.
var podWriters = []metav1.ManagedFieldsEntry{
	{Manager: "kube-controller-manager", Operation: metav1.ManagedFieldsOperationUpdate, APIVersion: "v1", FieldsType: "FieldsV1", FieldsV1: &metav1.FieldsV1{Raw: fields(30)}},
	{Manager: "kubelet", Operation: metav1.ManagedFieldsOperationUpdate, APIVersion: "v1", FieldsType: "FieldsV1", Subresource: "status", FieldsV1: &metav1.FieldsV1{Raw: fields(25)}},
}

func fields(n int) []byte {
	var b bytes.Buffer
	b.WriteString(`{"f:spec":{`)
	for i := range n {
		fmt.Fprintf(&b, `"f:aFieldOfThePod%d":{".":{}},`, i)
	}
	b.WriteString(`"f:last":{}}}`)
	return b.Bytes()
}
