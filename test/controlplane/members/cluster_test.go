//go:build unix

package members

import (
	"fmt"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/maek-dev/maek/internal/monitor"
	"github.com/maek-dev/maek/internal/monitors/etcd"
	"github.com/maek-dev/maek/internal/snapshot"
)

// cluster is a real one, on loopback.
type cluster struct {
	t       *testing.T
	program string
	dir     string
	members []*process
}

// process is a member of it.
type process struct {
	name, client, peer, metrics string
	args                        []string
	cmd                         *exec.Cmd
}

// newCluster starts members of a real etcd; extra flags are for all.
func newCluster(t *testing.T, n int, extra ...string) *cluster {
	t.Helper()
	c := &cluster{t: t, program: filepath.Join(programs, "etcd"), dir: t.TempDir()}
	var pairs []string
	for i := range n {
		p := &process{name: fmt.Sprintf("m%d", i+1), client: freeAddress(t), peer: freeAddress(t), metrics: freeAddress(t)}
		c.members = append(c.members, p)
		pairs = append(pairs, p.name+"=http://"+p.peer)
	}
	for _, p := range c.members {
		p.args = append(c.flags(p, strings.Join(pairs, ","), "new"), extra...)
		c.start(p)
	}
	for _, p := range c.members {
		c.waitHealthy(p)
	}
	return c
}

func (c *cluster) flags(p *process, members, state string) []string {
	return []string{
		"--name=" + p.name, "--data-dir=" + filepath.Join(c.dir, p.name),
		"--listen-client-urls=http://" + p.client, "--advertise-client-urls=http://" + p.client,
		"--listen-peer-urls=http://" + p.peer, "--initial-advertise-peer-urls=http://" + p.peer,
		"--initial-cluster=" + members, "--initial-cluster-state=" + state,
		"--listen-metrics-urls=http://" + p.metrics, "--log-level=error",
	}
}

// ports counts those that were given out. They lie below the range from which the kernel takes ports for
// connections (ip_local_port_range, from 32768): whoever dials an address before its server is there may
// be given that very port, and the server then cannot have it.
var ports atomic.Int32

func freeAddress(t *testing.T) string {
	t.Helper()
	const first, many = 20000, 12000
	for range many {
		port := first + (os.Getpid()*100+int(ports.Add(1)))%many
		l, err := net.Listen("tcp", fmt.Sprintf("127.0.0.1:%d", port))
		if err != nil {
			continue
		}
		defer func() { _ = l.Close() }()
		return l.Addr().String()
	}
	t.Fatal("no port is free")
	return ""
}

func (c *cluster) start(p *process) {
	c.t.Helper()
	p.cmd = exec.Command(c.program, p.args...)
	if err := p.cmd.Start(); err != nil {
		c.t.Fatal(err)
	}
	cmd := p.cmd
	c.t.Cleanup(func() {
		_ = cmd.Process.Kill()
		_ = cmd.Wait()
	})
}

func (c *cluster) stop(p *process) {
	c.t.Helper()
	if err := p.cmd.Process.Kill(); err != nil {
		c.t.Fatal(err)
	}
	_ = p.cmd.Wait()
}

func (c *cluster) signal(p *process, s syscall.Signal) {
	c.t.Helper()
	if err := p.cmd.Process.Signal(s); err != nil {
		c.t.Fatal(err)
	}
}

func (c *cluster) waitHealthy(p *process) {
	c.t.Helper()
	c.wait("member "+p.name+" is healthy", func() bool {
		resp, err := http.Get("http://" + p.metrics + "/health")
		if err != nil {
			return false
		}
		defer func() { _ = resp.Body.Close() }()
		return resp.StatusCode == http.StatusOK
	})
}

// wait polls a condition of another process, which tells nobody when it comes true.
func (c *cluster) wait(what string, ok func() bool) {
	c.t.Helper()
	deadline := time.After(2 * time.Minute)
	for tick := time.NewTicker(50 * time.Millisecond); ; {
		if ok() {
			tick.Stop()
			return
		}
		select {
		case <-tick.C:
		case <-deadline:
			c.t.Fatalf("%s: not within 2 min", what)
		}
	}
}

// host makes a machine on which a member is configured as kubeadm does it.
func (c *cluster) host(p *process) monitor.Host {
	c.t.Helper()
	root := c.t.TempDir()
	folder := filepath.Join(root, "etc/kubernetes/manifests")
	if err := os.MkdirAll(folder, 0o700); err != nil {
		c.t.Fatal(err)
	}
	manifest := "spec:\n  containers:\n  - command:\n    - etcd\n    - " + strings.Join(p.args, "\n    - ") + "\n"
	if err := os.WriteFile(filepath.Join(folder, "etcd.yaml"), []byte(manifest), 0o600); err != nil {
		c.t.Fatal(err)
	}
	if err := os.Mkdir(filepath.Join(root, "proc"), 0o700); err != nil {
		c.t.Fatal(err)
	}
	return monitor.Host{Root: root, Node: p.name, Now: clock()}
}

