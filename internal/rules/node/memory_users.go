package node

import (
	"cmp"
	"path"
	"slices"

	corev1 "k8s.io/api/core/v1"

	"github.com/maek-dev/maek/internal/finding"
	"github.com/maek-dev/maek/internal/rule"
	"github.com/maek-dev/maek/internal/snapshot"
)

// podOf finds a pod on a machine by the UID that its control group bears. The group of a static pod
// bears the hash of its manifest, which its mirror pod carries as an annotation.
func podOf(p *rule.Pass, m snapshot.Machine, uid string) (*corev1.Pod, bool) {
	if uid == "" {
		return nil, false
	}
	for _, pod := range p.PodsOn(m.Node()) {
		if string(pod.UID) == uid || pod.Annotations[corev1.MirrorPodAnnotationKey] == uid {
			return pod, true
		}
	}
	return nil, false
}

// groupName is a control group as people know it: the pod's name where the API server told it, the
// pod's UID, or the service's.
func groupName(p *rule.Pass, m snapshot.Machine, group, uid string) string {
	if pod, ok := podOf(p, m, uid); ok {
		return "Pod " + pod.Namespace + "/" + pod.Name
	}
	if uid != "" {
		return "Pod " + uid
	}
	return path.Base(group)
}

// memoryUsers names the pods and services of a machine that use most memory, and those pods of them
// that may use all of it.
func memoryUsers(p *rule.Pass, m snapshot.Machine) (users, limitless finding.Text, shown []finding.Evidence) {
	type user struct {
		group, name string
		used        int64
	}
	var all []user
	var unlimited []string
	for _, e := range m.Select("limit/cgroup/*/memory-bytes") {
		group := e.Key.Segments()[2]
		uid := m.Value(groupKey(group, "pod"))
		if used, ok := m.Int(e.Key); ok && (uid != "" || path.Dir(group) == "/system.slice") {
			all = append(all, user{group, groupName(p, m, group, uid), used})
		}
		if pod, ok := podOf(p, m, uid); ok && slices.ContainsFunc(pod.Spec.Containers, func(c corev1.Container) bool { return c.Resources.Limits.Memory().IsZero() }) {
			unlimited = append(unlimited, pod.Namespace+"/"+pod.Name)
		}
	}
	slices.SortFunc(all, func(a, b user) int { return cmp.Or(cmp.Compare(b.used, a.used), cmp.Compare(a.name, b.name)) })
	var parts []finding.Text
	for _, u := range all[:min(3, len(all))] {
		parts = append(parts, finding.Textf("%s %s", "%s %s", u.name, bytesText(uint64(max(0, u.used)))))
		shown = append(shown, m.Evidence(groupKey(u.group, "memory-bytes")))
	}
	if len(parts) > 0 {
		users = finding.Format("Most is used by %s.", "가장 많이 쓰는 것: %s.", finding.Join(", ", parts...))
	}
	if len(unlimited) > 0 {
		limitless = finding.Format("Of these, without a limit: %s.", "그중 limit이 없는 것: %s.", finding.List(unlimited))
	}
	return users, limitless, shown
}
