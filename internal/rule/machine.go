package rule

import (
	"maps"
	"slices"

	"github.com/maek-dev/maek/internal/finding"
	"github.com/maek-dev/maek/internal/snapshot"
)

// MachineGaps says what could not be read on machines, once for each reason, and which machines gave
// no report at all.
func MachineGaps(s *snapshot.Snapshot) []finding.Skip {
	gaps := map[snapshot.MachineGap][]string{}
	for _, r := range s.MachineReports() {
		for _, g := range r.Gaps {
			gaps[g] = append(gaps[g], r.Node)
		}
	}
	silent := map[string][]string{}
	for node, reason := range s.Unreported() {
		silent[reason] = append(silent[reason], node)
	}
	var out []finding.Skip
	for g, nodes := range gaps {
		out = append(out, finding.Skip{Reason: finding.Format("machine %s: %s: %s", "머신 %s: %s: %s", finding.List(nodes), finding.Verbatim(g.Monitor), finding.Verbatim(finding.Quote(g.Reason)))})
	}
	for reason, nodes := range silent {
		out = append(out, finding.Skip{Reason: finding.Format("machine %s: no report of an agent: %s", "머신 %s: agent 보고서가 없습니다: %s", finding.List(nodes), finding.Verbatim(finding.Quote(reason)))})
	}
	return out
}

// Keys returns the patterns of all machine evidence that any of the rules reads, once each, in order.
func Keys(rules []Rule) []snapshot.EvidenceKey {
	patterns := map[snapshot.EvidenceKey]bool{}
	for _, r := range rules {
		for _, k := range r.Machine {
			patterns[k] = true
		}
	}
	return slices.Sorted(maps.Keys(patterns))
}

// OnMachines returns the rules that stand on machine evidence alone: what they need of the API server
// is optional.
func OnMachines(rules []Rule) []Rule {
	return slices.DeleteFunc(slices.Clone(rules), func(r Rule) bool {
		return len(r.Machine) == 0 || slices.ContainsFunc(r.Needs, func(n Need) bool { return n.Demand != DemandNone })
	})
}
