package controlplane

import (
	"fmt"
	"slices"
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
	Code:  "LeaderLeaseExpired",
	Title: finding.Text{EN: "controller has ceased to renew its Lease", KO: "controller가 Lease 갱신을 멈췄습니다"},
	Doc: finding.Text{
		EN: "A controller other than Kubernetes' own holds a Lease for leader election and does not renew it, while its pod is still there: it hangs, ends again and again, or cannot write. Nobody does its work, though all pods may look " +
			"well. Left alone: Leases of nodes and of API servers, those of the controller manager and the scheduler (they have rules of their own), Leases that were given up, Leases whose controller was removed or scaled to zero, and " +
			"those that ran out more than a week ago. One that another pod of the controller has not taken either, though it is ready, is info: leader election was turned off or the Lease has another name by now. So is one of a process that is no pod, on a node that reports.",
		KO: "Kubernetes 자체가 아닌 controller가 leader election Lease를 가진 채 갱신하지 않는데 그 Pod는 남아 있습니다. 멈췄거나 반복해서 종료되거나 쓰지 못하는 상태입니다. 모든 Pod가 정상으로 보여도 그 일을 하는 프로세스가 없습니다. " +
			"노드와 API server의 Lease, controller manager와 scheduler의 Lease(별도 규칙), 반납된 Lease, controller가 제거되거나 0으로 축소된 Lease, 만료된 지 일주일이 넘은 Lease는 제외합니다. controller의 다른 Pod가 준비되었는데도 이어받지 " +
			"않았으면 leader election을 껐거나 Lease 이름이 바뀐 것이므로 info입니다. 보고하고 있는 노드에서 Pod가 아닌 프로세스가 가진 Lease도 info입니다.",
	},
	Link:     "https://kubernetes.io/docs/concepts/architecture/leases/#leader-election",
	Severity: finding.Warning,
	Needs:    append(rule.Owners(), rule.Any[*coordinationv1.Lease](), rule.Any[*corev1.Pod](), rule.Optional[*corev1.Node]()),
	For:      time.Minute,
	Symptom:  true,
	Causes: []rule.Cause{
		{Code: "EtcdUnavailable", Via: rule.Cluster},
		{Code: "EtcdDatabaseFull", Via: rule.Cluster},
		{Code: "WebhookUnavailable", Via: rule.Cluster, Holds: stopsLeases},
		{Code: "ApiServerOverloaded", Via: rule.Cluster},
		{Code: "LeasesNotRenewed", Via: rule.Cluster},
		{Code: "ApiServerNotReady", Via: rule.Cluster},
	},
	Detect: detectLeaderLeaseExpired,
})

const (
	// leftover is how long ago a Lease may have run out to be of anybody who is still meant to run.
	leftover = 7 * 24 * time.Hour
	// lapseGrace is how long past its duration such a Lease must be, and for how long there must have been
	// an API server to renew it with: controllers choose short ones.
	lapseGrace = time.Minute
)

func detectLeaderLeaseExpired(p *rule.Pass) {
	var byNamespace map[finding.Subject][]*corev1.Pod
	for _, l := range snapshot.List[*coordinationv1.Lease](p.Snapshot) {
		if !elects(l) {
			continue
		}
		w := p.Writer(snapshot.Writer{Namespace: l.Namespace, Name: l.Name})
		age := p.Now().Sub(w.LastSeen)
		due := finding.Later(w.LastSeen, servedSince(p)).Add(durationOf(l) + lapseGrace)
		if w.State != snapshot.Dead || w.Holder == "" || age > leftover || p.Now().Before(due) {
			continue
		}
		if byNamespace == nil {
			byNamespace = podsOfNamespaces(p)
		}
		if f, ok := lapsedLease(p, l, w, byNamespace); ok {
			p.Report(f)
		}
	}
}

// elects tells whether a Lease is one of a leader election of which no other rule tells: it counts its
// transitions (k8s.io/client-go/tools/leaderelection/resourcelock, LeaderElectionRecordToLeaseSpec),
// which those of nodes and of API servers do not.
func elects(l *coordinationv1.Lease) bool {
	if _, server := l.Labels[snapshot.APIServerLeaseLabel]; server || l.Spec.LeaseTransitions == nil || l.Namespace == corev1.NamespaceNodeLease {
		return false
	}
	w := snapshot.Writer{Namespace: l.Namespace, Name: l.Name}
	return w != snapshot.ControllerManager && w != snapshot.Scheduler
}

