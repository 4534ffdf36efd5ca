package rules

import (
	"fmt"
	"io"
	"strings"

	"github.com/maek-dev/maek/internal/finding"
	"github.com/maek-dev/maek/internal/rule"
)

// captions are the words around the rules in the reference, in one language.
type captions struct {
	title, preface, severity, lasting, reads, optional, explained, symptom, risk, more string
}

var captionsOf = map[finding.Language]captions{
	finding.English: {
		title: "Rules",
		preface: "What Maek can find. Generated from the rules themselves: `kubectl maek rules -o markdown`.\n" +
			"`kubectl maek explain CODE` shows one of them.",
		severity: "Severity", lasting: "Must last", reads: "Reads", optional: "if it may",
		explained: "Can be explained by", risk: "A risk: about the next loss, and no part of the verdict (`kubectl maek resilience`).",
		symptom: "A symptom: whatever is proven to harm its subject explains it.", more: "More",
	},
	finding.Korean: {
		title: "규칙",
		preface: "Maek이 찾아낼 수 있는 문제입니다. 규칙 자체에서 생성했습니다: `kubectl maek rules -o markdown --lang ko`.\n" +
			"`kubectl maek explain CODE`로 하나씩 볼 수 있습니다.",
		severity: "심각도", lasting: "지속 시간", reads: "읽는 리소스", optional: "권한이 있으면",
		explained: "원인이 될 수 있는 규칙", risk: "위험입니다. 다음 장애에 관한 것이며 판정에는 포함되지 않습니다(`kubectl maek resilience`).",
		symptom: "증상입니다. 대상에 해를 끼쳤음이 증명된 문제가 있으면 그것이 원인입니다.", more: "더 보기",
	},
}

// Reference writes the reference of rules as Markdown.
func Reference(w io.Writer, rules []rule.Rule, l finding.Language) error {
	c := captionsOf[l]
	var b strings.Builder
	fmt.Fprintf(&b, "# %s\n\n%s\n", c.title, c.preface)
	for _, r := range byCode(rules) {
		Entry(&b, r, l, func(code finding.Code) string { return "#" + strings.ToLower(string(code)) })
	}
	_, err := io.WriteString(w, b.String())
	return err
}

// Entry writes the reference of one rule as Markdown. A link leads to the entry of another.
func Entry(b *strings.Builder, r rule.Rule, l finding.Language, link func(finding.Code) string) {
	c := captionsOf[l]
	fmt.Fprintf(b, "\n## %s\n\n**%s**\n\n%s\n\n", r.Code, r.Title.In(l), r.Doc.In(l))
	fmt.Fprintf(b, "- %s: %s\n", c.severity, r.Severity)
	if r.For > 0 {
		fmt.Fprintf(b, "- %s: %s\n", c.lasting, r.For)
	}
	fmt.Fprintf(b, "- %s: %s\n", c.reads, reads(r, c))
	if r.Risk {
		fmt.Fprintf(b, "- %s\n", c.risk)
	}
	if r.Symptom {
		fmt.Fprintf(b, "- %s\n", c.symptom)
	}
	if causes := Causes(r); len(causes) > 0 {
		var links []string
		for _, code := range causes {
			links = append(links, fmt.Sprintf("[%s](%s)", code, link(code)))
		}
		fmt.Fprintf(b, "- %s: %s\n", c.explained, strings.Join(links, ", "))
	}
	fmt.Fprintf(b, "- %s: <%s>\n", c.more, r.Link)
}

func reads(r rule.Rule, c captions) string {
	var kinds []string
	for _, n := range r.Needs {
		name := "`" + n.Kind.GroupResource() + "`"
		if n.Demand == rule.DemandNone {
			name += " (" + c.optional + ")"
		}
		kinds = append(kinds, name)
	}
	if len(kinds) == 0 {
		return "-"
	}
	return strings.Join(kinds, ", ")
}
