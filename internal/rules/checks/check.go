package checks

import (
	"cmp"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"

	khv1 "github.com/maek-dev/maek/api/kuberhealthy/v1"
	khv2 "github.com/maek-dev/maek/api/kuberhealthy/v2"
	"github.com/maek-dev/maek/api/maek/v1alpha1"
	"github.com/maek-dev/maek/internal/finding"
	"github.com/maek-dev/maek/internal/rule"
	"github.com/maek-dev/maek/internal/snapshot"
)

// check is a check or a job of any API, with what is known of its runs.
type check struct {
	subject  finding.Subject
	resource string // as kubectl takes it: khcheck, khjob, healthcheck, checks.maek.dev
	kind     snapshot.Kind
	uid      types.UID
	created  time.Time
	labels   map[string]string
	images   []string
	scenario scenario

	// spec of a check of Maek's own; nil for the others.
	spec *v1alpha1.CheckSpec
	// failed are the targets that failed in the newest run, and reason is why it failed in one word, of a
	// check of Maek's own.
	failed []v1alpha1.CheckFailure
	reason reason
	// recovering tells that it has begun to succeed again, and not often enough to be believed.
	recovering bool
	// unknown says that a check of Maek's own has no verdict, and why; nil where it has one, or rests.
	unknown *metav1.Condition
	// overloaded is the condition that says that whoever runs it has more to do than it can.
	overloaded *metav1.Condition

	// paused tells that people, or its deletion, keep it from running.
	paused bool
	// once tells that it runs a single time; done that it has.
	once, done        bool
	interval, timeout time.Duration
	// staleAfter is when a result says nothing any more, where whoever runs the check says so; 0 where it is
	// reckoned.
	staleAfter time.Duration
	// offset that its first run may have: Maek's own checks begin within their first period.
	offset   time.Duration
	problems []problem

	// ended tells that some run has ended; ok and errors are how the newest did, at endedAt.
	ended   bool
	endedAt time.Time
	ok      bool
	errors  []string
	// said is the first text in which the newest run says what is wrong; empty where it says nothing.
	said string
	// future is when the newest run is said to have ended, where that is yet to come.
	future time.Time
	// node that the newest run's pod was on; empty where it is not known.
	node string
	// runs is how many runs in a row ended so; 0 where nobody counts.
	runs int
	// first tells that no run ended before the newest.
	first bool
	// since is when the first of the runs ended that failed in a row, at the latest; zero where it is not known.
	since time.Time
	// lastOK is when a run last ended well; zero where none did, or nobody keeps it.
	lastOK time.Time
	// source and path are where ok and errors stand.
	source, path string
	// record of the check; nil where there is none that is about its newest run.
	record *v1alpha1.CheckRecord
}

// checkNeeds are the kinds that checks are gathered from. All are optional: hardly a cluster has them all,
// and unread tells what could not be read.
func checkNeeds(more ...rule.Need) []rule.Need {
	return append([]rule.Need{
		rule.Optional[*khv1.KuberhealthyCheck](), rule.Optional[*khv1.KuberhealthyJob](), rule.Optional[*khv1.KuberhealthyState](),
		rule.Optional[*khv2.HealthCheck](), rule.Optional[*v1alpha1.Check](), rule.Optional[*v1alpha1.CheckRecord](),
	}, more...)
}

// checks are all checks of a snapshot.
type checks struct {
	all       []*check
	bySubject map[finding.Subject]*check
}

// checksOf gathers the checks of a snapshot, once for all rules.
func checksOf(s *snapshot.Snapshot) *checks {
	return snapshot.Derived(s, func() *checks {
		g := gatherer{now: s.Now(), records: map[types.UID]*v1alpha1.CheckRecord{}}
		for _, r := range snapshot.List[*v1alpha1.CheckRecord](s) {
			g.records[r.Check.UID] = r
		}
		for _, o := range snapshot.List[*khv1.KuberhealthyCheck](s) {
			state, _ := snapshot.Get[*khv1.KuberhealthyState](s, o.Namespace, o.Name)
			g.add(ofKuberhealthyCheck(o, state))
		}
		for _, o := range snapshot.List[*khv1.KuberhealthyJob](s) {
			state, _ := snapshot.Get[*khv1.KuberhealthyState](s, o.Namespace, o.Name)
			g.add(ofKuberhealthyJob(o, state))
		}
		for _, o := range snapshot.List[*khv2.HealthCheck](s) {
			g.add(ofHealthCheck(o))
		}
		for _, o := range snapshot.List[*v1alpha1.Check](s) {
			g.add(ofCheck(o))
		}
		out := &checks{all: g.all, bySubject: make(map[finding.Subject]*check, len(g.all))}
		for _, c := range g.all {
			out.bySubject[c.subject] = c
		}
		return out
	})
}

// gatherer completes checks with their records.
type gatherer struct {
	now     time.Time
	records map[types.UID]*v1alpha1.CheckRecord
	all     []*check
}

// recordTolerance is how much older than a result its record may be: the two are written one after the
// other, and the result's time is kept to the second.
const recordTolerance = time.Minute

