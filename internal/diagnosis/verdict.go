package diagnosis

import (
	corev1 "k8s.io/api/core/v1"

	"github.com/maek-dev/maek/api/maek/v1alpha1"
	"github.com/maek-dev/maek/internal/finding"
	"github.com/maek-dev/maek/internal/rule"
	"github.com/maek-dev/maek/internal/snapshot"
)

// verdict says Critical or Degraded by the worst incident. With none it says Healthy only if all
// that a critical rule needs was looked at; silence about the rest is Unknown.
func verdict(d Diagnosis, rules []rule.Rule) finding.Verdict {
	for _, incident := range d.Incidents {
		if incident.Severity == finding.Critical {
			return v1alpha1.VerdictCritical
		}
	}
	if len(d.Incidents) > 0 {
		return v1alpha1.VerdictDegraded
	}
	if !SeenEnough(d.Snapshot, rules) || len(d.Failures) > 0 {
		return v1alpha1.VerdictUnknown
	}
	return v1alpha1.VerdictHealthy
}

// SeenEnough tells whether a snapshot holds what it takes to call a cluster healthy: API readiness,
// all Nodes, all Pods, and every kind that a rule needs which can say critical. Of a machine that was
// looked at by itself it takes all that its monitors read.
func SeenEnough(s *snapshot.Snapshot, rules []rule.Rule) bool {
	if node := s.Source().Machine; node != "" {
		return seenMachine(s, node)
	}
	if !s.API().Ready() {
		return false
	}
	needed := []snapshot.Kind{snapshot.KindOf[*corev1.Node](), snapshot.KindOf[*corev1.Pod]()}
	for _, r := range rules {
		if r.Worst() != finding.Critical {
			continue
		}
		for _, n := range r.Needs {
			if n.Demand != rule.DemandNone {
				needed = append(needed, n.Kind)
			}
		}
	}
	for _, k := range needed {
		if !s.Coverage(k).Known() {
			return false
		}
	}
	return true
}

// seenMachine tells whether the monitors of a machine looked, and none was left in the dark.
func seenMachine(s *snapshot.Snapshot, node string) bool {
	for _, r := range s.MachineReports() {
		if r.Node == node {
			return len(r.Reads) > 0 && len(r.Gaps) == 0
		}
	}
	return false
}
