package node

import (
	"fmt"
	"strings"
	"time"

	coordinationv1 "k8s.io/api/coordination/v1"
	corev1 "k8s.io/api/core/v1"

	"github.com/maek-dev/maek/api/maek/v1alpha1"
	"github.com/maek-dev/maek/internal/finding"
	"github.com/maek-dev/maek/internal/rule"
	"github.com/maek-dev/maek/internal/snapshot"
)

var _ = Catalog.Add(rule.Rule{
	Code: "NodeProblem",
	Title: finding.Text{
		EN: "something on the node reports a problem",
		KO: "노드의 프로그램이 문제를 알립니다",
	},
	Doc: finding.Text{
		EN: "A condition that is not Kubernetes' own says that something is wrong with the machine: node-problem-detector's (KernelDeadlock, ReadonlyFilesystem, FrequentKubeletRestart, ...), a cloud's node " +
			"agent's, a storage or network driver's. Whether True is good or bad is known for common types and judged by the name's ending for others (Ready, Healthy, Available against Problem, Failed, " +
			"Deadlock, Unhealthy). A type that tells neither way, a status of Unknown, informing conditions such as EtcdIsVoter=True, and what is said of units whose machine itself reports, are left alone. A condition that nobody has refreshed for an hour is said to be old.",
		KO: "Kubernetes 자체의 것이 아닌 condition이 머신의 이상을 알립니다. node-problem-detector(KernelDeadlock, ReadonlyFilesystem, FrequentKubeletRestart 등), 클라우드의 node agent, 스토리지나 네트워크 driver가 씁니다. True가 정상인지 이상인지는 " +
			"흔한 type이면 알려진 대로, 그 밖에는 이름의 끝으로 판단합니다(Ready, Healthy, Available과 Problem, Failed, Deadlock, Unhealthy). 이름으로 알 수 없는 type, Unknown 상태, EtcdIsVoter=True처럼 정보만 주는 condition, 머신이 직접 보고하는 유닛에 대한 condition은 대상이 아닙니다. " +
			"1시간 넘게 갱신되지 않은 condition은 오래된 값이라고 밝힙니다.",
	},
	Link:     "https://github.com/kubernetes/node-problem-detector",
	Severity: finding.Warning,
	Needs:    []rule.Need{rule.Any[*corev1.Node](), rule.Optional[*coordinationv1.Lease](), rule.Optional[*corev1.Pod]()},
	For:      time.Minute,
	// What is seen on the machine itself stands above what somebody wrote of it on the Node: agents of
	// this program write such conditions too.
	Causes: []rule.Cause{
		{Code: "ContainerRuntimeHung", Via: rule.OnMachine},
		{Code: "ContainerRuntimeNotReady", Via: rule.OnMachine},
		{Code: "ContainerRuntimeSocketMissing", Via: rule.OnMachine},
		{Code: "ContainerRuntimeStopped", Via: rule.OnMachine},
		{Code: "FilesystemReadOnly", Via: rule.OnMachine},
		{Code: "KernelTaskHung", Via: rule.OnMachine},
		{Code: "KubeletCannotStart", Via: rule.OnMachine},
		{Code: "KubeletHung", Via: rule.OnMachine},
		{Code: "KubeletUnitStopped", Via: rule.OnMachine},
		{Code: "UnitCrashLooping", Via: rule.OnMachine},
		{Code: "UnitFailed", Via: rule.OnMachine},
	},
	Detect: detectNodeProblem,
})

// ownConditions are Kubernetes' own, which other rules judge.
var ownConditions = map[corev1.NodeConditionType]bool{
	corev1.NodeReady: true, corev1.NodeMemoryPressure: true, corev1.NodeDiskPressure: true, corev1.NodePIDPressure: true, corev1.NodeNetworkUnavailable: true,
}

// polarity is which status of a condition is wrong; empty where neither is.
type polarity = corev1.ConditionStatus

// polarities of known types: those of node-problem-detector
// (https://github.com/kubernetes/node-problem-detector/tree/master/config), of the EKS node monitoring
// agent (https://docs.aws.amazon.com/eks/latest/userguide/node-health.html), and k3s, which tells of
// etcd membership so (https://docs.k3s.io/datastore).
var polarities = map[corev1.NodeConditionType]polarity{
	"KernelDeadlock": corev1.ConditionTrue, "ReadonlyFilesystem": corev1.ConditionTrue, "XfsShutdown": corev1.ConditionTrue, "CperHardwareErrorFatal": corev1.ConditionTrue,
	"FrequentKubeletRestart": corev1.ConditionTrue, "FrequentDockerRestart": corev1.ConditionTrue, "FrequentContainerdRestart": corev1.ConditionTrue,
	"FrequentUnregisterNetDevice": corev1.ConditionTrue, "CorruptDockerOverlay2": corev1.ConditionTrue, "DockerContainerStartupFailure": corev1.ConditionTrue,
	"KubeletUnhealthy": corev1.ConditionTrue, "KubeletProblem": corev1.ConditionTrue, "ContainerRuntimeUnhealthy": corev1.ConditionTrue, "ContainerRuntimeProblem": corev1.ConditionTrue,
	"NTPProblem": corev1.ConditionTrue, "FDPressure": corev1.ConditionTrue,
	"AcceleratedHardwareReady": corev1.ConditionFalse, "ContainerRuntimeReady": corev1.ConditionFalse, "KernelReady": corev1.ConditionFalse,
	"NetworkingReady": corev1.ConditionFalse, "StorageReady": corev1.ConditionFalse,
	"EtcdIsVoter": "",
}

