package etcd_test

import (
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/maek-dev/maek/internal/monitor"
	"github.com/maek-dev/maek/internal/monitors/etcd"
	"github.com/maek-dev/maek/internal/snapshot"
)

// old serves what a member with the second API answered.
func old(t *testing.T, without ...string) *httptest.Server {
	t.Helper()
	var server *httptest.Server
	mux := http.NewServeMux()
	for path, file := range map[string]string{
		"/v2/members": "members", "/v2/stats/self": "stats-self", "/version": "version", "/health": "health",
	} {
		data, err := os.ReadFile(filepath.Join("testdata", "v2", file+".json"))
		if err != nil {
			t.Fatal(err)
		}
		if len(without) > 0 && without[0] == path {
			continue
		}
		mux.HandleFunc(path, func(w http.ResponseWriter, _ *http.Request) {
			// The member stood at another port when it was recorded.
			_, _ = w.Write([]byte(strings.ReplaceAll(string(data), "http://127.0.0.1:22379", server.URL)))
		})
	}
	server = httptest.NewServer(mux)
	t.Cleanup(server.Close)
	return server
}

func TestV2(t *testing.T) {
	server := old(t)
	api := etcd.V2{URL: server.URL, HTTP: server.Client()}
	members, err := api.Members(t.Context())
	if diff := cmp.Diff([]etcd.V2Member{{ID: "9e737febb6b99eee", Name: "old", PeerURLs: []string{"http://127.0.0.1:22380"}, ClientURLs: []string{server.URL}}}, members); err != nil || diff != "" {
		t.Errorf("Members: %v (-want +got):\n%s", err, diff)
	}
	if healthy, err := api.Healthy(t.Context()); err != nil || !healthy {
		t.Errorf("Healthy = %v, %v; want true", healthy, err)
	}
}

func TestMemberThatKnowsTheSecondAPIAlone(t *testing.T) {
	for name, tc := range map[string]struct {
		without    string
		wantAnswer string
	}{
		"etcd 2":            {wantAnswer: "yes"},
		"a web server":      {without: "/v2/members", wantAnswer: "error"},
		"one that is cut":   {without: "/v2/stats/self", wantAnswer: "error"},
		"without a version": {without: "/version", wantAnswer: "error"},
	} {
		t.Run(name, func(t *testing.T) {
			server := old(t, tc.without)
			root := t.TempDir()
			for _, folder := range []string{"etc/default", "proc"} {
				if err := os.MkdirAll(filepath.Join(root, folder), 0o700); err != nil {
					t.Fatal(err)
				}
			}
			settings := "ETCD_NAME=old\nETCD_LISTEN_CLIENT_URLS=" + server.URL + "\nETCD_INITIAL_CLUSTER=old=http://127.0.0.1:22380\n"
			if err := os.WriteFile(filepath.Join(root, "etc/default/etcd"), []byte(settings), 0o600); err != nil {
				t.Fatal(err)
			}
			now := func() time.Time { return time.Date(2026, 3, 2, 2, 0, 0, 0, time.UTC) }
			evidence, err := etcd.New(monitor.Host{Root: root, Node: "m1", Now: now}).Observe(t.Context())
			if tc.wantAnswer == "yes" && err == nil {
				t.Error("Observe names no gap, want one for the metrics that are not there")
			}
			got := map[snapshot.EvidenceKey]string{}
			for _, e := range evidence {
				got[e.Key] = e.Value
			}
			if got["etcd/local/answer"] != tc.wantAnswer {
				t.Fatalf("answer = %s in %v, want %s", got["etcd/local/answer"], got, tc.wantAnswer)
			}
			if tc.wantAnswer != "yes" {
				return
			}
			for what, want := range map[string]string{"name": "old", "leader": "9e737febb6b99eee", "version": "3.4.23", "quorum-read": "yes"} {
				if v := got[snapshot.KeyOf("etcd", "member", "9e737febb6b99eee", what)]; v != want {
					t.Errorf("%s = %q, want %q", what, v, want)
				}
			}
		})
	}
}
