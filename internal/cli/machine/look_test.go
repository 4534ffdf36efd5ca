package machine

import (
	"encoding/json"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/rest"

	"github.com/maek-dev/maek/api/maek/v1alpha1"
	"github.com/maek-dev/maek/internal/monitor"
	"github.com/maek-dev/maek/internal/snapshot"
)

var moment = time.Date(2026, 3, 2, 2, 20, 0, 0, time.UTC)

func reportOf(node string, gaps []snapshot.MachineGap, read []string, evidence ...snapshot.MachineEvidence) snapshot.MachineReport {
	r := snapshot.MachineReport{
		TypeMeta: metav1.TypeMeta{APIVersion: snapshot.MachineReportVersion, Kind: "MachineReport"},
		Machine:  node, Node: node, ObservedAt: metav1.NewTime(moment), Evidence: evidence, Gaps: gaps,
	}
	for _, m := range read {
		r.Reads = append(r.Reads, snapshot.MonitorRead{Monitor: m, At: metav1.NewTime(moment)})
	}
	return r
}

func TestMerge(t *testing.T) {
	watched := []monitor.Monitor{
		{Name: "logs", Keys: []monitor.Key{{Pattern: "log/*/count"}}},
		{Name: "units", Keys: []monitor.Key{{Pattern: "unit/*/active-state"}, {Pattern: "unit/*/restarts-10m"}}},
	}
	unit := func(state string) snapshot.MachineEvidence {
		return snapshot.MachineEvidence{Key: "unit/kubelet.service/active-state", Value: state}
	}
	count := func(n string) snapshot.MachineEvidence {
		return snapshot.MachineEvidence{Key: "log/OutOfMemory/count", Value: n}
	}
	restarts := func(n string) snapshot.MachineEvidence {
		return snapshot.MachineEvidence{Key: "unit/kubelet.service/restarts-10m", Value: n}
	}
	since := func(e snapshot.MachineEvidence) snapshot.MachineEvidence {
		e.At = new(metav1.NewTime(moment))
		return e
	}
	mesh := snapshot.MachineEvidence{Key: "mesh/peer/w2/host-tcp", Value: "ok"}
	denied := []snapshot.MachineGap{{Monitor: "units", Reason: "permission denied"}}
	tests := map[string]struct {
		now, kept snapshot.MachineReport
		want      snapshot.MachineReport
	}{
		"what was read now counts, history and the mesh come from the agent": {
			now:  reportOf("w1", nil, []string{"logs", "units"}, count("0"), unit("failed")),
			kept: reportOf("w1", nil, []string{"logs", "mesh", "units"}, count("3"), mesh, unit("active")),
			want: reportOf("w1", nil, []string{"logs", "mesh", "units"}, count("3"), mesh, unit("failed")),
		},
		"what could not be read now comes from the agent": {
			now:  reportOf("w1", denied, []string{"logs"}, count("0")),
			kept: reportOf("w1", nil, []string{"logs", "units"}, count("3"), unit("active")),
			want: reportOf("w1", nil, []string{"logs", "units"}, count("3"), unit("active")),
		},
		"what only time shows comes from the agent, and since when a value is so": {
			now:  reportOf("w1", nil, []string{"units"}, unit("activating"), restarts("0")),
			kept: reportOf("w1", nil, []string{"units"}, since(unit("activating")), restarts("9")),
			want: reportOf("w1", nil, []string{"units"}, since(unit("activating")), restarts("9")),
		},
		"since when another value was so is no matter": {
			now:  reportOf("w1", nil, []string{"units"}, unit("active")),
			kept: reportOf("w1", nil, []string{"units"}, since(unit("activating"))),
			want: reportOf("w1", nil, []string{"units"}, unit("active")),
		},
		"what neither could read is a gap, once": {
			now:  reportOf("w1", denied, []string{"logs"}, count("0")),
			kept: reportOf("w1", denied, []string{"logs"}, count("3")),
			want: reportOf("w1", denied, []string{"logs"}, count("3")),
		},
		"a gap of a monitor that only the agent has is one too": {
			now:  reportOf("w1", nil, []string{"logs", "units"}, count("0"), unit("active")),
			kept: reportOf("w1", []snapshot.MachineGap{{Monitor: "mesh", Reason: "no socket"}}, []string{"logs", "units"}, count("0"), unit("active")),
			want: reportOf("w1", []snapshot.MachineGap{{Monitor: "mesh", Reason: "no socket"}}, []string{"logs", "units"}, count("0"), unit("active")),
		},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			if diff := cmp.Diff(tc.want, merge(tc.now, tc.kept, watched)); diff != "" {
				t.Errorf("merged (-want +got):\n%s", diff)
			}
		})
	}
}

