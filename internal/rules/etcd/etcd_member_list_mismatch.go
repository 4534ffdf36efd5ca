package etcd

import (
	"net/netip"
	"net/url"
	"slices"
	"strings"

	"github.com/maek-dev/maek/api/maek/v1alpha1"
	"github.com/maek-dev/maek/internal/finding"
	"github.com/maek-dev/maek/internal/rule"
)

var _ = Catalog.Add(rule.Rule{
	Code:  "EtcdMemberListMismatch",
	Title: finding.Text{EN: "who uses etcd and who is in it do not agree", KO: "etcd member 목록과 설정이 서로 다릅니다"},
	Doc: finding.Text{
		EN: "A kube-apiserver is configured with an etcd server that no member is (it was removed, or replaced at another address), or a member was added to the list and never started: it counts for the majority from the moment it was added. " +
			"Names and loopback addresses in --etcd-servers are left alone, and so is --initial-cluster, which matters at the first start only.",
		KO: "kube-apiserver가 어느 member도 아닌 etcd 서버를 사용하도록 설정되어 있거나(제거되었거나 다른 주소로 교체됨), 목록에 추가된 member가 한 번도 시작되지 않았습니다. 추가된 member는 그 순간부터 과반수 계산에 포함됩니다. --etcd-servers의 이름과 loopback 주소, " +
			"처음 시작할 때만 쓰이는 --initial-cluster는 확인하지 않습니다.",
	},
	Link:     "https://etcd.io/docs/v3.6/op-guide/runtime-configuration/",
	Severity: finding.Warning,
	Needs:    optionalNodes,
	Machine:  machineKeys,
	Detect:   detectEtcdMemberListMismatch,
})

func detectEtcdMemberListMismatch(p *rule.Pass) {
	for _, c := range clusters(p) {
		if c.id == "" {
			continue // The list is only what the members were started with.
		}
		c.reportUnstarted(p)
		for _, on := range c.from {
			strange := c.strangers(strings.Split(on.Value("etcd/local/api-server-uses"), ","))
			if len(strange) == 0 {
				continue
			}
			p.Report(finding.Finding{
				Subject: on.Subject("File", "/etc/kubernetes/manifests/kube-apiserver.yaml"), Mechanism: v1alpha1.MechanismMisconfigured, Field: "--etcd-servers",
				Title:    finding.Format("kube-apiserver on %s uses %s, which no member of etcd is", "%s의 kube-apiserver가 etcd member가 아닌 %s에 연결하도록 설정되어 있습니다", finding.Verbatim(on.Node()), finding.List(strange)),
				Why:      finding.Format("etcd's members are %s.", "etcd member는 %s입니다.", finding.List(names(c.members))),
				Evidence: []finding.Evidence{on.Evidence("etcd/local/api-server-uses")},
				Remedies: finding.Remedies{Now: []finding.Remedy{{
					Text:    finding.Text{EN: "put the members' present client URLs into --etcd-servers", KO: "--etcd-servers를 현재 member의 client URL로 바꿉니다"},
					Command: etcdctl + "member list; grep -n etcd-servers /etc/kubernetes/manifests/kube-apiserver.yaml", Machine: on.Node(),
				}}},
			})
		}
	}
}

// reportUnstarted tells of members without a name: they get one when they first start.
func (c *etcdCluster) reportUnstarted(p *rule.Pass) {
	for _, m := range c.members {
		if m.name != "" {
			continue
		}
		on := c.from[0]
		f := finding.Finding{
			Subject: m.subject(), Mechanism: v1alpha1.MechanismMissing,
			Title: finding.Textf("etcd member %s was added and never started", "etcd member %s: 추가된 뒤 시작되지 않았습니다", m.id),
			Why: finding.Textf("It is in the list with the peer address %s and counts for the majority: %d of %d members must run.", "목록에 peer 주소 %s로 들어 있어 과반수 계산에 포함됩니다: member %[3]d개 중 %[2]d개가 실행되어야 합니다.",
				m.host, quorum(len(c.voters())), len(c.voters())),
			Evidence: []finding.Evidence{on.Evidence(c.key(on, m, "peer-urls"))},
			Remedies: finding.Remedies{Now: []finding.Remedy{
				{Text: finding.Text{EN: "start it, with --initial-cluster-state=existing", KO: "--initial-cluster-state=existing으로 시작합니다"}},
				{Text: finding.Text{EN: "or take it out", KO: "또는 제거합니다"}, Command: etcdctl + "member remove " + finding.ShellWord(m.id), Machine: on.Node()},
			}},
		}
		p.Report(f)
	}
}

// strangers are the URLs whose address no member has.
func (c *etcdCluster) strangers(urls []string) []string {
	var known []string
	for _, on := range c.from {
		for _, m := range c.members {
			for _, what := range []string{"client-urls", "peer-urls"} {
				for raw := range strings.SplitSeq(on.Value(c.key(on, m, what)), ",") {
					u, err := url.Parse(raw)
					if err != nil || u.Hostname() == "" {
						continue
					}
					if _, err := netip.ParseAddr(u.Hostname()); err != nil {
						return nil // A member that goes by a name has addresses that nobody tells.
					}
					known = append(known, u.Hostname())
				}
			}
		}
	}
	var out []string
	for _, raw := range urls {
		u, err := url.Parse(raw)
		if err != nil {
			continue
		}
		at, err := netip.ParseAddr(u.Hostname())
		if err != nil || at.IsLoopback() || slices.Contains(known, u.Hostname()) {
			continue
		}
		out = append(out, raw)
	}
	return out
}
