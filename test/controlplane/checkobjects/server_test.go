package checkobjects

import (
	"net/http"
	"net/http/httptest"
	"net/url"
	"strconv"
	"sync/atomic"
	"testing"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/util/intstr"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/maek-dev/maek/api/maek/v1alpha1"
)

// target is a server whose answer is chosen while it runs.
type target struct {
	host string
	port int
	// ill makes it answer 503.
	ill atomic.Bool
	// body that it answers with.
	body atomic.Pointer[string]
	// asked counts requests.
	asked atomic.Int64
}

func serve(t *testing.T) *target {
	t.Helper()
	s := &target{}
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		s.asked.Add(1)
		if s.ill.Load() {
			w.WriteHeader(http.StatusServiceUnavailable)
		}
		if body := s.body.Load(); body != nil {
			_, _ = w.Write([]byte(*body)) // the prober reads no further than it wants
		}
	}))
	t.Cleanup(server.Close)
	address, err := url.Parse(server.URL)
	if err != nil {
		t.Fatal(err)
	}
	s.host = address.Hostname()
	if s.port, err = strconv.Atoi(address.Port()); err != nil {
		t.Fatal(err)
	}
	return s
}

// newCheck is a Check of the server that runs every second.
func (s *target) newCheck(namespace, name string) *v1alpha1.Check {
	return &v1alpha1.Check{
		ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: name},
		Spec: v1alpha1.CheckSpec{
			PeriodSeconds: 1,
			CheckAction: v1alpha1.CheckAction{HTTPGet: &corev1.HTTPGetAction{
				Host: s.host, Port: intstr.FromInt(s.port), Path: "/healthz",
			}},
		},
	}
}

func create(t *testing.T, c client.Client, check *v1alpha1.Check) types.NamespacedName {
	t.Helper()
	if err := c.Create(t.Context(), check); err != nil {
		t.Fatal(err)
	}
	return client.ObjectKeyFromObject(check)
}

// change changes a Check.
func change(t *testing.T, c client.Client, name types.NamespacedName, how func(*v1alpha1.Check)) {
	t.Helper()
	var check v1alpha1.Check
	if err := c.Get(t.Context(), name, &check); err != nil {
		t.Fatal(err)
	}
	before := check.DeepCopy()
	how(&check)
	if err := c.Patch(t.Context(), &check, client.MergeFrom(before)); err != nil {
		t.Fatal(err)
	}
}
