package probe

import (
	"encoding/json"
	"fmt"
	"io"
	"slices"
	"strings"

	"github.com/maek-dev/maek/internal/finding"
	"github.com/maek-dev/maek/internal/probe"
	"github.com/maek-dev/maek/internal/report"
)

// words around the document's texts.
type words struct {
	why, remedy, nothingFound, tooLittle                   string
	means, seen, now, consequence, notAsked, gate, missing string
	further, patch, same, settling, simulated, noPods      string
	container, sidecar, ready, notReady, on, more          string
	kind                                                   map[probe.Kind]string
	vantages                                               map[vantage]string
	fromNode                                               string
}

var english = words{
	why: "why", remedy: "do now", nothingFound: "Nothing was found in the probes of %s.", tooLittle: "Nothing was found in the probes of %s, but too little could be read to say that there is nothing.",
	means: "means", seen: "seen", now: "now", consequence: "if it fails", notAsked: "not asked: %s", gate: "readiness gate %s: %s", missing: "could not read", further: "is the spec to blame?", patch: "the patches:", same: "the same as above",
	settling:  "it has only just begun, and may pass by itself",
	simulated: "simulated", noPods: "Nothing is left of %s.",
	container: "container %s", sidecar: "sidecar %s", ready: "ready", notReady: "not ready", on: "on %s", more: "%d more of the pods of %s, none worse, are not shown.",
	kind: map[probe.Kind]string{probe.Startup: "startup", probe.Readiness: "readiness", probe.Liveness: "liveness"},
	vantages: map[vantage]string{
		byNode:    "node asks by the agent there, from where the kubelet asks: what it is answered is what the kubelet is answered.",
		byForward: "port-forward asks through the API server, from within the pod and at its localhost: it sees neither a NetworkPolicy nor the node's way to the pod, and the way adds to the time.",
		byExec:    "exec asks in the container, through the API server: that adds to the time, and a command that hangs is not ended.",
	},
	fromNode: "Not asked from the node, where the kubelet asks from: %s.",
}

var korean = words{
	why: "원인", remedy: "조치", nothingFound: "%s의 probe에서 찾은 문제가 없습니다.", tooLittle: "%s의 probe에서 찾은 문제는 없으나, 문제가 없다고 말하기에는 읽은 것이 부족합니다.",
	means: "의미", seen: "기록", now: "지금", consequence: "실패하면", notAsked: "확인하지 않음: %s", gate: "readiness gate %s: %s", missing: "읽지 못함", further: "설정 점검:", patch: "patch:", same: "위와 같습니다",
	settling:  "방금 시작된 일이므로 저절로 해소될 수 있습니다",
	simulated: "시뮬레이션", noPods: "%s: 남아 있는 Pod가 없습니다.",
	container: "컨테이너 %s", sidecar: "사이드카 %s", ready: "Ready", notReady: "Ready 아님", on: "노드 %s", more: "%[2]s의 Pod %[1]d개는 이보다 나쁘지 않아 생략했습니다.",
	kind: map[probe.Kind]string{probe.Startup: "startup", probe.Readiness: "readiness", probe.Liveness: "liveness"},
	vantages: map[vantage]string{
		byNode:    "node는 kubelet이 요청하는 노드에서 agent가 요청합니다. kubelet이 받는 응답과 같습니다.",
		byForward: "port-forward는 API 서버를 거쳐 Pod 안의 localhost에 요청합니다. NetworkPolicy나 노드에서 Pod로 가는 길은 확인하지 못하며, 거치는 시간이 더해집니다.",
		byExec:    "exec는 API 서버를 거쳐 컨테이너 안에서 실행합니다. 거치는 시간이 더해지며, 멈춘 명령은 종료되지 않습니다.",
	},
	fromNode: "kubelet이 요청하는 노드에서는 확인하지 않았습니다: %s.",
}

func wordsOf(l finding.Language) words {
	if l == finding.Korean {
		return korean
	}
	return english
}

// marks before a probe, by how it stands.
var marks = map[verdict]struct {
	mark string
	tone report.Tone
}{
	passing: {"✓", report.Good}, unknown: {"?", report.Odd}, failing: {"✗", report.Bad},
}

// labelWidth is the width of the column of labels. Korean ones are two columns a letter.
const labelWidth = 13

