package checks

import (
	khv1 "github.com/maek-dev/maek/api/kuberhealthy/v1"
	khv2 "github.com/maek-dev/maek/api/kuberhealthy/v2"
	"github.com/maek-dev/maek/internal/finding"
	"github.com/maek-dev/maek/internal/rule"
	"github.com/maek-dev/maek/internal/snapshot"
)

// unread tells of checks that are there and could not be read. Of a cluster without such kinds, or of a
// recording from before they were read, nothing is said.
func unread(p *rule.Pass) {
	for _, k := range []snapshot.Kind{
		snapshot.KindOf[*khv1.KuberhealthyCheck](), snapshot.KindOf[*khv1.KuberhealthyJob](), snapshot.KindOf[*khv1.KuberhealthyState](), snapshot.KindOf[*khv2.HealthCheck](),
	} {
		switch c := p.Coverage(k); c.State {
		case snapshot.Forbidden:
			p.Skip(finding.Textf("%s: forbidden, needs list on %[1]s", "%s: 권한이 없습니다. %[1]s에 대한 list 권한이 필요합니다", k.GroupResource()))
		case snapshot.Failed:
			p.Skip(finding.Textf("%s: could not be read: %s", "%s: 읽지 못했습니다: %s", k.GroupResource(), c.Reason))
		case snapshot.Partial:
			p.Skip(finding.Textf("%s: read in part only: %s", "%s: 일부만 읽었습니다: %s", k.GroupResource(), c.Reason))
		case snapshot.Complete, snapshot.NotServed, snapshot.NotCollected:
		}
	}
}
