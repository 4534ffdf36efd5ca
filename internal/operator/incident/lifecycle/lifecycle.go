// Package lifecycle decides what each Incident object should say: when it is opened, changed, closed,
// reopened and deleted. It writes nothing itself and has no clock, so that a new leader which is told what
// is stored decides as the one before would have.
package lifecycle

import (
	"cmp"
	"slices"
	"strings"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/maek-dev/maek/api/maek/v1alpha1"
	"github.com/maek-dev/maek/internal/diagnosis"
	"github.com/maek-dev/maek/internal/finding"
	"github.com/maek-dev/maek/internal/rule"
)

const (
	// Linger is how long a root must be gone before its incident is closed, and seen to be gone twice: a
	// container that restarts is well for a moment each time. Rules' own For is what keeps incidents from
	// being opened for a moment.
	Linger = 5 * time.Second
	// Reopening is how long after its end an incident that comes back is the same one, and not another.
	Reopening = 15 * time.Minute
	// Pace is how often one object is written at most, but for its opening, closing and change of severity.
	Pace = 10 * time.Second
	// Refresh is how often an object is brought up to date in what is no change of meaning.
	Refresh = 10 * time.Minute
)

// Options say how incidents are kept.
type Options struct {
	// Language of their texts.
	Language finding.Language
	// TTL of closed ones.
	TTL time.Duration
	// Most that there are at a time.
	Most int
}

// Book holds what is known of every incident, and what its object should say. It is not safe for
// concurrent use.
type Book struct {
	options Options
	rules   map[finding.Code]rule.Rule
	records map[string]*record
	// unwritten is how many incidents of the newest diagnosis have no object because there are too many.
	unwritten int
	taken     bool
}

// record is what is known of one incident.
type record struct {
	// stored is its object as it is in the API server; nil where there is none.
	stored *v1alpha1.Incident
	// want is what its status should be.
	want v1alpha1.IncidentStatus
	// dirty tells that stored does not say what want does.
	dirty bool
	// meant is the meaning of want, and said when want last took on what was found.
	meant uint64
	said  time.Time
	// missing counts the diagnoses since absent in which its root was looked for and not found.
	missing int
	absent  time.Time
	// doomed tells that the object is to be deleted.
	doomed bool
	// refused tells that the API server will not take what want says.
	refused bool
	notices []Notice
}

// Notice is a transition that people should hear of.
type Notice struct {
	// Reason in a stable word.
	Reason Reason
	// Subject is the root.
	Subject v1alpha1.Subject
	// Text of it.
	Text finding.Text
}

// Reason of a notice.
type Reason string

// The reasons of notices.
const (
	Opened   Reason = "IncidentOpened"
	Reopened Reason = "IncidentReopened"
	Worse    Reason = "IncidentWorse"
	Closed   Reason = "IncidentClosed"
)

// New makes a book of incidents that rules find.
func New(rules []rule.Rule, o Options) *Book {
	b := &Book{options: o, rules: map[finding.Code]rule.Rule{}, records: map[string]*record{}}
	for _, r := range rules {
		b.rules[r.Code] = r
	}
	return b
}

// Name is the name of the object of an incident: its code, so that people recognize it, and its id.
func Name(code, id string) string { return strings.ToLower(code) + "-" + id }

// Load takes in all objects that are stored.
func (b *Book) Load(objects []v1alpha1.Incident) {
	there := map[string]bool{}
	for i := range objects {
		b.Store(objects[i].Name, &objects[i])
		there[objects[i].Name] = true
	}
	for name, r := range b.records {
		if r.stored != nil && !there[name] {
			b.Store(name, nil)
		}
	}
}

// Store takes in the object of one name as it is stored, or nil where there is none.
func (b *Book) Store(name string, object *v1alpha1.Incident) {
	r, known := b.records[name]
	switch {
	case object == nil && !known:
	case object == nil && (r.doomed || r.want.Phase != v1alpha1.IncidentOpen):
		delete(b.records, name)
	case object == nil:
		// Somebody deleted what still goes on.
		r.stored, r.dirty = nil, true
	case !known:
		r = &record{stored: object, want: *object.Status.DeepCopy()}
		r.meant = meaning(r.want.IncidentDetails)
		b.records[name] = r
	case r.doomed && object.Status.Phase != r.want.Phase:
		// Another leader has opened it since.
		delete(b.records, name)
		b.Store(name, object)
	default:
		r.store(object)
	}
}

// store takes in the object as it is stored. Where another leader was first to say what is wanted, it told of
// it too, and there is nothing left to write.
func (r *record) store(object *v1alpha1.Incident) {
	is, before := object.Status, v1alpha1.IncidentStatus{}
	if r.stored != nil {
		before = r.stored.Status
	}
	r.stored = object
	same := is.Phase == r.want.Phase && is.Severity == r.want.Severity
	if !same {
		r.dirty = true
		return
	}
	if before.Phase != is.Phase || before.Severity != is.Severity {
		r.want.OpenedAt, r.want.ClosedAt, r.notices = is.OpenedAt, is.ClosedAt, nil
		if r.meant == meaning(is.IncidentDetails) && r.want.Unverified == is.Unverified {
			r.want.IncidentDetails, r.dirty = *is.IncidentDetails.DeepCopy(), false
		}
	}
}

