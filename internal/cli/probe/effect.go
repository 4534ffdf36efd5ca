package probe

import (
	"maps"
	"slices"
	"strconv"
	"strings"

	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"

	"github.com/maek-dev/maek/internal/finding"
	"github.com/maek-dev/maek/internal/probe"
	"github.com/maek-dev/maek/internal/snapshot"
)

// membership is a pod's place in one Service.
type membership struct {
	service string
	ports   []string
	// listed tells that the pod is among the endpoints, and ready that it gets traffic there.
	listed, ready bool
	// others are the other endpoints that get traffic: names of pods, or addresses.
	others []string
	// always tells that the Service takes pods in that are not ready.
	always bool
}

// memberships are a pod's places in the Services of its namespace, by name.
func (e *evidence) memberships(pod *corev1.Pod) []membership {
	by := map[string]*membership{}
	for _, s := range e.services {
		if snapshot.Selects(s.Spec.Selector, pod.Labels) {
			by[s.Name] = &membership{service: s.Name, ports: servicePorts(s), always: s.Spec.PublishNotReadyAddresses}
		}
	}
	others := map[string]map[string]bool{}
	for _, slice := range e.slices {
		name := slice.Labels[discoveryv1.LabelServiceName]
		for i := range slice.Endpoints {
			endpoint := &slice.Endpoints[i]
			is := names(endpoint, pod)
			m := by[name]
			if m == nil && is && name != "" {
				m = &membership{service: name}
				by[name] = m
			}
			ready := endpoint.Conditions.Ready == nil || *endpoint.Conditions.Ready
			switch {
			case m == nil:
			case is:
				m.listed, m.ready = true, m.ready || ready
			case ready:
				if others[name] == nil {
					others[name] = map[string]bool{}
				}
				others[name][identity(endpoint)] = true
			}
		}
	}
	var out []membership
	for name, m := range by {
		m.others = slices.Sorted(maps.Keys(others[name]))
		out = append(out, *m)
	}
	slices.SortFunc(out, func(a, b membership) int { return strings.Compare(a.service, b.service) })
	return out
}

// names tells whether an endpoint is a pod.
func names(e *discoveryv1.Endpoint, pod *corev1.Pod) bool {
	ref := e.TargetRef
	return ref != nil && ref.Kind == "Pod" && ref.Name == pod.Name && (ref.UID == "" || ref.UID == pod.UID)
}

// identity of an endpoint: a dual-stack pod is in two slices.
func identity(e *discoveryv1.Endpoint) string {
	if e.TargetRef != nil {
		return e.TargetRef.Name
	}
	return strings.Join(e.Addresses, ",")
}

func servicePorts(s *corev1.Service) []string {
	var out []string
	for _, p := range s.Spec.Ports {
		port := strconv.Itoa(int(p.Port))
		if to := p.TargetPort.String(); to != "0" && to != "" && to != port {
			port += " -> " + to
		}
		out = append(out, port)
	}
	return out
}

// consequence is what becomes of a probe's failing.
func (d *describer) consequence(o one) []finding.Text {
	if o.kind == probe.Readiness {
		return d.outOfServices(o)
	}
	status := o.status()
	if !o.startsAgain() {
		policy := string(o.pod.Spec.RestartPolicy)
		if o.container.RestartPolicy != nil {
			policy = string(*o.container.RestartPolicy)
		}
		return []finding.Text{finding.Textf("the kubelet ends the container and does not start it again (restartPolicy %s)",
			"kubelet이 컨테이너를 종료하고 다시 시작하지 않습니다(restartPolicy %s)", policy)}
	}
	out := []finding.Text{finding.Textf("the kubelet ends the container and starts it again in the same pod", "kubelet이 컨테이너를 종료하고 같은 Pod에서 다시 시작합니다")}
	if status != nil && status.RestartCount > 0 {
		wait := length(probe.BackOff(int(status.RestartCount)))
		if status.RestartCount == 1 {
			out[0] = sentence(out[0], finding.Format("so soon after a restart it waits %s before that", "재시작한 지 얼마 되지 않았으면 다시 시작하기 전에 %s 기다립니다", wait))
		} else {
			out[0] = sentence(out[0], finding.Format("after %s restarts, if they follow each other quickly, it waits %s before that",
				"재시작 %s회가 짧은 간격으로 이어졌다면 다시 시작하기 전에 %s 기다립니다", finding.Verbatim(strconv.Itoa(int(status.RestartCount))), wait))
		}
	}
	return out
}

// outOfServices says which Services a pod that is not ready gets no traffic of, and who is left there.
func (d *describer) outOfServices(o one) []finding.Text {
	if !d.servicesRead() {
		return []finding.Text{finding.Textf("the pod gets no traffic of its Services; which these are could not be read", "Pod가 Service의 트래픽을 받지 못합니다. 어떤 Service인지는 읽지 못했습니다")}
	}
	all := d.evidence.memberships(o.pod)
	if len(all) == 0 {
		return []finding.Text{finding.Textf("no Service selects the pod: only its Ready condition changes, for which rollouts and PodDisruptionBudgets wait",
			"Pod를 선택하는 Service가 없어 Ready condition만 바뀝니다. 롤아웃과 PodDisruptionBudget이 이를 기준으로 합니다")}
	}
	var out []finding.Text
	for _, m := range all {
		out = append(out, m.text())
	}
	return out
}

// othersNamed is how many other endpoints are told by name.
const othersNamed = 3

// named names the other endpoints where they are few.
func (m membership) named() string {
	if len(m.others) == 0 || len(m.others) > othersNamed {
		return ""
	}
	return " (" + strings.Join(m.others, ", ") + ")"
}

func (m membership) text() finding.Text {
	name := m.service
	if len(m.ports) > 0 {
		name += " (" + strings.Join(m.ports, ", ") + ")"
	}
	others := finding.Textf("%d other endpoints are ready%s", "준비된 다른 endpoint는 %d개입니다%s", len(m.others), m.named())
	if len(m.others) == 1 {
		others = finding.Textf("1 other endpoint is ready%s", "준비된 다른 endpoint는 1개입니다%s", m.named())
	}
	switch {
	case m.always:
		return finding.Textf("stays in Service %s, which takes in pods that are not ready (publishNotReadyAddresses)",
			"Service %s에는 그대로 남습니다. 준비되지 않은 Pod도 받기 때문입니다(publishNotReadyAddresses)", name)
	case m.ready && len(m.others) == 0:
		return finding.Textf("out of Service %s, whose last ready endpoint it is: nobody answers there then", "Service %s에서 빠집니다. 준비된 마지막 endpoint이므로 그 뒤에는 응답할 곳이 없습니다", name)
	case m.ready:
		return finding.Format("out of Service %s; %s", "Service %s에서 빠집니다. %s", finding.Verbatim(name), others)
	case len(m.others) == 0:
		return finding.Textf("it is out of Service %s now, and no other endpoint of it is ready: nobody answers there", "지금 Service %s에서 빠져 있고 준비된 다른 endpoint도 없어 응답할 곳이 없습니다", name)
	default:
		return finding.Format("it is out of Service %s now; %s", "지금 Service %s에서 빠져 있습니다. %s", finding.Verbatim(name), others)
	}
}