func durationOf(l *coordinationv1.Lease) time.Duration {
	if l.Spec.LeaseDurationSeconds == nil {
		return 0
	}
	return time.Duration(*l.Spec.LeaseDurationSeconds) * time.Second
}

// podsOfNamespaces returns the pods that should run, by namespace.
func podsOfNamespaces(p *rule.Pass) map[finding.Subject][]*corev1.Pod {
	out := map[finding.Subject][]*corev1.Pod{}
	for _, pod := range snapshot.List[*corev1.Pod](p.Snapshot) {
		if !snapshot.PodDone(pod) && pod.DeletionTimestamp == nil {
			k := finding.Subject{Kind: "Namespace", Name: pod.Namespace}
			out[k] = append(out[k], pod)
		}
	}
	return out
}

func lapsedLease(p *rule.Pass, l *coordinationv1.Lease, w snapshot.Freshness, byNamespace map[finding.Subject][]*corev1.Pod) (finding.Finding, bool) {
	subject := snapshot.SubjectOf(l)
	holder := hostOf(w.Holder)
	f := finding.Finding{Subject: subject, Mechanism: v1alpha1.MechanismHung, Since: w.LastSeen, Evidence: w.Evidence}
	when := finding.Clock(p.Now(), w.LastSeen)
	peers := byNamespace[finding.Subject{Kind: "Namespace", Name: l.Namespace}]
	own := slices.IndexFunc(peers, func(pod *corev1.Pod) bool {
		// A StatefulSet's pod has the name of the one before it, which may have been of another version.
		return (pod.Name == holder || pod.Name == w.Holder) && pod.CreationTimestamp.Time.Before(w.LastSeen)
	})
	switch {
	case own >= 0:
		pod := peers[own]
		workload := p.Workload(pod)
		f.WaitsFor = []finding.Subject{snapshot.SubjectOf(pod), workload, {Kind: "Node", Name: pod.Spec.NodeName}}
		f.Title = finding.Textf("%s: its controller %s ceased to renew it at %s", "%s: controller(%s)가 %s부터 갱신하지 않습니다", finding.Named(subject), finding.Qualified(workload), when)
		state := finding.Text{EN: "is not ready", KO: "준비되지 않았습니다"}
		if snapshot.PodReady(pod) {
			state = finding.Text{EN: "is ready all the same: the process hangs, or may not write the Lease", KO: "그런데도 준비된 상태입니다. 프로세스가 멈췄거나 Lease를 쓸 권한이 없습니다"}
		} else {
			f.Mechanism = v1alpha1.MechanismStopped
			// Whichever came first explains the other: a process that hangs fails its probe later.
			f.Explains = []finding.Subject{snapshot.SubjectOf(pod)}
		}
		f.Why = finding.Format("It is held by Pod %s, which %s. Nobody else took it, so nobody does the controller's work.", "Lease를 가진 Pod(%s): %s. 이어받은 프로세스가 없어 controller의 일이 멈춰 있습니다.",
			finding.Verbatim(pod.Name), state)
		f.Remedies = finding.Remedies{
			Now: []finding.Remedy{
				{
					Text:    finding.Text{EN: "what does it say", KO: "로그를 확인합니다"},
					Command: "kubectl -n " + pod.Namespace + " logs " + pod.Name + " --tail 50",
				},
				restart(pod, workload),
			},
			Later: []finding.Remedy{{Text: finding.Text{
				EN: "let its liveness probe fail when it has lost its Lease, and run two replicas",
				KO: "Lease를 잃으면 liveness probe가 실패하게 하고 replica를 2개 이상 둡니다",
			}}},
		}
		return f, true
	case onNode(p, holder):
		f.WaitsFor = []finding.Subject{{Kind: "Node", Name: holder}}
		f.Mechanism, f.Confidence = v1alpha1.MechanismStopped, v1alpha1.ConfidenceMedium
		if p.Writer(snapshot.KubeletOn(holder)).State != snapshot.Dead {
			// Which process of a node's own it was, and whether it is still meant to run, no object says.
			f.Severity = finding.Info
		}
		f.Title = finding.Textf("%s: its holder on %s ceased to renew it at %s", "%s: %s에서 실행되던 프로세스가 %s부터 갱신하지 않습니다", finding.Named(subject), holder, when)
		f.Why = finding.Textf("It is held by a process on node %s, and nobody else took it.", "노드(%s)의 프로세스가 가진 Lease이며 이어받은 프로세스가 없습니다.", holder)
		f.Remedies.Now = []finding.Remedy{{
			Text:    finding.Text{EN: "does it run there, and what did it say last", KO: "실행 중인지, 마지막 로그가 무엇인지 확인합니다"},
			Command: "crictl ps -a --name " + l.Name + "; crictl logs --tail 20 $(crictl ps -aq --name " + l.Name + " | head -n 1)", Machine: holder,
		}}
		return f, true
	default:
		i := slices.IndexFunc(peers, func(pod *corev1.Pod) bool {
			return snapshot.PodReady(pod) && (pod.Name == holder || sameMaker(pod.Name, holder))
		})
		if i < 0 {
			return finding.Finding{}, false // Its controller is gone or scaled to zero; who should run tells of itself.
		}
		f.Severity, f.Confidence = finding.Info, v1alpha1.ConfidenceLow
		f.Title = finding.Textf("%s: not renewed since %s, and not taken by Pod %s, which is ready", "%s: %s부터 갱신되지 않으며 준비된 Pod(%s)도 이어받지 않았습니다", finding.Named(subject), when, peers[i].Name)
		f.Why = finding.Text{
			EN: "The pod that held it is gone, and its successor works without it: leader election was turned off, or the Lease has another name by now.",
			KO: "Lease를 가졌던 Pod는 사라졌고 후속 Pod는 이 Lease 없이 동작합니다. leader election을 껐거나 Lease 이름이 바뀐 것입니다.",
		}
		return f, true
	}
}

