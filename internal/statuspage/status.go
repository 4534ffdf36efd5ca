package statuspage

import (
	"errors"
	"fmt"
	"io"
	"net/http"
	"slices"
	"strings"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promhttp"
	dto "github.com/prometheus/client_model/go"

	"github.com/maek-dev/maek/internal/kuberhealthy"
)

// document serves the status document of a version, which has a path by which people get the right to it.
func (p *Page) document(path, contentType string, render func(kuberhealthy.Status) ([]byte, error)) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if !readOnly(w, r) || !p.open(w, r, path) {
			return
		}
		text, err := render(p.status().For(namespaces(r)))
		if err != nil {
			p.Log.Error("the status could not be printed", "error", err)
			answer(w, http.StatusInternalServerError, "the status could not be printed")
			return
		}
		w.Header().Set("Content-Type", contentType)
		_, _ = w.Write(text) // whoever asked has gone: nobody is left to be told
	})
}

// bodiless refuses a request with a body, as both versions do, so that a checker pod that reports to the
// wrong path hears of it. It comes before any gate: a body that is announced and never sent holds no place.
func bodiless(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if hasBody(r) {
			answer(w, http.StatusBadRequest, "the request has a body: reports are sent to the path of KH_REPORTING_URL")
			return
		}
		next.ServeHTTP(w, r)
	})
}

// hasBody tells whether a request has a body with anything in it.
func hasBody(r *http.Request) bool {
	var first [1]byte
	n, _ := io.ReadFull(r.Body, first[:]) // a body that cannot be read is none
	return n > 0
}

// namespaces are those that a request names: ?namespace=a,b. Both versions drop blank ones.
func namespaces(r *http.Request) []string {
	named := strings.Split(r.URL.Query().Get("namespace"), ",")
	return slices.DeleteFunc(named, func(name string) bool { return name == "" })
}

// metrics serves those of the checks, and those that the operator has beside them.
func (p *Page) metrics() http.Handler {
	// What can be told is told, even where something cannot.
	scrape := promhttp.HandlerFor(prometheus.GathererFunc(p.gather), promhttp.HandlerOpts{ErrorHandling: promhttp.ContinueOnError})
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if readOnly(w, r) && p.open(w, r, "/metrics") {
			scrape.ServeHTTP(w, r)
		}
	})
}

// gather joins both. Those of the checks are made well-formed and in order; prometheus.Gatherers would
// prove that at each scrape, and take as long for it as for all the rest.
func (p *Page) gather() ([]*dto.MetricFamily, error) {
	families := p.status().Metrics(p.Settings().Labels)
	if p.Metrics == nil {
		return families, nil
	}
	others, err := p.Metrics.Gather()
	if err != nil {
		err = fmt.Errorf("gathering the operator's own metrics: %w", err)
	}
	names := map[string]bool{}
	for _, family := range families {
		names[family.GetName()] = true
	}
	for _, family := range others {
		if names[family.GetName()] {
			err = errors.Join(err, fmt.Errorf("%s is gathered twice", family.GetName()))
			continue
		}
		families = append(families, family)
	}
	slices.SortFunc(families, func(a, b *dto.MetricFamily) int { return strings.Compare(a.GetName(), b.GetName()) })
	return families, err
}
