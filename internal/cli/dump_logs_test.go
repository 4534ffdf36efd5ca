package cli

import (
	"context"
	"fmt"
	"io/fs"
	"maps"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/maek-dev/maek/internal/cli/exit"
)

// talkative is a cluster whose containers have logs.
type talkative struct {
	*apiServer

	// logs by pod/container or pod/container/previous; others do not exist.
	logs map[string]string
	// refuses is a pod whose kubelet refuses connections.
	refuses string
	// ask, where not nil, is called before a log is answered.
	ask func()

	mu    sync.Mutex
	asked map[string]bool
}

func (s *talkative) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if !strings.HasSuffix(r.URL.Path, "/log") {
		s.apiServer.ServeHTTP(w, r)
		return
	}
	pod := strings.Split(r.URL.Path, "/")[6]
	name := pod + "/" + r.URL.Query().Get("container")
	if r.URL.Query().Get("previous") == "true" {
		name += "/previous"
	}
	s.mu.Lock()
	s.asked[name] = true
	s.mu.Unlock()
	if s.ask != nil {
		s.ask()
	}
	text, ok := s.logs[name]
	switch {
	case pod == s.refuses:
		status(w, http.StatusInternalServerError, metav1.StatusReasonUnknown, `Get "https://10.0.0.9:10250/": dial tcp 10.0.0.9:10250: connect: connection refused`)
	case !ok:
		status(w, http.StatusBadRequest, metav1.StatusReasonBadRequest, "previous terminated container not found")
	default:
		_, _ = w.Write([]byte(text))
	}
}

func (s *talkative) start(t *testing.T) (kubeconfigPath string) {
	t.Helper()
	server := httptest.NewServer(s)
	t.Cleanup(server.Close)
	return kubeconfig(t, server.URL)
}

// sickCluster has a pod in every state that makes a difference to what is taken.
func sickCluster() *talkative {
	running := corev1.ContainerState{Running: &corev1.ContainerStateRunning{}}
	waiting := corev1.ContainerState{Waiting: &corev1.ContainerStateWaiting{Reason: "CrashLoopBackOff"}}
	ended := func(code int32, ago time.Duration) corev1.ContainerState {
		return corev1.ContainerState{Terminated: &corev1.ContainerStateTerminated{ExitCode: code, FinishedAt: metav1.NewTime(moment.Add(-ago))}}
	}
	states := map[string]corev1.ContainerStatus{
		"well":        {State: running, Ready: true},
		"recovered":   {State: running, Ready: true, RestartCount: 3, LastTerminationState: ended(1, 5*hour)},
		"restarted":   {State: running, Ready: true, RestartCount: 1, LastTerminationState: ended(137, hour/2)},
		"looping":     {State: waiting, RestartCount: 9, LastTerminationState: ended(1, hour)},
		"unready":     {State: running},
		"failed":      {State: ended(2, 9*hour)},
		"done":        {State: ended(0, hour/2)},
		"not-begun":   {State: corev1.ContainerState{Waiting: &corev1.ContainerStateWaiting{Reason: "ContainerCreating"}}},
		"unreachable": {State: running},
	}
	s := &talkative{apiServer: cluster(map[string]bool{"cp1": true}), logs: map[string]string{}, refuses: "unreachable", asked: map[string]bool{}}
	pods := corev1.PodList{TypeMeta: metav1.TypeMeta{APIVersion: "v1", Kind: "PodList"}}
	for name, c := range states {
		c.Name = "app"
		pods.Items = append(pods.Items, corev1.Pod{
			ObjectMeta: metav1.ObjectMeta{Namespace: "shop", Name: name},
			Spec:       corev1.PodSpec{NodeName: "cp1", Containers: []corev1.Container{{Name: "app"}}},
			Status:     corev1.PodStatus{Phase: corev1.PodRunning, ContainerStatuses: []corev1.ContainerStatus{c}},
		})
		s.logs[name+"/app"] = "current of " + name + "\n"
		s.logs[name+"/app/previous"] = "previous of " + name + "\n"
	}
	// Five pods of one ReplicaSet that fail alike.
	for i := range 5 {
		name := fmt.Sprintf("alike-%d", i)
		pods.Items = append(pods.Items, corev1.Pod{
			ObjectMeta: metav1.ObjectMeta{Namespace: "shop", Name: name, OwnerReferences: []metav1.OwnerReference{{Kind: "ReplicaSet", Name: "alike", Controller: new(true)}}},
			Status:     corev1.PodStatus{Phase: corev1.PodRunning, ContainerStatuses: []corev1.ContainerStatus{{Name: "app", State: running}}},
		})
		s.logs[name+"/app"] = "current of " + name + "\n"
	}
	s.lists["/api/v1/pods"] = pods
	return s
}

