package network

import (
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestPortOfAMachine(t *testing.T) {
	t.Parallel()
	want := []string{
		"link add w1p type veth peer name eth0 address 02:00:0a:63:00:15 netns lab-w1",
		"link set w1p master br0",
		"link set w1p up",
	}
	if diff := cmp.Diff(want, portCommands("w1", WorkerAddress(1))); diff != "" {
		t.Errorf("commands (-want +got):\n%s", diff)
	}
}

func TestCardOfAMachine(t *testing.T) {
	t.Parallel()
	want := []string{
		"link set lo up",
		"addr add 10.99.0.11/24 dev eth0",
		"link set eth0 up",
		"route add default via 10.99.0.1",
	}
	if diff := cmp.Diff(want, cardCommands(ControlPlaneAddress(1))); diff != "" {
		t.Errorf("commands (-want +got):\n%s", diff)
	}
}

func TestPortsThatAreUp(t *testing.T) {
	t.Parallel()
	tests := map[string]struct {
		list string
		want map[string]bool
	}{
		"one is up and one was cut": {
			list: `[{"ifname":"cp1p","flags":["BROADCAST","MULTICAST","UP","LOWER_UP"]},{"ifname":"w1p","flags":["BROADCAST","MULTICAST"]}]`,
			want: map[string]bool{"cp1p": true, "w1p": false},
		},
		"no machine is on": {list: "", want: map[string]bool{}},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			got, err := parsePorts([]byte(tc.list))
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(tc.want, got); diff != "" {
				t.Errorf("ports (-want +got):\n%s", diff)
			}
		})
	}
}
