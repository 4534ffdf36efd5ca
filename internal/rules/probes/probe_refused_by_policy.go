package probes

import (
	"cmp"
	"encoding/json"
	"fmt"
	"net/netip"
	"slices"
	"time"

	coordinationv1 "k8s.io/api/coordination/v1"
	corev1 "k8s.io/api/core/v1"
	networkingv1 "k8s.io/api/networking/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/util/intstr"

	"github.com/maek-dev/maek/api/maek/v1alpha1"
	"github.com/maek-dev/maek/internal/finding"
	kubelet "github.com/maek-dev/maek/internal/probe"
	"github.com/maek-dev/maek/internal/rule"
	"github.com/maek-dev/maek/internal/snapshot"
)

var _ = Catalog.Add(rule.Rule{
	Code:  "ProbeRefusedByPolicy",
	Title: finding.Textf("NetworkPolicy keeps the kubelet's probes out", "NetworkPolicy가 kubelet의 probe를 막고 있습니다"),
	Doc: finding.Textf(
		"No pod of the newest version has been ready, no connection of its probes comes about, and a NetworkPolicy isolates the pods and admits neither that port from everywhere nor from the node. A network plugin should let a node reach its own pods whatever policies say, and some do not. "+
			"That it is not the node is shown by another pod on it, which no policy isolates and whose probe succeeds. Left alone: refused connections and answers of any kind, which got through, pods that have been ready, policies that admit the port, nodes where no such other pod is, and pods in their node's network.",
		"최신 버전의 Pod가 한 번도 Ready가 되지 못했고 probe의 연결이 전혀 이루어지지 않으며, NetworkPolicy가 이 Pod들을 격리하면서 그 port를 모든 곳이나 노드에서 오는 연결에 열어 두지 않았습니다. 네트워크 플러그인은 정책과 관계없이 노드에서 자신의 Pod에 접근할 수 있게 해야 하지만 그렇지 않은 것도 있습니다. "+
			"같은 노드에서 정책이 격리하지 않은 다른 Pod의 probe가 성공하므로 노드의 문제는 아닙니다. 연결 거부나 응답이 있는 경우(도달한 것입니다), Ready였던 Pod, port를 허용하는 정책, 비교할 다른 Pod가 없는 노드, 노드 네트워크를 쓰는 Pod는 제외합니다."),
	Link:     "https://kubernetes.io/docs/concepts/services-networking/network-policies/",
	Severity: finding.Warning,
	Needs:    baseNeeds(rule.Any[*corev1.Event](), rule.Any[*networkingv1.NetworkPolicy](), rule.Optional[*corev1.Node](), rule.Optional[*coordinationv1.Lease]()),
	For:      2 * time.Minute,
	Detect: func(p *rule.Pass) {
		policies := policiesOf(p.Snapshot)
		if len(policies) == 0 {
			return
		}
		for f := range familiesOf(p.Snapshot).newest() {
			if !slices.ContainsFunc(f.pods, snapshot.WasReady) {
				if r, ok := policies.refused(p.Snapshot, f); ok {
					p.Report(r.finding(p))
				}
			}
		}
	},
})

// isolation is a NetworkPolicy that isolates pods from what comes in.
type isolation struct {
	*networkingv1.NetworkPolicy
	selector labels.Selector
}

// isolations are the policies of a snapshot that isolate pods from what comes in, by namespace.
type isolations map[string][]isolation

func policiesOf(s *snapshot.Snapshot) isolations {
	out := isolations{}
	for _, o := range snapshot.List[*networkingv1.NetworkPolicy](s) {
		selector, err := metav1.LabelSelectorAsSelector(&o.Spec.PodSelector)
		if err != nil || o.DeletionTimestamp != nil || len(o.Spec.PolicyTypes) > 0 && !slices.Contains(o.Spec.PolicyTypes, networkingv1.PolicyTypeIngress) {
			continue
		}
		out[o.Namespace] = append(out[o.Namespace], isolation{o, selector})
	}
	return out
}

