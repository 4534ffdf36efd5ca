package run

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"k8s.io/apimachinery/pkg/types"
	corev1client "k8s.io/client-go/kubernetes/typed/core/v1"
	"k8s.io/client-go/rest"

	"github.com/maek-dev/maek/api/maek/v1alpha1"
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

func TestTailsAreWholeLines(t *testing.T) {
	t.Parallel()
	line := strings.Repeat("x", 99) + "\n"
	cases := map[string]struct{ text, want string }{
		"short":             {"a\nb", "a\nb"},
		"long":              {strings.Repeat(line, 1000), strings.Repeat(line, v1alpha1.MaxLogTail/100)},
		"a single line":     {strings.Repeat("y", v1alpha1.MaxLogTail+1), strings.Repeat("y", v1alpha1.MaxLogTail)},
		"a character's end": {"é" + strings.Repeat("z", v1alpha1.MaxLogTail-1), strings.Repeat("z", v1alpha1.MaxLogTail-1)},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			if got := tail(tc.text); got != tc.want {
				t.Errorf("%d bytes, want %d: %.40q", len(got), len(tc.want), got)
			}
		})
	}
}
