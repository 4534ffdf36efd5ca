package probe

import (
	"fmt"
	"io"
	"regexp"
	"strings"

	"sigs.k8s.io/yaml"

	"github.com/maek-dev/maek/internal/report"
)

// patchCommand is a remedy that patches an object, as the rules write it.
var patchCommand = regexp.MustCompile(`^kubectl -n (\S+) patch (\S+) --type=strategic -p '(.*)'$`)

// patches writes the patches of the findings as YAML documents, each below the command that applies it. What
// is no patch is left out.
func (a audit) patches(w io.Writer) error {
	var out strings.Builder
	for _, f := range a.Findings {
		for _, remedy := range f.Remedies.Now {
			match := patchCommand.FindStringSubmatch(remedy.Command)
			if match == nil {
				continue
			}
			patch, err := yaml.JSONToYAML([]byte(strings.ReplaceAll(match[3], `'\''`, `'`)))
			if err != nil {
				return fmt.Errorf("reading the patch of %s: %w", f.Code, err)
			}
			fmt.Fprintf(&out, "---\n# %s: %s\n# %s\n# %s\n%s", f.Code, report.Clean(f.Title), report.Clean(remedy.Text), report.Clean(remedy.Command), patch)
		}
	}
	if out.Len() == 0 {
		fmt.Fprintf(&out, "# nothing to patch in %s\n", a.Target)
	}
	_, err := io.WriteString(w, out.String())
	return err
}
