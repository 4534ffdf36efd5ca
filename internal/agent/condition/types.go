// Package condition tells the cluster what is wrong with a machine, in the conditions and events of
// node-problem-detector, so that whatever acts on those acts on these. It writes on changes only, keeps
// what could not be written, and takes a condition back when its findings are gone.
package condition

import (
	"slices"

	corev1 "k8s.io/api/core/v1"

	"github.com/maek-dev/maek/api/maek/v1alpha1"
	"github.com/maek-dev/maek/internal/finding"
)

// kind is a condition that is kept on the Node. True is bad, as all of node-problem-detector's are.
type kind struct {
	// Type of the condition.
	Type corev1.NodeConditionType
	// good is the reason while nothing is wrong, and goodText what is said then.
	good, goodText string
	// monitors that must have looked before absence of findings means anything.
	monitors []string
	// shows tells whether a finding is one that the condition stands for.
	shows func(finding.Finding) bool
	// reason while it is so; empty takes the finding's code.
	reason string
}

// kinds are the conditions, with types and reasons of node-problem-detector
// (https://github.com/kubernetes/node-problem-detector/tree/master/config: kernel-monitor.json,
// readonly-monitor.json, systemd-monitor-counter.json, health-checker-*.json).
var kinds = []kind{
	{
		Type: "KernelDeadlock", good: "KernelHasNoDeadlock", goodText: "kernel has no deadlock",
		monitors: []string{"logs"}, shows: coded("KernelTaskHung", "KernelTaskBlocked", "KernelLockup", "KernelDeadlock"),
	},
	{
		Type: "ReadonlyFilesystem", good: "FilesystemIsNotReadOnly", goodText: "Filesystem is not read-only",
		monitors: []string{"filesystems"}, shows: coded("FilesystemReadOnly", "FileSystemReadOnly"), reason: "FilesystemIsReadOnly",
	},
	{
		Type: "KubeletUnhealthy", good: "KubeletIsHealthy", goodText: "kubelet on the node is functioning properly",
		monitors: []string{"units"}, shows: about("kubelet.service"),
	},
	{
		Type: "ContainerRuntimeUnhealthy", good: "ContainerRuntimeIsHealthy", goodText: "Container runtime on the node is functioning properly",
		monitors: []string{"units"}, shows: about("containerd.service", "docker.service", "crio.service"),
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

// Types of the conditions that an agent writes.
func Types() []string {
	out := make([]string, 0, len(kinds))
	for _, k := range kinds {
		out = append(out, string(k.Type))
	}
	return out
}

// coded matches findings by the codes of their rules.
func coded(codes ...finding.Code) func(finding.Finding) bool {
	return func(f finding.Finding) bool { return slices.Contains(codes, f.Code) }
}

// about matches findings about a unit.
func about(units ...string) func(finding.Finding) bool {
	return func(f finding.Finding) bool {
		return f.Subject.Kind == "Unit" && slices.Contains(units, f.Subject.Name)
	}
}

// crashing matches findings about a unit that is started again and again.
func crashing(unit string) func(finding.Finding) bool {
	of := about(unit)
	return func(f finding.Finding) bool { return of(f) && f.Mechanism == v1alpha1.MechanismCrashing }
}
