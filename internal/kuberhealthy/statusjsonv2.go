package kuberhealthy

import (
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	kuberhealthyv1 "github.com/maek-dev/maek/api/kuberhealthy/v1"
)

// ContentTypeV2 of version 2's document. It names none, so Go's server guesses this.
const ContentTypeV2 = "text/plain; charset=utf-8"

// documentV2 is version 2's status document (master: pkg/health/state.go, State). The order of the
// fields is the order in which they are printed.
type documentV2 struct {
	OK            bool
	Errors        []string
	CheckDetails  map[string]kuberhealthyv1.State
	JobDetails    map[string]kuberhealthyv1.State
	CurrentMaster string
	Metadata      map[string]string
}

// DocumentV2 returns version 2's status document: what Kuberhealthy 2 serves at every path. Checks are
// named namespace/name, and those that have never run are left out.
func (s Status) DocumentV2() ([]byte, error) {
	entries := s.sorted()
	doc := documentV2{
		CheckDetails:  map[string]kuberhealthyv1.State{},
		JobDetails:    map[string]kuberhealthyv1.State{},
		CurrentMaster: s.Standing.Master,
		Metadata:      s.metadata(s.Metadata),
	}
	doc.OK, doc.Errors = s.overall(V2, entries)
	for _, e := range entries {
		t := s.tell(e)
		if e.Check.API != V2 || t.hidden {
			continue
		}
		details := kuberhealthyv1.State{
			OK: t.ok, Errors: t.errors, Namespace: e.Check.Namespace, Node: e.State.Node,
			AuthoritativePod: e.State.Writer,
			// CurrentUUID is a token that may still report, and so nobody's business.
		}
		if e.State.Duration > 0 {
			details.RunDuration = e.State.Duration.String()
		}
		if !e.State.EndedAt.IsZero() {
			details.LastRun = new(metav1.NewTime(e.State.EndedAt))
		}
		if e.Check.Once {
			doc.JobDetails[e.Check.String()] = details
		} else {
			doc.CheckDetails[e.Check.String()] = details
		}
	}
	return document(doc)
}
