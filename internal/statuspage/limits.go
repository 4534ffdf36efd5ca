package statuspage

import (
	"context"
	"errors"
	"io"
	"net/http"
	"sync/atomic"
	"time"
)

// Limits on what anybody in the cluster can make an operator spend.
const (
	// maxReports are recorded at once. Each is a write to the API server.
	maxReports = 64
	// reportTime is how long a report may take in all. Kuberhealthy's Go clients give up after 30s of
	// tries.
	reportTime = 20 * time.Second
	// maxReportBytes are held of all reports together while they are read: this many of the largest
	// (kuberhealthy.MaxReportBytes), and thousands of the usual ones.
	maxReportBytes = 64 << 20
	// maxPages, maxPeople and maxStreams are answered at once.
	maxPages, maxPeople, maxStreams = 16, 8, 8
	// askTime is how long the API server may take to answer a question of the page's.
	askTime = 10 * time.Second
	// retryAfter is in seconds.
	retryAfter = "2"

	maxHeaderBytes = 64 << 10
	headerTime     = 5 * time.Second
	readTime       = 10 * time.Second
	writeTime      = time.Minute
	idleTime       = 2 * time.Minute
	// logBytes of a log are shown.
	logBytes = 16 << 20
	// streamTime is how long a log is followed; whoever wants more asks again.
	streamTime = time.Hour
)

// Server returns a server for the page with its limits, so that no client can hold what it does not use:
// headers of 64 KiB within 5s, a request within 10s, an answer within a minute. Its address and its end
// are the caller's business.
func (p *Page) Server() *http.Server {
	return &http.Server{
		Handler: p.Handler(), MaxHeaderBytes: maxHeaderBytes,
		ReadHeaderTimeout: headerTime, ReadTimeout: readTime, WriteTimeout: writeTime, IdleTimeout: idleTime,
	}
}

// gate lets so many through at once.
type gate chan struct{}

func newGate(places int) gate { return make(gate, places) }

// reject turns away whom there is no place for.
func (g gate) reject(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		select {
		case g <- struct{}{}:
			defer func() { <-g }()
			next.ServeHTTP(w, r)
		default:
			unavailable(w, "too many requests at once")
		}
	})
}

// enter waits for a place until ctx ends.
func (g gate) enter(ctx context.Context) (leave func(), err error) {
	select {
	case g <- struct{}{}:
		return func() { <-g }, nil
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}

// errFull: no more may be held just now.
var errFull = errors.New("too many bytes of reports are being read")

// account is how many bytes of reports are held. What comes slowly holds little.
type account struct{ held atomic.Int64 }

// reading reads a body on the account; close gives back what it took.
func (a *account) reading(body io.Reader) *accounted { return &accounted{account: a, body: body} }

type accounted struct {
	account *account
	body    io.Reader
	taken   int64
	full    bool
}

func (r *accounted) Read(into []byte) (int, error) {
	n, err := r.body.Read(into)
	r.taken += int64(n)
	if r.account.held.Add(int64(n)) > maxReportBytes {
		r.full = true
		return 0, errFull
	}
	return n, err
}

func (r *accounted) close() { r.account.held.Add(-r.taken) }