// logFiles are the logs in a folder written by dump, with their texts.
func logFiles(t *testing.T, dir string) map[string]string {
	t.Helper()
	out := map[string]string{}
	root := filepath.Join(dir, "logs", "shop")
	err := filepath.WalkDir(root, func(name string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		relative, err := filepath.Rel(root, name)
		out[filepath.ToSlash(relative)] = read(t, name)
		return err
	})
	if err != nil && !os.IsNotExist(err) {
		t.Fatal(err)
	}
	return out
}

func TestDumpTakesTheLogsThatAreAskedFor(t *testing.T) {
	sick := []string{
		"alike-0/app.log", "alike-1/app.log", "alike-2/app.log", "failed/app.log", "looping/app.log", "looping/app.previous.log",
		"restarted/app.log", "restarted/app.previous.log", "unready/app.log",
	}
	all := append([]string{
		"alike-3/app.log", "alike-4/app.log", "done/app.log", "recovered/app.log", "recovered/app.previous.log", "well/app.log",
	}, sick...)
	slices.Sort(all)
	tests := map[string]struct {
		args []string
		want []string
	}{
		"by default those of sick containers": {nil, sick},
		"of sick containers":                  {[]string{"--logs", "sick"}, sick},
		"of all containers":                   {[]string{"--logs", "all"}, all},
		"of none":                             {[]string{"--logs", "none"}, nil},
		"of none where only lists are read":   {[]string{"--passive"}, nil},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			dir := filepath.Join(t.TempDir(), "x")
			config := sickCluster().start(t)
			got := run(t, t.Context(), append([]string{"dump", "--kubeconfig", config, "-o", dir}, tc.args...)...)
			if got.code != exit.OK {
				t.Fatalf("exit code %d, %s", got.code, got.errOut)
			}
			files := logFiles(t, dir)
			if diff := cmp.Diff(tc.want, slices.Sorted(maps.Keys(files))); diff != "" {
				t.Errorf("logs (-want +got):\n%s", diff)
			}
			missing := strings.Contains(read(t, filepath.Join(dir, "MANIFEST.json")), "logs/shop/unreachable/app.log could not be read: Get")
			if want := len(tc.want) > 0; missing != want {
				t.Errorf("the manifest tells of the log that is missing: %t, want %t", missing, want)
			}
		})
	}
}

func TestLogsInADumpAreBoundedAndClean(t *testing.T) {
	s := sickCluster()
	var long strings.Builder
	for i := range 1000 {
		fmt.Fprintf(&long, "line %d\n", i)
	}
	s.logs["unready/app"] = long.String() + "postgres://app:hunter2@db/shop \xff\n"
	config := s.start(t)
	dir := filepath.Join(t.TempDir(), "x")
	if got := run(t, t.Context(), "dump", "--kubeconfig", config, "-o", dir, "--log-lines", "3"); got.code != exit.OK {
		t.Fatalf("exit code %d, %s", got.code, got.errOut)
	}
	want := "line 998\nline 999\npostgres://app:[redacted]@db/shop \uFFFD\n"
	if diff := cmp.Diff(want, logFiles(t, dir)["unready/app.log"]); diff != "" {
		t.Errorf("the log (-want +got):\n%s", diff)
	}

	small := filepath.Join(t.TempDir(), "y")
	if got := run(t, t.Context(), "dump", "--kubeconfig", config, "-o", small, "--log-total", "100"); got.code != exit.OK {
		t.Fatalf("exit code %d, %s", got.code, got.errOut)
	}
	total := 0
	for _, text := range logFiles(t, small) {
		total += len(text) - 1
	}
	if total > 100 || total == 0 || !strings.Contains(read(t, filepath.Join(small, "MANIFEST.json")), "--log-total 100 was reached") {
		t.Errorf("%d bytes of logs, want at most 100, and the manifest to say so", total)
	}
}