func (g *gatherer) add(c *check) {
	c.scenario = scenarioOf(c)
	if c.endedAt.After(g.now.Add(recordTolerance)) {
		// A result from the future would never be old.
		c.future = c.endedAt
		c.ended, c.endedAt, c.ok, c.errors, c.lastOK = false, time.Time{}, false, nil, time.Time{}
	}
	c.said = firstSaid(c.errors)
	r := g.records[c.uid]
	current := r != nil && r.WrittenAt.Time.Add(recordTolerance).After(c.endedAt)
	if current && c.ended && (r.Healthy == "True") == c.ok {
		c.record = r
		if !c.ok {
			c.runs = cmp.Or(int(r.Streak), c.runs)
			c.first = len(r.Outcomes) == 1
			if r.Since != nil && !r.Since.After(c.endedAt) {
				c.since = r.Since.Time
			}
		}
	}
	if !c.ok && c.ended && c.unknown == nil {
		c.since = cmp.Or(c.since, c.firstFailure(), c.endedAt)
	}
	g.all = append(g.all, c)
}

// firstFailure is when the first of the runs ended that failed in a row, at the latest, reckoned from how
// many there were or from the last that ended well.
func (c *check) firstFailure() time.Time {
	var first time.Time
	switch {
	case c.once:
		return c.endedAt
	case c.runs > 0:
		first = c.endedAt.Add(-time.Duration(min(c.runs-1, maxRunsReckoned)) * c.interval)
	case !c.lastOK.IsZero():
		first = c.lastOK.Add(c.interval + c.timeout)
	}
	if first.After(c.endedAt) {
		return c.endedAt
	}
	return finding.Later(first, c.lastOK)
}

// maxRunsReckoned keeps the product of a hostile count and an interval in range.
const maxRunsReckoned = 100_000

// staleIntervals is after how many intervals without a result, and one timeout, a result says nothing any
// more: one run may be missed without anybody being to blame.
const staleIntervals = 2

// firstRunWithin is how long, and a timeout, a new check may be without a result: whoever runs
// Kuberhealthy's checks begins with it at once.
const firstRunWithin = 10 * time.Minute

// overdue tells whether a check has had no result for longer than it may, and since when that is so.
func (c *check) overdue(now time.Time) (since time.Time, overdue bool) {
	switch {
	case c.paused, c.once && (c.done || c.ended):
		return time.Time{}, false
	case c.ended && c.staleAfter > 0:
		since = c.endedAt.Add(c.staleAfter)
	case !c.ended:
		since = c.created.Add(firstRunWithin + c.offset + c.timeout)
	default:
		since = c.endedAt.Add(staleIntervals*c.interval + c.timeout)
	}
	return since, now.After(since)
}

// jobFailedLately is how long a failed job is worth telling: nothing runs it again.
const jobFailedLately = 24 * time.Hour

// failing tells whether the newest result says that something is wrong, and is still to be believed.
func (c *check) failing(now time.Time) bool {
	if !c.ended || c.ok || c.paused || c.unknown != nil {
		return false
	}
	if c.once {
		return now.Sub(c.endedAt) <= jobFailedLately
	}
	_, stale := c.overdue(now)
	return !stale
}

// firstSaid is the first text that says anything; empty where none does.
func firstSaid(texts []string) string {
	for _, text := range texts {
		if line := legible(text); line != "" {
			return line
		}
	}
	return ""
}

// legible makes one line of bearable length of what a checker says: it is a program of anybody's.
func legible(text string) string {
	// Of more than that, blanks may be all that is left out of what a line has room for.
	text = strings.TrimLeftFunc(text, blank)
	text = text[:min(len(text), 2*utf8.UTFMax*errorRunes)]
	return finding.Line(strings.Map(func(r rune) rune {
		if unicode.IsControl(r) {
			return ' '
		}
		return r
	}, text), errorRunes)
}

func blank(r rune) bool { return unicode.IsSpace(r) || unicode.IsControl(r) }

// errorRunes is how much of an error is quoted.
const errorRunes = 300

// evidence is the newest result as its object has it.
func (c *check) evidence() []finding.Evidence {
	out := []finding.Evidence{{Source: c.source, Path: c.path + okField(c.kind), Value: c.verdictField(), At: finding.Timestamp(c.endedAt)}}
	for i, text := range c.errors[:min(len(c.errors), errorsTold)] {
		// A run that failed at one target says the same of the whole.
		again := c.spec != nil && i > 0 && strings.Contains(c.errors[0], c.failed[i-1].Message)
		if line := legible(text); line != "" && !again {
			out = append(out, finding.Evidence{Source: c.source, Path: c.path + errorField(c.kind, i), Value: line, At: finding.Timestamp(c.endedAt)})
		}
	}
	if r := c.record; r != nil && r.LastFailure != nil && !c.ok {
		out = append(out, finding.Evidence{
			Source: "CheckRecord " + r.Namespace + "/" + r.Name, Path: ".lastFailure.reason", Value: finding.Quote(r.LastFailure.Reason), At: finding.Timestamp(r.LastFailure.At.Time),
		})
	}
	return out
}

// verdictField is the value of the field in which an object of the check's kind says how it stands.
func (c *check) verdictField() string {
	if c.spec == nil {
		return boolean(c.ok)
	}
	if c.ok {
		return string(metav1.ConditionTrue)
	}
	return string(metav1.ConditionFalse)
}

// errorsTold is how many errors of a run are told.
const errorsTold = 5
