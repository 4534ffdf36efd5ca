package workload

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

// directory finds what in the cluster a name or an address stands for.
type directory struct {
	s *snapshot.Snapshot
	// services and pods are those at an address; nil until the first address is looked for.
	services map[string]*corev1.Service
	pods     map[string]*corev1.Pod
}

// dependencyNeeds are the kinds that a directory reads beside Pods.
func dependencyNeeds() []rule.Need { return []rule.Need{rule.Optional[*corev1.Service]()} }

func newDirectory(s *snapshot.Snapshot) *directory { return &directory{s: s} }

// service returns the Service for which a host stands when a pod of a namespace says it: by its
// name, with namespace and cluster domain or without (https://kubernetes.io/docs/concepts/services-networking/dns-pod-service/),
// by the name of a pod of a headless Service, or by its cluster IP.
func (d *directory) service(namespace, host string) (*corev1.Service, bool) {
	if _, err := netip.ParseAddr(host); err == nil {
		d.indexAddresses()
		svc, ok := d.services[host]
		return svc, ok
	}
	for _, key := range serviceKeys(namespace, host) {
		if svc, ok := snapshot.Get[*corev1.Service](d.s, key.Namespace, key.Name); ok {
			return svc, true
		}
	}
	return nil, false
}

// serviceKeys are the Services that a host may mean, the likeliest first.
func serviceKeys(namespace, host string) []metav1.ObjectMeta {
	host = strings.TrimSuffix(strings.ToLower(host), ".")
	within, qualified := host, false
	if before, _, ok := strings.Cut(host+".", ".svc."); ok {
		within, qualified = before, true
	}
	labels := strings.Split(within, ".")
	key := func(namespace, name string) metav1.ObjectMeta {
		return metav1.ObjectMeta{Namespace: namespace, Name: name}
	}
	switch {
	case len(labels) == 1 && !qualified:
		return []metav1.ObjectMeta{key(namespace, labels[0])}
	case len(labels) == 2 && qualified:
		return []metav1.ObjectMeta{key(labels[1], labels[0])}
	case len(labels) == 2:
		return []metav1.ObjectMeta{key(labels[1], labels[0]), key(namespace, labels[1])}
	case len(labels) == 3:
		return []metav1.ObjectMeta{key(labels[2], labels[1])}
	default:
		return nil
	}
}

func (d *directory) indexAddresses() {
	if d.services != nil {
		return
	}
	d.services, d.pods = map[string]*corev1.Service{}, map[string]*corev1.Pod{}
	for _, svc := range snapshot.List[*corev1.Service](d.s) {
		for _, ip := range append([]string{svc.Spec.ClusterIP}, svc.Spec.ClusterIPs...) {
			if ip != "" && ip != corev1.ClusterIPNone {
				d.services[ip] = svc
			}
		}
	}
	for _, p := range snapshot.List[*corev1.Pod](d.s) {
		if p.Status.PodIP != "" && !p.Spec.HostNetwork && !snapshot.PodDone(p) {
			d.pods[p.Status.PodIP] = p
		}
	}
}

// dependency is what a workload waits for.
type dependency struct {
	// subjects that stand for it: a Service and the workloads behind it, or a pod and its workload.
	subjects []finding.Subject
	// name of the Service or pod, with its kind, as a sentence names it.
	name string
	// host by which it is called.
	host string
}

// behind is what a Service stands for.
func (d *directory) behind(svc *corev1.Service, host string) dependency {
	self := finding.Subject{Kind: "Service", Namespace: svc.Namespace, Name: svc.Name}
	out := dependency{subjects: []finding.Subject{self}, name: finding.Named(self), host: host}
	for _, p := range d.s.PodsSelected(svc.Namespace, svc.Spec.Selector) {
		if w := d.s.Workload(p); !slices.Contains(out.subjects, w) {
			out.subjects = append(out.subjects, w)
		}
		if len(out.subjects) > workloadsBehind {
			break
		}
	}
	return out
}

