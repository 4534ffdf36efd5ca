package statuspage

import (
	"net/http"
)

// routes says who answers what. Version 2 answers any path with its document (master:
// cmd/kuberhealthy/kuberhealthy.go, StartWebServer), so everything that is not otherwise taken is that.
func (p *Page) routes() http.Handler {
	mux := http.NewServeMux()
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
