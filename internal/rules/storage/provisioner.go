package storage

import (
	"fmt"
	"regexp"
	"slices"
	"strings"
	"time"

	appsv1 "k8s.io/api/apps/v1"
	coordinationv1 "k8s.io/api/coordination/v1"
	corev1 "k8s.io/api/core/v1"

	"github.com/maek-dev/maek/api/maek/v1alpha1"
	"github.com/maek-dev/maek/internal/finding"
	"github.com/maek-dev/maek/internal/rule"
	"github.com/maek-dev/maek/internal/snapshot"
)

// worker is a process that serves a storage driver: its provisioner or attacher.
type worker struct {
	// dead tells that it is known not to work; alive that it is known to.
	dead, alive bool
	// since is when a dead one was last seen.
	since     time.Time
	says      finding.Text
	mechanism finding.Mechanism
	evidence  []finding.Evidence
	// waitsFor are its pods, what they belong to and the nodes they run on, where they are not well.
	waitsFor []finding.Subject
	remedies []finding.Remedy
}

// workerNeeds are the kinds that findWorker reads.
func workerNeeds() []rule.Need {
	return []rule.Need{rule.Optional[*coordinationv1.Lease](), rule.Optional[*appsv1.Deployment](), rule.Optional[*appsv1.StatefulSet]()}
}

// otherThanName are the characters that do not go into the name of a lock.
var otherThanName = regexp.MustCompile(`[^a-zA-Z0-9-]`)

// provisionerLocks are the names of the Lease by which the provisioner of a driver leads
// (https://github.com/kubernetes-csi/external-provisioner/blob/master/cmd/csi-provisioner/csi-provisioner.go,
// github.com/kubernetes-csi/csi-lib-utils/leaderelection, sanitizeName; provisioners that are none of
// CSI's replace slashes only, sigs.k8s.io/sig-storage-lib-external-provisioner).
func provisionerLocks(driver string) []string {
	return []string{otherThanName.ReplaceAllString(driver, "-"), strings.ReplaceAll(driver, "/", "-")}
}

// attacherLocks are the same for the attacher
// (https://github.com/kubernetes-csi/external-attacher/blob/master/cmd/csi-attacher/main.go).
func attacherLocks(driver string) []string {
	return []string{otherThanName.ReplaceAllString("external-attacher-leader-"+driver, "-")}
}

// findWorker looks for the process that holds one of some locks, and whether it lives.
func findWorker(p *rule.Pass, locks []string) (worker, bool) {
	for _, l := range snapshot.List[*coordinationv1.Lease](p.Snapshot) {
		if !slices.Contains(locks, l.Name) || l.Namespace == corev1.NamespaceNodeLease {
			continue
		}
		fresh := p.Writer(snapshot.Writer{Namespace: l.Namespace, Name: l.Name})
		w := worker{evidence: fresh.Evidence, dead: fresh.State == snapshot.Dead, alive: fresh.State == snapshot.Alive}
		name := fmt.Sprintf("%s/%s", l.Namespace, l.Name)
		if !w.dead {
			w.says = finding.Textf("its leader %s renews Lease %s", "leader %s가 Lease %s를 갱신하고 있습니다", fresh.Holder, name)
			return w, true
		}
		w.mechanism, w.since = v1alpha1.MechanismStopped, fresh.LastSeen
		w.says = finding.Textf("whoever led it fell silent at %s (Lease %s)", "%s부터 leader가 응답하지 않습니다(Lease %s)", finding.Clock(p.Now(), fresh.LastSeen), name)
		// Identities are the host name, which in a pod is the pod's, and a suffix at most.
		holder, _, _ := strings.Cut(fresh.Holder, "_")
		w.follow(p, l.Namespace, holder)
		return w, true
	}
	return worker{}, false
}

// follow finds the pod that led, or what it belonged to where it is gone.
func (w *worker) follow(p *rule.Pass, namespace, holder string) {
	if pod, ok := snapshot.Get[*corev1.Pod](p.Snapshot, namespace, holder); ok {
		w.add(p, pod)
		return
	}
	for _, d := range snapshot.List[*appsv1.Deployment](p.Snapshot) {
		if d.Namespace == namespace && strings.HasPrefix(holder, d.Name+"-") {
			w.controller(p, d, snapshot.Replicas(d.Spec.Replicas))
			return
		}
	}
	for _, s := range snapshot.List[*appsv1.StatefulSet](p.Snapshot) {
		if s.Namespace == namespace && strings.HasPrefix(holder, s.Name+"-") {
			w.controller(p, s, snapshot.Replicas(s.Spec.Replicas))
			return
		}
	}
}

