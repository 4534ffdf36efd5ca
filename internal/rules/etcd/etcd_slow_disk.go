package etcd

import (
	"strconv"

	"github.com/maek-dev/maek/api/maek/v1alpha1"
	"github.com/maek-dev/maek/internal/finding"
	"github.com/maek-dev/maek/internal/rule"
)

var _ = Catalog.Add(rule.Rule{
	Code:  "EtcdSlowDisk",
	Title: finding.Text{EN: "etcd's disk is slow", KO: "etcd의 디스크가 느립니다"},
	Doc: finding.Text{
		EN: "Of the writes of a member's log more than one in a hundred takes half a second, or of its database's commits a quarter of a second; or a tenth of a second and its heartbeats already come late. Every write of the cluster waits " +
			"for the majority's disks: kube-apiserver slows down, Leases come late and leaders change. Healthy disks take less than 10 ms; slower ones that harm nothing are left alone.",
		KO: "member의 WAL 쓰기 중 100개에 하나 이상이 0.5초를 넘거나 데이터베이스 commit이 0.25초를 넘습니다. 또는 0.1초를 넘으면서 heartbeat가 이미 늦어지고 있습니다. 클러스터의 모든 쓰기는 과반수 member의 디스크를 기다리므로 " +
			"kube-apiserver가 느려지고 Lease 갱신이 늦어지며 leader가 바뀝니다. 정상 디스크는 10 ms 안에 끝납니다. 그보다 느려도 피해가 없으면 알리지 않습니다.",
	},
	Link:     "https://etcd.io/docs/v3.6/op-guide/hardware/#disks",
	Severity: finding.Warning,
	Needs:    optionalNodes,
	Machine:  machineKeys,
	Causes: []rule.Cause{
		{Code: "DiskErrors", Via: rule.OnMachine},
		{Code: "MachineUnderPressure", Via: rule.OnMachine},
		{Code: "MachineMemoryExhausted", Via: rule.OnMachine},
	},
	Detect: detectEtcdSlowDisk,
})

// The bounds in seconds (go.etcd.io/etcd/contrib/mixin: etcdHighFsyncDurations,
// etcdHighCommitDurations; the least one is etcd's --heartbeat-interval).
const (
	slowFsync  = 0.5
	slowCommit = 0.25
	lateFsync  = 0.1
	manyLate   = 5
	// minute in seconds.
	minute = 60
)

func detectEtcdSlowDisk(p *rule.Pass) {
	for _, c := range clusters(p) {
		for _, on := range c.from {
			fsync, _ := on.Float("etcd/metrics/fsync-p99")
			commit, _ := on.Float("etcd/metrics/commit-p99")
			late, _ := on.Float("etcd/metrics/heartbeats-late-lately")
			slow, _ := on.Float("etcd/metrics/slow-applies-lately")
			harms := late >= manyLate || slow >= manyLate
			if fsync < slowFsync && commit < slowCommit && (fsync < lateFsync || !harms) {
				continue
			}
			window, _ := on.Float("etcd/metrics/window")
			f := finding.Finding{
				Subject:   finding.Subject{Kind: "EtcdMember", Name: on.Node(), Machine: on.Node()},
				Mechanism: v1alpha1.MechanismDegraded,
				Title:     finding.Textf("etcd on %s waits for its disk: 1 of 100 writes takes %s", "%s의 etcd가 디스크를 기다립니다: 쓰기 100개 중 1개가 %s 이상 걸립니다", on.Node(), seconds(max(fsync, commit))),
			}
			f.Evidence = append(f.Evidence, on.Evidence("etcd/metrics/fsync-p99"), on.Evidence("etcd/metrics/commit-p99"))
			if harms {
				f.Evidence = append(f.Evidence, on.Evidence("etcd/metrics/heartbeats-late-lately"), on.Evidence("etcd/metrics/slow-applies-lately"))
			}
			f.Why = finding.Join(" ", finding.Textf("Over the last %d minutes, 99 of 100 writes to its log took up to %s and commits up to %s; less than 10 ms and 25 ms are normal.",
				"최근 %d분 동안 WAL 쓰기의 99%%는 %s, commit의 99%%는 %s까지 걸렸습니다. 정상은 10 ms와 25 ms 미만입니다.",
				max(1, int(window)/minute), seconds(fsync), seconds(commit)), finding.Text{
				EN: "Every write of the cluster waits for the majority's disks.", KO: "클러스터의 모든 쓰기는 과반수 member의 디스크를 기다립니다.",
			})
			f.Remedies = finding.Remedies{
				Now: []finding.Remedy{{
					Text:    finding.Text{EN: "see who else writes to that disk", KO: "같은 디스크에 쓰는 다른 프로세스를 확인합니다"},
					Command: "findmnt -T /var/lib/etcd; cat /proc/pressure/io; iostat -x 5 3; iotop -boqqn 3 | head -n 20", Machine: on.Node(),
				}},
				Later: []finding.Remedy{{Text: finding.Text{
					EN: "give /var/lib/etcd a fast disk of its own, and keep other workloads off control-plane machines", KO: "/var/lib/etcd에 빠른 전용 디스크를 사용하고 control plane 머신에 다른 워크로드를 두지 않습니다",
				}}},
			}
			p.Report(f)
		}
	}
}

// seconds writes a duration as people do.
func seconds(s float64) string {
	const milli = 1000
	if s < 1 {
		return strconv.FormatFloat(s*milli, 'f', 0, 64) + " ms"
	}
	return strconv.FormatFloat(s, 'f', 1, 64) + " s"
}
