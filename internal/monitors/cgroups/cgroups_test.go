package cgroups_test

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/maek-dev/maek/internal/monitor"
	"github.com/maek-dev/maek/internal/monitors/cgroups"
)

const uid = "1af3eb2e-7318-4465-94e1-9a6b821eb128"

func machine(t *testing.T, files map[string]string) monitor.Host {
	t.Helper()
	root := t.TempDir()
	for name, text := range files {
		path := filepath.Join(root, "sys/fs/cgroup", name)
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	return monitor.Host{Root: root}
}

func TestGroups(t *testing.T) {
	const escaped = "1af3eb2e_7318_4465_94e1_9a6b821eb128"
	const hash = "0db88b1aa3304a84a6f329ecc2f0d914"
	cases := map[string]struct {
		files map[string]string
		want  []cgroups.Group
	}{
		"version 1 with the cgroupfs driver, whose containers are no groups of their own here": {
			files: map[string]string{
				"pids/kubepods/burstable/pod" + uid + "/c1/pids.max": "max", "pids/kubepods/pod" + hash + "/pids.max": "1", "pids/user.slice/a/pids.max": "1",
				"pids/system.slice/kubelet.service/pids.max": "1",
			},
			want: []cgroups.Group{
				{Path: "/"},
				{Path: "/kubepods"},
				{Path: "/kubepods/burstable"},
				{Path: "/kubepods/burstable/pod" + uid, Pod: uid},
				{Path: "/kubepods/pod" + hash, Pod: hash},
				{Path: "/system.slice"},
				{Path: "/system.slice/kubelet.service"},
				{Path: "/user.slice"},
			},
		},
		"version 2 with the systemd driver, below a group of the kubelet's": {
			files: map[string]string{
				"cgroup.controllers": "pids",
				"kubelet.slice/kubelet-kubepods.slice/kubelet-kubepods-besteffort.slice/kubelet-kubepods-besteffort-pod" + escaped + ".slice/pids.max": "max",
			},
			want: []cgroups.Group{
				{Path: "/"},
				{Path: "/kubelet.slice"},
				{Path: "/kubelet.slice/kubelet-kubepods.slice"},
				{Path: "/kubelet.slice/kubelet-kubepods.slice/kubelet-kubepods-besteffort.slice"},
				{Path: "/kubelet.slice/kubelet-kubepods.slice/kubelet-kubepods-besteffort.slice/kubelet-kubepods-besteffort-pod" + escaped + ".slice", Pod: uid},
			},
		},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			tree, ok := cgroups.Of(machine(t, tc.files), "pids")
			if !ok {
				t.Fatal("the machine has no such controller")
			}
			if diff := cmp.Diff(tc.want, tree.Groups()); diff != "" {
				t.Errorf("groups (-want +got):\n%s", diff)
			}
		})
	}
	if _, ok := cgroups.Of(machine(t, nil), "pids"); ok {
		t.Error("a machine without control groups has some")
	}
}

func TestMemory(t *testing.T) {
	cases := map[string]struct {
		files               map[string]string
		wantMax, wantWorked int64
		wantLimited         bool
	}{
		"version 1, limited": {
			map[string]string{"memory/memory.limit_in_bytes": "5000\n", "memory/memory.usage_in_bytes": "4000\n", "memory/memory.stat": "inactive_file 9\ntotal_inactive_file 500\n"},
			5000, 3500, true,
		},
		"version 1, without a limit": {
			map[string]string{"memory/memory.limit_in_bytes": "9223372036854771712\n", "memory/memory.usage_in_bytes": "4000\n"},
			0, 4000, false,
		},
		"version 2, without a limit, with more idle files than it uses for a moment": {
			map[string]string{"cgroup.controllers": "memory", "memory.max": "max\n", "memory.current": "400\n", "memory.stat": "inactive_file 500\n"},
			0, 0, false,
		},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			tree, ok := cgroups.Of(machine(t, tc.files), "memory")
			if !ok {
				t.Fatal("the machine has no such controller")
			}
			limit, limited := tree.MemoryMax("/")
			if limited != tc.wantLimited || limited && limit != tc.wantMax {
				t.Errorf("the limit is %d, %t; want %d, %t", limit, limited, tc.wantMax, tc.wantLimited)
			}
			if used, ok := tree.WorkingSet("/"); !ok || used != tc.wantWorked {
				t.Errorf("the working set is %d, %t; want %d", used, ok, tc.wantWorked)
			}
		})
	}
}
