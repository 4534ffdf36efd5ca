package probes

import (
	"slices"
	"strings"
	"time"

	corev1 "k8s.io/api/core/v1"

	"github.com/maek-dev/maek/api/maek/v1alpha1"
	"github.com/maek-dev/maek/internal/finding"
	"github.com/maek-dev/maek/internal/rule"
	"github.com/maek-dev/maek/internal/snapshot"
)

var _ = Catalog.Add(rule.Rule{
	Code:  "ReadinessGateUnset",
	Title: finding.Textf("nobody sets the condition of a readiness gate", "readiness gate의 condition을 설정하는 주체가 없습니다"),
	Doc: finding.Textf(
		"All containers of a pod are ready, and the pod is not, because a readiness gate of its spec names a condition that does not exist on it: a controller outside Kubernetes has to write it, such as that of a load balancer, and has not for "+
			"five minutes. If no pod of the whole cluster has that condition, the controller is most likely not there at all. Left alone: conditions that exist and are False, for then somebody looks after them; pods whose containers became ready less than five "+
			"minutes ago; and pods on nodes that do not report.",
		"Pod의 컨테이너가 모두 준비되었는데도 spec의 readiness gate가 요구하는 condition이 없어서 Pod가 Ready가 되지 못합니다. 이 condition은 load balancer controller처럼 Kubernetes 밖의 controller가 기록해야 하는데 5분 동안 기록하지 않았습니다. "+
			"클러스터의 어느 Pod에도 그 condition이 없으면 controller 자체가 없을 가능성이 큽니다. condition이 있고 값이 False인 경우(담당 controller가 있음), 컨테이너가 준비된 지 5분이 되지 않은 Pod, 보고가 끊긴 노드의 Pod는 제외합니다."),
	Link:     "https://kubernetes.io/docs/concepts/workloads/pods/pod-lifecycle/#pod-readiness-gate",
	Severity: finding.Warning,
	Needs:    baseNeeds(),
	Detect:   readinessGateUnset,
})

// gatePatience is how long whoever keeps a gate's condition may take: a load balancer has to be told of the pod
// and to probe it.
const gatePatience = 5 * time.Minute

// gateKeepers say who keeps the conditions whose names begin so.
var gateKeepers = map[string]string{
	// https://kubernetes-sigs.github.io/aws-load-balancer-controller/latest/deploy/pod_readiness_gate/
	"target-health.elbv2.k8s.aws/":        "AWS Load Balancer Controller",
	"target-health.alb.ingress.k8s.aws/":  "AWS ALB Ingress Controller",
	"cloud.google.com/load-balancer-neg-": "GKE NEG controller",
	// https://kruise.io/docs/user-manuals/cloneset
	"InPlaceUpdateReady": "OpenKruise",
}

func readinessGateUnset(p *rule.Pass) {
	set := map[corev1.PodConditionType]int{}
	all := familiesOf(p.Snapshot)
	for _, f := range all {
		if len(f.pods[0].Spec.ReadinessGates) == 0 {
			continue
		}
		for _, pod := range f.pods {
			for _, gate := range pod.Spec.ReadinessGates {
				if snapshot.PodCondition(pod, gate.ConditionType) != nil {
					set[gate.ConditionType]++
				}
			}
		}
	}
	for f := range all.newest() {
		for i, gate := range f.pods[0].Spec.ReadinessGates {
			if held := heldByGate(p.Snapshot, f, gate.ConditionType); len(held) > 0 {
				p.Report(gateFinding(p, f, i, held, set[gate.ConditionType]))
				break
			}
		}
	}
}

// heldByGate are the pods that only want for the condition of a gate.
func heldByGate(s *snapshot.Snapshot, f *family, gate corev1.PodConditionType) []*corev1.Pod {
	var out []*corev1.Pod
	for _, pod := range f.pods {
		c := snapshot.PodCondition(pod, corev1.ContainersReady)
		if snapshot.PodReady(pod) || c == nil || c.Status != corev1.ConditionTrue || s.Now().Sub(c.LastTransitionTime.Time) < gatePatience || snapshot.PodCondition(pod, gate) != nil {
			continue
		}
		// A node that ceased to report takes the Ready condition alone, with another reason
		// (k8s.io/kubernetes/pkg/kubelet/status/generate.go, ReadinessGatesNotReady).
		if ready := snapshot.PodCondition(pod, corev1.PodReady); ready != nil && ready.Reason == "ReadinessGatesNotReady" {
			out = append(out, pod)
		}
	}
	return out
}

