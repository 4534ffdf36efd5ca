package statuspage

import (
	"context"
	"errors"
	"io"
	"net/http"
	"strings"

	authorizationv1 "k8s.io/api/authorization/v1"

	"github.com/maek-dev/maek/internal/kuberhealthy"
)

// routes says who answers what. Version 2 answers every path with its document (master:
// cmd/kuberhealthy/kuberhealthy.go, StartWebServer), so everything that is not otherwise taken is that;
// but what version 3 serves and this page does not, is not found: a document of another kind would be
// taken for it.
func (p *Page) routes() http.Handler {
	// Reports have places of their own: whoever asks for pages, however often, holds up no checker.
	reports, pages, people := newGate(maxReports), newGate(maxPages), newGate(maxPeople)
	mux := http.NewServeMux()
	mux.Handle("/externalCheckStatus", p.report(kuberhealthy.V2, reports))
	mux.Handle("/check", p.report(kuberhealthy.V3, reports))
	mux.Handle("/", bodiless(pages.reject(p.document("/", kuberhealthy.ContentTypeV2, kuberhealthy.Status.DocumentV2))))
	mux.Handle("/json", bodiless(pages.reject(p.document("/json", kuberhealthy.ContentTypeV3, kuberhealthy.Status.DocumentV3))))
	mux.Handle("/metrics", pages.reject(p.metrics()))
	mux.Handle("/api/run", people.reject(http.HandlerFunc(p.run)))
	mux.Handle("/api/events", people.reject(http.HandlerFunc(p.events)))
	mux.Handle("/api/logs", people.reject(http.HandlerFunc(p.log)))
	mux.Handle("/api/logs/stream", newGate(maxStreams).reject(http.HandlerFunc(p.follow)))
	for _, path := range []string{"/api/", "/static/", "/openapi.json", "/openapi.yaml"} {
		mux.HandleFunc(path, http.NotFound)
	}
	return guarded(mux)
}

// guarded puts on every answer what keeps a browser from doing more with it than showing it, and from
// keeping it.
func guarded(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		header := w.Header()
		header.Set("X-Content-Type-Options", "nosniff")
		header.Set("X-Frame-Options", "DENY")
		header.Set("Content-Security-Policy", "default-src 'none'; frame-ancestors 'none'")
		header.Set("Referrer-Policy", "no-referrer")
		header.Set("Cache-Control", "no-store")
		next.ServeHTTP(w, r)
	})
}

// status is what is known now.
func (p *Page) status() kuberhealthy.Status {
	return kuberhealthy.Status{
		Entries: p.Board.Entries(), Standing: p.Standing(), Metadata: p.Settings().Metadata, Now: p.Clock.Now(),
	}
}

// open lets a request through to what Kuberhealthy serves to anybody: in compatibility mode, or with a
// token that may get the path, as Kubernetes' own components have it. The path is the page's, not that of
// the request: version 2's document is at every path, and everybody may get some, such as /version
// (https://kubernetes.io/docs/reference/access-authn-authz/rbac/#discovery-roles).
func (p *Page) open(w http.ResponseWriter, r *http.Request, path string) bool {
	if p.Settings().Compatibility {
		return true
	}
	return p.allow(w, r, Deed{Path: &authorizationv1.NonResourceAttributes{Path: path, Verb: "get"}})
}

// allow lets a request through whose token has the right, and answers any other. Tokens come by the
// header alone, which no foreign page can make a browser send.
func (p *Page) allow(w http.ResponseWriter, r *http.Request, deed Deed) bool {
	ctx, cancel := context.WithTimeout(r.Context(), askTime)
	defer cancel()
	switch err := p.Access.Allow(ctx, bearer(r), deed); {
	case err == nil:
		return true
	case errors.Is(err, ErrUnknownToken):
		w.Header().Set("WWW-Authenticate", `Bearer realm="kubernetes"`)
		answer(w, http.StatusUnauthorized, "send a token of this cluster: Authorization: Bearer TOKEN, such as kubectl create token prints")
	case errors.Is(err, ErrForbidden):
		answer(w, http.StatusForbidden, "the token's bearer has no right to "+deed.String())
	default:
		p.Log.Warn("a right could not be looked up", "path", r.URL.Path, "error", err)
		unavailable(w, "the API server does not say whether the token's bearer may")
	}
	return false
}

// bearer is a request's token; empty where it has none.
func bearer(r *http.Request) string {
	scheme, token, _ := strings.Cut(r.Header.Get("Authorization"), " ")
	if !strings.EqualFold(scheme, "Bearer") {
		return ""
	}
	return strings.TrimSpace(token)
}

// readOnly lets GET and HEAD through and answers any other method.
func readOnly(w http.ResponseWriter, r *http.Request) bool {
	if r.Method == http.MethodGet || r.Method == http.MethodHead {
		return true
	}
	w.Header().Set("Allow", "GET, HEAD")
	answer(w, http.StatusMethodNotAllowed, "there is only something to read here")
	return false
}

// answer is a sentence, or nothing.
func answer(w http.ResponseWriter, status int, sentence string) {
	w.Header().Set("Content-Type", "text/plain; charset=utf-8")
	w.WriteHeader(status)
	_, _ = io.WriteString(w, sentence) //nolint:gosec // it is text, and nosniff: no browser makes anything else of it
}

// unavailable asks to try again.
func unavailable(w http.ResponseWriter, sentence string) {
	w.Header().Set("Retry-After", retryAfter)
	answer(w, http.StatusServiceUnavailable, sentence)
}
