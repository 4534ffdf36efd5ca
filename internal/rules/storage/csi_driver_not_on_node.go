package storage

import (
	"fmt"
	"maps"
	"regexp"
	"slices"
	"strings"
	"time"

	coordinationv1 "k8s.io/api/coordination/v1"
	corev1 "k8s.io/api/core/v1"
	storagev1 "k8s.io/api/storage/v1"

	"github.com/maek-dev/maek/api/maek/v1alpha1"
	"github.com/maek-dev/maek/internal/finding"
	"github.com/maek-dev/maek/internal/rule"
	"github.com/maek-dev/maek/internal/snapshot"
)

var _ = Catalog.Add(rule.Rule{
	Code:  "CSIDriverNotOnNode",
	Title: finding.Text{EN: "storage driver is not on the node", KO: "노드에 storage driver가 없습니다"},
	Doc: finding.Text{
		EN: "Pods wait on a node for volumes of a CSI driver that the node does not have: the driver's node plugin, mostly a DaemonSet, has no pod there, or " +
			"its pod does not run, or the driver is not installed at all. The kubelet says so, or the node's CSINode does not list the driver. " +
			"Left alone: nodes without the driver on which nothing needs it, pods that have started since, and nodes whose kubelet is dead.",
		KO: "Pod가 필요한 CSI driver volume을 노드가 다루지 못합니다. driver의 node plugin(대개 DaemonSet)의 Pod가 그 노드에 없거나, 실행되지 않거나, driver가 아예 설치되지 않은 경우입니다. " +
			"kubelet이 알린 내용이나 CSINode의 driver 목록으로 판단합니다. driver가 없어도 필요로 하는 Pod가 없는 노드, 이미 시작한 Pod, kubelet이 멈춘 노드는 제외합니다.",
	},
	Link:     "https://kubernetes.io/docs/concepts/storage/volumes/#csi",
	Severity: finding.Warning,
	Needs: owners(rule.Optional[*corev1.PersistentVolumeClaim](), rule.Optional[*corev1.PersistentVolume](), rule.Optional[*storagev1.CSINode](),
		rule.Optional[*storagev1.CSIDriver](), rule.Optional[*corev1.Event](), rule.Optional[*coordinationv1.Lease]()),
	For:    time.Minute,
	Detect: csiDriverNotOnNode,
})

// unregistered is how the kubelet says that its node lacks a driver
// (k8s.io/kubernetes/pkg/volume/csi/csi_client.go, newCsiDriverClient).
var unregistered = regexp.MustCompile(`driver name (\S+) not found in the list of registered CSI drivers`)

// driverless is a pod that waits on a node for a driver.
type driverless struct {
	pod   *corev1.Pod
	event *corev1.Event // nil where only the CSINode tells
}

func csiDriverNotOnNode(p *rule.Pass) {
	found := map[string][]driverless{}
	for _, pod := range snapshot.List[*corev1.Pod](p.Snapshot) {
		if pod.Status.Phase != corev1.PodPending || pod.Spec.NodeName == "" || pod.DeletionTimestamp != nil || len(pod.Spec.Volumes) == 0 ||
			p.Writer(snapshot.KubeletOn(pod.Spec.NodeName)).State == snapshot.Dead {
			continue
		}
		if driver, e := lacks(p, pod); driver != "" {
			found[driver] = append(found[driver], driverless{pod: pod, event: e})
		}
	}
	for _, driver := range slices.Sorted(maps.Keys(found)) {
		p.Report(driverNotThere(p, driver, found[driver]))
	}
}

