package probe

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"slices"
	"strings"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/maek-dev/maek/api/maek/v1alpha1"
	"github.com/maek-dev/maek/internal/cli/exit"
	"github.com/maek-dev/maek/internal/cli/invocation"
	"github.com/maek-dev/maek/internal/cli/source"
	"github.com/maek-dev/maek/internal/finding"
	"github.com/maek-dev/maek/internal/report"
	"github.com/maek-dev/maek/internal/rules/probes"
	"github.com/maek-dev/maek/internal/snapshot"
)

// audit is what -o json prints of an audit. Its texts are in the language that was asked for.
type audit struct {
	metav1.TypeMeta `json:",inline"`

	// Target is what was judged: "namespace shop", "Deployment shop/front".
	Target     string      `json:"target"`
	ObservedAt metav1.Time `json:"observedAt"`
	Findings   []audited   `json:"findings"`
	// Missing is what could not be read, so that nothing is said of it.
	Missing []string `json:"missing,omitempty"`

	// seen tells that enough was read for an audit without findings to mean something.
	seen bool
}

// audited is one finding.
type audited struct {
	Code     string            `json:"code"`
	Severity v1alpha1.Severity `json:"severity"`
	Subject  v1alpha1.Subject  `json:"subject"`
	Field    string            `json:"field,omitempty"`
	// Settling marks what is younger than its rule takes for lasting. Who audits asks about now: nothing is held
	// back that a later look might find gone.
	Settling bool                `json:"settling,omitempty"`
	Title    string              `json:"title"`
	Why      string              `json:"why"`
	Evidence []v1alpha1.Evidence `json:"evidence,omitempty"`
	Remedies v1alpha1.Remedies   `json:"remedies"`
	// Simulated is what became of the container, as it is and as the patch leaves it, when both were played through
	// the kubelet's own loop.
	Simulated []string `json:"simulated,omitempty"`
}

// runAudit judges how probes are configured, in a namespace or of one object.
func (o *options) runAudit(ctx context.Context, inv *invocation.Invocation, args []string) error {
	rules := probes.Catalog.Rules()
	flags := source.Flags{Connection: o.connection, NoAgents: true, Passive: o.noAsk, Timeout: o.timeout}
	scope, err := o.scope(ctx, inv, args)
	if err != nil {
		return err
	}
	reading, err := flags.Read(ctx, inv, rules)
	if err != nil {
		return err
	}
	s := reading.Result.Snapshot
	language := inv.Language(*o.display)
	a := audit{
		TypeMeta: metav1.TypeMeta{APIVersion: v1alpha1.GroupVersion.String(), Kind: "ProbeAudit"},
		Target:   scope.String(), ObservedAt: metav1.NewTime(inv.Now()), Findings: []audited{},
		seen: s.API().Ready() && s.Coverage(snapshot.KindOf[*corev1.Pod]()).Known() && len(reading.Result.Failures) == 0,
	}
	for _, f := range reading.Result.Findings {
		if scope.has(s, f.Subject) {
			a.Findings = append(a.Findings, auditedOf(f, simulate(s, &f), language))
		}
	}
	for _, skip := range reading.Result.Skips {
		a.Missing = append(a.Missing, skip.Reason.In(language))
	}
	for _, failure := range reading.Result.Failures {
		a.Missing = append(a.Missing, fmt.Sprintf("%s: %v", failure.Code, failure.Err))
	}
	slices.Sort(a.Missing)
	a.Missing = slices.Compact(a.Missing)
	if err := a.print(inv.Out, o.output, kubectl(o.connection), inv.Report(*o.display)); err != nil {
		return fmt.Errorf("writing the audit: %w", err)
	}
	return exit.With(a.code())
}

func auditedOf(f finding.Finding, simulated []finding.Text, l finding.Language) audited {
	out := audited{
		Code: string(f.Code), Severity: f.Severity, Subject: f.Subject, Field: f.Field, Settling: f.Settling, Title: f.Title.In(l), Why: f.Why.In(l), Evidence: f.Evidence,
		Remedies: v1alpha1.Remedies{Now: finding.RemediesIn(f.Remedies.Now, l), Later: finding.RemediesIn(f.Remedies.Later, l)},
	}
	for _, text := range simulated {
		out.Simulated = append(out.Simulated, text.In(l))
	}
	return out
}

// code is 1 for findings that are more than remarks, and 2 where too little was read.
func (a audit) code() exit.Code {
	for _, f := range a.Findings {
		if f.Severity != finding.Info {
			return exit.Incidents
		}
	}
	if !a.seen {
		return exit.Unknown
	}
	return exit.OK
}

