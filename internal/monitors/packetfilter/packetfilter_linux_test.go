package packetfilter

import (
	"encoding/binary"
	"errors"
	"net"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/nftables"
	"github.com/google/nftables/expr"
	"github.com/google/nftables/xt"
	"golang.org/x/sys/unix"

	"github.com/maek-dev/maek/internal/monitor"
	"github.com/maek-dev/maek/internal/monitors/rtnetlink/netnstest"
	"github.com/maek-dev/maek/internal/snapshot"
)

// inNamespace runs a test in a network namespace of its own, which ends with the test.
func inNamespace(t testing.TB) *nftables.Conn {
	t.Helper()
	netnstest.Enter(t)
	c, err := nftables.New(nftables.AsLasting())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = c.CloseLasting() })
	return c
}

func flush(t testing.TB, c *nftables.Conn) {
	t.Helper()
	err := c.Flush()
	if errors.Is(err, unix.EOPNOTSUPP) || errors.Is(err, unix.ENOENT) {
		t.Skipf("this kernel has no nftables: %v", err)
	}
	if err != nil {
		t.Fatal(err)
	}
}

// The expressions of rules, as nft writes them.

func protocol(number byte) []expr.Any {
	return []expr.Any{&expr.Meta{Key: expr.MetaKeyL4PROTO, Register: 1}, &expr.Cmp{Op: expr.CmpOpEq, Register: 1, Data: []byte{number}}}
}

func port(number uint16) []expr.Any {
	return []expr.Any{
		&expr.Payload{DestRegister: 1, Base: expr.PayloadBaseTransportHeader, Offset: 2, Len: 2},
		&expr.Cmp{Op: expr.CmpOpEq, Register: 1, Data: bytesOf(number)},
	}
}

func source(prefix string) []expr.Any {
	_, n, err := net.ParseCIDR(prefix)
	if err != nil {
		panic(err)
	}
	return []expr.Any{
		&expr.Payload{DestRegister: 1, Base: expr.PayloadBaseNetworkHeader, Offset: 12, Len: 4},
		&expr.Bitwise{SourceRegister: 1, DestRegister: 1, Len: 4, Mask: n.Mask, Xor: make([]byte, 4)},
		&expr.Cmp{Op: expr.CmpOpEq, Register: 1, Data: n.IP.To4()},
	}
}

func bytesOf(n uint16) []byte { return binary.BigEndian.AppendUint16(nil, n) }

func join(parts ...[]expr.Any) []expr.Any {
	var out []expr.Any
	for _, p := range parts {
		out = append(out, p...)
	}
	return out
}

func verdict(kind expr.VerdictKind, chain string) []expr.Any {
	return []expr.Any{&expr.Counter{}, &expr.Verdict{Kind: kind, Chain: chain}}
}

var drop = verdict(expr.VerdictDrop, "")

