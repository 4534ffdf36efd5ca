package probe

import (
	"os/exec"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"k8s.io/client-go/tools/clientcmd"

	"github.com/maek-dev/maek/api/maek/v1alpha1"
	"github.com/maek-dev/maek/internal/cli/source"
	"github.com/maek-dev/maek/internal/finding"
	"github.com/maek-dev/maek/internal/report"
)

// Remarks about how probes are written have remedies for later alone, and those are what an audit is asked for.
func TestAuditTellsTheRemediesOfRemarks(t *testing.T) {
	const (
		now   = `kubectl -n shop patch deployment/api --type=strategic -p '{"spec":{"template":{"spec":{"containers":[{"name":"app","startupProbe":{"failureThreshold":31}}]}}}}'`
		later = `kubectl -n shop patch deployment/web --type=strategic -p '{"spec":{"template":{"spec":{"containers":[{"name":"app","livenessProbe":{"failureThreshold":6}}]}}}}'`
		admit = `kubectl -n shop patch networkpolicy/deny --type=json -p '[{"op":"add","path":"/spec/ingress","value":[]}]'`
	)
	a := audit{Target: "namespace shop", seen: true, Findings: []audited{
		{Code: "ProbeKillsStart", Severity: finding.Warning, Title: "Deployment shop/api: killed", Remedies: v1alpha1.Remedies{
			Now: []v1alpha1.Remedy{{Text: "give it time", Command: now}, {Text: "read the log", Command: "kubectl -n shop logs api"}}, Later: []v1alpha1.Remedy{{Text: "find out why"}},
		}},
		{Code: "ProbeTimingUnsuitable", Severity: finding.Info, Title: "Deployment shop/web: impatient", Remedies: v1alpha1.Remedies{Later: []v1alpha1.Remedy{{Text: "be patient", Command: later}}}},
		{Code: "ProbeRefusedByPolicy", Severity: finding.Warning, Title: "Deployment shop/b: kept out", Remedies: v1alpha1.Remedies{Now: []v1alpha1.Remedy{{Text: "let it in", Command: admit}}}},
		{Code: "LivenessNoLaxerThanReadiness", Severity: finding.Info, Title: "Deployment shop/web: strict", Remedies: v1alpha1.Remedies{Later: []v1alpha1.Remedy{{Text: "be patient", Command: later}}}},
	}}
	var page strings.Builder
	if err := a.page(report.Options{Language: finding.English, Width: 500}).Write(&page); err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{now, later, admit, "give it time", "be patient", "read the log"} {
		if !strings.Contains(page.String(), want) {
			t.Errorf("%q is not in\n%s", want, &page)
		}
	}
	if strings.Contains(page.String(), "find out why") {
		t.Errorf("what is for later is told where there is something to do now:\n%s", &page)
	}
}

// What -o patch prints is for a shell: whatever it holds, one pipe applies all of it.
func TestAuditPrintsPatchesForAShell(t *testing.T) {
	of := func(sort, kind, data string) v1alpha1.Remedies {
		return v1alpha1.Remedies{Now: []v1alpha1.Remedy{{Text: "mend it", Command: "kubectl -n shop patch " + kind + " --type=" + sort + " -p '" + data + "'"}, {Text: "read the log", Command: "kubectl -n shop logs api"}}}
	}
	container := func(fields string) string {
		return `{"spec":{"template":{"spec":{"containers":[{"name":"app",` + fields + `}]}}}}`
	}
	audit := audit{Target: "namespace shop", Findings: []audited{
		{Code: "Gravest", Title: "Deployment shop/api", Remedies: of("strategic", "deployment/api", container(`"livenessProbe":null,"startupProbe":{"failureThreshold":31}`))},
		{Code: "Refused", Title: "NetworkPolicy shop/deny", Remedies: of("json", "networkpolicy/deny", `[{"op":"add","path":"/spec/ingress","value":[]}]`)},
		{Code: "Milder", Title: "Deployment shop/api\nrm -rf /", Remedies: of("strategic", "deployment/api", container(`"livenessProbe":{"periodSeconds":9},"startupProbe":{"failureThreshold":7,"periodSeconds":5}`))},
		{Code: "Beside", Title: "Deployment shop/api", Remedies: of("strategic", "deployment/api", `{"spec":{"template":{"spec":{"containers":[{"name":"log","readinessProbe":{"periodSeconds":3}}]}}}}`)},
		{Code: "Again", Title: "Deployment shop/b", Remedies: of("json", "networkpolicy/deny", `[{"op":"add","path":"/spec/ingress","value":[]},{"op":"add","path":"/spec/ingress/-","value":{}}]`)},
	}}
	var out strings.Builder
	if err := audit.patches(&out, kubectl(&source.Connection{Kubeconfig: "it's", Overrides: clientcmd.ConfigOverrides{CurrentContext: "prod"}})); err != nil {
		t.Fatal(err)
	}
	// The shell is real; what it calls says what it was given.
	script := "kubectl() { echo \"$*\"; cat; }\n" + out.String()
	cmd := exec.CommandContext(t.Context(), "sh", "-e")
	cmd.Stdin = strings.NewReader(script)
	got, err := cmd.CombinedOutput()
	if err != nil {
		t.Fatalf("%v\n%s", err, script)
	}
	want := `--kubeconfig=it's --context=prod -n shop patch deployment/api --type=strategic --patch-file=/dev/stdin
spec:
  template:
    spec:
      containers:
      - livenessProbe: null
        name: app
        startupProbe:
          failureThreshold: 31
          periodSeconds: 5
      - name: log
        readinessProbe:
          periodSeconds: 3
--kubeconfig=it's --context=prod -n shop patch networkpolicy/deny --type=json --patch-file=/dev/stdin
- op: add
  path: /spec/ingress
  value: []
- op: add
  path: /spec/ingress/-
  value: {}
`
	if diff := cmp.Diff(want, string(got)); diff != "" {
		t.Errorf("(-want +got):\n%s\nof\n%s", diff, script)
	}
}