// The log that a rule asked for is what the diagnosis saw; the longer one beside it must not change it.
func TestADumpWithLogsIsDiagnosedAsTheClusterWas(t *testing.T) {
	s := sickCluster()
	pods, ok := s.lists["/api/v1/pods"].(corev1.PodList)
	if !ok {
		t.Fatal("there are no pods")
	}
	for i := range pods.Items {
		if pods.Items[i].Name == "failed" {
			pods.Items[i].Status.Phase = corev1.PodFailed
		}
	}
	s.lists["/api/v1/pods"] = pods
	var long strings.Builder
	for i := range 100 {
		fmt.Fprintf(&long, "line %d\n", i)
	}
	s.logs["failed/app"] = long.String()
	config := s.start(t)
	fresh := run(t, t.Context(), "--kubeconfig", config, "-o", "json")
	for _, name := range []string{"x", "x.tar.gz"} {
		path := filepath.Join(t.TempDir(), name)
		if got := run(t, t.Context(), "dump", "--kubeconfig", config, "-o", path); got.code != exit.OK {
			t.Fatalf("exit code %d, %s", got.code, got.errOut)
		}
		if name == "x" {
			if got := strings.Count(logFiles(t, path)["failed/app.log"], "\n"); got != 100 {
				t.Errorf("the log has %d lines, want all 100", got)
			}
		}
		replayed := run(t, t.Context(), "--from", path, "-o", "json")
		if diff := cmp.Diff(incidents(t, fresh.out), incidents(t, replayed.out)); diff != "" || !strings.Contains(replayed.out, "line 99") {
			t.Errorf("%s: the replayed incidents differ (-live +replayed):\n%s", name, diff)
		}
	}
}

func TestADumpThatIsInterruptedIsWholeAllTheSame(t *testing.T) {
	s := sickCluster()
	ctx, interrupt := context.WithCancel(t.Context())
	s.ask = interrupt
	dir := t.TempDir()
	path := filepath.Join(dir, "x")
	got := run(t, ctx, "dump", "--kubeconfig", s.start(t), "-o", path)
	if got.code != exit.OK {
		t.Errorf("exit code %d, %s", got.code, got.errOut)
	}
	if !strings.Contains(read(t, filepath.Join(path, "MANIFEST.json")), "could not be read: ") {
		t.Error("the manifest does not say which logs are missing")
	}
	if entries, err := os.ReadDir(dir); err != nil || len(entries) != 1 {
		t.Errorf("beside the bundle there is %v, error %v", entries, err)
	}
	if replayed := run(t, t.Context(), "--from", path); replayed.code != exit.OK {
		t.Errorf("replay: exit code %d\n%s%s", replayed.code, replayed.out, replayed.errOut)
	}
}

func TestMisuseOfLogs(t *testing.T) {
	for name, tc := range map[string]struct {
		args []string
		want string
	}{
		"an unknown choice":    {[]string{"--logs", "some"}, `--logs "some" is no choice; write none, sick or all`},
		"nothing of a log":     {[]string{"--log-lines", "0"}, "leave nothing of a log"},
		"no quantity":          {[]string{"--log-bytes", "much"}, "--log-bytes"},
		"logs out of a bundle": {[]string{"--logs", "all", "--from", "x"}, "--logs all needs a cluster, and --from is a bundle"},
	} {
		t.Run(name, func(t *testing.T) {
			got := run(t, t.Context(), append([]string{"dump", "-o", filepath.Join(t.TempDir(), "x")}, tc.args...)...)
			if got.code != exit.Usage || !strings.Contains(got.errOut, tc.want) {
				t.Errorf("exit code %d, %q, want %q", got.code, got.errOut, tc.want)
			}
		})
	}
}
