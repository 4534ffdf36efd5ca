package mesh

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/netip"
	"os"
	"os/exec"
	"runtime"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/maek-dev/maek/internal/agent/peer"
	"github.com/maek-dev/maek/internal/monitor"
	"github.com/maek-dev/maek/internal/snapshot"
)

// faster is how much faster than the kernel's the clocks of agents run in these tests at first. Where the
// machine is too busy for that, they are slowed down.
const faster = 10

// patience is how long a request may take, by the kernel's clock: so long that a busy machine answers.
const patience = time.Second

// pacedClock is a network's clock.
type pacedClock struct {
	mu sync.Mutex
	// At the kernel's moment since it showed shown; from there it runs pace times as fast.
	since, shown time.Time
	pace         float64
}

func newPacedClock() *pacedClock {
	began := time.Now() //nolint:forbidigo // where the faster clock begins
	return &pacedClock{since: began, shown: began, pace: faster}
}

func (c *pacedClock) now() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.shown.Add(time.Duration(c.pace * float64(time.Since(c.since)))) //nolint:forbidigo // the kernel's time, made faster
}

// slow halves the pace, until it is the kernel's own.
func (c *pacedClock) slow() {
	shown := c.now()
	c.mu.Lock()
	defer c.mu.Unlock()
	c.since, c.shown, c.pace = time.Now(), shown, max(1, c.pace/2) //nolint:forbidigo // where the slower clock begins
}

// wires is a network of real kernels: machines a, b and c as network namespaces on one bridge, each with
// a VXLAN device as flannel sets it up, and a real agent's mesh in each.
type wires struct {
	prefix   string
	machines []*machine
	clock    *pacedClock
}

type machine struct {
	wires     *wires
	name      string
	namespace string
	number    int
	mac       string
	mesh      *Mesh
}

func (m *machine) host() netip.Addr { return netip.AddrFrom4([4]byte{10, 98, 0, byte(m.number)}) }
func (m *machine) pod() netip.Addr  { return netip.AddrFrom4([4]byte{10, 97, byte(m.number), 0}) }

func (m *machine) Self() peer.Peer {
	return peer.Peer{
		Node: m.name, UID: "uid-" + m.name, Addresses: []netip.Addr{m.host()}, Expected: true,
		PodCIDRs: []netip.Prefix{netip.PrefixFrom(m.pod(), 24)},
	}
}

func (m *machine) Peers() []peer.Peer {
	var out []peer.Peer
	for _, o := range m.wires.machines {
		if o != m {
			out = append(out, o.Self())
		}
	}
	return out
}

// networks counts those of this process.
var networks atomic.Int64

// newWires makes the network, or skips the test where this machine cannot.
func newWires(t *testing.T) *wires {
	t.Helper()
	if os.Geteuid() != 0 {
		t.Skip("NOT RUN: network namespaces take root")
	}
	for _, program := range []string{"ip", "bridge", "nft", "unshare"} {
		if _, err := exec.LookPath(program); err != nil {
			t.Skipf("NOT RUN: %v", err)
		}
	}
	w := &wires{prefix: fmt.Sprintf("maekmesh%d-%d-", os.Getpid(), networks.Add(1)), clock: newPacedClock()}
	sw := w.prefix + "sw"
	if err := addNamespace(t, sw); err != nil {
		t.Skipf("NOT RUN: %v", err)
	}
	must(t, "ip -n "+sw+" link add br0 type bridge")
	must(t, "ip -n "+sw+" link set br0 up")
	for i, name := range []string{"a", "b", "c"} {
		m := &machine{wires: w, name: name, namespace: w.prefix + name, number: i + 1, mac: fmt.Sprintf("be:00:00:00:00:0%d", i+1)}
		w.machines = append(w.machines, m)
		if err := addNamespace(t, m.namespace); err != nil {
			t.Fatal(err)
		}
		must(t, fmt.Sprintf("ip -n %s link add %sp type veth peer name eth0 netns %s", sw, name, m.namespace))
		must(t, fmt.Sprintf("ip -n %s link set %sp master br0 up", sw, name))
		m.ip(t, "link set lo up")
		m.ip(t, fmt.Sprintf("addr add %s/24 dev eth0", m.host()))
		m.ip(t, "link set eth0 up")
		m.overlay(t, 8472)
	}
	for _, m := range w.machines {
		m.entries(t)
	}
	return w
}

// namespaces is where ip(8) looks for those that have names.
const namespaces = "/run/netns/"

// addNamespace makes a named network namespace for the time of a test. "ip netns add" would leave its
// folder a mount for ever, over the namespaces of whoever made his otherwise.
func addNamespace(t *testing.T, name string) error {
	t.Helper()
	if err := os.MkdirAll(namespaces, 0o755); err != nil {
		return err
	}
	if err := os.WriteFile(namespaces+name, nil, 0o444); err != nil {
		return err
	}
	if err := run("unshare", "--net="+namespaces+name, "true"); err != nil {
		return errors.Join(err, os.Remove(namespaces+name))
	}
	t.Cleanup(func() {
		must(t, "ip netns del "+name)
		_ = os.Remove(namespaces) // unless others have theirs in it
	})
	return nil
}

