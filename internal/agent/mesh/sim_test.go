package mesh

import (
	"context"
	"fmt"
	"net"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"slices"
	"strconv"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/maek-dev/maek/internal/agent/peer"
	"github.com/maek-dev/maek/internal/snapshot"
)

// network is one of code: packets and requests arrive at once or, as a fault says, not at all.
type network struct {
	mu    sync.Mutex
	sims  []*sim
	conns map[netip.Addr]*simConn
	// drop tells which packets are lost on their way.
	drop func(from, to string, overPods bool, size int) bool
	// cut tells which requests get no answer.
	cut func(from, to string, overPods bool) bool
}

// sim is one machine with its agent.
type sim struct {
	net   *network
	self  peer.Peer
	mtu   int
	store memory
	clock atomic.Int64 // how far its clock is ahead, in nanoseconds
	mesh  *Mesh
	stop  context.CancelFunc
	done  chan struct{}
	// runs tells whether its agent answers; without one, connections are refused.
	runs atomic.Bool
	// speaks is the version of its greeting, where it is another.
	speaks atomic.Int64
}

type memory map[string][]byte

func (s memory) Load(name string) ([]byte, error) { return s[name], nil }
func (s memory) Save(name string, data []byte) error {
	s[name] = data
	return nil
}

// newNetwork makes machines n0, n1, ... Run starts their agents.
func newNetwork(n int) *network {
	net := &network{
		conns: map[netip.Addr]*simConn{},
		drop:  func(string, string, bool, int) bool { return false },
		cut:   func(string, string, bool) bool { return false },
	}
	for i := range n {
		net.sims = append(net.sims, &sim{
			net: net, mtu: 1500, store: memory{},
			self: peer.Peer{
				Node: fmt.Sprintf("n%d", i), UID: fmt.Sprintf("uid-%d", i), Expected: true, ControlPlane: i == 0,
				Addresses: []netip.Addr{netip.AddrFrom4([4]byte{10, 99, byte(i / 250), byte(i%250 + 1)})},
				PodCIDRs:  []netip.Prefix{netip.PrefixFrom(netip.AddrFrom4([4]byte{10, 200 + byte(i/250), byte(i % 250), 0}), 24)},
			},
		})
	}
	return net
}

func (n *network) run(t *testing.T) {
	t.Helper()
	for _, s := range n.sims {
		s.start(t)
	}
	t.Cleanup(n.stop)
}

func (n *network) stop() {
	for _, s := range n.sims {
		s.end()
	}
}

func (s *sim) start(t *testing.T) {
	t.Helper()
	m, err := New(Options{
		Source: s, Client: s.client, Now: func() time.Time { return time.Now().Add(time.Duration(s.clock.Load())) }, Store: s.store, //nolint:forbidigo // the clock of a synctest bubble
		Interfaces: func() ([]Interface, error) {
			return []Interface{
				{Name: "eth0", MTU: s.mtu, Addresses: []netip.Prefix{netip.PrefixFrom(s.self.Addresses[0], 24)}},
				{Name: "flannel.1", MTU: s.mtu - 50, Addresses: []netip.Prefix{netip.PrefixFrom(s.self.PodCIDRs[0].Addr(), 32)}},
			}, nil
		},
		Listen: s.listen,
	})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	s.net.mu.Lock()
	s.mesh, s.stop, s.done = m, cancel, make(chan struct{})
	s.net.mu.Unlock()
	s.runs.Store(true)
	done := s.done
	go func() {
		defer close(done)
		m.Run(ctx)
	}()
}

// end lets the agent end as a process does that is asked to.
func (s *sim) end() {
	if s.runs.CompareAndSwap(true, false) {
		s.stop()
		<-s.done
	}
}

func (s *sim) Self() peer.Peer { return s.self }

func (s *sim) Peers() []peer.Peer {
	var out []peer.Peer
	for _, o := range s.net.sims {
		if o != s {
			out = append(out, o.self)
		}
	}
	return out
}

