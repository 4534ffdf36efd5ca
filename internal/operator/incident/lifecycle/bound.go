package lifecycle

import (
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strings"
	"unicode/utf8"

	"github.com/maek-dev/maek/api/maek/v1alpha1"
)

// MaxBytes bounds the JSON form of an Incident's details. etcd takes 1.5 MiB of an object, and everybody
// who lists Incidents receives all of them.
const MaxBytes = 90 << 10

// titleMost is how many characters of a title are kept: it is a column of kubectl get incidents, and what is
// longer is said by the rest.
const titleMost = 200

// limits are how much of each part is kept: texts in characters, the rest in entries.
type limits struct {
	text, value, links, evidence, names, statements int
}

var widest = limits{text: 1500, value: 400, links: 60, evidence: 10, names: 200, statements: 12}

func (l limits) half() limits {
	return limits{text: l.text / 2, value: l.value / 2, links: l.links / 2, evidence: l.evidence / 2, names: l.names / 2, statements: l.statements / 2}
}

// Bound cuts the details of an incident to what an object may hold, and makes of them what the API server
// accepts: an incident quotes names, logs and messages that anybody may have written. Nothing of d is
// changed.
func Bound(d v1alpha1.IncidentDetails) v1alpha1.IncidentDetails {
	for l := widest; ; l = l.half() {
		out := l.details(d)
		if data, err := json.Marshal(out); l.text < 8 || err == nil && len(data) <= MaxBytes {
			return out
		}
	}
}

func (l limits) details(d v1alpha1.IncidentDetails) v1alpha1.IncidentDetails {
	d.Title, d.Why, d.Field = cut(d.Title, min(l.text, titleMost)), cut(d.Why, l.text), cut(d.Field, l.value)
	d.Subject = subject(d.Subject)
	d.Evidence = l.evidences(d.Evidence)
	d.Chain = slices.Clone(d.Chain[:min(len(d.Chain), l.links)])
	for i := range d.Chain {
		link := &d.Chain[i]
		link.Text, link.Subject, link.Evidence = cut(link.Text, l.value), subject(link.Subject), l.evidences(link.Evidence)
	}
	d.RuledOut = slices.Clone(d.RuledOut[:min(len(d.RuledOut), l.statements)])
	for i := range d.RuledOut {
		d.RuledOut[i].Text, d.RuledOut[i].Evidence = cut(d.RuledOut[i].Text, l.text), l.evidences(d.RuledOut[i].Evidence)
	}
	d.Remedies.Now, d.Remedies.Later = l.remedies(d.Remedies.Now), l.remedies(d.Remedies.Later)
	affected := make(map[string][]string, len(d.Affected))
	for _, kind := range slices.Sorted(maps.Keys(d.Affected)) {
		if len(affected) < l.names {
			affected[cut(kind, 63)] = l.some(d.Affected[kind])
		}
	}
	if d.Affected = affected; len(affected) == 0 {
		d.Affected = nil
	}
	return d
}

// some are the first names of a list, and how many more there are.
func (l limits) some(names []string) []string {
	kept := make([]string, 0, min(len(names), l.names)+1)
	for _, name := range names[:min(len(names), l.names)] {
		kept = append(kept, cut(name, 320))
	}
	if more := len(names) - len(kept); more > 0 {
		kept = append(kept, fmt.Sprintf("(+%d)", more))
	}
	return kept
}

func (l limits) evidences(in []v1alpha1.Evidence) []v1alpha1.Evidence {
	out := slices.Clone(in[:min(len(in), l.evidence)])
	for i := range out {
		out[i].Source, out[i].Path, out[i].Value = cut(out[i].Source, l.value), cut(out[i].Path, l.value), cut(out[i].Value, l.value)
	}
	return out
}

func (l limits) remedies(in []v1alpha1.Remedy) []v1alpha1.Remedy {
	out := slices.Clone(in[:min(len(in), l.statements)])
	for i := range out {
		out[i].Text = cut(out[i].Text, l.text)
		// Half a command is worse than none.
		if utf8.RuneCountInString(out[i].Command) > l.text || !utf8.ValidString(out[i].Command) {
			out[i].Command = ""
		}
		out[i].Machine = cut(out[i].Machine, 253)
	}
	return out
}

// subject cuts a subject to what the definition of Incidents allows (v1alpha1.Subject).
func subject(s v1alpha1.Subject) v1alpha1.Subject {
	return v1alpha1.Subject{Kind: cut(s.Kind, 63), Namespace: cut(s.Namespace, 63), Name: cut(s.Name, 512), Machine: cut(s.Machine, 253)}
}

// cut leaves the first characters of a text, which it makes valid.
func cut(text string, most int) string {
	text = strings.ToValidUTF8(text, "\uFFFD")
	if len(text) <= most || utf8.RuneCountInString(text) <= most {
		return text
	}
	if most <= 1 {
		return ""
	}
	n := 0
	for i := range text {
		if n == most-1 {
			return text[:i] + "…"
		}
		n++
	}
	return text
}
