package probe

import (
	"cmp"

	"github.com/maek-dev/maek/internal/finding"
	"github.com/maek-dev/maek/internal/probe"
)

// addAnswers tells what a probe answers from each vantage, and why not from others.
func (d *describer) addAnswers(out *probeReport, o one, answers []asked) {
	differ := vantagesDiffer(answers)
	var node, elsewhere finding.Text
	for _, a := range answers {
		switch {
		case a.answered():
			out.Now = append(out.Now, d.answer(o, a, differ.IsZero()))
		case a.from == byNode:
			node = a.not
		default:
			elsewhere = a.not
		}
	}
	switch {
	case len(out.Now) > 0:
		out.NotFromNode = node.In(d.language)
		out.Differs = differ.In(d.language)
	case len(answers) > 0:
		out.NotAsked = cmp.Or(elsewhere, node).In(d.language)
	case d.answers != nil:
		out.NotAsked = d.evidence.silent(o).In(d.language)
	}
}

// weightiest is the answer that says most about what the kubelet is answered: that to the node, before those to
// others.
func weightiest(answers []asked) asked {
	var best asked
	for _, a := range answers {
		if a.answered() && (!best.answered() || a.from == byNode) {
			best = a
		}
	}
	return best
}

// vantagesDiffer says what can make a pod answer its node otherwise than a port-forward, which comes from within
// the pod, at its localhost.
func vantagesDiffer(answers []asked) finding.Text {
	var node, inside asked
	for _, a := range answers {
		switch {
		case a.answered() && a.from == byNode:
			node = a
		case a.answered():
			inside = a
		}
	}
	if !node.answered() || !inside.answered() || node.outcome.Kubelet.Passed() == inside.outcome.Kubelet.Passed() {
		return finding.Text{}
	}
	if node.outcome.Kubelet.Passed() {
		return finding.Textf("it answers its node and not a port-forward: what listens on the pod's address does not listen on localhost, or it answers only now and then",
			"노드에는 응답하고 port-forward에는 응답하지 않습니다. Pod의 주소에서만 대기하고 localhost에서는 대기하지 않거나, 응답이 일정하지 않습니다")
	}
	switch node.outcome.Cause {
	case probe.ConnectionRefused:
		return finding.Textf("it answers within the pod and refuses its node, where the kubelet asks from: it listens on 127.0.0.1 alone",
			"Pod 안에서는 응답하지만 kubelet이 요청하는 노드에서는 연결이 거부됩니다. 127.0.0.1에서만 대기하고 있습니다")
	case probe.TimedOut, probe.Unreachable:
		return finding.Textf("it answers within the pod and cannot be reached from its node, where the kubelet asks from: a NetworkPolicy or the node's network is in between",
			"Pod 안에서는 응답하지만 kubelet이 요청하는 노드에서는 연결되지 않습니다. NetworkPolicy나 노드의 네트워크가 막고 있습니다")
	default:
		return finding.Textf("it answers within the pod otherwise than to its node, where the kubelet asks from: what it says depends on who asks, or it answers only now and then",
			"Pod 안에서와 kubelet이 요청하는 노드에서의 응답이 다릅니다. 요청한 쪽에 따라 다르게 응답하거나, 응답이 일정하지 않습니다")
	}
}
