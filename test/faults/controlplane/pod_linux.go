package controlplane

import (
	"context"
	"fmt"
	"log/slog"
	"maps"
	"reflect"
	"slices"
	"strings"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
)

// pod is what a kubelet knows of a pod.
type pod struct {
	started    time.Time
	ip         string
	killed     time.Time
	containers map[string]*container
	again      map[string]repetition
}

// repetition counts what is said again and again, ever more seldom.
type repetition struct {
	next time.Time
	wait time.Duration
}

// due tells whether something is to be said, or tried, again.
func (p *pod) due(what string, first, most time.Duration) bool {
	r, now := p.again[what], time.Now()
	if now.Before(r.next) {
		return false
	}
	r.wait = min(max(first, 2*r.wait), most)
	r.next = now.Add(r.wait)
	p.again[what] = r
	return true
}

func (n *Node) state(p *corev1.Pod) *pod {
	n.mu.Lock()
	defer n.mu.Unlock()
	state := n.pods[p.UID]
	if state == nil {
		state = &pod{started: time.Now(), containers: map[string]*container{}, again: map[string]repetition{}}
		n.pods[p.UID] = state
	}
	return state
}

func (n *Node) syncPod(ctx context.Context, p *corev1.Pod) {
	state := n.state(p)
	if p.DeletionTimestamp != nil {
		n.end(ctx, p, state)
		return
	}
	if p.Status.Phase == corev1.PodSucceeded || p.Status.Phase == corev1.PodFailed || n.has(RuntimeDown) {
		return
	}
	if reason := n.evicts(p); reason != "" {
		n.recorder.Event(p, corev1.EventTypeWarning, "Evicted", reason)
		status := p.Status.DeepCopy()
		status.Phase, status.Reason, status.Message, status.ContainerStatuses = corev1.PodFailed, "Evicted", reason, nil
		n.write(ctx, p, status)
		return
	}
	status := p.Status.DeepCopy()
	status.ObservedGeneration = p.Generation
	status.HostIP, status.HostIPs = n.address, []corev1.HostIP{{IP: n.address}}
	if status.StartTime == nil {
		status.StartTime = new(metav1.NewTime(state.started))
	}
	obstacle := n.sandbox(p, state)
	if obstacle == "" && state.ip != "" {
		status.PodIP, status.PodIPs = state.ip, []corev1.PodIP{{IP: state.ip}}
	}
	initialized, initStatuses := n.containers(p, state, p.Spec.InitContainers, obstacle == "", true)
	_, statuses := n.containers(p, state, p.Spec.Containers, obstacle == "" && initialized, false)
	status.InitContainerStatuses, status.ContainerStatuses = initStatuses, statuses
	status.Phase = phase(p, initialized, statuses)
	conditions(p, status, obstacle == "", initialized)
	n.write(ctx, p, status)
}

// write writes a pod's status where it has changed, unless the kubelet cannot.
func (n *Node) write(ctx context.Context, p *corev1.Pod, status *corev1.PodStatus) {
	if reflect.DeepEqual(*status, p.Status) || n.mute() {
		return
	}
	changed := p.DeepCopy()
	changed.Status = *status
	if _, err := n.world.clientset.CoreV1().Pods(p.Namespace).UpdateStatus(ctx, changed, metav1.UpdateOptions{}); err != nil && ctx.Err() == nil {
		slog.Debug("writing a pod's status", "pod", p.Name, "error", err) // the next round tries again
	}
}

// end stops a pod's containers and then removes it.
func (n *Node) end(ctx context.Context, p *corev1.Pod, state *pod) {
	if n.mute() || n.has(RuntimeDown) {
		return
	}
	if state.killed.IsZero() {
		state.killed = time.Now()
		for _, c := range p.Spec.Containers {
			n.recorder.Eventf(reference(p, c.Name), corev1.EventTypeNormal, "Killing", "Stopping container %s", c.Name)
		}
		return
	}
	if time.Since(state.killed) < time.Second {
		return
	}
	_ = n.world.clientset.CoreV1().Pods(p.Namespace).Delete(ctx, p.Name, metav1.DeleteOptions{
		GracePeriodSeconds: new(int64(0)), Preconditions: &metav1.Preconditions{UID: &p.UID},
	})
}

// evicts says why the kubelet evicts a pod: of those without requests, while the node is under
// pressure.
func (n *Node) evicts(p *corev1.Pod) string {
	if p.Status.QOSClass != corev1.PodQOSBestEffort || p.Annotations[corev1.MirrorPodAnnotationKey] != "" {
		return ""
	}
	switch {
	case n.has(DiskPressure):
		return "The node was low on resource: ephemeral-storage. Threshold quantity: 2147483648, available: 612Mi. "
	case n.has(MemoryPressure):
		return fmt.Sprintf("The node was low on resource: memory. Threshold quantity: 100Mi, available: 61Mi. Container %s was using 3120Mi, request is 0, has larger consumption of memory. ", p.Spec.Containers[0].Name)
	default:
		return ""
	}
}

