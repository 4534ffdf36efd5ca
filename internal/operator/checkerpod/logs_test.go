package checkerpod

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"k8s.io/apimachinery/pkg/types"
	corev1client "k8s.io/client-go/kubernetes/typed/core/v1"
	"k8s.io/client-go/rest"
)

func TestTheEndOfALog(t *testing.T) {
	t.Parallel()
	long := strings.Repeat("a line of a checker\n", 100_000)
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		q := r.URL.Query()
		switch {
		case r.URL.Path != "/api/v1/namespaces/ns/pods/dns-1/log" || q.Get("tailLines") != "500":
			http.NotFound(w, r)
		case q.Get("container") == "long":
			_, _ = fmt.Fprint(w, long, "the end")
		case q.Get("container") == "short":
			_, _ = fmt.Fprint(w, "one line")
		case q.Get("container") == "broken":
			w.Header().Set("Content-Length", "100")
			_, _ = fmt.Fprint(w, "half a li")
		default:
			w.WriteHeader(http.StatusBadRequest)
		}
	}))
	t.Cleanup(server.Close)
	pods, err := corev1client.NewForConfig(&rest.Config{Host: server.URL})
	if err != nil {
		t.Fatal(err)
	}
	cases := map[string]struct {
		want   string
		failed bool
	}{
		"long":    {(long + "the end")[len(long)+7-1000:], false},
		"short":   {"one line", false},
		"broken":  {"half a li", true},
		"waiting": {"", true},
	}
	for container, tc := range cases {
		t.Run(container, func(t *testing.T) {
			t.Parallel()
			got, err := PodLogs{Pods: pods}.Tail(t.Context(), types.NamespacedName{Namespace: "ns", Name: "dns-1"}, container, 1000)
			if string(got) != tc.want || (err != nil) != tc.failed {
				t.Errorf("%d bytes, %q (%v); want %d bytes", len(got), got, err, len(tc.want))
			}
		})
	}
}
