// Package show prints the values of a machine's report as tables, healthy or not: what people look up
// with systemctl status, etcdctl member list, ip route, df -h or last reboot, side by side.
package show

import (
	"cmp"
	"fmt"
	"io"
	"slices"

	"github.com/maek-dev/maek/api/maek/v1alpha1"
	"github.com/maek-dev/maek/internal/finding"
	"github.com/maek-dev/maek/internal/report"
	"github.com/maek-dev/maek/internal/snapshot"
)

// All names all parts together.
const All = "all"

// part is what one name of --show prints.
type part struct {
	name string
	// prefixes are the first segments of the keys that its tables show.
	prefixes []string
	// monitors whose gaps belong below it.
	monitors []string
	tables   []table
}

var parts = []part{units, etcd, overlay, disks, network, storage, reboots, load, pods, certificates, cluster, logs}

// Parts are the names that can be asked for, besides All.
func Parts() []string {
	var out []string
	for _, p := range parts {
		out = append(out, p.name)
	}
	return out
}

// Print writes the tables of one part of a machine's report, or of all. What no table shows is listed by
// its key where all is asked for: nothing that was read is kept back.
func Print(w io.Writer, m snapshot.Machine, r snapshot.MachineReport, name string, o report.Options) error {
	v := &view{m: m, evidence: r.Evidence, o: o, now: r.ObservedAt.Time}
	var tables []report.Table
	shown := map[string]bool{}
	var gaps []v1alpha1.SkippedRule
	for _, p := range parts {
		if name != All && name != p.name {
			continue
		}
		for _, t := range p.tables {
			tables = append(tables, t.fill(v))
		}
		for _, prefix := range p.prefixes {
			shown[prefix] = true
		}
		for _, g := range r.Gaps {
			if name == All || slices.Contains(p.monitors, g.Monitor) {
				gap := v1alpha1.SkippedRule{Reason: g.Monitor + ": " + g.Reason}
				if !slices.Contains(gaps, gap) {
					gaps = append(gaps, gap)
				}
			}
		}
	}
	if name == All {
		tables = append(tables, rest(r, shown, o))
	}
	if len(gaps) == 0 && !slices.ContainsFunc(tables, func(t report.Table) bool { return len(t.Rows) > 0 }) {
		// Nothing printed looks like a failure of the program.
		_, err := fmt.Fprintln(w, report.Clean(finding.Textf("nothing of this is on %s", "%s: 해당하는 항목이 없습니다", cmp.Or(r.Node, r.Machine)).In(o.Language)))
		return err
	}
	return report.Tables(w, tables, gaps, o)
}

// rest lists values that no table shows.
func rest(r snapshot.MachineReport, shown map[string]bool, o report.Options) report.Table {
	t := report.Table{
		Title:    finding.Text{EN: "Other values", KO: "그 밖의 값"}.In(o.Language),
		Headings: []string{headKey.In(o.Language), headValue.In(o.Language)},
	}
	for _, e := range r.Evidence {
		if segments := e.Key.Segments(); !shown[segments[0]] {
			t.Rows = append(t.Rows, []string{joined(segments), e.Value})
		}
	}
	return t
}
