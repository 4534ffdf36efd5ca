package cli

import (
	"bytes"
	"context"
	"flag"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"

	"github.com/maek-dev/maek/api/maek/v1alpha1"
	"github.com/maek-dev/maek/internal/cli/exit"
	"github.com/maek-dev/maek/internal/cli/invocation"
	"github.com/maek-dev/maek/internal/finding"
	"github.com/maek-dev/maek/internal/rule"
	"github.com/maek-dev/maek/internal/rules"
	"github.com/maek-dev/maek/internal/snapshot"
)

var update = flag.Bool("update", false, "write what is printed into the goldens")

const hour = time.Hour

// moment is what the fake API server's clock shows, and this machine's.
var moment = time.Date(2026, 3, 2, 2, 20, 0, 0, time.UTC)

// testRules are few and simple, so that these tests are about the command line and not about what
// the real rules say.
func testRules() []rule.Rule {
	var catalog rule.Catalog
	catalog.Add(rule.Rule{
		Code: "NodeGone", Severity: finding.Critical, Link: "https://kubernetes.io/docs/concepts/architecture/nodes/",
		Title: finding.Text{EN: "A node is gone", KO: "노드가 응답하지 않습니다"},
		Doc:   finding.Text{EN: "Nobody hears from the node.\n\nA node that is drained is left alone.", KO: "노드에서 소식이 없습니다."},
		Needs: []rule.Need{rule.Whole[*corev1.Node](), rule.Optional[*corev1.Namespace]()},
		Detect: func(p *rule.Pass) {
			for _, n := range snapshot.List[*corev1.Node](p.Snapshot) {
				ready := snapshot.NodeCondition(n, corev1.NodeReady)
				if ready != nil && ready.Status == corev1.ConditionUnknown {
					p.Report(finding.Finding{
						Subject: snapshot.SubjectOf(n), Mechanism: v1alpha1.MechanismUnreachable, Since: ready.LastTransitionTime.Time,
						Title: finding.Textf("node %s is gone", "노드 %s이(가) 응답하지 않습니다", n.Name),
						Why:   finding.Textf("its Ready condition is Unknown", "Ready condition이 Unknown입니다"),
					})
				}
			}
		},
	})
	catalog.Add(rule.Rule{
		Code: "PodFailed", Severity: finding.Warning, Link: "https://kubernetes.io/docs/concepts/workloads/pods/pod-lifecycle/",
		Title:  finding.Text{EN: "A pod failed", KO: "Pod가 실패했습니다"},
		Doc:    finding.Text{EN: "A pod failed.", KO: "Pod가 실패했습니다."},
		Needs:  []rule.Need{rule.Any[*corev1.Pod]()},
		Causes: []rule.Cause{{Code: "NodeGone", Via: rule.RunsOn}},
		Detect: func(p *rule.Pass) {
			for _, pod := range snapshot.List[*corev1.Pod](p.Snapshot) {
				if pod.Status.Phase != corev1.PodFailed {
					continue
				}
				log, _ := p.Ask(snapshot.Question{Kind: snapshot.ContainerLog, Namespace: pod.Namespace, Name: pod.Name, Container: "app"})
				p.Report(finding.Finding{
					Subject: snapshot.SubjectOf(pod), Mechanism: v1alpha1.MechanismCrashing,
					Title: finding.Textf("%s/%s failed", "%s/%s이(가) 실패했습니다", pod.Namespace, pod.Name),
					Why:   finding.Textf("it said: %q", "마지막 로그: %q", log.Text),
				})
			}
		},
	})
	catalog.Add(rule.Rule{
		Code: "SpareMissing", Severity: finding.Info, Risk: true, Link: "https://kubernetes.io/docs/concepts/architecture/nodes/",
		Title: finding.Text{EN: "A node is irreplaceable", KO: "대체할 수 없는 노드"},
		Doc:   finding.Text{EN: "Nothing stands in for the node.", KO: "노드를 대신할 것이 없습니다."},
		Needs: []rule.Need{rule.Whole[*corev1.Node]()},
		Detect: func(p *rule.Pass) {
			for _, n := range snapshot.List[*corev1.Node](p.Snapshot) {
				if n.Name == "cp1" {
					p.Report(finding.Finding{
						Subject: snapshot.SubjectOf(n), Mechanism: v1alpha1.MechanismDegraded,
						Title: finding.Textf("nothing stands in for node %s", "노드 %s를 대신할 것이 없습니다", n.Name),
						Why:   finding.Textf("there is one", "하나뿐입니다"),
					})
				}
			}
		},
	})
	return catalog.Rules()
}