// workloadsBehind bounds how many workloads stand for one Service.
const workloadsBehind = 4

var (
	hostInURL      = regexp.MustCompile(`[a-z][a-z0-9+.-]*://(?:[^/@\s"']*@)?([A-Za-z0-9.-]+)`)
	hostBeforePort = regexp.MustCompile(`(?:^|[\s"'(=@>])([A-Za-z0-9][A-Za-z0-9.-]*):\d{2,5}\b`)
)

// hostsNamed match the hosts in the words of programs: of look-ups that failed, of URLs, before a
// port, and in quotation marks or parentheses after a word for the far end.
var hostsNamed = []*regexp.Regexp{
	regexp.MustCompile(`lookup ([A-Za-z0-9._-]+)(?: on |: )`),
	regexp.MustCompile(`(?:EAI_AGAIN|ENOTFOUND|UnknownHostException:|resolve host:?|bad address|Failed to resolve|host name|upstream|server host) ["'(]?([A-Za-z0-9._-]+)`),
	hostInURL,
	regexp.MustCompile(`\b(?:host|server|at|to|remote host|on)[ =]\(?["']?([A-Za-z0-9][A-Za-z0-9.-]*)`),
	hostBeforePort,
	regexp.MustCompile(`\b(\d{1,3}\.\d{1,3}\.\d{1,3}\.\d{1,3})\b`),
	regexp.MustCompile(`\[([0-9A-Fa-f:]+)\]:\d{2,5}\b`),
}

// resolvers match the name server of a failed look-up, which is not who was to be called.
var resolvers = regexp.MustCompile(` on (\d+\.\d+\.\d+\.\d+|\[[0-9A-Fa-f:]+\]):53\b`)

// named finds the Services and pods that a text names, other than those of the pod that said it.
func (d *directory) named(p *corev1.Pod, text string) []dependency {
	text = resolvers.ReplaceAllString(text, "")
	var out []dependency
	seen := map[string]bool{}
	self := d.s.Workload(p)
	for _, expression := range hostsNamed {
		for _, m := range expression.FindAllStringSubmatch(text, hostsPerText) {
			host := strings.Trim(m[1], ".")
			if seen[host] || host == "localhost" || host == p.Status.PodIP || host == p.Name {
				continue
			}
			seen[host] = true
			if found, ok := d.find(p.Namespace, host); ok && !slices.Contains(found.subjects, self) {
				out = append(out, found)
			}
		}
	}
	return out
}

// hostsPerText bounds how many hosts one expression may find in one line.
const hostsPerText = 8

func (d *directory) find(namespace, host string) (dependency, bool) {
	if svc, ok := d.service(namespace, host); ok {
		return d.behind(svc, host), true
	}
	if p, ok := d.pods[host]; ok {
		self := finding.Subject{Kind: "Pod", Namespace: p.Namespace, Name: p.Name}
		out := dependency{subjects: []finding.Subject{self}, name: finding.Named(self), host: host}
		if w := d.s.Workload(p); w != self {
			out.subjects = append(out.subjects, w)
		}
		return out, true
	}
	return dependency{}, false
}

// resolver is the Service of cluster DNS that a failed look-up was put to, or else the one that
// serves the cluster by convention (k8s.io/kubernetes/cmd/kubeadm/app/phases/addons/dns/manifests.go).
func (d *directory) resolver(text string) (dependency, bool) {
	if m := resolvers.FindStringSubmatch(text); m != nil {
		svc, ok := d.service("", strings.Trim(m[1], "[]"))
		if !ok {
			return dependency{}, false
		}
		return d.behind(svc, svc.Name), true
	}
	svc, ok := snapshot.Get[*corev1.Service](d.s, metav1.NamespaceSystem, "kube-dns")
	if !ok {
		return dependency{}, false
	}
	return d.behind(svc, svc.Name), true
}

