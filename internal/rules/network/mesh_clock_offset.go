package network

import (
	"cmp"
	"fmt"
	"math"
	"slices"

	"github.com/maek-dev/maek/api/maek/v1alpha1"
	"github.com/maek-dev/maek/internal/finding"
	"github.com/maek-dev/maek/internal/rule"
	"github.com/maek-dev/maek/internal/snapshot"
)

var _ = Catalog.Add(rule.Rule{
	Code:  "MachineClockOffset",
	Title: finding.Text{EN: "a machine's clock differs from the others'", KO: "머신의 시계가 다른 머신과 다릅니다"},
	Doc: finding.Text{
		EN: "Agents compare clocks when they greet each other, as NTP does. A machine that differs from most others by more than half a second is named; from 5 s on it is a warning. Certificates, tokens, Leases and the order of " +
			"events depend on the clock, and etcd complains from 1 s on. It needs no API server. Estimates that may be off by as much as the difference itself, and two machines that differ with nobody to say which is wrong, are told as such or left alone.",
		KO: "agent는 서로 인사할 때 NTP와 같은 방식으로 시계를 비교합니다. 대부분의 머신과 0.5초 넘게 다른 머신을 알리고, 5초부터는 경고합니다. 인증서, token, Lease, 이벤트의 순서는 시계에 의존하며 etcd는 1초부터 경고를 남깁니다. API server는 필요하지 않습니다. " +
			"차이만큼 부정확할 수 있는 추정은 제외하고, 두 머신만 서로 달라 어느 쪽이 틀렸는지 알 수 없으면 그렇게 알립니다.",
	},
	Link:     "https://etcd.io/docs/latest/faq/#what-does-the-etcd-warning-the-clock-difference-against-peer-xyz-is-too-high-mean",
	Severity: finding.Warning,
	Needs:    meshNeeds(),
	Machine:  meshKeys,
	Causes:   []rule.Cause{{Code: "ClockUnsynchronized", Via: rule.OnMachine}},
	Detect:   detectMachineClockOffset,
})

const (
	offsetFrom    = 0.5 // seconds
	offsetWarning = 5.0 // seconds
)

// compared is what one machine says of another's clock, in seconds.
type compared struct {
	by, peer string
	offset   float64
	key      snapshot.EvidenceKey
}

func detectMachineClockOffset(p *rule.Pass) {
	// The matrix leaves out reports whose own clock is far off; here these are of interest.
	var all []compared
	machines := map[string]snapshot.Machine{}
	for _, by := range p.Machines() {
		machines[by.Node()] = by
		for _, peer := range by.Names("mesh/peer/*/clock-offset") {
			key := snapshot.KeyOf("mesh", "peer", peer, "clock-offset")
			offset, ok := by.Float(key)
			within, known := by.Float(snapshot.KeyOf("mesh", "peer", peer, "clock-within"))
			if ok && known && by.True(snapshot.KeyOf("mesh", "peer", peer, "expected")) && (math.Abs(offset) < offsetFrom || math.Abs(offset) > 2*within) {
				all = append(all, compared{by.Node(), peer, offset, key})
			}
		}
	}
	for _, node := range oddClocks(all) {
		p.Report(clockFinding(machines, all, node))
	}
}

// oddClocks are the machines whose clocks differ from most that they are compared with, while most of those
// agree among themselves. Of two that differ with no third, the one that is spoken of is named.
func oddClocks(all []compared) []string {
	type count struct{ far, near int }
	counts := map[string]count{}
	for _, c := range all {
		for _, node := range []string{c.by, c.peer} {
			n := counts[node]
			if math.Abs(c.offset) >= offsetFrom {
				n.far++
			} else {
				n.near++
			}
			counts[node] = n
		}
	}
	var out []string
	for node, n := range counts {
		if n.far > n.near {
			out = append(out, node)
		}
	}
	slices.Sort(out)
	// With two or three machines the others of an odd one can seem odd too: only those with the most are.
	most := 0
	for _, node := range out {
		most = max(most, counts[node].far-counts[node].near)
	}
	out = slices.DeleteFunc(out, func(node string) bool { return counts[node].far-counts[node].near < most })
	if len(out) == 2 && len(all) <= 2 {
		out = []string{all[0].peer}
	}
	return out
}

func clockFinding(machines map[string]snapshot.Machine, all []compared, node string) finding.Finding {
	// ahead of the others, as each says.
	type said struct {
		by    string
		ahead float64
		c     compared
	}
	var sayings []said
	for _, c := range all {
		switch {
		case math.Abs(c.offset) < offsetFrom:
		case c.peer == node:
			sayings = append(sayings, said{c.by, c.offset, c})
		case c.by == node:
			sayings = append(sayings, said{c.peer, -c.offset, c})
		}
	}
	slices.SortStableFunc(sayings, func(a, b said) int { return cmp.Compare(a.ahead, b.ahead) })
	ahead := sayings[len(sayings)/2].ahead
	var with []string
	f := finding.Finding{
		Subject:   machineSubject(node),
		Mechanism: v1alpha1.MechanismMisconfigured,
		Severity:  finding.Info,
		Remedies: finding.Remedies{
			Now: []finding.Remedy{
				{
					Text:    finding.Text{EN: "is the clock synchronised, and with what", KO: "시계가 동기화되고 있는지, 기준이 무엇인지 확인합니다"},
					Command: "timedatectl; chronyc tracking 2>/dev/null || timedatectl timesync-status", Machine: node,
				},
				{Text: finding.Text{EN: "start synchronising", KO: "시계 동기화를 시작합니다"}, Command: "timedatectl set-ntp true", Machine: node},
			},
			Later: []finding.Remedy{{Text: finding.Text{
				EN: "synchronise all machines with the same servers, and watch the offset",
				KO: "모든 머신을 같은 시간 서버에 동기화하고 오차를 감시합니다",
			}}},
		},
	}
	if math.Abs(ahead) >= offsetWarning {
		f.Severity = finding.Warning
	}
	for _, s := range sayings {
		with = append(with, s.by)
		if len(f.Evidence) < 3 {
			f.Evidence = append(f.Evidence, machines[s.c.by].Evidence(s.c.key))
		}
	}
	size := fmt.Sprintf("%.1f", math.Abs(ahead))
	way := finding.Textf("%s s ahead of", "%s초 빠릅니다", size)
	if ahead < 0 {
		way = finding.Textf("%s s behind", "%s초 느립니다", size)
	}
	f.Title = finding.Format("machine %s: its clock is %s the others'", "머신 %s: 시계가 다른 머신보다 %s", finding.Verbatim(node), way)
	f.Why = finding.Format("Measured between agents as NTP does, the clock of %s differs from those of %s, by %s s in the middle.",
		"agent 사이에서 NTP와 같은 방식으로 측정하면 %s의 시계는 %s의 시계와 다릅니다. 중앙값은 %s초입니다.", finding.Verbatim(node), finding.List(with), finding.Verbatim(size))
	if len(slices.Compact(slices.Sorted(slices.Values(with)))) == 1 {
		f.Confidence = v1alpha1.ConfidenceMedium
		f.Why = finding.Join(" ", f.Why, finding.Text{
			EN: "Only two clocks could be compared, so it may as well be the other one that is wrong.",
			KO: "두 시계만 비교할 수 있었으므로 다른 쪽이 틀렸을 수도 있습니다.",
		})
	}
	return f
}
