package network

import (
	"cmp"
	"net/netip"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/maek-dev/maek/internal/finding"
	"github.com/maek-dev/maek/internal/snapshot"
)

// failedCall is what a line of a log tells of a connection that did not come about.
type failedCall struct {
	line string
	// at is when the line was written; zero where it does not say.
	at time.Time
	// names tells that a name could not be looked up because no answer came.
	names bool
	// refused tells that somebody answered and refused; else nothing came back.
	refused bool
	// targets are the hosts, with ports where there are any, that the line names.
	targets []target
}

// target is a host and port that a program calls; port 0 is not told.
type target struct {
	host string
	port int32
}

var (
	// unanswered are the words in which programs say that nothing came back: Go, the C library
	// (strerror(3)), Node.js, Java, Python, libpq.
	unanswered = regexp.MustCompile(`i/o timeout|(?i:timed ?out)\b|ETIMEDOUT|EHOSTUNREACH|(?i:no route to host)|context deadline exceeded|Client\.Timeout`)
	// refusals are those in which they say that the connection was refused. Some network plugins
	// refuse what a policy denies, and most drop it.
	refusals = regexp.MustCompile(`(?i)connection refused|ECONNREFUSED`)
	// lookups are the words in which they say that a server of names gave no answer. "no such host"
	// is none of them: that is an answer.
	lookups = regexp.MustCompile(`lookup [^ ]+.*(?:i/o timeout|timed out|deadline exceeded|operation was canceled|connection refused)|[Tt]emporary failure in name resolution|EAI_AGAIN|:53: (?:i/o timeout|read: |write: |connect: )|[Rr]esolving timed out|server misbehaving`)
	// urls, pairs and addresses find what was called.
	urls  = regexp.MustCompile(`\b[a-z][a-z0-9+.-]*://(?:[^\s/@"'\\]*@)?([A-Za-z0-9][A-Za-z0-9.-]*|\[[0-9A-Fa-f:]+\])(?::(\d{1,5}))?`)
	pairs = regexp.MustCompile(`([A-Za-z0-9](?:[A-Za-z0-9.-]*[A-Za-z0-9])?|\[[0-9A-Fa-f:]+\]):(\d{1,5})\b`)
	libpq = regexp.MustCompile(`(?:at|server at|host) "([^"\\]+)\\?"(?: \([^)]*\))?, port (\d{1,5})`)
	// stamps are RFC 3339 times, as structured logs bear them.
	stamps = regexp.MustCompile(`\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(?:\.\d+)?(?:Z|[+-]\d\d:\d\d)`)
)

// callLines is how many lines from the end of a log are looked at.
const callLines = 100

// failedCalls reads the calls that failed from the end of a log, the latest first.
func failedCalls(log string) []failedCall {
	lines := strings.Split(strings.ReplaceAll(log, "\r", ""), "\n")
	var out []failedCall
	for _, line := range slices.Backward(lines[max(0, len(lines)-callLines):]) {
		c := failedCall{line: strings.TrimSpace(line), names: lookups.MatchString(line)}
		c.refused = refusals.MatchString(line)
		if !c.names && !c.refused && !unanswered.MatchString(line) {
			continue
		}
		if at, err := time.Parse(time.RFC3339Nano, stamps.FindString(line)); err == nil {
			c.at = at
		}
		line = stamps.ReplaceAllString(line, "")
		for _, words := range []*regexp.Regexp{urls, libpq, pairs} {
			for _, m := range words.FindAllStringSubmatch(line, -1) {
				port, err := strconv.ParseInt(cmp.Or(m[2], "0"), 10, 32)
				if err != nil || port > 65535 {
					continue
				}
				if t := (target{host: strings.Trim(m[1], "[]"), port: int32(port)}); !slices.Contains(c.targets, t) {
					c.targets = append(c.targets, t)
				}
			}
		}
		out = append(out, c)
	}
	return out
}

// directory finds the Services and pods that programs call.
type directory struct {
	s         *snapshot.Snapshot
	byAddress map[netip.Addr]*corev1.Service
	pods      map[netip.Addr]*corev1.Pod
}

// newDirectory indexes the addresses of Services and pods.
func newDirectory(s *snapshot.Snapshot) *directory {
	d := &directory{s: s, byAddress: map[netip.Addr]*corev1.Service{}, pods: map[netip.Addr]*corev1.Pod{}}
	for _, svc := range snapshot.List[*corev1.Service](s) {
		for _, a := range parseAddresses(append([]string{svc.Spec.ClusterIP}, svc.Spec.ClusterIPs...)...) {
			d.byAddress[a] = svc
		}
	}
	for _, pod := range snapshot.List[*corev1.Pod](s) {
		if snapshot.PodDone(pod) || pod.Spec.HostNetwork {
			continue
		}
		for _, a := range podPeer(pod).addresses {
			d.pods[a] = pod
		}
	}
	return d
}

// service finds the Service that a pod means by a host: by its address, or by its name, short as in
// the pod's own namespace or with more of its domain.
func (d *directory) service(namespace, host string) (*corev1.Service, bool) {
	if a, err := netip.ParseAddr(host); err == nil {
		svc, ok := d.byAddress[a]
		return svc, ok
	}
	labels := strings.Split(strings.TrimSuffix(host, "."), ".")
	if len(labels) >= 3 && labels[2] != "svc" {
		return nil, false
	}
	if len(labels) >= 2 {
		namespace = labels[1]
	}
	return snapshot.Get[*corev1.Service](d.s, namespace, labels[0])
}

// servicePort finds the port of a Service that a call means: the one with its number, or the only one.
func servicePort(svc *corev1.Service, number int32) (corev1.ServicePort, bool) {
	if number == 0 && len(svc.Spec.Ports) == 1 {
		return svc.Spec.Ports[0], true
	}
	for _, port := range svc.Spec.Ports {
		if port.Port == number {
			return port, true
		}
	}
	return corev1.ServicePort{}, false
}

// targetNumber is the number of a pod's port to which a Service's port leads
// (k8s.io/endpointslice, FindPort).
func targetNumber(port corev1.ServicePort, pod *corev1.Pod) (int32, bool) {
	switch {
	case port.TargetPort.StrVal != "":
		return containerPort(pod, port.TargetPort.StrVal, protocolOf(port))
	case port.TargetPort.IntVal != 0:
		return port.TargetPort.IntVal, true
	default:
		return port.Port, true
	}
}

// protocolOf is a Service port's protocol, which the API server defaults to TCP.
func protocolOf(port corev1.ServicePort) corev1.Protocol {
	return cmp.Or(port.Protocol, corev1.ProtocolTCP)
}

// cutOff are the subjects that suffer when a workload's calls fail: the workload, its pods that are not
// ready, what made those, and the Services before them.
func cutOff(s *snapshot.Snapshot, workload finding.Subject) []finding.Subject {
	out := []finding.Subject{workload}
	for _, pod := range s.PodsOf(workload) {
		if snapshot.PodReady(pod) || pod.Status.Phase == corev1.PodSucceeded || longFailed(s, pod) {
			continue
		}
		out = append(out, snapshot.SubjectOf(pod))
		if ref := metav1.GetControllerOfNoCopy(pod); ref != nil {
			out = append(out, finding.Subject{Kind: ref.Kind, Namespace: pod.Namespace, Name: ref.Name})
		}
		for _, svc := range s.ServicesSelecting(pod) {
			out = append(out, snapshot.SubjectOf(svc))
		}
	}
	return out
}
