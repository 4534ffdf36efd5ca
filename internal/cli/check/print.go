package check

import (
	"cmp"
	"encoding/json"
	"fmt"
	"io"
	"slices"
	"strings"
	"sync"

	"github.com/maek-dev/maek/internal/cli/invocation"
	"github.com/maek-dev/maek/internal/report"
	"github.com/maek-dev/maek/internal/synthetic"
)

const (
	red    = "\x1b[31m"
	green  = "\x1b[32m"
	yellow = "\x1b[33m"
	plain  = "\x1b[0m"
	// indent of what belongs to the line above.
	indent = "         "
)

// printer prints results as they come. It is safe for concurrent use.
type printer struct {
	out io.Writer
	// progress takes what goes on; nil where nobody watches.
	progress     io.Writer
	color, quiet bool

	mu      sync.Mutex
	running []string
	err     error
}

func (p *printer) begin(title string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.running = append(p.running, title)
	p.tell()
}

func (p *printer) done(r result) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if i := slices.Index(p.running, r.Name); i >= 0 {
		p.running = slices.Delete(p.running, i, i+1)
	}
	if !p.quiet {
		p.write(p.text(r))
	}
	p.tell()
}

// tell writes what is running; the caller holds the lock.
func (p *printer) tell() {
	if p.progress == nil {
		return
	}
	line := invocation.ClearLine
	if len(p.running) > 0 {
		line += "running: " + strings.Join(p.running, ", ")
	}
	// A terminal that cannot be written to is no reason to stop.
	_, _ = io.WriteString(p.progress, line)
}

func (p *printer) write(text string) {
	if p.progress != nil {
		_, _ = io.WriteString(p.progress, invocation.ClearLine)
	}
	if _, err := io.WriteString(p.out, text); err != nil && p.err == nil {
		p.err = err
	}
}

// text of a result: a line, and below it what there is to say. Texts of the cluster are anybody's, so what
// moves a cursor is taken out.
func (p *printer) text(r result) string {
	var b strings.Builder
	word, color := "passed ", green
	switch r.Result {
	case failed:
		word, color = "FAILED ", red
	case unknown:
		word, color = "unknown", yellow
	case skipped:
		word, color = "skipped", ""
	case passed:
	}
	if p.color && color != "" {
		word = color + word + plain
	}
	fmt.Fprintf(&b, "%s  %s", word, r.Name)
	if r.Seconds > 0 {
		fmt.Fprintf(&b, "  %.1f s", r.Seconds)
	}
	if n := len(r.Nodes); n == 1 {
		fmt.Fprintf(&b, "  1 node")
	} else if n > 1 {
		fmt.Fprintf(&b, "  %d nodes", n)
	}
	b.WriteByte('\n')
	lines := []string{}
	if r.Reason != "" {
		lines = append(lines, r.Reason)
	}
	lines = append(lines, r.Errors...)
	for _, n := range r.Nodes {
		if !n.OK {
			lines = append(lines, "node "+n.Node+": "+n.Message)
		}
	}
	for _, n := range r.Notes {
		lines = append(lines, "note: "+n)
	}
	for _, text := range lines {
		for line := range strings.SplitSeq(strings.TrimSpace(text), "\n") {
			b.WriteString(indent + report.Clean(line) + "\n")
		}
	}
	return b.String()
}

// end prints the whole: a sum for people, a document for programs.
func (p *printer) end(results []result) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.running = nil
	p.tell()
	if p.quiet {
		encoder := json.NewEncoder(p.out)
		encoder.SetIndent("", "  ")
		return encoder.Encode(map[string]any{"apiVersion": "maek.dev/v1alpha1", "kind": "Verification", "checks": results})
	}
	count := map[verdict]int{}
	for _, r := range results {
		count[r.Result]++
	}
	sum := fmt.Sprintf("\n%d passed, %d failed, %d could not be checked", count[passed], count[failed], count[unknown])
	if n := count[skipped]; n > 0 {
		sum += fmt.Sprintf(", %d skipped", n)
	}
	p.write(sum + "\n")
	return p.err
}

// list prints the scenarios with their options.
func list(out io.Writer) error {
	var b strings.Builder
	for _, s := range synthetic.All.All() {
		set := ""
		if s.Standing {
			set = "  (in the whole set)"
		}
		fmt.Fprintf(&b, "%s%s\n    %s\n", s.Name, set, s.Doc)
		for _, o := range s.Options {
			fmt.Fprintf(&b, "    %s (%s): %s\n", o.Name, cmp.Or(o.Default, "no default"), o.Doc)
		}
	}
	_, err := io.WriteString(out, b.String())
	return err
}
