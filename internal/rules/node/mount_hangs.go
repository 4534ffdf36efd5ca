package node

import (
	"path"
	"slices"
	"strings"
	"time"

	"github.com/maek-dev/maek/api/maek/v1alpha1"
	"github.com/maek-dev/maek/internal/finding"
	"github.com/maek-dev/maek/internal/rule"
	"github.com/maek-dev/maek/internal/snapshot"
)

var _ = Catalog.Add(rule.Rule{
	Code:  "MountHangs",
	Title: finding.Text{EN: "mount does not answer", KO: "mount가 응답하지 않습니다"},
	Doc: finding.Text{
		EN: "A mount of the machine does not answer when it is asked how full it is, or answers with an error: its disk, path or server is gone. Whoever touches it waits in a state that no signal ends (D), the kubelet's and " +
			"runtime's calls too; load rises and pods cannot be ended. Mounts of NFS servers have a finding of their own (NfsServerNotResponding). A mount that is slow for a few seconds is left alone.",
		KO: "사용량을 물어도 mount가 응답하지 않거나 오류를 돌려줍니다. 디스크, 경로, 서버가 사라진 것입니다. 접근한 프로세스는 어떤 signal로도 끝나지 않는 상태(D)로 기다리며 kubelet과 런타임의 호출도 마찬가지입니다. load가 오르고 Pod를 종료할 수 없습니다. " +
			"NFS 서버의 mount는 NfsServerNotResponding에서 다룹니다. 몇 초 동안만 느린 mount는 대상이 아닙니다.",
	},
	Link:     "https://kubernetes.io/docs/concepts/storage/volumes/",
	Severity: finding.Warning, Gravest: finding.Critical,
	Machine: []snapshot.EvidenceKey{"filesystem/*/type", "filesystem/*/device", "filesystem/*/holds/*", "filesystem/*/stuck", "filesystem/*/error", "etcd/local/answer"},
	Causes: []rule.Cause{
		{Code: "DiskErrors", Via: rule.OnMachine},
		{Code: "MultipathNoPath", Via: rule.OnMachine, Holds: behindMount},
		{Code: "IscsiSessionFailed", Via: rule.OnMachine, Holds: behindMount},
	},
	Detect: detectMountHangs,
})

// behindMount tells whether the effect's file system lies on the multipath device that the cause is
// about, or on a disk that came by its iSCSI session.
func behindMount(s *snapshot.Snapshot, effect, cause finding.Finding) bool {
	m, ok := s.Machine(effect.Subject.Machine)
	if !ok {
		return false
	}
	device := path.Base(m.Value(snapshot.KeyOf("filesystem", effect.Subject.Name, "device")))
	if cause.Subject.Kind == "MultipathDevice" {
		return strings.HasPrefix(device, cause.Subject.Name)
	}
	return slices.ContainsFunc(cause.Evidence, func(e finding.Evidence) bool {
		_, disk, found := strings.Cut(e.Path, " device ")
		return found && strings.HasPrefix(device, disk)
	})
}

// slowMount is how long a mount of something far away may take to answer.
const slowMount = 20 * time.Second

func detectMountHangs(p *rule.Pass) {
	for _, m := range p.Machines() {
		for _, f := range filesystemsOf(m) {
			message := m.Value(f.key("error"))
			out := finding.Finding{Subject: f.subject(), Field: f.point}
			switch {
			case m.True(f.key("stuck")):
				since := m.Since(f.key("stuck"))
				out.Mechanism, out.Since = v1alpha1.MechanismHung, since
				// What the machine itself lives on answers from memory; what is far away may be slow.
				out.Settling = len(f.holds) == 0 && m.ObservedAt().Sub(since) < slowMount
				out.Title = finding.Textf("machine %s: the mount %s does not answer", "머신 %s: mount %s 응답이 없습니다", m.Node(), f.point)
				out.Why = finding.Textf("%s was asked how full it is at %s and has not answered since; whoever touches it waits likewise, and no signal ends that.",
					"%s에 %s에 사용량을 물었으나 아직 응답이 없습니다. 접근하는 프로세스도 똑같이 기다리며 signal로 끝낼 수 없습니다.", f.device(), finding.Clock(m.ObservedAt(), since))
				out.Evidence = []finding.Evidence{f.Evidence(f.key("stuck"))}
			case message != "":
				out.Mechanism, out.Since = v1alpha1.MechanismFailing, m.Since(f.key("error"))
				out.Title = finding.Textf("machine %s: the mount %s answers with an error", "머신 %s: mount %s 접근이 오류로 끝납니다", m.Node(), f.point)
				out.Why = finding.Textf("%s answers every access with: %s.", "%s에 접근하면 다음 오류가 납니다: %s.", f.device(), finding.Quote(message))
				out.Evidence = []finding.Evidence{f.Evidence(f.key("error"))}
			default:
				continue
			}
			out.Why = finding.Join(" ", out.Why, f.loses())
			out.Remedies = finding.Remedies{
				Now: []finding.Remedy{
					{
						Text: finding.Text{EN: "which processes wait for it, and what the kernel says", KO: "기다리는 프로세스와 커널 메시지를 확인합니다"}, Machine: m.Node(),
						Command: "ps -eo pid,stat,wchan:30,args | awk '$2~/D/'; dmesg -T | tail -30",
					},
					{
						Text: finding.Text{EN: "bring its disk, path or server back; where that cannot be, detach it, and restart what still waits", KO: "디스크, 경로, 서버를 되살립니다. 불가능하면 mount를 분리하고 기다리는 프로그램을 다시 시작합니다"},
						// A lazy unmount does not touch the file system itself.
						Command: "umount -l " + finding.ShellWord(f.point), Machine: m.Node(),
					},
				},
				Later: []finding.Remedy{{Text: finding.Text{EN: "give remote storage more than one path, and mount with a timeout where data may be lost rather than waited for", KO: "원격 스토리지에 경로를 둘 이상 두고, 기다리기보다 잃어도 되는 데이터는 timeout을 두어 mount합니다"}}},
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
