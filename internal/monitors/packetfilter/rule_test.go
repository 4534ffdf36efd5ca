package packetfilter

import "testing"

func TestAnEarlierRuleLetsPassWhatALaterOneTakes(t *testing.T) {
	later := rule{verdict: "drop", protocol: "tcp", ports: []span{{6443, 6443}}}
	for _, tc := range []struct {
		name    string
		earlier rule
		want    bool
	}{
		{"known addresses may connect", rule{verdict: "accept", sources: []string{"10.0.0.0/8"}}, true},
		{"the port is among those that pass", rule{verdict: "accept", protocol: "tcp", ports: []span{{1, 9999}}}, true},
		{"the chain is left", rule{verdict: "return", in: "eth1"}, true},
		{"other ports pass", rule{verdict: "accept", protocol: "tcp", ports: []span{{22, 22}}}, false},
		{"another protocol passes", rule{verdict: "accept", protocol: "udp"}, false},
		{"open connections go on", rule{verdict: "accept", settled: true}, false},
		{"the machine speaks with itself", rule{verdict: "accept", in: "lo"}, false},
		{"it drops too", rule{verdict: "drop"}, false},
	} {
		t.Run(tc.name, func(t *testing.T) {
			if got := tc.earlier.lets(later); got != tc.want {
				t.Errorf("%q before %q: %t, want %t", tc.earlier.text(), later.text(), got, tc.want)
			}
		})
	}
}

func TestRulesOfAClusterArePickedOut(t *testing.T) {
	for _, tc := range []struct {
		name string
		rule rule
		want bool
	}{
		{"the API server's port", rule{protocol: "tcp", ports: []span{{6443, 6443}}}, true},
		{"a range with the kubelet's", rule{ports: []span{{10000, 11000}}}, true},
		{"a host", rule{sources: []string{"10.99.0.22"}}, true},
		{"another port", rule{protocol: "tcp", ports: []span{{22, 22}}}, false},
		{"pings of a host", rule{protocol: "icmp", sources: []string{"10.99.0.22"}}, false},
		{"everything, at the end of a chain", rule{}, false},
	} {
		t.Run(tc.name, func(t *testing.T) {
			if got := tc.rule.ofCluster(); got != tc.want {
				t.Errorf("%q: %t, want %t", tc.rule.text(), got, tc.want)
			}
		})
	}
}
