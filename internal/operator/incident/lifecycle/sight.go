package lifecycle

import (
	"github.com/maek-dev/maek/api/maek/v1alpha1"
	"github.com/maek-dev/maek/internal/diagnosis"
	"github.com/maek-dev/maek/internal/finding"
	"github.com/maek-dev/maek/internal/rule"
	"github.com/maek-dev/maek/internal/snapshot"
)

// sight tells of a diagnosis what could be looked at.
type sight struct {
	d     diagnosis.Diagnosis
	rules map[finding.Code]rule.Rule
	// skipped are why rules were not wholly evaluated.
	skipped map[finding.Code]finding.Text
	// settling are findings that are too young to be incidents.
	settling   map[root]bool
	unreported map[string]string
	reported   map[string]bool
}

// root is what an incident is known by.
type root struct {
	code    finding.Code
	subject v1alpha1.Subject
}

func newSight(d diagnosis.Diagnosis, rules map[finding.Code]rule.Rule) sight {
	s := sight{
		d: d, rules: rules, skipped: map[finding.Code]finding.Text{}, settling: map[root]bool{}, unreported: d.Snapshot.Unreported(), reported: map[string]bool{},
	}
	for _, skip := range d.Skips {
		if _, known := s.skipped[skip.Code]; !known {
			s.skipped[skip.Code] = skip.Reason
		}
	}
	for _, f := range d.Failures {
		s.skipped[f.Code] = finding.Textf("its rule failed", "규칙이 실패했습니다")
	}
	for _, f := range d.Findings {
		if f.Incident == "" && f.Settling {
			s.settling[root{f.Code, subject(f.Subject)}] = true
		}
	}
	for _, r := range d.Snapshot.MachineReports() {
		s.reported[r.Node] = true
	}
	return s
}

// of says why it cannot be told whether an incident that was not found goes on; the empty text where it
// was looked for and is gone.
func (s sight) of(i v1alpha1.IncidentDetails) finding.Text {
	code := finding.Code(i.Code)
	r, known := s.rules[code]
	if !known {
		// A later version of the rules has none of its name: nobody will ever look again.
		return finding.Text{}
	}
	if reason, ok := s.skipped[code]; ok {
		return reason
	}
	if s.settling[root{code, i.Subject}] {
		return finding.Textf("it began anew a short while ago", "조금 전에 다시 시작되었습니다")
	}
	for _, n := range r.Needs {
		// A kind that only adds evidence may be what the root was known by. That it is forbidden is mostly
		// how it always was; that it failed passes.
		if c := s.d.Snapshot.Coverage(n.Kind); c.State == snapshot.Failed {
			return gap(n.Kind.GroupResource(), c)
		}
	}
	if r.CustomResources {
		for _, k := range s.d.Snapshot.CustomKinds() {
			if c := s.d.Snapshot.CustomCoverage(k); k.Kind == i.Subject.Kind && !c.Known() {
				return gap(k.GroupResource(), c)
			}
		}
	}
	if len(r.Machine) > 0 {
		return s.machine(i.Subject)
	}
	return finding.Text{}
}

// machine says why nothing is known of the machine that a subject is or lies on.
func (s sight) machine(subject v1alpha1.Subject) finding.Text {
	name := subject.Machine
	if name == "" && (subject.Kind == "Machine" || subject.Kind == "Node") {
		name = subject.Name
	}
	if reason, ok := s.unreported[name]; ok && name != "" {
		return finding.Textf("machine %s: no report of an agent: %s", "머신 %s: agent 보고서가 없습니다: %s", name, reason)
	}
	if subject.Machine != "" && len(s.reported) == 0 {
		return finding.Textf("machine %s: no agent was heard", "머신 %s: 응답한 agent가 없습니다", name)
	}
	return finding.Text{}
}

func gap(kind string, c snapshot.Coverage) finding.Text {
	return finding.Textf("%s: %s: %s", "%s: %s: %s", kind, string(c.State), finding.Quote(c.Reason))
}
