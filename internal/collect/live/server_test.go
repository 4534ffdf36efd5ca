package live

import (
	"context"
	"crypto/tls"
	"encoding/pem"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"net/http/httptest"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"google.golang.org/grpc/test/bufconn"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/runtime/serializer"
	"k8s.io/client-go/rest"

	"github.com/maek-dev/maek/internal/snapshot"
)

// moment is what the API server's clock shows in these tests, and this machine's clock is an hour
// behind it.
var (
	moment      = time.Date(2026, 3, 2, 2, 20, 0, 0, time.UTC)
	localMoment = moment.Add(-time.Hour)
)

func localClock() time.Time { return localMoment }

// apiServer speaks an API server's language over TLS: lists in pages and in protobuf, Status errors,
// /version and /readyz. What it says to a path can be replaced.
type apiServer struct {
	*httptest.Server

	t  *testing.T
	mu sync.Mutex
	// lists are the objects by the path of their list.
	lists map[string][]runtime.Object
	// instead answers for a path; false leaves it to the server.
	instead map[string]func(w http.ResponseWriter, r *http.Request) bool
	// jsonOnly makes the server one that knows no protobuf.
	jsonOnly bool
	// prefix is a path under which a proxy serves the API, such as /k8s/clusters/c-1.
	prefix string
	// dial is nil where the server listens on a port.
	dial func(ctx context.Context, network, address string) (net.Conn, error)
	// asked are the requests that came, path and query.
	asked []string
}

func newAPIServer(t *testing.T) *apiServer {
	t.Helper()
	s := prepared(t)
	s.StartTLS()
	return s
}

// inTime runs a test in a bubble of time, where what hangs is given up at once and what is only slow
// has all the time it needs. The bubble's connections are in memory.
func inTime(t *testing.T, test func(t *testing.T, s *apiServer)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		t.Cleanup(func() { <-time.After(time.Minute) }) // HTTP/2 lingers over connections that it closes
		s := prepared(t)
		_ = s.Listener.Close()
		wire := bufconn.Listen(1 << 20)
		s.Listener = wire
		s.dial = func(ctx context.Context, _, _ string) (net.Conn, error) { return wire.DialContext(ctx) }
		s.StartTLS()
		s.URL = "https://127.0.0.1:6443"
		test(t, s)
	})
}

// prepared is a server that is not started yet.
func prepared(t *testing.T) *apiServer {
	t.Helper()
	s := &apiServer{t: t, lists: map[string][]runtime.Object{}, instead: map[string]func(http.ResponseWriter, *http.Request) bool{}}
	s.say("/version", http.StatusOK, `{"major":"1","minor":"36","gitVersion":"v1.36.3"}`)
	s.say("/readyz", http.StatusOK, "[+]ping ok\n[+]etcd ok\nreadyz check passed\n")
	s.Server = httptest.NewUnstartedServer(http.HandlerFunc(s.serve))
	s.EnableHTTP2 = true
	s.Config.ErrorLog = log.New(io.Discard, "", 0)
	t.Cleanup(s.CloseClientConnections)
	t.Cleanup(s.Close)
	return s
}

func (s *apiServer) config() *rest.Config {
	return &rest.Config{Host: s.URL + s.prefix, Dial: s.dial, TLSClientConfig: rest.TLSClientConfig{CAData: certificatePEM(s.TLS)}}
}

func certificatePEM(c *tls.Config) []byte {
	return pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: c.Certificates[0].Certificate[0]})
}

// say fixes what the server says to a path.
func (s *apiServer) say(path string, status int, body string) {
	s.answer(path, func(w http.ResponseWriter, _ *http.Request) bool {
		w.WriteHeader(status)
		_, _ = w.Write([]byte(body))
		return true
	})
}

// hang answers nothing until the client gives up, and nothing then: a handler that returned would have
// the server say 200 to a client whose connection is not quite closed.
func hang(_ http.ResponseWriter, r *http.Request) bool {
	<-r.Context().Done()
	panic(http.ErrAbortHandler)
}

func (s *apiServer) answer(path string, f func(http.ResponseWriter, *http.Request) bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.instead[path] = f
}

// hold makes the server have objects.
func (s *apiServer) hold(path string, objects ...runtime.Object) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.lists[path] = append(s.lists[path], objects...)
}

func (s *apiServer) requests(path string) []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	var out []string
	for _, a := range s.asked {
		if a == path || strings.HasPrefix(a, path+"?") {
			out = append(out, a)
		}
	}
	return out
}

// all are the requests that came, path and query.
func (s *apiServer) all() []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Clone(s.asked)
}

func (s *apiServer) serve(w http.ResponseWriter, r *http.Request) {
	path, ok := strings.CutPrefix(r.URL.Path, s.prefix)
	if !ok {
		http.NotFound(w, r)
		return
	}
	r.URL.Path = path
	if !harmless(r) {
		s.t.Errorf("%s %s may change something", r.Method, r.URL)
	}
	w.Header().Set("Date", moment.Format(http.TimeFormat))
	s.mu.Lock()
	s.asked = append(s.asked, r.URL.RequestURI())
	instead := s.instead[r.URL.Path]
	objects, held := s.lists[r.URL.Path]
	s.mu.Unlock()
	switch {
	case instead != nil && instead(w, r):
	case held || isList(r.URL.Path):
		s.serveList(w, r, objects)
	default:
		http.NotFound(w, r)
	}
}

