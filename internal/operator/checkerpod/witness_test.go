package checkerpod

import (
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	corev1client "k8s.io/client-go/kubernetes/typed/core/v1"
	"k8s.io/client-go/rest"
)

func TestWhenANodeIsLost(t *testing.T) {
	t.Parallel()
	with := func(conditions ...corev1.NodeCondition) *corev1.Node {
		return &corev1.Node{Status: corev1.NodeStatus{Conditions: conditions}}
	}
	cases := map[string]struct {
		node *corev1.Node
		want string
	}{
		"it is ready":       {with(corev1.NodeCondition{Type: corev1.NodeReady, Status: corev1.ConditionTrue}), ""},
		"it is gone":        {nil, "there is no such node any more"},
		"it is new":         {with(), "the node has never been ready"},
		"it does not speak": {with(corev1.NodeCondition{Type: corev1.NodeReady, Status: corev1.ConditionUnknown, Reason: "NodeStatusUnknown", Message: "Kubelet stopped posting node status."}), "the node is not ready (NodeStatusUnknown): Kubelet stopped posting node status."},
		"it says so itself": {with(corev1.NodeCondition{Type: corev1.NodeReady, Status: corev1.ConditionFalse}), "the node is not ready (False): "},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			if got := Lost(tc.node); got != tc.want {
				t.Errorf("%q, want %q", got, tc.want)
			}
		})
	}
}

// TestWhatTheAPIServerIsAsked sees that it is asked for one node and one pod's warnings, and no more.
func TestWhatTheAPIServerIsAsked(t *testing.T) {
	t.Parallel()
	answers := map[string]any{
		"/api/v1/nodes?fieldSelector=metadata.name%3Dworker-1&resourceVersion=0": corev1.NodeList{Items: []corev1.Node{{ObjectMeta: metav1.ObjectMeta{Name: "worker-1"}}}},
		"/api/v1/nodes?fieldSelector=metadata.name%3Dworker-2&resourceVersion=0": corev1.NodeList{},
		"/api/v1/namespaces/ns/events?fieldSelector=involvedObject.uid%3Dpod-uid%2Ctype%3DWarning&limit=50": corev1.EventList{
			Items: []corev1.Event{{Reason: "FailedMount"}},
		},
	}
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		answer, ok := answers[r.URL.String()]
		if !ok {
			t.Errorf("it is asked for %s", r.URL)
		}
		w.Header().Set("Content-Type", "application/json")
		_ = json.NewEncoder(w).Encode(answer)
	}))
	t.Cleanup(server.Close)
	core, err := corev1client.NewForConfig(&rest.Config{Host: server.URL, ContentConfig: rest.ContentConfig{ContentType: "application/json"}})
	if err != nil {
		t.Fatal(err)
	}
	witness := APIWitness{Core: core}
	if found, err := witness.Node(t.Context(), "worker-1"); err != nil || found == nil || found.Name != "worker-1" {
		t.Errorf("a node that is there: %v (%v)", found, err)
	}
	if found, err := witness.Node(t.Context(), "worker-2"); err != nil || found != nil {
		t.Errorf("a node that is not there: %v (%v)", found, err)
	}
	pod := &corev1.Pod{ObjectMeta: metav1.ObjectMeta{Namespace: "ns", Name: "dns-1", UID: "pod-uid"}}
	if warnings, err := witness.Warnings(t.Context(), pod); err != nil || len(warnings) != 1 || warnings[0].Reason != "FailedMount" {
		t.Errorf("warnings: %v (%v)", warnings, err)
	}
	server.Close()
	if _, err := witness.Node(t.Context(), "worker-1"); err == nil || !strings.HasPrefix(err.Error(), "reading node worker-1: ") {
		t.Errorf("of a server that is away: %v", err)
	}
}