// scope is what an audit is confined to: a namespace, and within it the workloads of some pods; all is empty.
type scope struct {
	namespace string
	// of is the object that was named; zero for the whole namespace.
	of   target
	pods []*corev1.Pod
}

// String names it.
func (s scope) String() string {
	switch {
	case s.of.name != "":
		return s.of.String()
	case s.namespace != "":
		return "namespace " + s.namespace
	default:
		return "all namespaces"
	}
}

// scope that the command line names.
func (o *options) scope(ctx context.Context, inv *invocation.Invocation, args []string) (scope, error) {
	if len(args) == 0 && o.connection.AllNamespaces {
		return scope{}, nil
	}
	namespace, err := o.connection.ObjectNamespace()
	if err != nil {
		return scope{}, err
	}
	var t target
	if len(args) > 0 {
		if t, err = parseTarget(namespace, args); err != nil {
			return scope{}, err
		}
	}
	cfg, err := o.connection.Config(inv.Program)
	if err != nil {
		return scope{}, err
	}
	r, err := newReader(cfg)
	if err != nil {
		return scope{}, err
	}
	reading, cancel := context.WithTimeout(ctx, o.timeout)
	defer cancel()
	if len(args) == 0 {
		return scope{namespace: namespace}, r.hasNamespace(reading, namespace)
	}
	found, _, err := r.pods(reading, t)
	if err != nil {
		return scope{}, plainly(err)
	}
	return scope{namespace: namespace, of: t, pods: found}, nil
}

// hasNamespace refuses a namespace that the cluster certainly does not have: an audit of it would be true and useless.
func (r *reader) hasNamespace(ctx context.Context, name string) error {
	if err := r.client.Get(ctx, client.ObjectKey{Name: name}, &corev1.Namespace{}); apierrors.IsNotFound(err) {
		return exit.Misused("there is no namespace %q; write -n with one that exists", name)
	}
	return nil
}

// has tells whether a subject is in the scope.
func (s scope) has(in *snapshot.Snapshot, subject finding.Subject) bool {
	if s.of.name == "" {
		return s.namespace == "" || subject.Namespace == s.namespace
	}
	if subject.Kind == s.of.kind && subject.Namespace == s.of.namespace && subject.Name == s.of.name {
		return true
	}
	return slices.ContainsFunc(s.pods, func(pod *corev1.Pod) bool {
		return in.Workload(pod) == subject || snapshot.SubjectOf(pod) == subject
	})
}

func (a audit) print(w io.Writer, output, kubectl string, o report.Options) error {
	switch output {
	case asJSON:
		encoder := json.NewEncoder(w)
		encoder.SetEscapeHTML(false)
		encoder.SetIndent("", "  ")
		return encoder.Encode(a)
	case asPatch:
		return a.patches(w, kubectl)
	default:
		return a.page(o).Write(w)
	}
}

// tonesOf severities.
var tonesOf = map[v1alpha1.Severity]report.Tone{finding.Critical: report.Bad, finding.Warning: report.Odd, finding.Info: report.Faint}

func (a audit) page(o report.Options) *report.Page {
	w := wordsOf(o.Language)
	p := report.NewPage(o)
	for _, f := range a.Findings {
		p.Blank()
		p.Labelled(0, severityWidth, strings.ToUpper(string(f.Severity)), tonesOf[f.Severity], f.Title+" ["+f.Code+"]", report.Strong)
		p.Labelled(4, labelWidth, w.why, report.Faint, f.Why, report.Plain)
		if f.Settling {
			p.Labelled(4, labelWidth, "", report.Faint, w.settling, report.Plain)
		}
		label := w.remedy
		for _, remedy := range f.told() {
			p.Labelled(4, labelWidth, label, report.Faint, remedy.Text, report.Plain)
			if remedy.Command != "" {
				p.Command(4+labelWidth, remedy.Command)
			}
			label = ""
		}
		w.lines(p, w.simulated, f.Simulated)
	}
	if len(a.Findings) == 0 {
		text := w.nothingFound
		if !a.seen {
			text = w.tooLittle
		}
		p.Text(0, fmt.Sprintf(text, a.Target), report.Plain)
	}
	if len(a.Missing) > 0 {
		p.Blank()
	}
	for _, text := range a.Missing {
		p.Labelled(0, 0, w.missing, report.Odd, text, report.Plain)
	}
	return p
}

// told are the remedies that a page has room for: those for now, and of a remark, which has none, those for later.
func (f audited) told() []v1alpha1.Remedy {
	if len(f.Remedies.Now) > 0 {
		return f.Remedies.Now
	}
	return f.Remedies.Later
}

// severityWidth is the width of the longest name of a severity, and a space.
const severityWidth = 10