func isList(path string) bool {
	_, ok := kindAt(path)
	return ok
}

// kindAt is the kind that a path lists.
func kindAt(path string) (snapshot.Kind, bool) {
	resource := path[strings.LastIndex(path, "/")+1:]
	for gvk := range snapshot.Scheme.AllKnownTypes() {
		k, ok := snapshot.KindFor(gvk)
		if ok && k.Resource == resource && strings.HasPrefix(path, strings.TrimSuffix(listPath(k, ""), resource)) && !strings.HasSuffix(k.Kind, "List") {
			return k, true
		}
	}
	return snapshot.Kind{}, false
}

// serveList serves a page; the continue token is the number of objects that were served.
func (s *apiServer) serveList(w http.ResponseWriter, r *http.Request, objects []runtime.Object) {
	from := 0
	if token := r.URL.Query().Get("continue"); token != "" {
		from, _ = strconv.Atoi(strings.TrimPrefix(token, "inconsistent-"))
	}
	limit, _ := strconv.Atoi(r.URL.Query().Get("limit"))
	if limit == 0 || r.URL.Query().Get("resourceVersion") == "0" {
		limit = len(objects)
	}
	page := objects[min(from, len(objects)):min(from+limit, len(objects))]
	kind, _ := kindAt(r.URL.Path)
	var list runtime.Object
	gvk := schema.GroupVersionKind{Group: kind.Group, Version: kind.Version, Kind: kind.Kind + "List"}
	if strings.Contains(r.Header.Get("Accept"), "as=PartialObjectMetadataList") {
		partial := &metav1.PartialObjectMetadataList{}
		for _, o := range page {
			m, err := meta.Accessor(o)
			if err != nil {
				s.t.Error(err)
				return
			}
			partial.Items = append(partial.Items, *meta.AsPartialObjectMetadata(m))
		}
		list, gvk = partial, metav1.SchemeGroupVersion.WithKind("PartialObjectMetadataList")
	} else {
		list = kind.NewList()
		if err := meta.SetList(list, page); err != nil {
			s.t.Error(err)
			return
		}
	}
	accessor, err := meta.ListAccessor(list)
	if err != nil {
		s.t.Error(err)
		return
	}
	if from+limit < len(objects) {
		accessor.SetContinue(strconv.Itoa(from + limit))
	}
	list.GetObjectKind().SetGroupVersionKind(gvk)
	s.encode(w, r, http.StatusOK, list)
}

// encode writes an object as the client wants it.
func (s *apiServer) encode(w http.ResponseWriter, r *http.Request, status int, obj runtime.Object) {
	if status, ok := obj.(*metav1.Status); ok {
		status.TypeMeta = metav1.TypeMeta{APIVersion: "v1", Kind: "Status"}
	}
	media := runtime.ContentTypeJSON
	if strings.HasPrefix(r.Header.Get("Accept"), runtime.ContentTypeProtobuf) && !s.jsonOnly {
		media = runtime.ContentTypeProtobuf
	}
	infos := serializer.NewCodecFactory(snapshot.Scheme).SupportedMediaTypes()
	i := slices.IndexFunc(infos, func(i runtime.SerializerInfo) bool { return i.MediaType == media })
	w.Header().Set("Content-Type", media)
	w.WriteHeader(status)
	if err := infos[i].Serializer.Encode(obj, w); err != nil {
		s.t.Errorf("encoding %T: %v", obj, err)
	}
}

// fail makes a path answer with a Status, as the API server does.
func (s *apiServer) fail(path string, err *apierrors.StatusError) {
	s.answer(path, func(w http.ResponseWriter, r *http.Request) bool {
		status := err.ErrStatus
		s.encode(w, r, int(status.Code), &status)
		return true
	})
}

func pods(n int) []runtime.Object {
	var out []runtime.Object
	for i := range n {
		out = append(out, &corev1.Pod{
			ObjectMeta: metav1.ObjectMeta{
				Namespace: "shop", Name: fmt.Sprintf("api-%03d", i),
				Annotations:   map[string]string{corev1.LastAppliedConfigAnnotation: "secret"},
				ManagedFields: []metav1.ManagedFieldsEntry{{Manager: "kubelet"}},
			},
			Spec: corev1.PodSpec{
				NodeName:   "w1",
				Containers: []corev1.Container{{Name: "api", Env: []corev1.EnvVar{{Name: "PASSWORD", Value: "secret"}}}},
			},
			Status: corev1.PodStatus{Phase: corev1.PodRunning},
		})
	}
	return out
}

const (
	podsPath       = "/api/v1/pods"
	nodesPath      = "/api/v1/nodes"
	configMapsPath = "/api/v1/configmaps"
	leasesPath     = "/apis/coordination.k8s.io/v1/leases"
)
