package node

import (
	"fmt"
	"slices"
	"time"

	certificatesv1 "k8s.io/api/certificates/v1"
	coordinationv1 "k8s.io/api/coordination/v1"
	corev1 "k8s.io/api/core/v1"

	"github.com/maek-dev/maek/internal/finding"
	"github.com/maek-dev/maek/internal/rule"
	"github.com/maek-dev/maek/internal/snapshot"
)

// The reasons of the events that tell of a Node's end: the node lifecycle controller's, for any; those
// of the cloud's node lifecycle controller and of autoscalers, for one that was removed on purpose
// (k8s.io/kubernetes/pkg/controller/nodelifecycle; k8s.io/cloud-provider/controllers/nodelifecycle;
// https://github.com/kubernetes/autoscaler/blob/master/cluster-autoscaler/FAQ.md;
// https://github.com/kubernetes-sigs/karpenter/blob/main/pkg/controllers/disruption/events/events.go).
const removingNode = "RemovingNode"

var removedOnPurpose = []string{"DeletingNode", "ScaleDown", "DisruptionTerminating"}

// settled is how long the cluster takes to forget a deleted node: a Lease by its owner, a pod by the
// pod garbage collector after 40 s in quarantine, in rounds of 20 s
// (k8s.io/kubernetes/pkg/controller/podgc/gc_controller.go).
const settled = 2 * time.Minute

// signsOfNodes returns, by name, why each node that is not there should be.
func signsOfNodes(p *rule.Pass) map[string][]sign {
	out := map[string][]sign{}
	gone := func(name string) bool {
		_, there := snapshot.Get[*corev1.Node](p.Snapshot, "", name)
		return name != "" && !there
	}
	add := func(name string, s sign) {
		if gone(name) {
			out[name] = append(out[name], s)
		}
	}
	for _, e := range p.ExpectedNodes() {
		add(e.Name, sign{
			says:     finding.Textf("It is expected by: %s.", "이 노드를 포함하는 목록: %s.", e.Source),
			evidence: finding.Evidence{Source: e.Source, Path: "nodes", Value: e.Name},
		})
	}
	for _, l := range snapshot.List[*coordinationv1.Lease](p.Snapshot) {
		if l.Namespace != corev1.NamespaceNodeLease || !gone(l.Name) || p.Now().Sub(l.CreationTimestamp.Time) < settled {
			continue
		}
		if w := p.Writer(snapshot.KubeletOn(l.Name)); w.State == snapshot.Alive {
			add(l.Name, sign{
				says:     finding.Textf("Its kubelet renews the Lease kube-node-lease/%s, last at %s.", "kubelet이 Lease(kube-node-lease/%s)를 갱신하고 있습니다(마지막 %s).", l.Name, finding.Clock(p.Now(), w.LastSeen)),
				evidence: w.Evidence[0], alive: true,
			})
		}
	}
	for name, s := range signsOfPods(p, gone) {
		add(name, s)
	}
	for name, s := range signsOfRequests(p, gone) {
		add(name, s)
	}
	for _, m := range p.Machines() {
		if p.Now().Sub(m.ObservedAt()) < settled {
			add(m.Node(), sign{
				says:     finding.Textf("The agent on machine %s reports.", "머신 %s의 agent가 보고하고 있습니다.", m.Name()),
				evidence: finding.Evidence{Source: "agent on " + m.Name(), Path: "observedAt", Value: m.ObservedAt().UTC().Format(time.RFC3339), At: finding.Timestamp(m.ObservedAt())},
				alive:    true,
			})
		}
	}
	for name := range out {
		if onPurpose(p, name) {
			delete(out, name)
		}
	}
	return out
}

// signsOfPods are the pods that ran on a node which is gone: a kubelet once wrote where they ran. A pod
// that merely names a node which never existed has no such trace.
func signsOfPods(p *rule.Pass, gone func(string) bool) map[string]sign {
	out := map[string]sign{}
	for _, pod := range snapshot.List[*corev1.Pod](p.Snapshot) {
		name := pod.Spec.NodeName
		if name == "" || pod.Status.HostIP == "" || snapshot.PodDone(pod) || !gone(name) || p.Now().Sub(pod.CreationTimestamp.Time) < settled {
			continue
		}
		if _, ok := out[name]; ok {
			continue
		}
		out[name] = sign{
			says: finding.Text{EN: "Pods that ran there are still bound to it, and nobody removes them.", KO: "그곳에서 실행되던 Pod가 아직 배정되어 있고 아무도 정리하지 않습니다."},
			evidence: finding.Evidence{
				Source: finding.Named(snapshot.SubjectOf(pod)), Path: ".spec.nodeName", Value: fmt.Sprintf("%s (host address %s)", name, pod.Status.HostIP),
			},
		}
	}
	return out
}

// signsOfRequests are the certificates that kubelets were given for nodes that are not there: one that
// joins registers within seconds of it.
func signsOfRequests(p *rule.Pass, gone func(string) bool) map[string]sign {
	out := map[string]sign{}
	if !p.Coverage(snapshot.KindOf[*corev1.Event]()).Known() {
		return out // Only events tell of nodes that were removed on purpose.
	}
	for _, r := range snapshot.List[*certificatesv1.CertificateSigningRequest](p.Snapshot) {
		at := r.CreationTimestamp.Time
		if len(r.Status.Certificate) == 0 || p.Now().Sub(at) < settled ||
			r.Spec.SignerName != certificatesv1.KubeAPIServerClientKubeletSignerName && r.Spec.SignerName != certificatesv1.KubeletServingSignerName {
			continue
		}
		name := requestorNode(r)
		if !gone(name) {
			continue
		}
		if e := removal(p, name); e != nil && snapshot.EventTime(e).After(at) {
			continue
		}
		if s, ok := out[name]; ok && s.since.After(at) {
			continue
		}
		out[name] = sign{
			says: finding.Textf("Its kubelet was given a certificate at %s (CertificateSigningRequest %s), and no Node was registered since or it was deleted.",
				"kubelet이 %s에 인증서를 받았지만(CertificateSigningRequest %s) 그 뒤 Node가 등록되지 않았거나 삭제되었습니다.", finding.Clock(p.Now(), at), r.Name),
			evidence: finding.Evidence{Source: "CertificateSigningRequest " + r.Name, Path: ".spec.username", Value: finding.Quote(r.Spec.Username), At: finding.Timestamp(at)},
			since:    at,
		}
	}
	return out
}

// removal is the newest event that tells of a Node's deletion; nil where there is none.
func removal(p *rule.Pass, name string) *corev1.Event {
	for _, e := range slices.Backward(p.EventsOf(finding.Subject{Kind: "Node", Name: name})) {
		if e.Reason == removingNode {
			return e
		}
	}
	return nil
}

// onPurpose tells whether an autoscaler or the cloud provider removed a node.
func onPurpose(p *rule.Pass, name string) bool {
	return slices.ContainsFunc(p.EventsOf(finding.Subject{Kind: "Node", Name: name}), func(e *corev1.Event) bool {
		return slices.Contains(removedOnPurpose, e.Reason)
	})
}
