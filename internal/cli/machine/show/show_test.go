package show

import (
	"bytes"
	"encoding/json"
	"flag"
	"math"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/maek-dev/maek/internal/finding"
	"github.com/maek-dev/maek/internal/report"
	"github.com/maek-dev/maek/internal/snapshot"
)

var update = flag.Bool("update", false, "write what is printed into the goldens")

func recorded(t *testing.T) snapshot.MachineReport {
	t.Helper()
	data, err := os.ReadFile("testdata/cp1.json")
	if err != nil {
		t.Fatal(err)
	}
	var r snapshot.MachineReport
	if err := json.Unmarshal(data, &r); err != nil {
		t.Fatal(err)
	}
	return r
}

func printed(t *testing.T, r snapshot.MachineReport, part string, o report.Options) string {
	t.Helper()
	b := snapshot.NewBuilder(r.ObservedAt.Time, snapshot.Source{})
	b.AddMachine(r)
	m, ok := b.Build().Machine(r.Node)
	if !ok {
		t.Fatal("the report is not there")
	}
	var out bytes.Buffer
	if err := Print(&out, m, r, part, o); err != nil {
		t.Fatal(err)
	}
	return out.String()
}

func TestGoldens(t *testing.T) {
	tests := map[string]report.Options{
		"testdata/en-120.txt": {Language: finding.English, Width: 120},
		"testdata/ko-80.txt":  {Language: finding.Korean, Width: 80},
	}
	for path, options := range tests {
		t.Run(path, func(t *testing.T) {
			got := printed(t, recorded(t), All, options)
			if *update {
				if err := os.WriteFile(path, []byte(got), 0o644); err != nil {
					t.Fatal(err)
				}
			}
			want, err := os.ReadFile(path)
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(string(want), got); diff != "" {
				t.Errorf("printed (-want +got):\n%s", diff)
			}
		})
	}
}

// TestNothingIsKeptBack holds that values which no table knows are listed, and gaps told below.
func TestNothingIsKeptBack(t *testing.T) {
	at := metav1.NewTime(time.Date(2026, 3, 2, 2, 20, 0, 0, time.UTC))
	r := snapshot.MachineReport{
		Node: "w1", ObservedAt: at,
		Evidence: []snapshot.MachineEvidence{{Key: "gpu/0/temperature", Value: "61\x1b[31m"}},
		Gaps:     []snapshot.MachineGap{{Monitor: "units", Reason: "no system bus"}},
	}
	got := printed(t, r, All, report.Options{})
	for _, want := range []string{"gpu 0 temperature  61<U+001B>[31m", "could not check  units: no system bus"} {
		if !strings.Contains(got, want) {
			t.Errorf("it does not say %q:\n%s", want, got)
		}
	}
	if got := printed(t, r, "disks", report.Options{}); got != "nothing of this is on w1\n" {
		t.Errorf("of disks nothing is known, and yet:\n%s", got)
	}
	if got := printed(t, r, "units", report.Options{}); !strings.Contains(got, "no system bus") {
		t.Errorf("the gap is not told where its values are asked for:\n%s", got)
	}
}

// TestStorage holds what the lab has no devices for.
func TestStorage(t *testing.T) {
	at := metav1.NewTime(time.Date(2026, 3, 2, 2, 20, 0, 0, time.UTC))
	r := snapshot.MachineReport{Node: "w1", ObservedAt: at, Evidence: []snapshot.MachineEvidence{
		{Key: "iscsi/session/session1/state", Value: "FAILED", At: &at},
		{Key: "iscsi/session/session1/target", Value: "iqn.2026-01.com.example:disks"},
		{Key: "iscsi/session/session1/device/sda", Value: "blocked"},
		{Key: "iscsi/session/session1/device/sdb", Value: "blocked"},
		{Key: snapshot.KeyOf("iscsi", "record", "iqn.2026-01.com.example:disks", "10.0.0.9:3260"), Value: "automatic"},
		{Key: "multipath/map/mpatha/paths", Value: "2"},
		{Key: "multipath/map/mpatha/usable", Value: "1"},
		{Key: "multipath/map/mpatha/path/sda", Value: "faulty"},
		{Key: snapshot.KeyOf("nfs", "mount", "/mnt/data", "server"), Value: "10.0.0.8"},
		{Key: "nfs/server/10.0.0.8/stuck", Value: "true", At: &at},
	}}
	want := `iSCSI sessions
SESSION   STATE   SINCE        TARGET                         DISKS
session1  FAILED  02:20 (0 s)  iqn.2026-01.com.example:disks  sda blocked, sdb blocked

iSCSI records
TARGET                         PORTAL         AT START
iqn.2026-01.com.example:disks  10.0.0.9:3260  automatic

Multipath devices
NAME    USABLE  OF  PATHS
mpatha  1       2   sda faulty

NFS mounts
MOUNTED AT  SERVER
/mnt/data   10.0.0.8

NFS servers
SERVER    STUCK            SINCE
10.0.0.8  DOES NOT ANSWER  02:20 (0 s)
`
	if diff := cmp.Diff(want, printed(t, r, "storage", report.Options{})); diff != "" {
		t.Errorf("storage (-want +got):\n%s", diff)
	}
}

