package etcd

import (
	"slices"
	"strings"

	"k8s.io/apimachinery/pkg/util/version"

	"github.com/maek-dev/maek/api/maek/v1alpha1"
	"github.com/maek-dev/maek/internal/finding"
	"github.com/maek-dev/maek/internal/rule"
)

var _ = Catalog.Add(rule.Rule{
	Code:  "EtcdVersionSkew",
	Title: finding.Text{EN: "etcd's members run versions too far apart", KO: "etcd member의 버전 차이가 큽니다"},
	Doc: finding.Text{
		EN: "Members run versions of etcd that are more than one minor version apart, which etcd does not support: a member refuses to join, or one that restarts does. Members one minor version apart are an upgrade under way and only told; " +
			"patch versions may differ.",
		KO: "member의 etcd 버전이 minor 버전 하나보다 더 차이 납니다. 지원되지 않는 구성이며 member가 참여하지 못하거나 재시작 후 거부될 수 있습니다. minor 버전 하나 차이는 업그레이드 중으로 보고 정보로만 알리며, patch 버전은 달라도 됩니다.",
	},
	Link:     "https://etcd.io/docs/v3.6/upgrades/upgrading-etcd/",
	Severity: finding.Warning,
	Needs:    optionalNodes,
	Machine:  machineKeys,
	Detect:   detectEtcdVersionSkew,
})

func detectEtcdVersionSkew(p *rule.Pass) {
	for _, c := range clusters(p) {
		f := finding.Finding{Subject: c.store(), Mechanism: v1alpha1.MechanismMisconfigured}
		var oldest, newest *version.Version
		var said []string
		for _, m := range c.members {
			on, ok := c.best(m)
			if !ok {
				continue
			}
			k := c.key(on, m, "version")
			v, err := version.ParseGeneric(on.Value(k))
			if err != nil {
				continue
			}
			if oldest == nil || v.LessThan(oldest) {
				oldest = v
			}
			if newest == nil || newest.LessThan(v) {
				newest = v
			}
			said = append(said, m.label()+" "+v.String())
			f.Evidence = append(f.Evidence, on.Evidence(k))
		}
		if oldest == nil || oldest.Major() == newest.Major() && oldest.Minor() == newest.Minor() {
			continue
		}
		f.Severity = finding.Info
		if oldest.Major() != newest.Major() || newest.Minor()-oldest.Minor() > 1 {
			f.Severity = finding.Warning
		}
		slices.Sort(said)
		f.Title = finding.Textf("etcd's members run %s to %s", "etcd member의 버전이 %s부터 %s까지 섞여 있습니다", oldest, newest)
		f.Why = finding.Textf("%s. Until all are upgraded the cluster speaks the oldest version.", "%s. 모두 업그레이드될 때까지 클러스터는 가장 낮은 버전으로 동작합니다.", strings.Join(said, ", "))
		f.Remedies.Now = []finding.Remedy{{Text: finding.Text{
			EN: "finish the upgrade, one member after another and one minor version at a time", KO: "member를 하나씩, minor 버전 하나씩 업그레이드를 마칩니다",
		}}}
		p.Report(f)
	}
}
