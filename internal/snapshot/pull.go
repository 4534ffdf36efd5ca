package snapshot

import (
	"cmp"
	"maps"
	"regexp"
	"slices"
	"strings"
	"time"

	corev1 "k8s.io/api/core/v1"
)

// pullReasons are the waiting reasons of a container whose image the kubelet cannot get
// (k8s.io/kubernetes/pkg/kubelet/images/types.go and k8s.io/cri-api/pkg/errors).
var pullReasons = []string{
	"ErrImagePull", "ImagePullBackOff", "InvalidImageName", "ErrImageNeverPull", "ImageInspectError",
	"RegistryUnavailable", "SignatureValidationFailed",
}

// PullFailure is a container that waits for an image that could not be pulled.
type PullFailure struct {
	// Pod of the container.
	Pod *corev1.Pod
	// Container's name.
	Container string
	// Init tells whether it is an init container.
	Init bool
	// Image as the pod's spec names it.
	Image string
	// Reason for which the container waits, such as ImagePullBackOff.
	Reason string
	// Message of the container runtime: from the status, or from the pod's newest event about a
	// failed pull where the status only speaks of backing off.
	Message string
	// Since is when the pull first failed, as far as events tell, else when the pod was bound to
	// its node; the zero time where neither is known.
	Since time.Time
}

// PullFailures returns the containers that wait for an image, of pods that are neither done nor
// being deleted, in the order of their pods. They are shared: do not write to the slice. It reads Pods
// and Events.
func (s *Snapshot) PullFailures() []PullFailure {
	pods := List[*corev1.Pod](s)
	List[*corev1.Event](s) // a rule must declare what it reads, whether it is the first to ask or not
	s.index.pulls.Do(func() {
		for _, p := range pods {
			if PodDone(p) || p.DeletionTimestamp != nil {
				continue
			}
			s.addPullFailures(p, p.Status.InitContainerStatuses, true)
			s.addPullFailures(p, p.Status.ContainerStatuses, false)
		}
	})
	return s.index.failed
}

func (s *Snapshot) addPullFailures(p *corev1.Pod, statuses []corev1.ContainerStatus, isInit bool) {
	for i := range statuses {
		c := &statuses[i]
		if w := c.State.Waiting; w != nil && slices.Contains(pullReasons, w.Reason) {
			s.index.failed = append(s.index.failed, s.pullFailure(p, c, isInit, cmp.Or(SpecImage(p, c.Name), c.Image)))
		}
	}
}

func (s *Snapshot) pullFailure(p *corev1.Pod, c *corev1.ContainerStatus, isInit bool, image string) PullFailure {
	f := PullFailure{
		Pod: p, Container: c.Name, Init: isInit, Image: image,
		Reason: c.State.Waiting.Reason, Message: c.State.Waiting.Message,
	}
	if bound := PodCondition(p, corev1.PodScheduled); bound != nil && bound.Status == corev1.ConditionTrue {
		f.Since = bound.LastTransitionTime.Time
	}
	// The kubelet tells of a failed pull with reason Failed and this very beginning
	// (k8s.io/kubernetes/pkg/kubelet/images/image_manager.go).
	prefix := `Failed to pull image "` + image + `": `
	for _, e := range s.PodEvents(p) {
		message, ok := strings.CutPrefix(e.Message, prefix)
		if !ok || e.Reason != "Failed" {
			continue
		}
		if !strings.Contains(f.Message, ": ") {
			f.Message = message
		}
		if first := EventStart(e); first.After(f.Since) {
			f.Since = first
		}
		break
	}
	return f
}

// PodEvents returns the Events about this very pod and not about an earlier one of its name, the
// newest first. It reads Events.
func (s *Snapshot) PodEvents(p *corev1.Pod) []*corev1.Event {
	var out []*corev1.Event
	for _, e := range s.EventsOf(SubjectOf(p)) {
		if e.InvolvedObject.UID == "" || p.UID == "" || e.InvolvedObject.UID == p.UID {
			out = append(out, e)
		}
	}
	slices.Reverse(out)
	return out
}