// lacks is the driver that a pod waits for on its node; empty where it waits for none.
func lacks(p *rule.Pass, pod *corev1.Pod) (string, *corev1.Event) {
	for _, e := range p.PodEvents(pod) {
		if e.Reason != "FailedMount" && e.Reason != "FailedAttachVolume" && e.Reason != "FailedMapVolume" || p.Now().Sub(snapshot.EventTime(e)) > eventWindow {
			continue
		}
		if m := unregistered.FindStringSubmatch(e.Message); m != nil {
			return m[1], e
		}
	}
	// Volumes are mounted before a pod's network is made (k8s.io/kubernetes/pkg/kubelet, SyncPod).
	if c := snapshot.PodCondition(pod, corev1.PodReadyToStartContainers); c != nil && c.Status == corev1.ConditionTrue {
		return "", nil
	}
	node, ok := snapshot.Get[*storagev1.CSINode](p.Snapshot, "", pod.Spec.NodeName)
	if !ok || slices.ContainsFunc(pod.Status.ContainerStatuses, func(c corev1.ContainerStatus) bool { return c.State.Running != nil }) {
		return "", nil
	}
	for _, driver := range driversOf(p, pod) {
		if !slices.ContainsFunc(node.Spec.Drivers, func(d storagev1.CSINodeDriver) bool { return d.Name == driver }) {
			return driver, nil
		}
	}
	return "", nil
}

// volumesOf names the PersistentVolumes of a driver that a pod mounts.
func volumesOf(p *rule.Pass, pod *corev1.Pod, driver string) []finding.Subject {
	var out []finding.Subject
	for name := range claimNames(pod) {
		c, ok := snapshot.Get[*corev1.PersistentVolumeClaim](p.Snapshot, pod.Namespace, name)
		if !ok || c.Spec.VolumeName == "" {
			continue
		}
		if v, ok := snapshot.Get[*corev1.PersistentVolume](p.Snapshot, "", c.Spec.VolumeName); ok && v.Spec.CSI != nil && v.Spec.CSI.Driver == driver {
			out = append(out, snapshot.SubjectOf(v))
		}
	}
	return out
}

// driversOf are the CSI drivers of a pod's volumes.
func driversOf(p *rule.Pass, pod *corev1.Pod) []string {
	var out []string
	for _, v := range pod.Spec.Volumes {
		if v.CSI != nil {
			out = append(out, v.CSI.Driver)
		}
	}
	for name := range claimNames(pod) {
		c, ok := snapshot.Get[*corev1.PersistentVolumeClaim](p.Snapshot, pod.Namespace, name)
		if !ok || c.Spec.VolumeName == "" {
			continue
		}
		if v, ok := snapshot.Get[*corev1.PersistentVolume](p.Snapshot, "", c.Spec.VolumeName); ok && v.Spec.CSI != nil {
			out = append(out, v.Spec.CSI.Driver)
		}
	}
	return out
}

func driverNotThere(p *rule.Pass, driver string, waiting []driverless) finding.Finding {
	subject := finding.Subject{Kind: "CSIDriver", Name: driver}
	f := finding.Finding{Subject: subject, Mechanism: v1alpha1.MechanismMissing}
	var pods []*corev1.Pod
	var nodes []string
	for _, w := range waiting {
		pods = append(pods, w.pod)
		nodes = append(nodes, w.pod.Spec.NodeName)
		f.Explains = append(f.Explains, volumesOf(p, w.pod, driver)...)
		f.Since = finding.Earlier(f.Since, boundAt(w.pod))
		if w.event != nil && len(f.Evidence) == 0 {
			f.Evidence = append(f.Evidence, eventEvidence(w.event))
		}
	}
	slices.Sort(nodes)
	nodes = slices.Compact(nodes)
	f.Explains = append(harmed(p.Snapshot, nil, pods), f.Explains...)
	for _, n := range nodes {
		// Pods of several workloads that fail alike on a node are told as that node's.
		f.Explains = append(f.Explains, finding.Subject{Kind: "Node", Name: n})
		if c, ok := snapshot.Get[*storagev1.CSINode](p.Snapshot, "", n); ok && len(f.Evidence) < 3 {
			f.Evidence = append(f.Evidence, finding.Evidence{Source: "CSINode " + n, Path: ".spec.drivers", Value: driverNames(c)})
		}
	}
	f.Title = finding.Format("CSI driver %s is not on %s, %s cannot mount its volumes", "CSI driver %s: %s에 없어 %s가 volume을 mount하지 못합니다",
		finding.Verbatim(driver), finding.List(nodes), workloadNames(p.Snapshot, pods))
	var plugin finding.Text
	plugin, f.WaitsFor, f.Remedies.Now = nodePlugin(p, driver, nodes)
	f.Why = finding.Join("; ", finding.Format("%s waits there", "%s가 그 노드에서 기다립니다", finding.Pods(len(pods))), plugin)
	f.Remedies.Later = []finding.Remedy{{Text: finding.Text{
		EN: "let the driver's DaemonSet tolerate every taint, give it priority system-node-critical, and alert when it lacks a pod",
		KO: "driver DaemonSet이 모든 taint를 허용하게 하고 priority를 system-node-critical로 지정하며, Pod가 부족하면 알림을 보냅니다",
	}}}
	return f
}

