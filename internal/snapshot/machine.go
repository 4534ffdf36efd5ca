package snapshot

import (
	"maps"
	"path"
	"slices"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// MachineReportVersion is the apiVersion of the agent reports that this build writes and reads.
const MachineReportVersion = "maek.dev/agent/v1"

// EvidenceKey names one value that a monitor reads on a machine, as a path of lower-case words
// with the thing's own name where there is one: "unit/kubelet.service/active-state".
type EvidenceKey string

// MachineEvidence is one value read on a machine.
type MachineEvidence struct {
	// Key of the value.
	Key EvidenceKey `json:"key"`
	// Value as text; the monitor's documentation says its unit.
	Value string `json:"value"`
	// At is when it came to be so, where the machine knows.
	At *metav1.Time `json:"at,omitempty"`
}

// MachineGap is something that a monitor could not read.
type MachineGap struct {
	// Monitor that tried.
	Monitor string `json:"monitor"`
	// Reason why it could not.
	Reason string `json:"reason"`
}

// MachineReport is what an agent knows of its machine. Its JSON form is versioned; a reader
// refuses another version with a gap, never with an error.
type MachineReport struct {
	metav1.TypeMeta `json:",inline"`

	// Machine is the host's own name.
	Machine string `json:"machine"`
	// Node is the name of the Node object that the machine stands under.
	Node string `json:"node"`
	// ObservedAt is when the report was made, by the machine's clock.
	ObservedAt metav1.Time `json:"observedAt"`
	// Evidence that was read, sorted by key.
	Evidence []MachineEvidence `json:"evidence"`
	// Gaps are what could not be read.
	Gaps []MachineGap `json:"gaps,omitempty"`
}

// Find returns the value of a key.
func (r MachineReport) Find(key EvidenceKey) (MachineEvidence, bool) {
	for _, e := range r.Evidence {
		if e.Key == key {
			return e, true
		}
	}
	return MachineEvidence{}, false
}

// Machine returns the report of the machine under a node; false where no agent reported. Through a
// restricted view it holds only the evidence whose keys were declared.
func (s *Snapshot) Machine(node string) (MachineReport, bool) {
	r, ok := s.machines[node]
	if ok && s.allowed != nil {
		r.Evidence = slices.DeleteFunc(slices.Clone(r.Evidence), func(e MachineEvidence) bool {
			return !slices.ContainsFunc(s.allowedKeys, e.Key.matches)
		})
	}
	return r, ok
}

// matches tells whether a key fits a pattern, in which "*" stands for one segment's text.
func (k EvidenceKey) matches(pattern EvidenceKey) bool {
	ok, err := path.Match(string(pattern), string(k))
	return err == nil && ok
}

// MachineNodes are the sorted names of the nodes whose machines reported.
func (s *Snapshot) MachineNodes() []string { return slices.Sorted(maps.Keys(s.machines)) }