// page lays the document out for people.
func (doc document) page(o report.Options) *report.Page {
	w := wordsOf(o.Language)
	p := report.NewPage(o)
	told := &told{from: map[vantage]bool{}, means: map[string]bool{}}
	for _, pod := range doc.Pods {
		p.Blank()
		w.pod(p, pod)
		for _, c := range pod.Containers {
			w.containerBlock(p, c, told)
		}
	}
	if len(doc.Pods) == 0 {
		p.Text(0, fmt.Sprintf(w.noPods, doc.Target), report.Strong)
	}
	if doc.MorePods > 0 {
		p.Blank()
		p.Text(0, fmt.Sprintf(w.more, doc.MorePods, doc.Target), report.Faint)
	}
	if len(doc.Missing)+len(told.from) > 0 {
		p.Blank()
	}
	for _, text := range doc.Missing {
		p.Labelled(0, 0, w.missing, report.Odd, text, report.Plain)
	}
	for _, from := range []vantage{byNode, byForward, byExec} {
		if told.from[from] {
			p.Text(0, w.vantages[from], report.Faint)
		}
	}
	for _, reason := range told.notFromNode {
		p.Text(0, fmt.Sprintf(w.fromNode, reason), report.Faint)
	}
	if doc.Verdict == failing {
		p.Blank()
		p.Labelled(0, 0, w.further, report.Faint, fmt.Sprintf("%s probe %s --audit", o.Program, doc.argument()), report.Plain)
		if doc.loops {
			p.Labelled(0, 0, w.patch, report.Faint, fmt.Sprintf("%s probe %s --audit -o patch", o.Program, doc.argument()), report.Plain)
		}
	}
	return p
}

// told is what the page has said already.
type told struct {
	// from are the vantages of answers, which are explained at the end.
	from map[vantage]bool
	// notFromNode are why probes were not asked from their nodes.
	notFromNode []string
	// means are the meanings of specs: all pods of a workload have the same.
	means map[string]bool
}

func (w words) pod(p *report.Page, pod podReport) {
	parts := []string{"Pod " + pod.Namespace + "/" + pod.Name}
	if pod.Node != "" {
		parts = append(parts, fmt.Sprintf(w.on, pod.Node))
	}
	if pod.IP != "" {
		parts = append(parts, pod.IP)
	}
	state := w.notReady
	if pod.Ready {
		state = w.ready
	}
	if pod.Phase != "" {
		state = pod.Phase + ", " + state
	}
	p.Text(0, strings.Join(append(parts, state), " · "), report.Strong)
	for _, note := range pod.Notes {
		p.Labelled(2, 2, "!", report.Odd, note, report.Plain)
	}
	for _, g := range pod.Gates {
		status := g.Status
		if status == missingGate {
			status = g.Message
		} else if g.Message != "" {
			status += ": " + g.Message
		}
		p.Text(2, fmt.Sprintf(w.gate, g.Condition, status), report.Plain)
	}
}

func (w words) containerBlock(p *report.Page, c containerReport, told *told) {
	title := w.container
	if c.Sidecar {
		title = w.sidecar
	}
	p.Blank()
	name := fmt.Sprintf(title, c.Name)
	p.Labelled(2, 0, name, report.Strong, c.State, report.Plain)
	if c.None != "" {
		p.Text(4, c.None, report.Plain)
	}
	for _, one := range c.Probes {
		m := marks[one.Verdict]
		p.Labelled(2, 2, m.mark, m.tone, w.kind[one.Kind]+": "+one.Asks, report.Strong)
		means := one.Means
		if of := c.Name + "/" + string(one.Kind) + "/" + strings.Join(means, "\n"); told.means[of] {
			means = []string{w.same}
		} else {
			told.means[of] = true
		}
		w.lines(p, w.means, means)
		w.lines(p, w.seen, one.Seen)
		var now []string
		for _, a := range one.Now {
			told.from[a.From] = true
			now = append(now, a.Text)
		}
		if one.Differs != "" {
			now = append(now, one.Differs)
		}
		if one.NotFromNode != "" && !slices.Contains(told.notFromNode, one.NotFromNode) {
			told.notFromNode = append(told.notFromNode, one.NotFromNode)
		}
		if one.NotAsked != "" {
			now = append(now, fmt.Sprintf(w.notAsked, one.NotAsked))
		}
		w.lines(p, w.now, now)
		w.lines(p, w.consequence, one.Consequence)
	}
}

func (w words) lines(p *report.Page, label string, texts []string) {
	for i, text := range texts {
		if i > 0 {
			label = ""
		}
		p.Labelled(4, labelWidth, label, report.Faint, text, report.Plain)
	}
}

// argument names the target as kubectl takes it.
func (doc document) argument() string {
	kind, name, _ := strings.Cut(doc.Target, " ")
	namespace, name, _ := strings.Cut(name, "/")
	return strings.ToLower(kind) + "/" + name + " -n " + namespace
}

// printJSON writes the document for programs.
func (doc document) printJSON(w io.Writer) error {
	encoder := json.NewEncoder(w)
	encoder.SetEscapeHTML(false)
	encoder.SetIndent("", "  ")
	return encoder.Encode(doc)
}
