package oom_test

import (
	"fmt"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/maek-dev/maek/internal/monitor"
	"github.com/maek-dev/maek/internal/monitors/oom"
)

const (
	podV1 = "/kubepods/burstable/pod1af3eb2e-7318-4465-94e1-9a6b821eb128"
	podV2 = "/kubepods.slice/kubepods-besteffort.slice/kubepods-besteffort-pod1af3eb2e_7318_4465_94e1_9a6b821eb128.slice"
)

// machine is a host on which processes are killed.
type machine struct {
	t    *testing.T
	root string
	now  time.Time
}

func newMachine(t *testing.T) *machine {
	t.Helper()
	m := &machine{t: t, root: t.TempDir(), now: time.Date(2026, 11, 21, 20, 0, 0, 0, time.UTC)}
	m.write("/proc/vmstat", "nr_free_pages 1\noom_kill 3\n")
	return m
}

func (m *machine) write(name, text string) {
	m.t.Helper()
	path := filepath.Join(m.root, name)
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		m.t.Fatal(err)
	}
	if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
		m.t.Fatal(err)
	}
}

func (m *machine) v1(kills, failures int) {
	m.write("/sys/fs/cgroup/memory"+podV1+"/c1/memory.oom_control", fmt.Sprintf("oom_kill_disable 0\nunder_oom 0\noom_kill %d\n", kills))
	m.write("/sys/fs/cgroup/memory"+podV1+"/c1/memory.failcnt", fmt.Sprintln(failures))
}

func (m *machine) v2(kills, failures int) {
	m.write("/sys/fs/cgroup/cgroup.controllers", "memory\n")
	m.write("/sys/fs/cgroup"+podV2+"/memory.events", fmt.Sprintf("low 0\nhigh 0\nmax 0\noom %d\noom_kill %d\n", failures, kills))
}

func TestObserve(t *testing.T) {
	cases := map[string]struct {
		set  func(*machine, int, int)
		path string
	}{
		"version 1 of control groups": {(*machine).v1, podV1},
		"version 2 of control groups": {(*machine).v2, podV2},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			m := newMachine(t)
			mon := oom.New(monitor.Host{Root: m.root, Now: func() time.Time { return m.now }})
			group := func() string {
				t.Helper()
				evidence, err := mon.Observe(t.Context())
				if err != nil {
					t.Fatal(err)
				}
				got := map[string]string{}
				for _, e := range evidence {
					if s := e.Key.Segments(); len(s) == 4 && s[2] == tc.path {
						got[s[3]] = e.Value
						if e.At != nil {
							got[s[3]] += e.At.UTC().Format(" 15:04")
						}
					}
				}
				return fmt.Sprint(got)
			}
			const pod = " pod:1af3eb2e-7318-4465-94e1-9a6b821eb128"
			steps := []struct {
				what            string
				kills, failures int
				after           time.Duration
				want            string
			}{
				{"old kills are of no known time", 2, 5, 0, "map[kills:2" + pod + " recent:0 recent-at-own-limit:0]"},
				{"a kill without the group's own limit", 3, 5, time.Minute, "map[kills:3 20:01" + pod + " recent:1 recent-at-own-limit:0]"},
				{"a kill at the group's own limit", 5, 6, time.Minute, "map[kills:5 20:02" + pod + " recent:3 recent-at-own-limit:2]"},
				{"an hour later none is recent", 5, 6, 2 * time.Hour, "map[kills:5 20:02" + pod + " recent:0 recent-at-own-limit:0]"},
			}
			for _, s := range steps {
				m.now = m.now.Add(s.after)
				tc.set(m, s.kills, s.failures)
				if diff := cmp.Diff(s.want, group()); diff != "" {
					t.Errorf("%s (-want +got):\n%s", s.what, diff)
				}
			}
		})
	}
}

func TestObserveMachine(t *testing.T) {
	m := newMachine(t)
	mon := oom.New(monitor.Host{Root: m.root, Now: func() time.Time { return m.now }})
	look := func() map[string]string {
		t.Helper()
		evidence, err := mon.Observe(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		got := map[string]string{}
		for _, e := range evidence {
			got[string(e.Key)] = e.Value
		}
		return got
	}
	if diff := cmp.Diff(map[string]string{"oom/kills": "3", "oom/recent": "0"}, look()); diff != "" {
		t.Errorf("at first (-want +got):\n%s", diff)
	}
	m.write("/proc/vmstat", "oom_kill 5\n")
	if diff := cmp.Diff(map[string]string{"oom/kills": "5", "oom/recent": "2"}, look()); diff != "" {
		t.Errorf("after two kills (-want +got):\n%s", diff)
	}
	m.write("/proc/vmstat", "oom_kill \x00\n")
	if _, err := mon.Observe(t.Context()); err == nil {
		t.Error("a counter that is no number is no error")
	}
}
