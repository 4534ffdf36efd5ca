package report

import (
	"fmt"
	"strings"

	"github.com/maek-dev/maek/api/maek/v1alpha1"
	"github.com/maek-dev/maek/internal/finding"
)

// machineWords are the words of a report that a machine makes of itself.
type machineWords struct {
	kernel       func(release string) string
	asked        func(agents int, seconds float64) string
	alone        func(seconds float64) string
	silent       func(nodes string) string
	down         func(server, message string) string
	unready      func(server, message string) string
	up           func(program string) string
	running      func(pods int) string
	more         func(n int) string
	noSandboxes  string
	consequences string
}

var machineEnglish = machineWords{
	kernel: func(release string) string { return "kernel " + release },
	asked: func(agents int, seconds float64) string {
		return fmt.Sprintf("this machine, %s asked, %s s", count(agents, "agent", "agents"), brief(seconds))
	},
	alone:  func(seconds float64) string { return "this machine alone, " + brief(seconds) + " s" },
	silent: func(nodes string) string { return "no report from " + nodes },
	down: func(server, message string) string {
		return "The API server " + server + " does not answer: " + message
	},
	unready: func(server, message string) string {
		return "The API server " + server + " says that it is not ready: " + message
	},
	up:           func(program string) string { return "The API server answers: " + program + " shows the whole cluster." },
	running:      func(pods int) string { return count(pods, "pod still runs here", "pods still run here") },
	more:         func(n int) string { return fmt.Sprintf("and %s more", grouped(n)) },
	noSandboxes:  "which pods still run here, the container runtime did not tell",
	consequences: "What runs goes on running; nothing can be started, stopped or changed.",
}

var machineKorean = machineWords{
	kernel: func(release string) string { return "kernel " + release },
	asked: func(agents int, seconds float64) string {
		return fmt.Sprintf("이 머신, agent %s개에 질의, %s초", grouped(agents), brief(seconds))
	},
	alone:  func(seconds float64) string { return "이 머신만 확인, " + brief(seconds) + "초" },
	silent: func(nodes string) string { return "보고서를 받지 못한 노드: " + nodes },
	down: func(server, message string) string {
		return finding.Textf("", "API server %s가 응답하지 않습니다: %s", server, message).KO
	},
	unready: func(server, message string) string {
		return finding.Textf("", "API server %s가 준비되지 않았다고 응답합니다: %s", server, message).KO
	},
	up: func(program string) string {
		return "API server가 응답합니다. 클러스터 전체는 " + program + "으로 확인하십시오."
	},
	running: func(pods int) string {
		return fmt.Sprintf("이 머신에서 계속 실행 중인 Pod %s개", grouped(pods))
	},
	more:         func(n int) string { return fmt.Sprintf("그 밖에 %s개", grouped(n)) },
	noSandboxes:  "이 머신에서 계속 실행 중인 Pod는 container runtime이 알려 주지 않아 알 수 없습니다",
	consequences: "실행 중인 것은 계속 실행되지만 아무것도 시작, 중지, 변경할 수 없습니다.",
}

// machineHeader names the machine and who was asked.
func (p *page) machineHeader(d v1alpha1.Diagnosis) {
	m, w := d.Machine, p.words.machine
	left := line{{clean(m.Name), bold}}
	if m.OS != "" {
		left = append(left, span{"  " + clean(m.OS), plain})
	}
	if m.Kernel != "" {
		left = append(left, span{"  " + w.kernel(clean(m.Kernel)), plain})
	}
	right := w.alone(d.Stats.Seconds)
	if m.Agent {
		right = w.asked(m.AgentsAsked, d.Stats.Seconds)
	}
	if !p.ends(left, span{right, dim}) {
		p.put(left...)
		p.put(span{right, dim})
	}
	if len(m.AgentsSilent) > 0 {
		p.paragraph(line{}, w.silent(p.some(m.AgentsSilent, headsShown, "")), yellow)
	}
	p.put()
}

// stillRuns says how the API server answers, and where it does not, what goes on without it.
func (p *page) stillRuns(m *v1alpha1.Machine) {
	if m == nil || m.APIServer == nil {
		return
	}
	w := p.words.machine
	p.put()
	if m.APIServer.Answers && m.APIServer.Message == "" {
		if p.options.Program != "" {
			p.paragraph(line{}, w.up(p.options.Program), dim)
		}
		return
	}
	if m.APIServer.Answers {
		p.paragraph(line{}, w.unready(clean(m.APIServer.Server), m.APIServer.Message), bold)
	} else {
		p.paragraph(line{}, w.down(clean(m.APIServer.Server), m.APIServer.Message), bold)
		p.paragraph(line{{"  ", plain}}, w.consequences, plain)
	}
	if len(m.Running) == 0 {
		p.paragraph(line{{"  ", plain}}, w.noSandboxes, dim)
		return
	}
	pods, widest := 0, 0
	for _, r := range m.Running {
		pods += r.Pods
		widest = max(widest, columns(clean(r.Namespace)))
	}
	p.put(span{"  " + w.running(pods) + ":", plain})
	for _, r := range m.Running {
		names := r.Names
		text := strings.Join(names, ", ")
		if rest := r.Pods - len(names); rest > 0 {
			text += ", " + w.more(rest)
		}
		p.paragraph(line{{"    " + pad(clean(r.Namespace), widest) + "  ", plain}, {fmt.Sprintf("%4d  ", r.Pods), bold}}, text, dim)
	}
}
