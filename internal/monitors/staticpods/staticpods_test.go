package staticpods_test

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/maek-dev/maek/internal/monitor"
	"github.com/maek-dev/maek/internal/monitors/staticpods"
)

// now is the clock of the machines in these tests.
func now() time.Time { return time.Date(2026, 11, 21, 20, 0, 0, 0, time.UTC) }

// folder is a machine with the recorded manifests of a control-plane node, and files beside them.
func folder(t *testing.T, files map[string]string) monitor.Host {
	t.Helper()
	root := t.TempDir()
	at := filepath.Join(root, "etc/kubernetes/manifests")
	if err := os.CopyFS(at, os.DirFS("testdata/manifests")); err != nil {
		t.Fatal(err)
	}
	for name, content := range files {
		if err := os.WriteFile(filepath.Join(at, name), []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return monitor.Host{Root: root, Now: now}
}

func look(t *testing.T, host monitor.Host) map[string]string {
	t.Helper()
	m := staticpods.New(host)
	evidence, err := m.Observe(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	out := map[string]string{}
	for _, e := range evidence {
		documented := false
		for _, k := range m.Keys {
			documented = documented || e.Key.Fits(k.Pattern)
		}
		if !documented {
			t.Errorf("key %s is not documented", e.Key)
		}
		if s := e.Key.Segments(); len(s) > 2 {
			out[filepath.Base(s[1])+" "+strings.Join(s[2:], " ")] = e.Value
		}
	}
	return out
}

func TestManifestsOfAControlPlaneNode(t *testing.T) {
	got := look(t, folder(t, nil))
	for key, want := range map[string]string{
		"kube-scheduler.yaml name": "kube-scheduler", "kube-scheduler.yaml namespace": "kube-system", "kube-scheduler.yaml image": "registry.k8s.io/kube-scheduler:v1.36.3",
		"kube-scheduler.yaml argument --leader-elect": "true", "etcd.yaml argument --listen-metrics-urls": "http://127.0.0.1:2381", "kube-scheduler.yaml error": "",
	} {
		if got[key] != want {
			t.Errorf("%s = %q, want %q", key, got[key], want)
		}
	}
}

func TestFilesThatTheKubeletRefuses(t *testing.T) {
	const pod = "apiVersion: v1\nkind: Pod\nmetadata: {name: a}\nspec:\n  containers:\n  - {name: a, image: a}\n"
	tests := map[string]struct{ content, wrong, line, ignored string }{
		"a good pod":               {content: pod},
		"a missing colon":          {content: strings.Replace(pod, "spec:", "spec", 1), wrong: "could not find expected ':'", line: "5"},
		"a word for a truth value": {content: pod + "  hostNetwork: always\n", wrong: "json: cannot unmarshal string into Go struct field PodSpec.spec.hostNetwork of type bool", line: "7"},
		"an unknown field":         {content: pod + "  hostNetworking: true\n", ignored: `json: unknown field "hostNetworking"`},
		"another kind":             {content: strings.Replace(pod, "Pod", "Deployment", 1), wrong: "it is a Deployment of v1, not a Pod of v1"},
		"no name":                  {content: strings.Replace(pod, "{name: a}", "{}", 1), wrong: "metadata.name is missing"},
		"no containers":            {content: "apiVersion: v1\nkind: Pod\nmetadata: {name: a}\n", wrong: "spec.containers is missing"},
		"no image":                 {content: strings.Replace(pod, ", image: a", "", 1), wrong: "spec.containers[0] lacks a name or an image"},
		"an empty file":            {wrong: "it holds no Pod: apiVersion and kind are missing"},
		"binary rubbish":           {content: "\x00\x01\x02", wrong: "control characters are not allowed"},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			got := look(t, folder(t, map[string]string{"a.yaml": tc.content}))
			want := []string{tc.wrong, tc.line, tc.ignored}
			if diff := cmp.Diff(want, []string{got["a.yaml error"], got["a.yaml error-line"], got["a.yaml ignored"]}); diff != "" {
				t.Errorf("(-want +got):\n%s", diff)
			}
		})
	}
}

func TestOnlyWhatTheKubeletReadsIsRead(t *testing.T) {
	host := folder(t, map[string]string{".kube-scheduler.yaml.swp": "\x00", "kube-scheduler.yaml.bak": "bad"})
	if err := os.Mkdir(filepath.Join(host.Root, "etc/kubernetes/manifests/old"), 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink("/nowhere", filepath.Join(host.Root, "etc/kubernetes/manifests/gone.yaml")); err != nil {
		t.Fatal(err)
	}
	got := look(t, host)
	if got["kube-scheduler.yaml.bak error"] == "" {
		t.Error("a copy that the kubelet reads is not read")
	}
	for key := range got {
		if strings.HasPrefix(key, ".") || strings.HasPrefix(key, "old") || strings.HasPrefix(key, "gone") {
			t.Errorf("%s is told of", key)
		}
	}
}

func TestWhatCannotBeReadIsAGap(t *testing.T) {
	host := folder(t, map[string]string{"huge.yaml": strings.Repeat("#", 3<<20)})
	evidence, err := staticpods.New(host).Observe(t.Context())
	if err == nil || !strings.Contains(err.Error(), "huge.yaml") {
		t.Errorf("the gap is %v", err)
	}
	if len(evidence) == 0 {
		t.Error("what could be read does not stand")
	}
}

func TestAWorkerWithoutAFolderSaysNothing(t *testing.T) {
	evidence, err := staticpods.New(monitor.Host{Root: t.TempDir(), Now: now}).Observe(t.Context())
	if err != nil || len(evidence) != 0 {
		t.Errorf("%v, %v", evidence, err)
	}
}
