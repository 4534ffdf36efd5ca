package plan

import (
	"fmt"
	"slices"
	"testing"
	"time"
)

func machines(n, planes, zones int) []Machine {
	var out []Machine
	for i := range n {
		m := Machine{Name: fmt.Sprintf("node-%04d", i), ControlPlane: i < planes}
		if zones > 0 {
			m.Zone = fmt.Sprintf("zone-%d", i%zones)
		}
		out = append(out, m)
	}
	return out
}

func TestWatchingIsMutual(t *testing.T) {
	for name, all := range map[string][]Machine{
		"a small cluster":                 machines(5, 1, 0),
		"an even number":                  machines(60, 3, 3),
		"an odd number":                   machines(61, 3, 3),
		"five hundred":                    machines(500, 3, 3),
		"many control planes and no zone": machines(130, 9, 0),
	} {
		t.Run(name, func(t *testing.T) {
			for round := range uint64(3) {
				watched := map[string][]string{}
				for _, m := range all {
					watched[m.Name] = Watched(m.Name, all, round)
				}
				for a, peers := range watched {
					if slices.Contains(peers, a) {
						t.Fatalf("%s watches itself", a)
					}
					for _, b := range peers {
						if !slices.Contains(watched[b], a) {
							t.Fatalf("round %d: %s watches %s, which does not watch it", round, a, b)
						}
					}
				}
			}
		})
	}
}

func TestEveryPairMeets(t *testing.T) {
	all := machines(200, 3, 3)
	met := map[[2]string]bool{}
	rounds := uint64(len(all)/guests + 1)
	for round := range rounds {
		for _, m := range all {
			for _, p := range Watched(m.Name, all, round+1000) {
				met[[2]string{m.Name, p}] = true
			}
		}
	}
	if want := len(all) * (len(all) - 1); len(met) != want {
		t.Errorf("%d pairs met within %d rounds, want %d", len(met), rounds, want)
	}
}

func TestFewAreWatchedInALargeCluster(t *testing.T) {
	all := machines(500, 3, 3)
	for _, m := range all {
		n := len(Watched(m.Name, all, 17))
		most := 2*side + guests + 6
		if m.ControlPlane {
			most += 2 * perControlPlane
		}
		if n < side || n > most {
			t.Errorf("%s watches %d machines, want %d to %d", m.Name, n, side, most)
		}
	}
}

func TestWhoIsNotThereWatchesNobody(t *testing.T) {
	if got := Watched("stranger", machines(3, 1, 0), 0); got != nil {
		t.Errorf("a machine that is not among them watches %v", got)
	}
}

func TestRoundsFollowTheClock(t *testing.T) {
	at := time.Unix(1700000000, 0).Truncate(Round)
	if a, b := RoundAt(at), RoundAt(at.Add(Round)); b != a+1 {
		t.Errorf("rounds %d and %d a Round apart", a, b)
	}
}
