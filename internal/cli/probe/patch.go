package probe

import (
	"fmt"
	"io"
	"slices"
	"strings"

	"sigs.k8s.io/yaml"

	"github.com/maek-dev/maek/internal/finding"
	"github.com/maek-dev/maek/internal/report"
	"github.com/maek-dev/maek/internal/rules/probes"
)

// patches writes the patches of the findings as YAML documents, each below the command that applies it, those
// of remarks as well, whose remedies are for later. What is to be done by hand is left out.
func (a audit) patches(w io.Writer) error {
	var out strings.Builder
	written := map[string]bool{}
	for _, f := range a.Findings {
		for _, remedy := range slices.Concat(f.Remedies.Now, f.Remedies.Later) {
			patch, ok := probes.PatchOf(finding.Remedy{Command: remedy.Command})
			if !ok || written[remedy.Command] {
				continue
			}
			written[remedy.Command] = true
			data, err := yaml.JSONToYAML(patch.Data)
			if err != nil {
				return fmt.Errorf("reading the patch of %s: %w", f.Code, err)
			}
			fmt.Fprintf(&out, "---\n# %s: %s\n# %s\n# %s\n%s", f.Code, report.Clean(f.Title), report.Clean(remedy.Text), report.Clean(remedy.Command), data)
		}
	}
	if out.Len() == 0 {
		fmt.Fprintf(&out, "# nothing to patch in %s\n", a.Target)
	}
	_, err := io.WriteString(w, out.String())
	return err
}
