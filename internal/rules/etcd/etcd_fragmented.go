package etcd

import (
	"github.com/maek-dev/maek/api/maek/v1alpha1"
	"github.com/maek-dev/maek/internal/finding"
	"github.com/maek-dev/maek/internal/rule"
)

var _ = Catalog.Add(rule.Rule{
	Code:  "EtcdFragmented",
	Title: finding.Text{EN: "most of etcd's database file is empty", KO: "etcd 데이터베이스 파일의 대부분이 비어 있습니다"},
	Doc: finding.Text{
		EN: "Less than half of a member's database file holds data, and it holds more than 100 MB: compaction frees room inside the file and never gives it back to the disk. It harms nothing by itself, but the file counts against the " +
			"quota. Small databases are left alone.",
		KO: "member의 데이터베이스 파일에서 데이터가 절반이 되지 않습니다(데이터 100 MB 이상). compaction은 파일 안의 공간만 비우고 디스크에 돌려주지 않습니다. 그 자체로 해롭지는 않지만 파일 크기는 한도에 포함됩니다. 작은 데이터베이스는 제외합니다.",
	},
	Link:     "https://etcd.io/docs/v3.6/op-guide/maintenance/#defragmentation",
	Severity: finding.Info,
	Needs:    optionalNodes,
	Machine:  machineKeys,
	Detect:   detectEtcdFragmented,
})

func detectEtcdFragmented(p *rule.Pass) {
	const (
		small = 100 << 20
		half  = 2
	)
	for _, c := range clusters(p) {
		for _, m := range c.members {
			on, ok := c.best(m)
			if !ok {
				continue
			}
			size, _ := on.Int(c.key(on, m, "db-size"))
			used, ok := on.Int(c.key(on, m, "db-size-in-use"))
			if !ok || used < small || used >= size/half {
				continue
			}
			p.Report(finding.Finding{
				Subject: m.subject(), Mechanism: v1alpha1.MechanismDegraded,
				Title:    finding.Textf("etcd's database on %s is %s, of which %s hold data", "%s의 etcd 데이터베이스는 %s이며 이 중 데이터는 %s입니다", m.label(), bytes(size), bytes(used)),
				Why:      finding.Text{EN: "Compaction frees room inside the file; only defrag gives it back.", KO: "compaction은 파일 안의 공간만 비우며, defrag를 실행해야 디스크에 돌아옵니다."},
				Evidence: []finding.Evidence{on.Evidence(c.key(on, m, "db-size")), on.Evidence(c.key(on, m, "db-size-in-use"))},
				Remedies: finding.Remedies{Now: []finding.Remedy{defragment(m.label())}},
			})
		}
	}
}
