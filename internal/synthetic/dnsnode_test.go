package synthetic

import (
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"runtime"
	"sync/atomic"
	"testing"
	"time"

	"github.com/miekg/dns"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/rest"
	clocktesting "k8s.io/utils/clock/testing"
)

// nodeServer answers, as the API server does, for one node of an age, and refuses where it has none.
func nodeServer(t *testing.T, created time.Time) *rest.Config {
	t.Helper()
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", "application/json")
		var answer any = &corev1.Node{
			TypeMeta:   metav1.TypeMeta{APIVersion: "v1", Kind: "Node"},
			ObjectMeta: metav1.ObjectMeta{Name: "w1", CreationTimestamp: metav1.NewTime(created)},
		}
		if r.URL.Path != "/api/v1/nodes/w1" || created.IsZero() {
			w.WriteHeader(http.StatusForbidden)
			answer = &metav1.Status{
				TypeMeta: metav1.TypeMeta{APIVersion: "v1", Kind: "Status"}, Status: metav1.StatusFailure, Code: http.StatusForbidden,
				Reason: metav1.StatusReasonForbidden, Message: `nodes "w1" is forbidden`,
			}
		}
		if err := json.NewEncoder(w).Encode(answer); err != nil {
			t.Error(err)
		}
	}))
	t.Cleanup(server.Close)
	return &rest.Config{Host: server.URL}
}

func TestDNSGivesYoungNodesAnotherChance(t *testing.T) {
	now := time.Date(2026, 3, 10, 12, 0, 0, 0, time.UTC)
	tests := map[string]struct {
		created    time.Time
		grows      bool // the name resolves when the clock has moved on
		wantErrors int
		wantNotes  []string
		wantAsked  bool // the clock was waited for
	}{
		"a young node, on which it works later": {created: now.Add(-time.Minute), grows: true, wantAsked: true},
		"a young node, on which it never works": {created: now.Add(-time.Minute), wantErrors: 1, wantAsked: true},
		"an old node":                           {created: now.Add(-time.Hour), wantErrors: 1},
		"a node that may not be read": {
			wantErrors: 1,
			wantNotes:  []string{"how old the node is could not be read: the check's ServiceAccount may not get nodes in the whole cluster"},
		},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			var grown atomic.Bool
			port := nameServer(t, func(question *dns.Msg, tcp bool) *dns.Msg {
				if tc.grows && grown.Load() {
					return knows(kubernetes, kubernetes+" 5 IN A 10.96.0.1")(question, tcp)
				}
				return says(dns.RcodeServerFailure)(question, tcp)
			})
			clk := clocktesting.NewFakeClock(now)
			e := settings(t, map[string]string{"NODE_NAME": "w1"})
			e.Clock = clk
			var err error
			if e.Client, err = NewClient(nodeServer(t, tc.created)); err != nil {
				t.Fatal(err)
			}
			waited := make(chan struct{})
			go func() {
				defer close(waited)
				for !clk.HasWaiters() {
					if t.Context().Err() != nil {
						return
					}
					runtime.Gosched()
				}
				grown.Store(true)
				clk.Step(youngNode)
			}()
			conf := &dns.ClientConfig{Servers: []string{"127.0.0.1"}, Port: port, Ndots: 5, Timeout: 1, Search: []string{"svc.cluster.local"}}
			got, err := lookup{env: e, table: dnsOptions("kubernetes.default"), conf: conf}.run(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			if len(got.Errors) != tc.wantErrors {
				t.Errorf("errors: %q, want %d", got.Errors, tc.wantErrors)
			}
			match(t, "notes", got.Notes, tc.wantNotes)
			if len(got.Nodes) != 1 || got.Nodes[0].Node != "w1" || got.Nodes[0].OK != (tc.wantErrors == 0) {
				t.Errorf("nodes: %+v", got.Nodes)
			}
			if grown.Load() != tc.wantAsked {
				t.Errorf("the clock was waited for: %v, want %v", grown.Load(), tc.wantAsked)
			}
			if tc.wantAsked {
				<-waited
			}
		})
	}
}
