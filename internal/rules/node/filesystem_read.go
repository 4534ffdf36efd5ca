package node

import (
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/maek-dev/maek/internal/finding"
	"github.com/maek-dev/maek/internal/rule"
	"github.com/maek-dev/maek/internal/snapshot"
)

// filesystem is a file system of a machine, as its monitor read it.
type filesystem struct {
	snapshot.Machine
	// point at which it is mounted.
	point string
	// holds are the folders that lie on it, by their roles.
	holds map[string][]string
}

// What the monitor calls the roles of folders.
const (
	roleTmp     = "tmp"
	roleRun     = "run"
	roleRoot    = "root"
	roleKubelet = "kubelet"
	roleImages  = "images"
	roleEtcd    = "etcd"
	roleLogs    = "logs"
)

// filesystemsOf lists the file systems of a machine.
func filesystemsOf(m snapshot.Machine) []filesystem {
	var out []filesystem
	for _, point := range m.Names("filesystem/*/type") {
		f := filesystem{Machine: m, point: point, holds: map[string][]string{}}
		for _, e := range m.Select(snapshot.KeyOf("filesystem", point, "holds") + "/*") {
			f.holds[e.Value] = append(f.holds[e.Value], e.Key.Segments()[3])
		}
		out = append(out, f)
	}
	return out
}

func (f filesystem) key(word string) snapshot.EvidenceKey {
	return snapshot.KeyOf("filesystem", f.point, word)
}

func (f filesystem) subject() finding.Subject { return f.Subject("Path", f.point) }

// has tells whether any folder of one of the roles lies on it.
func (f filesystem) has(roles ...string) bool {
	return slices.ContainsFunc(roles, func(r string) bool { return len(f.holds[r]) > 0 })
}

// space is how much is used and left, as df counts; false where that could not be read.
func (f filesystem) space() (used, free uint64, ok bool) {
	u, ok1 := f.Int(f.key("used-bytes"))
	l, ok2 := f.Int(f.key("free-bytes"))
	return uint64(max(0, u)), uint64(max(0, l)), ok1 && ok2 && u+l > 0
}

// harms say what stops where nothing can be written, the gravest first.
var harms = []struct {
	role string
	text finding.Text
}{
	{roleEtcd, finding.Text{EN: "etcd cannot write, and then the cluster takes no changes", KO: "etcd가 쓰지 못하면 클러스터의 어떤 변경도 저장되지 않습니다"}},
	{roleKubelet, finding.Text{EN: "the kubelet evicts pods and takes no new ones", KO: "kubelet이 Pod를 eviction하고 새 Pod를 받지 않습니다"}},
	{roleImages, finding.Text{EN: "no image can be pulled and no container made", KO: "이미지를 받거나 컨테이너를 만들지 못합니다"}},
	{roleRun, finding.Text{EN: "systemd and the container runtime cannot keep their state", KO: "systemd와 컨테이너 런타임이 상태를 저장하지 못합니다"}},
	{roleLogs, finding.Text{EN: "logs are lost", KO: "로그가 남지 않습니다"}},
	{roleTmp, finding.Text{EN: "programs that need temporary files fail", KO: "임시 파일이 필요한 프로그램이 실패합니다"}},
	{roleRoot, finding.Text{EN: "the system's own programs fail", KO: "시스템 프로그램이 실패합니다"}},
}

// loses says who loses what, each with the folders that lie there.
func (f filesystem) loses() finding.Text {
	var parts []finding.Text
	for _, l := range harms {
		if folders := f.holds[l.role]; len(folders) > 0 {
			parts = append(parts, finding.Format("%s (%s)", "%s(%s)", l.text, finding.Verbatim(strings.Join(slices.Sorted(slices.Values(folders)), ", "))))
		}
	}
	if len(parts) == 0 {
		return finding.Text{EN: "Nothing of Kubernetes' own is on it.", KO: "Kubernetes가 쓰는 것은 없습니다."}
	}
	return finding.Format("What suffers: %s.", "영향: %s.", finding.Join("; ", parts...))
}

// folders are all that lie on it and matter, for a command that looks what takes the space.
func (f filesystem) folders() string {
	var out []string
	for _, role := range slices.Sorted(maps.Keys(f.holds)) {
		out = append(out, f.holds[role]...)
	}
	if len(out) == 0 {
		return finding.ShellWord(f.point)
	}
	slices.Sort(out)
	for i := range out {
		out[i] = finding.ShellWord(out[i])
	}
	return strings.Join(out, " ")
}

// device is what is mounted, as evidence.
func (f filesystem) device() string {
	return fmt.Sprintf("%s (%s)", f.Value(f.key("device")), f.Value(f.key("type")))
}

// etcdElsewhere tells whether etcd goes on without this machine: at least two of its members answer on others,
// which of three is a majority.
func etcdElsewhere(p *rule.Pass, m snapshot.Machine) bool {
	const majority = 2
	answer := 0
	for _, other := range p.Machines() {
		if other.Node() != m.Node() && other.Value("etcd/local/answer") == "yes" {
			answer++
		}
	}
	return answer >= majority
}

// othersGoOn is what it means that etcd is elsewhere too.
var othersGoOn = finding.Text{
	EN: "Other members of etcd answer, and the cluster goes on with them.",
	KO: "다른 etcd member가 응답하므로 클러스터는 계속 동작합니다.",
}

// storageGone are the causes, found on a machine, of programs there that wait for what they read or write.
func storageGone() []rule.Cause {
	var out []rule.Cause
	for _, code := range []finding.Code{"DiskErrors", "FilesystemDamaged", "IscsiSessionFailed", "MountHangs", "MultipathNoPath", "NfsServerNotResponding"} {
		out = append(out, rule.Cause{Code: code, Via: rule.OnMachine})
	}
	// A server that several machines mount from is on none of them, and names those that wait.
	return append(out, rule.Cause{Code: "NfsServerNotResponding", Via: rule.Claimed})
}

// explainsPressure tells whether a finding about a file system is about one on which the kubelet counts
// (nodefs, imagefs) of the effect's machine.
func explainsPressure(s *snapshot.Snapshot, _, cause finding.Finding) bool {
	m, ok := s.Machine(cause.Subject.Machine)
	if !ok {
		return false
	}
	return slices.ContainsFunc(filesystemsOf(m), func(f filesystem) bool { return f.point == cause.Subject.Name && f.has(roleKubelet, roleImages) })
}
