package iscsi_test

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/maek-dev/maek/internal/monitor"
	"github.com/maek-dev/maek/internal/monitors/iscsi"
)

// files are those of a real machine (Debian 12, Linux 6.1, in a virtual machine) that is logged in to one
// target through two portals, cut to what is read.
var files = map[string]string{
	"etc/iscsi/initiatorname.iscsi":                                           "## DO NOT EDIT\nInitiatorName=iqn.1993-08.org.debian:01:18d44a642e6c\n",
	"etc/iscsi/nodes/iqn.2026-11.test:t1/10.99.0.1,3260,1/default":            "# BEGIN RECORD 2.1.8\nnode.name = iqn.2026-11.test:t1\nnode.startup = automatic\nnode.session.auth.password = secret\n",
	"etc/iscsi/nodes/iqn.2026-11.test:t1/10.99.1.1,3260,1/default":            "node.startup = manual\n",
	"sys/devices/platform/host3/session1/target3:0:0/3:0:0:1/state":           "running\n",
	"sys/devices/platform/host3/session1/target3:0:0/3:0:0:1/block/sdb/ro":    "0\n",
	"sys/devices/platform/host4/session2/target4:0:0/4:0:0:1/state":           "running\n",
	"sys/devices/platform/host4/session2/target4:0:0/4:0:0:1/block/sdc/ro":    "0\n",
	"sys/devices/platform/host3/session1/iscsi_session/session1/state":        "LOGGED_IN\n",
	"sys/devices/platform/host3/session1/iscsi_session/session1/targetname":   "iqn.2026-11.test:t1\n",
	"sys/devices/platform/host3/session1/iscsi_session/session1/recovery_tmo": "5\n",
	"sys/devices/platform/host4/session2/iscsi_session/session2/state":        "LOGGED_IN\n",
	"sys/devices/platform/host4/session2/iscsi_session/session2/targetname":   "iqn.2026-11.test:t1\n",
	"sys/devices/platform/host4/session2/iscsi_session/session2/recovery_tmo": "120\n",
	"sys/class/iscsi_connection/connection1:0/persistent_address":             "10.99.0.1\n",
	"sys/class/iscsi_connection/connection1:0/persistent_port":                "3260\n",
	"sys/class/iscsi_connection/connection1:0/state":                          "up\n",
	"sys/class/iscsi_connection/connection2:0/persistent_address":             "10.99.1.1\n",
	"sys/class/iscsi_connection/connection2:0/persistent_port":                "3260\n",
	"sys/class/iscsi_connection/connection2:0/state":                          "up\n",
}

// cut is what changed on that machine 25 s after the second portal was taken away.
var cut = map[string]string{
	"sys/devices/platform/host4/session2/target4:0:0/4:0:0:1/state":    "blocked\n",
	"sys/devices/platform/host4/session2/iscsi_session/session2/state": "FAILED\n",
	"sys/class/iscsi_connection/connection2:0/state":                   "failed\n",
}

func write(t *testing.T, root string, files map[string]string) {
	t.Helper()
	for name, text := range files {
		path := filepath.Join(root, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
}

func link(t *testing.T, root, name, to string) {
	t.Helper()
	path := filepath.Join(root, name)
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink(to, path); err != nil {
		t.Fatal(err)
	}
}

func TestObserveRecorded(t *testing.T) {
	root := t.TempDir()
	write(t, root, files)
	for session, host := range map[string]string{"session1": "host3", "session2": "host4"} {
		link(t, root, "sys/class/iscsi_session/"+session, "../../devices/platform/"+host+"/"+session+"/iscsi_session/"+session)
		link(t, root, "sys/devices/platform/"+host+"/"+session+"/iscsi_session/"+session+"/device", "../../../"+session)
	}
	now := time.Date(2026, 11, 21, 20, 0, 0, 0, time.UTC)
	m := iscsi.New(monitor.Host{Root: root, Now: func() time.Time { return now }})
	look := func() map[string]string {
		t.Helper()
		evidence, err := m.Observe(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		got := map[string]string{}
		for _, e := range evidence {
			got[string(e.Key)] = e.Value
			if e.At != nil {
				got[string(e.Key)] += e.At.UTC().Format(" since 15:04")
			}
		}
		return got
	}
	want := map[string]string{
		"iscsi/initiator-name":                            "iqn.1993-08.org.debian:01:18d44a642e6c",
		"iscsi/record/iqn.2026-11.test:t1/10.99.0.1:3260": "automatic",
		"iscsi/record/iqn.2026-11.test:t1/10.99.1.1:3260": "manual",
		"iscsi/session/session1/target":                   "iqn.2026-11.test:t1",
		"iscsi/session/session1/portal":                   "10.99.0.1:3260",
		"iscsi/session/session1/state":                    "LOGGED_IN",
		"iscsi/session/session1/connection":               "up",
		"iscsi/session/session1/recovery-seconds":         "5",
		"iscsi/session/session1/device/sdb":               "running",
		"iscsi/session/session2/target":                   "iqn.2026-11.test:t1",
		"iscsi/session/session2/portal":                   "10.99.1.1:3260",
		"iscsi/session/session2/state":                    "LOGGED_IN",
		"iscsi/session/session2/connection":               "up",
		"iscsi/session/session2/recovery-seconds":         "120",
		"iscsi/session/session2/device/sdc":               "running",
	}
	if diff := cmp.Diff(want, look()); diff != "" {
		t.Errorf("two sessions (-want +got):\n%s", diff)
	}
	write(t, root, cut)
	want["iscsi/session/session2/state"] = "FAILED since 20:00"
	want["iscsi/session/session2/connection"] = "failed"
	want["iscsi/session/session2/device/sdc"] = "blocked"
	if diff := cmp.Diff(want, look()); diff != "" {
		t.Errorf("one portal is gone (-want +got):\n%s", diff)
	}
}

func TestObserveOddMachines(t *testing.T) {
	cases := map[string]struct {
		files   map[string]string
		want    map[string]string
		wantErr string
	}{
		"no iSCSI at all": {want: map[string]string{}},
		"records in the new folder, a portal as a file, an address of version 6": {
			files: map[string]string{"var/lib/iscsi/nodes/iqn.a/fd00::9,3260,1": "node.startup = onboot\n"},
			want:  map[string]string{"iscsi/record/iqn.a/%5Bfd00::9%5D:3260": "onboot"},
		},
		"files that are rubbish": {
			files: map[string]string{"etc/iscsi/initiatorname.iscsi": "\x00\xff", "etc/iscsi/nodes/iqn.a/x": "y"},
			want:  map[string]string{},
		},
		"a record that is far too long": {
			files:   map[string]string{"etc/iscsi/nodes/iqn.a/10.0.0.1,3260,1/default": strings.Repeat("x", 1<<20)},
			want:    map[string]string{},
			wantErr: "longer than",
		},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			root := t.TempDir()
			write(t, root, tc.files)
			evidence, err := iscsi.New(monitor.Host{Root: root}).Observe(t.Context())
			if (err == nil) != (tc.wantErr == "") || err != nil && !strings.Contains(err.Error(), tc.wantErr) {
				t.Errorf("got error %v, want one with %q", err, tc.wantErr)
			}
			got := map[string]string{}
			for _, e := range evidence {
				got[string(e.Key)] = e.Value
			}
			if diff := cmp.Diff(tc.want, got); diff != "" {
				t.Errorf("evidence (-want +got):\n%s", diff)
			}
		})
	}
}
