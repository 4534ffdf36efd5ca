package checker

import (
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	gocmp "github.com/google/go-cmp/cmp"
	"google.golang.org/grpc/test/bufconn"
	corev1 "k8s.io/api/core/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/rest"
	"k8s.io/utils/clock"

	"github.com/maek-dev/maek/internal/kuberhealthy"
	"github.com/maek-dev/maek/internal/synthetic"
)

const runUUID = "9c1f2f3e-8d1b-4a70-9a50-0e4d8e0a5f11"

// catalog has one scenario that does what a test wants.
func catalog(run func(context.Context, synthetic.Environment) (synthetic.Result, error)) *synthetic.Catalog {
	var c synthetic.Catalog
	c.Add(synthetic.Scenario{Name: "sample", Doc: "A sample.", Images: []string{"sample-check"}, Time: time.Minute, Run: run})
	return &c
}

type world struct {
	options  Options
	out, log *bytes.Buffer
}

func newWorld(t *testing.T, environment map[string]string, c *synthetic.Catalog) world {
	t.Helper()
	file := filepath.Join(t.TempDir(), "termination-log")
	if err := os.WriteFile(file, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	var out, log bytes.Buffer
	return world{out: &out, log: &log, options: Options{
		Args: []string{"/maek-checker", "run", "sample"}, Getenv: func(name string) string { return environment[name] },
		Hostname: "checker-pod", Catalog: c, TerminationLog: file, Stdout: &out,
		Config: func() (*rest.Config, error) { return nil, errors.New("not in a cluster") },
		Log:    slog.New(slog.NewTextHandler(&log, nil)), Clock: clock.RealClock{},
	}}
}

func (w world) outcome(t *testing.T) synthetic.Outcome {
	t.Helper()
	text, err := os.ReadFile(w.options.TerminationLog)
	if err != nil {
		t.Fatal(err)
	}
	o, err := synthetic.DecodeOutcome(text)
	if err != nil {
		t.Fatal(err)
	}
	return o
}

func well(context.Context, synthetic.Environment) (synthetic.Result, error) {
	return synthetic.Result{Nodes: []synthetic.NodeResult{{Node: "w1", OK: true}}, Notes: []string{"a note"}}, nil
}

func ill(context.Context, synthetic.Environment) (synthetic.Result, error) {
	return synthetic.Result{Errors: []string{"it does not work", "password=hunter2 is wrong, said run " + runUUID}}, nil
}

func unable(_ context.Context, e synthetic.Environment) (synthetic.Result, error) {
	return synthetic.Result{}, &synthetic.OptionError{Name: "COUNT", Value: e.Getenv("COUNT"), Instead: "a number"}
}

func broken(context.Context, synthetic.Environment) (synthetic.Result, error) { panic("no such thing") }

// in is a deadline by the clock of a bubble of time, which begins with a whole second.
func in(d time.Duration) string { return strconv.FormatInt(time.Now().Add(d).Unix(), 10) } //nolint:forbidigo // the time of the bubble

// serving has somebody wait for reports, over connections in memory, and returns how they are dialled.
func serving(t *testing.T, h http.Handler) dialer {
	t.Helper()
	wire := bufconn.Listen(1 << 20)
	server := &http.Server{Handler: h, ReadHeaderTimeout: time.Minute, ErrorLog: slog.NewLogLogger(slog.DiscardHandler, slog.LevelError)}
	go func() { _ = server.Serve(wire) }() // it ends with the test
	t.Cleanup(func() { _ = server.Close() })
	return func(ctx context.Context, _, _ string) (net.Conn, error) { return wire.DialContext(ctx) }
}

// endpoint is where reports go in these tests: a loopback address, which no proxy is asked for.
const endpoint = "http://127.0.0.1:8080"

func TestRun(t *testing.T) {
	const v2, v3 = "/externalCheckStatus", "/check"
	tests := map[string]struct {
		run func(context.Context, synthetic.Environment) (synthetic.Result, error)
		// path of reports; empty where nobody waits for one.
		path     string
		answers  []int
		deadline time.Duration
		wantCode int
		// wantBody is the last report, and wantPosts how many there were.
		wantBody  string
		wantPosts int
		wantLog   string
		wantOut   string
		wantOK    bool
	}{
		"all is well":            {run: well, wantCode: ExitOK, wantOK: true, wantOut: "sample: OK"},
		"something failed":       {run: ill, wantCode: ExitFailed, wantOut: "  error: it does not work\n"},
		"it could not be tried":  {run: unable, wantCode: ExitUnable, wantOut: "COUNT"},
		"the scenario is broken": {run: broken, wantCode: ExitUnable, wantOut: "the check itself is broken: no such thing"},
		"well, reported to version 2": {
			run: well, path: v2, wantCode: ExitOK, wantOK: true, wantPosts: 1, wantBody: `{"Errors":[],"OK":true}`,
		},
		"well, reported to version 3": {
			run: well, path: v3, wantCode: ExitOK, wantOK: true, wantPosts: 1, wantBody: `{"ok":true}`,
		},
		"failed, reported to version 2: that was the check's work": {
			run: ill, path: v2, wantCode: ExitOK, wantPosts: 1,
			wantBody: `{"Errors":["it does not work","password=[redacted] is wrong, said run [redacted]"],"OK":false}`,
		},
		"failed, reported to version 3": {
			run: ill, path: v3, wantCode: ExitOK, wantPosts: 1,
			wantBody: `{"ok":false,"errors":["it does not work","password=[redacted] is wrong, said run [redacted]"]}`,
		},
		"options that make no sense are reported": {run: unable, path: v3, wantCode: ExitOK, wantPosts: 1, wantBody: `{"ok":false,"errors":["the environment variable COUNT is not set: write a number"]}`},
		"a broken scenario is reported":           {run: broken, path: v3, wantCode: ExitOK, wantPosts: 1, wantBody: `{"ok":false,"errors":["the check itself is broken: no such thing"]}`},
		"an operator that restarts gets it later": {run: well, path: v3, answers: []int{503, 500, 200}, wantCode: ExitOK, wantOK: true, wantPosts: 3},
		"an operator that is busy gets it later":  {run: well, path: v3, answers: []int{429, 200}, wantCode: ExitOK, wantOK: true, wantPosts: 2},
		"400 is no success, and not tried again": {
			run: well, path: v2, answers: []int{400}, wantCode: ExitFailed, wantOK: true, wantPosts: 1, wantLog: "NOT taken",
		},
		"410 is not tried again": {run: ill, path: v3, answers: []int{410}, wantCode: ExitFailed, wantPosts: 1, wantLog: "410 Gone"},
		"a lost answer may have been a success": {
			run: well, path: v3, answers: []int{0, 400}, wantCode: ExitFailed, wantOK: true, wantPosts: 2, wantLog: "an earlier try may have been taken",
		},
		"a report that nobody takes is given up in time": {
			run: well, path: v3, answers: []int{500}, deadline: 7 * time.Second, wantCode: ExitFailed, wantOK: true, wantLog: "NOT taken",
		},
		"the time was over before it began": {
			run: well, path: v3, deadline: -time.Minute, wantCode: ExitOK, wantPosts: 1, wantOut: "the sample check had no time: its pod began at",
		},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				api := kuberhealthy.V2
				if tc.path == v3 {
					api = kuberhealthy.V3
				}
				o := &operator{api: api, answers: tc.answers}
				environment := map[string]string{}
				if tc.path != "" {
					tc.deadline = cmp.Or(tc.deadline, time.Minute)
					environment = map[string]string{"KH_REPORTING_URL": endpoint + tc.path, "KH_RUN_UUID": runUUID, "KH_CHECK_RUN_DEADLINE": in(tc.deadline)}
				}
				w := newWorld(t, environment, catalog(tc.run))
				w.options.dial = serving(t, o)
				if code := Run(t.Context(), w.options); code != tc.wantCode {
					t.Errorf("ended with %d, want %d", code, tc.wantCode)
				}
				if got := w.outcome(t); got.OK != tc.wantOK {
					t.Errorf("the termination message says %+v", got)
				}
				posts := o.got()
				if tc.wantPosts > 0 && len(posts) != tc.wantPosts {
					t.Fatalf("%d reports, want %d", len(posts), tc.wantPosts)
				}
				if tc.wantBody != "" {
					last := posts[len(posts)-1]
					if last.body != tc.wantBody || last.runID != runUUID {
						t.Errorf("reported\n%s\nof %s, want\n%s", last.body, last.runID, tc.wantBody)
					}
				}
				if tc.path != "" && o.greeted != 1 && tc.deadline > 0 {
					t.Errorf("the endpoint was greeted %d times, want once", o.greeted)
				}
				if !strings.Contains(w.log.String(), tc.wantLog) || !strings.Contains(w.out.String(), tc.wantOut) {
					t.Errorf("log:\n%s\noutput:\n%s", w.log, w.out)
				}
				if said := w.log.String() + w.out.String(); strings.Contains(said, "hunter2") || tc.path != "" && strings.Contains(said, runUUID) {
					t.Errorf("a secret is shown:\n%s", said)
				}
			})
		})
	}
}

