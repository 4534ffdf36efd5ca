package operator

import (
	"net/http"
	"sync/atomic"
	"time"

	"k8s.io/client-go/transport"
	"k8s.io/utils/clock"
)

// wire notes when a request to the API server last came to nothing: nobody listened, or the connection broke before
// an answer. Watches are made anew as soon as they end, so that even an outage that is over before anything is
// renewed is seen. What the API server answers, and what whoever asked gave up, is no outage.
type wire struct {
	clock clock.PassiveClock
	// broke is when; nil for never.
	broke atomic.Pointer[time.Time]
}

// wrap is for a rest.Config.
func (w *wire) wrap() transport.WrapperFunc {
	return func(next http.RoundTripper) http.RoundTripper { return wired{next, w} }
}

// since is when the API server was last out of reach; the zero time where it never was.
func (w *wire) since() time.Time {
	if broke := w.broke.Load(); broke != nil {
		return *broke
	}
	return time.Time{}
}

// wired is a way to the API server that is watched.
type wired struct {
	http.RoundTripper

	wire *wire
}

// RoundTrip implements http.RoundTripper.
func (w wired) RoundTrip(r *http.Request) (*http.Response, error) {
	response, err := w.RoundTripper.RoundTrip(r)
	if err != nil && r.Context().Err() == nil {
		w.wire.broke.Store(new(w.wire.clock.Now()))
	}
	return response, err
}

// WrappedRoundTripper implements utilnet.RoundTripperWrapper of k8s.io/apimachinery, by which client-go finds what
// is beneath.
func (w wired) WrappedRoundTripper() http.RoundTripper { return w.RoundTripper }

// settled is since when this replica has looked on: the replicas are those that they are, and the API server was
// not away.
func (o *Operator) settled() time.Time {
	settled := o.ring.Settled()
	if broke := o.wire.since(); broke.After(settled) {
		return broke
	}
	return settled
}
