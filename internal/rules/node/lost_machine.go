package node

import (
	"slices"
	"time"

	"github.com/maek-dev/maek/internal/finding"
	"github.com/maek-dev/maek/internal/rule"
	"github.com/maek-dev/maek/internal/snapshot"
)

// lossKeys are what is asked of the machine under a node that does not report.
func lossKeys() []snapshot.EvidenceKey {
	return append(append(unitKeys(), pathKeys()...), "kubelet/process/running", "kubelet/healthz/outcome", "kubelet/client-certificate/not-after")
}

// stale is how old a machine's report may be to speak of the present.
const stale = 5 * time.Minute

// reported returns the report of a lost node's machine, where one was made after the kubelet's last sign of life.
func reported(p *rule.Pass, l loss) (snapshot.Machine, bool) {
	m, ok := p.Machine(l.node.Name)
	return m, ok && m.ObservedAt().After(l.since) && p.Now().Sub(m.ObservedAt()) < stale
}

// toldThere tells whether the machine itself says what is wrong with its kubelet: then it is not what
// the node shares with others.
func toldThere(p *rule.Pass, l loss) bool {
	m, ok := reported(p, l)
	if !ok {
		return false
	}
	if u, ok := unitOn(m, kubeletUnit); ok && (u.looping() || u.stopped()) {
		return true
	}
	until := m.Time("kubelet/client-certificate/not-after")
	return m.Value("kubelet/process/running") == "false" || !until.IsZero() && m.ObservedAt().After(until) ||
		slices.Contains([]string{"timed-out", "failed", "refused"}, m.Value("kubelet/healthz/outcome"))
}

// asSeenThere says what the machine under a lost node tells of itself.
func asSeenThere(m snapshot.Machine) finding.Text {
	says := finding.Text{EN: "The machine is up: its agent reports.", KO: "머신은 켜져 있으며 agent가 보고하고 있습니다."}
	u, ok := unitOn(m, kubeletUnit)
	switch {
	case ok && (u.looping() || u.stopped()):
		return finding.Join(" ", says, u.how())
	case m.Value("kubelet/healthz/outcome") == "answered" && m.Value("kubelet/api-server/outcome") == "answered":
		return finding.Join(" ", says, finding.Text{
			EN: "Its kubelet is healthy there and the API server's address takes connections from it.",
			KO: "머신 안에서 kubelet은 정상이고 API server 주소로도 연결됩니다.",
		})
	case m.Value("kubelet/healthz/outcome") == "answered":
		return finding.Join(" ", says, finding.Text{EN: "Its kubelet is healthy there.", KO: "머신 안에서 kubelet은 정상입니다."})
	}
	return says
}
