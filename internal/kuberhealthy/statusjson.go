package kuberhealthy

import (
	"cmp"
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/maek-dev/maek/internal/secret"
)

// Status is what status documents and metrics tell of, at one moment.
//
// Details are told by API: version 2's document has checks and jobs of its objects, version 3's has
// HealthChecks. Whether all is well, and what is not, is told of both in each: somebody who looks at one
// address only must not be told that all is well by half of the checks. What belongs to the other
// version's document is named with its kind, so that nobody looks for it in the details.
type Status struct {
	// Entries of all checks and jobs of both APIs, in any order.
	Entries []Entry
	// Standing of the replica that answers.
	Standing Standing
	// Metadata that the configuration adds to version 2's document (stateMetadata).
	Metadata map[string]string
	// Now is the time that verdicts are judged by.
	Now time.Time
}

// Standing is what a replica is among the replicas that share the checks.
type Standing struct {
	// Master is the pod that documents name as the current master. All replicas share the work, so it
	// is the one that Kuberhealthy 2 would have chosen too: the first, by name, of those that live.
	Master string
	// Leading tells that this replica is the master and may begin runs. Exactly one replica leads where
	// checks are run at all, and none where no check can be begun.
	Leading bool
	// Able tells that this replica can do its share: it sees the cluster, and it holds its own Lease.
	Able bool
	// Notes say what keeps checks from being run, a sentence each: another operator runs them, say.
	Notes []string
}

// metadataNotes is the key of a document's metadata under which the notes are. Kuberhealthy has no words
// for them, and they do not make a check fail.
const metadataNotes = "maek.dev/notes"

// For returns the status of the checks in some namespaces; of all where none is named.
func (s Status) For(namespaces []string) Status {
	if len(namespaces) > 0 {
		s.Entries = slices.DeleteFunc(slices.Clone(s.Entries), func(e Entry) bool {
			return !slices.Contains(namespaces, e.Check.Namespace)
		})
	}
	return s
}

// told is an entry and what a page says of it.
type told struct {
	Entry
	// hidden tells that its version leaves it out: version 2 does what has never run.
	hidden bool
	// known tells that there is a result, and a fresh one.
	known bool
	ok    bool
	// errors of the newest run, and that it is too old.
	errors []string
	// failing are the errors that make the cluster's state not OK: there is one if and only if the check
	// is not OK. Those that are not the checker's own words name the check.
	failing []string
}

// tell judges all entries, by namespace and name.
func (s Status) tell() []*told {
	all := make([]*told, 0, len(s.Entries))
	for _, e := range s.Entries {
		all = append(all, e.tell(s.Now))
	}
	slices.SortFunc(all, func(a, b *told) int {
		return cmp.Or(cmp.Compare(a.Check.Namespace, b.Check.Namespace), cmp.Compare(a.Check.Name, b.Check.Name),
			cmp.Compare(a.Check.API, b.Check.API), cmp.Compare(a.Check.Kind, b.Check.Kind))
	})
	return all
}

// tell judges an entry as its version does.
func (e Entry) tell(now time.Time) *told {
	t := &told{Entry: e, errors: []string{}}
	if !e.State.Ended {
		if e.Check.API == V2 {
			t.hidden, t.ok = true, true
		} else {
			t.failing = []string{e.Check.String() + ": no run has ended yet"}
		}
		return t
	}
	t.ok, t.known = e.State.OK, true
	if _, stale := e.Stale(now); stale {
		t.ok, t.known = false, false
		t.errors = append(t.errors, e.StaleText())
		t.failing = append(t.failing, e.StaleText())
	}
	for _, text := range e.State.Errors {
		text = e.Shown(text)
		t.errors = append(t.errors, text)
		if strings.TrimSpace(text) != "" {
			t.failing = append(t.failing, text)
			t.ok = false
		}
	}
	if !t.ok && len(t.failing) == 0 {
		t.failing = []string{e.Check.String() + ": failed without an error"}
	}
	return t
}

// Shown is a checker's text without credentials, its run's token among them. In version 2 that is worth
// something until the next run begins: a run may report again.
func (e Entry) Shown(text string) string {
	if e.State.Run.ID != "" {
		text = strings.ReplaceAll(text, e.State.Run.ID, secret.Blot)
	}
	return secret.Redact(text)
}

// overall is what a document of one API says of all checks: whether they are OK, and the errors, those of
// its own API first.
func overall(own API, all []*told) (ok bool, failing []string) {
	failing = []string{}
	var others []string
	for _, t := range all {
		if t.Check.API == own {
			failing = append(failing, t.failing...)
			continue
		}
		for _, text := range t.failing {
			others = append(others, fmt.Sprintf("%s %s: %s", t.Check.Kind, t.Check, strings.TrimPrefix(text, t.Check.String()+": ")))
		}
	}
	failing = append(failing, others...)
	return len(failing) == 0, failing
}

// metadata adds the notes to what the configuration gives.
func (s Status) metadata(configured map[string]string) map[string]string {
	metadata := map[string]string{}
	maps.Copy(metadata, configured)
	if len(s.Standing.Notes) > 0 {
		metadata[metadataNotes] = strings.Join(s.Standing.Notes, "; ")
	}
	return metadata
}

// document is JSON as both versions print it.
func document(content any) ([]byte, error) {
	text, err := json.MarshalIndent(content, "", "  ")
	if err != nil {
		return nil, fmt.Errorf("printing the status: %w", err)
	}
	return text, nil
}
