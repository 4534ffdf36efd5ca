package workload

import (
	"fmt"
	"regexp"
	"slices"
	"strconv"
	"strings"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/meta"
	"k8s.io/apimachinery/pkg/runtime/schema"

	"github.com/maek-dev/maek/api/maek/v1alpha1"
	"github.com/maek-dev/maek/internal/finding"
	"github.com/maek-dev/maek/internal/rule"
	"github.com/maek-dev/maek/internal/snapshot"
)

// lastWords is what the logs of containers of one workload tell of why they fail.
type lastWords struct {
	reading

	// from is the container whose log the line is from.
	from     container
	evidence []finding.Evidence
	// waits are those for whom the lines say that the containers wait.
	waits []dependency
	// heard is the port on which a program says that it listens; empty where none says so.
	heard string
}

// logPath is the path of evidence that was read from a container's log.
const logPath = "log of "

// containersRead bounds how many containers of a workload have their logs read.
const containersRead = 2

// askLastWords asks for the logs of containers that keep ending, the worst first, one pod for each
// name, and reads them: the log of the run that ended last and, where that carries no clue, of the
// present one. Then it looks at the containers beside them that run and are not ready. Without a
// directory it does not tell whom they wait for.
func askLastWords(p *rule.Pass, d *directory, failing []container) lastWords {
	var out lastWords
	var seen []string
	for _, c := range failing {
		if len(seen) == containersRead || slices.Contains(seen, c.spec.Name) || notStarted(c.ended()) {
			continue
		}
		seen = append(seen, c.spec.Name)
		// A container that is over and not yet waiting is the current one to the kubelet.
		previous := c.status.State.Terminated == nil
		answered := out.take(p, d, c, previous)
		if answered && out.clue == nil && previous && c.status.State.Running != nil {
			out.take(p, d, c, false)
		}
	}
	if len(seen) == 0 || out.clue != nil || len(out.evidence) == 0 {
		return out
	}
	for c := range containersOf(failing[0].pod) {
		if c.status.State.Running != nil && !c.status.Ready && c.sidecarOrRegular() && !slices.Contains(seen, c.spec.Name) {
			out.take(p, d, c, false)
			break
		}
	}
	return out
}

// askPresentWords asks for the log of the present run of a container.
func askPresentWords(p *rule.Pass, d *directory, c container) lastWords {
	var out lastWords
	out.take(p, d, c, false)
	return out
}

// sidecarOrRegular tells whether the container runs as long as its pod.
func (c container) sidecarOrRegular() bool { return !c.init || sidecar(c.pod, c.spec.Name) }

// take reads one log; it tells whether there was an answer. A line with a clue goes before one
// without, and the first log before the later ones.
func (w *lastWords) take(p *rule.Pass, d *directory, c container, previous bool) bool {
	answer, ok := p.Ask(snapshot.Question{
		Kind: snapshot.ContainerLog, Namespace: c.pod.Namespace, Name: c.pod.Name, Container: c.spec.Name, Previous: previous,
	})
	if !ok || answer.Outcome != snapshot.Answered {
		return false
	}
	r := readLog(answer.Text)
	if port := listensOn(answer.Text); port != "" {
		w.heard = port
	}
	if r.line == "" {
		return true
	}
	e := finding.Evidence{Source: finding.Named(podSubject(c.pod)), Path: logPath + c.spec.Name, Value: finding.Quote(r.line)}
	if end := c.ended(); end != nil && (previous || c.status.State.Terminated != nil) {
		e.At = finding.Timestamp(end.FinishedAt.Time)
	}
	w.evidence = append(w.evidence, e)
	if w.line == "" || (w.clue == nil && r.clue != nil) {
		w.reading, w.from = r, c
	}
	if d != nil {
		w.waits = append(w.waits, d.waitedFor(c.pod, r)...)
	}
	return true
}

// text quotes the telling line and says what it means, and whom it is about.
func (w lastWords) text() finding.Text {
	if w.line == "" {
		return finding.Text{}
	}
	said := finding.Format("its log ends with %s", "마지막 로그: %s", inQuotes(w.line))
	if w.clue != nil || troubled.MatchString(w.line) {
		said = finding.Format("its log says %s", "로그: %s", inQuotes(w.line))
	}
	if w.clue == nil {
		return said
	}
	return finding.Join(": ", said, whom(w.clue.means, w.waits))
}

// textOr quotes, where there is no log, the message that the container left.
func (w lastWords) textOr(message string) finding.Text {
	if said := w.text(); !said.IsZero() || message == "" {
		return said
	}
	return finding.Format("it left %s", "종료 메시지: %s", inQuotes(tellingLine(message)))
}

// apply takes over into a finding what the logs tell: evidence, mechanism, whom it waits for.
func (w lastWords) apply(p *rule.Pass, f *finding.Finding, pods []*corev1.Pod) {
	f.Evidence = append(f.Evidence, w.evidence...)
	f.WaitsFor = subjectsOf(w.waits)
	if w.clue == nil {
		return
	}
	if w.clue.mechanism != "" {
		f.Mechanism = w.clue.mechanism
	}
	switch w.clue.about {
	case concernRights:
		w.rights(p, f)
	case concernKind:
		f.WaitsFor = append(f.WaitsFor, missingDefinition(w.line)...)
	case concernPeer, concernNoAnswer, concernName, concernUnknown:
		f.Remedies.Now = append(f.Remedies.Now, w.look()...)
	case concernItself:
		if path := w.field(); path != "" && f.Field == "" {
			f.Field = w.from.field(f.Subject, path)
			f.Remedies.Now = append(f.Remedies.Now, edit(f.Subject, pods, f.Field))
		}
	case concernStore:
		f.WaitsFor = append(f.WaitsFor, w.stores()...)
	case concernPlatform:
	}
}

