package live

import (
	"context"
	"net/http"
	"regexp"
	"slices"
	"strings"
	"testing"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/maek-dev/maek/internal/snapshot"
)

// proxied is the way through the API server to what runs behind it.
var proxied = regexp.MustCompile(`^/api/v1/(?:nodes/[^/]+|namespaces/[^/]+/(?:pods|services)/[^/]+)/proxy(?:/(.*))?$`)

// harmless tells whether a request changes nothing: it reads, asks what somebody may do, or creates on
// trial. Among what GET reaches, a kubelet's configuration, stats and metrics are all that may be asked of it
// through a node's proxy, which can run commands too. Every apiServer of these tests refuses the rest.
func harmless(r *http.Request) bool {
	through := proxied.FindStringSubmatch(r.URL.Path)
	last := r.URL.Path[strings.LastIndex(r.URL.Path, "/")+1:]
	switch {
	case r.Header.Get("Upgrade") != "", last == "exec", last == "attach", last == "portforward":
		return false
	case r.Method == http.MethodGet:
		return through == nil || slices.Contains([]string{"configz", "stats/summary", "metrics/probes", "metrics/cadvisor"}, through[1])
	case r.Method == http.MethodPost && (r.URL.Path == reviewPath || r.URL.Path == ownReviewPath):
		return true
	default:
		return r.Method == http.MethodPost && through == nil && strings.Join(r.URL.Query()["dryRun"], " ") == metav1.DryRunAll
	}
}

func TestWhatIsHarmless(t *testing.T) {
	t.Parallel()
	for request, want := range map[string]bool{
		"GET " + podsPath + "?limit=1":                true,
		"GET " + configzPath:                          true,
		"GET /api/v1/nodes/w1/proxy/run/shop/api/sh":  false,
		"GET " + shopPodsPath + "/api/exec?command=x": false,
		"POST " + reviewPath:                          true,
		"POST " + shopPodsPath + "?dryRun=All":        true,
		"POST " + shopPodsPath:                        false,
		"POST " + shopPodsPath + "?dryRun=":           false,
		"DELETE " + shopPodsPath + "?dryRun=All":      false,
		"PATCH " + nodesPath + "/w1":                  false,
	} {
		method, target, _ := strings.Cut(request, " ")
		r, err := http.NewRequestWithContext(t.Context(), method, target, nil)
		if err != nil {
			t.Fatal(err)
		}
		if got := harmless(r); got != want {
			t.Errorf("%s: harmless %t, want %t", request, got, want)
		}
	}
}

func TestNoQuestionChangesAnything(t *testing.T) {
	t.Parallel()
	s := newAPIServer(t)
	s.hold(podsPath, pods(1)...)
	options := Options{Name: "test", Now: localClock}
	_, c, err := Collect(t.Context(), s.config(), []snapshot.Kind{snapshot.KindOf[*corev1.Pod]()}, options)
	if err != nil {
		t.Fatal(err)
	}
	var questions []snapshot.Question
	for _, kind := range []snapshot.QuestionKind{
		snapshot.ContainerLog, snapshot.KubeletConnection, snapshot.KubeletConfig, snapshot.KubeletStats, snapshot.ObjectCount, snapshot.StoredObject, snapshot.AccessReview,
		snapshot.Dial, snapshot.ConfigMapValue, snapshot.CertificateOf, snapshot.APIServerMetrics,
	} {
		questions = append(questions, snapshot.Question{Kind: kind, Namespace: "shop", Name: "w1", Container: "api", Key: "x", Resource: "pods", Verb: "create"})
	}
	for gvk := range snapshot.Scheme.AllKnownTypes() {
		if k, ok := snapshot.KindFor(gvk); ok {
			questions = append(questions, snapshot.Question{Kind: snapshot.DryRunCreate, Namespace: "shop", Group: k.Group, Resource: k.Resource})
		}
	}
	before := len(s.all())
	c.Answer(t.Context(), questions)
	for range c.Logs(context.WithoutCancel(t.Context()), questions[:1], LogLimits{Lines: 1, Bytes: 1}) {
		continue
	}
	// Each of the eleven kinds but Dial asks something, and trials of a dozen kinds do.
	if asked := s.all()[before:]; len(asked) < 20 {
		t.Errorf("only %d requests came: %v", len(asked), asked)
	}
}
