package node

import (
	"strings"

	"github.com/maek-dev/maek/api/maek/v1alpha1"
	"github.com/maek-dev/maek/internal/finding"
	"github.com/maek-dev/maek/internal/rule"
	"github.com/maek-dev/maek/internal/snapshot"
)

var (
	// diskFaults are the patterns of disks that do not do what they are asked.
	diskFaults = []string{"disk-error", "nvme-timeout", "ata-error", "disk-bad-sectors"}
	// filesystemFaults are the patterns of file systems that are damaged or gave up.
	filesystemFaults = []string{"filesystem-error", "filesystem-shutdown"}
)

var _ = Catalog.Add(rule.Rule{
	Code:  "DiskErrors",
	Title: finding.Text{EN: "disk reports errors", KO: "디스크가 오류를 보고합니다"},
	Doc: finding.Text{
		EN: "Within the last half hour a disk did not read or write what it was asked to, did not answer and was reset, or its self-test (smartd) found sectors that cannot be read. File systems on it become read-only or lose data. Drives without a " +
			"medium and loop devices, which answer so when they are looked into or taken away, are left alone.",
		KO: "최근 30분 안에 디스크가 읽기·쓰기에 실패했거나, 응답하지 않아 reset됐거나, 자체 검사(smartd)에서 읽을 수 없는 섹터가 나왔습니다. 그 위의 파일시스템이 읽기 전용이 되거나 데이터를 잃습니다. 매체가 없는 드라이브와 loop 장치의 " +
			"같은 메시지는 대상이 아닙니다.",
	},
	Link:     "https://docs.kernel.org/block/index.html",
	Severity: finding.Warning,
	Machine:  logKeys(diskFaults...),
	Causes: []rule.Cause{
		{Code: "IscsiSessionFailed", Via: rule.OnMachine, Holds: pathsAlone},
		{Code: "MultipathNoPath", Via: rule.OnMachine, Holds: pathsAlone},
		{Code: "MultipathPathsLost", Via: rule.OnMachine, Holds: pathsAlone},
	},
	Detect: detectLogged(diskFaults, func(m snapshot.Machine, all []logged) finding.Finding {
		f := logFinding(m, all, v1alpha1.MechanismFailing,
			finding.Format("machine %s: disk %s reports errors", "머신 %s: 디스크 %s에서 오류가 납니다", finding.Verbatim(m.Node()), named(all, finding.Text{EN: "(not named)", KO: "(이름 없음)"})),
			finding.Text{
				EN: "What is on it may become read-only, hang or be lost; what reads or writes there fails.",
				KO: "그 위의 데이터가 읽기 전용이 되거나 멈추거나 사라질 수 있고, 그곳을 읽고 쓰는 것이 실패합니다.",
			})
		f.Remedies = finding.Remedies{
			Now: []finding.Remedy{
				{Text: finding.Text{EN: "what is on it, and what it says itself", KO: "그 위에 무엇이 있는지와 디스크 자체의 상태를 확인합니다"}, Command: "lsblk -o NAME,SIZE,TYPE,STATE,MOUNTPOINTS; dmesg -T | grep -iE 'i/o error|medium error|nvme|ata[0-9]' | tail -30; smartctl -H -A /dev/DEVICE", Machine: m.Node()},
				{Text: finding.Text{EN: "move the pods and their data away while it still reads", KO: "아직 읽히는 동안 Pod와 데이터를 옮깁니다"}, Command: "kubectl drain " + m.Node() + " --ignore-daemonsets --delete-emptydir-data"},
			},
			Later: []finding.Remedy{{Text: finding.Text{EN: "replace the disk, its cable or its path; look at the storage system where it comes from one", KO: "디스크, 케이블, 경로를 교체합니다. 스토리지 시스템의 디스크라면 그 시스템을 확인합니다"}}},
		}
		return f
	}),
})

// pathsAlone tells whether all disks that report errors are ways to storage elsewhere, or made of such: then it is
// the way that fails.
func pathsAlone(s *snapshot.Snapshot, effect, _ finding.Finding) bool {
	m, ok := s.Machine(effect.Subject.Machine)
	if !ok || effect.Field == "" {
		return false
	}
	paths := map[string]bool{}
	for _, pattern := range []snapshot.EvidenceKey{"iscsi/session/*/device/*", "multipath/map/*/path/*"} {
		for _, e := range m.Select(pattern) {
			paths[e.Key.Segments()[4]] = true
		}
	}
	for disk := range strings.SplitSeq(effect.Field, ",") {
		if !paths[disk] && !strings.HasPrefix(disk, "dm-") {
			return false
		}
	}
	return true
}

