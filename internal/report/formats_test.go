package report

import (
	"bytes"
	"encoding/json"
	"encoding/xml"
	"errors"
	"io"
	"regexp"
	"strings"
	"testing"

	"golang.org/x/tools/txtar"

	"github.com/maek-dev/maek/api/maek/v1alpha1"
)

// everyFormat names the goldens that are rendered in every format, not for terminals only.
var everyFormat = map[string]bool{"two-faults": true, "compared": true}

// someRules are one that found something in the goldens, and one that did not.
var someRules = []RuleInfo{
	{Code: "KubeletStopped", Title: "kubelet does not run", Severity: v1alpha1.SeverityWarning, Link: "https://example.com/kubelet"},
	{Code: "SchedulerDown", Title: "kube-scheduler does not run", Severity: v1alpha1.SeverityCritical, Link: "https://example.com/scheduler"},
}

func compareFormats(t *testing.T, archive *txtar.Archive, doc v1alpha1.Diagnosis, o Options) {
	t.Helper()
	for _, f := range []struct {
		name  string
		write func(io.Writer, v1alpha1.Diagnosis, Options) error
	}{{"md", Markdown}, {"html", HTML}, {"junit.xml", JUnit}, {"sarif", SARIF}} {
		var b bytes.Buffer
		if err := f.write(&b, doc, o); err != nil {
			t.Fatal(err)
		}
		compare(t, archive, string(o.Language)+"."+f.name, b.String())
	}
}

// crafted is a text that tries to be something else in every format.
const crafted = "a</code></style><script>alert(1)</script> [x](javascript:1) `b` ]]> \"q\" \x1b[31m\u202e @all\n# head"

// escaped is a character that a backslash keeps from meaning anything in Markdown.
var escaped = regexp.MustCompile(`\\.`)

func TestHostileTextIsOnlyText(t *testing.T) {
	doc := v1alpha1.Diagnosis{
		Cluster: v1alpha1.Cluster{Name: crafted},
		Verdict: v1alpha1.VerdictCritical,
		Incidents: []v1alpha1.IncidentDetails{{
			ID: "1", Code: "X", Severity: v1alpha1.SeverityCritical, Title: crafted, Why: crafted,
			Chain:    []v1alpha1.Link{{Text: crafted}},
			Remedies: v1alpha1.Remedies{Now: []v1alpha1.Remedy{{Text: crafted, Command: crafted, Machine: crafted}}},
			Evidence: []v1alpha1.Evidence{{Source: crafted, Path: crafted, Value: crafted}},
		}},
		Skipped: []v1alpha1.SkippedRule{{Reason: crafted}},
	}
	rendered := func(write func(io.Writer, v1alpha1.Diagnosis, Options) error) string {
		var b bytes.Buffer
		if err := write(&b, doc, Options{}); err != nil {
			t.Fatal(err)
		}
		if strings.ContainsAny(b.String(), "\x1b\u202e") {
			t.Error("a control character came through")
		}
		return b.String()
	}
	t.Run("html", func(t *testing.T) {
		page := rendered(HTML)
		if strings.Contains(page, "<script") || strings.Count(page, "</style>") != 1 {
			t.Errorf("text became an element:\n%s", page)
		}
	})
	t.Run("markdown", func(t *testing.T) {
		for line := range strings.Lines(rendered(Markdown)) {
			outside := escaped.ReplaceAllString(line, "")
			if i := strings.IndexByte(outside, '`'); i >= 0 {
				outside = outside[:i]
			}
			if strings.Contains(outside, "<script") || strings.Contains(outside, " @all") || strings.Contains(outside, "[x](") {
				t.Errorf("text became markup: %s", line)
			}
		}
	})
	t.Run("junit", func(t *testing.T) {
		decoder := xml.NewDecoder(strings.NewReader(rendered(JUnit)))
		for {
			token, err := decoder.Token()
			if errors.Is(err, io.EOF) {
				break
			}
			if err != nil {
				t.Fatal(err)
			}
			if e, ok := token.(xml.StartElement); ok && e.Name.Local == "script" {
				t.Error("text became an element")
			}
		}
	})
	t.Run("sarif", func(t *testing.T) {
		var log map[string]any
		if err := json.Unmarshal([]byte(rendered(SARIF)), &log); err != nil {
			t.Error(err)
		}
	})
}
