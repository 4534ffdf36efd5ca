package workload

import (
	"fmt"
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
	Code:  "PodRejected",
	Title: finding.Textf("kubelet does not take the pod", "kubelet이 Pod를 받지 않습니다"),
	Doc: finding.Textf(
		"A pod was bound to a node and the kubelet there refused to run it, so it is Failed before it started: the node's labels do not match the pod any more, it has less room than the scheduler thought, a device or "+
			"NUMA alignment cannot be had, a sysctl or profile is not allowed, or the node is shutting down. Controllers make such pods anew, often to be refused again. A warning where the workload lacks Ready pods or was refused three times within "+
			"half an hour; otherwise a remark. Silent for refusals of longer ago, whose pods stay as records.",
		"노드에 배정된 Pod를 그 노드의 kubelet이 거부하여 시작하기도 전에 Failed가 되었습니다. 노드 label이 Pod 조건과 맞지 않게 되었거나, scheduler가 계산한 것보다 자원이 적거나, device나 NUMA 정렬을 할당할 수 없거나, "+
			"허용되지 않은 sysctl·profile이거나, 노드가 종료 중인 경우입니다. controller가 다시 생성해도 계속 거부되는 일이 많습니다. workload의 Ready Pod가 부족하거나 30분 동안 세 번 이상 거부되면 warning이고, 그 밖에는 참고로 알립니다. "+
			"기록으로 남아 있는 오래된 Pod는 보고하지 않습니다."),
	Link:     "https://kubernetes.io/docs/concepts/scheduling-eviction/assign-pod-node/",
	Severity: finding.Warning,
	Needs:    containerNeeds(),
	Detect:   detectPodRejected,
})

// rejection is why a kubelet refuses a pod, by the reason of the pod's status
// (k8s.io/kubernetes/pkg/kubelet/lifecycle/predicate.go, cm/admission, cm/topologymanager, sysctl/allowlist.go, nodeshutdown).
type rejection struct {
	mechanism finding.Mechanism
	field     string
	// onNode tells that the node may be the matter.
	onNode bool
	says   finding.Text
}

var rejections = map[string]rejection{
	"NodeAffinity": {
		v1alpha1.MechanismMisconfigured, ".affinity", false,
		finding.Textf("the node's labels do not match what the pod asks for (any more)", "노드의 label이 Pod의 조건과 맞지 않습니다"),
	},
	"NodeName":  {v1alpha1.MechanismMisconfigured, ".nodeName", false, finding.Textf("it names another node", "다른 노드를 지정하고 있습니다")},
	"NodePorts": {v1alpha1.MechanismExhausted, ".containers[*].ports[*].hostPort", false, finding.Textf("its host port is taken on the node", "노드에서 host port가 이미 사용 중입니다")},
	"TaintToleration": {
		v1alpha1.MechanismMisconfigured, ".tolerations", false,
		finding.Textf("it does not tolerate a taint of the node", "노드의 taint에 대한 toleration이 없습니다"),
	},
	"UnexpectedAdmissionError": {
		v1alpha1.MechanismFailing, "", true,
		finding.Textf("the node cannot allot what it asks for: a device plugin has too few healthy devices, or is gone", "요청한 자원을 노드가 할당하지 못합니다. device plugin의 정상 device가 부족하거나 plugin이 없습니다"),
	},
	"TopologyAffinityError": {
		v1alpha1.MechanismExhausted, "", true,
		finding.Textf("the node cannot allot its resources close to each other (topology manager policy)", "노드가 자원을 같은 NUMA 노드에 할당하지 못합니다(topology manager 정책)"),
	},
	"SysctlForbidden": {
		v1alpha1.MechanismMisconfigured, ".securityContext.sysctls", false,
		finding.Textf("it sets a sysctl that the kubelet does not allow", "kubelet이 허용하지 않는 sysctl을 설정합니다"),
	},
	"AppArmor":     {v1alpha1.MechanismMissing, ".securityContext.appArmorProfile", true, finding.Textf("its AppArmor profile is not loaded on the node", "AppArmor profile이 노드에 없습니다")},
	"NodeShutdown": {v1alpha1.MechanismStopped, "", true, finding.Textf("the node is shutting down", "노드가 종료되고 있습니다")},
	"PodOSNotSupported": {
		v1alpha1.MechanismMisconfigured, ".os.name", false, finding.Textf("the node runs another operating system", "노드의 운영체제가 다릅니다"),
	},
	"PodOSSelectorNodeLabelDoesNotMatch": {
		v1alpha1.MechanismMisconfigured, ".nodeSelector", false, finding.Textf("the node runs another operating system", "노드의 운영체제가 다릅니다"),
	},
	"InvalidNodeInfo": {v1alpha1.MechanismFailing, "", true, finding.Textf("the kubelet cannot read its own Node", "kubelet이 자신의 Node 정보를 읽지 못합니다")},
	"SupplementalGroupsPolicyNotSupported": {
		v1alpha1.MechanismMisconfigured, ".securityContext.supplementalGroupsPolicy", false,
		finding.Textf("the node does not support its supplementalGroupsPolicy", "노드가 supplementalGroupsPolicy를 지원하지 않습니다"),
	},
	"VolumeAttachmentLimitExceeded": {v1alpha1.MechanismExhausted, "", true, finding.Textf("the node can attach no more volumes", "노드에 volume을 더 연결할 수 없습니다")},
}