// controller tells of what ran a pod that is gone.
func (w *worker) controller(p *rule.Pass, o snapshot.Object, replicas int) {
	subject := snapshot.SubjectOf(o)
	w.waitsFor = append(w.waitsFor, subject)
	if replicas == 0 {
		w.says = finding.Join(": ", w.says, finding.Textf("%s is scaled to 0", "%s의 replicas가 0입니다", finding.Named(subject)))
		w.evidence = append(w.evidence, finding.Evidence{Source: finding.Named(subject), Path: ".spec.replicas", Value: "0"})
		w.remedies = append(w.remedies, finding.Remedy{
			Text:    finding.Text{EN: "start it again", KO: "다시 실행합니다"},
			Command: fmt.Sprintf("kubectl -n %s scale %s %s --replicas=1", subject.Namespace, strings.ToLower(subject.Kind), subject.Name),
		})
		return
	}
	for _, pod := range p.PodsOf(subject) {
		w.add(p, pod)
	}
}

// add tells of a pod that serves the driver.
func (w *worker) add(p *rule.Pass, pod *corev1.Pod) {
	subject := snapshot.SubjectOf(pod)
	state := podState(pod)
	w.says = finding.Join(": ", w.says, finding.Textf("pod %s is %s on node %s", "Pod %s: %s, 노드 %s", finding.Qualified(subject), state, orNone(pod.Spec.NodeName)))
	w.evidence = append(w.evidence, finding.Evidence{Source: finding.Named(subject), Path: ".status", Value: state})
	w.waitsFor = append(w.waitsFor, subject, p.Workload(pod))
	if pod.Spec.NodeName != "" {
		w.waitsFor = append(w.waitsFor, finding.Subject{Kind: "Node", Name: pod.Spec.NodeName})
	}
	w.remedies = append(w.remedies, finding.Remedy{
		Text:    finding.Text{EN: "see what is wrong with the driver's pod", KO: "driver Pod의 문제를 확인합니다"},
		Command: fmt.Sprintf("kubectl -n %s describe pod %s", pod.Namespace, pod.Name),
	})
}

// podState is the word that kubectl shows for a pod, nearly.
func podState(pod *corev1.Pod) string {
	if pod.DeletionTimestamp != nil {
		return "Terminating"
	}
	for _, c := range slices.Concat(pod.Status.InitContainerStatuses, pod.Status.ContainerStatuses) {
		switch {
		case c.State.Waiting != nil && c.State.Waiting.Reason != "" && c.State.Waiting.Reason != "PodInitializing":
			return c.State.Waiting.Reason
		case c.State.Terminated != nil && c.State.Terminated.ExitCode != 0:
			return c.State.Terminated.Reason
		}
	}
	if !snapshot.PodReady(pod) && pod.Status.Phase == corev1.PodRunning {
		return "not ready"
	}
	return string(pod.Status.Phase)
}

func orNone(name string) string {
	if name == "" {
		return "(none)"
	}
	return name
}

// sockets are the folders on a node in which a driver's node plugin keeps its socket
// (https://kubernetes-csi.github.io/docs/deploying.html).
var sockets = []string{"/var/lib/kubelet/plugins/", "/var/lib/kubelet/csi-plugins/"}

// pluginPods are the pods that mount the folder of a driver's socket: its node plugin.
func pluginPods(s *snapshot.Snapshot, driver string) []*corev1.Pod {
	var out []*corev1.Pod
	for _, pod := range snapshot.List[*corev1.Pod](s) {
		if !snapshot.PodDone(pod) && slices.ContainsFunc(pod.Spec.Volumes, func(v corev1.Volume) bool {
			return v.HostPath != nil && slices.ContainsFunc(sockets, func(folder string) bool {
				rest, ok := strings.CutPrefix(v.HostPath.Path, folder)
				return ok && (rest == driver || strings.HasPrefix(rest, driver+"/"))
			})
		}) {
			out = append(out, pod)
		}
	}
	return out
}
