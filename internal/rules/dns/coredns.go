package dns

import (
	"cmp"
	"fmt"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/maek-dev/maek/internal/finding"
	"github.com/maek-dev/maek/internal/rule"
	"github.com/maek-dev/maek/internal/snapshot"
)

// corefileKey is the key under which installers keep the Corefile, and corefileMap the ConfigMap
// (k8s.io/kubernetes/cmd/kubeadm/app/phases/addons/dns/manifests.go).
const (
	corefileKey = "Corefile"
	corefileMap = "coredns"
)

// coreDNS is cluster DNS that is served by CoreDNS.
type coreDNS struct {
	svc  *corev1.Service
	pods []*corev1.Pod
	// container that runs CoreDNS in each of them.
	container string
	// config is the ConfigMap with the Corefile; nil where it could not be read.
	config *corev1.ConfigMap
	// by changed it last, at written.
	by      string
	written time.Time
}

// coreDNSKinds are what findCoreDNS reads.
func coreDNSKinds() []rule.Need {
	return slices.Concat([]rule.Need{
		rule.Any[*corev1.Service](), rule.Any[*corev1.Pod](), rule.Optional[*corev1.ConfigMap](), rule.Optional[*appsv1.Deployment](),
	}, rule.Owners())
}

// findCoreDNS finds the CoreDNS behind the Service of cluster DNS; false where there is none, or
// another server.
func findCoreDNS(s *snapshot.Snapshot) (coreDNS, bool) {
	for _, svc := range snapshot.List[*corev1.Service](s) {
		if svc.Namespace != metav1.NamespaceSystem || svc.Labels[dnsLabel] != dnsValue {
			continue
		}
		for _, pod := range servers(s, svc) {
			name, configMap := runsCoreDNS(pod)
			if name == "" {
				continue
			}
			c := coreDNS{svc: svc, pods: servers(s, svc), container: name}
			if m, ok := snapshot.Get[*corev1.ConfigMap](s, pod.Namespace, configMap); ok {
				c.config = m
				c.by, c.written = snapshot.LastManager(m)
			}
			return c, true
		}
	}
	return coreDNS{}, false
}

// runsCoreDNS names the container of a pod that runs CoreDNS and the ConfigMap of its Corefile.
func runsCoreDNS(pod *corev1.Pod) (container, configMap string) {
	configMap = corefileMap
	for i := range pod.Spec.Volumes {
		m := pod.Spec.Volumes[i].ConfigMap
		if m != nil && slices.ContainsFunc(m.Items, func(item corev1.KeyToPath) bool { return item.Key == corefileKey }) {
			configMap = m.Name
			break
		}
	}
	for i := range pod.Spec.Containers {
		if c := &pod.Spec.Containers[i]; c.Name == "coredns" || strings.Contains(c.Image, "coredns") {
			return c.Name, configMap
		}
	}
	return "", configMap
}

// corefile asks for the Corefile.
func (c coreDNS) corefile(p *rule.Pass) (string, bool) {
	if c.config == nil {
		return "", false
	}
	answer, ok := p.Ask(snapshot.Question{Kind: snapshot.ConfigMapValue, Namespace: c.config.Namespace, Name: c.config.Name, Key: corefileKey})
	return answer.Text, ok && answer.Outcome == snapshot.Answered && answer.Text != ""
}

// subject is the ConfigMap.
func (c coreDNS) subject() finding.Subject {
	if c.config == nil {
		return finding.Subject{Kind: "ConfigMap", Namespace: c.svc.Namespace, Name: corefileMap}
	}
	return snapshot.SubjectOf(c.config)
}

// changed says who changed the Corefile and when.
func (c coreDNS) changed(now time.Time) finding.Text {
	if c.written.IsZero() {
		return finding.Text{}
	}
	return finding.Textf("it was last changed at %s by %q", "마지막 변경: %s, %q", finding.Clock(now, c.written), c.by)
}

// port is the one on which the servers take the questions of pods.
func (c coreDNS) port() string {
	for _, port := range c.svc.Spec.Ports {
		if port.Protocol != corev1.ProtocolUDP {
			continue
		}
		if n := port.TargetPort.IntVal; n != 0 {
			return strconv.Itoa(int(n))
		}
		for _, pod := range c.pods {
			for i := range pod.Spec.Containers {
				for _, declared := range pod.Spec.Containers[i].Ports {
					if port.TargetPort.StrVal != "" && declared.Name == port.TargetPort.StrVal {
						return strconv.Itoa(int(declared.ContainerPort))
					}
				}
			}
		}
	}
	return "53"
}