// sandbox gives the pod its network and volumes; it says what is in the way.
func (n *Node) sandbox(p *corev1.Pod, state *pod) string {
	if missing := n.missingVolume(p); missing != "" {
		if state.due("mount", 500*time.Millisecond, 2*time.Minute+2*time.Second) {
			n.recorder.Event(p, corev1.EventTypeWarning, "FailedMount", missing)
		}
		if state.ip == "" {
			return "volume"
		}
	}
	if state.ip != "" {
		return ""
	}
	if p.Spec.HostNetwork {
		state.ip = n.address
		return ""
	}
	if n.has(CNIMissing) {
		if state.due("network", 2*time.Second, 2*time.Minute) {
			n.recorder.Event(p, corev1.EventTypeWarning, "NetworkNotReady", "network is not ready: container runtime network not ready: NetworkReady=false reason:NetworkPluginNotReady message:Network plugin returns error: cni plugin not initialized")
		}
		return "network"
	}
	if state.ip = n.nextIP(); state.ip == "" {
		return "address"
	}
	return ""
}

// missingVolume says what keeps the pod's volumes from being mounted, as the kubelet's event does.
func (n *Node) missingVolume(p *corev1.Pod) string {
	for _, v := range p.Spec.Volumes {
		var kind, name string
		var items []corev1.KeyToPath
		switch {
		case v.ConfigMap != nil && !isTrue(v.ConfigMap.Optional):
			kind, name, items = "configmap", v.ConfigMap.Name, v.ConfigMap.Items
		case v.Secret != nil && !isTrue(v.Secret.Optional):
			kind, name, items = "secret", v.Secret.SecretName, v.Secret.Items
		case v.PersistentVolumeClaim != nil:
			if driver := n.unregisteredDriver(p.Namespace, v.PersistentVolumeClaim.ClaimName); driver != "" {
				return fmt.Sprintf("MountVolume.MountDevice failed for volume %q : kubernetes.io/csi: attacher.MountDevice failed to create newCsiDriverClient: driver name %s not found in the list of registered CSI drivers", n.volumeOf(p.Namespace, v.PersistentVolumeClaim.ClaimName), driver)
			}
			continue
		default:
			continue
		}
		keys, ok := n.world.keys(kind, p.Namespace, name)
		if !ok {
			return fmt.Sprintf("MountVolume.SetUp failed for volume %q : %s %q not found", v.Name, kind, name)
		}
		for _, item := range items {
			if !slices.Contains(keys, item.Key) {
				return fmt.Sprintf("MountVolume.SetUp failed for volume %q : %s references non-existent %s key: %s", v.Name, kind, strings.Replace(kind, "configmap", "config", 1), item.Key)
			}
		}
	}
	return ""
}

func (n *Node) volumeOf(namespace, claim string) string {
	c, err := n.world.claimLister.PersistentVolumeClaims(namespace).Get(claim)
	if err != nil {
		return ""
	}
	return c.Spec.VolumeName
}

// unregisteredDriver is the CSI driver of a claim's volume that this node does not have.
func (n *Node) unregisteredDriver(namespace, claim string) string {
	volume, err := n.world.volumeLister.Get(n.volumeOf(namespace, claim))
	if err != nil || volume.Spec.CSI == nil || slices.Contains(n.drivers, volume.Spec.CSI.Driver) {
		return ""
	}
	return volume.Spec.CSI.Driver
}

func isTrue(b *bool) bool { return b != nil && *b }

func phase(p *corev1.Pod, initialized bool, statuses []corev1.ContainerStatus) corev1.PodPhase {
	running, waiting, failed := 0, 0, 0
	for _, s := range statuses {
		switch {
		case s.State.Running != nil:
			running++
		case s.State.Terminated != nil:
			if s.State.Terminated.ExitCode != 0 {
				failed++
			}
		case s.LastTerminationState.Terminated != nil:
			running++ // between two runs
		default:
			waiting++
		}
	}
	switch {
	case !initialized || waiting > 0:
		return corev1.PodPending
	case running > 0 || p.Spec.RestartPolicy == corev1.RestartPolicyAlways:
		return corev1.PodRunning
	case failed > 0:
		return corev1.PodFailed
	default:
		return corev1.PodSucceeded
	}
}