func gateFinding(p *rule.Pass, f *family, index int, held []*corev1.Pod, others int) finding.Finding {
	gates := f.pods[0].Spec.ReadinessGates
	gate := string(gates[index].ConditionType)
	ready := snapshot.PodCondition(held[0], corev1.PodReady)
	who := finding.Textf("no pod of the cluster that asks for it has this condition: whoever should write it is most likely not running", "이 condition을 요구하는 클러스터의 어느 Pod에도 값이 없으므로 기록할 주체가 실행되고 있지 않을 가능성이 큽니다")
	if others > 0 {
		who = finding.Textf("%d other pods have it, so that whoever writes it is there and leaves these out", "다른 Pod %d개에는 값이 있으므로 기록하는 주체는 있으나 이 Pod들을 빠뜨리고 있습니다", others)
	}
	var keeper finding.Text
	for prefix, name := range gateKeepers {
		if strings.HasPrefix(gate, prefix) {
			keeper = finding.Textf("conditions of this name are written by %s", "이 이름의 condition은 %s에서 기록합니다", name)
		}
	}
	left := []any{}
	for i, g := range gates {
		if i != index {
			left = append(left, fields{"conditionType": string(g.ConditionType)})
		}
	}
	return finding.Finding{
		Subject: f.workload, Mechanism: v1alpha1.MechanismMissing, Since: unreadySince(held), Field: f.podField(".readinessGates"), Explains: f.claims(held),
		Title: finding.Format("%s: nobody sets the readiness gate %s, which keeps %s with ready containers from being Ready", "%s: readiness gate %s를 설정하는 주체가 없어 컨테이너가 준비된 %s가 Ready가 되지 못합니다",
			finding.Verbatim(finding.Named(f.workload)), finding.Verbatim(gate), finding.Pods(len(held))),
		Why: finding.Join("; ", finding.Textf("the condition does not exist %d minutes after all containers were ready", "모든 컨테이너가 준비된 뒤 %d분이 지났지만 condition이 없습니다",
			int(p.Now().Sub(snapshot.PodCondition(held[0], corev1.ContainersReady).LastTransitionTime.Time)/time.Minute)), who, keeper),
		Evidence: []finding.Evidence{{
			Source: finding.Named(subjectsOf(held[:1])[0]), Path: ".status.conditions[Ready].message", Value: finding.Quote(ready.Message), At: finding.Timestamp(ready.LastTransitionTime.Time),
		}},
		RuledOut: []finding.Statement{{Text: finding.Textf("the containers and their probes: ContainersReady is True", "컨테이너와 probe 문제가 아닙니다. ContainersReady가 True입니다")}},
		Remedies: finding.Remedies{
			Now: []finding.Remedy{
				{
					Text:    finding.Textf("see which pods ask for the gate and have its condition, then whether the controller that writes it runs", "gate를 요구하는 Pod와 condition이 있는 Pod를 확인하고, 기록하는 controller가 실행 중인지 봅니다"),
					Command: "kubectl get pods -A -o custom-columns='NAMESPACE:.metadata.namespace,POD:.metadata.name,GATES:.spec.readinessGates[*].conditionType,CONDITIONS:.status.conditions[*].type'",
				},
				f.mendGate(p.Snapshot, gates[index], left, finding.Textf("or, if nothing will set it any more, do without the gate: the load balancer behind it is then not waited for",
					"더 이상 설정할 주체가 없다면 gate를 없앱니다. 그러면 그 뒤의 load balancer를 기다리지 않습니다")),
			},
		},
	}
}

// mendGate leaves a gate out of the template. Load balancers' controllers put theirs into pods as they are made,
// so that the template has none.
func (f *family) mendGate(s *snapshot.Snapshot, gate corev1.PodReadinessGate, left []any, text finding.Text) finding.Remedy {
	if t, _ := template(s, f.workload); t != nil && !slices.Contains(t.Spec.ReadinessGates, gate) {
		return finding.Remedy{Text: finding.Join("; ", text, finding.Textf("the template has no such gate: a webhook adds it to the pods, so switch it off there",
			"template에는 이 gate가 없고 webhook이 Pod에 추가하므로 그쪽 설정에서 끄십시오"))}
	}
	var gates any
	if len(left) > 0 {
		gates = left
	}
	return f.mend(s, fields{"readinessGates": gates}, text)
}
