package etcd

import (
	"time"

	"github.com/maek-dev/maek/api/maek/v1alpha1"
	"github.com/maek-dev/maek/internal/finding"
	"github.com/maek-dev/maek/internal/rule"
)

var _ = Catalog.Add(rule.Rule{
	Code:  "EtcdMemberLagging",
	Title: finding.Text{EN: "an etcd member lags behind the leader", KO: "etcd member가 leader보다 뒤처져 있습니다"},
	Doc: finding.Text{
		EN: "A member that answers has applied a thousand entries less than the leader has committed. It counts for the majority and gives old answers to reads of its own; when five thousand are missing it refuses writes that come to it. " +
			"A slow disk, a busy processor and a thin network to it are what causes it. A learner that is being filled is left alone.",
		KO: "응답하는 member가 leader가 commit한 것보다 1,000개 이상 적게 적용했습니다. 과반수에는 포함되지만 자체 읽기에는 오래된 값을 돌려주며, 5,000개를 넘으면 그 member로 들어온 쓰기를 거부합니다. 느린 디스크, 바쁜 CPU, 좁은 네트워크가 원인입니다. " +
			"데이터를 받는 중인 learner는 제외합니다.",
	},
	Link:     "https://etcd.io/docs/v3.6/metrics/#server",
	Severity: finding.Warning,
	Needs:    optionalNodes,
	Machine:  machineKeys,
	For:      time.Minute,
	Causes:   []rule.Cause{{Code: "EtcdSlowDisk", Via: rule.Itself}},
	Detect:   detectEtcdMemberLagging,
})

// farBehind is the number of entries; from go.etcd.io/etcd/server/etcdserver/v3_server.go,
// maxGapBetweenApplyAndCommitIndex, of 5000, a fifth.
const farBehind = 1000

func detectEtcdMemberLagging(p *rule.Pass) {
	for _, c := range clusters(p) {
		for _, m := range c.voters() {
			// Both indexes must be of one look: those of two machines are seconds apart.
			for _, on := range c.from {
				applied, ok := on.Int(c.key(on, m, "raft-applied"))
				if !ok {
					continue
				}
				var committed int64
				for _, other := range c.members {
					if n, ok := on.Int(c.key(on, other, "raft-index")); ok {
						committed = max(committed, n)
					}
				}
				if committed-applied < farBehind {
					break
				}
				p.Report(finding.Finding{
					Subject: m.subject(), Mechanism: v1alpha1.MechanismDegraded,
					Title: finding.Textf("etcd member on %s lags %d entries behind", "%s의 etcd member가 %d개 뒤처져 있습니다", m.label(), committed-applied),
					Why: finding.Textf("Seen from %s it has applied up to %d, while %d is committed. It counts as running, and would take long to take over.",
						"%s에서 볼 때 %d까지 적용했지만 commit된 것은 %d입니다. 실행 중으로 집계되지만 역할을 이어받으려면 오래 걸립니다.", on.Node(), applied, committed),
					Evidence: []finding.Evidence{on.Evidence(c.key(on, m, "raft-applied")), on.Evidence(c.key(on, m, "raft-index"))},
					Remedies: finding.Remedies{Now: []finding.Remedy{{
						Text:    finding.Text{EN: "is its disk, its processor or its network short", KO: "디스크, CPU, 네트워크가 부족한지 확인합니다"},
						Command: "cat /proc/pressure/io /proc/pressure/cpu; curl -s http://127.0.0.1:2381/metrics | grep -E 'etcd_server_(slow_apply|proposals_pending)|etcd_disk_wal_fsync_duration_seconds_(sum|count)'", Machine: m.node,
					}}},
				})
				break
			}
		}
	}
}