// conditions sets what a kubelet sets (k8s.io/kubernetes/pkg/kubelet/status/generate.go).
func conditions(p *corev1.Pod, status *corev1.PodStatus, sandbox, initialized bool) {
	set := func(kind corev1.PodConditionType, ok bool, reason, message string) {
		c := corev1.PodCondition{Type: kind, Status: corev1.ConditionTrue, LastTransitionTime: metav1.NewTime(time.Now().Truncate(time.Second)), ObservedGeneration: p.Generation}
		if !ok {
			c.Status, c.Reason, c.Message = corev1.ConditionFalse, reason, message
		}
		if ok && reason == "PodCompleted" {
			c.Reason = reason
		}
		i := slices.IndexFunc(status.Conditions, func(old corev1.PodCondition) bool { return old.Type == kind })
		if i < 0 {
			status.Conditions = append(status.Conditions, c)
			return
		}
		if status.Conditions[i].Status == c.Status {
			c.LastTransitionTime = status.Conditions[i].LastTransitionTime
		}
		status.Conditions[i] = c
	}
	set(corev1.PodReadyToStartContainers, sandbox, "", "")
	if status.Phase == corev1.PodSucceeded {
		set(corev1.PodInitialized, true, "PodCompleted", "")
		set(corev1.PodReady, false, "PodCompleted", "")
		set(corev1.ContainersReady, false, "PodCompleted", "")
		return
	}
	var unready, uninitialized []string
	for _, s := range status.ContainerStatuses {
		if !s.Ready {
			unready = append(unready, s.Name)
		}
	}
	for _, s := range status.InitContainerStatuses {
		if s.State.Terminated == nil || s.State.Terminated.ExitCode != 0 {
			uninitialized = append(uninitialized, s.Name)
		}
	}
	set(corev1.PodInitialized, initialized, "ContainersNotInitialized", fmt.Sprintf("containers with incomplete status: %v", uninitialized))
	set(corev1.PodReady, len(unready) == 0, "ContainersNotReady", fmt.Sprintf("containers with unready status: %v", unready))
	set(corev1.ContainersReady, len(unready) == 0, "ContainersNotReady", fmt.Sprintf("containers with unready status: %v", unready))
	scheduled := slices.IndexFunc(status.Conditions, func(c corev1.PodCondition) bool { return c.Type == corev1.PodScheduled })
	if scheduled < 0 {
		set(corev1.PodScheduled, true, "", "")
	}
}

// reference to a container of a pod, as events name it.
func reference(p *corev1.Pod, container string) *corev1.ObjectReference {
	return &corev1.ObjectReference{
		APIVersion: "v1", Kind: "Pod", Namespace: p.Namespace, Name: p.Name, UID: p.UID, ResourceVersion: p.ResourceVersion,
		FieldPath: "spec.containers{" + container + "}",
	}
}

// syncMirrorPods shows the static pods of the node's manifests, and takes away those of manifests
// that are gone.
func (n *Node) syncMirrorPods(ctx context.Context, all []*corev1.Pod) {
	if n.mute() {
		return
	}
	n.mu.Lock()
	wanted := maps.Clone(n.manifest)
	n.mu.Unlock()
	for name, on := range wanted {
		mirror := n.world.components[name].program() + "-" + n.Name
		i := slices.IndexFunc(all, func(p *corev1.Pod) bool { return p.Namespace == metav1.NamespaceSystem && p.Name == mirror })
		pods := n.world.clientset.CoreV1().Pods(metav1.NamespaceSystem)
		switch {
		case on && i < 0:
			node, err := n.world.nodeLister.Get(n.Name)
			if err == nil {
				_, _ = pods.Create(ctx, mirrorPod(n.world, name, node.UID), metav1.CreateOptions{})
			}
		case !on && i >= 0:
			_ = pods.Delete(ctx, mirror, metav1.DeleteOptions{GracePeriodSeconds: new(int64(0))})
		}
	}
}

func mirrorPod(w *World, component string, node types.UID) *corev1.Pod {
	p, machine := w.components[component], w.machines[component]
	program := p.program()
	return &corev1.Pod{
		ObjectMeta: metav1.ObjectMeta{
			Name: program + "-" + machine, Namespace: metav1.NamespaceSystem,
			Labels: map[string]string{"component": program, "tier": "control-plane"},
			Annotations: map[string]string{
				corev1.MirrorPodAnnotationKey: "faults", "kubernetes.io/config.hash": "faults", "kubernetes.io/config.source": "file",
			},
			OwnerReferences: []metav1.OwnerReference{{APIVersion: "v1", Kind: "Node", Name: machine, UID: node, Controller: new(true)}},
		},
		Spec: corev1.PodSpec{
			NodeName: machine, HostNetwork: true, PriorityClassName: "system-node-critical",
			Tolerations: []corev1.Toleration{{Effect: corev1.TaintEffectNoExecute, Operator: corev1.TolerationOpExists}},
			Containers: []corev1.Container{{
				Name: program, Image: "registry.k8s.io/" + program + ":" + kubeletVersion,
				Command: append([]string{program}, p.args...),
			}},
		},
	}
}
