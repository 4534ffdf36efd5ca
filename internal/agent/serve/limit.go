package serve

import (
	"net"
	"net/http"
	"net/netip"
	"strings"
	"sync"
	"time"

	"golang.org/x/time/rate"
	"k8s.io/utils/lru"

	"github.com/maek-dev/maek/internal/agent/peer"
	"github.com/maek-dev/maek/internal/monitor"
)

// How much one address may ask for, and all of them together.
const (
	// connections open at one time; a peer needs one or two.
	connections      = 256
	connectionsOfOne = 16
	// requestsPerSecond of one address, and how many after silence.
	requestsPerSecond = 10
	requestsAtOnce    = 40
	// probeRequestsPerSecond of one address, and how many after silence: the operator has each Check's run come
	// by itself. What they ask for is bounded by caller.
	probeRequestsPerSecond = 100
	probeRequestsAtOnce    = 200
	// addresses whose rates are remembered.
	addresses = 1024
)

// limited is a listener that closes connections beyond its bounds before anything is read from them.
type limited struct {
	net.Listener

	mu   sync.Mutex
	open map[netip.Addr]int
	all  int
}

func limit(l net.Listener) *limited { return &limited{Listener: l, open: map[netip.Addr]int{}} }

// Accept waits for a connection that is within the bounds.
func (l *limited) Accept() (net.Conn, error) {
	for {
		c, err := l.Listener.Accept()
		if err != nil {
			return nil, err
		}
		from := addressOf(c.RemoteAddr().String())
		l.mu.Lock()
		fits := l.all < connections && l.open[from] < connectionsOfOne
		if fits {
			l.all++
			l.open[from]++
		}
		l.mu.Unlock()
		if fits {
			return &counted{Conn: c, done: sync.OnceFunc(func() { l.release(from) })}, nil
		}
		_ = c.Close()
	}
}

func (l *limited) release(from netip.Addr) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.all--
	if l.open[from]--; l.open[from] == 0 {
		delete(l.open, from)
	}
}

// counted gives its place back when it is closed.
type counted struct {
	net.Conn
	done func()
}

// Close closes the connection.
func (c *counted) Close() error {
	defer c.done()
	return c.Conn.Close()
}

func addressOf(remote string) netip.Addr {
	at, err := netip.ParseAddrPort(remote)
	if err != nil {
		return netip.Addr{}
	}
	return at.Addr().Unmap()
}

// rates remembers how much each address asked lately.
type rates struct {
	now    func() time.Time
	second rate.Limit
	burst  int

	mu   sync.Mutex
	seen *lru.Cache
}

func newRates(now func() time.Time, second rate.Limit, burst int) *rates {
	return &rates{now: now, second: second, burst: burst, seen: lru.New(addresses)}
}

func (r *rates) allow(from netip.Addr) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	known, ok := r.seen.Get(from)
	limiter, _ := known.(*rate.Limiter)
	if !ok || limiter == nil {
		limiter = rate.NewLimiter(r.second, r.burst)
		r.seen.Add(from, limiter)
	}
	return limiter.AllowN(r.now(), 1)
}

// bounded refuses what one address asks too much of, before anybody looks at it. Agents talk to each
// other at a pace of their own, which the mesh bounds.
func (s *Server) bounded(h http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		pace := s.rates
		if r.URL.Path == monitor.ProbePath {
			pace = s.probes
		}
		if !strings.HasPrefix(r.URL.Path, peer.MeshPath) && !pace.allow(addressOf(r.RemoteAddr)) {
			tooMany(w, "too many requests from one address")
			return
		}
		h.ServeHTTP(w, r)
	})
}
