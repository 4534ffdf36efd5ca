package mesh

import (
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/maek-dev/maek/internal/rule"
	networkrules "github.com/maek-dev/maek/internal/rules/network"
	"github.com/maek-dev/maek/internal/snapshot"
)

// TestRealFaultsNameTheirSide breaks a real overlay in every way that is known to happen, and lets the
// rules judge the reports of the agents on it.
func TestRealFaultsNameTheirSide(t *testing.T) {
	t.Parallel()
	nft := func(m *machine, hook, expression string) string {
		return fmt.Sprintf("nft add table inet maek ; add chain inet maek %[2]s { type filter hook %[2]s priority -300 ; } ; add rule inet maek %[2]s %[3]s drop", m.name, hook, expression)
	}
	cases := map[string]struct {
		fault func(t *testing.T, w *wires)
		// silent machines give no report.
		silent []string
		want   []string
	}{
		"nothing is wrong": {fault: func(*testing.T, *wires) {}},
		"the forwarding entry of b is missing on a": {
			fault: func(t *testing.T, w *wires) {
				must(t, fmt.Sprintf("bridge -n %s fdb del %s dev flannel.1 dst %s self", w.machine("a").namespace, w.machine("b").mac, w.machine("b").host()))
			},
			want: []string{"PodNetworkBroken Path a -> b on a"},
		},
		"the neighbour entry of b is missing on a": {
			fault: func(t *testing.T, w *wires) {
				w.machine("a").ip(t, fmt.Sprintf("neigh del %s dev flannel.1", w.machine("b").pod()))
			},
			want: []string{"PodNetworkBroken Path a -> b on a"},
		},
		"the route to b is missing on a": {
			fault: func(t *testing.T, w *wires) {
				w.machine("a").ip(t, fmt.Sprintf("route del %s/24", w.machine("b").pod()))
			},
			want: []string{"PodNetworkBroken Path a -> b on a"},
		},
		"the forwarding entry of b leads to an old address on a": {
			fault: func(t *testing.T, w *wires) {
				must(t, fmt.Sprintf("bridge -n %s fdb del %s dev flannel.1 dst %s self", w.machine("a").namespace, w.machine("b").mac, w.machine("b").host()))
				must(t, fmt.Sprintf("bridge -n %s fdb add %s dev flannel.1 dst 10.98.0.77 self permanent", w.machine("a").namespace, w.machine("b").mac))
			},
			want: []string{"PodNetworkBroken Path a -> b on a"},
		},
		"a has an old hardware address of b": {
			fault: func(t *testing.T, w *wires) {
				w.machine("a").ip(t, fmt.Sprintf("neigh replace %s lladdr be:00:00:00:00:77 dev flannel.1 nud permanent", w.machine("b").pod()))
			},
			want: []string{"PodNetworkBroken Path a -> b on a"},
		},
		"flannel.1 of a went down and up, which took its routes": {
			fault: func(t *testing.T, w *wires) {
				w.machine("a").ip(t, "link set flannel.1 down")
				w.machine("a").ip(t, "link set flannel.1 up")
			},
			want: []string{"PodNetworkBroken Machine a on a"},
		},
		"flannel.1 of b has another port": {
			fault: func(t *testing.T, w *wires) {
				w.machine("b").ip(t, "link del flannel.1")
				w.machine("b").overlay(t, 4789)
				w.machine("b").entries(t)
			},
			want: []string{"PodNetworkBroken Machine b on b"},
		},
		"b drops VXLAN in and out": {
			fault: func(t *testing.T, w *wires) {
				w.machine("b").filter(t, nft(w.machine("b"), "input", "udp dport 8472"), nft(w.machine("b"), "output", "udp dport 8472"))
			},
			want: []string{"PodNetworkBroken Machine b on b"},
		},
		"the switch port of b carries 1400 bytes": {
			fault: func(t *testing.T, w *wires) { must(t, "ip -n "+w.prefix+"sw link set bp mtu 1400") },
			want:  []string{"PathMtuTooSmall Machine b on b"},
		},
		"the overlay of b carries less, and says so": {
			fault: func(t *testing.T, w *wires) { w.machine("b").ip(t, "link set flannel.1 mtu 1400") },
		},
		"b drops all that it sends": {
			fault: func(t *testing.T, w *wires) {
				w.machine("b").filter(t, nft(w.machine("b"), "output", "ip daddr 10.98.0.0/24"))
			},
			want: []string{"HostPathBroken Machine b on b"},
		},
		"b drops what a sends": {
			fault: func(t *testing.T, w *wires) {
				w.machine("b").filter(t, nft(w.machine("b"), "input", "ip saddr 10.98.0.1"))
			},
			want: []string{"HostPathBroken Path a -> b on a"},
		},
		"b drops beacons alone": {
			fault: func(t *testing.T, w *wires) {
				w.machine("b").filter(t, nft(w.machine("b"), "input", "udp dport 10270"))
			},
			want: []string{"MeshPortBlocked Network beacons on "},
		},
		"the cable of b is cut, and its report is read on it": {
			fault: func(t *testing.T, w *wires) { must(t, "ip -n "+w.prefix+"sw link set bp down") },
			want:  []string{"NetworkPartitioned Machine b on b"},
		},
		"the cable of b is cut, and it gives no report": {
			fault:  func(t *testing.T, w *wires) { must(t, "ip -n "+w.prefix+"sw link set bp down") },
			silent: []string{"b"},
			want:   []string{"MachineUnreachable Machine b on b"},
		},
	}
	// More networks at once would take each other's time.
	slots := make(chan struct{}, 2)
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			slots <- struct{}{}
			defer func() { <-slots }()
			w := newWires(t)
			for _, m := range w.machines {
				m.start(t)
			}
			// First all is well, and known to be.
			w.until(t, "beacons of all streams arrive", nil, func(got []string, reports []snapshot.MachineReport) bool {
				return len(got) == 0 && allHeard(reports)
			})
			tc.fault(t, w)
			w.settle(t)
			w.until(t, "the fault is told", tc.silent, func(got []string, _ []snapshot.MachineReport) bool { return slices.Equal(got, tc.want) })
		})
	}
}

