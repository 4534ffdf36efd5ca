package checks

import (
	"net/url"
	"slices"
	"strings"

	corev1 "k8s.io/api/core/v1"
	networkingv1 "k8s.io/api/networking/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/maek-dev/maek/internal/finding"
	"github.com/maek-dev/maek/internal/rule"
	"github.com/maek-dev/maek/internal/snapshot"
)

// targetNeeds are the kinds among which the targets of checks are found.
func targetNeeds() []rule.Need { return append(namedNeeds(), rule.Optional[*networkingv1.Ingress]()) }

// targets are the objects that a check of Maek's own asks, as its spec and its newest run name them.
type targets struct {
	s  *snapshot.Snapshot
	of *check
	// subjects of all of them, each once, and what is behind those that are ill: what the check waits for.
	subjects []finding.Subject
	// pods that answer to the check, whether they are well or not.
	pods []*corev1.Pod
}

// allTargets are the targets of the checks that fail, by check.
type allTargets map[*check]targets

// targetsOf finds whom the checks that fail ask, once for all rules.
func targetsOf(s *snapshot.Snapshot) allTargets {
	return snapshot.Derived(s, func() allTargets {
		out := allTargets{}
		for _, c := range checksOf(s).all {
			if c.spec != nil && c.failing(s.Now()) {
				t := targets{s: s, of: c}
				t.find()
				out[c] = t
			}
		}
		return out
	})
}

func (t *targets) find() {
	spec, ns := t.of.spec, t.of.subject.Namespace
	for _, f := range t.of.failed {
		t.named(ns, f.Target)
		if f.From != "" {
			t.put(finding.Subject{Kind: "Node", Name: f.From})
		}
	}
	for _, host := range hostsOf(t.of) {
		t.host(ns, host)
	}
	if spec.Target == nil {
		return
	}
	if to := spec.Target.Service; to != nil {
		t.service(ns, to.Name)
	}
	if to := spec.Target.Pods; to != nil && len(t.of.failed) == 0 {
		// A selector by expressions is the API server's to match; the run names the pods that fail.
		if len(to.Selector.MatchExpressions) == 0 && len(to.Selector.MatchLabels) > 0 {
			t.behind(t.s.PodsSelected(ns, to.Selector.MatchLabels))
		}
	}
	if to := spec.Target.Ingress; to != nil {
		if o, ok := snapshot.Get[*networkingv1.Ingress](t.s, ns, to.Name); ok {
			t.ingress(o, to.Host)
		}
	}
}

// put takes in a subject, if it is not there and there is room.
func (t *targets) put(subject finding.Subject) {
	if len(t.subjects) < maxMentions && !slices.Contains(t.subjects, subject) {
		t.subjects = append(t.subjects, subject)
	}
}

// named takes in a target that a run names: a pod of the check's namespace, a node, or an address.
func (t *targets) named(ns, name string) {
	host, _, isAddress := cutPort(name)
	if pod, ok := snapshot.Get[*corev1.Pod](t.s, ns, name); ok {
		t.pod(pod)
		return
	}
	if isAddress {
		name = host
	}
	for _, subject := range namedIn(t.s).inPlace[place{name: name}] {
		if pod, ok := snapshot.Get[*corev1.Pod](t.s, subject.Namespace, subject.Name); ok && subject.Kind == "Pod" {
			t.pod(pod)
		} else {
			t.put(subject)
		}
	}
}

// pod takes in one that fails, whose it is, and where it runs.
func (t *targets) pod(pod *corev1.Pod) {
	t.pods = append(t.pods, pod)
	t.put(snapshot.SubjectOf(pod))
	t.put(t.s.Workload(pod))
	if pod.Spec.NodeName != "" {
		t.put(finding.Subject{Kind: "Node", Name: pod.Spec.NodeName})
	}
}

// behind takes in those of a target's pods that are not ready: the others answer for all that is known.
func (t *targets) behind(pods []*corev1.Pod) {
	for _, pod := range pods {
		switch {
		case snapshot.PodDone(pod):
		case snapshot.PodReady(pod):
			t.pods = append(t.pods, pod)
		default:
			t.pod(pod)
		}
	}
}

func (t *targets) service(ns, name string) {
	t.put(finding.Subject{Kind: "Service", Namespace: ns, Name: name})
	if svc, ok := snapshot.Get[*corev1.Service](t.s, ns, name); ok && len(svc.Spec.Selector) > 0 {
		t.behind(t.s.PodsSelected(ns, svc.Spec.Selector))
	}
}

// host takes in a host by the name or the address that a check gives it.
func (t *targets) host(ns, host string) {
	if name, of, ok := serviceName(t.s, ns, host); ok {
		t.service(of, name)
		return
	}
	t.named(ns, host)
	for _, o := range snapshot.List[*networkingv1.Ingress](t.s) {
		if slices.ContainsFunc(o.Spec.Rules, func(r networkingv1.IngressRule) bool { return strings.EqualFold(r.Host, host) }) {
			t.ingress(o, host)
		}
	}
}

// ingress takes in an Ingress and the Services behind its rules for a host; of its first rule where no host
// is given.
func (t *targets) ingress(o *networkingv1.Ingress, host string) {
	t.put(snapshot.SubjectOf(o))
	backend := func(b *networkingv1.IngressBackend) {
		if b != nil && b.Service != nil {
			t.service(o.Namespace, b.Service.Name)
		}
	}
	backend(o.Spec.DefaultBackend)
	for i, r := range o.Spec.Rules {
		if host == "" && i > 0 || host != "" && !strings.EqualFold(r.Host, host) && r.Host != "" || r.HTTP == nil {
			continue
		}
		for _, path := range r.HTTP.Paths {
			backend(&path.Backend)
		}
	}
}

// hostsOf are the hosts that a check's spec names.
func hostsOf(c *check) []string {
	var out []string
	if a := c.spec.HTTPGet; a != nil {
		out = append(out, a.Host)
	}
	if a := c.spec.TCPSocket; a != nil {
		out = append(out, a.Host)
	}
	if a := c.spec.DNS; a != nil {
		out = append(out, a.Server)
	}
	if to := c.spec.Target; to != nil {
		out = append(out, to.Host)
		if u, err := url.Parse(to.URL); err == nil {
			out = append(out, u.Hostname())
		}
	}
	return slices.DeleteFunc(out, func(host string) bool { return host == "" })
}

// serviceName reads NAME, NAME.NAMESPACE and NAME.NAMESPACE.svc, with a cluster's domain behind it or not, as
// the name of a Service that there is. A bare name is one of the namespace.
func serviceName(s *snapshot.Snapshot, ns, host string) (name, of string, ok bool) {
	parts := strings.Split(strings.TrimSuffix(host, "."), ".")
	name, of = parts[0], ns
	if len(parts) > 1 {
		of = parts[1]
	}
	if len(parts) > 2 && parts[2] != "svc" {
		return "", "", false
	}
	_, ok = snapshot.Get[*corev1.Service](s, of, name)
	return name, of, ok
}

// cutPort takes the port off an address, host:port or [host]:port.
func cutPort(address string) (host, port string, ok bool) {
	i := strings.LastIndexByte(address, ':')
	if i < 0 {
		return address, "", false
	}
	return strings.Trim(address[:i], "[]"), address[i+1:], true
}

// condition of a check by its type; nil where there is none.
func condition(conditions []metav1.Condition, kind string) *metav1.Condition {
	for i := range conditions {
		if conditions[i].Type == kind {
			return &conditions[i]
		}
	}
	return nil
}
