package dns

import (
	"fmt"
	"regexp"
	"slices"
	"strings"
	"time"

	corev1 "k8s.io/api/core/v1"

	"github.com/maek-dev/maek/api/maek/v1alpha1"
	"github.com/maek-dev/maek/internal/finding"
	"github.com/maek-dev/maek/internal/rule"
	"github.com/maek-dev/maek/internal/snapshot"
)

var _ = Catalog.Add(rule.Rule{
	Code:  "CorefileInvalid",
	Title: finding.Text{EN: "the configuration of CoreDNS is invalid", KO: "CoreDNS 설정이 잘못되었습니다"},
	Doc: finding.Text{
		EN: "CoreDNS refuses its Corefile: its log names the line or the plugin. Servers that start with it end at once; servers that run keep the " +
			"configuration that they have and end at their next restart, which is a warning though all of them are ready. It is critical once no server is left. " +
			"Where no log can be read, a Corefile that cannot be parsed or names a plugin that CoreDNS does not have is taken for the cause of servers that end after it was " +
			"changed. Left alone: plugins of other builds of CoreDNS while the servers do not complain, and what a later reload has mended.",
		KO: "CoreDNS가 Corefile을 받아들이지 않으며, 로그가 해당 줄이나 플러그인을 알려 줍니다. 새로 시작하는 서버는 바로 종료되고, 실행 중인 서버는 이전 설정으로 동작하다가 다음 재시작 때 종료되므로 모두 Ready여도 warning입니다. " +
			"서버가 하나도 남지 않으면 critical입니다. 로그를 읽을 수 없으면, 구문이 잘못되었거나 CoreDNS에 없는 플러그인을 쓰는 Corefile이 변경된 뒤 서버가 종료된 경우에 원인으로 봅니다. " +
			"서버에 문제가 없는 동안의 다른 빌드용 플러그인, 이후 reload로 해결된 오류는 제외합니다.",
	},
	Link:     "https://kubernetes.io/docs/tasks/administer-cluster/dns-custom-nameservers/",
	Severity: finding.Warning,
	Gravest:  finding.Critical,
	Needs:    coreDNSKinds(),
	For:      time.Minute,
	Detect:   corefileInvalid,
})

var (
	// refusedCorefile is what CoreDNS says last when it does not start: the parser's words
	// (github.com/coredns/caddy/caddyfile, Dispenser.Err), or the name of the plugin that refuses its
	// arguments (coredns/plugin, Error), which stands at the beginning of the line.
	refusedCorefile = regexp.MustCompile(`(\S*Corefile:\d+ - .*)|^(plugin/[a-z0-9_]+: .*)|(.*Error during parsing: .*)`)
	// refusedReload is what one that runs says (coredns/plugin/reload), and reloaded what it says
	// when it has taken a new one (github.com/coredns/caddy, Restart).
	refusedReload = regexp.MustCompile(`Corefile changed but reload failed: (.*)|Corefile parse failed: (.*)|\[ERROR\] Restart failed: (.*)`)
	reloaded      = regexp.MustCompile(`Reloading (complete)`)
)

// latelyChanged is how long ago a Corefile may have been changed for servers that run to be asked
// whether they took it.
const latelyChanged = 24 * time.Hour

