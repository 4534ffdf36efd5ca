package target

import (
	"cmp"
	"context"
	"fmt"
	"net/netip"
	"slices"
	"strings"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/intstr"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/maek-dev/maek/api/maek/v1alpha1"
	"github.com/maek-dev/maek/internal/operator/check/plan"
	"github.com/maek-dev/maek/internal/probe"
)

// pods asks pods of the namespace, by their own addresses or by commands in them.
func (q *query) pods(ctx context.Context, target *v1alpha1.PodsTarget, port intstr.IntOrString) ([]place, error) {
	selector, err := metav1.LabelSelectorAsSelector(&target.Selector)
	if err != nil {
		return nil, plan.Refuse(v1alpha1.ReasonTargetInvalid, "target.pods.selector cannot be read: %v", err)
	}
	var list corev1.PodList
	err = q.r.o.Reader.List(ctx, &list, client.InNamespace(q.check.Namespace), client.MatchingLabelsSelector{Selector: selector}, client.UnsafeDisableDeepCopy)
	if err != nil {
		return nil, reading("Pods of namespace", q.check.Namespace, err)
	}
	var running []*corev1.Pod
	for i := range list.Items {
		if pod := &list.Items[i]; pod.Status.Phase == corev1.PodRunning && pod.DeletionTimestamp == nil {
			running = append(running, pod)
		}
	}
	if len(running) == 0 {
		message := "no pod fits the selector"
		if len(list.Items) > 0 {
			message = fmt.Sprintf("%d pods fit the selector, and none of them runs", len(list.Items))
		}
		return nil, &plan.Empty{Reason: v1alpha1.ReasonNoPods, Message: message}
	}
	slices.SortFunc(running, func(a, b *corev1.Pod) int { return cmp.Compare(a.Name, b.Name) })
	if target.Mode == v1alpha1.TargetAny {
		running = []*corev1.Pod{oneOf(running, q.run)}
	}
	if len(running) > maxTargets {
		return nil, plan.Refuse(v1alpha1.ReasonTooManyTargets, "%d pods fit target.pods.selector, and a check asks %d at most; narrow the selector, or write mode: Any", len(running), maxTargets)
	}
	places := make([]place, 0, len(running))
	for _, pod := range running {
		p, err := q.pod(pod, target.Container, port)
		if err != nil {
			return nil, err
		}
		places = append(places, p)
	}
	return places, allImpossible(places)
}

// allImpossible refuses a check that can ask none of its pods: then it is the check that is wrong, and not a
// pod that is older than the rest.
func allImpossible(places []place) error {
	for _, p := range places {
		if p.gap == nil || !p.gap.failure {
			return nil
		}
	}
	return plan.Refuse(places[0].gap.reason, "%s", places[0].gap.message)
}

// pod asks one pod.
func (q *query) pod(pod *corev1.Pod, containerName string, port intstr.IntOrString) (place, error) {
	p := place{name: pod.Name, pod: podOf(pod)}
	container, missing := containerOf(pod, containerName)
	if missing != nil {
		p.gap = missing
		return p, nil
	}
	p.container = container.Name
	if q.spec.Exec != nil {
		return p, nil
	}
	to, missing := socketOf(pod, container, port)
	if missing != nil {
		p.gap = missing
		return p, nil
	}
	if pod.Spec.HostNetwork && !q.allowed.nodes {
		return p, refuseWithPolicy(q.check.Namespace, "pod "+pod.Name, "it is in its node's network", "nodes: true")
	}
	p.host, p.port = to.Addr().String(), to.Port()
	p.guard = &guard{r: q.r, namespace: q.check.Namespace, host: p.host, pin: to.Addr(), basis: byOwnership, pod: p.pod, run: q.run}
	if refusal := p.guard.judge(q.around, q.allowed, to); refusal != nil {
		return p, refusal
	}
	return p, nil
}

// containerOf finds a container by name; "" is the first.
func containerOf(pod *corev1.Pod, name string) (*corev1.Container, *gap) {
	var exist []string
	for i := range pod.Spec.Containers {
		if container := &pod.Spec.Containers[i]; name == "" || container.Name == name {
			return container, nil
		}
		exist = append(exist, pod.Spec.Containers[i].Name)
	}
	return nil, &gap{failure: true, reason: v1alpha1.ReasonContainerNotFound, message: fmt.Sprintf("pod %s has no container %s; its containers are %s", pod.Name, name, strings.Join(exist, ", "))}
}

// socketOf is the address and port of a container.
func socketOf(pod *corev1.Pod, container *corev1.Container, port intstr.IntOrString) (netip.AddrPort, *gap) {
	number, err := probe.ResolvePort(port, container)
	if err != nil {
		return netip.AddrPort{}, &gap{failure: true, reason: v1alpha1.ReasonPortNotFound, message: fmt.Sprintf(
			"container %s of pod %s has no port %q; its ports are %s", container.Name, pod.Name, port.String(), portsOf(container))}
	}
	addr, err := netip.ParseAddr(pod.Status.PodIP)
	if err != nil {
		return netip.AddrPort{}, &gap{reason: v1alpha1.ReasonNotAsked, message: fmt.Sprintf("pod %s has no address yet", pod.Name)}
	}
	return netip.AddrPortFrom(addr.Unmap(), uint16(number)), nil //nolint:gosec // ResolvePort gives no other
}

func portsOf(container *corev1.Container) string {
	if len(container.Ports) == 0 {
		return "not declared; write a number"
	}
	var texts []string
	for _, p := range container.Ports {
		texts = append(texts, strings.TrimSpace(fmt.Sprintf("%s %d/%s", p.Name, p.ContainerPort, cmp.Or(p.Protocol, corev1.ProtocolTCP))))
	}
	return strings.Join(texts, ", ")
}

func podOf(pod *corev1.Pod) plan.Pod {
	return plan.Pod{NamespacedName: client.ObjectKeyFromObject(pod), UID: pod.UID}
}

// over tells whether a pod's address may be somebody else's by now.
func over(pod *corev1.Pod) bool {
	return pod.Status.Phase == corev1.PodSucceeded || pod.Status.Phase == corev1.PodFailed
}

// takenOut tells whether a pod is not ready for no other reason than that it was taken out of service: its
// containers are, and so are its other gates (the kubelet's pkg/kubelet/status/generate.go,
// GeneratePodReadyCondition).
func takenOut(pod *corev1.Pod) bool {
	if pod == nil || pod.DeletionTimestamp != nil {
		return false
	}
	status := map[corev1.PodConditionType]corev1.ConditionStatus{}
	for _, condition := range pod.Status.Conditions {
		status[condition.Type] = condition.Status
	}
	for _, gate := range pod.Spec.ReadinessGates {
		if gate.ConditionType != v1alpha1.ReadinessGateInService && status[gate.ConditionType] != corev1.ConditionTrue {
			return false
		}
	}
	return status[v1alpha1.ReadinessGateInService] == corev1.ConditionFalse && status[corev1.ContainersReady] == corev1.ConditionTrue
}

func hasAddress(pod *corev1.Pod, want netip.Addr) bool {
	is := func(text string) bool {
		addr, err := netip.ParseAddr(text)
		return err == nil && addr.Unmap() == want
	}
	return is(pod.Status.PodIP) || slices.ContainsFunc(pod.Status.PodIPs, func(ip corev1.PodIP) bool { return is(ip.IP) })
}