func (n *network) fault(drop func(from, to string, overPods bool, size int) bool, cut func(from, to string, overPods bool) bool) {
	n.mu.Lock()
	defer n.mu.Unlock()
	if drop != nil {
		n.drop = drop
	}
	if cut != nil {
		n.cut = cut
	}
}

func (n *network) owner(at netip.Addr) (s *sim, overPods bool) {
	i := slices.IndexFunc(n.sims, func(s *sim) bool { return s.self.Addresses[0] == at || s.self.PodCIDRs[0].Contains(at) })
	if i < 0 {
		return nil, false
	}
	return n.sims[i], n.sims[i].self.Addresses[0] != at
}

type simConn struct {
	s       *sim
	packets chan []byte
	closed  chan struct{}
	once    sync.Once
}

func (s *sim) listen(context.Context, int) (Conn, error) {
	c := &simConn{s: s, packets: make(chan []byte, 1000), closed: make(chan struct{})}
	s.net.mu.Lock()
	defer s.net.mu.Unlock()
	s.net.conns[s.self.Addresses[0]] = c
	return c, nil
}

func (c *simConn) Send(packet []byte, to netip.AddrPort) error {
	n := c.s.net
	n.mu.Lock()
	defer n.mu.Unlock()
	there, pods := n.owner(to.Addr())
	if there == nil || n.drop(c.s.self.Node, there.self.Node, pods, len(packet)) {
		return nil
	}
	if pods && len(packet) > c.s.mtu-50-headersV4 || len(packet) > c.s.mtu-headersV4 {
		return syscall.EMSGSIZE
	}
	if conn := n.conns[there.self.Addresses[0]]; conn != nil {
		select {
		case conn.packets <- slices.Clone(packet):
		default:
		}
	}
	return nil
}

func (c *simConn) Receive(buffer []byte) (int, netip.AddrPort, error) {
	select {
	case p := <-c.packets:
		return copy(buffer, p), netip.AddrPort{}, nil
	case <-c.closed:
		return 0, netip.AddrPort{}, net.ErrClosed
	}
}

func (c *simConn) Close() error {
	c.once.Do(func() { close(c.closed) })
	return nil
}

// client answers requests by the handler of whoever owns the address.
func (s *sim) client(_ peer.Peer, at netip.Addr) *http.Client {
	return &http.Client{Transport: roundTrip(func(r *http.Request) (*http.Response, error) {
		s.net.mu.Lock()
		there, pods := s.net.owner(at)
		cut := s.net.cut(s.self.Node, there.self.Node, pods)
		answers := there.mesh
		s.net.mu.Unlock()
		switch {
		case cut:
			<-r.Context().Done()
			return nil, r.Context().Err()
		case !there.runs.Load():
			return nil, syscall.ECONNREFUSED
		}
		w := httptest.NewRecorder()
		if version := there.speaks.Load(); version != 0 {
			w.Header().Set(versionHeader, strconv.FormatInt(version, 10))
			http.Error(w, "it speaks another version", http.StatusHTTPVersionNotSupported)
			return w.Result(), nil
		}
		answers.Handler().ServeHTTP(w, r.WithContext(peer.WithCaller(r.Context(), s.self)))
		return w.Result(), nil
	})}
}

type roundTrip func(*http.Request) (*http.Response, error)

func (f roundTrip) RoundTrip(r *http.Request) (*http.Response, error) { return f(r) }

// report is what the agent of a machine says now.
func (s *sim) report(t *testing.T) map[snapshot.EvidenceKey]string {
	t.Helper()
	evidence, err := s.mesh.Monitor().Observe(t.Context())
	if err != nil {
		t.Errorf("%s: %v", s.self.Node, err)
	}
	out := map[snapshot.EvidenceKey]string{}
	for _, e := range evidence {
		out[e.Key] = e.Value
	}
	return out
}

// pass lets time pass in the bubble.
func pass(d time.Duration) {
	time.Sleep(d) //nolint:forbidigo // the clock of a synctest bubble
	synctest.Wait()
}
