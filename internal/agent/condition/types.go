// Package condition tells the cluster what is wrong with a machine, in the conditions and events of
// node-problem-detector, so that whatever acts on those acts on these. It writes on changes only, keeps
// what could not be written, and takes a condition back when its findings are gone.
package condition

import (
	"slices"

	corev1 "k8s.io/api/core/v1"

	"github.com/maek-dev/maek/api/maek/v1alpha1"
	"github.com/maek-dev/maek/internal/finding"
	"github.com/maek-dev/maek/internal/snapshot"
)

// kind is a condition that is kept on the Node. True is bad, as all of node-problem-detector's are.
type kind struct {
	// Type of the condition.
	Type corev1.NodeConditionType
	// good is the reason while nothing is wrong, and goodText what is said then.
	good, goodText string
	// monitors that must have looked before absence of findings means anything.
	monitors []string
	// shows tells which findings the condition stands for.
	shows shows
	// reason while it is so; empty takes the finding's code.
	reason string
}

// The rules that conditions name.
const (
	kernelTaskHung                finding.Code = "KernelTaskHung"
	filesystemReadOnly            finding.Code = "FilesystemReadOnly"
	containerRuntimeHung          finding.Code = "ContainerRuntimeHung"
	containerRuntimeSocketMissing finding.Code = "ContainerRuntimeSocketMissing"
	containerRuntimeStopped       finding.Code = "ContainerRuntimeStopped"
)

// codes are all of them.
var codes = []finding.Code{kernelTaskHung, filesystemReadOnly, containerRuntimeHung, containerRuntimeSocketMissing, containerRuntimeStopped}

// kinds are the conditions, with types and reasons of node-problem-detector
// (https://github.com/kubernetes/node-problem-detector/tree/master/config: kernel-monitor.json,
// readonly-monitor.json, systemd-monitor-counter.json, health-checker-*.json).
var kinds = []kind{
	{
		Type: "KernelDeadlock", good: "KernelHasNoDeadlock", goodText: "kernel has no deadlock",
		monitors: []string{"logs"}, shows: coded(kernelTaskHung),
	},
	{
		Type: "ReadonlyFilesystem", good: "FilesystemIsNotReadOnly", goodText: "Filesystem is not read-only",
		monitors: []string{"filesystems"}, shows: coded(filesystemReadOnly), reason: "FilesystemIsReadOnly",
	},
	{
		Type: "KubeletUnhealthy", good: "KubeletIsHealthy", goodText: "kubelet on the node is functioning properly",
		monitors: []string{"units"}, shows: about("kubelet.service"),
	},
	{
		Type: "ContainerRuntimeUnhealthy", good: "ContainerRuntimeIsHealthy", goodText: "Container runtime on the node is functioning properly",
		monitors: []string{"units"}, shows: either(about("containerd.service", "docker.service", "crio.service"), coded(containerRuntimeHung, containerRuntimeSocketMissing, containerRuntimeStopped)),
	},
	{
		Type: "FrequentKubeletRestart", good: "NoFrequentKubeletRestart", goodText: "kubelet is functioning properly",
		monitors: []string{"units"}, shows: crashing("kubelet.service"), reason: "FrequentKubeletRestart",
	},
	{
		Type: "FrequentContainerdRestart", good: "NoFrequentContainerdRestart", goodText: "containerd is functioning properly",
		monitors: []string{"units"}, shows: crashing("containerd.service"), reason: "FrequentContainerdRestart",
	},
	{
		Type: "FrequentDockerRestart", good: "NoFrequentDockerRestart", goodText: "docker is functioning properly",
		monitors: []string{"units"}, shows: crashing("docker.service"), reason: "FrequentDockerRestart",
	},
}

// Types of the conditions that an agent writes. The policy that install brings lets it write no others: a test
// holds the two together, for the command line does not know the agent.
func Types() []string {
	out := make([]string, 0, len(kinds))
	for _, k := range kinds {
		out = append(out, string(k.Type))
	}
	return out
}

// shows tells whether a condition stands for a finding on a machine.
type shows func(snapshot.Machine, finding.Finding) bool

// coded matches findings by the codes of their rules.
func coded(codes ...finding.Code) shows {
	return func(_ snapshot.Machine, f finding.Finding) bool { return slices.Contains(codes, f.Code) }
}

// about matches findings about a unit.
func about(units ...string) shows {
	return func(_ snapshot.Machine, f finding.Finding) bool {
		return f.Subject.Kind == "Unit" && slices.Contains(units, f.Subject.Name)
	}
}

// either matches what one of several does.
func either(several ...shows) shows {
	return func(m snapshot.Machine, f finding.Finding) bool {
		return slices.ContainsFunc(several, func(one shows) bool { return one(m, f) })
	}
}

// frequently is how many restarts within ten minutes are many: node-problem-detector takes five in twenty
// (config/systemd-monitor-counter.json).
const frequently = 3

// crashing matches findings about a unit that is started again and again.
func crashing(unit string) shows {
	of := about(unit)
	return func(m snapshot.Machine, f finding.Finding) bool {
		restarts, _ := m.Int(snapshot.KeyOf("unit", unit, "restarts-10m"))
		return of(m, f) && (f.Mechanism == v1alpha1.MechanismCrashing || restarts >= frequently)
	}
}
