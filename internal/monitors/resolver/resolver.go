package resolver

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"net"
	"net/netip"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/miekg/dns"

	"github.com/maek-dev/maek/internal/monitor"
	"github.com/maek-dev/maek/internal/monitors/kubelet"
	"github.com/maek-dev/maek/internal/monitors/reach"
	"github.com/maek-dev/maek/internal/snapshot"
)

const (
	// file is that of the machine itself (resolv.conf(5)).
	file = "/etc/resolv.conf"
	// fileLimit bounds what is read of it, in bytes.
	fileLimit = 64 << 10
	// mostServers bounds how many servers are asked. The C library knows three.
	mostServers = 8
	// patience bounds one query; a lost one is asked again.
	patience = 2 * time.Second
	tries    = 2
)

// New makes the monitor of a host.
func New(host monitor.Host) monitor.Monitor {
	w := &watch{host: host, forPods: kubelet.ResolvConf(host), port: "53", first: map[snapshot.EvidenceKey]first{}}
	return monitor.Monitor{
		Name: "resolver",
		Doc:  "Servers of names that the machine and the kubelet's pods use (resolv.conf), and whether each answers a query from here.",
		Keys: []monitor.Key{
			{Pattern: "resolver/file/*/servers", Doc: "Servers that a file names, in its order, separated by spaces; empty where it names none."},
			{Pattern: "resolver/file/*/search", Doc: "Domains that it lets names be searched in, separated by spaces."},
			{Pattern: "resolver/file/*/options", Doc: "Its options, separated by spaces."},
			{Pattern: "resolver/file/*/error", Doc: "Why it cannot be read: it is not there, or leads nowhere."},
			{Pattern: "resolver/file/*/used-by", Doc: "Who uses it: machine, pods (those with dnsPolicy Default, as cluster DNS), or both, separated by a space."},
			{Pattern: "resolver/server/*/outcome", Doc: "How a server answers a query from the machine for the name servers of the root, over UDP, asked twice: " + reach.Words},
			{Pattern: "resolver/server/*/error", Doc: "Why there is no answer."},
			{Pattern: "resolver/server/*/code", Doc: "The answer's code: NOERROR; SERVFAIL and REFUSED are answers of a server that does not look up that name, which is no fault by itself."},
			{Pattern: "resolver/server/*/milliseconds", Doc: "How long the answer took."},
		},
		Requires: []monitor.Privilege{monitor.HostFiles},
		Interval: time.Minute, Timeout: 8 * time.Second,
		Observe: w.observe,
	}
}

// watch remembers since when servers answer as they do.
type watch struct {
	host    monitor.Host
	forPods func() string
	// port that servers are asked at.
	port  string
	first map[snapshot.EvidenceKey]first
}

// first is a value and since when; zero where it was so at the first look.
type first struct {
	value string
	at    time.Time
}

func (w *watch) observe(ctx context.Context) ([]snapshot.MachineEvidence, error) {
	users := map[string][]string{file: {"machine"}}
	if pods := w.forPods(); pods != "" {
		users[pods] = append(users[pods], "pods")
	}
	var out []snapshot.MachineEvidence
	var gaps []error
	var servers []string
	for _, name := range slices.Sorted(maps.Keys(users)) {
		e, named, err := w.file(name)
		out = append(append(out, e...), monitor.Value(snapshot.KeyOf("resolver", "file", name, "used-by"), strings.Join(users[name], " ")))
		servers, gaps = append(servers, named...), append(gaps, err)
	}
	slices.Sort(servers)
	servers = slices.Compact(servers)
	return append(out, w.ask(ctx, servers[:min(len(servers), mostServers)])...), errors.Join(gaps...)
}

// file tells of one file, and returns the servers that it names.
func (w *watch) file(name string) ([]snapshot.MachineEvidence, []string, error) {
	key := func(word string) snapshot.EvidenceKey { return snapshot.KeyOf("resolver", "file", name, word) }
	data, err := w.host.ReadFile(name, fileLimit)
	if err != nil {
		if errors.Is(err, fs.ErrNotExist) {
			return []snapshot.MachineEvidence{monitor.Value(key("error"), "it is not there")}, nil, nil
		}
		return nil, nil, fmt.Errorf("reading the servers of names: %w", err)
	}
	c := parse(string(data))
	return []snapshot.MachineEvidence{
		monitor.Value(key("servers"), strings.Join(c.servers, " ")),
		monitor.Value(key("search"), strings.Join(c.search, " ")),
		monitor.Value(key("options"), strings.Join(c.options, " ")),
	}, c.servers, nil
}

// config is what a resolv.conf says.
type config struct{ servers, search, options []string }

// parse reads a resolv.conf as the C library and the kubelet do: what they do not know is passed over, and of
// several search lines the last counts (resolv.conf(5); k8s.io/kubernetes/pkg/kubelet/network/dns, parseResolvConf).
func parse(text string) config {
	var c config
	for line := range strings.Lines(text) {
		fields := strings.Fields(line)
		if len(fields) < 2 {
			continue
		}
		switch fields[0] {
		case "nameserver":
			if _, err := netip.ParseAddr(fields[1]); err == nil {
				c.servers = append(c.servers, fields[1])
			}
		case "search", "domain":
			c.search = fields[1:]
		case "options":
			c.options = fields[1:]
		}
	}
	return c
}

// ask asks all servers at once.
func (w *watch) ask(ctx context.Context, servers []string) []snapshot.MachineEvidence {
	answers := make([][]snapshot.MachineEvidence, len(servers))
	var wg sync.WaitGroup
	for i, server := range servers {
		wg.Go(func() { answers[i] = query(ctx, server, w.port) })
	}
	wg.Wait()
	var out []snapshot.MachineEvidence
	told := map[snapshot.EvidenceKey]bool{}
	for _, e := range slices.Concat(answers...) {
		if e.Key.Fits("resolver/server/*/outcome") {
			told[e.Key] = true
			e = w.since(e)
		}
		out = append(out, e)
	}
	for key := range w.first {
		if !told[key] {
			delete(w.first, key)
		}
	}
	return out
}

func (w *watch) since(e snapshot.MachineEvidence) snapshot.MachineEvidence {
	before, known := w.first[e.Key]
	now := before
	if before.value != e.Value {
		now = first{value: e.Value}
		if known {
			now.at = w.host.Now()
		}
		w.first[e.Key] = now
	}
	return monitor.Since(e, now.at)
}

// query asks one server for the name servers of the root: a question that no log of names takes offence at,
// and that a server answers from memory.
func query(ctx context.Context, server, port string) []snapshot.MachineEvidence {
	key := func(word string) snapshot.EvidenceKey { return snapshot.KeyOf("resolver", "server", server, word) }
	question := new(dns.Msg).SetQuestion(".", dns.TypeNS)
	client := &dns.Client{Net: "udp", Timeout: patience}
	var err error
	for range tries {
		var answer *dns.Msg
		var took time.Duration
		answer, took, err = client.ExchangeContext(ctx, question, net.JoinHostPort(server, port))
		if err == nil {
			return []snapshot.MachineEvidence{
				monitor.Value(key("outcome"), string(reach.Answered)),
				monitor.Value(key("code"), dns.RcodeToString[answer.Rcode]),
				monitor.Int(key("milliseconds"), took.Milliseconds()),
			}
		}
	}
	return []snapshot.MachineEvidence{
		monitor.Value(key("outcome"), string(reach.Of(err))),
		monitor.Value(key("error"), err.Error()),
	}
}