// ended tells whether the CoreDNS of a pod keeps ending or has just ended in failure, and whether it
// is the log of its previous run that tells why.
func (c coreDNS) ended(pod *corev1.Pod) (previous, found bool) {
	for i := range pod.Status.ContainerStatuses {
		s := &pod.Status.ContainerStatuses[i]
		switch {
		case s.Name != c.container || s.Ready:
		case s.State.Terminated != nil && s.State.Terminated.ExitCode != 0:
			return false, true
		case s.LastTerminationState.Terminated != nil && s.LastTerminationState.Terminated.ExitCode != 0:
			return true, true
		}
	}
	return false, false
}

// log asks for the log of a pod's CoreDNS; it is empty where it is not known.
func (c coreDNS) log(p *rule.Pass, pod *corev1.Pod, previous bool) string {
	answer, _ := p.Ask(snapshot.Question{
		Kind: snapshot.ContainerLog, Namespace: pod.Namespace, Name: pod.Name, Container: c.container, Previous: previous,
	})
	return answer.Text
}

// failed are the pods whose CoreDNS keeps ending, and one of them with what its log says of it.
func (c coreDNS) failed(p *rule.Pass) (pods []*corev1.Pod, log string) {
	for _, pod := range c.pods {
		if previous, ok := c.ended(pod); ok {
			if len(pods) == 0 {
				log = c.log(p, pod, previous)
			}
			pods = append(pods, pod)
		}
	}
	return pods, log
}

// serves tells whether cluster DNS still has a server.
func (c coreDNS) serves() bool { return slices.ContainsFunc(c.pods, snapshot.PodReady) }

// harmed are the subjects that suffer when pods of CoreDNS end: the pods, what made them, and the
// Service where no server is left.
func (c coreDNS) harmed(s *snapshot.Snapshot, pods []*corev1.Pod) []finding.Subject {
	var out []finding.Subject
	for _, pod := range pods {
		out = append(out, snapshot.SubjectOf(pod), s.Workload(pod))
		if ref := metav1.GetControllerOfNoCopy(pod); ref != nil {
			out = append(out, finding.Subject{Kind: ref.Kind, Namespace: pod.Namespace, Name: ref.Name})
		}
	}
	if len(pods) > 0 {
		out = append(out, snapshot.SubjectOf(c.svc))
	}
	slices.SortFunc(out, finding.CompareSubjects)
	return slices.Compact(out)
}

// firstEnded is when the first of pods ceased to be ready.
func firstEnded(pods []*corev1.Pod) time.Time {
	var first time.Time
	for _, pod := range pods {
		first = finding.Earlier(first, snapshot.NotReadySince(pod))
	}
	return first
}

// logEvidence quotes a line of a pod's log.
func (c coreDNS) logEvidence(pod *corev1.Pod, line string) finding.Evidence {
	return finding.Evidence{Source: finding.Named(snapshot.SubjectOf(pod)), Path: "log of " + c.container, Value: finding.Quote(line)}
}

// restart lets the servers take up a Corefile.
func (c coreDNS) restart(s *snapshot.Snapshot) finding.Remedy {
	w := finding.Subject{Kind: "Deployment", Namespace: c.svc.Namespace, Name: corefileMap}
	if len(c.pods) > 0 {
		w = s.Workload(c.pods[0])
	}
	return finding.Remedy{
		Text:    finding.Text{EN: "let the servers start with it", KO: "DNS 서버를 다시 시작합니다"},
		Command: fmt.Sprintf("kubectl -n %s rollout restart %s/%s", w.Namespace, strings.ToLower(w.Kind), w.Name),
	}
}

// edit changes the Corefile.
func (c coreDNS) edit(text finding.Text) finding.Remedy {
	subject := c.subject()
	return finding.Remedy{Text: text, Command: fmt.Sprintf("kubectl -n %s edit configmap %s", subject.Namespace, subject.Name)}
}

// lastLine returns the last line of a log that an expression matches, and what its first group holds.
func lastLine(log string, says *regexp.Regexp) (line, group string) {
	for _, l := range slices.Backward(strings.Split(strings.ReplaceAll(log, "\r", ""), "\n")) {
		if m := says.FindStringSubmatch(l); m != nil {
			return strings.TrimSpace(l), cmp.Or(m[1:]...)
		}
	}
	return "", ""
}

// podList names pods for a command.
func podList(pods []*corev1.Pod) string {
	var names []string
	for _, pod := range pods {
		names = append(names, pod.Name)
	}
	return strings.Join(names, " ")
}
