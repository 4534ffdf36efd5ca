package cgroup_test

import (
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/maek-dev/maek/lab/internal/cgroup"
)

const (
	hybridMembership = `9:name=systemd:/
8:pids:/
4:memory:/limits/4c15
2:cpu,cpuacct:/user
0::/
`
	hybridMounts = `30 29 0:25 / /sys/fs/cgroup rw - tmpfs tmpfs rw
31 30 0:26 / /sys/fs/cgroup/cpu,cpuacct rw,relatime - cgroup cgroup rw,cpu,cpuacct
32 30 0:27 / /sys/fs/cgroup/memory rw,relatime - cgroup cgroup rw,memory
33 30 0:28 / /sys/fs/cgroup/pids rw,relatime - cgroup cgroup rw,pids
34 30 0:29 / /sys/fs/cgroup/systemd rw,relatime - cgroup cgroup rw,name=systemd
35 30 0:30 / /sys/fs/cgroup/unified rw,relatime shared:9 - cgroup2 cgroup2 rw
`
	unifiedMounts = `30 29 0:25 / /sys/fs/cgroup rw,nosuid shared:4 - cgroup2 cgroup2 rw,nsdelegate
`
)

func TestGroupsOfAMachine(t *testing.T) {
	t.Parallel()
	tests := map[string]struct {
		membership, mounts string
		wantUnified        bool
		want               []string
	}{
		"with cgroup v1 they are children of the caller's own, one a hierarchy": {
			membership: hybridMembership, mounts: hybridMounts,
			want: []string{
				"/sys/fs/cgroup/systemd/lab-w1",
				"/sys/fs/cgroup/pids/lab-w1",
				"/sys/fs/cgroup/memory/limits/4c15/lab-w1",
				"/sys/fs/cgroup/cpu,cpuacct/user/lab-w1",
				"/sys/fs/cgroup/unified/lab-w1",
			},
		},
		"with cgroup v2 alone there is one, at the top": {
			membership: "0::/user.slice/user-0.slice/session-1.scope\n", mounts: unifiedMounts,
			wantUnified: true,
			want:        []string{"/sys/fs/cgroup/lab-w1"},
		},
		"a hierarchy whose mount shows a part of it counts from there": {
			membership: "4:memory:/docker/1f/own\n",
			mounts:     "32 30 0:27 /docker/1f /sys/fs/cgroup/memory rw - cgroup cgroup rw,memory\n",
			want:       []string{"/sys/fs/cgroup/memory/own/lab-w1"},
		},
		"a hierarchy that is mounted nowhere is left out": {
			membership: "8:pids:/\n4:memory:/\n",
			mounts:     "33 30 0:28 / /sys/fs/cgroup/pids rw - cgroup cgroup rw,pids\n",
			want:       []string{"/sys/fs/cgroup/pids/lab-w1"},
		},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			layout, err := cgroup.Parse(tc.membership, tc.mounts)
			if err != nil {
				t.Fatal(err)
			}
			if layout.Unified != tc.wantUnified {
				t.Errorf("unified = %t, want %t", layout.Unified, tc.wantUnified)
			}
			if diff := cmp.Diff(tc.want, layout.Paths("lab-w1")); diff != "" {
				t.Errorf("groups (-want +got):\n%s", diff)
			}
		})
	}
}

func TestAHostWithoutControlGroupsIsAnError(t *testing.T) {
	t.Parallel()
	if layout, err := cgroup.Parse(hybridMembership, "30 29 0:25 / /proc rw - proc proc rw\n"); err == nil {
		t.Errorf("layout = %+v, want an error", layout)
	}
}

func TestMembershipsInAUnifiedHierarchyAreWholePaths(t *testing.T) {
	t.Parallel()
	got := cgroup.Memberships("0::/lab-w1/payload/init.scope\n", unifiedMounts)
	if diff := cmp.Diff([]string{"/sys/fs/cgroup/lab-w1/payload/init.scope"}, got); diff != "" {
		t.Errorf("groups (-want +got):\n%s", diff)
	}
}