// field is the field of the container that the line is about; empty where it is about none.
func (w lastWords) field() string {
	if w.clue.field == argsField && len(w.from.spec.Args) == 0 {
		return ".command"
	}
	return w.clue.field
}

// look shows those for whom a container waits.
func (w lastWords) look() []finding.Remedy {
	for _, d := range w.waits {
		if s := d.subjects[0]; s.Kind == "Service" {
			return []finding.Remedy{{
				Text:    finding.Textf("see whether %s has anybody behind it", "%s 뒤에 Ready endpoint가 있는지 확인합니다", d.name),
				Command: fmt.Sprintf("kubectl -n %s get endpointslices -l kubernetes.io/service-name=%s", s.Namespace, s.Name),
			}}
		}
	}
	return nil
}

// stores are what may be full where a container says that something is: its claims, and its node.
func (w lastWords) stores() []finding.Subject {
	pod := w.from.pod
	var out []finding.Subject
	for _, v := range pod.Spec.Volumes {
		if v.PersistentVolumeClaim != nil {
			out = append(out, finding.Subject{Kind: "PersistentVolumeClaim", Namespace: pod.Namespace, Name: v.PersistentVolumeClaim.ClaimName})
		}
	}
	return append(out, nodeSubjects([]*corev1.Pod{pod})...)
}

// forbidden matches the words with which the API server forbids something
// (k8s.io/apiserver/pkg/endpoints/handlers/responsewriters/errors.go, forbiddenMessage).
var forbidden = regexp.MustCompile(strings.ReplaceAll(
	`is forbidden: User "system:serviceaccount:([a-z0-9.-]+):([a-z0-9.-]+)" cannot ([a-z]+) resource "([a-z0-9./-]+)" in API group "([a-z0-9.-]*)"(?: in the namespace "([a-z0-9.-]+)")?`,
	`"`, `\\?"`))

// rights says which right is lacking, and asks whether it is lacking still.
func (w lastWords) rights(p *rule.Pass, f *finding.Finding) {
	m := forbidden.FindStringSubmatch(w.line)
	if m == nil {
		return
	}
	account := finding.Subject{Kind: "ServiceAccount", Namespace: m[1], Name: m[2]}
	verb, resource, group, namespace := m[3], m[4], m[5], m[6]
	user := "system:serviceaccount:" + m[1] + ":" + m[2]
	f.WaitsFor = append(f.WaitsFor, account)
	answer, ok := p.Ask(snapshot.Question{Kind: snapshot.AccessReview, Namespace: namespace, Verb: verb, Group: group, Resource: resource, User: user})
	if ok && answer.Outcome == snapshot.Answered {
		granted := strings.TrimSpace(answer.Text) == allowed
		f.Evidence = append(f.Evidence, finding.Evidence{
			Source: "SubjectAccessReview " + user, Path: ".status.allowed", Value: strconv.FormatBool(granted), At: finding.Timestamp(answer.At),
		})
		if granted {
			f.Mechanism = v1alpha1.MechanismCrashing
			f.Why = finding.Join("; ", f.Why, finding.Textf("by now %s may do that", "지금은 %s에 그 권한이 있습니다", finding.Named(account)))
			return
		}
	}
	qualified := resource
	if group != "" {
		qualified += "." + group
	}
	name := fmt.Sprintf("%s-%s-%s", m[2], verb, strings.NewReplacer("/", "-", ".", "-").Replace(resource))
	in, role, binding := "kubectl -n "+namespace+" ", "role", "rolebinding"
	if namespace == "" {
		in, role, binding = "kubectl ", "clusterrole", "clusterrolebinding"
	}
	f.Remedies.Now = append(f.Remedies.Now, finding.Remedy{
		Text: finding.Textf("if it is meant to do that: restore its binding, or give %s the right to %s %s", "허용할 작업이면 삭제된 binding을 복구하거나 %s에 권한을 부여합니다(%s %s)",
			finding.Named(account), verb, resource),
		Command: fmt.Sprintf("%screate %s %s --verb=%s --resource=%s && %[1]screate %[6]s %[3]s --%[2]s=%[3]s --serviceaccount=%[7]s:%[8]s",
			in, role, name, verb, qualified, binding, m[1], m[2]),
	})
}

// allowed is the text of an AccessReview that allows.
const allowed = "allowed"

// kindUnknown matches the words for a kind that no API serves
// (k8s.io/apimachinery/pkg/api/meta/errors.go, NoKindMatchError).
var kindUnknown = regexp.MustCompile(`no matches for kind \\?"([A-Za-z0-9]+)\\?" in (?:version|group) \\?"([a-z0-9.-]+)`)

// missingDefinition is the CustomResourceDefinition that a line says is missing, by the name that one
// for its kind has if its plural is made in the usual way.
func missingDefinition(line string) []finding.Subject {
	m := kindUnknown.FindStringSubmatch(line)
	if m == nil {
		return nil
	}
	plural, _ := meta.UnsafeGuessKindToResource(schema.GroupVersionKind{Group: m[2], Kind: m[1]})
	return []finding.Subject{{Kind: "CustomResourceDefinition", Name: plural.GroupResource().String()}}
}