func TestRunning(t *testing.T) {
	sandbox := func(uid, pod, state string) []snapshot.MachineEvidence {
		return []snapshot.MachineEvidence{{Key: snapshot.KeyOf("sandbox", uid, "pod"), Value: pod}, {Key: snapshot.KeyOf("sandbox", uid, "state"), Value: state}}
	}
	var all []snapshot.MachineEvidence
	for _, s := range [][]snapshot.MachineEvidence{sandbox("a", "shop/cart-1", "ready"), sandbox("b", "kube-system/coredns-1", "ready"), sandbox("c", "shop/old", "not-ready")} {
		all = append(all, s...)
	}
	want := []v1alpha1.RunningPods{
		{Namespace: "kube-system", Pods: 1, Names: []string{"coredns-1"}}, {Namespace: "shop", Pods: 1, Names: []string{"cart-1"}},
	}
	if diff := cmp.Diff(want, running(reportOf("w1", nil, []string{"cri"}, all...))); diff != "" {
		t.Errorf("running (-want +got):\n%s", diff)
	}
}

// socket serves below a root as an agent does.
func socket(t *testing.T, handler http.Handler) string {
	t.Helper()
	root := t.TempDir()
	path := filepath.Join(root, monitor.SocketPath)
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		t.Fatal(err)
	}
	l, err := net.Listen("unix", path)
	if err != nil {
		t.Fatal(err)
	}
	server := httptest.NewUnstartedServer(handler)
	server.Listener = l
	server.Start()
	t.Cleanup(server.Close)
	return root
}

func TestTheAgentBehindItsSocket(t *testing.T) {
	var asked []string
	mux := http.NewServeMux()
	encode := func(w http.ResponseWriter, v any) {
		if err := json.NewEncoder(w).Encode(v); err != nil {
			t.Error(err)
		}
	}
	own, other := reportOf("w1", nil, []string{"units"}), reportOf("w2", nil, []string{"units"})
	mux.HandleFunc(monitor.ReportPath, func(w http.ResponseWriter, _ *http.Request) { encode(w, own) })
	mux.HandleFunc(monitor.ReportsPath, func(w http.ResponseWriter, r *http.Request) {
		asked = r.URL.Query()["keys"]
		for _, m := range []monitor.Relayed{{Node: "w1", Report: &own}, {Node: "w2", Report: &other}, {Node: "w3", Error: "connection timed out"}} {
			encode(w, m)
		}
	})
	a := agentAt(socket(t, mux))
	got, err := a.own(t.Context())
	if err != nil || got.Node != "w1" {
		t.Errorf("own report of %q, %v", got.Node, err)
	}
	others, silent, err := a.others(t.Context(), "w1", []snapshot.EvidenceKey{"unit/*/active-state"})
	if err != nil || len(others) != 1 || others[0].Node != "w2" {
		t.Errorf("others %v, %v", others, err)
	}
	if diff := cmp.Diff(map[string]string{"w3": "connection timed out"}, silent); diff != "" {
		t.Errorf("silent (-want +got):\n%s", diff)
	}
	if diff := cmp.Diff([]string{"unit/*/active-state"}, asked); diff != "" {
		t.Errorf("keys (-want +got):\n%s", diff)
	}
}

func TestAnAgentThatIsNoGood(t *testing.T) {
	old := reportOf("w1", nil, nil)
	old.APIVersion = "maek.dev/agent/v0"
	tests := map[string]struct {
		root string
		want string
	}{
		"none runs here":           {t.TempDir(), "no agent runs here"},
		"it is of another age":     {socket(t, http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { _ = json.NewEncoder(w).Encode(old) })), `reading the report of the agent here: its agent speaks "maek.dev/agent/v0", and this program "maek.dev/agent/v1"`},
		"it answers with an error": {socket(t, http.NotFoundHandler()), "asking the agent here: it answers 404 Not Found"},
		"it breaks off":            {socket(t, http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { _, _ = w.Write([]byte(`{"apiVersion":"maek`)) })), "reading the report of the agent here: unexpected EOF"},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			if _, err := agentAt(tc.root).own(t.Context()); err == nil || err.Error() != tc.want {
				t.Errorf("error %v, want %s", err, tc.want)
			}
		})
	}
}

func TestAskAPIServer(t *testing.T) {
	up := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusForbidden) }))
	t.Cleanup(up.Close)
	ill := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusInternalServerError) }))
	t.Cleanup(ill.Close)
	down := httptest.NewServer(nil)
	down.Close()
	if got := ask(t.Context(), &rest.Config{Host: up.URL}); !got.Answers || got.Message != "" {
		t.Errorf("one that refuses answers all the same: %+v", got)
	}
	if got := ask(t.Context(), &rest.Config{Host: ill.URL}); !got.Answers || got.Message != "500 Internal Server Error" {
		t.Errorf("one that is not ready: %+v", got)
	}
	if got := ask(t.Context(), &rest.Config{Host: down.URL}); got.Answers || got.Message != "connection refused" {
		t.Errorf("one that is down: %+v", got)
	}
}

func TestHashesOfEtcdAreMadeForWhoAsks(t *testing.T) {
	etcdOf := func(hash bool) monitor.Monitor {
		watched := here{}.watched(t.TempDir(), func() time.Time { return moment }, hash)
		i := slices.IndexFunc(watched, func(m monitor.Monitor) bool { return m.Name == "etcd" })
		return watched[i]
	}
	if usual, asked := etcdOf(false).Timeout, etcdOf(true).Timeout; usual > lookTime || asked < time.Minute {
		t.Errorf("etcd is given %s, and %s for hashes; want less than %s, and time for databases of GiB", usual, asked, lookTime)
	}
}
