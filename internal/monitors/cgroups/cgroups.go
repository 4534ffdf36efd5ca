// Package cgroups finds the machine's control groups, in both versions of the kernel's interface: the
// machine's own, its slices and services, and those of pods.
package cgroups

import (
	"path"
	"regexp"
	"strconv"
	"strings"

	"github.com/maek-dev/maek/internal/monitor"
)

// mountPoint is where systemd mounts control groups.
const mountPoint = "/sys/fs/cgroup"

// fileLimit bounds a file of a control group: memory.stat has some fifty short lines.
const fileLimit = 16 << 10

// Tree is the hierarchy of control groups that one controller counts in.
type Tree struct {
	// V2 tells that it is the one hierarchy of version 2, where groups count what lies below them too.
	V2 bool

	host   monitor.Host
	folder string
}

// Group is one control group.
type Group struct {
	// Path below the top of the tree; "/" is the machine's own.
	Path string
	// Pod is the UID of the pod whose group it is; empty for others.
	Pod string
}

// Of returns the hierarchy of a controller such as "pids"; false where the machine has none.
func Of(host monitor.Host, controller string) (Tree, bool) {
	if _, err := host.ReadFile(mountPoint+"/cgroup.controllers", fileLimit); err == nil {
		return Tree{V2: true, host: host, folder: mountPoint}, true
	}
	if _, err := host.ReadDir(mountPoint + "/" + controller); err == nil {
		return Tree{host: host, folder: mountPoint + "/" + controller}, true
	}
	return Tree{}, false
}

// podGroup is how the kubelet names the group of a pod, with either driver: pod1234-..., or
// kubepods-burstable-pod1234_....slice (k8s.io/kubernetes/pkg/kubelet/cm/helpers_linux.go and
// cgroup_manager_linux.go). UIDs of static pods are hashes without dashes.
var podGroup = regexp.MustCompile(`pod([0-9a-f]{32}|[0-9a-f]{8}(?:[-_][0-9a-f]{4}){3}[-_][0-9a-f]{12})(?:\.slice)?$`)

// podNamed is the UID of the pod whose group has a name; empty where it is none.
func podNamed(group string) string {
	found := podGroup.FindStringSubmatch(group)
	if found == nil {
		return ""
	}
	return strings.ReplaceAll(found[1], "_", "-")
}

// PodOf is the UID of the pod in whose group, or below it, a path leads; empty where it leads through none.
func PodOf(group string) string {
	for name := range strings.SplitSeq(group, "/") {
		if pod := podNamed(name); pod != "" {
			return pod
		}
	}
	return ""
}

// Groups are the machine's own group, those directly below it, the services below system.slice, the
// groups in which the kubelet gathers pods, and those of pods. Groups that vanish meanwhile are left out.
func (t Tree) Groups() []Group {
	return append([]Group{{Path: "/"}}, t.below("/")...)
}

func (t Tree) below(parent string) []Group {
	entries, err := t.host.ReadDir(t.folder + parent)
	if err != nil {
		return nil
	}
	var out []Group
	for _, e := range entries {
		if !e.IsDir() {
			continue
		}
		g := Group{Path: path.Join(parent, e.Name()), Pod: podNamed(e.Name())}
		out = append(out, g)
		if g.Pod == "" && descend(g.Path) {
			out = append(out, t.below(g.Path)...)
		}
	}
	return out
}

// descend tells whether what lies below a group is worth a look of its own: pods do below kubepods,
// which kind and k3s put into a group of the kubelet's.
func descend(group string) bool {
	return group == "/system.slice" || strings.Contains(group, "kubepods") || strings.HasPrefix(group, "/kubelet") || strings.HasPrefix(group, "/k8s.io")
}

// Children are the paths of the groups directly below a group.
func (t Tree) Children(group string) []string {
	entries, err := t.host.ReadDir(t.folder + group)
	if err != nil {
		return nil
	}
	var out []string
	for _, e := range entries {
		if e.IsDir() {
			out = append(out, path.Join(group, e.Name()))
		}
	}
	return out
}

// Int reads a file of a group that holds one number; false where there is none, or no limit ("max").
func (t Tree) Int(group, file string) (int64, bool) {
	data, err := t.host.ReadFile(path.Join(t.folder, group, file), fileLimit)
	if err != nil {
		return 0, false
	}
	n, err := strconv.ParseInt(strings.TrimSpace(string(data)), 10, 64)
	return n, err == nil
}

// Field reads one of the lines "name number" of a file of a group; false where there is none.
func (t Tree) Field(group, file, name string) (int64, bool) {
	data, err := t.host.ReadFile(path.Join(t.folder, group, file), fileLimit)
	if err != nil {
		return 0, false
	}
	for line := range strings.Lines(string(data)) {
		if f := strings.Fields(line); len(f) == 2 && f[0] == name {
			n, err := strconv.ParseInt(f[1], 10, 64)
			return n, err == nil
		}
	}
	return 0, false
}

// unlimited is what version 1 writes for "no limit": the largest number of whole pages, or more.
const unlimited = int64(1) << 62

// MemoryMax is how many bytes of memory a group may use; false where nothing limits it.
func (t Tree) MemoryMax(group string) (int64, bool) {
	n, ok := t.Int(group, t.named("memory.max", "memory.limit_in_bytes"))
	return n, ok && n < unlimited
}

// MemoryUsed is how many bytes of memory a group uses, with the files of its that the kernel keeps in
// memory for as long as nobody else needs it.
func (t Tree) MemoryUsed(group string) (int64, bool) {
	return t.Int(group, t.named("memory.current", "memory.usage_in_bytes"))
}

// WorkingSet is the memory that a group uses and that cannot be had back at once, as the kubelet counts
// it: without file pages that were not used lately (cadvisor's container_memory_working_set_bytes).
func (t Tree) WorkingSet(group string) (int64, bool) {
	used, ok := t.MemoryUsed(group)
	if !ok {
		return 0, false
	}
	idle, _ := t.Field(group, "memory.stat", t.named("inactive_file", "total_inactive_file"))
	return max(0, used-idle), true
}

func (t Tree) named(v2, v1 string) string {
	if t.V2 {
		return v2
	}
	return v1
}
