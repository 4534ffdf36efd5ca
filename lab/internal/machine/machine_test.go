package machine

import (
	"net/netip"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/maek-dev/maek/lab/internal/state"
)

func TestPlan(t *testing.T) {
	t.Parallel()
	tests := map[string]struct {
		controlPlanes, workers int
		want                   []string
		wantErr                string
	}{
		"one control plane and two workers": {
			controlPlanes: 1, workers: 2,
			want: []string{"cp1 control-plane 10.99.0.11", "w1 worker 10.99.0.21", "w2 worker 10.99.0.22"},
		},
		"three control planes alone": {
			controlPlanes: 3, workers: 0,
			want: []string{"cp1 control-plane 10.99.0.11", "cp2 control-plane 10.99.0.12", "cp3 control-plane 10.99.0.13"},
		},
		"two control planes bear no failure":    {controlPlanes: 2, workers: 1, wantErr: "1 or 3 control planes, not 2"},
		"less than no workers":                  {controlPlanes: 1, workers: -1, wantErr: "not -1"},
		"more workers than there are addresses": {controlPlanes: 1, workers: 51, wantErr: "0 to 50 workers, not 51"},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			specs, err := Plan(tc.controlPlanes, tc.workers)
			if tc.wantErr != "" {
				if err == nil || !strings.Contains(err.Error(), tc.wantErr) {
					t.Fatalf("error = %v, want one with %q", err, tc.wantErr)
				}
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			var got []string
			for _, s := range specs {
				got = append(got, s.Name+" "+string(s.Role)+" "+s.Address.String())
			}
			if diff := cmp.Diff(tc.want, got); diff != "" {
				t.Errorf("machines (-want +got):\n%s", diff)
			}
		})
	}
}

func TestBootCommandBindsDisksAndFolders(t *testing.T) {
	t.Parallel()
	m := &Machine{
		Spec:      Spec{Name: "w1", Role: Worker, Address: netip.MustParseAddr("10.99.0.21")},
		Directory: state.Directory("/var/lib/maek-lab"),
		Disks:     Disks(Worker, false),
		Binds:     []Bind{{Host: "/cache", Machine: "/opt/lab", ReadOnly: true}, {Host: "/shared", Machine: "/srv/shared"}},
	}
	var got []string
	for _, arg := range nspawnCommand(m) {
		if strings.HasPrefix(arg, "--bind") || strings.HasPrefix(arg, "--directory") || strings.HasPrefix(arg, "--network") {
			got = append(got, arg)
		}
	}
	want := []string{
		"--directory=/var/lib/maek-lab/machines/w1/root",
		"--network-namespace-path=/run/netns/lab-w1",
		"--bind=/dev/kmsg", "--bind=/dev/net/tun", "--bind=/dev/fuse",
		"--bind=/var/lib/maek-lab/machines/w1/kubelet:/var/lib/kubelet",
		"--bind=/var/lib/maek-lab/machines/w1/containerd:/var/lib/containerd",
		"--bind-ro=/cache:/opt/lab",
		"--bind=/shared:/srv/shared",
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("arguments (-want +got):\n%s", diff)
	}
}

func TestEveryMountPointHasADiskOfItsOwn(t *testing.T) {
	t.Parallel()
	seen := make(map[string]bool)
	for _, disk := range Disks(ControlPlane, true) {
		if disk.MiB <= 0 || seen[disk.Name] || seen[disk.MountPoint] {
			t.Errorf("disk %+v has no size or shares its name or place", disk)
		}
		seen[disk.Name], seen[disk.MountPoint] = true, true
	}
}

func TestInitIsTheFirstProcessOneLevelDown(t *testing.T) {
	t.Parallel()
	tests := map[string]struct {
		status string
		want   bool
	}{
		"the init of a machine":                  {"Name:\tsystemd\nState:\tS (sleeping)\nNSpid:\t19031\t1\n", true},
		"a service of a machine":                 {"Name:\tkubelet\nState:\tS (sleeping)\nNSpid:\t19100\t66\n", false},
		"the init of a container in the machine": {"Name:\tpause\nState:\tS (sleeping)\nNSpid:\t19200\t90\t1\n", false},
		"a process of the host":                  {"Name:\tsystemd-nspawn\nState:\tS (sleeping)\nNSpid:\t19028\n", false},
		"an init that was killed":                {"Name:\tsystemd\nState:\tZ (zombie)\nNSpid:\t19031\t1\n", false},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			if got := isInit([]byte(tc.status)); got != tc.want {
				t.Errorf("isInit = %t, want %t", got, tc.want)
			}
		})
	}
}

func TestProgramsJoinTheGroupsBeforeTheyStart(t *testing.T) {
	t.Parallel()
	got := enterArguments([]string{"/sys/fs/cgroup/pids/lab-w1"}, []string{"systemctl", "stop", "a b"})
	want := []string{"-c", joinGroups, "lab", "/sys/fs/cgroup/pids/lab-w1/cgroup.procs", "--", "systemctl", "stop", "a b"}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("arguments (-want +got):\n%s", diff)
	}
}

func TestCommandsOnAMachineGetALoginsEnvironmentAlone(t *testing.T) {
	t.Parallel()
	args := strings.Join(enterCommand(42, "", []string{"id"}), " ")
	for _, want := range []string{"nsenter --target 42 ", " setpriv --pdeathsig TERM env -i PATH=/usr/local/sbin:", " TERM=dumb id"} {
		if !strings.Contains(args, want) {
			t.Errorf("command %q lacks %q", args, want)
		}
	}
}

func TestRootsWithOtherPackagesAreOtherRoots(t *testing.T) {
	t.Parallel()
	plain, docker := NewRoot("/cache", Packages(false)), NewRoot("/cache", Packages(true))
	if plain.Path == docker.Path {
		t.Errorf("both roots are at %s", plain.Path)
	}
	reordered := NewRoot("/cache", []string{"b", "a"})
	if want := NewRoot("/cache", []string{"a", "b"}); reordered.Path != want.Path {
		t.Errorf("the order of packages matters: %s, %s", reordered.Path, want.Path)
	}
}

func TestMountPointsUnderAPath(t *testing.T) {
	t.Parallel()
	mountinfo := []byte(`22 1 8:1 / / rw - ext4 /dev/vda rw
40 22 7:0 / /var/lib/maek-lab/machines/w1/kubelet rw - ext4 /dev/loop0 rw
41 22 0:40 / /var/lib/maek-lab rw - tmpfs tmpfs rw
42 22 0:41 / /var/lib/maek-lab-other rw - tmpfs tmpfs rw
`)
	got := parseMountPoints(mountinfo, "/var/lib/maek-lab")
	want := []string{"/var/lib/maek-lab/machines/w1/kubelet", "/var/lib/maek-lab"}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("mount points (-want +got):\n%s", diff)
	}
}
