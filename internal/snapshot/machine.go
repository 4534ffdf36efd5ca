package snapshot

import (
	"cmp"
	"maps"
	"net/url"
	"slices"
	"strings"
	"sync"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// MachineReportVersion is the apiVersion of the agent reports that this build writes and reads.
const MachineReportVersion = "maek.dev/agent/v1"

// EvidenceKey names one value that a monitor reads on a machine: words, and the thing's own name
// where there is one, as segments joined by slashes: "unit/kubelet.service/active-state". Names may
// hold slashes of their own, so they are escaped; KeyOf joins, and Segments takes apart.
type EvidenceKey string

// KeyOf joins segments to a key.
func KeyOf(segments ...string) EvidenceKey {
	var key strings.Builder
	length := len(segments)
	for _, s := range segments {
		length += len(s)
	}
	key.Grow(length)
	for i, s := range segments {
		if i > 0 {
			key.WriteByte('/')
		}
		key.WriteString(url.PathEscape(s))
	}
	return EvidenceKey(key.String())
}

// Segments of a key, as KeyOf took them.
func (k EvidenceKey) Segments() []string {
	segments := strings.Split(string(k), "/")
	for i, s := range segments {
		if name, err := url.PathUnescape(s); err == nil {
			segments[i] = name
		}
	}
	return segments
}

// Fits tells whether a key fits a pattern, in which "*" stands for one segment.
func (k EvidenceKey) Fits(pattern EvidenceKey) bool {
	at := 0
	for i := range len(pattern) {
		if pattern[i] == '*' && (i == 0 || pattern[i-1] == '/') && (i+1 == len(pattern) || pattern[i+1] == '/') {
			if end := strings.IndexByte(string(k[at:]), '/'); end >= 0 {
				at += end
			} else {
				at = len(k)
			}
			continue
		}
		if at == len(k) || k[at] != pattern[i] {
			return false
		}
		at++
	}
	return at == len(k)
}

// MachineEvidence is one value read on a machine.
type MachineEvidence struct {
	// Key of the value.
	Key EvidenceKey `json:"key"`
	// Value as text: numbers in decimal, truth as true or false, times as RFC 3339. What it is and in
	// which unit says the monitor that gives it (docs/machine.md).
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

// MonitorRead tells when a monitor last looked.
type MonitorRead struct {
	// Monitor that looked.
	Monitor string `json:"monitor"`
	// At is when it was done, by the machine's clock.
	At metav1.Time `json:"at"`
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
	// Reads says which monitors looked, and when, sorted by name. A monitor that could read nothing is
	// only among the Gaps.
	Reads []MonitorRead `json:"reads,omitempty"`
	// Evidence that was read, sorted by key.
	Evidence []MachineEvidence `json:"evidence"`
	// Gaps are what could not be read, sorted by monitor.
	Gaps []MachineGap `json:"gaps,omitempty"`
}

// Sort brings a report into the order that its readers rely on. Of two values under one key the
// first stays.
func (r *MachineReport) Sort() {
	slices.SortStableFunc(r.Evidence, func(a, b MachineEvidence) int { return cmp.Compare(a.Key, b.Key) })
	r.Evidence = slices.CompactFunc(r.Evidence, func(a, b MachineEvidence) bool { return a.Key == b.Key })
	slices.SortStableFunc(r.Reads, func(a, b MonitorRead) int { return cmp.Compare(a.Monitor, b.Monitor) })
	slices.SortStableFunc(r.Gaps, func(a, b MachineGap) int {
		return cmp.Or(cmp.Compare(a.Monitor, b.Monitor), cmp.Compare(a.Reason, b.Reason))
	})
}

// Trim leaves only evidence that fits one of the patterns.
func (r *MachineReport) Trim(patterns []EvidenceKey) {
	r.Evidence = slices.DeleteFunc(r.Evidence, func(e MachineEvidence) bool {
		return !slices.ContainsFunc(patterns, e.Key.Fits)
	})
}

// Machine returns what is known of the machine under a node; false where no agent reported.
func (s *Snapshot) Machine(node string) (Machine, bool) {
	r, ok := s.machines[node]
	if !ok {
		return Machine{}, false
	}
	return Machine{report: r, restricted: s.allowed != nil, allowed: s.allowedKeys}, true
}

// Machines that reported, by the name of their nodes.
func (s *Snapshot) Machines() []Machine {
	out := make([]Machine, 0, len(s.machines))
	for _, node := range slices.Sorted(maps.Keys(s.machines)) {
		m, _ := s.Machine(node)
		out = append(out, m)
	}
	return out
}

// MachineReports are the reports of all machines as they were taken in, by the name of their nodes.
// They are shared: do not write to them.
func (s *Snapshot) MachineReports() []MachineReport {
	out := make([]MachineReport, 0, len(s.machines))
	for _, node := range slices.Sorted(maps.Keys(s.machines)) {
		out = append(out, *s.machines[node])
	}
	return out
}

// Unreported are the nodes whose machines were asked for a report and gave none, and why.
func (s *Snapshot) Unreported() map[string]string { return maps.Clone(s.unreported) }

// AddMachine takes in an agent's report. What no monitor gives (internal/monitor bounds what it keeps) is a
// lie or a mishap: names that are longer are left out, and other texts are cut.
func (b *Builder) AddMachine(r MachineReport) {
	r.Evidence = slices.DeleteFunc(slices.Clone(r.Evidence), func(e MachineEvidence) bool { return len(e.Key) > maxKey })
	for i := range r.Evidence {
		r.Evidence[i].Value = cut(r.Evidence[i].Value, maxValue)
	}
	r.Gaps = slices.Clone(r.Gaps)
	for i := range r.Gaps {
		r.Gaps[i].Reason = cut(r.Gaps[i].Reason, maxReason)
	}
	r.Sort()
	b.state.machines[r.Node] = &r
	delete(b.state.unreported, r.Node)
}

// Bounds of what is taken in of a report: of a key in bytes, of a value and of a gap's reason in characters.
const (
	maxKey    = 4 << 10
	maxValue  = 2001
	maxReason = 501
)

// cut leaves the first characters of a text.
func cut(text string, runes int) string {
	if len(text) <= runes {
		return text
	}
	for i := range text {
		if runes == 0 {
			return text[:i]
		}
		runes--
	}
	return text
}

// AddUnreported records that the machine under a node gave no report, and why.
func (b *Builder) AddUnreported(node, reason string) {
	if _, ok := b.state.machines[node]; !ok {
		b.state.unreported[node] = reason
	}
}

// WithMachines returns a snapshot that also holds the reports of machines, and why others gave none. The
// rest is shared.
func (s *Snapshot) WithMachines(reports []MachineReport, unreported map[string]string) *Snapshot {
	next := *s.state
	next.machines, next.unreported = maps.Clone(s.machines), maps.Clone(s.unreported)
	next.derived = &sync.Map{}
	b := &Builder{state: next}
	for _, r := range reports {
		b.AddMachine(r)
	}
	for node, reason := range unreported {
		b.AddUnreported(node, reason)
	}
	return &Snapshot{state: &b.state, allowed: s.allowed, allowedKeys: s.allowedKeys, customAllowed: s.customAllowed}
}
