package storage

import (
	"fmt"
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
	Code:  "VolumeOnLostNode",
	Title: finding.Text{EN: "volume is held by a node that is lost", KO: "응답하지 않는 노드에 volume이 묶여 있습니다"},
	Doc: finding.Text{
		EN: "A pod cannot start elsewhere because its volume lies on the disk of a node that does not answer or was deleted, or is attached to it: Kubernetes " +
			"starts no second pod of a StatefulSet and detaches no volume while the first may still be writing. Left alone: volumes of lost nodes whose pods " +
			"are ready, and volumes that several nodes may use.",
		KO: "응답하지 않거나 삭제된 노드의 디스크에 volume이 있거나 그 노드에 연결되어 있어 Pod가 다른 곳에서 시작하지 못합니다. 이전 Pod가 아직 쓰고 있을 수 있으므로 Kubernetes는 StatefulSet의 두 번째 Pod를 만들지 않고 volume도 분리하지 않습니다. " +
			"Pod가 Ready인 volume과 여러 노드에서 쓸 수 있는 volume은 제외합니다.",
	},
	Link:     "https://kubernetes.io/docs/concepts/cluster-administration/node-shutdown/#non-graceful-node-shutdown",
	Severity: finding.Warning,
	Needs: owners(rule.Any[*corev1.PersistentVolumeClaim](), rule.Any[*corev1.PersistentVolume](), rule.Any[*corev1.Node](),
		rule.Optional[*storagev1.VolumeAttachment](), rule.Optional[*coordinationv1.Lease]()),
	For:    time.Minute,
	Detect: volumeOnLostNode,
})

func volumeOnLostNode(p *rule.Pass) {
	attached, hosts := attachedTo(p.Snapshot), nodesByHostname(p.Snapshot)
	lostNodes := map[string]*lostNode{}
	look := func(name string) *lostNode {
		l, known := lostNodes[name]
		if !known {
			if found, ok := lost(p, name); ok {
				l = &found
			}
			lostNodes[name] = l
		}
		return l
	}
	var all users
	for _, c := range snapshot.List[*corev1.PersistentVolumeClaim](p.Snapshot) {
		v, ok := snapshot.Get[*corev1.PersistentVolume](p.Snapshot, "", c.Spec.VolumeName)
		if !ok || c.Spec.VolumeName == "" {
			continue
		}
		name, local := onlyNode(v)
		if local {
			if nodes := hosts[name]; len(nodes) > 0 {
				name = nodes[0].Name
			}
		} else {
			if name = attached[v.Name]; name == "" || shared(v) {
				continue
			}
		}
		l := look(name)
		if l == nil {
			continue
		}
		if all == nil {
			all = usersOfClaims(p.Snapshot)
		}
		if pods := notReady(all.of(c)); len(pods) > 0 {
			p.Report(onLostNode(p, c, v, name, local, *l, pods))
		}
	}
}

// attachedTo are the nodes that volumes are attached to, by the volume's name.
func attachedTo(s *snapshot.Snapshot) map[string]string {
	out := map[string]string{}
	for _, a := range snapshot.List[*storagev1.VolumeAttachment](s) {
		if a.Status.Attached && a.Spec.Source.PersistentVolumeName != nil {
			out[*a.Spec.Source.PersistentVolumeName] = a.Spec.NodeName
		}
	}
	return out
}

// shared tells whether several nodes may use a volume at once.
func shared(v *corev1.PersistentVolume) bool {
	for _, m := range v.Spec.AccessModes {
		if m == corev1.ReadWriteMany || m == corev1.ReadOnlyMany {
			return true
		}
	}
	return false
}