// waitedFor is what a line of a container's log says that it waits for.
func (d *directory) waitedFor(p *corev1.Pod, r reading) []dependency {
	var out []dependency
	if r.about(concernNoAnswer, concernName) {
		if dns, ok := d.resolver(r.line); ok {
			out = append(out, dns)
		}
	}
	if r.about(concernPeer, concernUnknown, concernName) {
		out = append(out, d.named(p, r.line)...)
	}
	return out
}

// configured are the Services that a pod's environment and command name (see snapshot.Trim) and that
// have no Ready pod now: what it may well be waiting for; and, where that fell ill later, what it may be
// waiting for in turn. A Service without a selector is left out.
func (d *directory) configured(p *corev1.Pod) []dependency {
	var out []dependency
	known := map[string]bool{}
	self := d.s.Workload(p)
	next := []*corev1.Pod{p}
	for range farthest {
		var behind []*corev1.Pod
		for _, from := range next {
			for _, svc := range d.calls(from) {
				pods := d.s.PodsSelected(svc.Namespace, svc.Spec.Selector)
				if slices.ContainsFunc(pods, snapshot.PodReady) {
					continue
				}
				found := d.behind(svc, svc.Name)
				if known[found.name] || slices.Contains(found.subjects, self) {
					continue
				}
				known[found.name] = true
				out = append(out, found)
				// One that was still Ready when this pod ceased to be passed on what ails those behind it.
				if len(pods) > 0 && snapshot.NotReadySince(pods[0]).After(snapshot.NotReadySince(p)) {
					behind = append(behind, pods[0])
				}
			}
		}
		next = behind
	}
	return out
}

// farthest bounds how far the Services that a pod names are followed: front, api, db and one more.
const farthest = 3

// calls are the Services with a selector that a pod's environment and command name.
func (d *directory) calls(p *corev1.Pod) []*corev1.Service {
	var hosts []string
	for _, c := range slices.Concat(p.Spec.Containers, p.Spec.InitContainers) {
		for _, e := range c.Env {
			if host, ok := snapshot.EnvHost(e); ok {
				hosts = append(hosts, host)
			}
		}
		for _, word := range slices.Concat(c.Command, c.Args) {
			for _, expression := range []*regexp.Regexp{hostInURL, hostBeforePort} {
				for _, m := range expression.FindAllStringSubmatch(word, hostsPerText) {
					hosts = append(hosts, m[1])
				}
			}
		}
	}
	var out []*corev1.Service
	for _, host := range hosts {
		if svc, ok := d.service(p.Namespace, host); ok && len(svc.Spec.Selector) > 0 && !slices.Contains(out, svc) {
			out = append(out, svc)
		}
	}
	return out
}

// mayWaitFor says which Services without a Ready pod a pod is set up to call, directly or by way of others.
func mayWaitFor(dependencies []dependency) finding.Text {
	var names []string
	for _, d := range dependencies {
		names = append(names, d.name)
	}
	if len(names) == 0 {
		return finding.Text{}
	}
	return finding.Format("it is set up to call %s, and no pod behind that is Ready", "설정된 호출 대상 %s에 Ready Pod가 없습니다", finding.List(names))
}

// subjectsOf are the subjects of several dependencies, each once, in order.
func subjectsOf(dependencies []dependency) []finding.Subject {
	var out []finding.Subject
	for _, d := range dependencies {
		for _, s := range d.subjects {
			if !slices.Contains(out, s) {
				out = append(out, s)
			}
		}
	}
	return out
}

// whom adds to a sentence whom it is about.
func whom(means finding.Text, dependencies []dependency) finding.Text {
	var names []string
	for _, d := range dependencies {
		names = append(names, d.name)
	}
	if len(names) == 0 {
		return means
	}
	return finding.Format("%s (%s)", "%s(%s)", means, finding.List(names))
}
