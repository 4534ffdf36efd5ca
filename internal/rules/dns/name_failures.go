package dns

import (
	"net/netip"
	"regexp"
	"slices"
	"strings"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/maek-dev/maek/internal/finding"
	"github.com/maek-dev/maek/internal/rule"
	"github.com/maek-dev/maek/internal/snapshot"
)

// nameFailure is a pod in trouble whose log says that a server of names gave no answer, or none that
// helps.
type nameFailure struct {
	pod       *corev1.Pod
	workload  finding.Subject
	container string
	line      string
	// name that was looked up and server that was asked; empty and invalid where the line does not say.
	name   string
	server netip.Addr
}

// sufferersAsked is how many workloads in trouble are asked whether names fail them. Their logs are
// mostly those that the rules about containers read too, and are read once.
const sufferersAsked = 5

var (
	// failedLookup is Go's words about a lookup to which no good answer came (net, DNSError).
	failedLookup = regexp.MustCompile(`lookup ([^\s:]+)(?: on ([0-9a-fA-F.:\[\]]+):53)?: (?:server misbehaving|.*i/o timeout|.*connection refused|.*no route to host)`)
	// noResolver is what the C library (gai_strerror(3), EAI_AGAIN) and Node.js say, where a name may follow.
	noResolver = regexp.MustCompile(`[Tt]emporary failure in name resolution|EAI_AGAIN(?: ([A-Za-z0-9.-]+))?`)
)

// nameFailures asks the pods that keep ending or are not ready whether names fail them, one a workload.
func nameFailures(p *rule.Pass) []nameFailure {
	var out []nameFailure
	seen := map[finding.Subject]bool{}
	for _, pod := range snapshot.List[*corev1.Pod](p.Snapshot) {
		container, previous, ok := inTrouble(p.Snapshot, pod)
		if !ok || len(seen) == sufferersAsked {
			continue
		}
		w := p.Workload(pod)
		if seen[w] {
			continue
		}
		seen[w] = true
		answer, _ := p.Ask(snapshot.Question{Kind: snapshot.ContainerLog, Namespace: pod.Namespace, Name: pod.Name, Container: container, Previous: previous})
		f := nameFailure{pod: pod, workload: w, container: container}
		lines := strings.Split(answer.Text, "\n")
		for _, line := range slices.Backward(lines[max(0, len(lines)-100):]) {
			if m := failedLookup.FindStringSubmatch(line); m != nil {
				f.name, f.line = m[1], line
				if a, err := netip.ParseAddr(strings.Trim(m[2], "[]")); err == nil {
					f.server = a
				}
				break
			}
			if m := noResolver.FindStringSubmatch(line); m != nil {
				f.name, f.line = m[1], line
				break
			}
		}
		if f.line != "" {
			out = append(out, f)
		}
	}
	return out
}

// inTrouble names the container of a pod that keeps ending or runs without being ready, and whether it
// is its previous run that tells why. Cluster DNS itself is told by other rules.
func inTrouble(s *snapshot.Snapshot, pod *corev1.Pod) (container string, previous, found bool) {
	if snapshot.PodDone(pod) || pod.DeletionTimestamp != nil || pod.Labels[dnsLabel] == dnsValue || pod.Spec.DNSPolicy == corev1.DNSDefault || pod.Spec.HostNetwork {
		return "", false, false
	}
	for i := range pod.Status.ContainerStatuses {
		c := &pod.Status.ContainerStatuses[i]
		switch {
		case c.Ready:
		case c.State.Terminated != nil && c.State.Terminated.ExitCode != 0:
			return c.Name, false, true
		case c.State.Running == nil && c.LastTerminationState.Terminated != nil:
			return c.Name, true, true
		case c.State.Running != nil && c.RestartCount > 0 && c.LastTerminationState.Terminated != nil:
			return c.Name, true, true
		case c.State.Running != nil && !snapshot.PodReady(pod) && !s.PodStarting(pod):
			return c.Name, false, true
		}
	}
	return "", false, false
}

// outside tells whether a name is one that cluster DNS does not know itself: it has a dot and does not
// end as names of the cluster do. An empty one may be.
func outside(name string) bool {
	name = strings.TrimSuffix(name, ".")
	return name == "" || strings.Contains(name, ".") && !strings.HasSuffix(name, ".svc") && !strings.HasSuffix(name+".", "."+defaultDomain) &&
		!strings.Contains(name, ".svc.")
}

// sufferers are the subjects that name failures harm: the workloads, and their pods that are not ready.
func sufferers(s *snapshot.Snapshot, failures []nameFailure) []finding.Subject {
	var out []finding.Subject
	for _, f := range failures {
		out = append(out, f.workload)
		for _, pod := range s.PodsOf(f.workload) {
			if snapshot.PodReady(pod) || snapshot.PodDone(pod) {
				continue
			}
			out = append(out, snapshot.SubjectOf(pod))
			if ref := metav1.GetControllerOfNoCopy(pod); ref != nil {
				out = append(out, finding.Subject{Kind: ref.Kind, Namespace: pod.Namespace, Name: ref.Name})
			}
		}
	}
	slices.SortFunc(out, finding.CompareSubjects)
	return slices.Compact(out)
}

// evidence quotes the lines of some name failures.
func evidence(failures []nameFailure) []finding.Evidence {
	var out []finding.Evidence
	for _, f := range failures[:min(len(failures), 2)] {
		out = append(out, finding.Evidence{Source: finding.Named(snapshot.SubjectOf(f.pod)), Path: "log of " + f.container, Value: finding.Quote(f.line)})
	}
	return out
}