// outOf is how the reasons begin for which a kubelet finds too little of a resource
// (k8s.io/kubernetes/pkg/kubelet/lifecycle/predicate.go, InsufficientResourcePrefix).
const outOf = "OutOf"

func rejectionOf(p *corev1.Pod) (rejection, bool) {
	reason := p.Status.Reason
	if r, ok := rejections[reason]; ok {
		return r, true
	}
	if resource, ok := strings.CutPrefix(reason, outOf); ok {
		return rejection{
			v1alpha1.MechanismExhausted, "", true,
			finding.Textf("the node has less %s left than the scheduler reckoned", "노드에 남은 %s 자원이 scheduler의 계산보다 적습니다", resource),
		}, true
	}
	if strings.HasPrefix(p.Status.Message, "Pod was rejected: ") {
		return rejection{v1alpha1.MechanismRefused, "", true, finding.Textf("the kubelet refuses it (%s)", "kubelet이 거부합니다(%s)", reason)}, true
	}
	return rejection{}, false
}

// rejectedPod is a pod that a kubelet refused lately.
type rejectedPod struct {
	pod *corev1.Pod
	at  time.Time
	why rejection
}

// rejectedOften is how many refusals of one workload are more than a race between the scheduler and
// a kubelet.
const rejectedOften = 3

func detectPodRejected(p *rule.Pass) {
	var found []rejectedPod
	for _, pod := range snapshot.List[*corev1.Pod](p.Snapshot) {
		if pod.Status.Phase != corev1.PodFailed {
			continue
		}
		why, ok := rejectionOf(pod)
		if !ok {
			continue
		}
		at := endedAt(p.Snapshot, pod)
		if at.IsZero() {
			at = pod.CreationTimestamp.Time
		}
		if p.Now().Sub(at) <= endedLately {
			found = append(found, rejectedPod{pod: pod, at: at, why: why})
		}
	}
	for _, g := range groupBy(found, func(r rejectedPod) finding.Subject { return p.Workload(r.pod) }) {
		slices.SortStableFunc(g.Items, func(a, b rejectedPod) int { return b.at.Compare(a.at) })
		p.Report(podRejected(p, g))
	}
}

func podRejected(p *rule.Pass, g group[rejectedPod]) finding.Finding {
	last := g.Items[0]
	pods := distinctPods(g.Items, func(r rejectedPod) *corev1.Pod { return r.pod })
	nodes := finding.List(nodesOf(pods))
	f := finding.Finding{
		Subject: g.Subject, Mechanism: last.why.mechanism, Since: g.Items[len(g.Items)-1].at, Explains: podSubjects(pods),
		Title: finding.Format("%s: the kubelet on %s does not take it: %s", "%s: 노드 %s의 kubelet이 Pod를 받지 않습니다. %s", finding.Verbatim(finding.Qualified(g.Subject)), nodes, last.why.says),
		Evidence: []finding.Evidence{{
			Source: finding.Named(podSubject(last.pod)), Path: ".status.message", Value: finding.Quote(last.pod.Status.Reason + ": " + last.pod.Status.Message), At: finding.Timestamp(last.at),
		}},
	}
	short, note := historyOf(p.Snapshot, g.Subject, pods).short(pods[0])
	f.Settling = controllerOf(last.pod) != "" && len(g.Items) < rejectedOften && p.Now().Sub(last.at) < unreadyAfter
	if !short && len(g.Items) < rejectedOften {
		f.Severity = finding.Info
	} else {
		f = claimWorkload(f)
	}
	f.Why = finding.Join("; ", inQuotes(last.pod.Status.Message), finding.Format("refused within half an hour: %s", "30분 동안 거부된 %s", finding.Pods(len(g.Items))), note)
	if last.why.field != "" {
		f.Field = podField(g.Subject, last.why.field)
		f.Remedies.Now = append(f.Remedies.Now, edit(g.Subject, pods, f.Field))
	}
	if last.why.onNode {
		f.WaitsFor = nodeSubjects(pods)
	}
	f.Remedies.Now = append(f.Remedies.Now, finding.Remedy{
		Text:    finding.Textf("see what the node has, and who uses it", "노드의 자원과 사용 현황을 확인합니다"),
		Command: "kubectl describe node " + last.pod.Spec.NodeName,
	})
	f.Remedies.Later = []finding.Remedy{{
		Text:    finding.Textf("remove the records of refused pods once the cause is gone", "원인이 해결되면 거부된 Pod의 기록을 정리하십시오"),
		Command: fmt.Sprintf("kubectl -n %s delete pods --field-selector=status.phase=Failed", g.Subject.Namespace),
	}}
	return f
}