// boundAt is when a pod was bound to its node.
func boundAt(pod *corev1.Pod) time.Time {
	if c := snapshot.PodCondition(pod, corev1.PodScheduled); c != nil && c.Status == corev1.ConditionTrue {
		return c.LastTransitionTime.Time
	}
	return pod.CreationTimestamp.Time
}

func driverNames(c *storagev1.CSINode) string {
	var names []string
	for _, d := range c.Spec.Drivers {
		names = append(names, d.Name)
	}
	if len(names) == 0 {
		return "(none)"
	}
	return strings.Join(names, ", ")
}

// nodePlugin says what is the matter with a driver's node plugin on nodes.
func nodePlugin(p *rule.Pass, driver string, nodes []string) (says finding.Text, waitsFor []finding.Subject, now []finding.Remedy) {
	plugins := pluginPods(p.Snapshot, driver)
	if len(plugins) == 0 {
		now = []finding.Remedy{{
			Text:    finding.Textf("install the driver %s, or see why its node plugin has no pods", "driver %s를 설치하거나 node plugin의 Pod가 없는 이유를 확인합니다", driver),
			Command: "kubectl get csidrivers,csinodes; kubectl get daemonsets -A | grep -i csi",
		}}
		if _, ok := snapshot.Get[*storagev1.CSIDriver](p.Snapshot, "", driver); ok {
			return finding.Text{EN: "the driver is registered, and no pod of its node plugin exists", KO: "driver는 등록되어 있으나 node plugin Pod가 하나도 없습니다"}, nil, now
		}
		return finding.Text{EN: "no pod of its node plugin exists and no CSIDriver names it: it is not installed", KO: "node plugin Pod도 CSIDriver object도 없습니다. 설치되지 않은 driver입니다"}, nil, now
	}
	set := p.Workload(plugins[0])
	waitsFor = append(waitsFor, set)
	for _, node := range nodes {
		i := slices.IndexFunc(plugins, func(pod *corev1.Pod) bool { return pod.Spec.NodeName == node })
		if i < 0 {
			says = finding.Join("; ", says, finding.Textf("%s, its node plugin, has no pod on %s", "node plugin인 %s의 Pod가 노드 %s에 없습니다", finding.Named(set), node))
			continue
		}
		pod := snapshot.SubjectOf(plugins[i])
		waitsFor = append(waitsFor, pod)
		says = finding.Join("; ", says, finding.Textf("its node plugin on %s, pod %s, is %s", "노드 %s의 node plugin Pod %s: %s", node, finding.Qualified(pod), podState(plugins[i])))
		now = append(now, finding.Remedy{
			Text:    finding.Textf("see what is wrong with the node plugin on %s", "노드 %s의 node plugin을 확인합니다", node),
			Command: fmt.Sprintf("kubectl -n %s describe pod %s; kubectl -n %[1]s logs %[2]s --all-containers --tail=50", pod.Namespace, pod.Name),
		})
	}
	if len(now) == 0 {
		now = []finding.Remedy{{
			Text:    finding.Text{EN: "see why it has no pod there: its nodeSelector, or a taint that it does not tolerate", KO: "Pod가 없는 이유를 확인합니다(nodeSelector, 허용하지 않는 taint)"},
			Command: fmt.Sprintf("kubectl -n %s describe %s %s; kubectl describe node %s", set.Namespace, strings.ToLower(set.Kind), set.Name, nodes[0]),
		}}
	}
	return says, waitsFor, now
}