var _ = Catalog.Add(rule.Rule{
	Code:  "FilesystemDamaged",
	Title: finding.Text{EN: "file system is damaged", KO: "파일시스템이 손상되었습니다"},
	Doc: finding.Text{
		EN: "The kernel of the running boot found a file system damaged (ext4, XFS, Btrfs), or shut it down to save what it holds, so that everything on it fails with input/output errors. Warnings that say nothing of damage, and what earlier " +
			"boots found, are left alone. That a file system became read-only is a finding of its own (FilesystemReadOnly), and told here only where file systems could not be looked at.",
		KO: "지금 boot의 커널이 파일시스템(ext4, XFS, Btrfs)의 손상을 발견했거나 남은 데이터를 지키려고 파일시스템을 닫았습니다. 닫히면 그 위의 모든 작업이 input/output error로 실패합니다. 손상과 무관한 경고와 이전 boot의 일은 대상이 아닙니다. " +
			"읽기 전용이 된 것은 FilesystemReadOnly에서 다루며, 파일시스템을 확인할 수 없는 머신에서만 여기서 알립니다.",
	},
	Link:     "https://docs.kernel.org/filesystems/xfs/index.html",
	Severity: finding.Warning,
	Machine:  logKeys(append([]string{"filesystem-read-only"}, filesystemFaults...)...),
	Causes:   []rule.Cause{{Code: "DiskErrors", Via: rule.OnMachine}, {Code: "HardwareErrors", Via: rule.OnMachine}},
	Detect: func(p *rule.Pass) {
		for _, m := range p.Machines() {
			all := loggedOn(m, filesystemFaults...)
			if !m.Looked("filesystems") {
				all = append(all, loggedOn(m, "filesystem-read-only")...)
			}
			if len(all) > 0 {
				p.Report(filesystemDamaged(m, all))
			}
		}
	},
})

func filesystemDamaged(m snapshot.Machine, all []logged) finding.Finding {
	device := named(all, finding.Text{EN: "one of its disks", KO: "디스크"})
	f := logFinding(m, all, v1alpha1.MechanismFailing,
		finding.Format("machine %s: the file system on %s is damaged", "머신 %s: %s의 파일시스템이 손상되었습니다", finding.Verbatim(m.Node()), device),
		finding.Text{EN: "What reads or writes there fails, and more may be lost the longer it is used.", KO: "그곳을 읽고 쓰는 것이 실패하며 계속 쓰면 더 잃을 수 있습니다."})
	if len(loggedOn(m, "filesystem-shutdown")) > 0 {
		f.Title = finding.Format("machine %s: the kernel shut down the file system on %s", "머신 %s: 커널이 %s의 파일시스템을 닫았습니다", finding.Verbatim(m.Node()), device)
	}
	if all[0].pattern == "filesystem-read-only" {
		f.Title = finding.Format("machine %s: the kernel made the file system on %s read-only", "머신 %s: 커널이 %s의 파일시스템을 읽기 전용으로 바꿨습니다", finding.Verbatim(m.Node()), device)
	}
	f.Remedies = finding.Remedies{
		Now: []finding.Remedy{
			{Text: finding.Text{EN: "which mount it is, and what the kernel found", KO: "어느 mount인지와 커널이 발견한 것을 확인합니다"}, Command: "lsblk -o NAME,FSTYPE,MOUNTPOINTS; dmesg -T | grep -E 'EXT4-fs|XFS|BTRFS|JBD2' | tail -20", Machine: m.Node()},
			{Text: finding.Text{EN: "stop what writes there, unmount, and repair it (fsck -y, xfs_repair)", KO: "쓰는 프로그램을 멈추고 mount를 해제한 뒤 복구합니다(fsck -y, xfs_repair)"}, Command: "kubectl drain " + m.Node() + " --ignore-daemonsets --delete-emptydir-data"},
		},
		Later: []finding.Remedy{{Text: finding.Text{EN: "check the disk below it, and restore from a backup what was lost", KO: "아래의 디스크를 점검하고 잃은 데이터는 백업에서 복원합니다"}}},
	}
	return f
}