// EventStart is when an Event was first seen; the zero time where it does not say.
func EventStart(e *corev1.Event) time.Time {
	switch {
	case !e.FirstTimestamp.IsZero():
		return e.FirstTimestamp.Time
	case !e.EventTime.IsZero():
		return e.EventTime.Time
	default:
		return e.CreationTimestamp.Time
	}
}

// LookUpFailure is a name that could not be resolved, as an error message tells it.
type LookUpFailure struct {
	// Host that was looked up.
	Host string
	// Unknown tells that a name server answered that there is no such name. Otherwise no usable
	// answer came at all.
	Unknown bool
}

// lookUpErrors match what Go's resolver says (net, DNSError.Error), with the host and the reason.
var lookUpErrors = regexp.MustCompile(`\blookup ([A-Za-z0-9._-]+)(?: on [^ ]+)?: (no such host|server misbehaving|Temporary failure in name resolution|[^"]*i/o timeout|[^"]*connection refused|[^"]*network is unreachable|[^"]*no route to host)`)

// ParseLookUp finds a failed look-up of a name in the message of a program that is written in Go,
// such as containerd; false where the message speaks of none.
func ParseLookUp(message string) (LookUpFailure, bool) {
	if !strings.Contains(message, "lookup ") { // much cheaper, and most messages speak of something else
		return LookUpFailure{}, false
	}
	m := lookUpErrors.FindStringSubmatch(message)
	if m == nil {
		return LookUpFailure{}, false
	}
	return LookUpFailure{Host: strings.TrimSuffix(m[1], "."), Unknown: m[2] == "no such host"}, true
}

// BrokenResolver is a node that cannot resolve the names of registries while others can.
type BrokenResolver struct {
	// Node that cannot.
	Node string
	// Hosts that it, and no other node, looked up in vain, sorted, each once.
	Hosts []string
	// Failures are the pulls that failed for it.
	Failures []PullFailure
}

// BrokenResolvers returns the nodes that are to blame for failed look-ups of registries, rather
// than the names, by node. Only names that fail on no other node count; and no answer came at all,
// or several names failed, or another node runs a container of such a registry. A single name that
// nobody else uses and of which a name server said that it does not exist is more likely mistyped.
// It reads Pods.
func (s *Snapshot) BrokenResolvers(failures []PullFailure) []BrokenResolver {
	nodesOf := map[string]map[string]bool{}
	for _, f := range failures {
		if l, ok := ParseLookUp(f.Message); ok {
			if nodesOf[l.Host] == nil {
				nodesOf[l.Host] = map[string]bool{}
			}
			nodesOf[l.Host][f.Pod.Spec.NodeName] = true
		}
	}
	found, silent := map[string]*BrokenResolver{}, map[string]bool{}
	for _, f := range failures {
		l, ok := ParseLookUp(f.Message)
		node := f.Pod.Spec.NodeName
		if !ok || len(nodesOf[l.Host]) > 1 {
			continue
		}
		if found[node] == nil {
			found[node] = &BrokenResolver{Node: node}
		}
		found[node].Failures = append(found[node].Failures, f)
		if !slices.Contains(found[node].Hosts, l.Host) {
			found[node].Hosts = append(found[node].Hosts, l.Host)
		}
		silent[node] = silent[node] || !l.Unknown
	}
	var out []BrokenResolver
	for _, node := range slices.Sorted(maps.Keys(found)) {
		r := *found[node]
		slices.Sort(r.Hosts)
		if silent[node] || len(r.Hosts) > 1 || s.startedElsewhere(r) {
			out = append(out, r)
		}
	}
	return out
}

// startedElsewhere tells whether another node started a container of one of the registries.
func (s *Snapshot) startedElsewhere(r BrokenResolver) bool {
	registries := map[string]bool{}
	for _, f := range r.Failures {
		registries[ParseImage(f.Image).Registry] = true
	}
	return slices.ContainsFunc(List[*corev1.Pod](s), func(p *corev1.Pod) bool {
		return p.Spec.NodeName != r.Node && slices.ContainsFunc(p.Status.ContainerStatuses, func(c corev1.ContainerStatus) bool {
			return c.ImageID != "" && c.State.Waiting == nil && registries[ParseImage(cmp.Or(SpecImage(p, c.Name), c.Image)).Registry]
		})
	})
}
