package probe

import (
	"strings"
	"testing"

	"github.com/maek-dev/maek/api/maek/v1alpha1"
	"github.com/maek-dev/maek/internal/finding"
	"github.com/maek-dev/maek/internal/report"
)

// Remarks about how probes are written have remedies for later alone, and those are what an audit is asked for.
func TestAuditGivesThePatchesOfRemarks(t *testing.T) {
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
	var patches, page strings.Builder
	if err := a.patches(&patches); err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{now, later, admit, "failureThreshold: 31", "failureThreshold: 6", "op: add"} {
		if n := strings.Count(patches.String(), want); n != 1 {
			t.Errorf("%q is there %d times, want once, in\n%s", want, n, &patches)
		}
	}
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