func (w *wires) machine(name string) *machine { return w.machines[name[0]-'a'] }

// overlay makes the VXLAN device as flannel does.
func (m *machine) overlay(t *testing.T, port int) {
	t.Helper()
	m.ip(t, fmt.Sprintf("link add flannel.1 type vxlan id 1 dev eth0 local %s dstport %d nolearning", m.host(), port))
	m.ip(t, fmt.Sprintf("link set flannel.1 address %s mtu 1450 up", m.mac))
	m.ip(t, fmt.Sprintf("addr add %s/32 dev flannel.1", m.pod()))
}

// entries adds route, neighbour and forwarding entry for each other machine.
func (m *machine) entries(t *testing.T) {
	t.Helper()
	for _, o := range m.wires.machines {
		if o == m {
			continue
		}
		m.ip(t, fmt.Sprintf("route add %s/24 via %s dev flannel.1 onlink", o.pod(), o.pod()))
		m.ip(t, fmt.Sprintf("neigh add %s lladdr %s dev flannel.1 nud permanent", o.pod(), o.mac))
		must(t, fmt.Sprintf("bridge -n %s fdb add %s dev flannel.1 dst %s self permanent", m.namespace, o.mac, o.host()))
	}
}

func (m *machine) ip(t *testing.T, arguments string) {
	t.Helper()
	must(t, "ip -n "+m.namespace+" "+arguments)
}

// do runs a command on the machine.
func (m *machine) do(t *testing.T, command string) {
	t.Helper()
	must(t, "ip netns exec "+m.namespace+" "+command)
}

func must(t *testing.T, command string) {
	t.Helper()
	fields := strings.Fields(command)
	if err := run(fields[0], fields[1:]...); err != nil {
		t.Fatal(err)
	}
}

func run(name string, arguments ...string) error {
	out, err := exec.Command(name, arguments...).CombinedOutput()
	if err != nil {
		return fmt.Errorf("%s %s: %w: %s", name, strings.Join(arguments, " "), err, out)
	}
	return nil
}

// inside runs a function in the machine's network namespace; sockets made there stay there.
func inside[T any](m *machine, do func() (T, error)) (T, error) {
	type result struct {
		value T
		err   error
	}
	done := make(chan result, 1)
	go func() {
		// The thread is not given back: it ends with the goroutine.
		runtime.LockOSThread()
		var r result
		f, err := os.Open(namespaces + m.namespace)
		if err == nil {
			err = unix.Setns(int(f.Fd()), unix.CLONE_NEWNET)
			err = errors.Join(err, f.Close())
		}
		if err != nil {
			r.err = fmt.Errorf("entering %s: %w", m.namespace, err)
		} else {
			r.value, r.err = do()
		}
		done <- r
	}()
	r := <-done
	return r.value, r.err
}

// caller is the header by which these tests say who asks; agents know it by certificates.
const caller = "Maek-Test-Node"

// start runs the machine's mesh until the test ends.
func (m *machine) start(t *testing.T) {
	t.Helper()
	transport := &http.Transport{DialTLSContext: func(ctx context.Context, network, address string) (net.Conn, error) {
		return inside(m, func() (net.Conn, error) { return (&net.Dialer{}).DialContext(ctx, network, address) })
	}}
	client := &http.Client{Transport: roundTrip(func(r *http.Request) (*http.Response, error) {
		r.Header.Set(caller, m.name)
		return transport.RoundTrip(r)
	})}
	var err error
	m.mesh, err = New(Options{
		Source: m, Client: func(peer.Peer, netip.Addr) *http.Client { return client }, Now: m.wires.clock.now, Store: memory{},
		Interfaces: func() ([]Interface, error) { return inside(m, interfaces) },
		Listen: func(ctx context.Context, port int) (Conn, error) {
			return inside(m, func() (Conn, error) { return listen(ctx, port) })
		},
	})
	if err != nil {
		t.Fatal(err)
	}
	m.mesh.tick, m.mesh.timeout = tick/faster, patience
	listener, err := inside(m, func() (net.Listener, error) {
		return (&net.ListenConfig{}).Listen(t.Context(), "tcp", fmt.Sprintf(":%d", monitor.Port))
	})
	if err != nil {
		t.Fatal(err)
	}
	server := &http.Server{ReadHeaderTimeout: time.Minute, Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		from := m.wires.machine(r.Header.Get(caller)).Self()
		m.mesh.Handler().ServeHTTP(w, r.WithContext(peer.WithCaller(r.Context(), from)))
	})}
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan struct{})
	go func() {
		defer close(done)
		m.mesh.Run(ctx)
	}()
	go func() { _ = server.Serve(listener) }()
	t.Cleanup(func() {
		cancel()
		<-done
		_ = server.Close()
		transport.CloseIdleConnections()
	})
}

// report is the machine's report.
func (m *machine) report(t *testing.T) snapshot.MachineReport {
	t.Helper()
	return monitor.NewRunner(monitor.Identity{Machine: m.name, Node: m.name}, []monitor.Monitor{m.mesh.Monitor()}, m.wires.clock.now, nil).Once(t.Context())
}
