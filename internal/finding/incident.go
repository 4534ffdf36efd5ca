package finding

import (
	"crypto/sha256"
	"encoding/hex"
	"strings"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/maek-dev/maek/api/maek/v1alpha1"
)

// Link is one effect in an incident's chain.
type Link struct {
	// Subject that suffers; the first of several where Text counts more than one.
	Subject Subject
	// Code of the finding that says so.
	Code Code
	// Depth is the number of links between the root and this one.
	Depth int32
	// Text says what happens to it.
	Text Text
	// Evidence for it.
	Evidence []Evidence
}

// Incident is one root finding and everything it explains.
type Incident struct {
	// ID is the same for the same root in every snapshot.
	ID string
	// Root finding.
	Root Finding
	// Severity is the worst of the root and of what it explains.
	Severity Severity
	// Chain of effects, each below what brings it about.
	Chain []Link
	// Affected lists, by kind, the sorted names of all that suffers.
	Affected map[string][]string
}

// IncidentID makes the id of the incident whose root is a finding: the same for the same code and
// subject, whenever and wherever it is found.
func IncidentID(root Finding) string {
	s := root.Subject
	sum := sha256.Sum256([]byte(strings.Join([]string{string(root.Code), s.Kind, s.Namespace, s.Name, s.Machine}, "\x00")))
	return hex.EncodeToString(sum[:6])
}

// Details renders the incident as the API's document, in one language.
func (i Incident) Details(l Language) v1alpha1.IncidentDetails {
	confidence := i.Root.Confidence
	if confidence == "" {
		confidence = v1alpha1.ConfidenceHigh
	}
	d := v1alpha1.IncidentDetails{
		ID:         i.ID,
		Code:       string(i.Root.Code),
		Severity:   i.Severity,
		Title:      i.Root.Title.In(l),
		Subject:    i.Root.Subject,
		Mechanism:  i.Root.Mechanism,
		Field:      i.Root.Field,
		Since:      Timestamp(i.Root.Since),
		Why:        i.Root.Why.In(l),
		Affected:   i.Affected,
		Confidence: confidence,
		Evidence:   i.Root.Evidence,
		Remedies: v1alpha1.Remedies{
			Now:   RemediesIn(i.Root.Remedies.Now, l),
			Later: RemediesIn(i.Root.Remedies.Later, l),
		},
	}
	for _, link := range i.Chain {
		d.Chain = append(d.Chain, v1alpha1.Link{
			Subject: link.Subject, Code: string(link.Code), Depth: link.Depth, Text: link.Text.In(l), Evidence: link.Evidence,
		})
	}
	for _, s := range i.Root.RuledOut {
		d.RuledOut = append(d.RuledOut, v1alpha1.Statement{Text: s.Text.In(l), Evidence: s.Evidence})
	}
	return d
}

// Timestamp turns a time into the API's, where the zero time is absence.
func Timestamp(t time.Time) *metav1.Time {
	if t.IsZero() {
		return nil
	}
	return &metav1.Time{Time: t.UTC().Truncate(time.Second)}
}

// RemediesIn renders remedies as the API's documents hold them, in one language.
func RemediesIn(in []Remedy, l Language) []v1alpha1.Remedy {
	var out []v1alpha1.Remedy
	for _, r := range in {
		out = append(out, v1alpha1.Remedy{Text: r.Text.In(l), Command: r.Command, Machine: r.Machine})
	}
	return out
}
