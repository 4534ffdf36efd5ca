package network

import (
	"strconv"
	"strings"

	"github.com/maek-dev/maek/internal/finding"
	"github.com/maek-dev/maek/internal/rule"
	"github.com/maek-dev/maek/internal/snapshot"
)

func itoa(n int64) string { return strconv.FormatInt(n, 10) }

// deviceKey is the key of a value of a device of pods.
func deviceKey(device, word string) snapshot.EvidenceKey {
	return snapshot.KeyOf("overlay", "device", device, word)
}

// sendingWay is the direction from one node to another.
func sendingWay(from, to string) finding.Subject {
	return finding.Subject{Kind: "Path", Name: from + " -> " + to, Machine: from}
}

// waysOut are the directions from a node to others.
func waysOut(node string, peers []holder) []finding.Subject {
	var out []finding.Subject
	for _, h := range peers {
		out = append(out, sendingWay(node, h.name()))
	}
	return out
}

// waysIn are the directions from others to a node.
func waysIn(node string, peers []holder) []finding.Subject {
	var out []finding.Subject
	for _, h := range peers {
		if h.node != "" {
			out = append(out, sendingWay(h.node, node))
		}
	}
	return out
}

// restartFlannel starts flannel's daemon on a machine anew, which writes the device and all entries again.
func restartFlannel(m snapshot.Machine) finding.Remedy {
	text := finding.Text{EN: "start flanneld anew: it makes the device and writes routes, neighbours and forwarding entries again", KO: "flanneld를 다시 시작합니다. 장치를 만들고 route, neighbour, forwarding 항목을 다시 기록합니다"}
	if m.Value("flannel/unit-file") != "" {
		return finding.Remedy{Text: text, Command: "systemctl restart flanneld", Machine: m.Node()}
	}
	return finding.Remedy{Text: text, Command: "kubectl delete pod -A -l app=flannel --field-selector spec.nodeName=" + m.Node()}
}

// watchEntries is what keeps entries from being lost unseen.
var watchEntries = finding.Remedy{Text: finding.Text{
	EN: "find out who changes flannel's device or entries (network managers, scripts, hand work): flanneld writes them when a node joins or changes, and does not look again",
	KO: "flannel 장치나 항목을 누가 바꾸는지 확인합니다(네트워크 관리 도구, 스크립트, 수동 작업). flanneld는 노드가 참여하거나 바뀔 때만 기록하고 다시 확인하지 않습니다",
}}

// leaveAlone tells network managers to let flannel's devices be.
var leaveAlone = finding.Remedy{Text: finding.Text{
	EN: "tell the machine's network manager to leave flannel's devices alone (NetworkManager: unmanaged-devices=interface-name:flannel*;interface-name:cni0;interface-name:veth*; systemd-networkd: a .link file with MACAddressPolicy=none)",
	KO: "머신의 네트워크 관리 도구가 flannel 장치를 건드리지 않게 설정합니다(NetworkManager: unmanaged-devices=interface-name:flannel*;interface-name:cni0;interface-name:veth*, systemd-networkd: MACAddressPolicy=none을 지정한 .link 파일)",
}}

// daemonState says whether flanneld runs, as evidence, where that is known.
func daemonState(m snapshot.Machine) (text finding.Text, evidence []finding.Evidence) {
	if m.Value("flannel/running") != "false" {
		return finding.Text{}, nil
	}
	return finding.Text{EN: "flanneld does not run there.", KO: "이 노드에서 flanneld가 실행되고 있지 않습니다."}, []finding.Evidence{m.Evidence("flannel/running")}
}

// leads tells whether one of a prefix's routes has all of some words.
func leads(route string, words ...string) bool {
	for way := range strings.SplitSeq(route, ", ") {
		all := true
		for _, w := range words {
			all = all && hasWords(way, w)
		}
		if all {
			return true
		}
	}
	return false
}

// hasWords tells whether words stand in a text as such, and not as part of longer ones.
func hasWords(text, words string) bool {
	at := strings.Index(text, words)
	if at < 0 {
		return false
	}
	end := at + len(words)
	return (at == 0 || text[at-1] == ' ') && (end == len(text) || text[end] == ' ') || hasWords(text[at+1:], words)
}

// flannelStopped ties what flanneld would have written, or would write when it starts, to its unit.
var flannelStopped = rule.Cause{Code: "UnitFailed", Via: rule.OnMachine, Holds: func(_ *snapshot.Snapshot, _, cause finding.Finding) bool {
	return strings.HasPrefix(cause.Subject.Name, "flannel")
}}