// TestNetwork holds what no machine of the lab has: bonds, dead routes, servers of names that are silent,
// filters, and paths that lose packets.
func TestNetwork(t *testing.T) {
	at := metav1.NewTime(time.Date(2026, 3, 2, 2, 20, 0, 0, time.UTC))
	rule := func(value string) snapshot.EvidenceKey {
		return snapshot.KeyOf("filter", "rule", "inet filter", "input", "7", value)
	}
	r := snapshot.MachineReport{Node: "w1", ObservedAt: at, Evidence: []snapshot.MachineEvidence{
		{Key: "interface/bond0/type", Value: "bond"},
		{Key: "interface/bond0/state", Value: "up"},
		{Key: "interface/bond0/mtu", Value: "9000"},
		{Key: "interface/bond0/bond-member/eth0", Value: "up"},
		{Key: "interface/bond0/bond-member/eth1", Value: "down"},
		{Key: "interface/bond0/carrier-losses", Value: "4"},
		{Key: "interface/bond0/rx-errors", Value: "12"},
		{Key: "interface/eth1/type", Value: "device"},
		{Key: "interface/eth1/state", Value: "down"},
		{Key: "interface/eth1/carrier", Value: "false"},
		{Key: "interface/eth1/enabled", Value: "true"},
		{Key: "interface/eth2/state", Value: "down"},
		{Key: "interface/eth2/enabled", Value: "false"},
		{Key: "route/default/10.0.0.1/device", Value: "eth1"},
		{Key: "route/default/10.0.0.1/dead", Value: "true"},
		{Key: snapshot.KeyOf("resolver", "file", "/etc/resolv.conf", "error"), Value: "it is not there"},
		{Key: "resolver/server/10.0.0.2/outcome", Value: "timed-out"},
		{Key: "filter/readable", Value: "true"},
		{Key: rule("text"), Value: "tcp dport 6443 drop"},
		{Key: rule("hooks"), Value: "input"},
		{Key: snapshot.KeyOf("filter", "chain", "inet filter", "forward", "policy"), Value: "drop"},
		{Key: snapshot.KeyOf("filter", "chain", "inet filter", "forward", "hook"), Value: "forward"},
		{Key: "mesh/peer/w2/address", Value: "10.0.0.12"},
		{Key: "mesh/peer/w2/host-in-loss", Value: "0.25"},
		{Key: "mesh/peer/w2/host-out-loss", Value: "0"},
		{Key: "mesh/peer/w2/pod-big-in-loss", Value: "1"},
	}}
	want := `Interfaces
NAME   TYPE    STATE          MTU   MEMBERS             LOST LINK  ERROR
bond0  bond    up             9000  eth0 up, eth1 down  4          in 12
eth1   device  down, no link  -     -                   -          -
eth2   -       switched off   -     -                   -          -

Default routes
BY        DEVICE  DEAD
10.0.0.1  eth1    yes

Files that name the name servers
FILE              ERROR
/etc/resolv.conf  it is not there

Name servers of the machine
ADDRESS   ANSWER
10.0.0.2  timed-out

Packet filter
READABLE
yes

Chains that drop what no rule lets pass
TABLE        CHAIN    HOOK     POLICY
inet filter  forward  forward  drop

Rules that drop or reject
TABLE        CHAIN  HOOKS  RULE
inet filter  input  input  tcp dport 6443 drop

Other machines, as this one reaches them
NODE  ADDRESS    LOST IN, OUT  LARGE LOST IN, OUT
w2    10.0.0.12  25%, 0%       100%, -
`
	if diff := cmp.Diff(want, printed(t, r, "network", report.Options{})); diff != "" {
		t.Errorf("network (-want +got):\n%s", diff)
	}
}

// TestLeaseEnd holds that people read when a lease ends, not how many seconds it has.
func TestLeaseEnd(t *testing.T) {
	at := metav1.NewTime(time.Date(2026, 3, 2, 2, 20, 0, 0, time.UTC))
	subnet := "10.244.1.0/24"
	r := snapshot.MachineReport{Node: "w1", ObservedAt: at, Evidence: []snapshot.MachineEvidence{
		{Key: snapshot.KeyOf("flannel", "lease", subnet, "public-ip"), Value: "10.0.0.11"},
		{Key: snapshot.KeyOf("flannel", "lease", subnet, "ttl"), Value: "82800"},
	}}
	want := `Leases in flannel's store
SUBNET         MACHINE    ENDS
10.244.1.0/24  10.0.0.11  2026-03-03 01:20 (+23 h)
`
	if diff := cmp.Diff(want, printed(t, r, "overlay", report.Options{})); diff != "" {
		t.Errorf("overlay (-want +got):\n%s", diff)
	}
}

// TestEveryPartHasTables holds that each name of --show prints something of a whole machine, but for
// those of devices that the recorded one has not.
func TestEveryPartHasTables(t *testing.T) {
	r := recorded(t)
	for _, name := range Parts() {
		if got := printed(t, r, name, report.Options{}); strings.HasPrefix(got, "nothing") != (name == "storage") {
			t.Errorf("%s prints %d bytes", name, len(got))
		}
	}
}

func TestWords(t *testing.T) {
	tests := map[string]struct{ got, want string }{
		"bytes":             {humanBytes(512), "512"},
		"kibibytes":         {humanBytes(1536), "1.5K"},
		"gibibytes":         {humanBytes(41 << 30), "41G"},
		"milliseconds":      {short(0.0034), "3.4 ms"},
		"many milliseconds": {short(0.25), "250 ms"},
		"seconds":           {short(12.34), "12.3 s"},
		"none":              {short(-1), "-"},
	}
	for name, tc := range tests {
		if tc.got != tc.want {
			t.Errorf("%s: %s, want %s", name, tc.got, tc.want)
		}
	}
}

func TestHumanBytes(t *testing.T) {
	for n, want := range map[int64]string{
		0: "0", 1023: "1023", 1024: "1.0K", 5 << 30: "5.0G", 100 << 20: "100M", -618503: "-604K", math.MinInt64: "-8192P",
	} {
		if got := humanBytes(n); got != want {
			t.Errorf("humanBytes(%d) = %q, want %q", n, got, want)
		}
	}
}
