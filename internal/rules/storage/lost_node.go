package storage

import (
	"time"

	corev1 "k8s.io/api/core/v1"

	"github.com/maek-dev/maek/internal/finding"
	"github.com/maek-dev/maek/internal/rule"
	"github.com/maek-dev/maek/internal/snapshot"
)

// lostNode is a node that does not answer, or does not exist any more.
type lostNode struct {
	gone     bool
	since    time.Time
	says     finding.Text
	evidence []finding.Evidence
}

// lost tells whether a node is lost: its kubelet's Lease has run out, the node controller has given it
// up, or it was deleted.
func lost(p *rule.Pass, name string) (lostNode, bool) {
	n, ok := snapshot.Get[*corev1.Node](p.Snapshot, "", name)
	if !ok {
		return lostNode{
			gone: true, says: finding.Textf("node %s does not exist any more", "노드 %s는 더 이상 존재하지 않습니다", name),
			evidence: []finding.Evidence{{Source: "Nodes", Path: ".metadata.name", Value: "none named " + name}},
		}, p.Coverage(snapshot.KindOf[*corev1.Node]()).Known()
	}
	w := p.Writer(snapshot.KubeletOn(name))
	if w.State == snapshot.Dead {
		return lostNode{
			since: w.LastSeen, evidence: w.Evidence,
			says: finding.Textf("node %s is silent since %s", "노드 %s는 %s부터 응답하지 않습니다", name, finding.Clock(p.Now(), w.LastSeen)),
		}, true
	}
	c := snapshot.NodeCondition(n, corev1.NodeReady)
	if w.State == snapshot.Alive || c == nil || c.Status != corev1.ConditionUnknown {
		return lostNode{}, false
	}
	return lostNode{
		since: c.LastTransitionTime.Time,
		says:  finding.Textf("node %s is given up for lost since %s (%s)", "노드 %s는 %s부터 응답이 없는 것으로 판정되었습니다(%s)", name, finding.Clock(p.Now(), c.LastTransitionTime.Time), c.Reason),
		evidence: []finding.Evidence{{
			Source: "Node " + name, Path: ".status.conditions[Ready]", Value: string(c.Status) + " " + c.Reason, At: finding.Timestamp(c.LastTransitionTime.Time),
		}},
	}, true
}
