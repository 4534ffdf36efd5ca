package probe

import (
	"encoding/json"
	"fmt"
	"io"
	"slices"
	"strings"

	appsv1 "k8s.io/api/apps/v1"
	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/util/strategicpatch"
	"sigs.k8s.io/yaml"

	"github.com/maek-dev/maek/internal/cli/source"
	"github.com/maek-dev/maek/internal/finding"
	"github.com/maek-dev/maek/internal/report"
	"github.com/maek-dev/maek/internal/rules/probes"
)

// reasoned is one patch, and why it is made.
type reasoned struct {
	probes.Patch

	why []string
}

// patches writes the patches of the findings as a shell script of one kubectl command an object and sort of patch,
// those of remarks as well, whose remedies are for later. What is to be done by hand is left out.
func (a audit) patches(w io.Writer, kubectl string) error {
	all, err := a.changes()
	if err != nil {
		return err
	}
	var out strings.Builder
	for _, c := range all {
		data, err := yaml.JSONToYAML(c.Data)
		if err != nil {
			return fmt.Errorf("reading the patch of %s/%s: %w", c.Kind, c.Name, err)
		}
		for _, why := range c.why {
			fmt.Fprintf(&out, "# %s\n", report.Clean(why))
		}
		// No line of the document can be its own end: it is a list, or an object of the keys of an API.
		fmt.Fprintf(&out, "%s -n %s patch %s/%s --type=%s --patch-file=/dev/stdin <<'EOF'\n%sEOF\n", kubectl, finding.ShellWord(c.Namespace), c.Kind, finding.ShellWord(c.Name), c.Type, data)
	}
	if len(all) == 0 {
		fmt.Fprintf(&out, "# nothing to patch in %s\n", a.Target)
	}
	_, err = io.WriteString(w, out.String())
	return err
}

// changes are the patches of the findings, those of one sort and object in one. What two of them set differently is
// as the graver finding has it, which comes first.
func (a audit) changes() ([]*reasoned, error) {
	type object struct{ namespace, kind, name, sort, data string }
	var all []*reasoned
	of := map[object]*reasoned{}
	for _, f := range a.Findings {
		for _, remedy := range slices.Concat(f.Remedies.Now, f.Remedies.Later) {
			patch, ok := probes.PatchOf(finding.Remedy{Command: remedy.Command})
			if !ok {
				continue
			}
			key := object{patch.Namespace, patch.Kind, patch.Name, patch.Type, ""}
			if patch.Type == "merge" {
				key.data = string(patch.Data)
			}
			c := of[key]
			if c == nil {
				c = &reasoned{Patch: patch}
				of[key] = c
				all = append(all, c)
			} else if err := c.join(patch.Data); err != nil {
				return nil, fmt.Errorf("joining the patch of %s with others of %s/%s: %w", f.Code, patch.Kind, patch.Name, err)
			}
			c.why = append(append(c.why, f.Code+": "+f.Title, remedy.Text), f.Simulated...)
		}
	}
	return all, nil
}

// patched are the kinds that strategic merge patches are made for.
var patched = map[string]any{
	"deployment": appsv1.Deployment{}, "replicaset": appsv1.ReplicaSet{}, "statefulset": appsv1.StatefulSet{}, "daemonset": appsv1.DaemonSet{},
	"replicationcontroller": corev1.ReplicationController{}, "cronjob": batchv1.CronJob{}, "service": corev1.Service{},
}

// join takes another patch of the same sort in, which yields where both set the same.
func (c *reasoned) join(data json.RawMessage) error {
	var joined any = c.Data
	switch c.Type {
	case "json":
		var mine, others []json.RawMessage
		if err := json.Unmarshal(c.Data, &mine); err != nil {
			return err //nolint:wrapcheck // wrapped where it is known of what
		}
		if err := json.Unmarshal(data, &others); err != nil {
			return err //nolint:wrapcheck // as above
		}
		for _, step := range others {
			if !slices.ContainsFunc(mine, func(m json.RawMessage) bool { return string(m) == string(step) }) {
				mine = append(mine, step)
			}
		}
		joined = mine
	case "strategic":
		var mine, others map[string]any
		if err := json.Unmarshal(c.Data, &mine); err != nil {
			return err //nolint:wrapcheck // as above
		}
		if err := json.Unmarshal(data, &others); err != nil {
			return err //nolint:wrapcheck // as above
		}
		schema, err := strategicpatch.NewPatchMetaFromStruct(patched[c.Kind])
		if err != nil {
			return err //nolint:wrapcheck // as above
		}
		if joined, err = strategicpatch.MergeStrategicMergeMapPatchUsingLookupPatchMeta(schema, others, mine); err != nil {
			return err //nolint:wrapcheck // as above
		}
	}
	text, err := json.Marshal(joined)
	c.Data = text
	return err //nolint:wrapcheck // as above
}

// kubectl is the command that reaches the cluster which was judged.
func kubectl(c *source.Connection) string {
	out := "kubectl"
	if c.Kubeconfig != "" {
		out += " --kubeconfig=" + finding.ShellWord(c.Kubeconfig)
	}
	if name := c.Overrides.CurrentContext; name != "" {
		out += " --context=" + finding.ShellWord(name)
	}
	return out
}
