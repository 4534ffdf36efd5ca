package statuspage

import (
	"context"
	"errors"
	"io"
	"net/http"
	"net/netip"
	"sync"
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
	maxReportBytes = 32 << 20
	// maxSourceBytes are held of those from one address. A checker sends one report; where pods come through
	// a translating proxy, they all have its address.
	maxSourceBytes = 8 << 20
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

// shares counts what each source of requests holds, so that none of them alone takes what there is for
// all. A source that holds nothing takes no room.
type shares struct {
	// most is how much one source may hold.
	most int64

	mu   sync.Mutex
	held map[netip.Addr]int64
}

func newShares(most int64) *shares { return &shares{most: most, held: map[netip.Addr]int64{}} }

// take adds to what a source holds, and tells whether it may hold so much. What was taken is to be given
// back in either case.
func (s *shares) take(from netip.Addr, n int64) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.held[from] += n
	return s.held[from] <= s.most
}

// give gives back.
func (s *shares) give(from netip.Addr, n int64) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.held[from] -= n; s.held[from] == 0 {
		delete(s.held, from)
	}
}

// gate lets so many through at once, and of one source half as many: it takes two who mean harm, or who
// are slow to read their answers, to keep everybody else out.
type gate struct {
	places chan struct{}
	shares *shares
}

func newGate(places int) *gate {
	return &gate{places: make(chan struct{}, places), shares: newShares(int64(max(places/2, 1)))}
}

// reject turns away whom there is no place for.
func (g *gate) reject(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		from := source(r)
		defer g.shares.give(from, 1)
		if !g.shares.take(from, 1) {
			unavailable(w, "too many requests at once")
			return
		}
		select {
		case g.places <- struct{}{}:
			defer func() { <-g.places }()
			next.ServeHTTP(w, r)
		default:
			unavailable(w, "too many requests at once")
		}
	})
}

// enter waits for a place until ctx ends. A source that has its share of them does not wait.
func (g *gate) enter(ctx context.Context, from netip.Addr) (leave func(), err error) {
	if !g.shares.take(from, 1) {
		g.shares.give(from, 1)
		return nil, errShare
	}
	select {
	case g.places <- struct{}{}:
		return func() { <-g.places; g.shares.give(from, 1) }, nil
	case <-ctx.Done():
		g.shares.give(from, 1)
		return nil, ctx.Err()
	}
}

// errShare: one source has all that it may have.
var errShare = errors.New("one source sends too much at once")

// errFull: no more may be held just now.
var errFull = errors.New("too many bytes of reports are being read")

// account is how many bytes of reports are held, of all sources and of each. What comes slowly holds
// little.
type account struct {
	held   atomic.Int64
	shares *shares
}

func newAccount() *account { return &account{shares: newShares(maxSourceBytes)} }

// reading reads a source's body on the account; close gives back what it took.
func (a *account) reading(from netip.Addr, body io.Reader) *accounted {
	return &accounted{account: a, from: from, body: body}
}

type accounted struct {
	account *account
	from    netip.Addr
	body    io.Reader
	taken   int64
	full    bool
}

func (r *accounted) Read(into []byte) (int, error) {
	n, err := r.body.Read(into)
	r.taken += int64(n)
	within := r.account.shares.take(r.from, int64(n))
	if r.account.held.Add(int64(n)) > maxReportBytes || !within {
		r.full = true
		return 0, errFull
	}
	return n, err
}

func (r *accounted) close() {
	r.account.held.Add(-r.taken)
	r.account.shares.give(r.from, r.taken)
}