// of are the policies that isolate a pod.
func (all isolations) of(pod *corev1.Pod) []isolation {
	var out []isolation
	for _, i := range all[pod.Namespace] {
		if i.selector.Matches(labels.Set(pod.Labels)) {
			out = append(out, i)
		}
	}
	return out
}

// refusal is a probe that a policy keeps out.
type refusal struct {
	probe

	seen   observation
	pods   []*corev1.Pod
	policy isolation
	node   string // the address of the node of the first pod
	other  *corev1.Pod
}

// refused finds the probe of a family whose connections a policy keeps out.
func (all isolations) refused(s *snapshot.Snapshot, f *family) (refusal, bool) {
	waiting := neverReady(f.pods)
	if len(waiting) == 0 || waiting[0].Spec.HostNetwork || !reports(s, waiting[:1]) {
		return refusal{}, false
	}
	pod, address := waiting[0], addressOf(s, waiting[0].Spec.NodeName)
	isolating := all.of(pod)
	if len(isolating) == 0 || !address.IsValid() {
		return refusal{}, false
	}
	for at := range f.places(pod) {
		for _, one := range at.probes() {
			host, _ := one.host()
			if n := one.number(); n == 0 || host != "" || slices.ContainsFunc(isolating, func(i isolation) bool { return i.admits(pod, n, address) }) {
				continue
			}
			seen := one.observe(s, waiting, "Unhealthy", one.failed)
			if seen.count < failuresSeen || s.Now().Sub(seen.last) > eventsSpeak || kubelet.MeaningOf(one.spec, output(seen.latest)) != kubelet.MeansUnreachable {
				continue
			}
			if other := all.reachedOn(s, pod); other != nil {
				return refusal{one, seen, waiting, isolating[0], address.String(), other}, true
			}
		}
	}
	return refusal{}, false
}

// addressOf is the internal address of a node, from which its kubelet asks; invalid where it is not known.
func addressOf(s *snapshot.Snapshot, node string) netip.Addr {
	o, ok := snapshot.Get[*corev1.Node](s, "", node)
	if !ok {
		return netip.Addr{}
	}
	for _, a := range o.Status.Addresses {
		if address, err := netip.ParseAddr(a.Address); err == nil && a.Type == corev1.NodeInternalIP {
			return address
		}
	}
	return netip.Addr{}
}

// reachedOn is another pod on the node of a pod that no policy isolates and that answers its kubelet over the
// network; nil where there is none.
func (all isolations) reachedOn(s *snapshot.Snapshot, pod *corev1.Pod) *corev1.Pod {
	for _, other := range s.PodsOn(pod.Spec.NodeName) {
		if other.Spec.HostNetwork || !snapshot.PodReady(other) || len(all.of(other)) > 0 {
			continue
		}
		if slices.ContainsFunc(other.Spec.Containers, func(c corev1.Container) bool { return c.ReadinessProbe != nil && c.ReadinessProbe.Exec == nil }) {
			return other
		}
	}
	return nil
}

// admits tells whether the policy lets a port of a pod be reached from an address.
func (i isolation) admits(pod *corev1.Pod, port int, from netip.Addr) bool {
	return slices.ContainsFunc(i.Spec.Ingress, func(r networkingv1.NetworkPolicyIngressRule) bool {
		through := len(r.Ports) == 0 || slices.ContainsFunc(r.Ports, func(p networkingv1.NetworkPolicyPort) bool { return opens(pod, p, port) })
		return through && (len(r.From) == 0 || slices.ContainsFunc(r.From, func(peer networkingv1.NetworkPolicyPeer) bool { return hasAddress(peer.IPBlock, from) }))
	})
}

// opens tells whether a rule of a policy is about a port of a pod.
func opens(pod *corev1.Pod, p networkingv1.NetworkPolicyPort, port int) bool {
	switch {
	case p.Protocol != nil && *p.Protocol != corev1.ProtocolTCP:
		return false
	case p.Port == nil:
		return true
	case p.Port.Type == intstr.Int:
		last := p.Port.IntVal
		if p.EndPort != nil {
			last = *p.EndPort
		}
		return int(p.Port.IntVal) <= port && port <= int(last)
	}
	return slices.ContainsFunc(pod.Spec.Containers, func(c corev1.Container) bool {
		return slices.ContainsFunc(c.Ports, func(declared corev1.ContainerPort) bool {
			return declared.Name == p.Port.StrVal && int(declared.ContainerPort) == port
		})
	})
}

