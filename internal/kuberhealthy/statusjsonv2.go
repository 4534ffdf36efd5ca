package kuberhealthy

import (
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	khv1 "github.com/maek-dev/maek/api/kuberhealthy/v1"
)

// ContentTypeV2 of version 2's document. It names none, so Go's server guesses this.
const ContentTypeV2 = "text/plain; charset=utf-8"

// documentV2 is version 2's status document (master: pkg/health/state.go, State). The order of the
// fields is the order in which they are printed.
type documentV2 struct {
	OK            bool
	Errors        []string
	CheckDetails  map[string]khv1.State
	JobDetails    map[string]khv1.State
	CurrentMaster string
	Metadata      map[string]string
}

// DocumentV2 returns version 2's status document: what Kuberhealthy 2 serves at every path. Checks are
// named namespace/name, and those that have never run are left out.
func (s Status) DocumentV2() ([]byte, error) {
	all := s.tell()
	doc := documentV2{
		CheckDetails:  map[string]khv1.State{},
		JobDetails:    map[string]khv1.State{},
		CurrentMaster: s.Standing.Master,
		Metadata:      s.metadata(s.Metadata),
	}
	doc.OK, doc.Errors = overall(V2, all)
	for _, t := range all {
		if t.Check.API != V2 || t.hidden {
			continue
		}
		details := khv1.State{
			OK: t.ok, Errors: t.errors, Namespace: t.Check.Namespace, Node: t.State.Node,
			RunDuration: RunDurationV2(t.State), AuthoritativePod: t.State.Writer,
			// CurrentUUID is a token that may still report, and so nobody's business.
		}
		if !t.State.EndedAt.IsZero() {
			details.LastRun = new(metav1.NewTime(t.State.EndedAt))
		}
		if t.Check.Once {
			doc.JobDetails[t.Check.String()] = details
		} else {
			doc.CheckDetails[t.Check.String()] = details
		}
	}
	return document(doc)
}
