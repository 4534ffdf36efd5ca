package etcd

import (
	"github.com/maek-dev/maek/internal/finding"
	"github.com/maek-dev/maek/internal/rule"
)

var _ = Catalog.Add(rule.Rule{
	Code:  "EtcdCorrupt",
	Title: finding.Text{EN: "etcd's members do not hold the same data", KO: "etcd member의 데이터가 서로 다릅니다"},
	Doc: finding.Text{
		EN: "The hashes of all keys, made by the members at one revision, differ: a member lost or changed data that the others have, and answers depend on who is asked. Hashes are made only by machine --etcd-hash, " +
			"for each member reads its whole database for it. Hashes from different revisions or compactions are not compared.",
		KO: "같은 revision에서 member들이 계산한 전체 키의 hash가 다릅니다. 어느 member가 데이터를 잃었거나 바꾼 것이며, 어느 member에 묻느냐에 따라 응답이 달라집니다. member마다 데이터베이스 전체를 읽으므로 machine --etcd-hash에서만 계산합니다. " +
			"revision이나 compaction이 다른 hash는 비교하지 않습니다.",
	},
	Link:     "https://etcd.io/docs/v3.6/op-guide/data_corruption/",
	Severity: finding.Critical,
	Needs:    optionalNodes,
	Machine:  machineKeys,
	Detect:   detectEtcdCorrupt,
})

func detectEtcdCorrupt(p *rule.Pass) {
	for _, c := range clusters(p) {
		for _, on := range c.from {
			// What is compared was made at one revision after one compaction.
			type moment struct{ revision, compacted string }
			at := map[moment]map[string][]string{}
			f := finding.Finding{Subject: c.store()}
			for _, m := range c.members {
				hash := on.Value(c.key(on, m, "hash"))
				if hash == "" {
					continue
				}
				k := moment{on.Value(c.key(on, m, "hash-revision")), on.Value(c.key(on, m, "hash-compact-revision"))}
				if at[k] == nil {
					at[k] = map[string][]string{}
				}
				at[k][hash] = append(at[k][hash], m.label())
				f.Evidence = append(f.Evidence, on.Evidence(c.key(on, m, "hash")))
			}
			var odd []string
			differ := false
			for _, hashes := range at {
				if len(hashes) < 2 {
					continue
				}
				differ = true
				for _, labels := range hashes {
					if len(labels) < quorum(len(c.members)) {
						odd = append(odd, labels...)
					}
				}
			}
			if !differ {
				continue
			}
			f.Title = finding.Format("etcd's members do not hold the same data: not the majority's are those of %s", "etcd member의 데이터가 서로 다릅니다: 과반수와 다른 member는 %s입니다", finding.List(odd))
			f.Why = finding.Text{
				EN: "They hashed all keys at one revision, and the hashes differ. No alarm is raised, so that each answers with what it has: it depends on who is asked.",
				KO: "같은 revision에서 전체 키의 hash를 계산한 결과가 다릅니다. 알람이 없어 각 member가 자신의 데이터로 응답하므로 어느 member에 묻느냐에 따라 결과가 달라집니다.",
			}
			replaceCorrupt(&f, on.Node())
			p.Report(f)
			break
		}
	}
}
