package limits_test

import (
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/maek-dev/maek/internal/monitor"
	"github.com/maek-dev/maek/internal/monitors/limits"
)

const uid = "1af3eb2e-7318-4465-94e1-9a6b821eb128"

// base is what every machine has: recorded on a Debian 12 machine, cut to what is read.
var base = map[string]string{
	"proc/loadavg":                                        "0.55 0.66 0.99 1/625 6115\n",
	"proc/sys/kernel/pid_max":                             "32768\n",
	"proc/sys/kernel/threads-max":                         "192715\n",
	"proc/sys/fs/file-nr":                                 "2095\t0\t9223372036854775807\n",
	"proc/sys/fs/inotify/max_user_instances":              "128\n",
	"proc/sys/fs/inotify/max_user_watches":                "180466\n",
	"proc/meminfo":                                        "MemTotal:       24668876 kB\nMemFree:         1000 kB\nMemAvailable:   20971520 kB\nSwapTotal:             0 kB\nSwapFree:              0 kB\n",
	"proc/sys/net/netfilter/nf_conntrack_count":           "173\n",
	"proc/sys/net/netfilter/nf_conntrack_max":             "262144\n",
	"proc/net/stat/nf_conntrack":                          "entries  clashres found insert insert_failed drop\n00000173  00000000 00000000 00000000 00000001 00000000\n00000173  00000000 00000000 00000000 0000000a 00000002\n",
	"proc/1/stat":                                         "1 (systemd) S 0 1 1\n",
	"proc/1/comm":                                         "systemd\n",
	"proc/41/stat":                                        "41 (shim) x) S 1 41 41\n",
	"proc/41/comm":                                        "shim) x\n",
	"proc/42/stat":                                        "42 (a (b) c) Z 41 41 41\n",
	"proc/43/stat":                                        "43 (sh) Z 41 41 41\n",
	"proc/44/stat":                                        "44 (sh) Z 1 41 41\n",
	"proc/45/stat":                                        "45 (cut sh",
	"sys/fs/cgroup/pids/pids.max":                         "200\n",
	"sys/fs/cgroup/pids/pids.current":                     "129\n",
	"sys/fs/cgroup/pids/pids.events":                      "max 7\n",
	"sys/fs/cgroup/memory/memory.limit_in_bytes":          "9223372036854771712\n",
	"sys/fs/cgroup/memory/memory.usage_in_bytes":          "1000\n",
	"sys/fs/cgroup/memory/kubepods/memory.limit_in_bytes": "5000\n",
	"sys/fs/cgroup/memory/kubepods/memory.usage_in_bytes": "4000\n",
	"sys/fs/cgroup/memory/kubepods/memory.stat":           "inactive_file 1\ntotal_inactive_file 500\n",
	"sys/fs/cgroup/pids/kubepods/burstable/pod" + uid + "/pids.max":     "max\n",
	"sys/fs/cgroup/pids/kubepods/burstable/pod" + uid + "/pids.current": "60\n",
}

var want = map[string]string{
	"limit/processes/used": "625", "limit/processes/max": "32768", "limit/processes/zombies": "3", "limit/processes/zombies-of": "shim) x 41",
	"limit/descriptors/used": "2095", "limit/descriptors/max": "9223372036854775807",
	"limit/inotify/instances-max": "128", "limit/inotify/watches-max": "180466",
	"limit/conntrack/used": "173", "limit/conntrack/max": "262144", "limit/conntrack/dropped": "2", "limit/conntrack/insert-failed": "11",
	"limit/memory/total-bytes": "25260929024", "limit/memory/available-bytes": "21474836480", "limit/memory/swap-total-bytes": "0", "limit/memory/swap-free-bytes": "0",
	"limit/cgroup/%2F/pids": "129", "limit/cgroup/%2F/pids-max": "200", "limit/cgroup/%2F/pids-refused": "7",
	"limit/cgroup/%2Fkubepods/memory-bytes": "3500", "limit/cgroup/%2Fkubepods/memory-max-bytes": "5000",
	"limit/cgroup/%2Fkubepods%2Fburstable%2Fpod" + uid + "/pids": "60",
	"limit/cgroup/%2Fkubepods%2Fburstable%2Fpod" + uid + "/pod":  uid,
}