func TestRunThatDoesNotEndIsReportedInTime(t *testing.T) {
	tests := map[string]struct {
		stop     bool
		deadline time.Duration
		want     string
	}{
		"its time is over":  {deadline: margin + time.Second, want: "Failed to complete sample check in time! Timeout was reached."},
		"its pod is to end": {stop: true, deadline: time.Hour, want: "the sample check was stopped before it was done: its pod was told to end"},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				o := &operator{api: kuberhealthy.V3}
				ctx, stop := context.WithCancel(t.Context())
				defer stop()
				cleaned := false
				w := newWorld(t, map[string]string{"KH_REPORTING_URL": endpoint + "/check", "KH_RUN_UUID": runUUID, "KH_CHECK_RUN_DEADLINE": in(tc.deadline)},
					catalog(func(ctx context.Context, _ synthetic.Environment) (synthetic.Result, error) {
						if tc.stop {
							stop()
						}
						<-ctx.Done()
						// It cleans up until the report is in: that must not wait for it.
						for len(o.got()) == 0 {
							select {
							case <-t.Context().Done():
								return synthetic.Result{}, t.Context().Err()
							case <-time.After(time.Millisecond):
							}
						}
						cleaned = true
						return synthetic.Result{Errors: []string{"pods were still there"}}, nil
					}))
				w.options.dial = serving(t, o)
				if code := Run(ctx, w.options); code != ExitOK {
					t.Errorf("ended with %d, want %d", code, ExitOK)
				}
				if !cleaned {
					t.Error("it did not wait for the scenario to clean up")
				}
				posts := o.got()
				if len(posts) != 1 {
					t.Fatalf("%d reports, want 1", len(posts))
				}
				want := kuberhealthy.Report{Errors: []string{tc.want}}
				if diff := gocmp.Diff(want, posts[0].report); diff != "" {
					t.Error(diff)
				}
				if got := w.outcome(t).Errors; len(got) != 2 || got[0] != tc.want || got[1] != "pods were still there" {
					t.Errorf("the termination message has %q", got)
				}
			})
		})
	}
}