// outcome of one run.
type outcome struct {
	code        exit.Code
	out, errOut string
}

// run carries out a command line in a world of its own.
func run(t *testing.T, ctx context.Context, args ...string) outcome { //nolint:revive // in tests t comes first, as t.Helper wants it
	t.Helper()
	return runIn(t, ctx, nil, args...)
}

func runIn(t *testing.T, ctx context.Context, change func(*invocation.Invocation), args ...string) outcome { //nolint:revive // in tests t comes first, as t.Helper wants it
	t.Helper()
	// Nothing of whoever runs the tests may show in them.
	t.Setenv("KUBECONFIG", filepath.Join(t.TempDir(), "none"))
	t.Setenv("KUBERNETES_SERVICE_HOST", "")
	var out, errOut bytes.Buffer
	inv := &invocation.Invocation{
		Out: &out, ErrOut: &errOut, Program: "kubectl maek", Version: "v0.1.0",
		Now: func() time.Time { return moment }, Getenv: func(string) string { return "" }, Location: time.UTC,
	}
	if change != nil {
		change(inv)
	}
	code := Run(ctx, inv, testRules(), args)
	return outcome{code, out.String(), errOut.String()}
}

// golden compares all that was printed.
func golden(t *testing.T, name, got string) {
	t.Helper()
	path := filepath.Join("testdata", name)
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
		t.Errorf("%s (-want +got):\n%s", name, diff)
	}
}

func TestDiagnose(t *testing.T) {
	healthy := map[string]bool{"cp1": true, "w1": true}
	broken := map[string]bool{"cp1": true, "w1": false}
	cases := map[string]struct {
		cluster *apiServer
		args    []string
		want    exit.Code
		golden  string
	}{
		"a healthy cluster":                                                {cluster(healthy), nil, exit.OK, "healthy.txt"},
		"an incident with what it explains":                                {cluster(broken, "cart-1"), nil, exit.Incidents, "critical.txt"},
		"the command by its name says the same":                            {cluster(broken, "cart-1"), []string{"diagnose"}, exit.Incidents, "critical.txt"},
		"in Korean":                                                        {cluster(broken, "cart-1"), []string{"--lang", "ko"}, exit.Incidents, "critical.ko.txt"},
		"a warning fails by default":                                       {cluster(healthy, "cart-1"), nil, exit.Incidents, "warning.txt"},
		"a warning does not fail on critical":                              {cluster(healthy, "cart-1"), []string{"--fail-on", "critical"}, exit.OK, "warning.txt"},
		"passive asks for no log":                                          {cluster(healthy, "cart-1"), []string{"--passive"}, exit.Incidents, "passive.txt"},
		"a namespace that is touched":                                      {cluster(broken, "cart-1"), []string{"-n", "shop"}, exit.Incidents, "namespace-touched.txt"},
		"a namespace that is not touched":                                  {cluster(broken, "cart-1"), []string{"-n", "web"}, exit.OK, "namespace-other.txt"},
		"all namespaces win over one":                                      {cluster(broken, "cart-1"), []string{"-n", "web", "-A"}, exit.Incidents, "critical.txt"},
		"nodes that may not be listed":                                     {forbidding(cluster(healthy), "/api/v1/nodes"), nil, exit.Unknown, "forbidden.txt"},
		"an incident counts before what could not be looked at":            {forbidding(cluster(healthy, "cart-1"), "/api/v1/nodes"), nil, exit.Incidents, "forbidden-warning.txt"},
		"a warning below --fail-on does not hide that too little was seen": {forbidding(cluster(healthy, "cart-1"), "/api/v1/nodes"), []string{"--fail-on=critical"}, exit.Unknown, "forbidden-warning.txt"},
		"as JSON": {cluster(broken, "cart-1"), []string{"-o", "json"}, exit.Incidents, "critical.json"},
		"as YAML": {cluster(broken, "cart-1"), []string{"-o", "yaml"}, exit.Incidents, "critical.yaml"},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			config := serve(t, tc.cluster)
			got := run(t, t.Context(), append(tc.args, "--kubeconfig", config)...)
			if got.code != tc.want {
				t.Errorf("exit code %d, want %d", got.code, tc.want)
			}
			if got.errOut != "" {
				t.Errorf("standard error: %s", got.errOut)
			}
			golden(t, tc.golden, steady(t, got.out, config))
		})
	}
}