// filter gives rules to the machine's packet filter.
func (m *machine) filter(t *testing.T, rulesets ...string) {
	t.Helper()
	for _, r := range rulesets {
		m.do(t, r)
	}
}

// allHeard tells whether every report knows of no loss in all streams and both directions.
func allHeard(reports []snapshot.MachineReport) bool {
	n := 0
	for _, r := range reports {
		for _, e := range r.Evidence {
			for _, name := range streamNames {
				if e.Key.Fits(snapshot.EvidenceKey("mesh/peer/*/" + name + "-in-loss")) {
					if e.Value != "0" {
						return false
					}
					n++
				}
			}
		}
	}
	return n == len(reports)*(len(reports)-1)*len(streamNames)
}

// settle waits until what went before is out of all windows: fifteen seconds of the agents' clocks and some beacons more.
func (w *wires) settle(t *testing.T) {
	t.Helper()
	end := w.clock.now().Add(25 * time.Second)
	w.until(t, "time passes", nil, func([]string, []snapshot.MachineReport) bool { return w.clock.now().After(end) })
}

// until waits for what reports say, and what rules say about them.
func (w *wires) until(t *testing.T, what string, silent []string, holds func([]string, []snapshot.MachineReport) bool) {
	t.Helper()
	every := time.NewTicker(200 * time.Millisecond)
	defer every.Stop()
	slower := time.NewTicker(20 * time.Second)
	defer slower.Stop()
	deadline := time.After(5 * time.Minute)
	for {
		var reports []snapshot.MachineReport
		for _, m := range w.machines {
			if !slices.Contains(silent, m.name) {
				reports = append(reports, m.report(t))
			}
		}
		got := findings(t, w.clock.now(), reports)
		if holds(got, reports) {
			return
		}
		select {
		case <-every.C:
		case <-slower.C:
			w.clock.slow()
		case <-deadline:
			for _, r := range reports {
				for _, e := range r.Evidence {
					t.Logf("%s: %s = %s", r.Node, e.Key, e.Value)
				}
			}
			t.Fatalf("waiting until %s: the rules say %v", what, cmp.Diff([]string(nil), got))
		}
	}
}

// findings of the rules about paths.
func findings(t *testing.T, now time.Time, reports []snapshot.MachineReport) []string {
	t.Helper()
	b := snapshot.NewBuilder(now, snapshot.Source{Name: "namespaces"})
	for _, r := range reports {
		b.AddMachine(r)
	}
	var paths []rule.Rule
	for _, r := range rule.OnMachines(networkrules.Catalog.Rules()) {
		switch r.Code {
		case "PathSlow", "MachineClockOffset": // clocks of different pace
		default:
			paths = append(paths, r)
		}
	}
	result := rule.Evaluate(t.Context(), b.Build(), paths, nil, rule.DefaultBudget)
	for _, f := range result.Failures {
		t.Error(f.Err)
	}
	var out []string
	for _, f := range result.Findings {
		out = append(out, fmt.Sprintf("%s %s %s on %s", f.Code, f.Subject.Kind, f.Subject.Name, f.Subject.Machine))
	}
	slices.Sort(out)
	return out
}
