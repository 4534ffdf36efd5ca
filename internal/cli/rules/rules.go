// Package rules is the command that lists what Maek can find, and the generator of the reference
// in docs/.
package rules

import (
	"cmp"
	"encoding/json"
	"fmt"
	"io"
	"slices"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"

	"github.com/maek-dev/maek/internal/cli/exit"
	"github.com/maek-dev/maek/internal/cli/invocation"
	"github.com/maek-dev/maek/internal/finding"
	"github.com/maek-dev/maek/internal/rule"
)

var printers = map[string]func(io.Writer, []rule.Rule, finding.Language) error{
	"table": table, "json": asJSON, "markdown": Reference,
}

var outputs = []string{"table", "json", "markdown"}

// New makes the command.
func New(inv *invocation.Invocation, display *invocation.Display, rules []rule.Rule) *cobra.Command {
	var output string
	cmd := &cobra.Command{
		Use:   "rules",
		Short: "List what can be found",
		Args:  cobra.NoArgs,
		RunE: func(*cobra.Command, []string) error {
			list := printers[output]
			if list == nil {
				return exit.Misused("-o %q is no output; write one of: %s", output, strings.Join(outputs, ", "))
			}
			if err := list(inv.Out, byCode(rules), inv.Language(*display)); err != nil {
				return fmt.Errorf("listing the rules: %w", err)
			}
			return nil
		},
	}
	cmd.Flags().StringVarP(&output, "output", "o", outputs[0], "how to print them: "+strings.Join(outputs, ", "))
	// The flag is registered just above, so completing it cannot fail.
	_ = cmd.RegisterFlagCompletionFunc("output", cobra.FixedCompletions(outputs, cobra.ShellCompDirectiveNoFileComp))
	return cmd
}

// byCode sorts rules for somebody who looks one up.
func byCode(rules []rule.Rule) []rule.Rule {
	return slices.SortedFunc(slices.Values(rules), func(a, b rule.Rule) int { return cmp.Compare(a.Code, b.Code) })
}

func table(w io.Writer, rules []rule.Rule, l finding.Language) error {
	// The last column has no width to align, so that wide characters do no harm.
	t := tabwriter.NewWriter(w, 0, 0, 3, ' ', 0)
	if _, err := io.WriteString(t, "CODE\tSEVERITY\tWHAT\n"); err != nil {
		return err
	}
	for _, r := range rules {
		severity := string(r.Severity)
		if r.Risk {
			severity = "risk"
		}
		if _, err := fmt.Fprintf(t, "%s\t%s\t%s\n", r.Code, severity, r.Title.In(l)); err != nil {
			return err
		}
	}
	return t.Flush()
}

// description of a rule for programs.
type description struct {
	Code     finding.Code     `json:"code"`
	Severity finding.Severity `json:"severity"`
	Title    string           `json:"title"`
	Doc      string           `json:"doc"`
	Link     string           `json:"link"`
	Symptom  bool             `json:"symptom,omitempty"`
	// Risk tells that its findings are about the next loss, and no incidents.
	Risk bool `json:"risk,omitempty"`
	// ForSeconds is how long it must last to be an incident of its own.
	ForSeconds float64        `json:"forSeconds,omitempty"`
	Needs      []need         `json:"needs"`
	CausedBy   []finding.Code `json:"causedBy,omitempty"`
}

type need struct {
	Resource string `json:"resource"`
	Demand   string `json:"demand"`
}

// demands by the words of the reference.
var demands = map[rule.Demand]string{rule.DemandWhole: "whole", rule.DemandAny: "any", rule.DemandNone: "optional"}

func describe(r rule.Rule, l finding.Language) description {
	d := description{
		Code: r.Code, Severity: r.Severity, Title: r.Title.In(l), Doc: r.Doc.In(l), Link: r.Link,
		Symptom: r.Symptom, Risk: r.Risk, ForSeconds: r.For.Round(time.Second).Seconds(), Needs: []need{}, CausedBy: Causes(r),
	}
	for _, n := range r.Needs {
		d.Needs = append(d.Needs, need{n.Kind.GroupResource(), demands[n.Demand]})
	}
	return d
}

// Causes are the codes that can explain a rule's findings, each once, in the rule's own order.
func Causes(r rule.Rule) []finding.Code {
	var out []finding.Code
	seen := map[finding.Code]bool{}
	for _, c := range r.Causes {
		if !seen[c.Code] {
			seen[c.Code] = true
			out = append(out, c.Code)
		}
	}
	return out
}

func asJSON(w io.Writer, rules []rule.Rule, l finding.Language) error {
	all := make([]description, 0, len(rules))
	for _, r := range rules {
		all = append(all, describe(r, l))
	}
	enc := json.NewEncoder(w)
	enc.SetEscapeHTML(false)
	enc.SetIndent("", "  ")
	return enc.Encode(all)
}
