package statuspage

import (
	"context"
	"log/slog"
	"net/http"

	"github.com/prometheus/client_golang/prometheus"
	"k8s.io/utils/clock"

	"github.com/maek-dev/maek/internal/kuberhealthy"
)

// Board knows all checks of both APIs with their states, from caches: it is asked at every request.
type Board interface {
	Entries() []kuberhealthy.Entry
}

// Runner begins a run out of turn.
type Runner interface {
	// RunNow returns nil when the run has begun or will without delay, whichever replica owns the check;
	// a *kuberhealthy.Refusal where it is not to be begun, with the status 409 where one goes on already;
	// and any other error where it cannot be just now.
	RunNow(ctx context.Context, check kuberhealthy.Check) error
}

// Options of a Page. All are needed unless they say otherwise.
type Options struct {
	// Board knows the checks.
	Board Board
	// Standing tells what this replica is among the others.
	Standing func() kuberhealthy.Standing
	// Reporter takes reports in.
	Reporter kuberhealthy.Reporter
	// Runner begins runs for POST /api/run.
	Runner Runner
	// Access says who may do what; NewAccess makes one that asks the API server.
	Access Access
	// Cluster reads events and logs; NewCluster makes one that asks the API server.
	Cluster Cluster

	// Settings tells what may change while the operator runs.
	Settings func() Settings
	// Metrics are served beside those of the checks; nil for none.
	Metrics prometheus.Gatherer

	Clock clock.PassiveClock
	Log   *slog.Logger
}

// Settings of a Page.
type Settings struct {
	// Compatibility with Kuberhealthy, which knows no tokens: documents and metrics are served to anybody,
	// and a pod of its version 2 that does not tell its run is known by its address. Without it the former
	// need a token that may get the path, and the latter are refused.
	Compatibility bool
	// Metadata is put into version 2's document (stateMetadata).
	Metadata map[string]string
	// Labels of metrics.
	Labels kuberhealthy.MetricLabels
}

// Page answers requests.
type Page struct {
	Options

	handler http.Handler
}

// New makes a Page.
func New(options Options) *Page {
	p := &Page{Options: options}
	p.handler = p.routes()
	return p
}

// Handler answers all requests of the page. It is meant to be served by the server of Server, whose
// limits belong to it.
func (p *Page) Handler() http.Handler { return p.handler }
