package diagnose

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strings"

	"github.com/spf13/cobra"
	"k8s.io/apimachinery/pkg/labels"
	"sigs.k8s.io/yaml"

	"github.com/maek-dev/maek/api/maek/v1alpha1"
	"github.com/maek-dev/maek/internal/cli/exit"
	"github.com/maek-dev/maek/internal/diagnosis"
	"github.com/maek-dev/maek/internal/finding"
)

// wishes are what the flags ask for, read and checked.
type wishes struct {
	scope   diagnosis.Scope
	ignore  []diagnosis.Ignore
	earlier *v1alpha1.Diagnosis
}

// addFlags adds the flags that say what of a diagnosis to show, and how often.
func (o *Options) addFlags(cmd *cobra.Command) {
	set := cmd.Flags()
	set.StringVarP(&o.Selector, "selector", "l", "", "show only incidents that touch something with these labels, such as app=front")
	set.StringVar(&o.Ignore, "ignore", "", "file of findings not to show (the annotation "+diagnosis.IgnoreAnnotation+" does the same for one object)")
	set.StringVar(&o.Diff, "diff", "", "an earlier report (-o json) to compare with: what is new, gone, still there")
	set.BoolVar(&o.FailOnNew, "fail-on-new", false, "with --diff: exit code 1 only for incidents that are new")
	set.BoolVar(&o.Events, "events", false, "also print what happened, in order: events, changes, incidents")
	o.addWatch(cmd)
}

// prepare reads what the flags name.
func (o *Options) prepare() (*wishes, error) {
	w := &wishes{scope: diagnosis.Scope{Namespace: o.Source.Connection.Namespace()}}
	if o.Selector != "" {
		selector, err := labels.Parse(o.Selector)
		if err != nil {
			return nil, exit.Misused("-l %q is no label selector: %w; write one such as app=front,tier!=cache", o.Selector, err)
		}
		w.scope.Labels = selector
	}
	var err error
	if o.Ignore != "" {
		if w.ignore, err = readIgnore(o.Ignore); err != nil {
			return nil, err
		}
	}
	if o.Diff != "" {
		if w.earlier, err = readEarlier(o.Diff); err != nil {
			return nil, err
		}
	}
	if o.FailOnNew && w.earlier == nil && !o.Watch {
		return nil, exit.Misused("--fail-on-new needs something to compare with; add --diff OLD.json")
	}
	return w, nil
}

// ignoreFile is a file of findings not to show.
type ignoreFile struct {
	Ignore []ignoreEntry `json:"ignore"`
}

type ignoreEntry struct {
	Code    finding.Code `json:"code"`
	Subject struct {
		Kind      string `json:"kind,omitempty"`
		Namespace string `json:"namespace,omitempty"`
		Name      string `json:"name,omitempty"`
	} `json:"subject"`
	Until  string `json:"until,omitempty"`
	Reason string `json:"reason,omitempty"`
}

// readIgnore reads such a file. Every error says what is wrong, where, and what to write instead.
func readIgnore(path string) ([]diagnosis.Ignore, error) {
	data, err := os.ReadFile(path)
	if err != nil {
		return nil, exit.Misused("--ignore: %w; write the path of a file, or leave it out", err)
	}
	var file ignoreFile
	if err := yaml.UnmarshalStrict(data, &file); err != nil {
		return nil, exit.Misused("--ignore %s: %s; write a list `ignore:` of entries with code, subject (kind, namespace, name), until and reason", path, plainly(err))
	}
	var out []diagnosis.Ignore
	for n, e := range file.Ignore {
		if e.Code == "" {
			return nil, exit.Misused("--ignore %s: entry %d has no code; write the code of a finding, such as KubeletStopped", path, n+1)
		}
		i := diagnosis.Ignore{
			Code: e.Code, Reason: e.Reason, Source: filepath.Base(path),
			Subject: finding.Subject{Kind: e.Subject.Kind, Namespace: e.Subject.Namespace, Name: e.Subject.Name},
		}
		if e.Until != "" {
			if i.Until, err = diagnosis.ParseUntil(e.Until); err != nil {
				return nil, exit.Misused("--ignore %s: entry %d: %w", path, n+1, err)
			}
		}
		out = append(out, i)
	}
	return out, nil
}

// readEarlier reads a report that an earlier run printed.
func readEarlier(path string) (*v1alpha1.Diagnosis, error) {
	data, err := os.ReadFile(path)
	if err != nil {
		return nil, exit.Misused("--diff: %w; write the path of a report that -o json printed", err)
	}
	var d v1alpha1.Diagnosis
	err = json.Unmarshal(data, &d)
	if err == nil && d.Kind != diagnosis.DocumentKind {
		err = errors.New("its kind is " + fmt.Sprintf("%q", d.Kind))
	}
	if err != nil {
		return nil, exit.Misused("--diff %s is no report of this program: %s; write the path of one that -o json printed", path, plainly(err))
	}
	return &d, nil
}

var (
	// internals are what decoders say of themselves.
	internals = regexp.MustCompile(`error (?:unmarshaling|converting) (?:JSON|YAML to JSON): |while decoding JSON: |json: `)
	// wrongField and wrongType are how they say that a value has not the type that belongs there.
	wrongField = regexp.MustCompile(`cannot unmarshal (\w+)(?: [^ ]+)? into Go struct field \w+\.(\S+) of type \S+`)
	wrongType  = regexp.MustCompile(`cannot unmarshal (\w+)(?: [^ ]+)? into Go value of type \S+`)
)

// plainly is a decoder's error on one line, in the words of the text rather than of the program.
func plainly(err error) string {
	text := internals.ReplaceAllString(err.Error(), "")
	text = wrongField.ReplaceAllString(text, "in $2 stands a value of type $1, which does not belong there")
	text = wrongType.ReplaceAllString(text, "it is a value of type $1")
	return strings.Join(strings.Fields(text), " ")
}
