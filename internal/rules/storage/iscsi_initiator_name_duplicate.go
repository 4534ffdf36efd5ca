package storage

import (
	"maps"
	"slices"

	"github.com/maek-dev/maek/api/maek/v1alpha1"
	"github.com/maek-dev/maek/internal/finding"
	"github.com/maek-dev/maek/internal/rule"
	"github.com/maek-dev/maek/internal/snapshot"
)

var _ = Catalog.Add(rule.Rule{
	Code:  "DuplicateIscsiInitiatorName",
	Title: finding.Text{EN: "several machines present themselves to iSCSI targets under one name", KO: "여러 머신이 같은 iSCSI initiator 이름을 씁니다"},
	Doc: finding.Text{
		EN: "Machines that were cloned from one image have one initiator name. A target takes them for one machine: it lets each see the other's disks, ends one's session when the other logs in, and where both write to one disk its data is destroyed. It is critical " +
			"where two of them have sessions to one target. Machines without open-iscsi, and names that differ, are left alone.",
		KO: "한 이미지를 복제한 머신들의 initiator 이름이 같습니다. target은 이들을 하나의 머신으로 여기므로 서로의 디스크를 볼 수 있고, 한쪽이 로그인하면 다른 쪽의 session이 끊어지며, 둘이 한 디스크에 쓰면 데이터가 손상됩니다. 그중 둘이 같은 target에 session을 가지고 있으면 " +
			"critical입니다. open-iscsi가 없는 머신과 이름이 서로 다른 머신은 대상이 아닙니다.",
	},
	Link:     "https://kubernetes.io/docs/concepts/storage/volumes/#iscsi",
	Severity: finding.Warning, Gravest: finding.Critical,
	Machine: []snapshot.EvidenceKey{"iscsi/initiator-name", "iscsi/session/*/*"},
	Detect:  detectDuplicateIscsiInitiatorName,
})

func detectDuplicateIscsiInitiatorName(p *rule.Pass) {
	named := map[string][]snapshot.Machine{}
	for _, m := range p.Machines() {
		if name := m.Value("iscsi/initiator-name"); name != "" {
			named[name] = append(named[name], m)
		}
	}
	for _, name := range slices.Sorted(maps.Keys(named)) {
		machines := named[name]
		if len(machines) < 2 {
			continue
		}
		f := finding.Finding{
			Subject: finding.Subject{Kind: "IscsiInitiator", Name: name}, Mechanism: v1alpha1.MechanismMisconfigured, Field: "/etc/iscsi/initiatorname.iscsi",
		}
		var nodes []string
		users := map[string]int{}
		for _, m := range machines {
			nodes = append(nodes, m.Node())
			f.Evidence = append(f.Evidence, m.Evidence("iscsi/initiator-name"))
			targets := map[string]bool{}
			for _, s := range iscsiSessions(m) {
				targets[s.target()] = true
			}
			for t := range targets {
				users[t]++
			}
		}
		f.Title = finding.Format("iSCSI initiator name %s is that of several machines: %s", "여러 머신이 iSCSI initiator 이름 %s 하나를 씁니다: %s", finding.Verbatim(name), finding.List(nodes))
		f.Why = finding.Text{
			EN: "Targets take them for one machine: they see each other's disks and end each other's sessions, and a disk that two of them write to is destroyed. Machines that were cloned from one image are so.",
			KO: "target은 이들을 하나의 머신으로 여깁니다. 서로의 디스크를 보고 서로의 session을 끊으며, 둘이 함께 쓰는 디스크는 손상됩니다. 한 이미지를 복제하면 이렇게 됩니다.",
		}
		var shared []string
		for t, n := range users {
			if n > 1 {
				shared = append(shared, t)
			}
		}
		if len(shared) > 0 {
			f.Severity = finding.Critical
			f.Why = finding.Join(" ", f.Why, finding.Format("Several of them have sessions to %s.", "여러 머신이 %s target에 session을 가지고 있습니다.", finding.List(shared)))
		}
		for _, m := range machines[1:] {
			f.Remedies.Now = append(f.Remedies.Now, finding.Remedy{
				Text: finding.Text{EN: "give it a name of its own, after its pods were moved away, and allow that name at the target", KO: "Pod를 옮긴 뒤 고유한 이름을 부여하고 target에서 그 이름을 허용합니다"}, Machine: m.Node(),
				Command: "echo \"InitiatorName=$(iscsi-iname)\" > /etc/iscsi/initiatorname.iscsi && systemctl restart iscsid",
			})
		}
		f.Remedies.Later = []finding.Remedy{{Text: finding.Text{EN: "remove the name from the image, so that each machine makes its own when it first starts", KO: "이미지에서 이름을 지워 머신이 처음 시작할 때 스스로 만들게 합니다"}}}
		p.Report(f)
	}
}
