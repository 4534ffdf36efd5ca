// Package machines holds what all rules together say of machines: nothing of those that are well,
// however they were installed, and one thing of one fault. testdata holds the reports of a cluster of
// three machines on which nothing was wrong; a fault is what changes in them.
package machines

import (
	"encoding/json"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"testing"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/maek-dev/maek/internal/diagnosis"
	"github.com/maek-dev/maek/internal/finding"
	"github.com/maek-dev/maek/internal/rule"
	"github.com/maek-dev/maek/internal/rules"
	"github.com/maek-dev/maek/internal/snapshot"
)

// readAt is when the reports were made, and began when the faults did.
var (
	readAt = time.Date(2026, 11, 21, 20, 37, 56, 0, time.UTC)
	began  = readAt.Add(-2 * time.Minute)
)

// machine is a report that is being changed.
type machine struct {
	node     string
	values   map[snapshot.EvidenceKey]snapshot.MachineEvidence
	original snapshot.MachineReport
}

// cluster is the reports of all machines, by node. A machine that is taken out gives none.
type cluster map[string]*machine

// recorded are the machines as they were.
func recorded(t *testing.T) cluster {
	t.Helper()
	out := cluster{}
	for _, node := range []string{"cp1", "w1", "w2"} {
		data, err := os.ReadFile(filepath.Join("testdata", node+".json"))
		if err != nil {
			t.Fatal(err)
		}
		m := &machine{node: node, values: map[snapshot.EvidenceKey]snapshot.MachineEvidence{}}
		if err := json.Unmarshal(data, &m.original); err != nil {
			t.Fatal(err)
		}
		for _, e := range m.original.Evidence {
			m.values[e.Key] = e
		}
		out[node] = m
	}
	return out
}

// set gives a value that has been so since the fault began.
func (m *machine) set(key snapshot.EvidenceKey, value string) {
	at := metav1.NewTime(began)
	m.values[key] = snapshot.MachineEvidence{Key: key, Value: value, At: &at}
}

// state gives a value that has no beginning.
func (m *machine) state(key snapshot.EvidenceKey, value string) {
	m.values[key] = snapshot.MachineEvidence{Key: key, Value: value}
}

// drop takes away all values that fit one of the patterns.
func (m *machine) drop(patterns ...snapshot.EvidenceKey) {
	for key := range m.values {
		if slices.ContainsFunc(patterns, key.Fits) {
			delete(m.values, key)
		}
	}
}

func (m *machine) report() snapshot.MachineReport {
	r := m.original
	r.Node, r.Machine, r.ObservedAt = m.node, m.node, metav1.NewTime(readAt)
	r.Evidence = nil
	for _, e := range m.values {
		r.Evidence = append(r.Evidence, e)
	}
	r.Sort()
	return r
}

// silent makes the mesh of one machine say that nothing came from another since the fault began.
func (m *machine) silent(peer string, networks ...string) {
	for _, network := range networks {
		key := func(word string) snapshot.EvidenceKey { return snapshot.KeyOf("mesh", "peer", peer, network+"-"+word) }
		for _, word := range []string{"in-loss", "out-loss", "big-in-loss", "big-out-loss"} {
			m.set(key(word), "1")
		}
		m.state(key("in-age"), strconv.FormatFloat(readAt.Sub(began).Seconds(), 'f', 3, 64))
		m.set(key("tcp"), "timeout")
		m.state(key("tcp-age"), "2.5")
		m.drop(key("rtt"), key("bulk"))
	}
}

// snapshotOf puts reports together, and what else is known.
func snapshotOf(c cluster, more func(*snapshot.Builder)) *snapshot.Snapshot {
	b := snapshot.NewBuilder(readAt, snapshot.Source{Name: "test"})
	for _, m := range c {
		b.AddMachine(m.report())
	}
	if more != nil {
		more(b)
	}
	return b.Build()
}

func diagnose(t *testing.T, s *snapshot.Snapshot) diagnosis.Diagnosis {
	t.Helper()
	all := rules.All()
	d := diagnosis.Diagnose(rule.Evaluate(t.Context(), s, all, nil, rule.DefaultBudget), all)
	for _, f := range d.Failures {
		t.Errorf("%s: %v", f.Code, f.Err)
	}
	return d
}

// found are the codes of all findings that are worth waking somebody for.
func found(d diagnosis.Diagnosis) []string {
	var out []string
	for _, f := range d.Findings {
		if f.Severity != finding.Info {
			out = append(out, string(f.Code)+": "+f.Title.EN)
		}
	}
	return out
}

// roots are the codes of the incidents' roots.
func roots(d diagnosis.Diagnosis) []string {
	var out []string
	for _, i := range d.Incidents {
		out = append(out, string(i.Root.Code))
	}
	return out
}