// onNode tells whether the holder is a process of a node's own, which names itself by its host.
func onNode(p *rule.Pass, host string) bool {
	_, ok := snapshot.Get[*corev1.Node](p.Snapshot, "", host)
	return ok
}

// sameMaker tells whether two pods are of one Deployment or StatefulSet by their names, of which the
// last two parts, or the last, are made up
// (k8s.io/apiserver/pkg/storage/names, SimpleNameGenerator).
func sameMaker(a, b string) bool {
	for _, parts := range []int{2, 1} {
		x, y := trimParts(a, parts), trimParts(b, parts)
		if x != "" && x == y {
			return true
		}
	}
	return false
}

func trimParts(name string, n int) string {
	for range n {
		i := strings.LastIndexByte(name, '-')
		if i < 0 {
			return ""
		}
		name = name[:i]
	}
	return name
}

// restart starts a controller again; a static pod is never deleted through kubectl, for that deletes
// only its mirror.
func restart(pod *corev1.Pod, workload finding.Subject) finding.Remedy {
	text := finding.Text{EN: "start it again once that is read", KO: "로그를 확인한 뒤 다시 시작합니다"}
	switch {
	case snapshot.StaticPod(pod):
		return finding.Remedy{Text: finding.Text{
			EN: "start it again once that is read: move its manifest out of /etc/kubernetes/manifests and back",
			KO: "로그를 확인한 뒤 manifest를 /etc/kubernetes/manifests 밖으로 옮겼다가 되돌려 다시 시작합니다",
		}, Command: fmt.Sprintf("mv /etc/kubernetes/manifests/%[1]s.yaml /tmp/ && sleep 20 && mv /tmp/%[1]s.yaml /etc/kubernetes/manifests/", strings.TrimSuffix(pod.Name, "-"+pod.Spec.NodeName)), Machine: pod.Spec.NodeName}
	case workload.Kind == "Deployment" || workload.Kind == "StatefulSet" || workload.Kind == "DaemonSet":
		return finding.Remedy{Text: text, Command: "kubectl -n " + workload.Namespace + " rollout restart " + strings.ToLower(workload.Kind) + "/" + workload.Name}
	case workload.Kind == "Pod":
		return finding.Remedy{Text: finding.Text{
			EN: "start it again once that is read: no controller makes it anew, so apply its manifest after it is deleted",
			KO: "로그를 확인한 뒤 다시 시작합니다. 다시 만들 controller가 없으므로 삭제한 뒤 manifest를 다시 적용해야 합니다",
		}}
	default:
		return finding.Remedy{Text: text, Command: "kubectl -n " + pod.Namespace + " delete pod " + pod.Name}
	}
}
