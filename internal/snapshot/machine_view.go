package snapshot

import (
	"fmt"
	"math"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/maek-dev/maek/api/maek/v1alpha1"
)

// Machine is what is known of one machine. Through a restricted view only evidence whose keys were
// declared can be read; reading other evidence panics, as reading an undeclared kind does.
type Machine struct {
	report     *MachineReport
	restricted bool
	allowed    []EvidenceKey
}

// Node is the name of the Node object that the machine stands under.
func (m Machine) Node() string { return m.report.Node }

// Name is the host's own name.
func (m Machine) Name() string { return m.report.Machine }

// ObservedAt is when its report was made, by the machine's clock.
func (m Machine) ObservedAt() time.Time { return m.report.ObservedAt.Time }

// Looked tells whether a monitor looked and left no gap: only then does absence mean anything.
func (m Machine) Looked(monitor string) bool {
	_, gap := m.Gap(monitor)
	return !gap && slices.ContainsFunc(m.report.Reads, func(r MonitorRead) bool { return r.Monitor == monitor })
}

// Gap says why a monitor could not read, or not all.
func (m Machine) Gap(monitor string) (reason string, ok bool) {
	for _, g := range m.report.Gaps {
		if g.Monitor == monitor {
			return g.Reason, true
		}
	}
	return "", false
}

// Find returns the value under a key.
func (m Machine) Find(key EvidenceKey) (MachineEvidence, bool) {
	m.check(key)
	i, ok := slices.BinarySearchFunc(m.report.Evidence, key, compareKey)
	if !ok {
		return MachineEvidence{}, false
	}
	return m.report.Evidence[i], true
}

// Value under a key as text; empty where there is none.
func (m Machine) Value(key EvidenceKey) string {
	e, _ := m.Find(key)
	return e.Value
}

// Int is the value under a key as a whole number; false where there is none.
func (m Machine) Int(key EvidenceKey) (int64, bool) {
	n, err := strconv.ParseInt(m.Value(key), 10, 64)
	return n, err == nil
}

// Float is the value under a key as a number; false where there is none. What is infinite, or no number
// in spite of its name, is none: no comparison would hold of it.
func (m Machine) Float(key EvidenceKey) (float64, bool) {
	f, err := strconv.ParseFloat(m.Value(key), 64)
	return f, err == nil && !math.IsNaN(f) && !math.IsInf(f, 0)
}

// True tells whether the value under a key is "true".
func (m Machine) True(key EvidenceKey) bool { return m.Value(key) == "true" }

// Time is the value under a key as a moment by the machine's clock; zero where there is none.
func (m Machine) Time(key EvidenceKey) time.Time {
	t, err := time.Parse(time.RFC3339Nano, m.Value(key))
	if err != nil {
		return time.Time{}
	}
	return t
}

// Since is when the value under a key came to be so; zero where the machine does not know.
func (m Machine) Since(key EvidenceKey) time.Time {
	if e, ok := m.Find(key); ok && e.At != nil {
		return e.At.Time
	}
	return time.Time{}
}

// Select returns the values whose keys fit a pattern, by key. They may be shared: do not write to them.
func (m Machine) Select(pattern EvidenceKey) []MachineEvidence {
	m.check(pattern)
	prefix, _, _ := strings.Cut(string(pattern), "*")
	from, _ := slices.BinarySearchFunc(m.report.Evidence, EvidenceKey(prefix), compareKey)
	rest := m.report.Evidence[from:]
	end := slices.IndexFunc(rest, func(e MachineEvidence) bool { return !strings.HasPrefix(string(e.Key), prefix) })
	if end >= 0 {
		rest = rest[:end]
	}
	// Large tables are of one pattern, and nothing else is told below their prefix.
	fits := 0
	for _, e := range rest {
		if e.Key.Fits(pattern) {
			fits++
		}
	}
	switch fits {
	case 0:
		return nil
	case len(rest):
		return slices.Clip(rest)
	}
	out := make([]MachineEvidence, 0, fits)
	for _, e := range rest {
		if e.Key.Fits(pattern) {
			out = append(out, e)
		}
	}
	return out
}

// Names returns what stands for the first "*" of a pattern in the keys that fit it, each once, in
// order, as the machine calls it.
func (m Machine) Names(pattern EvidenceKey) []string {
	at := slices.Index(strings.Split(string(pattern), "/"), "*")
	if at < 0 {
		panic(fmt.Sprintf("pattern %s has no *", pattern))
	}
	var out []string
	for _, e := range m.Select(pattern) {
		name := string(e.Key)
		for range at {
			_, name, _ = strings.Cut(name, "/")
		}
		name, _, _ = strings.Cut(name, "/")
		// What is told of one thing stands together, mostly.
		if n := len(out); n == 0 || out[n-1] != name {
			out = append(out, name)
		}
	}
	for i, escaped := range out {
		if name, err := url.PathUnescape(escaped); err == nil {
			out[i] = name
		}
	}
	slices.Sort(out)
	return slices.Compact(out)
}

// Evidence is the value under a key as evidence of a finding.
func (m Machine) Evidence(key EvidenceKey) v1alpha1.Evidence {
	e, _ := m.Find(key)
	out := v1alpha1.Evidence{Source: "machine " + m.Node(), Path: strings.Join(key.Segments(), " "), Value: e.Value}
	if e.At != nil {
		out.At = &metav1.Time{Time: e.At.UTC().Truncate(time.Second)}
	}
	return out
}

// Subject is a thing on the machine: a Unit, a File, a Certificate, an Endpoint, a Path.
func (m Machine) Subject(kind, name string) v1alpha1.Subject {
	return v1alpha1.Subject{Kind: kind, Name: name, Machine: m.Node()}
}

func (m Machine) check(key EvidenceKey) {
	if m.restricted && !slices.ContainsFunc(m.allowed, key.within) {
		panic(fmt.Sprintf("machine evidence %s is read but not declared", key))
	}
}

// within tells whether all that fits a key or pattern fits another pattern too.
func (k EvidenceKey) within(pattern EvidenceKey) bool { return k.Fits(pattern) }

func compareKey(e MachineEvidence, key EvidenceKey) int {
	return strings.Compare(string(e.Key), string(key))
}
