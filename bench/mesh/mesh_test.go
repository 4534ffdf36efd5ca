// Package mesh measures what the mesh costs each agent of a large cluster: packets and CPU a second, and
// memory. All agents run in this process, each with a UDP socket of its own on a loopback address; greetings
// are answered in memory, so that what is left out is TLS.
//
//	go test -run '^$' -bench . -benchtime 1x ./bench/mesh
package mesh

import (
	"context"
	"fmt"
	"net"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"runtime"
	"slices"
	"strconv"
	"syscall"
	"testing"
	"time"

	"github.com/maek-dev/maek/internal/agent/mesh"
	"github.com/maek-dev/maek/internal/agent/peer"
)

// sizes of clusters: one in which all machines watch each other, and one in which they cannot.
var sizes = []int{3, 50, 500}

// cluster is a number of agents.
type cluster struct {
	agents []*agent
	peers  []peer.Peer
}

type agent struct {
	c    *cluster
	n    int
	mesh *mesh.Mesh
}

// port is one that no agent of this machine listens at.
const port = 20270

func newCluster(b *testing.B, n int) *cluster {
	b.Helper()
	c := &cluster{}
	for i := range n {
		c.peers = append(c.peers, peer.Peer{
			Node: fmt.Sprintf("node-%04d", i), UID: fmt.Sprintf("uid-%04d", i), Expected: true, ControlPlane: i < 3, Zone: strconv.Itoa(i % 3),
			Addresses: []netip.Addr{netip.AddrFrom4([4]byte{127, 10, byte(i / 250), byte(i%250 + 1)})},
			// Addresses of the pod network are others of the loopback device.
			PodCIDRs: []netip.Prefix{netip.PrefixFrom(netip.AddrFrom4([4]byte{127, 20 + byte(i/250), byte(i % 250), 0}), 24)},
		})
	}
	for i := range n {
		a := &agent{c: c, n: i}
		m, err := mesh.New(mesh.Options{
			Source: a, Client: a.client, Now: time.Now, Port: port, Interfaces: a.interfaces, Listen: a.listen,
		})
		if err != nil {
			b.Fatal(err)
		}
		a.mesh = m
		c.agents = append(c.agents, a)
	}
	return c
}

func (a *agent) Self() peer.Peer { return a.c.peers[a.n] }

func (a *agent) Peers() []peer.Peer {
	out := make([]peer.Peer, 0, len(a.c.peers)-1)
	out = append(out, a.c.peers[:a.n]...)
	return append(out, a.c.peers[a.n+1:]...)
}

func (a *agent) interfaces() ([]mesh.Interface, error) {
	self := a.Self()
	return []mesh.Interface{
		{Name: "eth0", MTU: 1500, Addresses: []netip.Prefix{netip.PrefixFrom(self.Addresses[0], 8)}},
		{Name: "flannel.1", MTU: 1450, Addresses: []netip.Prefix{netip.PrefixFrom(self.PodCIDRs[0].Addr().Next(), 32)}},
	}, nil
}

// socket is an agent's, at its machine's address. What goes to an address of the pod network is sent to that of
// the machine, as an overlay would do it.
type socket struct {
	*net.UDPConn
	c *cluster
}

func (a *agent) listen(ctx context.Context, port int) (mesh.Conn, error) {
	conn, err := (&net.ListenConfig{}).ListenPacket(ctx, "udp4", netip.AddrPortFrom(a.Self().Addresses[0], uint16(port)).String())
	if err != nil {
		return nil, err
	}
	return socket{conn.(*net.UDPConn), a.c}, nil
}

func (s socket) Send(packet []byte, to netip.AddrPort) error {
	if ip := to.Addr().As4(); ip[1] >= 20 {
		to = netip.AddrPortFrom(s.c.peers[int(ip[1]-20)*250+int(ip[2])].Addresses[0], to.Port())
	}
	_, err := s.WriteToUDPAddrPort(packet, to)
	return err
}

func (s socket) Receive(buffer []byte) (int, netip.AddrPort, error) {
	return s.ReadFromUDPAddrPort(buffer)
}

func (a *agent) client(p peer.Peer, _ netip.Addr) *http.Client {
	there := a.c.agents[slices.IndexFunc(a.c.peers, func(o peer.Peer) bool { return o.UID == p.UID })]
	return &http.Client{Transport: roundTrip(func(r *http.Request) (*http.Response, error) {
		w := httptest.NewRecorder()
		there.mesh.Handler().ServeHTTP(w, r.WithContext(peer.WithCaller(r.Context(), a.Self())))
		return w.Result(), nil
	})}
}

type roundTrip func(*http.Request) (*http.Response, error)

func (f roundTrip) RoundTrip(r *http.Request) (*http.Response, error) { return f(r) }

func BenchmarkAgent(b *testing.B) {
	for _, n := range sizes {
		b.Run(fmt.Sprintf("machines=%d", n), func(b *testing.B) {
			before := heap()
			c := newCluster(b, n)
			ctx, cancel := context.WithCancel(b.Context())
			done := make(chan struct{})
			for _, a := range c.agents {
				go func() {
					a.mesh.Run(ctx)
					done <- struct{}{}
				}()
			}
			// The first greetings are over when every agent has had time for them.
			settled := time.NewTimer(20 * time.Second)
			<-settled.C
			sent, cpu, began := c.sent(b), cpuTime(b), time.Now()
			measured := time.NewTimer(30 * time.Second)
			<-measured.C
			seconds := time.Since(began).Seconds()
			agents := float64(n)
			b.ReportMetric(float64(c.sent(b)-sent)/seconds/agents, "packets/s/agent")
			b.ReportMetric((cpuTime(b)-cpu).Seconds()*1000/seconds/agents, "cpu-ms/s/agent")
			b.ReportMetric(float64(heap()-before)/1024/agents, "KiB/agent")
			b.ReportMetric(0, "ns/op")
			cancel()
			for range c.agents {
				<-done
			}
		})
	}
}

// sent is how many beacons all agents have sent.
func (c *cluster) sent(b *testing.B) int {
	b.Helper()
	total := 0
	for _, a := range c.agents {
		evidence, err := a.mesh.Monitor().Observe(b.Context())
		if err != nil {
			b.Fatal(err)
		}
		for _, e := range evidence {
			if e.Key == "mesh/self/sent" {
				n, err := strconv.Atoi(e.Value)
				if err != nil {
					b.Fatal(err)
				}
				total += n
			}
		}
	}
	return total
}

// heap in use, after a collection.
func heap() uint64 {
	runtime.GC()
	var s runtime.MemStats
	runtime.ReadMemStats(&s)
	return s.HeapInuse + s.StackInuse
}

// cpuTime of this process.
func cpuTime(b *testing.B) time.Duration {
	b.Helper()
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		b.Fatal(err)
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}
