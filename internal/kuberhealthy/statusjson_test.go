package kuberhealthy_test

import (
	"encoding/json"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"k8s.io/apimachinery/pkg/types"

	"github.com/maek-dev/maek/internal/kuberhealthy"
)

var (
	noon   = time.Date(2026, 11, 21, 12, 0, 0, 0, time.UTC)
	master = kuberhealthy.Standing{Master: "kuberhealthy-7d9f-abcde", Leading: true, Able: true}
)

// entry is a check that ended well two minutes ago after 22.5s and runs every ten.
func entry(api kuberhealthy.API, kind, name string, change ...func(*kuberhealthy.Entry)) kuberhealthy.Entry {
	namespace, name, _ := strings.Cut(name, "/")
	ended := noon.Add(-2 * time.Minute)
	started := ended.Add(-22500 * time.Millisecond)
	e := kuberhealthy.Entry{
		Check: kuberhealthy.Check{
			API: api, Kind: kind, NamespacedName: types.NamespacedName{Namespace: namespace, Name: name},
			UID: types.UID(api) + types.UID(name), Interval: 10 * time.Minute, Timeout: 5 * time.Minute,
		},
		State: kuberhealthy.State{
			Run:   kuberhealthy.Run{ID: "token-of-" + name, Started: started},
			Ended: true, EndedAt: ended, OK: true, Duration: 22500 * time.Millisecond, Node: "worker-1", Writer: master.Master,
			LastOK: ended,
		},
		Next: started.Add(10 * time.Minute),
	}
	if api == kuberhealthy.V3 {
		e.State.Successes = 41
	}
	for _, c := range change {
		c(&e)
	}
	return e
}

func v2(name string, change ...func(*kuberhealthy.Entry)) kuberhealthy.Entry {
	return entry(kuberhealthy.V2, "KuberhealthyCheck", name, change...)
}

func v3(name string, change ...func(*kuberhealthy.Entry)) kuberhealthy.Entry {
	return entry(kuberhealthy.V3, "HealthCheck", name, change...)
}

func job(name string, change ...func(*kuberhealthy.Entry)) kuberhealthy.Entry {
	return entry(kuberhealthy.V2, "KuberhealthyJob", name, append(change, once)...)
}

func once(e *kuberhealthy.Entry) {
	e.Check.Once, e.Check.Interval, e.Next = true, 0, time.Time{}
}

func failed(errors ...string) func(*kuberhealthy.Entry) {
	return func(e *kuberhealthy.Entry) {
		e.State.OK, e.State.Errors = false, errors
		e.State.LastFailure, e.State.LastOK = e.State.EndedAt, noon.Add(-time.Hour)
		if e.Check.API == kuberhealthy.V3 {
			e.State.Failures, e.State.ConsecutiveFailures = 6, 2
		}
	}
}

func running(e *kuberhealthy.Entry) {
	e.State.Running, e.Pod = true, e.Check.Name+"-1795262400"
	e.State.Run.Started = noon.Add(-10 * time.Second)
	e.Next = e.State.Run.Started.Add(e.Check.Interval)
}

func neverRun(e *kuberhealthy.Entry) { e.State = kuberhealthy.State{}; e.Next = noon }

func stale(e *kuberhealthy.Entry) {
	back := -26 * time.Minute
	e.State.EndedAt, e.State.Run.Started = e.State.EndedAt.Add(back), e.State.Run.Started.Add(back)
	e.State.LastOK, e.Next = e.State.LastOK.Add(back), e.Next.Add(back)
}

func labelled(labels map[string]string) func(*kuberhealthy.Entry) {
	return func(e *kuberhealthy.Entry) { e.Check.Labels = labels }
}

// everything is a cluster in which all happens that documents and metrics have a word for.
func everything() kuberhealthy.Status {
	return kuberhealthy.Status{
		Entries: []kuberhealthy.Entry{
			v3("team-b/smoke"), v3("team-a/smoke", failed("the door is shut")),
			v3("kuberhealthy/dns", running, labelled(map[string]string{"kuberhealthy.io/severity": "critical", "kuberhealthy.io/category": "network"})),
			v3("kuberhealthy/new", neverRun), v3("kuberhealthy/quiet", stale),
			v3("kuberhealthy/migrate", once),
			v2("kuberhealthy/daemonset"),
			v2("kuberhealthy/deployment", failed("Check execution error: kuberhealthy/deployment: timed out waiting for checker pod to report in"), func(e *kuberhealthy.Entry) { e.State.Duration = 0 }),
			v2("kuberhealthy/dns-status-internal", running, failed("no answer\nfrom \"10.96.0.10\" \\ <none>", "second | error", " ")),
			v2("kuberhealthy/new", neverRun), v2("team-a/quiet", stale, failed("was ill before")),
			job("team-a/import", failed("exit code 1")), job("team-a/export"), job("team-a/later", neverRun, running),
		},
		Standing: master, Metadata: map[string]string{"cluster": "seoul-1"}, Now: noon,
	}
}