// clock is one that goes on by a millisecond whenever somebody looks at it.
func clock() func() time.Time {
	var looks atomic.Int64
	return func() time.Time {
		return time.Date(2026, 3, 2, 2, 0, 0, 0, time.UTC).Add(time.Duration(looks.Add(1)) * time.Millisecond)
	}
}

// look reads the evidence of a monitor.
func look(t *testing.T, m monitor.Monitor) map[snapshot.EvidenceKey]string {
	t.Helper()
	got, err := m.Observe(t.Context())
	if err != nil {
		t.Logf("the monitor says: %v", err)
	}
	out := map[snapshot.EvidenceKey]string{}
	for _, e := range got {
		if !documented(m, e.Key) {
			t.Errorf("%s is given and not documented", e.Key)
		}
		out[e.Key] = e.Value
	}
	return out
}

func documented(m monitor.Monitor, k snapshot.EvidenceKey) bool {
	for _, key := range m.Keys {
		if k.Fits(key.Pattern) {
			return true
		}
	}
	return false
}

func keyOf(segments ...string) snapshot.EvidenceKey { return snapshot.KeyOf(segments...) }

// byName returns what is known of a member, by the last segments of its keys.
func byName(t *testing.T, evidence map[snapshot.EvidenceKey]string, name string) map[string]string {
	t.Helper()
	out := map[string]string{}
	for k, v := range evidence {
		s := k.Segments()
		if s[1] != "member" || s[3] != "name" || v != name {
			continue
		}
		for k, v := range evidence {
			if of := k.Segments(); of[1] == "member" && of[2] == s[2] {
				out[of[3]] = v
			}
		}
		out["id"] = s[2]
	}
	if len(out) == 0 {
		t.Fatalf("no member %s in %v", name, evidence)
	}
	return out
}

func TestHealthyCluster(t *testing.T) {
	c := newCluster(t, 3)
	got := look(t, etcd.New(c.host(c.members[0])))
	leaders := map[string]bool{}
	for _, p := range c.members {
		m := byName(t, got, p.name)
		if m["answer"] != "yes" || m["quorum-read"] != "yes" || m["own-read"] != "yes" || m["learner"] != "false" || m["db-quota"] != "2147483648" {
			t.Errorf("member %s = %v, want one that answers", p.name, m)
		}
		leaders[m["leader"]] = true
	}
	if len(leaders) != 1 || leaders["0"] {
		t.Errorf("leaders = %v, want one", leaders)
	}
	if own := byName(t, got, "m1")["id"]; got["etcd/local/member"] != own || got["etcd/local/answer"] != "yes" || got["etcd/local/health"] != "true" || got["etcd/metrics/has-leader"] != "1" {
		t.Errorf("local member = %v, want %s that is healthy", got, own)
	}
}

func TestOneOfThreeIsStopped(t *testing.T) {
	c := newCluster(t, 3)
	m := etcd.New(c.host(c.members[0]))
	look(t, m)
	c.stop(c.members[1])
	c.signal(c.members[2], syscall.SIGSTOP)
	got := look(t, m)
	if a := byName(t, got, "m2")["answer"]; a != "refused" {
		t.Errorf("stopped member = %s, want refused", a)
	}
	if a := byName(t, got, "m3")["answer"]; a != "hung" {
		t.Errorf("member stopped by a signal = %s, want hung", a)
	}
	if own := byName(t, got, "m1"); own["answer"] != "yes" || own["quorum-read"] == "yes" || own["own-read"] != "yes" {
		t.Errorf("the last member = %v, want one that answers and has no majority", own)
	}
	c.signal(c.members[2], syscall.SIGCONT)
	c.waitHealthy(c.members[0])
	got = look(t, m)
	if own := byName(t, got, "m1"); own["quorum-read"] != "yes" {
		t.Errorf("with two of three the member = %v, want a majority", own)
	}
}

func TestMembersAreKnownWhenNoneAnswers(t *testing.T) {
	c := newCluster(t, 3)
	host := c.host(c.members[0])
	host.Store = folder(t.TempDir())
	id := byName(t, look(t, etcd.New(host)), "m2")["id"]
	for _, p := range c.members {
		c.stop(p)
	}
	t.Run("from what was kept", func(t *testing.T) {
		if got := byName(t, look(t, etcd.New(host)), "m2"); got["id"] != id || got["answer"] != "refused" {
			t.Errorf("member = %v, want %s refused", got, id)
		}
	})
	t.Run("from what it was started with", func(t *testing.T) {
		if got := byName(t, look(t, etcd.New(c.host(c.members[0]))), "m1"); got["id"] != "m1" || got["answer"] != "refused" {
			t.Errorf("member = %v, want m1 refused", got)
		}
	})
}

// folder keeps values as files.
type folder string

func (f folder) Load(name string) ([]byte, error) { return os.ReadFile(filepath.Join(string(f), name)) }

func (f folder) Save(name string, data []byte) error {
	return os.WriteFile(filepath.Join(string(f), name), data, 0o600)
}
