package admission

import (
	"maps"
	"slices"
	"strings"
	"time"

	coordinationv1 "k8s.io/api/coordination/v1"

	"github.com/maek-dev/maek/internal/finding"
	"github.com/maek-dev/maek/internal/rule"
	"github.com/maek-dev/maek/internal/snapshot"
)

// podRefusal is one object for whose sake the API server refuses pods, with every controller that it refuses
// them to.
type podRefusal struct {
	subject  finding.Subject
	failures []snapshot.CreateFailure
}

// refusedFor is how long pods must have been refused: pods that end still count for a quota, and what is
// applied together with its pods may come a moment after them.
const refusedFor = time.Minute

// retried bounds how old the last event about refused pods may be to tell of the present: a controller
// that was refused tries again after at most 1000 s
// (k8s.io/client-go/util/workqueue, DefaultTypedControllerRateLimiter).
const retried = 1000 * time.Second

// failuresNow are the pods that could not be created and are still wanted. It is nothing while the
// controller manager is dead, for then nobody tries and what conditions say is past.
func failuresNow(p *rule.Pass) []snapshot.CreateFailure {
	if p.Writer(snapshot.ControllerManager).State == snapshot.Dead {
		return nil
	}
	return slices.DeleteFunc(p.CreateFailures(), func(f snapshot.CreateFailure) bool {
		return strings.HasPrefix(f.Evidence.Source, "Event ") && f.Evidence.At != nil && p.Now().Sub(f.Evidence.At.Time) > retried
	})
}

// creations are the kinds that failuresNow reads.
func creations() []rule.Need {
	return append(rule.Creations(), rule.Optional[*coordinationv1.Lease]())
}

// podRefusalsBy groups the pods that could not be created by the object that is to blame, in the order of
// its names; what blame knows nothing about is left out.
func podRefusalsBy(failures []snapshot.CreateFailure, blame func(snapshot.CreateFailure) (finding.Subject, bool)) []podRefusal {
	by := map[finding.Subject][]snapshot.CreateFailure{}
	for _, f := range failures {
		if subject, ok := blame(f); ok {
			by[subject] = append(by[subject], f)
		}
	}
	out := make([]podRefusal, 0, len(by))
	for _, subject := range slices.SortedFunc(maps.Keys(by), finding.CompareSubjects) {
		out = append(out, podRefusal{subject: subject, failures: by[subject]})
	}
	return out
}

// since is when the first of the controllers was refused.
func (r podRefusal) since() time.Time {
	var first time.Time
	for _, f := range r.failures {
		first = finding.Earlier(first, f.Since)
	}
	return first
}

// harmed are the controllers that lack pods and the workloads above them.
func (r podRefusal) harmed() []finding.Subject {
	var out []finding.Subject
	for _, f := range r.failures {
		out = append(out, f.Owner, f.Workload)
	}
	slices.SortFunc(out, finding.CompareSubjects)
	return slices.Compact(out)
}

// workloads names what lacks pods, as people know it.
func (r podRefusal) workloads() finding.Text {
	var names []string
	for _, f := range r.failures {
		names = append(names, finding.Named(f.Workload))
	}
	return finding.List(names)
}

// evidenceTold is how many refusals a finding quotes: more say the same again.
const evidenceTold = 2

// evidence quotes the first refusals.
func (r podRefusal) evidence() []finding.Evidence {
	var out []finding.Evidence
	for _, f := range r.failures[:min(len(r.failures), evidenceTold)] {
		e := f.Evidence
		e.Value = finding.Quote(refusalWords(e.Value))
		out = append(out, e)
	}
	return out
}

// refusalWords drops what a controller puts before the API server's own words: `pods "x-" is forbidden: WHY`
// (k8s.io/apiserver/pkg/admission, NewForbidden).
func refusalWords(message string) string {
	if _, why, ok := strings.Cut(message, " is forbidden: "); ok {
		return why
	}
	return message
}

// triedAgain is what is said where the obstacle is gone by now: a controller that was refused waits longer
// after every try, up to the time that is named.
var triedAgain = finding.Text{
	EN: "controllers that were refused try again by themselves within 17 minutes",
	KO: "거부된 controller는 17분 안에 스스로 다시 시도합니다",
}

// lastWritten says who wrote an object last and when, as far as its managed fields tell.
func lastWritten(now time.Time, o snapshot.Object) finding.Text {
	by, at := snapshot.LastManager(o)
	if at.IsZero() {
		return finding.Text{}
	}
	return finding.Textf("%s was last written at %s by %q", "%s의 마지막 변경: %s(%q)",
		finding.Named(snapshot.SubjectOf(o)), finding.Clock(now, at), by)
}
