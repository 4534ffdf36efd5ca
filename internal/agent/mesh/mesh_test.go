package mesh

import (
	"net/netip"
	"strconv"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/maek-dev/maek/internal/agent/mesh/beacon"
	"github.com/maek-dev/maek/internal/snapshot"
)

// losses of a report about a peer, in and out, as the streams are called.
func losses(report map[snapshot.EvidenceKey]string, node string) map[string]string {
	out := map[string]string{}
	for _, name := range streamNames {
		for _, way := range []string{"in", "out"} {
			if v, ok := report[snapshot.KeyOf("mesh", "peer", node, name+"-"+way+"-loss")]; ok && v != "0" {
				out[name+"-"+way] = v
			}
		}
	}
	return out
}

func TestFaultsAreToldInTheirDirection(t *testing.T) {
	type seen map[string]string
	one := func(from, to string) func(string, string, bool, int) bool {
		return func(f, t string, _ bool, _ int) bool { return f == from && t == to }
	}
	cases := map[string]struct {
		drop func(from, to string, overPods bool, size int) bool
		cut  func(from, to string, overPods bool) bool
		// what n0 says of n1, and n1 of n0
		want0, want1 seen
	}{
		"a healthy network loses nothing": {want0: seen{}, want1: seen{}},
		"what n0 sends to n1 is lost": {
			drop: one("n0", "n1"), cut: func(string, string, bool) bool { return true },
			want0: seen{"host-out": "1", "host-big-out": "1", "pod-out": "1", "pod-big-out": "1"},
			want1: seen{"host-in": "1", "host-big-in": "1", "pod-in": "1", "pod-big-in": "1"},
		},
		"the pod network is broken from n1 to n0": {
			drop:  func(f, _ string, pods bool, _ int) bool { return pods && f == "n1" },
			cut:   func(_, _ string, pods bool) bool { return pods },
			want0: seen{"pod-in": "1", "pod-big-in": "1"},
			want1: seen{"pod-out": "1", "pod-big-out": "1"},
		},
		"large packets are lost between n0 and n1": {
			drop:  func(_, _ string, pods bool, size int) bool { return size > 1400 || pods && size > 1350 },
			want0: seen{"host-big-in": "1", "host-big-out": "1", "pod-big-in": "1", "pod-big-out": "1"},
			want1: seen{"host-big-in": "1", "host-big-out": "1", "pod-big-in": "1", "pod-big-out": "1"},
		},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				n := newNetwork(3)
				n.run(t)
				pass(time.Minute)
				n.fault(tc.drop, tc.cut)
				pass(25 * time.Second)
				r0, r1 := n.sims[0].report(t), n.sims[1].report(t)
				if diff := cmp.Diff(tc.want0, seen(losses(r0, "n1"))); diff != "" {
					t.Errorf("n0 of n1 (-want +got):\n%s", diff)
				}
				if diff := cmp.Diff(tc.want1, seen(losses(r1, "n0"))); diff != "" {
					t.Errorf("n1 of n0 (-want +got):\n%s", diff)
				}
				for _, peer := range []string{"n1", "n2"} {
					if r0[snapshot.KeyOf("mesh", "peer", peer, "expected")] != "true" {
						t.Errorf("%s is not expected", peer)
					}
				}
				n.stop()
			})
		})
	}
}

func TestAMachineThatIsOffIsMissedWithinSeconds(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := newNetwork(3)
		n.run(t)
		pass(time.Minute)
		n.fault(func(from, to string, _ bool, _ int) bool { return from == "n2" || to == "n2" },
			func(from, to string, _ bool) bool { return from == "n2" || to == "n2" })
		pass(13 * time.Second)
		report := n.sims[0].report(t)
		want := map[string]string{"host-in": "1", "pod-in": "1"}
		got := losses(report, "n2")
		delete(got, "host-big-in")
		delete(got, "pod-big-in")
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("losses of a machine that is off (-want +got):\n%s", diff)
		}
		if tcp := report["mesh/peer/n2/host-tcp"]; tcp != TimedOut {
			t.Errorf("requests to a machine that is off: %q, want %q", tcp, TimedOut)
		}
		n.stop()
	})
}

func TestAnAgentThatEndsIsNotMissed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := newNetwork(3)
		n.run(t)
		pass(time.Minute)
		n.sims[2].end()
		pass(time.Minute)
		report := n.sims[0].report(t)
		if got := losses(report, "n2"); len(got) > 0 {
			t.Errorf("an agent that said that it ends is missed: %v", got)
		}
		if got := report["mesh/peer/n2/expected"]; got != "false" {
			t.Errorf("it is still expected: %q", got)
		}
		n.sims[2].start(t)
		pass(20 * time.Second)
		if got := n.sims[0].report(t)["mesh/peer/n2/expected"]; got != "true" {
			t.Errorf("it came back and is not expected: %q", got)
		}
		n.stop()
	})
}

func TestBeaconsOutliveGreetings(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := newNetwork(2)
		n.run(t)
		pass(time.Minute)
		n.fault(nil, func(string, string, bool) bool { return true })
		n.sims[1].end()
		n.sims[1].start(t)
		pass(time.Minute)
		for i, other := range []string{"n1", "n0"} {
			report := n.sims[i].report(t)
			if got := losses(report, other); len(got) > 0 {
				t.Errorf("beacons of %s ended with greetings: %v", other, got)
			}
			if age, err := strconv.ParseFloat(report[snapshot.KeyOf("mesh", "peer", other, "host-in-age")], 64); err != nil || age > 2 {
				t.Errorf("the last beacon of %s is %q old", other, report[snapshot.KeyOf("mesh", "peer", other, "host-in-age")])
			}
		}
		n.stop()
	})
}

