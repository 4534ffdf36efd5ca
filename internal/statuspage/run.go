package statuspage

import (
	"context"
	"errors"
	"net/http"
	"strings"

	authorizationv1 "k8s.io/api/authorization/v1"

	"github.com/maek-dev/maek/internal/kuberhealthy"
)

// kinds are those of checks, in the order in which a name without a kind is looked for: version 3's comes
// first, for the paths are its own.
var kinds = []struct {
	kind, group, resource string
}{
	{"HealthCheck", "kuberhealthy.github.io", "healthchecks"},
	{"KuberhealthyCheck", "comcast.github.io", "khchecks"},
	{"KuberhealthyJob", "comcast.github.io", "khjobs"},
}

// named is the check that a request names by ?namespace=, ?healthcheck= and, where that is not enough,
// ?kind=.
type named struct {
	namespace, name string
	// kind, group and resource of it; of what was asked for where there is no such check.
	kind, group, resource string
	found                 bool
	entry                 kuberhealthy.Entry
}

// check looks for what a request names. It returns false, and has answered, where it names nothing.
func (p *Page) check(w http.ResponseWriter, r *http.Request) (named, bool) {
	query := r.URL.Query()
	asked := named{
		namespace: strings.TrimSpace(query.Get("namespace")), name: strings.TrimSpace(query.Get("healthcheck")),
	}
	if asked.namespace == "" || asked.name == "" {
		answer(w, http.StatusBadRequest, "name the check: ?namespace=NAMESPACE&healthcheck=NAME")
		return named{}, false
	}
	kind := query.Get("kind")
	entries := p.Board.Entries()
	for _, candidate := range kinds {
		if kind != "" && kind != candidate.kind {
			continue
		}
		if asked.kind == "" {
			asked.kind, asked.group, asked.resource = candidate.kind, candidate.group, candidate.resource
		}
		for _, e := range entries {
			if e.Check.Kind == candidate.kind && e.Check.Namespace == asked.namespace && e.Check.Name == asked.name {
				asked.kind, asked.group, asked.resource = candidate.kind, candidate.group, candidate.resource
				asked.found, asked.entry = true, e
				return asked, true
			}
		}
	}
	if asked.kind == "" {
		answer(w, http.StatusBadRequest, "kind is one of HealthCheck, KuberhealthyCheck and KuberhealthyJob")
		return named{}, false
	}
	return asked, true
}

// deed is something that is done to the check.
func (n named) deed(verb string) Deed {
	return Deed{Resource: &authorizationv1.ResourceAttributes{
		Namespace: n.namespace, Name: n.name, Verb: verb, Group: n.group, Resource: n.resource,
	}}
}

// missing answers where there is no such check.
func (n named) missing(w http.ResponseWriter) {
	answer(w, http.StatusNotFound, "there is no "+n.kind+" "+n.namespace+"/"+n.name)
}

// run begins a check's run out of turn. It needs the right to update the check: whoever may change its
// interval may run it now.
func (p *Page) run(w http.ResponseWriter, r *http.Request) {
	if r.Method != http.MethodPost {
		w.Header().Set("Allow", "POST")
		answer(w, http.StatusMethodNotAllowed, "runs are begun by POST")
		return
	}
	asked, ok := p.check(w, r)
	if !ok || !p.allow(w, r, asked.deed("update")) {
		return
	}
	if !asked.found {
		asked.missing(w)
		return
	}
	name := asked.namespace + "/" + asked.name
	if asked.entry.State.Running {
		answer(w, http.StatusConflict, "a run of "+name+" goes on already")
		return
	}
	ctx, cancel := context.WithTimeout(r.Context(), askTime)
	defer cancel()
	err := p.Runner.RunNow(ctx, asked.entry.Check)
	switch refusal, refused := errors.AsType[*kuberhealthy.Refusal](err); {
	case err == nil:
		p.Log.Info("a run was asked for", "kind", asked.kind, "namespace", asked.namespace, "name", asked.name)
		w.WriteHeader(http.StatusAccepted)
	case refused:
		refuse(w, refusal)
	default:
		p.Log.Warn("a run that was asked for could not be begun", "kind", asked.kind, "namespace", asked.namespace, "name", asked.name, "error", err)
		unavailable(w, "a run of "+name+" cannot be begun just now")
	}
}
