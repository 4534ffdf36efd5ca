package catalogue

import (
	"regexp"
	"strings"
	"testing"
)

func TestEveryPatternFitsItsSamplesAndNothingElse(t *testing.T) {
	patterns := All()
	m := NewMatcher(patterns)
	names := map[string]bool{"source": true, "klog": true, "npd": true, "component": true}
	word := regexp.MustCompile(`^[a-z][a-z0-9]*(-[a-z0-9]+)*$`)
	happened := func(class Class, line, name string) bool {
		for _, h := range m.Match(class, line, nil) {
			if h.Kind == Happened && patterns[h.Pattern].Name == name {
				return true
			}
		}
		return false
	}
	for _, p := range patterns {
		t.Run(p.Name, func(t *testing.T) {
			if names[p.Name] || !word.MatchString(p.Name) {
				t.Errorf("the name is taken, or no word of a key")
			}
			names[p.Name] = true
			checkForm(t, p)
			for _, class := range p.Classes {
				for _, line := range p.Fits {
					if !happened(class, line, p.Name) {
						t.Errorf("does not fit: %s", line)
					}
				}
				for _, line := range p.Misses {
					if happened(class, line, p.Name) {
						t.Errorf("fits: %s", line)
					}
				}
			}
		})
	}
	if len(patterns) < 50 {
		t.Errorf("%d patterns, want the whole table", len(patterns))
	}
}

func checkForm(t *testing.T, p Pattern) {
	t.Helper()
	if p.Doc == "" || len(p.Classes) == 0 || len(p.Literals) == 0 || p.TTL <= 0 || len(p.Fits) == 0 || len(p.Misses) == 0 {
		t.Errorf("it does not say what it is, who writes it, when it is over, or has no samples")
	}
	if p.AtLeast > maxAtLeast || p.AtLeast > 1 && p.Within == 0 {
		t.Errorf("it takes %d lines within %v", p.AtLeast, p.Within)
	}
}

func TestSubjectsAreWhatTheLineNames(t *testing.T) {
	tests := map[string]struct {
		class Class
		line  string
		want  string
	}{
		"a disk":             {Kernel, "I/O error, dev sdb, sector 2048 op 0x0:(READ)", "disk-error sdb"},
		"a file system":      {Kernel, "EXT4-fs (dm-2): Remounting filesystem read-only", "filesystem-read-only dm-2"},
		"a task":             {Kernel, "INFO: task kworker/u8:2:88 blocked for more than 241 seconds.", "task-hung kworker/u8:2"},
		"a control group":    {Kernel, "cgroup: fork rejected by pids controller in /kubepods/pod7f", "fork-rejected /kubepods/pod7f"},
		"a link":             {Kernel, "igb 0000:01:00.0 eth0: igb: eth0 NIC Link is Down", "link-down eth0"},
		"a manifest":         {Kubelet, `E1121 10:00:00.0 1 file.go:108] "Could not process manifest file" path="/m/x.yaml" err="read"`, "static-pod-invalid /m/x.yaml"},
		"an address of etcd": {APIServer, `grpc: addrConn.createTransport failed to connect to {Addr: "127.0.0.1:2379", ServerName`, "apiserver-etcd-unreachable 127.0.0.1:2379"},
		"an NFS server":      {Kernel, "nfs: server nas not responding, still trying", "nfs-server-silent nas"},
	}
	patterns := All()
	m := NewMatcher(patterns)
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			var got []string
			for _, h := range m.Match(tc.class, tc.line, nil) {
				got = append(got, patterns[h.Pattern].Name+" "+h.Subject)
			}
			if strings.Join(got, "; ") != tc.want {
				t.Errorf("%q, want %q", got, tc.want)
			}
		})
	}
}

func TestLinesThatTakeBackAreTold(t *testing.T) {
	m := NewMatcher(All())
	kinds := map[string]Kind{}
	for class, lines := range map[Class][]string{
		Systemd: {"Stopping kubelet.service - kubelet: The Kubernetes Node Agent..."},
		Kernel:  {"nfs: server nas OK"},
		Flannel: {"I1121 10:00:00.000000    4711 main.go:530] Lease renewed, new expiration: 2026-11-22 10:00:00.1 +0000 UTC"},
	} {
		for _, line := range lines {
			for _, h := range m.Match(class, line, nil) {
				kinds[m.Patterns()[h.Pattern].Name] = h.Kind
			}
		}
	}
	for name, want := range map[string]Kind{"kubelet-restarts": Reverted, "nfs-server-silent": Over, "flannel-lease-failing": Over, "flannel-lease-revoked": Over} {
		if got, ok := kinds[name]; !ok || got != want {
			t.Errorf("%s: %v, %t; want %v", name, got, ok, want)
		}
	}
}

// BenchmarkFlood holds a line of a flood, which fits nothing, against all patterns of the kernel.
func BenchmarkFlood(b *testing.B) {
	m := NewMatcher(All())
	line := "audit: type=1400 audit(1763740000.123:4242): apparmor=\"DENIED\" operation=\"open\" profile=\"x\" name=\"/etc/shadow\" pid=4711 comm=\"cat\""
	var hits []Hit
	for b.Loop() {
		hits = m.Match(Kernel, line, hits[:0])
	}
	if len(hits) > 0 {
		b.Fatal(hits)
	}
	b.SetBytes(int64(len(line)))
}