// v2 is the same machine with one hierarchy, driven by systemd.
func v2() map[string]string {
	files := maps.Clone(base)
	maps.DeleteFunc(files, func(name, _ string) bool { return strings.HasPrefix(name, "sys/fs/cgroup") })
	pod := "sys/fs/cgroup/kubepods.slice/kubepods-burstable.slice/kubepods-burstable-pod" + strings.ReplaceAll(uid, "-", "_") + ".slice"
	maps.Copy(files, map[string]string{
		"sys/fs/cgroup/cgroup.controllers":            "cpu memory pids\n",
		"sys/fs/cgroup/kubepods.slice/memory.max":     "5000\n",
		"sys/fs/cgroup/kubepods.slice/memory.current": "4000\n",
		"sys/fs/cgroup/kubepods.slice/memory.stat":    "anon 1\ninactive_file 500\n",
		pod + "/pids.max":                             "100\n",
		pod + "/pids.current":                         "60\n",
		pod + "/pids.events":                          "max 0\n",
		pod + "/memory.current":                       "3000\n",
		pod + "/memory.max":                           "max\n",
	})
	return files
}

func without(m map[string]string, prefix string) map[string]string {
	out := maps.Clone(m)
	maps.DeleteFunc(out, func(k, _ string) bool { return strings.HasPrefix(k, prefix) })
	return out
}

func with(m map[string]string, more map[string]string) map[string]string {
	out := maps.Clone(m)
	maps.Copy(out, more)
	return out
}