func forbidding(s *apiServer, path string) *apiServer {
	s.forbidden = map[string]bool{path: true}
	return s
}

// steady takes out what no two runs have in common: the server's port, and what the run cost.
func steady(t *testing.T, out, config string) string {
	t.Helper()
	data, err := os.ReadFile(config)
	if err != nil {
		t.Fatal(err)
	}
	_, after, _ := strings.Cut(string(data), `server: "http://`)
	address, _, _ := strings.Cut(after, `"`)
	out = strings.ReplaceAll(out, address, "API-SERVER")
	var lines []string
	for l := range strings.Lines(out) {
		if strings.Contains(l, `"requests":`) || strings.Contains(l, `"bytes":`) || strings.Contains(l, "requests: ") || strings.Contains(l, "bytes: ") {
			continue
		}
		lines = append(lines, l)
	}
	return strings.Join(lines, "")
}

func TestInterruptReportsWhatWasRead(t *testing.T) {
	s := cluster(map[string]bool{"w1": false})
	ctx, cancel := context.WithCancel(t.Context())
	s.hold = func(r *http.Request) {
		// The signal arrives while pods are on their way; nodes were listed or are about to be.
		cancel()
		<-r.Context().Done()
		panic(http.ErrAbortHandler)
	}
	got := run(t, ctx, "--kubeconfig", serve(t, s))
	if got.code == exit.OK {
		t.Error("exit code 0, as if the cluster had been looked at")
	}
	for _, want := range []string{"interrupted; this is what was read until then", "prod"} {
		if !strings.Contains(got.out, want) {
			t.Errorf("the report lacks %q:\n%s", want, got.out)
		}
	}
}

// TestInterruptBeforeAnyAnswerBlamesNobody uses the real rules: one of them speaks of API servers
// that do not answer, and this one was not given the time to.
func TestInterruptBeforeAnyAnswerBlamesNobody(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	server := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		cancel()
		<-r.Context().Done()
		panic(http.ErrAbortHandler)
	}))
	t.Cleanup(server.Close)
	var out bytes.Buffer
	inv := &invocation.Invocation{
		Out: &out, ErrOut: t.Output(), Program: "kubectl maek", Now: func() time.Time { return moment }, Getenv: func(string) string { return "" }, Location: time.UTC,
	}
	if code := Run(ctx, inv, rules.All(), []string{"--kubeconfig", kubeconfig(t, server.URL)}); code != exit.Unknown {
		t.Errorf("exit code %d, want %d", code, exit.Unknown)
	}
	if !strings.Contains(out.String(), "interrupted") || strings.Contains(out.String(), "CRITICAL") {
		t.Errorf("want an interrupt and no incident:\n%s", out.String())
	}
}

func TestDeadlineReportsWhatWasRead(t *testing.T) {
	s := cluster(map[string]bool{"cp1": true})
	s.hold = func(r *http.Request) {
		<-r.Context().Done()
		panic(http.ErrAbortHandler)
	}
	got := run(t, t.Context(), "--kubeconfig", serve(t, s), "--timeout", "5s")
	if got.code != exit.Unknown {
		t.Errorf("exit code %d, want %d", got.code, exit.Unknown)
	}
	if !strings.Contains(got.out, "could not check") || !strings.Contains(got.out, "pods") {
		t.Errorf("the report does not say that pods were not read:\n%s", got.out)
	}
}

