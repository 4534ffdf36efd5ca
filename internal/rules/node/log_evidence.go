package node

import (
	"slices"
	"strings"
	"time"

	"github.com/maek-dev/maek/api/maek/v1alpha1"
	"github.com/maek-dev/maek/internal/finding"
	"github.com/maek-dev/maek/internal/rule"
	"github.com/maek-dev/maek/internal/snapshot"
)

// logged is what a machine's logs tell under one pattern of the catalogue, and what is not over: the
// monitor gives no other.
type logged struct {
	snapshot.Machine

	pattern string
}

// logKeys are the keys of patterns of the logs' catalogue.
func logKeys(patterns ...string) []snapshot.EvidenceKey {
	var out []snapshot.EvidenceKey
	for _, p := range patterns {
		for _, word := range []string{"count", "line", "last", "first", "subject"} {
			out = append(out, snapshot.KeyOf("log", p, word))
		}
	}
	return out
}

// loggedOn returns those of the patterns that stand on a machine.
func loggedOn(m snapshot.Machine, patterns ...string) []logged {
	var out []logged
	for _, p := range patterns {
		if n, ok := m.Int(snapshot.KeyOf("log", p, "count")); ok && n > 0 {
			out = append(out, logged{Machine: m, pattern: p})
		}
	}
	return out
}

func (l logged) key(word string) snapshot.EvidenceKey { return snapshot.KeyOf("log", l.pattern, word) }

func (l logged) count() int64 {
	n, _ := l.Int(l.key("count"))
	return n
}

// subjects are what the lines name, the newest first.
func (l logged) subjects() []string {
	return slices.DeleteFunc(strings.Split(l.Value(l.key("subject")), ","), func(s string) bool { return s == "" })
}

// evidence is the newest line, at its time.
func (l logged) evidence() finding.Evidence {
	e := l.Evidence(l.key("line"))
	e.At = finding.Timestamp(l.Time(l.key("last")))
	return e
}

// subjectsOf are what the lines of several patterns name, each once.
func subjectsOf(all []logged) []string {
	var out []string
	for _, l := range all {
		for _, s := range l.subjects() {
			if !slices.Contains(out, s) {
				out = append(out, s)
			}
		}
	}
	return out
}

// logFinding is a finding about a machine that its logs tell: what they have in common. The why is
// followed by how often it was said, and when last.
func logFinding(m snapshot.Machine, all []logged, mechanism v1alpha1.Mechanism, title, why finding.Text) finding.Finding {
	f := finding.Finding{
		Subject: m.Subject("Machine", m.Node()), Mechanism: mechanism, Title: title,
		Field: strings.Join(slices.Sorted(slices.Values(subjectsOf(all))), ","),
	}
	var lines int64
	var first, last time.Time
	for _, l := range all {
		lines += l.count()
		if at := l.Time(l.key("first")); first.IsZero() || at.Before(first) {
			first = at
		}
		last = finding.Later(last, l.Time(l.key("last")))
		f.Evidence = append(f.Evidence, l.evidence())
	}
	f.Since = first
	f.Why = finding.Join(" ", why, finding.Textf("Lines in the log: %d, the last at %s.", "로그에 남은 줄은 %d개이고 마지막은 %s입니다.", lines, finding.Clock(m.ObservedAt(), last)))
	return f
}

// detectLogged reports a finding for each machine on which one of the patterns stands.
func detectLogged(patterns []string, tell func(m snapshot.Machine, all []logged) finding.Finding) func(*rule.Pass) {
	return func(p *rule.Pass) {
		for _, m := range p.Machines() {
			if all := loggedOn(m, patterns...); len(all) > 0 {
				p.Report(tell(m, all))
			}
		}
	}
}

// named says what the lines name, or, where they name nothing, something else.
func named(all []logged, otherwise finding.Text) finding.Text {
	if names := subjectsOf(all); len(names) > 0 {
		return finding.List(names)
	}
	return otherwise
}
