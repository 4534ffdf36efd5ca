package reference

import (
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/maek-dev/maek/api/maek/v1alpha1"
	"github.com/maek-dev/maek/internal/diagnosis"
	"github.com/maek-dev/maek/internal/finding"
	"github.com/maek-dev/maek/internal/rule"
	"github.com/maek-dev/maek/internal/rules"
	"github.com/maek-dev/maek/internal/snapshot"
)

// hostileValues are what a report may say of anything: a machine may be broken, a peer may lie.
var hostileValues = []string{
	"", "-1", "0", "1", "100", "9223372036854775807", "-9223372036854775808", "99999999999999999999", "NaN", "-Inf", "1e308", "-1e308", "0.0000001",
	"true", "false", "0001-01-01T00:00:00Z", "9999-12-31T23:59:59Z", "2026-11-21T09:59:59Z", "2026-13-41T25:61:61Z", "active", "failed", "down", "up",
	"unreachable", "hung", "error", "Running", "10.0.0.0/33", "10.0.0.0/0", "::/0", "256.1.1.1", "fe80::1%eth0", "aa:bb:cc:dd:ee:ff", "https://[::1", "https://10.0.0.1:2379",
	"x\x00y\x1b[31mz\u202e", "\xff\xfe", "%s%d%!n", "{{.}}", "a,b,,c,", "a=b=c", ":", "/", "..", "../../etc/passwd", "x;MARK", "$(MARK)", "';MARK;'", strings.Repeat("long ", 2000), strings.Repeat("9", 400),
}

var hostileNames = []string{
	"", "a", "b", "w1", "w2", "kubelet.service", "etcd", "kube-apiserver", "eth0", "flannel.1", "/", "/var/lib/etcd", "/etc/kubernetes/pki/ca.crt", "..", "-1", "99999999999999999999",
	"10.244.0.0/24", "10.0.0.1", "::1", "8e9e05c52164694d", "%", "a b;MARK", "$(MARK)", "';MARK;'", "x\x1b[31m", "\xff", "*", strings.Repeat("n", 1000),
}

// hostileReport says something under keys of every pattern.
func hostileReport(random *rand.Rand, node string, patterns []snapshot.EvidenceKey) snapshot.MachineReport {
	at := metav1.NewTime(time.Date(2026, 11, 21, 10, 0, 0, 0, time.UTC))
	r := snapshot.MachineReport{
		TypeMeta: metav1.TypeMeta{APIVersion: snapshot.MachineReportVersion, Kind: "MachineReport"},
		Machine:  "host-" + node, Node: node, ObservedAt: at,
	}
	switch random.IntN(8) {
	case 0:
		r.ObservedAt = metav1.Time{}
	case 1:
		r.ObservedAt = metav1.NewTime(time.Date(9999, 12, 31, 23, 59, 59, 0, time.UTC))
	}
	// Few names, so that the keys of one thing meet.
	names := make([]string, 3)
	for i := range names {
		names[i] = hostileNames[random.IntN(len(hostileNames))]
	}
	for _, pattern := range patterns {
		for range 1 + random.IntN(4) {
			segments := strings.Split(string(pattern), "/")
			for i, s := range segments {
				if s == "*" {
					segments[i] = names[random.IntN(len(names))]
				}
			}
			e := snapshot.MachineEvidence{Key: snapshot.KeyOf(segments...), Value: hostileValues[random.IntN(len(hostileValues))]}
			switch random.IntN(6) {
			case 0:
				e.At = &at
			case 1:
				e.At = new(metav1.NewTime(time.Unix(random.Int64N(1<<38)-1<<37, 0).UTC()))
			}
			r.Evidence = append(r.Evidence, e)
		}
	}
	for _, w := range watchers() {
		if random.IntN(5) > 0 {
			r.Reads = append(r.Reads, snapshot.MonitorRead{Monitor: w.Name, At: at})
		}
		if random.IntN(8) == 0 {
			r.Gaps = append(r.Gaps, snapshot.MachineGap{Monitor: w.Name, Reason: hostileValues[random.IntN(len(hostileValues))]})
		}
	}
	return r
}

