package cli

import (
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// apiServer answers what a diagnosis asks, over HTTP, as far as these tests need it.
type apiServer struct {
	// lists by path, such as /api/v1/nodes.
	lists map[string]any
	// forbidden paths.
	forbidden map[string]bool
	// hold, where not nil, is called before pods are listed.
	hold func(*http.Request)
}

func (s *apiServer) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	w.Header().Set("Date", moment.Format(http.TimeFormat))
	switch {
	case r.URL.Path == "/version":
		reply(w, http.StatusOK, map[string]string{"gitVersion": "v1.36.3"})
	case r.URL.Path == "/readyz":
		w.WriteHeader(http.StatusOK)
		_, _ = w.Write([]byte("[+]ping ok\n[+]etcd ok\nreadyz check passed\n"))
	case s.forbidden[r.URL.Path]:
		status(w, http.StatusForbidden, metav1.StatusReasonForbidden, "nodes is forbidden: User \"kim\" cannot list resource \"nodes\" in API group \"\" at the cluster scope")
	case strings.HasSuffix(r.URL.Path, "/log"):
		w.WriteHeader(http.StatusOK)
		_, _ = w.Write([]byte("listening\nno such table: orders\n"))
	case s.lists[r.URL.Path] != nil:
		if s.hold != nil && r.URL.Path == "/api/v1/pods" {
			s.hold(r)
		}
		reply(w, http.StatusOK, s.lists[r.URL.Path])
	default:
		status(w, http.StatusNotFound, metav1.StatusReasonNotFound, "the server could not find the requested resource")
	}
}

func reply(w http.ResponseWriter, code int, body any) {
	data, err := json.Marshal(body)
	if err != nil {
		http.Error(w, err.Error(), http.StatusInternalServerError)
		return
	}
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(code)
	// A client that has gone away is no failure of the server's.
	_, _ = w.Write(data)
}

func status(w http.ResponseWriter, code int, reason metav1.StatusReason, message string) {
	reply(w, code, metav1.Status{
		TypeMeta: metav1.TypeMeta{APIVersion: "v1", Kind: "Status"},
		Status:   metav1.StatusFailure, Code: int32(code), Reason: reason, Message: message,
	})
}

// cluster makes an API server with nodes, which are ready or not, and with pods on w1 that failed.
func cluster(nodes map[string]bool, failed ...string) *apiServer {
	typeOf := func(kind string) metav1.TypeMeta { return metav1.TypeMeta{APIVersion: "v1", Kind: kind} }
	nodeList := corev1.NodeList{TypeMeta: typeOf("NodeList")}
	for name, ready := range nodes {
		condition := corev1.NodeCondition{Type: corev1.NodeReady, Status: corev1.ConditionTrue, LastTransitionTime: metav1.NewTime(moment.Add(-hour))}
		if !ready {
			condition.Status = corev1.ConditionUnknown
		}
		nodeList.Items = append(nodeList.Items, corev1.Node{
			ObjectMeta: metav1.ObjectMeta{Name: name}, Status: corev1.NodeStatus{Conditions: []corev1.NodeCondition{condition}},
		})
	}
	podList := corev1.PodList{TypeMeta: typeOf("PodList")}
	for _, name := range failed {
		podList.Items = append(podList.Items, corev1.Pod{
			ObjectMeta: metav1.ObjectMeta{Namespace: "shop", Name: name, Labels: map[string]string{"app": strings.TrimRight(name, "-0123456789")}},
			Spec:       corev1.PodSpec{NodeName: "w1", Containers: []corev1.Container{{Name: "app"}}},
			Status:     corev1.PodStatus{Phase: corev1.PodFailed},
		})
	}
	namespaces := corev1.NamespaceList{TypeMeta: typeOf("NamespaceList"), Items: []corev1.Namespace{
		{ObjectMeta: metav1.ObjectMeta{Name: "shop"}}, {ObjectMeta: metav1.ObjectMeta{Name: "web"}},
	}}
	return &apiServer{lists: map[string]any{"/api/v1/nodes": nodeList, "/api/v1/pods": podList, "/api/v1/namespaces": namespaces}}
}

// serve starts an API server and returns the path of a kubeconfig whose context "prod" leads there.
func serve(t *testing.T, s http.Handler) string {
	t.Helper()
	server := httptest.NewServer(s)
	t.Cleanup(server.Close)
	return kubeconfig(t, server.URL)
}

func kubeconfig(t *testing.T, server string) string {
	t.Helper()
	return file(t, "config", `apiVersion: v1
kind: Config
current-context: prod
clusters:
- name: c
  cluster: {server: "`+server+`"}
users:
- name: kim
  user: {token: secret}
contexts:
- name: prod
  context: {cluster: c, user: kim}
- name: staging
  context: {cluster: gone, user: kim}
`)
}

// file writes a file for one test and returns its path.
func file(t *testing.T, name, content string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), name)
	if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}