func corefileInvalid(p *rule.Pass) {
	c, ok := findCoreDNS(p.Snapshot)
	if !ok {
		return
	}
	text, read := c.corefile(p)
	mistake := finding.Text{}
	if read {
		mistake = mistakeIn(text)
	}
	if pods, log := c.failed(p); len(pods) > 0 {
		line, words := lastLine(log, refusedCorefile)
		f := c.invalid(p, pods)
		switch {
		case line != "" && !loopFound.MatchString(line):
			f.Why = finding.Join("; ", finding.Textf("servers that start with it end: \"%s\"", "이 설정으로 시작한 서버가 종료됩니다: \"%s\"", finding.Quote(words)), mistake, c.changed(p.Now()))
			f.Evidence = append(f.Evidence, c.logEvidence(pods[0], line))
		case log == "" && !mistake.IsZero() && !c.written.After(firstEnded(pods).Add(time.Minute)):
			f.Confidence = v1alpha1.ConfidenceMedium
			f.Why = finding.Join("; ", mistake, finding.Textf("servers end since %s", "%s부터 서버가 종료되고 있습니다", finding.Clock(p.Now(), firstEnded(pods))), c.changed(p.Now()))
		default:
			return
		}
		p.Report(f)
		return
	}
	if c.written.IsZero() || mistake.IsZero() && p.Now().Sub(c.written) > latelyChanged {
		return
	}
	i := slices.IndexFunc(c.pods, func(pod *corev1.Pod) bool {
		return snapshot.PodReady(pod) && pod.CreationTimestamp.Time.Before(c.written)
	})
	if i < 0 {
		return
	}
	log := c.log(p, c.pods[i], false)
	line, words := lastLine(log, refusedReload)
	if done, _ := lastLine(log, reloaded); line == "" || done != "" && strings.LastIndex(log, done) > strings.LastIndex(log, line) {
		return
	}
	f := c.invalid(p, nil)
	f.Title = finding.Textf("%s: the Corefile is invalid, CoreDNS runs on with the one before", "%s: Corefile이 잘못되어 CoreDNS가 이전 설정으로 동작하고 있습니다", finding.Named(f.Subject))
	f.Why = finding.Join("; ", finding.Textf("a server that runs did not take it: \"%s\"", "실행 중인 서버가 받아들이지 않았습니다: \"%s\"", finding.Quote(words)), mistake, c.changed(p.Now()),
		finding.Text{EN: "servers that restart with it will end", KO: "이 설정으로 재시작하는 서버는 종료됩니다"})
	f.Evidence = append(f.Evidence, c.logEvidence(c.pods[i], line))
	p.Report(f)
}

// invalid begins the finding, with the pods that end for it.
func (c coreDNS) invalid(p *rule.Pass, pods []*corev1.Pod) finding.Finding {
	subject := c.subject()
	f := finding.Finding{
		Subject: subject, Mechanism: v1alpha1.MechanismMisconfigured, Field: ".data.Corefile", Since: c.written,
		Explains: c.harmed(p.Snapshot, pods),
		Title:    finding.Textf("%s: the Corefile is invalid, %d of %d servers of cluster DNS end", "%s: Corefile이 잘못되어 클러스터 DNS 서버 %[3]d개 중 %[2]d개가 종료됩니다", finding.Named(subject), len(pods), len(c.pods)),
		Evidence: []finding.Evidence{{Source: finding.Named(subject), Path: ".metadata.managedFields", Value: c.by, At: finding.Timestamp(c.written)}},
		RuledOut: []finding.Statement{{Text: finding.Text{
			EN: "nodes, image and network of the servers: it is their configuration that they refuse",
			KO: "서버의 노드, 이미지, 네트워크: 서버가 거부한 것은 설정입니다",
		}}},
		Remedies: finding.Remedies{
			Now: []finding.Remedy{
				{Text: finding.Text{EN: "see the Corefile", KO: "Corefile을 확인합니다"}, Command: fmt.Sprintf("kubectl -n %s get configmap %s -o jsonpath='{.data.Corefile}'", subject.Namespace, subject.Name)},
				c.edit(finding.Text{EN: "mend it, or put back the version before", KO: "바로잡거나 이전 내용으로 되돌립니다"}),
				c.restart(p.Snapshot),
			},
			Later: []finding.Remedy{{Text: finding.Text{
				EN: "keep the Corefile under review and try a change with `coredns -conf` before it is applied",
				KO: "Corefile을 검토 절차 아래 두고, 적용하기 전에 `coredns -conf`로 시험합니다",
			}}},
		},
	}
	if c.written.IsZero() {
		f.Evidence = nil
	}
	if len(pods) > 0 {
		f.Since = finding.Later(c.written, firstEnded(pods))
		if !c.serves() {
			f.Severity = finding.Critical
		}
	}
	return f
}

// mistakeIn finds what is wrong with a Corefile by its looks.
func mistakeIn(text string) finding.Text {
	blocks, err := parseCorefile(text)
	if err != nil {
		return finding.Textf("it cannot be read: %v", "구문을 읽을 수 없습니다: %v", err)
	}
	for _, b := range blocks {
		for _, d := range b.directives {
			if d.name != "import" && !slices.Contains(plugins, d.name) {
				return finding.Textf("line %d names %q, which CoreDNS does not have", "%d번째 줄의 플러그인(%q)은 CoreDNS에 없습니다", d.line, d.name)
			}
		}
	}
	return finding.Text{}
}