func TestObserve(t *testing.T) {
	const pod = "limit/cgroup/%2Fkubepods.slice%2Fkubepods-burstable.slice%2Fkubepods-burstable-pod1af3eb2e_7318_4465_94e1_9a6b821eb128.slice"
	cases := map[string]struct {
		files, want map[string]string
		wantErr     string
	}{
		"control groups of version 1": {files: base, want: want},
		"control groups of version 2": {files: v2(), want: with(without(want, "limit/cgroup/"), map[string]string{
			"limit/cgroup/%2Fkubepods.slice/memory-bytes": "3500", "limit/cgroup/%2Fkubepods.slice/memory-max-bytes": "5000",
			pod + "/pids": "60", pod + "/pids-max": "100", pod + "/pids-refused": "0", pod + "/memory-bytes": "3000", pod + "/pod": uid,
		})},
		"no connection is tracked": {
			files: without(without(base, "proc/sys/net"), "proc/net"), want: without(want, "limit/conntrack/"),
		},
		"no control groups": {files: without(base, "sys/"), want: without(want, "limit/cgroup/")},
		"files that are cut short or rubbish": {
			files:   with(base, map[string]string{"proc/loadavg": "0.5", "proc/sys/fs/file-nr": "\xff", "proc/meminfo": "MemTotal: \x00 kB\n", "proc/net/stat/nf_conntrack": "\x00"}),
			want:    without(without(without(without(want, "limit/processes"), "limit/memory"), "limit/conntrack/drop"), "limit/conntrack/insert"),
			wantErr: "counting processes",
		},
	}
	delete(cases["files that are cut short or rubbish"].want, "limit/descriptors/used")
	delete(cases["files that are cut short or rubbish"].want, "limit/descriptors/max")
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			evidence, err := limits.New(monitor.Host{Root: machine(t, tc.files), Now: now}).Observe(t.Context())
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

// TestObserveLeft has a container in which a probe's command leaves what it ran, beside programs whose processes
// look like that.
func TestObserveLeft(t *testing.T) {
	const leaks, forks, host = "9f1c", "77aa", "ab12"
	id := func(short string) string { return strings.Repeat(short, 16) }
	files := maps.Clone(base)
	// line is one of /proc/PID/stat, with the fields up to the start, in hundredths of a second.
	line := func(pid, comm, state, parent, session string, begun int) string {
		return fmt.Sprintf("%s (%s) %s %s %s %s%s %d\n", pid, comm, state, parent, session, session, strings.Repeat(" 0", 15), begun)
	}
	first := func(pid, comm, namespaces, group string) {
		files["proc/"+pid+"/stat"] = line(pid, comm, "S", "41", pid, 50000)
		files["proc/"+pid+"/status"] = "Name:\t" + comm + "\nNSpid:\t" + namespaces + "\n"
		files["proc/"+pid+"/cgroup"] = group + "\n"
	}
	first("1000", "server", "1000\t1", "0::/../../kubepods.slice/kubepods-pod1af3eb2e_7318_4465_94e1_9a6b821eb128.slice/cri-containerd-"+id(leaks)+".scope")
	first("2000", "postgres", "2000\t1", "0::/kubepods.slice/kubepods-pod2.slice/cri-containerd-"+id(forks)+".scope")
	first("3000", "agent", "3000", "0::/system.slice/"+id(host))
	first("4000", "supervisor", "4000\t1", "0::/kubepods.slice/kubepods-pod4.slice/cri-containerd-"+id("cd34")+".scope")
	first("5000", "inner", "5000\t60\t1", "0::/kubepods.slice/kubepods-pod5.slice/cri-containerd-"+id("ef56")+".scope/docker/"+id("ef57"))
	for i := range 30 {
		state := map[bool]string{true: "Z", false: "S"}[i < 25]
		put := func(pid int, name, parent, state string, session, begun int) {
			files[fmt.Sprintf("proc/%d/stat", pid)] = line(strconv.Itoa(pid), name, state, parent, strconv.Itoa(session), begun)
		}
		put(10000+i, "timeout", "1000", state, 20000+i, 80000+i) // of commands that are gone
		put(11000+i, "postgres", "2000", state, 2000, 80000)     // the program's own children
		put(12000+i, "postgres", "2000", state, 12000+i, 80000)
		put(13000+i, "sh", "3000", state, 30000+i, 80000)   // not in a container
		put(14000+i, "worker", "4000", "S", 40000+i, 50100) // servers that forked twice when the container started
		put(15000+i, "sh", "5000", state, 50000+i, 80000)   // in a container within a container
	}
	evidence, err := limits.New(monitor.Host{Root: machine(t, files), Now: now}).Observe(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	got := map[string]string{}
	for _, e := range evidence {
		if strings.HasPrefix(string(e.Key), "limit/left/") {
			got[string(e.Key)] = e.Value
		}
	}
	at := "limit/left/" + id(leaks)
	if diff := cmp.Diff(map[string]string{at + "/ended": "25", at + "/running": "5", at + "/name": "timeout", at + "/to": "server", at + "/pod": uid}, got); diff != "" {
		t.Errorf("evidence (-want +got):\n%s", diff)
	}
}

// TestObserveRefusals grows the counter of threads that a control group was refused.
func TestObserveRefusals(t *testing.T) {
	root := machine(t, base)
	m := limits.New(monitor.Host{Root: root, Now: now})
	refused := func() time.Time {
		t.Helper()
		evidence, err := m.Observe(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		for _, e := range evidence {
			if e.Key == "limit/cgroup/%2F/pids-refused" && e.At != nil {
				return e.At.Time
			}
		}
		return time.Time{}
	}
	if at := refused(); !at.IsZero() {
		t.Errorf("refusals from before the first look are of %v", at)
	}
	if err := os.WriteFile(filepath.Join(root, "sys/fs/cgroup/pids/pids.events"), []byte("max 9\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	if at := refused(); !at.Equal(now()) {
		t.Errorf("refusals that were seen to grow are of %v, want %v", at, now())
	}
}

func now() time.Time { return time.Date(2026, 11, 21, 20, 0, 0, 0, time.UTC) }

func machine(t *testing.T, files map[string]string) string {
	t.Helper()
	root := t.TempDir()
	for name, text := range files {
		path := filepath.Join(root, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	return root
}
