package network

import (
	"fmt"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestFailedCallsAreReadFromLogs(t *testing.T) {
	type call struct {
		Names, Refused bool
		Targets        []string
	}
	tests := map[string]struct {
		log  string
		want []call
	}{
		"Go that got no answer from a server of names": {
			log:  `{"time":"2026-03-02T02:11:00Z","msg":"api does not answer","err":"Get \"http://api:8080/x\": dial tcp: lookup api on 10.96.0.10:53: read udp 10.1.0.5:4242->10.96.0.10:53: i/o timeout"}`,
			want: []call{{Names: true, Targets: []string{"api:8080", "10.96.0.10:53", "10.1.0.5:4242"}}},
		},
		"Go that got no answer": {
			log:  `dial tcp 10.96.0.12:5432: i/o timeout`,
			want: []call{{Targets: []string{"10.96.0.12:5432"}}},
		},
		"a deadline that names only the URL": {
			log:  `Get "http://db:8080/orders": context deadline exceeded (Client.Timeout exceeded while awaiting headers)`,
			want: []call{{Targets: []string{"db:8080"}}},
		},
		"Node.js": {
			log:  `Error: connect ETIMEDOUT 10.96.0.12:5432`,
			want: []call{{Targets: []string{"10.96.0.12:5432"}}},
		},
		"libpq": {
			log:  `connection to server at "db" (10.1.0.9), port 5432 failed: Connection timed out`,
			want: []call{{Targets: []string{"db:5432"}}},
		},
		"a refusal": {
			log:  `dial tcp 10.96.0.12:8080: connect: connection refused`,
			want: []call{{Refused: true, Targets: []string{"10.96.0.12:8080"}}},
		},
		"the C library": {
			log:  `psql: could not translate host name "db" to address: Temporary failure in name resolution`,
			want: []call{{Names: true}},
		},
		"an address of IPv6":                      {log: `dial tcp [fd00::12]:8080: i/o timeout`, want: []call{{Targets: []string{"fd00::12:8080"}}}},
		"a name that does not exist is an answer": {log: `dial tcp: lookup dbb on 10.96.0.10:53: no such host`},
		"a setting is no failure":                 {log: `listening on 0.0.0.0:8080, timeout=5s`},
		"the latest comes first": {
			log:  "dial tcp 10.96.0.1:443: i/o timeout\nok\ndial tcp 10.96.0.2:443: i/o timeout\n",
			want: []call{{Targets: []string{"10.96.0.2:443"}}, {Targets: []string{"10.96.0.1:443"}}},
		},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			var got []call
			for _, c := range failedCalls(tc.log) {
				g := call{Names: c.names, Refused: c.refused}
				for _, target := range c.targets {
					g.Targets = append(g.Targets, fmt.Sprintf("%s:%d", target.host, target.port))
				}
				got = append(got, g)
			}
			if diff := cmp.Diff(tc.want, got); diff != "" {
				t.Errorf("(-want +got):\n%s", diff)
			}
		})
	}
}

// FuzzFailedCalls holds that no log breaks the rules, and that every target that is read has a host.
func FuzzFailedCalls(f *testing.F) {
	for _, seed := range []string{`dial tcp [fd00::12]:8080: i/o timeout`, `Get "http://a@b:99999/": timed out`, "2026-03-02T02:11:00Z ECONNREFUSED :0", `host "x", port 1 timeout`} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, log string) {
		for _, c := range failedCalls(log) {
			for _, target := range c.targets {
				if target.host == "" || target.port < 0 || target.port > 65535 {
					t.Errorf("%q: read %v", c.line, target)
				}
			}
		}
	})
}