func onLostNode(p *rule.Pass, c *corev1.PersistentVolumeClaim, v *corev1.PersistentVolume, node string, local bool, l lostNode, pods []*corev1.Pod) finding.Finding {
	subject := snapshot.SubjectOf(c)
	f := finding.Finding{
		Subject: subject, Mechanism: v1alpha1.MechanismUnreachable, Since: l.since, Evidence: l.evidence,
		Explains: append(without(harmed(p.Snapshot, nil, pods), subject), snapshot.SubjectOf(v)),
		WaitsFor: []finding.Subject{{Kind: "Node", Name: node}},
	}
	if l.gone {
		f.Mechanism = v1alpha1.MechanismMissing
	}
	who := workloadNames(p.Snapshot, pods)
	f.Title = finding.Format("claim %s: its volume is on lost node %s, %s cannot start elsewhere", "PersistentVolumeClaim %s: volume이 응답하지 않는 노드 %s에 있어 %s가 다른 노드에서 시작하지 못합니다",
		finding.Verbatim(finding.Qualified(subject)), finding.Verbatim(node), who)
	if l.gone {
		f.Title = finding.Format("claim %s: its volume is on node %s, which was deleted, and %s cannot start elsewhere", "PersistentVolumeClaim %s: volume이 삭제된 노드 %s에 있어 %s가 다른 노드에서 시작하지 못합니다",
			finding.Verbatim(finding.Qualified(subject)), finding.Verbatim(node), who)
	}
	why := finding.Textf("volume %s is attached to it and may be used by one node only", "volume %s가 그 노드에 연결되어 있으며 한 노드에서만 사용할 수 있습니다", v.Name)
	if local {
		terms, _ := volumeTerms(v)
		why = finding.Textf("volume %s lies on its disk", "volume %s가 그 노드의 디스크에 있습니다", v.Name)
		f.Evidence = append(f.Evidence, finding.Evidence{Source: "PersistentVolume " + v.Name, Path: ".spec.nodeAffinity", Value: inWords(terms)})
	} else {
		f.Evidence = append(f.Evidence, finding.Evidence{Source: "VolumeAttachments", Path: ".spec.nodeName", Value: v.Name + " attached to " + node})
	}
	var terminating *corev1.Pod
	for _, pod := range pods {
		if pod.DeletionTimestamp != nil && pod.Spec.NodeName == node {
			terminating = pod
		}
	}
	var held finding.Text
	if terminating != nil {
		held = finding.Textf("pod %s stays Terminating, for the node's kubelet cannot confirm that it ended; a pod of that name is not made before",
			"Pod %s는 노드의 kubelet이 종료를 확인해 주지 못해 Terminating에 머무르며, 그전에는 같은 이름의 Pod가 만들어지지 않습니다", terminating.Name)
	}
	f.Why = finding.Join("; ", l.says, why, held)
	f.Remedies = lostNodeRemedies(c, v, node, local, l)
	return f
}

func lostNodeRemedies(c *corev1.PersistentVolumeClaim, v *corev1.PersistentVolume, node string, local bool, l lostNode) finding.Remedies {
	var r finding.Remedies
	if !l.gone {
		r.Now = append(r.Now, finding.Remedy{
			Text: finding.Textf("bring node %s back; the pod starts there by itself", "노드 %s를 복구합니다. Pod는 그 노드에서 자동으로 시작합니다", node), Command: "kubectl describe node " + node,
		})
	}
	switch {
	case local:
		r.Now = append(r.Now, finding.Remedy{
			Text: finding.Textf("if the disk of %s is lost for good: restore the data from a backup or a replica into a new claim; keep a copy of what describes the old one first",
				"노드 %s의 디스크를 되살릴 수 없다면 백업이나 복제본의 데이터를 새 claim으로 복원합니다. 먼저 기존 claim과 volume의 정의를 보관합니다", node),
			Command: fmt.Sprintf("kubectl -n %s get persistentvolumeclaim %s -o yaml > %[2]s.yaml; kubectl get persistentvolume %s -o yaml > %[3]s.yaml", c.Namespace, c.Name, v.Name),
		})
	case !l.gone:
		r.Now = append(r.Now, finding.Remedy{
			Text:    finding.Textf("or, only when the machine of %s is known to be off: its pods are then ended and its volumes detached", "또는 노드 %s의 머신이 꺼진 것이 확실한 경우에만 실행합니다. 그 노드의 Pod가 종료되고 volume이 분리됩니다", node),
			Command: "kubectl taint nodes " + node + " node.kubernetes.io/out-of-service=nodeshutdown:NoExecute",
		})
	}
	r.Later = []finding.Remedy{{Text: finding.Text{
		EN: "run more than one replica with data of its own on different nodes, or use storage that other nodes can reach",
		KO: "서로 다른 노드에 데이터를 가진 replica를 둘 이상 두거나, 다른 노드에서도 접근할 수 있는 storage를 사용합니다",
	}}}
	return r
}
