package etcd

import (
	"time"

	"github.com/maek-dev/maek/api/maek/v1alpha1"
	"github.com/maek-dev/maek/internal/finding"
	"github.com/maek-dev/maek/internal/rule"
)

var _ = Catalog.Add(rule.Rule{
	Code:  "EtcdCompactionStopped",
	Title: finding.Text{EN: "etcd is no longer compacted", KO: "etcd compaction이 멈췄습니다"},
	Doc: finding.Text{
		EN: "For half an hour a member has seen no compaction while more than a thousand revisions were written: old ones stay, and the database grows until its quota is reached. kube-apiserver has etcd compacted every five minutes; it does " +
			"not while it runs with --etcd-compaction-interval=0, or cannot write. A cluster in which little is written is left alone.",
		KO: "member에서 30분 동안 compaction이 없었고 그동안 1,000개 넘는 revision이 기록되었습니다. 오래된 revision이 남아 데이터베이스가 한도까지 커집니다. compaction은 kube-apiserver가 5분마다 요청하며, --etcd-compaction-interval=0이거나 쓸 수 없으면 " +
			"실행되지 않습니다. 쓰기가 적은 클러스터는 제외합니다.",
	},
	Link:     "https://etcd.io/docs/v3.6/op-guide/maintenance/#history-compaction-v3-api-key-value-database",
	Severity: finding.Warning,
	Needs:    optionalNodes,
	Machine:  machineKeys,
	Detect:   detectEtcdCompactionStopped,
})

const (
	// uncompacted is six times kube-apiserver's --etcd-compaction-interval
	// (k8s.io/apiserver/pkg/storage/storagebackend/config.go, DefaultCompactInterval).
	uncompacted = 30 * time.Minute
	// muchWritten is the number of revisions from which the lack of compaction matters.
	muchWritten = 1000
)

func detectEtcdCompactionStopped(p *rule.Pass) {
	for _, c := range clusters(p) {
		for _, on := range c.from {
			still, _ := on.Float("etcd/compaction/unchanged")
			writes, _ := on.Float("etcd/compaction/writes")
			if still < uncompacted.Seconds() || writes < muchWritten {
				continue
			}
			since := on.ObservedAt().Add(-time.Duration(still) * time.Second)
			p.Report(finding.Finding{
				Subject: c.store(), Mechanism: v1alpha1.MechanismStopped, Since: since,
				Title:    finding.Textf("etcd has not been compacted since %s", "%s부터 etcd compaction이 없습니다", finding.Clock(p.Now(), since)),
				Why:      finding.Textf("%.0f revisions were written meanwhile. Old ones stay until the quota is reached.", "그동안 revision %.0f개가 기록되었습니다. 오래된 revision이 남아 한도에 도달할 수 있습니다.", writes),
				Evidence: []finding.Evidence{on.Evidence("etcd/compaction/unchanged"), on.Evidence("etcd/compaction/writes"), on.Evidence("etcd/metrics/compact-revision")},
				Remedies: finding.Remedies{
					Now: []finding.Remedy{{
						Text:    finding.Text{EN: "is kube-apiserver told not to compact, and what does it say", KO: "kube-apiserver에서 compaction이 꺼져 있는지, 로그에 오류가 있는지 확인합니다"},
						Command: `grep -n etcd-compaction-interval /etc/kubernetes/manifests/kube-apiserver.yaml; crictl logs --tail 500 $(crictl ps -q --name kube-apiserver | head -n 1) 2>&1 | grep -i compact | tail`, Machine: on.Node(),
					}},
					Later: []finding.Remedy{{Text: finding.Text{EN: "leave --etcd-compaction-interval at its default of 5m", KO: "--etcd-compaction-interval을 기본값 5m으로 둡니다"}}},
				},
			})
			break
		}
	}
}
