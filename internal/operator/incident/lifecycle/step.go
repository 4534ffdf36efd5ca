package lifecycle

import (
	"cmp"
	"slices"

	"github.com/maek-dev/maek/api/maek/v1alpha1"
	"github.com/maek-dev/maek/internal/finding"
)

// Step is the next thing to do about an object.
type Step struct {
	// Name of the object.
	Name string
	// Stored is the object as it is stored; nil where it is to be created.
	Stored *v1alpha1.Incident
	// Status that it should have.
	Status v1alpha1.IncidentStatus
	// Delete tells that it should be gone.
	Delete bool
	// Notices of transitions that the status tells of.
	Notices []Notice
}

// rank of a step: what people wait for first.
func (s Step) rank() int {
	switch {
	case s.Delete:
		return 4
	case s.Status.Phase == v1alpha1.IncidentOpen && len(s.Notices) > 0:
		return finding.Rank(s.Status.Severity)
	default:
		return 3
	}
}

// Steps are what has to be done now, the most urgent first. Before the first diagnosis there are none: it
// alone tells what goes on.
func (b *Book) Steps() []Step {
	if !b.taken {
		return nil
	}
	var out []Step
	for name, r := range b.records {
		switch {
		case r.doomed && r.stored != nil:
			out = append(out, Step{Name: name, Stored: r.stored, Delete: true})
		case r.dirty && !r.refused && !r.doomed:
			out = append(out, Step{Name: name, Stored: r.stored, Status: *r.want.DeepCopy(), Notices: r.notices})
		}
	}
	slices.SortFunc(out, func(x, y Step) int { return cmp.Or(cmp.Compare(x.rank(), y.rank()), cmp.Compare(x.Name, y.Name)) })
	return out
}

// Wrote takes in that a step was done, and the object that is stored since.
func (b *Book) Wrote(s Step, stored *v1alpha1.Incident) {
	r, known := b.records[s.Name]
	if !known {
		return
	}
	if s.Delete {
		r.stored = nil
		if r.doomed {
			delete(b.records, s.Name)
			return
		}
		// It came back meanwhile.
		r.dirty = true
		return
	}
	r.stored = stored
	if meaning(r.want.IncidentDetails) == meaning(s.Status.IncidentDetails) && r.want.Phase == s.Status.Phase && r.want.Unverified == s.Status.Unverified {
		r.dirty = false
	}
	if slices.Equal(r.notices, s.Notices) {
		r.notices = nil
	}
}

// Refuse takes in that the API server will never take what a step says. It is left alone until it says
// something else.
func (b *Book) Refuse(s Step) {
	if r, known := b.records[s.Name]; known {
		r.refused = true
	}
}

// Noticed are subjects of transitions of which nobody was told yet, at most so many.
func (b *Book) Noticed(most int) []v1alpha1.Subject {
	var out []v1alpha1.Subject
	for _, r := range b.records {
		for _, n := range r.notices {
			if len(out) < most {
				out = append(out, n.Subject)
			}
		}
	}
	return out
}