func TestDocuments(t *testing.T) {
	healthy := kuberhealthy.Status{
		Entries: []kuberhealthy.Entry{v2("kuberhealthy/daemonset"), v3("kuberhealthy/dns")}, Standing: master, Now: noon,
	}
	beside := healthy
	beside.Standing = kuberhealthy.Standing{Master: master.Master, Able: true, Notes: []string{"another operator runs the checks"}}
	for name, status := range map[string]kuberhealthy.Status{
		"everything":           everything(),
		"one of two namesakes": everything().For([]string{"team-a"}),
		"no such namespace":    everything().For([]string{"team-z"}),
		"empty":                {Standing: master, Now: noon},
		"healthy":              healthy,
		"beside another":       beside,
	} {
		for version, render := range map[string]func(kuberhealthy.Status) ([]byte, error){
			"v2": kuberhealthy.Status.DocumentV2, "v3": kuberhealthy.Status.DocumentV3,
		} {
			t.Run(version+" of "+name, func(t *testing.T) {
				got, err := render(status)
				if err != nil {
					t.Fatal(err)
				}
				golden(t, filepath.Join("testdata/documents", strings.ReplaceAll(name, " ", "-")+"."+version+".json"), string(got))
			})
		}
	}
}

// TestDocumentsAgree holds that whichever address somebody looks at, OK is of all checks.
func TestDocumentsAgree(t *testing.T) {
	for name, entries := range map[string][]kuberhealthy.Entry{
		"a HealthCheck fails":                 {v2("a/x"), v3("a/y", failed("no"))},
		"a KuberhealthyCheck fails":           {v2("a/x", failed("no")), v3("a/y")},
		"a job fails":                         {job("a/x", failed("no")), v3("a/y")},
		"a KuberhealthyCheck has gone silent": {v2("a/x", stale), v3("a/y")},
		"a HealthCheck has gone silent":       {v2("a/x"), v3("a/y", stale)},
		"a HealthCheck has never run":         {v2("a/x"), v3("a/y", neverRun)},
		"a check failed without an error":     {v2("a/x", failed()), v3("a/y")},
		"a check failed with a blank error":   {v2("a/x", failed(" ")), v3("a/y")},
		"all is well":                         {v2("a/x"), v3("a/y"), v2("a/z", neverRun)},
	} {
		t.Run(name, func(t *testing.T) {
			status := kuberhealthy.Status{Entries: entries, Now: noon}
			want := name == "all is well"
			for _, render := range []func() ([]byte, error){status.DocumentV2, status.DocumentV3} {
				text, err := render()
				if err != nil {
					t.Fatal(err)
				}
				var document struct {
					OK     bool
					Errors []string
				}
				if err := json.Unmarshal(text, &document); err != nil {
					t.Fatal(err)
				}
				if document.OK != want || (len(document.Errors) == 0) != want {
					t.Errorf("OK is %v with errors %q", document.OK, document.Errors)
				}
			}
			if state := value(t, status, "kuberhealthy_cluster_state"); (state == 1) != want {
				t.Errorf("kuberhealthy_cluster_state is %v", state)
			}
		})
	}
}

func TestNoTokenIsTold(t *testing.T) {
	const token = "6f1d8f0e-3c57-4c43-9a53-2b7b5a4a9e10"
	leak := func(e *kuberhealthy.Entry) {
		e.State.Run.ID = token
		e.State.OK, e.State.Errors = false, []string{"reporting as " + token + " failed", "Authorization: Bearer abcdef0123456789abcdef"}
	}
	status := kuberhealthy.Status{
		Entries: []kuberhealthy.Entry{
			v2("a/w", leak), v2("a/x", running, leak), v3("a/y", running, leak), v3("a/z", leak), job("a/j", leak),
		},
		Now: noon,
	}
	for name, text := range map[string]string{
		"v2": printed(t, status.DocumentV2), "v3": printed(t, status.DocumentV3),
		"metrics": exposed(t, status, kuberhealthy.MetricLabels{}),
	} {
		for _, secret := range []string{token, "abcdef0123456789abcdef"} {
			if strings.Contains(text, secret) {
				t.Errorf("%s tells %s:\n%s", name, secret, text)
			}
		}
		if !strings.Contains(text, "reporting as ") {
			t.Errorf("%s does not tell the error", name)
		}
	}
}

func TestOrderOfEntriesDoesNotMatter(t *testing.T) {
	status := everything()
	before := printed(t, status.DocumentV2) + printed(t, status.DocumentV3) + exposed(t, status, kuberhealthy.MetricLabels{})
	slices.Reverse(status.Entries)
	after := printed(t, status.DocumentV2) + printed(t, status.DocumentV3) + exposed(t, status, kuberhealthy.MetricLabels{})
	if diff := cmp.Diff(before, after); diff != "" {
		t.Error(diff)
	}
}

func printed(t *testing.T, render func() ([]byte, error)) string {
	t.Helper()
	text, err := render()
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

func golden(t *testing.T, path, got string) {
	t.Helper()
	if *update {
		if err := os.WriteFile(path, []byte(got), 0o600); err != nil {
			t.Fatal(err)
		}
		return
	}
	want, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(string(want), got); diff != "" {
		t.Errorf("%s (-want +got):\n%s", path, diff)
	}
}
