package cli

import (
	"bytes"
	"encoding/json"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/maek-dev/maek/api/maek/v1alpha1"
	"github.com/maek-dev/maek/internal/cli/exit"
	"github.com/maek-dev/maek/internal/cli/invocation"
	"github.com/maek-dev/maek/internal/collect/bundle"
	"github.com/maek-dev/maek/internal/finding"
	"github.com/maek-dev/maek/internal/rule"
	"github.com/maek-dev/maek/internal/snapshot"
)

// machineRules read a unit on machines.
func machineRules() []rule.Rule {
	const active = "unit/*/active-state"
	var catalog rule.Catalog
	catalog.Add(rule.Rule{
		Code: "UnitFailed", Severity: finding.Critical, Link: "https://systemd.io/", Machine: []snapshot.EvidenceKey{active},
		Title: finding.Text{EN: "A unit failed", KO: "유닛이 실패했습니다"},
		Doc:   finding.Text{EN: "A unit failed.", KO: "유닛이 실패했습니다."},
		Detect: func(p *rule.Pass) {
			for _, m := range p.Machines() {
				for _, name := range m.Names(active) {
					key := snapshot.KeyOf("unit", name, "active-state")
					if m.Value(key) != "failed" {
						continue
					}
					p.Report(finding.Finding{
						Subject: m.Subject("Unit", name), Mechanism: v1alpha1.MechanismCrashing, Since: m.Since(key),
						Title:    finding.Textf("%s failed on %s", "%[2]s에서 %[1]s이(가) 실패했습니다", name, m.Node()),
						Why:      finding.Textf("systemd says so", "systemd의 상태입니다"),
						Evidence: []finding.Evidence{m.Evidence(key)},
					})
				}
			}
		},
	})
	return catalog.Rules()
}

// TestMachinesInADump holds that what machines told, and which of them told nothing, gives the same
// diagnosis out of a dump, said once.
func TestMachinesInADump(t *testing.T) {
	at := metav1.NewTime(moment.Add(-time.Minute))
	b := snapshot.NewBuilder(moment, snapshot.Source{Name: "lab"})
	b.AddMachine(snapshot.MachineReport{
		TypeMeta: metav1.TypeMeta{APIVersion: snapshot.MachineReportVersion, Kind: "MachineReport"},
		Machine:  "w1", Node: "w1", ObservedAt: at,
		Evidence: []snapshot.MachineEvidence{
			{Key: "log/kubelet/line", Value: "started with --token=abcdef.0123456789abcdef"},
			{Key: "unit/kubelet.service/active-state", Value: "failed", At: &at},
		},
		Reads: []snapshot.MonitorRead{{Monitor: "units", At: at}}, Gaps: []snapshot.MachineGap{{Monitor: "logs", Reason: "no journal"}},
	})
	b.AddUnreported("w2", "no agent runs there")
	first := filepath.Join(t.TempDir(), "first")
	if err := bundle.Write(t.Context(), first, b.Build(), bundle.WriteOptions{}); err != nil {
		t.Fatal(err)
	}
	second := filepath.Join(t.TempDir(), "second.tar.gz")
	run := func(args ...string) (exit.Code, string) {
		var out bytes.Buffer
		inv := &invocation.Invocation{
			Out: &out, ErrOut: &out, Program: "kubectl maek", Now: func() time.Time { return moment }, Getenv: func(string) string { return "" }, Location: time.UTC,
		}
		return Run(t.Context(), inv, machineRules(), args), out.String()
	}
	if _, out := run("dump", "--from", first, "-o", second); !strings.Contains(out, "machines 1") {
		t.Fatalf("dump: %s", out)
	}
	var docs [2]v1alpha1.Diagnosis
	for i, path := range []string{first, second} {
		code, out := run("--from", path, "-o", "json")
		if err := json.Unmarshal([]byte(out), &docs[i]); err != nil || code != exit.Incidents {
			t.Fatalf("exit code %d, %v:\n%s", code, err, out)
		}
		docs[i].Stats = v1alpha1.Stats{}
	}
	if diff := cmp.Diff(docs[0], docs[1]); diff != "" {
		t.Errorf("the second differs from the first (-first +second):\n%s", diff)
	}
	want := []v1alpha1.SkippedRule{{Reason: "machine w1: logs: no journal"}, {Reason: "machine w2: no report of an agent: no agent runs there"}}
	if diff := cmp.Diff(want, docs[1].Skipped); diff != "" || len(docs[1].Incidents) != 1 {
		t.Errorf("%d incidents, skips (-want +got):\n%s", len(docs[1].Incidents), diff)
	}
	opened, err := bundle.Open(t.Context(), second)
	if err != nil {
		t.Fatal(err)
	}
	if got := opened.Snapshot().MachineReports()[0].Evidence[0].Value; strings.Contains(got, "0123456789abcdef") {
		t.Errorf("a token is in the dump: %s", got)
	}
}
