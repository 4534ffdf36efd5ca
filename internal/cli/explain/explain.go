// Package explain is the command that tells what a code means.
package explain

import (
	"fmt"
	"strings"

	"github.com/spf13/cobra"

	"github.com/maek-dev/maek/internal/cli/exit"
	"github.com/maek-dev/maek/internal/cli/invocation"
	listing "github.com/maek-dev/maek/internal/cli/rules"
	"github.com/maek-dev/maek/internal/report"
	"github.com/maek-dev/maek/internal/rule"
)

// New makes the command.
func New(inv *invocation.Invocation, display *invocation.Display, rules []rule.Rule) *cobra.Command {
	var codes []string
	for _, r := range rules {
		codes = append(codes, string(r.Code))
	}
	return &cobra.Command{
		Use:               "explain CODE",
		Short:             "Tell what a code means, what looks like it and is not, and where to read on",
		ValidArgsFunction: cobra.FixedCompletions(codes, cobra.ShellCompDirectiveNoFileComp),
		Args: func(_ *cobra.Command, args []string) error {
			if len(args) != 1 {
				return exit.Misused("explain takes one code; write %[1]s explain CODE, with a code that %[1]s rules lists", inv.Program)
			}
			return nil
		},
		RunE: func(_ *cobra.Command, args []string) error {
			r, err := find(args[0], rules, inv.Program)
			if err != nil {
				return err
			}
			if err := report.Rule(inv.Out, describe(r), inv.Report(*display)); err != nil {
				return fmt.Errorf("explaining %s: %w", r.Code, err)
			}
			return nil
		},
	}
}

// find returns the rule with a code, whose case does not matter.
func find(code string, rules []rule.Rule, program string) (rule.Rule, error) {
	var near []string
	for _, r := range rules {
		known, typed := strings.ToLower(string(r.Code)), strings.ToLower(code)
		if known == typed {
			return r, nil
		}
		if typed != "" && strings.Contains(known, typed) {
			near = append(near, string(r.Code))
		}
	}
	if len(near) > 0 {
		return rule.Rule{}, exit.Misused("there is no rule %q; write one of: %s", code, strings.Join(near, ", "))
	}
	return rule.Rule{}, exit.Misused("there is no rule %q; write a code that %s rules lists", code, program)
}

func describe(r rule.Rule) report.Explanation {
	e := report.Explanation{
		Code: string(r.Code), Severity: r.Severity, Title: r.Title, Doc: r.Doc, Link: r.Link,
	}
	for _, n := range r.Needs {
		e.Reads = append(e.Reads, n.Kind.GroupResource())
	}
	for _, code := range listing.Causes(r) {
		e.Causes = append(e.Causes, string(code))
	}
	return e
}