// goodEndings and badEndings tell the polarity of a type by the end of its name. A bad ending is
// looked for first: Unhealthy ends with healthy.
var (
	badEndings  = []string{"problem", "failed", "failure", "failures", "deadlock", "unhealthy", "unavailable", "unreachable", "pressure", "error", "errors", "degraded", "corrupt", "corrupted", "exhausted", "expired", "readonly", "notready", "down", "hung", "full"}
	goodEndings = []string{"ready", "healthy", "available", "reachable", "running", "succeeded"}
)

func polarityOf(t corev1.NodeConditionType) polarity {
	if known, ok := polarities[t]; ok {
		return known
	}
	name := strings.ToLower(string(t))
	for _, end := range badEndings {
		if strings.HasSuffix(name, end) {
			return corev1.ConditionTrue
		}
	}
	for _, end := range goodEndings {
		if strings.HasSuffix(name, end) {
			return corev1.ConditionFalse
		}
	}
	return ""
}

// refreshed is how old a heartbeat may be: node-problem-detector writes every 5 minutes
// (https://github.com/kubernetes/node-problem-detector, --k8s-exporter-heartbeat-period).
const refreshed = time.Hour

func detectNodeProblem(p *rule.Pass) {
	for _, n := range snapshot.List[*corev1.Node](p.Snapshot) {
		var bad []*corev1.NodeCondition
		for i := range n.Status.Conditions {
			c := &n.Status.Conditions[i]
			if wrong := polarityOf(c.Type); !ownConditions[c.Type] && wrong != "" && c.Status == wrong && !seenOnMachine(p, n, c) {
				bad = append(bad, c)
			}
		}
		if len(bad) > 0 && !leaving(n) && !young(p.Snapshot, n) && p.Writer(snapshot.KubeletOn(n.Name)).State != snapshot.Dead {
			p.Report(nodeProblem(p, n, bad))
		}
	}
}

// unitConditions say how the units of a machine are. Agents of this program write them, and take them
// back a minute after the unit is well again (internal/agent/condition).
var unitConditions = map[corev1.NodeConditionType]bool{
	"KubeletUnhealthy": true, "ContainerRuntimeUnhealthy": true,
	"FrequentKubeletRestart": true, "FrequentContainerdRestart": true, "FrequentDockerRestart": true,
}

// seenOnMachine tells of a condition whose cause the machine itself reports, or reports to be over:
// rules on its units say more, and sooner.
func seenOnMachine(p *rule.Pass, n *corev1.Node, c *corev1.NodeCondition) bool {
	m, ok := p.Machine(n.Name)
	return ok && unitConditions[c.Type] && m.Looked("units")
}

func nodeProblem(p *rule.Pass, n *corev1.Node, bad []*corev1.NodeCondition) finding.Finding {
	f := finding.Finding{
		Subject: snapshot.SubjectOf(n), Mechanism: v1alpha1.MechanismDegraded,
		RuledOut: kubeletLives(p.Snapshot, n),
		Remedies: finding.Remedies{Now: []finding.Remedy{
			{Text: finding.Text{EN: "what the machine's kernel says", KO: "커널 메시지를 확인합니다"}, Command: "journalctl -k -p warning -n 100 --no-pager", Machine: n.Name},
			{Text: finding.Text{EN: "until it is mended, let no more pods in", KO: "고칠 때까지 새 Pod를 받지 않게 합니다"}, Command: "kubectl cordon " + n.Name},
		}},
	}
	var types []string
	var says []finding.Text
	old := true
	for _, c := range bad {
		types = append(types, fmt.Sprintf("%s=%s", c.Type, c.Status))
		says = append(says, finding.Verbatim(fmt.Sprintf("%s=%s (%s: %s).", c.Type, c.Status, c.Reason, strings.TrimSuffix(finding.Quote(c.Message), "."))))
		if len(f.Evidence) < 4 {
			f.Evidence = append(f.Evidence, finding.Evidence{
				Source: "Node " + n.Name, Path: fmt.Sprintf(".status.conditions[%s]", c.Type),
				Value: finding.Quote(fmt.Sprintf("%s %s: %s", c.Status, c.Reason, c.Message)), At: finding.Timestamp(c.LastTransitionTime.Time),
			})
		}
		if f.Since.IsZero() || c.LastTransitionTime.Time.Before(f.Since) {
			f.Since = c.LastTransitionTime.Time
		}
		old = old && !c.LastHeartbeatTime.IsZero() && p.Now().Sub(c.LastHeartbeatTime.Time) > refreshed
	}
	f.Title = finding.Format("node %s reports a problem: %s", "노드 %s: 문제를 알리고 있습니다: %s", finding.Verbatim(n.Name), finding.List(types))
	if old {
		f.Confidence = v1alpha1.ConfidenceLow
		says = append(says, finding.Text{
			EN: "Nobody has refreshed that for more than an hour: whoever writes it may be gone, and the problem with it.",
			KO: "1시간 넘게 갱신되지 않았습니다. 이 값을 쓰는 프로그램이 없어졌고 문제도 끝났을 수 있습니다.",
		})
	} else {
		f.Confidence = v1alpha1.ConfidenceMedium
	}
	f.Why = finding.Join(" ", append(says, carries(p.Snapshot, n))...)
	return f
}