func TestReportingWhatWasGivenWrongly(t *testing.T) {
	tests := map[string]struct {
		environment map[string]string
		wantCode    int
		wantLog     string
		wantNote    string
	}{
		"an address that is none": {map[string]string{"KH_REPORTING_URL": "kuberhealthy/check", "KH_RUN_UUID": runUUID}, ExitFailed, "write an address such as http://kuberhealthy", ""},
		"a run without a name":    {map[string]string{"KH_REPORTING_URL": "http://127.0.0.1/check"}, ExitFailed, "KH_RUN_UUID is not set", ""},
		"a deadline that is none": {map[string]string{"KH_CHECK_RUN_DEADLINE": "10m"}, ExitOK, "", `KH_CHECK_RUN_DEADLINE is "10m": write seconds since 1970`},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t, tc.environment, catalog(well))
			if code := Run(t.Context(), w.options); code != tc.wantCode {
				t.Errorf("ended with %d, want %d", code, tc.wantCode)
			}
			if !strings.Contains(w.log.String(), tc.wantLog) || !strings.Contains(strings.Join(w.outcome(t).Notes, "\n"), tc.wantNote) {
				t.Errorf("log:\n%s\nnotes: %q", w.log, w.outcome(t).Notes)
			}
		})
	}
}

func TestScenariosGetTheirEnvironment(t *testing.T) {
	var got synthetic.Environment
	run := func(_ context.Context, e synthetic.Environment) (synthetic.Result, error) {
		got = e
		return synthetic.Result{}, nil
	}
	w := newWorld(t, map[string]string{
		"KH_POD_NAMESPACE": "checks", "POD_NAMESPACE": "other", "NODE_NAME": "w1", "MAEK_CHECKER_IMAGE": "maek-checker:1",
		"HOSTNAME": "checker-pod", "KH_RUN_UUID": runUUID,
	}, catalog(run))
	Run(t.Context(), w.options)
	if got.Namespace != "checks" || got.Pod != "checker-pod" || got.Node != "w1" || got.Image != "maek-checker:1" {
		t.Errorf("namespace %q, pod %q, node %q, image %q", got.Namespace, got.Pod, got.Node, got.Image)
	}
	if name := got.Getenv("HOSTNAME"); name != "" {
		t.Errorf("the option HOSTNAME is %q, which only the container runtime set", name)
	}
	if len(got.RunID) == 0 || len(got.RunID) > 16 || strings.Contains(runUUID, got.RunID) {
		t.Errorf("run id %q", got.RunID)
	}
	again := newWorld(t, map[string]string{"KH_RUN_UUID": runUUID}, catalog(run))
	first := got.RunID
	Run(t.Context(), again.options)
	if got.RunID != first {
		t.Errorf("a container that is started again for the run calls it %q, and before %q", got.RunID, first)
	}
	if err := got.Client.List(t.Context(), nil); err == nil {
		t.Error("a pod that knows no API server got an answer from one")
	}
}