// Take takes in a diagnosis.
func (b *Book) Take(d diagnosis.Diagnosis) {
	now := d.Snapshot.Now()
	found := map[string]bool{}
	open := 0
	for _, r := range b.records {
		if r.want.Phase == v1alpha1.IncidentOpen {
			open++
		}
	}
	b.unwritten = 0
	for n, i := range d.Incidents {
		name := Name(string(i.Root.Code), i.ID)
		found[name] = true
		if r, known := b.records[name]; !known || r.want.Phase != v1alpha1.IncidentOpen {
			// The gravest come first. They are written beside others that were there before, but not without end.
			if n >= b.options.Most || open >= 2*b.options.Most {
				b.unwritten++
				continue
			}
			open++
		}
		b.found(name, Bound(i.Details(b.options.Language)), now)
	}
	sight := newSight(d, b.rules)
	for name, r := range b.records {
		switch {
		case found[name] || r.doomed:
		case r.want.Phase == v1alpha1.IncidentOpen:
			r.lost(sight.of(r.want.IncidentDetails), now, b.options.Language)
		case r.want.Phase == "":
			// Its status was never written, and there is nothing to write.
			r.doomed = true
		}
	}
	b.taken = true
	b.expire(now)
}

// found takes in an incident that goes on.
func (b *Book) found(name string, details v1alpha1.IncidentDetails, now time.Time) {
	r, known := b.records[name]
	if !known {
		r = &record{}
		b.records[name] = r
	}
	r.missing, r.doomed = 0, false
	meant := meaning(details)
	was := r.want
	switch {
	case was.Phase == v1alpha1.IncidentOpen:
		if r.said.IsZero() {
			// The leader before this one wrote it, some time ago.
			r.said = now.Add(-Pace)
		}
		worse := finding.Rank(details.Severity) < finding.Rank(was.Severity)
		due := meant != r.meant && (now.Sub(r.said) >= Pace || details.Severity != was.Severity)
		if !due && now.Sub(r.said) < Refresh && was.Unverified == "" {
			return
		}
		r.want.IncidentDetails, r.want.Unverified = details, ""
		if worse {
			r.note(Worse, finding.Format("%s, now %s", "%s, 이제 %s", finding.Verbatim(details.Title), finding.Verbatim(string(details.Severity))))
		}
	case was.Phase == v1alpha1.IncidentClosed && was.ClosedAt != nil && now.Sub(was.ClosedAt.Time) < Reopening:
		r.want = v1alpha1.IncidentStatus{IncidentDetails: details, Phase: v1alpha1.IncidentOpen, OpenedAt: was.OpenedAt}
		r.note(Reopened, finding.Verbatim(details.Title))
	default:
		r.want = v1alpha1.IncidentStatus{IncidentDetails: details, Phase: v1alpha1.IncidentOpen, OpenedAt: metav1.Time{Time: now}.Rfc3339Copy()}
		r.note(Opened, finding.Verbatim(details.Title))
	}
	r.meant, r.said, r.dirty, r.refused = meant, now, true, false
}

// lost takes in that an open incident was not found, because it could not be looked for (unseen says why)
// or because it is gone.
func (r *record) lost(unseen finding.Text, now time.Time, l finding.Language) {
	if reason := cut(unseen.In(l), widest.value); reason != "" {
		r.missing = 0
		if still(r.want.Unverified) != still(reason) && (r.want.Unverified == "" || now.Sub(r.said) >= Pace) {
			r.want.Unverified, r.said, r.dirty, r.refused = reason, now, true, false
		}
		return
	}
	if r.missing++; r.missing == 1 {
		r.absent = now
	}
	if r.missing < 2 || now.Sub(r.absent) < Linger {
		return
	}
	r.want.Phase, r.want.Unverified = v1alpha1.IncidentClosed, ""
	r.want.ClosedAt = new(metav1.Time{Time: now}.Rfc3339Copy())
	r.missing, r.dirty, r.refused = 0, true, false
	r.note(Closed, finding.Verbatim(r.want.Title))
}

func (r *record) note(reason Reason, text finding.Text) {
	// Of several transitions that nobody has heard of, the last is the news.
	r.notices = []Notice{{Reason: reason, Subject: r.want.Subject, Text: text}}
}

// expire dooms what ended long ago, and the oldest of what ended where there are too many.
func (b *Book) expire(now time.Time) {
	var closed []*record
	kept := 0
	for name, r := range b.records {
		switch {
		case r.doomed:
		case r.want.Phase != v1alpha1.IncidentClosed:
			kept++
		case r.want.ClosedAt == nil || now.Sub(r.want.ClosedAt.Time) >= b.options.TTL:
			r.doomed = true
		default:
			kept++
			closed = append(closed, r)
		}
		if r.doomed && r.stored == nil {
			delete(b.records, name)
		}
	}
	slices.SortFunc(closed, func(x, y *record) int {
		return cmp.Or(x.want.ClosedAt.Compare(y.want.ClosedAt.Time), cmp.Compare(x.want.ID, y.want.ID))
	})
	for _, r := range closed[:min(len(closed), max(0, kept-b.options.Most))] {
		r.doomed = true
	}
}

// Lingering tells whether an incident waits to be seen to be gone a second time.
func (b *Book) Lingering() bool {
	for _, r := range b.records {
		if r.missing > 0 {
			return true
		}
	}
	return false
}

// Unwritten is how many incidents of the newest diagnosis have no object because there are too many.
func (b *Book) Unwritten() int { return b.unwritten }

// Statuses are what all incidents should say, by the names of their objects. They are shared: do not
// write to them.
func (b *Book) Statuses() map[string]v1alpha1.IncidentStatus {
	out := make(map[string]v1alpha1.IncidentStatus, len(b.records))
	for name, r := range b.records {
		if r.want.Phase != "" && !r.doomed {
			out[name] = r.want
		}
	}
	return out
}