// hasAddress tells whether a block of addresses has one.
func hasAddress(block *networkingv1.IPBlock, address netip.Addr) bool {
	if block == nil {
		return false
	}
	has := func(cidr string) bool {
		prefix, err := netip.ParsePrefix(cidr)
		return err == nil && prefix.Contains(address)
	}
	return has(block.CIDR) && !slices.ContainsFunc(block.Except, has)
}

func (r refusal) finding(p *rule.Pass) finding.Finding {
	f, name := r.of, finding.Named(r.of.workload)
	policy := finding.Subject{Kind: "NetworkPolicy", Namespace: r.policy.Namespace, Name: r.policy.Name}
	return finding.Finding{
		Subject: f.workload, Mechanism: v1alpha1.MechanismRefused, Since: unreadySince(r.pods), Field: r.field(""), Confidence: v1alpha1.ConfidenceMedium, Explains: f.claims(r.pods),
		Title: finding.Textf("%s: no connection of the %s probe of container %s comes about, and %s admits none", "%s: %[3]s 컨테이너의 %[2]s probe가 전혀 연결되지 않으며 %[4]s가 연결을 허용하지 않습니다",
			name, r.kind, r.container.Name, finding.Named(policy)),
		Why: finding.Join("; ",
			finding.Format("the policy isolates the pods and admits port %s neither from everywhere nor from node %s (%s), whose kubelet asks", "이 정책은 Pod를 격리하며 port %s를 모든 곳이나, kubelet이 요청하는 노드 %s(%s)에서 오는 연결에 열어 두지 않았습니다",
				number(r.number()), finding.Verbatim(r.pods[0].Spec.NodeName), finding.Verbatim(r.node)),
			finding.Textf("no object tells whether the network plugin holds kubelets to policies; most do not", "네트워크 플러그인이 kubelet에도 정책을 적용하는지는 객체로 알 수 없으며 대개는 적용하지 않습니다"), unread(p.Snapshot)),
		Evidence: append([]finding.Evidence{{Source: finding.Named(policy), Path: ".spec.podSelector", Value: finding.Quote(cmp.Or(r.policy.selector.String(), "(all pods)"))}}, r.seen.evidence()...),
		RuledOut: []finding.Statement{{Text: finding.Textf("the node: %s on it, which no policy isolates, answers its probe", "노드 문제가 아닙니다. 같은 노드에서 정책이 격리하지 않은 %s는 probe에 응답합니다", finding.Named(snapshot.SubjectOf(r.other)))}},
		Remedies: finding.Remedies{Now: []finding.Remedy{r.remedy()}},
	}
}

// remedy lets the node of the first pod in, on the port that is probed.
func (r refusal) remedy() finding.Remedy {
	address, err := netip.ParseAddr(r.node)
	if err != nil {
		return finding.Remedy{}
	}
	admit := fields{"from": []any{fields{"ipBlock": fields{"cidr": netip.PrefixFrom(address, address.BitLen()).String()}}}, "ports": []any{fields{"protocol": "TCP", "port": r.number()}}}
	path, value := "/spec/ingress/-", any(admit)
	if len(r.policy.Spec.Ingress) == 0 {
		path, value = "/spec/ingress", []any{admit}
	}
	text := finding.Textf("admit the node's address on the port that is probed, and those of the other nodes in the same way", "probe가 확인하는 port에 노드 주소를 허용하고, 다른 노드의 주소도 같은 방법으로 허용합니다")
	data, err := json.Marshal([]any{fields{"op": "add", "path": path, "value": value}})
	if err != nil {
		return finding.Remedy{Text: text}
	}
	return finding.Remedy{Text: text, Command: fmt.Sprintf("kubectl -n %s patch networkpolicy/%s --type=json -p '%s'", r.policy.Namespace, r.policy.Name, data)}
}