func told(t *testing.T) map[snapshot.EvidenceKey]string {
	t.Helper()
	all, err := New(monitor.Host{Root: t.TempDir()}).Observe(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	out := map[snapshot.EvidenceKey]string{}
	for _, e := range all {
		out[e.Key] = e.Value
	}
	return out
}

func TestRulesThatStopTheClusterAreTold(t *testing.T) {
	c := inNamespace(t)
	table := c.AddTable(&nftables.Table{Family: nftables.TableFamilyIPv4, Name: "filter"})
	policy := nftables.ChainPolicyDrop
	input := c.AddChain(&nftables.Chain{Name: "INPUT", Table: table, Type: nftables.ChainTypeFilter, Hooknum: nftables.ChainHookInput, Priority: nftables.ChainPriorityFilter, Policy: &policy})
	output := c.AddChain(&nftables.Chain{Name: "OUTPUT", Table: table, Type: nftables.ChainTypeFilter, Hooknum: nftables.ChainHookOutput, Priority: nftables.ChainPriorityFilter})
	logDrop := c.AddChain(&nftables.Chain{Name: "LOGDROP", Table: table})
	proxy := c.AddChain(&nftables.Chain{Name: "KUBE-FIREWALL", Table: table})
	flush(t, c)
	ports := &nftables.Set{Table: table, Anonymous: true, Constant: true, Interval: true, KeyType: nftables.TypeInetService}
	if err := c.AddSet(ports, []nftables.SetElement{
		{Key: bytesOf(0), IntervalEnd: true}, {Key: bytesOf(2379)}, {Key: bytesOf(2381), IntervalEnd: true}, {Key: bytesOf(6443)}, {Key: bytesOf(6444), IntervalEnd: true},
	}); err != nil {
		t.Fatal(err)
	}
	add := func(chain *nftables.Chain, parts ...[]expr.Any) {
		c.AddRule(&nftables.Rule{Table: table, Chain: chain, Exprs: join(parts...)})
	}
	add(logDrop, []expr.Any{&expr.Log{}})
	add(logDrop, drop)
	add(proxy, protocol(unix.IPPROTO_TCP), port(10250), drop)
	add(input, verdict(expr.VerdictJump, "KUBE-FIREWALL"))
	add(input, protocol(unix.IPPROTO_TCP), port(22), drop)
	add(input, source("10.0.0.0/8"), protocol(unix.IPPROTO_TCP), port(6443), verdict(expr.VerdictAccept, ""))
	add(input, protocol(unix.IPPROTO_TCP), port(6443), drop)
	add(input, []expr.Any{&expr.Match{Name: "udp", Info: &xt.Udp{SrcPorts: [2]uint16{0, 65535}, DstPorts: [2]uint16{8472, 8472}}}}, verdict(expr.VerdictJump, "LOGDROP"))
	add(output, protocol(unix.IPPROTO_TCP), []expr.Any{
		&expr.Payload{DestRegister: 1, Base: expr.PayloadBaseTransportHeader, Offset: 2, Len: 2}, &expr.Lookup{SourceRegister: 1, SetName: ports.Name, SetID: ports.ID},
	}, []expr.Any{&expr.Reject{Type: unix.NFT_REJECT_TCP_RST}})
	add(output, source("10.99.0.22/32"), drop)
	flush(t, c)

	got := told(t)
	type line struct{ chain, text, hooks, ports, after string }
	var lines []line
	for key, text := range got {
		if s := key.Segments(); key.Fits("filter/rule/*/*/*/text") {
			at := func(word string) string { return got[snapshot.KeyOf("filter", "rule", s[2], s[3], s[4], word)] }
			lines = append(lines, line{s[2] + " " + s[3], text, at("hooks"), at("ports"), at("after")})
		}
	}
	want := []line{
		{"ip filter INPUT", "tcp dport 6443 drop", "input", "6443", "ip saddr 10.0.0.0/8 tcp dport 6443 accept"},
		{"ip filter INPUT", "udp dport 8472 jump LOGDROP", "input", "8472", ""},
		{"ip filter OUTPUT", "tcp dport { 2379-2380, 6443 } reject", "output", "2379-2380 6443", ""},
		{"ip filter OUTPUT", "ip saddr 10.99.0.22 drop", "output", "", ""},
	}
	byText := cmp.Transformer("byText", func(all []line) map[string]line {
		out := map[string]line{}
		for _, l := range all {
			out[l.text] = l
		}
		return out
	})
	if diff := cmp.Diff(want, lines, byText, cmp.AllowUnexported(line{})); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	if got["filter/readable"] != "true" || got["filter/chain/ip%20filter/INPUT/policy"] != "drop" {
		t.Errorf("readable %q and policy of INPUT %q, want true and drop", got["filter/readable"], got["filter/chain/ip%20filter/INPUT/policy"])
	}
}

func TestTablesOfKubernetesAreLeftAlone(t *testing.T) {
	c := inNamespace(t)
	table := c.AddTable(&nftables.Table{Family: nftables.TableFamilyIPv4, Name: "kube-proxy"})
	chain := c.AddChain(&nftables.Chain{Name: "filter-input", Table: table, Type: nftables.ChainTypeFilter, Hooknum: nftables.ChainHookInput, Priority: nftables.ChainPriorityFilter})
	c.AddRule(&nftables.Rule{Table: table, Chain: chain, Exprs: join(protocol(unix.IPPROTO_TCP), port(6443), drop)})
	flush(t, c)
	for key := range told(t) {
		if strings.HasPrefix(string(key), "filter/rule/") {
			t.Errorf("%s is told", key)
		}
	}
}

// BenchmarkKubeProxy reads what kube-proxy writes for two thousand Services.
func BenchmarkKubeProxy(b *testing.B) {
	c := inNamespace(b)
	table := c.AddTable(&nftables.Table{Family: nftables.TableFamilyIPv4, Name: "kube-proxy"})
	flush(b, c)
	for i := range 2000 {
		chain := c.AddChain(&nftables.Chain{Name: "service-" + strings.Repeat("x", 40) + string(rune('a'+i%26)) + net.IPv4(10, 96, byte(i>>8), byte(i)).String(), Table: table})
		for range 4 {
			c.AddRule(&nftables.Rule{Table: table, Chain: chain, Exprs: join(protocol(unix.IPPROTO_TCP), port(443), drop)})
		}
		if i%10 == 9 {
			flush(b, c)
		}
	}
	m := New(monitor.Host{Root: b.TempDir()})
	for b.Loop() {
		if _, err := m.Observe(b.Context()); err != nil {
			b.Fatal(err)
		}
	}
}