func TestNoAPIServer(t *testing.T) {
	// Port 1 of the loopback interface: nothing listens there.
	got := run(t, t.Context(), "--kubeconfig", kubeconfig(t, "http://127.0.0.1:1"))
	if got.code != exit.Unknown {
		t.Errorf("exit code %d, want %d", got.code, exit.Unknown)
	}
	golden(t, "no-api-server.txt", got.out)
}

func TestTheSecondsCountTheDiagnosisToo(t *testing.T) {
	config := serve(t, cluster(map[string]bool{"cp1": true, "w1": false}, "cart-1"))
	path := filepath.Join(t.TempDir(), "incident.tar.gz")
	if got := run(t, t.Context(), "dump", "--kubeconfig", config, "-o", path); got.code != exit.OK {
		t.Fatalf("dump: exit code %d, %s", got.code, got.errOut)
	}
	now := moment
	slow := testRules()
	for i := range slow {
		for j := range slow[i].Causes {
			// A cause is checked while the diagnosis is made, after all evaluation.
			slow[i].Causes[j].Holds = func(*snapshot.Snapshot, finding.Finding, finding.Finding) bool {
				now = moment.Add(5 * time.Second)
				return true
			}
		}
	}
	for name, args := range map[string][]string{
		"live":     {"--kubeconfig", config, "-o", "json"},
		"replayed": {"--from", path, "-o", "json"},
	} {
		now = moment
		var out, errOut bytes.Buffer
		inv := &invocation.Invocation{
			Out: &out, ErrOut: &errOut, Program: "kubectl maek", Version: "v0.1.0",
			Now: func() time.Time { return now }, Getenv: func(string) string { return "" }, Location: time.UTC,
		}
		if code := Run(t.Context(), inv, slow, args); code != exit.Incidents || !strings.Contains(out.String(), `"seconds": 5`) {
			t.Errorf("%s: exit code %d, %s, want 5 seconds in\n%s", name, code, errOut.String(), out.String())
		}
	}
}

func TestDumpOfAClusterThatCannotBeReadSaysSo(t *testing.T) {
	path := filepath.Join(t.TempDir(), "folder")
	got := run(t, t.Context(), "dump", "--kubeconfig", kubeconfig(t, "http://127.0.0.1:1"), "-o", path)
	want := "kubectl maek: the bundle is not whole: kubectl maek --from " + path + " says what is missing\n"
	if got.code != exit.Unknown || got.errOut != want {
		t.Errorf("exit code %d, %q, want %d, %q", got.code, got.errOut, exit.Unknown, want)
	}
}

func TestProgressIsShownOnATerminalWhenTheWorkIsLong(t *testing.T) {
	config := serve(t, cluster(map[string]bool{"cp1": true}))
	cases := map[string]struct {
		terminal bool
		step     time.Duration
		want     bool
	}{
		"long work on a terminal":  {true, time.Second, true},
		"short work on a terminal": {true, 0, false},
		"no terminal":              {false, time.Second, false},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			ticks := make(chan time.Time, 1)
			ticks <- moment
			got := runIn(t, t.Context(), func(inv *invocation.Invocation) {
				inv.ErrTerminal = tc.terminal
				inv.Now = func() time.Time {
					now := <-ticks
					ticks <- now.Add(tc.step)
					return now
				}
			}, "--kubeconfig", config)
			if shown := strings.Contains(got.errOut, "objects of"); shown != tc.want {
				t.Errorf("progress is shown: %t, want %t; %q", shown, tc.want, got.errOut)
			}
			if got.errOut != "" && !strings.HasSuffix(got.errOut, "\r\x1b[K") {
				t.Errorf("the line is left standing: %q", got.errOut)
			}
		})
	}
}

func TestAnUnwritableOutputIsAFailureOfItsOwn(t *testing.T) {
	config := serve(t, cluster(map[string]bool{"cp1": true}))
	got := runIn(t, t.Context(), func(inv *invocation.Invocation) { inv.Out = brokenPipe{} }, "--kubeconfig", config)
	if got.code != exit.Failed || !strings.Contains(got.errOut, "writing the report: ") {
		t.Errorf("exit code %d, %q", got.code, got.errOut)
	}
}

type brokenPipe struct{}

func (brokenPipe) Write([]byte) (int, error) { return 0, io.ErrClosedPipe }