func TestAPauseOfTheAgentIsNotTheNetworks(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := newNetwork(2)
		n.run(t)
		pass(time.Minute)
		n.sims[0].clock.Store(int64(time.Hour))
		pass(10 * time.Second)
		report := n.sims[0].report(t)
		if got := losses(report, "n1"); len(got) > 0 {
			t.Errorf("after its clock was set: %v", got)
		}
		pass(2 * time.Minute)
		if got := n.sims[1].report(t)["mesh/peer/n0/clock-offset"]; got != "3600" {
			t.Errorf("clock offset %q, want 3600", got)
		}
		n.stop()
	})
}

func TestGreetingsOfLiarsAreRefused(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := newNetwork(3)
		n.run(t)
		pass(time.Minute)
		m, liar := n.sims[0].mesh, n.sims[1].self
		key := make([]byte, 32)
		if err := m.accept(liar, hello{Version: Version, Node: "n2", UID: "uid-2", Key: key}); err == nil {
			t.Error("a greeting in another's name was taken")
		}
		victim := PodAddress{Address: netip.MustParseAddr("192.0.2.1"), MTU: 1450}
		if err := m.accept(liar, hello{Version: Version, Node: liar.Node, UID: liar.UID, Key: key, Pods: []PodAddress{victim}}); err != nil {
			t.Fatal(err)
		}
		report := n.sims[0].report(t)
		if got := report["mesh/peer/n1/pod-address"]; got != "" {
			t.Errorf("beacons go to %s, which is not in the pod network of n1", got)
		}
		if got := report["mesh/self/dropped/lie"]; got != "2" {
			t.Errorf("%s lies were counted, want 2", got)
		}
		if err := m.accept(liar, hello{Version: Version + 1, Node: liar.Node, UID: liar.UID, Key: key}); err == nil {
			t.Error("a greeting of another version was taken")
		}
		if got := n.sims[0].report(t)["mesh/peer/n1/version"]; got != strconv.Itoa(Version+1) {
			t.Errorf("version %q", got)
		}
		n.stop()
	})
}

func TestAFloodIsSaidAndBlamesNobody(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := newNetwork(2)
		n.run(t)
		pass(time.Minute)
		s := n.sims[0]
		conn := n.conns[s.self.Addresses[0]]
		forged := make([]byte, beacon.Size)
		beacon.Beacon{From: beacon.IDOf("uid-1"), Session: 1, Number: 1}.Seal(forged, &beacon.Key{1})
		for range 5000 {
			select {
			case conn.packets <- forged:
			default:
			}
			if len(conn.packets) > 900 {
				pass(10 * time.Millisecond)
			}
		}
		pass(time.Second)
		evidence, err := s.mesh.Monitor().Observe(t.Context())
		if err == nil {
			t.Error("a flood leaves no gap")
		}
		got := map[snapshot.EvidenceKey]string{}
		for _, e := range evidence {
			got[e.Key] = e.Value
		}
		if l := losses(got, "n1"); len(l) > 0 {
			t.Errorf("a flood in its name is blamed on n1: %v", l)
		}
		if forged, err := strconv.Atoi(got["mesh/self/dropped/forged"]); err != nil || forged == 0 || forged > 200 {
			t.Errorf("%q seals were tried, want few", got["mesh/self/dropped/forged"])
		}
		pass(2 * time.Minute)
		if l := losses(s.report(t), "n1"); len(l) > 0 {
			t.Errorf("after the flood: %v", l)
		}
		n.stop()
	})
}

func TestOneSlowAnswerIsNoSlowPath(t *testing.T) {
	cases := map[string]struct {
		took []time.Duration
		want time.Duration
		ok   bool
	}{
		"nothing was asked for":                {},
		"a fast one":                           {took: []time.Duration{time.Millisecond}, want: time.Millisecond, ok: true},
		"a slow one alone":                     {took: []time.Duration{time.Second}},
		"a slow one after a fast one":          {took: []time.Duration{time.Millisecond, time.Second}, want: time.Millisecond, ok: true},
		"two slow ones":                        {took: []time.Duration{time.Millisecond, 2 * time.Second, time.Second}, want: time.Second, ok: true},
		"two that did not come whole":          {took: []time.Duration{gaveUp, gaveUp}, want: -1, ok: true},
		"a fast one after those that were not": {took: []time.Duration{gaveUp, gaveUp, time.Millisecond}, want: time.Millisecond, ok: true},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			var r reach
			for _, d := range tc.took {
				r.took(d, time.Time{})
			}
			if got, ok := r.bulk(); got != tc.want || ok != tc.ok {
				t.Errorf("bulk %v %t, want %v %t", got, ok, tc.want, tc.ok)
			}
		})
	}
}

func TestAgentsOfAnotherVersionAreKnownAsSuch(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := newNetwork(2)
		n.run(t)
		pass(time.Minute)
		n.sims[1].speaks.Store(Version + 1)
		pass(time.Minute)
		if got := n.sims[0].report(t)["mesh/peer/n1/version"]; got != strconv.Itoa(Version+1) {
			t.Errorf("version of n1: %q, want %d", got, Version+1)
		}
		n.stop()
	})
}

func TestASenderWhoseClockWasSetBackIsHeardAgain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := newNetwork(2)
		n.run(t)
		pass(time.Minute)
		n.sims[1].end()
		n.sims[1].clock.Store(int64(-time.Hour))
		n.sims[1].start(t)
		pass(30 * time.Second)
		if got := losses(n.sims[0].report(t), "n1"); len(got) > 0 {
			t.Errorf("its beacons are refused: %v", got)
		}
		n.stop()
	})
}
