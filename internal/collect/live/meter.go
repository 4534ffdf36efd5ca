package live

import (
	"io"
	"net/http"
	"sync"
	"sync/atomic"
	"time"
)

// meter sits around the connection and sees every exchange: it counts, and takes from each answer
// what no body says, the server's clock and its certificate.
type meter struct {
	clock    *serverClock
	requests atomic.Int64
	bytes    atomic.Int64

	mu       sync.Mutex
	notAfter time.Time
}

func (m *meter) wrap(next http.RoundTripper) http.RoundTripper { return metered{m, next} }

type metered struct {
	*meter

	next http.RoundTripper
}

// RoundTrip implements http.RoundTripper.
func (m metered) RoundTrip(req *http.Request) (*http.Response, error) {
	m.requests.Add(1)
	resp, err := m.next.RoundTrip(req)
	if err != nil {
		return resp, err
	}
	if date, err := http.ParseTime(resp.Header.Get("Date")); err == nil {
		m.clock.saw(date)
	}
	if resp.TLS != nil && len(resp.TLS.PeerCertificates) > 0 {
		m.mu.Lock()
		m.notAfter = resp.TLS.PeerCertificates[0].NotAfter
		m.mu.Unlock()
	}
	resp.Body = &countedBody{ReadCloser: resp.Body, bytes: &m.bytes}
	return resp, nil
}

// WrappedRoundTripper lets client-go see through to the connection.
func (m metered) WrappedRoundTripper() http.RoundTripper { return m.next }

// certificateNotAfter is when the serving certificate expires, or otherwise where none was seen.
func (m *meter) certificateNotAfter(otherwise time.Time) time.Time {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.notAfter.IsZero() {
		return otherwise
	}
	return m.notAfter
}

type countedBody struct {
	io.ReadCloser

	bytes *atomic.Int64
}

func (b *countedBody) Read(p []byte) (int, error) {
	n, err := b.ReadCloser.Read(p)
	b.bytes.Add(int64(n))
	return n, err
}

// serverClock tells the API server's time. Leases, conditions and Events carry the cluster's
// clocks, and this machine's may be minutes off them, which would turn a live kubelet into a dead
// one.
type serverClock struct {
	now func() time.Time

	mu     sync.Mutex
	known  bool
	offset time.Duration
}

// saw takes in the Date of an answer that has just come. It was cut to the second and took its time
// on the way, so the server's clock shows at least that much; of all answers the one that says most
// is the nearest to the truth.
func (c *serverClock) saw(date time.Time) {
	offset := date.Sub(c.now())
	c.mu.Lock()
	defer c.mu.Unlock()
	if !c.known || offset > c.offset {
		c.known, c.offset = true, offset
	}
}

// at turns a time of this machine into the server's. Before any answer they are the same.
func (c *serverClock) at(local time.Time) time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	return local.Add(c.offset).UTC().Round(0)
}