func TestCommands(t *testing.T) {
	tests := map[string]struct {
		args     []string
		wantCode int
		wantOut  string
	}{
		"by the name of the scenario's image": {[]string{"/app/sample-check"}, ExitOK, "sample: OK"},
		"by the image's name as argument":     {[]string{"/maek-checker", "run", "sample-check"}, ExitOK, "sample: OK"},
		"a list":                              {[]string{"/maek-checker", "list"}, ExitOK, "In place of: sample-check"},
		"help":                                {[]string{"/maek-checker", "--help"}, ExitOK, "usage: maek-checker run NAME"},
		"no such scenario":                    {[]string{"/maek-checker", "run", "sampel"}, ExitMisused, ""},
		"no scenario":                         {[]string{"/maek-checker", "run"}, ExitMisused, "usage:"},
		"nothing":                             {[]string{"/maek-checker"}, ExitMisused, "usage:"},
		"something else":                      {[]string{"/maek-checker", "dance"}, ExitMisused, "usage:"},
		"a port that is none":                 {[]string{"/maek-checker", "serve", "--port", "x"}, ExitMisused, ""},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t, nil, catalog(well))
			w.options.Args = tc.args
			if code := Run(t.Context(), w.options); code != tc.wantCode || !strings.Contains(w.out.String(), tc.wantOut) {
				t.Errorf("ended with %d and said\n%s", code, w.out)
			}
		})
	}
}

func TestOutcomeIsLeftOnlyWhereThereIsAPlace(t *testing.T) {
	w := newWorld(t, nil, catalog(well))
	w.options.TerminationLog = filepath.Join(t.TempDir(), "none")
	if code := Run(t.Context(), w.options); code != ExitOK {
		t.Errorf("ended with %d", code)
	}
	if _, err := os.Stat(w.options.TerminationLog); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("it made the file: %v", err)
	}
}

// What makes pods needs an image, and the checker's own is on a node already.
func TestOwnImageIsReadFromTheOwnPod(t *testing.T) {
	creating := []rbacv1.PolicyRule{{APIGroups: []string{""}, Resources: []string{"pods"}, Verbs: []string{"create"}}}
	tests := map[string]struct {
		access       []rbacv1.PolicyRule
		containers   int
		want         string
		wantRequests int64
	}{
		"a scenario that makes pods":                {creating, 1, "registry.example/maek-checker:1", 1},
		"a pod of several containers is not judged": {creating, 2, "", 1},
		"a scenario that only looks asks nobody":    {nil, 1, "", 0},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			var requests atomic.Int64
			server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				requests.Add(1)
				if r.URL.Path != "/api/v1/namespaces/checks/pods/checker-pod" {
					http.NotFound(w, r)
					return
				}
				pod := corev1.Pod{TypeMeta: metav1.TypeMeta{APIVersion: "v1", Kind: "Pod"}}
				for range tc.containers {
					pod.Spec.Containers = append(pod.Spec.Containers, corev1.Container{Image: "registry.example/maek-checker:1"})
				}
				w.Header().Set("Content-Type", "application/json")
				if err := json.NewEncoder(w).Encode(&pod); err != nil {
					t.Error(err)
				}
			}))
			t.Cleanup(server.Close)
			var got synthetic.Environment
			var c synthetic.Catalog
			c.Add(synthetic.Scenario{Name: "sample", Access: tc.access, Time: time.Minute, Run: func(_ context.Context, e synthetic.Environment) (synthetic.Result, error) {
				got = e
				return synthetic.Result{}, nil
			}})
			w := newWorld(t, map[string]string{"KH_POD_NAMESPACE": "checks"}, &c)
			w.options.Config = func() (*rest.Config, error) { return &rest.Config{Host: server.URL}, nil }
			if code := Run(t.Context(), w.options); code != ExitOK {
				t.Fatalf("ended with %d: %s", code, w.log)
			}
			if got.Image != tc.want || requests.Load() != tc.wantRequests {
				t.Errorf("image %q after %d requests, want %q after %d", got.Image, requests.Load(), tc.want, tc.wantRequests)
			}
		})
	}
}
