package report

import (
	"io"
	"strings"

	"github.com/maek-dev/maek/api/maek/v1alpha1"
	"github.com/maek-dev/maek/internal/finding"
)

// Explanation is what there is to know about a code.
type Explanation struct {
	// Code that is explained.
	Code string
	// Severity of its findings, where they do not say otherwise.
	Severity v1alpha1.Severity
	// Title says what is wrong, in a few words.
	Title finding.Text
	// Doc explains it.
	Doc finding.Text
	// Reads are the resources that must be readable, as RBAC names them.
	Reads []string
	// Causes are the codes that can explain it.
	Causes []string
	// Link to read on.
	Link string
}

// Rule writes an explanation for people.
func Rule(w io.Writer, e Explanation, o Options) error {
	p := &page{layout: layout{width: o.width(), color: o.Color}, words: wordsOf(o.Language), options: o}
	p.put(span{clean(e.Code), bold}, span{"  " + p.words.severity[e.Severity], severityStyle(e.Severity)})
	p.paragraph(line{}, e.Title.In(o.Language), bold)
	for block := range strings.SplitSeq(e.Doc.In(o.Language), "\n\n") {
		p.put()
		p.paragraph(line{}, block, plain)
	}
	p.put()
	p.fact(p.words.reads, strings.Join(e.Reads, ", "))
	p.fact(p.words.causes, strings.Join(e.Causes, ", "))
	p.fact(p.words.link, e.Link)
	_, err := w.Write(p.out)
	return err
}

func (p *page) fact(name, text string) {
	if text != "" {
		p.paragraph(line{{name + "  ", dim}}, text, plain)
	}
}
