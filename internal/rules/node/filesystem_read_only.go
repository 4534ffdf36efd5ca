package node

import (
	"fmt"

	"github.com/maek-dev/maek/api/maek/v1alpha1"
	"github.com/maek-dev/maek/internal/finding"
	"github.com/maek-dev/maek/internal/rule"
	"github.com/maek-dev/maek/internal/snapshot"
)

var _ = Catalog.Add(rule.Rule{
	Code:  "FilesystemReadOnly",
	Title: finding.Text{EN: "file system became read-only", KO: "파일시스템이 읽기 전용이 되었습니다"},
	Doc: finding.Text{
		EN: "A file system of the machine takes no writes, though it did, or though the kubelet, the container runtime, etcd or logs must write there. The kernel does that when the disk reports errors, to save what is left; the number of " +
			"errors that ext4 noted is shown. Left alone: what /etc/fstab mounts read-only, and systems that are read-only by design and have been so all the time (Talos, Flatcar, Bottlerocket).",
		KO: "파일시스템이 쓰기를 받지 않습니다. 전에는 받았거나, kubelet·컨테이너 런타임·etcd·로그가 써야 하는 곳입니다. 디스크가 오류를 알리면 커널이 남은 데이터를 지키려고 이렇게 합니다. ext4가 기록한 오류 수를 함께 보여 줍니다. /etc/fstab에서 읽기 전용으로 mount하는 것과 " +
			"처음부터 읽기 전용으로 설계된 시스템(Talos, Flatcar, Bottlerocket)은 대상이 아닙니다.",
	},
	Link:     "https://docs.kernel.org/admin-guide/ext4.html",
	Severity: finding.Warning, Gravest: finding.Critical,
	Machine: []snapshot.EvidenceKey{
		"filesystem/*/type", "filesystem/*/device", "filesystem/*/holds/*", "filesystem/*/read-only", "filesystem/*/read-only-configured", "filesystem/*/errors",
		"etcd/local/answer",
	},
	Causes: []rule.Cause{
		{Code: "DiskErrors", Via: rule.OnMachine},
		{Code: "FilesystemDamaged", Via: rule.OnMachine},
		{Code: "MultipathNoPath", Via: rule.OnMachine, Holds: behindMount},
	},
	Detect: detectFilesystemReadOnly,
})

func detectFilesystemReadOnly(p *rule.Pass) {
	for _, m := range p.Machines() {
		for _, f := range filesystemsOf(m) {
			since := m.Since(f.key("read-only"))
			written := f.has(roleEtcd, roleKubelet, roleImages, roleRun, roleLogs, roleTmp)
			if !m.True(f.key("read-only")) || m.True(f.key("read-only-configured")) || since.IsZero() && !written {
				continue
			}
			out := finding.Finding{
				Subject: f.subject(), Mechanism: v1alpha1.MechanismFailing, Field: f.point, Since: since,
				Title: finding.Textf("machine %s: %s became read-only", "머신 %s: %s 파일시스템이 읽기 전용이 되었습니다", m.Node(), f.point),
				Why: finding.Join(" ", finding.Textf("%s takes no writes; the kernel does that when a disk reports errors.",
					"%s에 쓸 수 없습니다. 디스크가 오류를 알리면 커널이 읽기 전용으로 바꿉니다.", f.device()), f.loses()),
				Evidence: []finding.Evidence{f.Evidence(f.key("read-only"))},
				Remedies: finding.Remedies{
					Now: []finding.Remedy{
						{Text: finding.Text{EN: "what the kernel said of the disk", KO: "디스크에 대한 커널 메시지를 확인합니다"}, Command: "dmesg -T | grep -iE 'ext4|xfs|i/o error|remount' | tail -20", Machine: m.Node()},
						{
							Text: finding.Text{EN: "move the pods away before the disk is checked", KO: "디스크를 검사하기 전에 Pod를 옮깁니다"}, Command: fmt.Sprintf("kubectl drain %s --ignore-daemonsets --delete-emptydir-data", m.Node()),
						},
						{
							Text:    finding.Text{EN: "check it while it is not mounted (from a rescue system for the system's own), and replace the disk where errors come back", KO: "mount를 해제한 상태에서 검사하고(시스템 디스크는 rescue 시스템에서), 오류가 반복되면 디스크를 교체합니다"},
							Command: f.repair(), Machine: m.Node(),
						},
					},
					Later: []finding.Remedy{{Text: finding.Text{EN: "watch the disks themselves (SMART, the storage system)", KO: "디스크 자체(SMART, 스토리지 시스템)를 감시합니다"}}},
				},
			}
			if errors, ok := m.Int(f.key("errors")); ok && errors > 0 {
				out.Why = finding.Join(" ", out.Why, finding.Textf("ext4 has noted %d errors.", "ext4가 기록한 오류는 %d건입니다.", errors))
				out.Evidence = append(out.Evidence, f.Evidence(f.key("errors")))
			}
			switch {
			case !f.has(roleEtcd):
			case etcdElsewhere(p, m):
				out.Why = finding.Join(" ", out.Why, othersGoOn)
			default:
				out.Severity = finding.Critical
			}
			p.Report(out)
		}
	}
}

// repair is the command that checks and repairs a file system of its type.
func (f filesystem) repair() string {
	if f.Value(f.key("type")) == "xfs" {
		return "xfs_repair " + f.Value(f.key("device"))
	}
	return "fsck -y " + finding.ShellWord(f.Value(f.key("device")))
}