// TestRulesOutliveHostileReports runs all rules over reports that make no sense. No rule may break, no text
// may be without bound, and the answer to the same reports is the same, whatever their order.
func TestRulesOutliveHostileReports(t *testing.T) {
	var patterns []snapshot.EvidenceKey
	for _, w := range watchers() {
		for _, k := range w.Keys {
			patterns = append(patterns, k.Pattern)
		}
	}
	all := rules.All()
	said, findings := map[finding.Code]bool{}, 0
	for seed := range uint64(60) {
		t.Run(fmt.Sprint("seed ", seed), func(t *testing.T) {
			random := rand.New(rand.NewPCG(seed, 5))
			reports := make([]snapshot.MachineReport, 1+random.IntN(4))
			for i := range reports {
				reports[i] = hostileReport(random, fmt.Sprintf("w%d", i+1), patterns)
			}
			judged := judge(t, reports, all)
			for _, f := range judged.Failures {
				t.Errorf("rule %s broke: %v", f.Code, f.Err)
			}
			for _, f := range judged.Findings {
				for _, step := range slices.Concat(f.Remedies.Now, f.Remedies.Later) {
					if exposed(step.Command) {
						t.Errorf("rule %s: a shell would run what a report says in %.300q", f.Code, step.Command)
					}
				}
				said[f.Code] = true
				findings++
			}
			first := written(t, judged)
			for i, j := 0, len(reports)-1; i < j; i, j = i+1, j-1 {
				reports[i], reports[j] = reports[j], reports[i]
			}
			if second := written(t, judge(t, reports, all)); first != second {
				at := 0
				for at < min(len(first), len(second)) && first[at] == second[at] {
					at++
				}
				t.Errorf("the same reports are judged in two ways: %.300q and %.300q", first[max(0, at-100):], second[max(0, at-100):])
			}
		})
	}
	if len(said) < 20 || findings < 500 {
		t.Errorf("only %d rules say anything, in %d findings: the reports are too far from what rules read", len(said), findings)
	}
}

func judge(t *testing.T, reports []snapshot.MachineReport, all []rule.Rule) diagnosis.Diagnosis {
	t.Helper()
	b := snapshot.NewBuilder(time.Date(2026, 11, 21, 10, 0, 0, 0, time.UTC), snapshot.Source{Name: "w1", Machine: "w1"})
	for _, r := range reports {
		b.AddMachine(r)
	}
	b.AddUnreported("w9", hostileValues[len(hostileValues)-2])
	return diagnosis.Diagnose(rule.Evaluate(t.Context(), b.Build(), all, nil, rule.DefaultBudget), all)
}

// longestText bounds a sentence of a finding, in runes.
const longestText = 8_000

// written is a diagnosis in both languages as JSON, every text of which is checked.
func written(t *testing.T, d diagnosis.Diagnosis) string {
	t.Helper()
	var out strings.Builder
	for _, language := range []finding.Language{finding.English, finding.Korean} {
		data, err := json.Marshal(d.Document(language, v1alpha1.Stats{}))
		if err != nil {
			t.Fatal(err)
		}
		var tree any
		if err := json.Unmarshal(data, &tree); err != nil {
			t.Fatal(err)
		}
		bounded(t, "", tree)
		out.Write(data)
	}
	return out.String()
}

func bounded(t *testing.T, path string, tree any) {
	t.Helper()
	switch v := tree.(type) {
	case map[string]any:
		for k, e := range v {
			bounded(t, path+"."+k, e)
		}
	case []any:
		for _, e := range v {
			bounded(t, path, e)
		}
	case string:
		if n := utf8.RuneCountInString(v); n > longestText {
			t.Errorf("%s has %d characters: %.200q", path, n, v)
		}
		if strings.Contains(v, "%!") && !strings.Contains(v, "%!n") {
			t.Errorf("%s is not put together well: %.200q", path, v)
		}
	}
}

// exposed tells whether a shell would see the marker of hostile values as more than text.
func exposed(command string) bool {
	quote := byte(0)
	for i := 0; i < len(command); i++ {
		switch c := command[i]; {
		case strings.HasPrefix(command[i:], "MARK") && quote != '\'':
			return true
		case quote == 0 && c == '\\' || quote == '"' && c == '\\':
			i++
		case quote == 0 && (c == '\'' || c == '"'):
			quote = c
		case quote == c:
			quote = 0
		}
	}
	return false
}
